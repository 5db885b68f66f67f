//! The listing of `harness_delegate`, for `terraform query`: delegates that are installed in a place, by whomever, each
//! with the identity by which it is imported.
//!
//! It looks and changes nothing. A place that cannot be looked at is an error; a single delegate that cannot be read is
//! listed with what is wrong with it.

mod cluster;
mod docker;
mod host;

use tokio_util::sync::CancellationToken;

use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::framework::value::to_value;

use super::model::{Docker, Kubernetes, Model, Ssh};
use super::{import, schema};

/// Arguments that say where to look, and the modes that they are about.
const PLACES: [(&str, &[Option<&str>]); 4] = [
    ("namespace", IN_CLUSTERS),
    ("kubernetes", IN_CLUSTERS),
    ("docker", &[Some("docker")]),
    ("ssh", &[Some("host")]),
];

const IN_CLUSTERS: &[Option<&str>] = &[None, Some("helm"), Some("manifest")];

/// The listing.
#[derive(Debug, Default)]
pub struct DelegateList;

/// The list block.
#[derive(Debug, Deserialize)]
struct Config {
    mode: Option<String>,
    namespace: Option<String>,
    kubernetes: Option<Kubernetes>,
    docker: Option<Docker>,
    ssh: Option<Ssh>,
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
                    .validate(Validator::one_of(["helm", "manifest", "docker", "host"]))
                    .describe(
                        "Where to look: `helm`, releases in a cluster; `manifest`, plain objects of this provider there; both when \
                         absent. `docker`, containers of an engine; `host`, services of a machine, in the folder where those are put \
                         that name none.",
                    ),
            )
            .attribute(
                "namespace",
                Attribute::string()
                    .validate(Validator::length(1, 63))
                    .describe("In a cluster: only this namespace. All of them when absent, which the account must be allowed to list."),
            )
            .attribute(
                "kubernetes",
                Attribute::object(schema::kubernetes()).describe("The cluster; the provider's when absent."),
            )
            .attribute(
                "docker",
                Attribute::object(schema::engine()).describe("With `docker`: the engine; the provider's when absent."),
            )
            .attribute(
                "ssh",
                Attribute::object(schema::ssh()).describe("With `host`: another machine; this one when absent."),
            )
    }

    async fn validate(&self, _cx: &Context<ProviderData>, config: &Value) -> Diagnostics {
        let mut problems = Diagnostics::new();
        let mode = config.named("mode");
        if !mode.is_null() && mode.as_str().is_none() {
            return problems;
        }
        for (name, modes) in PLACES {
            if !config.named(name).is_null() && !modes.contains(&mode.as_str()) {
                let detail = match (mode.as_str(), modes) {
                    (Some(mode), _) => {
                        format!(
                            "{name} does not go with mode = {mode:?}, which looks elsewhere. Remove one of them."
                        )
                    }
                    (None, [Some(wanted), ..]) => {
                        format!(
                            "{name} says where to look with mode = {wanted:?}, and without a mode clusters are looked at. Set mode = {wanted:?}."
                        )
                    }
                    (None, _) => continue,
                };
                problems.push(Diagnostic::error("Conflicting arguments", detail).at(name));
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
            Some("docker") => docker::find(config.docker.as_ref(), provider).await?,
            Some("host") => host::find(config.ssh.as_ref(), provider, &cx.stop).await?,
            way => {
                let (namespace, kubernetes) = (config.namespace.as_deref(), config.kubernetes.as_ref());
                cluster::find(way, namespace, kubernetes, provider).await?
            }
        };
        found.sort_by(|a, b| a.id.cmp(&b.id));
        // A release may have several Deployments.
        found.dedup_by(|a, b| a.id == b.id);
        let ty = schema::schema().ty();
        for delegate in found {
            if cx.stop.is_cancelled() {
                break;
            }
            let Some(identity) = import::identity_with(&delegate.id, config.ssh.as_ref()) else {
                continue;
            };
            let mut item = ListItem::new(identity, delegate.display_name);
            if request.include_resource {
                match Box::pin(state(&delegate.id, &config, provider, &cx.stop)).await {
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

/// The state that an import of this id leads to. An id says which place; how to get there is the list block's.
async fn state(
    id: &str,
    config: &Config,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<Option<Model>, Diagnostics> {
    let mut model = import::locate(&ImportTarget::Id(id.to_owned()))?;
    if let (Some(found), Some(named)) = (&mut model.kubernetes, &config.kubernetes) {
        // The context is the id's.
        let config_context = found.config_context.take();
        *found = Kubernetes {
            config_context,
            ..named.clone()
        };
    }
    if let (Some(found), Some(named)) = (&mut model.docker, &config.docker) {
        found.host = found.host.take().or_else(|| named.host.clone());
        found.cert_path.clone_from(&named.cert_path);
        found.ssh_opts.clone_from(&named.ssh_opts);
    }
    if let Some(found) = &mut model.host {
        found.ssh.clone_from(&config.ssh);
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
