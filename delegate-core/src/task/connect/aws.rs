//! AWS: who one is there, by the service STS, which everybody may ask.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Found, Meeting, Target};
use crate::Secret;
use crate::aws::{STS, element};
use crate::task::aws::AwsAccess;
use crate::task::refusal::{Met, Refusal, Stage};
use crate::task::{TaskContext, TaskError};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AwsFound {
    /// ARN of who one is: a user, or a role that was taken.
    arn: String,
    /// Number of the account.
    account: String,
    /// The id of the user or role that stays when its name changes.
    user_id: String,
    /// The region that was asked.
    region: String,
}

#[async_trait]
impl Target for AwsAccess {
    fn secrets(&self) -> Vec<Secret> {
        Self::secrets(self)
    }

    fn check(&self, field: &str) -> Result<(), TaskError> {
        Self::check(self, field)
    }

    async fn meet(&self, field: &str, context: &TaskContext) -> Met<Meeting> {
        let aws = self.client(field, context)?;
        let asked = aws.query(&STS, "GetCallerIdentity", &[]).await;
        let answer = asked.map_err(|error| {
            Refusal::of_words(
                &error.to_string(),
                &format!("check `{field}.credentials`, that they have not expired, and `{field}.role`"),
            )
        })?;
        let text = |name: &str| {
            let said = format!("STS GetCallerIdentity tells no {name}");
            let text = element(&answer, name).map(str::to_owned);
            text.ok_or_else(|| Refusal::new(Stage::Answer, &said))
        };
        let found = AwsFound {
            arn: text("Arn")?,
            account: text("Account")?,
            user_id: text("UserId")?,
            region: aws.region().to_owned(),
        };
        Ok(Meeting {
            identity: found.arn.clone(),
            found: Found::Aws(found),
        })
    }
}
