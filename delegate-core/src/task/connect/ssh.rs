//! A host over ssh: who one is there, and which key the host has.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Found, Meeting, Target};
use crate::Secret;
use crate::task::allowance::Allowance;
use crate::task::refusal::{Met, Refusal, Stage};
use crate::task::said::quoted;
use crate::task::ssh::{Client, SshHost, failure_of};
use crate::task::{TaskContext, TaskError};

/// Most that is read: three lines, and what ssh tells of the connection.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Says who one is, on which host, of which system.
const WHO: &str = "id -un && uname -n && uname -srm";

/// How ssh tells of itself.
const OWN_WORDS: &str = "debug1: ";

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SshFound {
    /// The user that one is there.
    user: String,
    /// What the host calls itself.
    host: String,
    /// Its system, with version and architecture.
    system: String,
    /// The key that the host has, as `TYPE SHA256:…`.
    host_key: Option<String>,
}

#[async_trait]
impl Target for SshHost {
    fn secrets(&self) -> Vec<Secret> {
        self.login.secrets().collect()
    }

    fn check(&self, field: &str) -> Result<(), TaskError> {
        Self::check(self, field)
    }

    async fn meet(&self, field: &str, context: &TaskContext) -> Met<Meeting> {
        let allowance = Allowance::of(context);
        let client = Client::lay_out(&self.login, context).await?.telling_more();
        let asked = self.reached_by(&client).program(context, &allowance, WHO, &[]);
        let captured = allowance
            .capture(asked, MAX_ANSWER_BYTES, "asking the host")
            .await?;
        let told = String::from_utf8_lossy(&captured.stderr);
        if !captured.exit.success() {
            let said: Vec<&str> = told.lines().filter(|line| !line.starts_with(OWN_WORDS)).collect();
            let said = said.join("\n");
            let reason = failure_of(&captured.exit, &said, &format!("{field}.login"));
            // The complaint comes with what to do about it.
            return Err(Refusal {
                stage: Stage::of(&said).unwrap_or(Stage::Answer),
                reason: reason.unwrap_or_else(|| {
                    format!(
                        "the host lets us in and runs no `sh`: it ended with {}: {}",
                        captured.exit.code(),
                        quoted(said.trim())
                    )
                }),
            }
            .into());
        }
        let answer = String::from_utf8_lossy(&captured.stdout).into_owned();
        let mut lines = answer.lines().map(str::to_owned);
        let (Some(user), Some(host), Some(system)) = (lines.next(), lines.next(), lines.next()) else {
            let said = format!("the host says {}", quoted(answer.trim()));
            return Err(Refusal::new(Stage::Answer, &said).into());
        };
        let host_key = told.lines().find_map(|line| line.split_once("Server host key: "));
        Ok(Meeting {
            identity: user.clone(),
            found: Found::Ssh(SshFound {
                user,
                host,
                system,
                host_key: host_key.map(|(_, key)| key.trim().to_owned()),
            }),
        })
    }
}
