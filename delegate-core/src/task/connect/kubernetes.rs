//! Kubernetes: who one is in a cluster, by the `kubectl` program.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Found, Meeting, Target};
use crate::Secret;
use crate::task::allowance::Allowance;
use crate::task::cluster::Cluster;
use crate::task::refusal::{Met, Refusal, Stage};
use crate::task::tool::{Tool, quote};
use crate::task::{TaskContext, TaskError};

/// For one request: an API server answers within a second.
const REQUEST_TIMEOUT: &str = "--request-timeout=20s";

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct KubernetesFound {
    /// Who one is: a user, or `system:serviceaccount:NAMESPACE:NAME`.
    user: String,
    /// The groups that one is in.
    groups: Vec<String>,
    /// Version of the cluster.
    version: String,
}

#[async_trait]
impl Target for Cluster {
    fn secrets(&self) -> Vec<Secret> {
        Self::secrets(self).collect()
    }

    fn check(&self, field: &str) -> Result<(), TaskError> {
        Self::check(self, field)
    }

    async fn meet(&self, field: &str, context: &TaskContext) -> Met<Meeting> {
        let allowance = Allowance::of(context);
        let tool = Tool::new("kubectl", context, &allowance);
        let kubeconfig = self.lay_out(context).await?;
        let ask = async |args: &[&str], doing: &str| {
            let cache = context.work_dir.join("cache");
            let mut command = tool.command().env("LC_ALL", "C");
            if let Some(file) = &kubeconfig {
                command = command.env("KUBECONFIG", file);
            }
            let command = command
                .arg(format!("--cache-dir={}", cache.display()))
                .args(self.context.as_ref().map(|name| format!("--context={name}")))
                .arg(REQUEST_TIMEOUT)
                .args(args.iter().copied());
            let said = tool.ask(command, doing).await?.map_err(|complaint| {
                let said = quote(&complaint, |line| {
                    let line = line.to_ascii_lowercase();
                    line.starts_with("error") || line.starts_with("unable to connect")
                });
                Refusal::of_words(
                    &said,
                    &format!("renew `{field}.kubeconfig`, or give the delegate a service account"),
                )
            })?;
            let none = || Refusal::new(Stage::Answer, "kubectl prints what is no JSON");
            Met::Ok(serde_json::from_str::<Value>(&said).map_err(|_| none())?)
        };
        let me = ask(
            &["auth", "whoami", "--output=json"],
            "asking the cluster who one is",
        )
        .await?;
        let version = ask(
            &["version", "--output=json"],
            "asking the cluster for its version",
        )
        .await?;
        let text = |value: &Value, what: &str| {
            let none = || Refusal::new(Stage::Answer, &format!("the cluster tells no {what}"));
            value.as_str().map(str::to_owned).ok_or_else(none)
        };
        let user = &me["status"]["userInfo"];
        let groups = user["groups"].as_array().into_iter().flatten();
        let found = KubernetesFound {
            user: text(&user["username"], "user")?,
            groups: groups
                .filter_map(|group| group.as_str().map(str::to_owned))
                .collect(),
            version: text(&version["serverVersion"]["gitVersion"], "version")?,
        };
        Ok(Meeting {
            identity: found.user.clone(),
            found: Found::Kubernetes(found),
        })
    }
}
