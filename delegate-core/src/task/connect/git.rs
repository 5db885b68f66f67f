//! A git repository: whether one may read it, by the `git` program.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ANYBODY, Found, Meeting, Target};
use crate::Secret;
use crate::task::git_clone::Repository;
use crate::task::refusal::{Met, Refusal, Stage};
use crate::task::{TaskContext, TaskError};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct GitFound {
    /// The repository.
    url: String,
    /// The server's default branch; null in a repository without a commit.
    default_branch: Option<String>,
    /// The commit that it is at.
    commit: Option<String>,
}

#[async_trait]
impl Target for Repository {
    fn secrets(&self) -> Vec<Secret> {
        Self::secrets(self)
    }

    fn check(&self, field: &str) -> Result<(), TaskError> {
        Self::check(self, field)
    }

    async fn meet(&self, _field: &str, context: &TaskContext) -> Met<Meeting> {
        let (address, answer) = self.look(context).await?;
        // The complaint comes with what to do about it.
        let seen = answer.map_err(|(complaint, said)| Refusal {
            stage: Stage::of(&complaint).unwrap_or(Stage::Answer),
            reason: said,
        })?;
        Ok(Meeting {
            identity: self.login().unwrap_or_else(|| ANYBODY.to_owned()),
            found: Found::Git(GitFound {
                url: address,
                default_branch: seen.default_branch,
                commit: seen.commit,
            }),
        })
    }
}
