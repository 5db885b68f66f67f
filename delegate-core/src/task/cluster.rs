//! Which cluster a kind works on: what the programs of Kubernetes are told of it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::write_private;
use super::{TaskContext, TaskError};
use crate::Secret;

// A cluster. Its description is that of the field.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    /// A whole kubeconfig file; what it runs or reads beside itself is the delegate's. Default: the delegate's own (`KUBECONFIG`),
    /// or the cluster that it runs in.
    pub(super) kubeconfig: Option<Secret>,
    /// The context of the kubeconfig. Default: its current one.
    pub(super) context: Option<String>,
}

impl Cluster {
    pub(super) fn secrets(&self) -> impl Iterator<Item = Secret> {
        self.kubeconfig.iter().cloned()
    }

    /// Whether it is what it should be. `field` is its own path.
    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        if let Some(kubeconfig) = &self.kubeconfig
            && !kubeconfig.expose().contains("clusters")
        {
            return Err(TaskError::data(
                format!("{field}.kubeconfig"),
                "is no kubeconfig; give the whole file, not its path",
            ));
        }
        match &self.context {
            Some(context)
                if context.is_empty() || context.starts_with('-') || context.contains(char::is_control) =>
            {
                Err(TaskError::data(
                    format!("{field}.context"),
                    "must be the name of a context",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Writes what is given into the task's directory. Returns the path, for `KUBECONFIG`.
    pub(super) async fn lay_out(
        &self,
        context: &TaskContext,
    ) -> Result<Option<std::path::PathBuf>, TaskError> {
        let Some(kubeconfig) = &self.kubeconfig else {
            return Ok(None);
        };
        let file = context.work_dir.join("kubeconfig");
        write_private(&file, kubeconfig.expose(), context.confinement.user.as_ref()).await?;
        Ok(Some(file))
    }
}
