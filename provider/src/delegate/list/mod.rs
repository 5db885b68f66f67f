//! The listing of `harness_delegate`, for `terraform query`: delegates that are installed in a place, by whomever, each
//! with the identity by which it is imported.
//!
//! It looks and changes nothing. A place that cannot be looked at is an error; a single delegate that cannot be read is
//! listed with what is wrong with it.

mod helm;
mod host;

use tokio_util::sync::CancellationToken;

use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::framework::value::to_value;

use super::model::{Kubernetes, Model};
use super::{import, schema};

/// The listing.
#[derive(Debug, Default)]
pub struct DelegateList;

/// The list block.
#[derive(Debug, Deserialize)]
struct Config {
    mode: Option<String>,
    namespace: Option<String>,
    kubernetes: Option<Kubernetes>,
}

/// A delegate that was found.
#[derive(Debug)]
struct Found {
    /// Its import id.
    id: String,
    /// What people call it.
    display_name: String,
}

#[async_trait]
impl ListResource for DelegateList {
    type Data = ProviderData;

    fn type_name(&self) -> &'static str {
        "harness_delegate"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe(
                "Delegates that are installed in a place, whether Terraform knows them or not; for `terraform query` and for \
                 importing them.",
            )
            .attribute(
                "mode",
                Attribute::string()
                    .validate(Validator::one_of(["helm", "host"]))
                    .describe("Where to look: `helm` (when absent), releases in a cluster; `host`, services of this machine."),
            )
            .attribute(
                "namespace",
                Attribute::string()
                    .validate(Validator::length(1, 63))
                    .describe("With `helm`: only this namespace. All of them when absent, which the account must be allowed to list."),
            )
            .attribute(
                "kubernetes",
                Attribute::object(schema::kubernetes()).describe("With `helm`: the cluster; the provider's when absent."),
            )
    }

    async fn validate(&self, _cx: &Context<ProviderData>, config: &Value) -> Diagnostics {
        let mut problems = Diagnostics::new();
        if config.named("mode").as_str() == Some("host") {
            for name in ["namespace", "kubernetes"] {
                if !config.named(name).is_null() {
                    let detail =
                        format!("{name} is about clusters, and mode is \"host\". Remove one of them.");
                    problems.push(Diagnostic::error("Conflicting arguments", detail).at(name));
                }
            }
        }
        problems
    }

    async fn list(
        &self,
        cx: &Context<ProviderData>,
        request: ListRequest,
        out: &ListSink,
    ) -> Result<(), Diagnostics> {
        let config: Config = request.config.model()?;
        let provider = cx.data()?;
        let mut found = match config.mode.as_deref() {
            Some("host") => host::find().await?,
            _ => helm::find(config.namespace.as_deref(), config.kubernetes.as_ref(), provider).await?,
        };
        found.sort_by(|a, b| a.id.cmp(&b.id));
        let ty = schema::schema().ty();
        for delegate in found {
            if cx.stop.is_cancelled() {
                break;
            }
            let Some(identity) = import::identity(&delegate.id) else {
                continue;
            };
            let mut item = ListItem::new(identity, delegate.display_name);
            if request.include_resource {
                match Box::pin(state(
                    &delegate.id,
                    config.kubernetes.as_ref(),
                    provider,
                    &cx.stop,
                ))
                .await
                {
                    Ok(Some(state)) => item.resource = Some(to_value(&state, &ty)?),
                    // It went while it was looked at.
                    Ok(None) => continue,
                    Err(problems) => {
                        for problem in &problems {
                            item = item.note(as_warning(problem));
                        }
                    }
                }
            }
            if !out.push(item).await {
                break;
            }
        }
        Ok(())
    }
}

/// The state that an import of this id leads to.
async fn state(
    id: &str,
    kubernetes: Option<&Kubernetes>,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<Option<Model>, Diagnostics> {
    let mut model = import::locate(&ImportTarget::Id(id.to_owned()))?;
    if let Some(named) = kubernetes.filter(|_| model.kubernetes.is_some()) {
        // The files come from the list block; the context is the id's.
        let context = model.kubernetes.take().and_then(|found| found.config_context);
        model.kubernetes = Some(Kubernetes {
            config_context: context,
            ..named.clone()
        });
    }
    Ok(match import::complete(model, provider, stop).await? {
        ReadOutcome::Present { state, .. } => Some(state),
        ReadOutcome::Gone | ReadOutcome::Deferred(_) => None,
    })
}

/// The others are listed all the same.
fn as_warning(problem: &Diagnostic) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        ..problem.clone()
    }
}
