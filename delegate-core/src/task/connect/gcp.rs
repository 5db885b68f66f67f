//! Google Cloud: who one is there, by the token that an account, a federated workload or a machine is given.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Found, Meeting, Target};
use crate::Secret;
use crate::task::google::{CLOUD_PLATFORM, Identity};
use crate::task::refusal::Met;
use crate::task::{TaskContext, TaskError};

// Its description is that of the field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Gcp {
    /// Who one is.
    identity: Identity,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct GcpFound {
    /// Address of the service account; null for a federated identity and for a user.
    service_account: Option<String>,
    /// The project of the service account or of the machine.
    project_id: Option<String>,
    /// How many seconds the token is good for.
    expires_in: Option<u64>,
}

#[async_trait]
impl Target for Gcp {
    fn secrets(&self) -> Vec<Secret> {
        self.identity.secrets()
    }

    fn check(&self, field: &str) -> Result<(), TaskError> {
        self.identity.check(&format!("{field}.identity"))
    }

    async fn meet(&self, field: &str, context: &TaskContext) -> Met<Meeting> {
        let field = format!("{field}.identity");
        let token = self.identity.token(&field, CLOUD_PLATFORM, context).await?;
        let owner = self.identity.owner(&field, context).await?;
        Ok(Meeting {
            identity: owner.identity,
            found: Found::Gcp(GcpFound {
                service_account: owner.service_account,
                project_id: owner.project_id,
                expires_in: token.expires_in.or(owner.expires_in),
            }),
        })
    }
}
