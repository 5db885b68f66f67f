//! Import ids and identities, and the state that an import starts from.
//!
//! An id says where a delegate is; what it was installed with is read back from there, as far as it can be: secrets
//! cannot, and are given anew by the configuration.

use std::collections::{BTreeMap, BTreeSet};

use delegate_core::config::{DelegateConfig, Env, ProxyScheme, Tag, TokenSource};
use delegate_core::install::host::{self, ServiceKind};
use serde_json::Value as Json;

use super::model::{self, Helm, Host, Kubernetes, Model, Resources};
use super::place;
use super::schema::DEFAULT_NAMESPACE;
use super::spec::{TOKEN_VERSION, TokenFrom, default_directory, spec};
use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::install::helm;
use delegate_core::config::DEFAULT_HTTP_PORT;

/// The parts of an id.
struct Location {
    mode: Mode,
    place: String,
    namespace: Option<String>,
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Helm,
    Host,
}

/// `mode`, `place`, `namespace`, `name`: the parts of the id.
pub(super) fn identity_schema() -> IdentitySchema {
    IdentitySchema::new(0)
        .required("mode", Type::String, "`helm` or `host`.")
        .required(
            "place",
            Type::String,
            "Context of the kubeconfig, or the machine (`localhost`).",
        )
        .optional("namespace", Type::String, "Namespace, with `helm`.")
        .required(
            "name",
            Type::String,
            "Name of the release, or of the delegate on a host.",
        )
}

/// The identity that an id spells out.
pub(super) fn identity(id: &str) -> Option<Value> {
    let Location {
        mode,
        place,
        namespace,
        name,
    } = Location::parse(id)?;
    let mode = if mode == Mode::Helm { "helm" } else { "host" };
    let namespace = namespace.map_or(Value::Null, Value::String);
    Some(Value::object([
        ("mode", mode.into()),
        ("place", Value::String(place)),
        ("namespace", namespace),
        ("name", Value::String(name)),
    ]))
}

impl Location {
    fn parse(id: &str) -> Option<Self> {
        let (mode, rest) = id.split_once('/')?;
        let (rest, name) = rest.rsplit_once('/')?;
        // A context may contain slashes, as those of EKS do: the namespace and the release are taken from the end.
        let (mode, place, namespace) = match mode {
            "helm" => {
                let (place, namespace) = rest.rsplit_once('/')?;
                (Mode::Helm, place, Some(namespace.to_owned()))
            }
            "host" => (Mode::Host, rest, None),
            _ => return None,
        };
        let full = !place.is_empty() && !name.is_empty() && namespace.as_deref() != Some("");
        full.then(|| Self {
            mode,
            place: place.to_owned(),
            namespace,
            name: name.to_owned(),
        })
    }

    fn id(&self) -> String {
        match (self.mode, &self.namespace) {
            (Mode::Helm, namespace) => {
                let namespace = namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
                format!("helm/{}/{namespace}/{}", self.place, self.name)
            }
            (Mode::Host, _) => format!("host/{}/{}", self.place, self.name),
        }
    }
}

/// The state an import starts from: where, and nothing else.
///
/// # Errors
/// When the id or identity does not name a place.
pub(super) fn locate(target: &ImportTarget) -> Result<Model, Diagnostics> {
    let location = match target {
        ImportTarget::Id(id) => Location::parse(id),
        ImportTarget::Identity(identity) => {
            let text = |name: &str| identity.named(name).as_str().map(str::to_owned);
            let mode = match text("mode").as_deref() {
                Some("helm") => Some(Mode::Helm),
                Some("host") => Some(Mode::Host),
                _ => None,
            };
            mode.zip(text("place"))
                .zip(text("name"))
                .map(|((mode, place), name)| Location {
                    mode,
                    place,
                    namespace: text("namespace"),
                    name,
                })
        }
    };
    let Some(location) = location else {
        return Err(Diagnostics::error(
            "Unsuitable import id",
            "Give helm/<context>/<namespace>/<release>, or host/localhost/<name>; or the same parts as an identity: mode, place, \
             namespace, name.",
        ));
    };
    if location.mode == Mode::Host && location.place != "localhost" {
        return Err(Diagnostics::error(
            "Unsuitable import id",
            format!(
                "Delegates on hosts are imported from this machine: give host/localhost/{}.",
                location.name
            ),
        ));
    }
    let mut model = Model::located(location.name.clone(), location.id());
    match location.mode {
        Mode::Helm => {
            model.kubernetes = Some(Kubernetes {
                config_context: Some(location.place),
                ..Kubernetes::default()
            });
            model.helm = Some(Helm {
                namespace: location.namespace,
                create_namespace: Some(true),
                release: Some(location.name),
                ..Helm::default()
            });
        }
        Mode::Host => {
            model.host = Some(Host {
                service: Some("auto".to_owned()),
                ..Host::default()
            });
        }
    }
    Ok(model)
}

/// Whether a state comes straight from [`locate`].
pub(super) fn is_fresh(state: &Model) -> bool {
    matches!(state.target_id, Field::Null | Field::Unknown)
}

/// Fills a located state with what is there.
///
/// # Errors
/// When it cannot be looked at, or nothing is there.
pub(super) async fn complete(
    state: Model,
    provider: &ProviderData,
) -> Result<ReadOutcome<Model>, Diagnostics> {
    if state.helm.is_some() {
        of_release(state, provider).await
    } else {
        of_host(state, provider).await
    }
}

async fn of_release(mut state: Model, provider: &ProviderData) -> Result<ReadOutcome<Model>, Diagnostics> {
    // The settings are not known yet; any do for looking, because only the place counts.
    let mut probe = state.clone();
    probe.account_id.get_or_insert_with(|| "unknown".to_owned());
    probe
        .manager_url
        .get_or_insert_with(|| "https://unknown.invalid".to_owned());
    let found = spec(&probe, TokenFrom::Installed, provider)?;
    let place = place::reach(&found, provider).await?;
    let (place::Place::Helm(release), super::spec::Spec::Helm(spec, _)) = (&place, &found) else {
        return Ok(ReadOutcome::Gone);
    };
    let seen = helm::observe(release.cluster(), spec, DEFAULT_HTTP_PORT)
        .await
        .map_err(|error| place::told(&error))?;
    let Some((seen, record)) = seen.and_then(|mut seen| seen.record.take().map(|record| (seen, record)))
    else {
        return Ok(ReadOutcome::Gone);
    };
    let values = &record.config;
    let text = |name: &str| {
        values[name]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    // What the provider's own cluster leads to needs no argument of the resource.
    if provider
        .connections
        .to(&provider.kubernetes)
        .await
        .is_ok_and(|own| own.context() == release.cluster().context())
    {
        state.kubernetes = None;
    }
    state.name = text("delegateName").unwrap_or(state.name);
    if let Some(helm) = &mut state.helm {
        helm.release = helm.release.take().filter(|release| *release != state.name);
    }
    state.account_id = text("accountId").filter(|id| Some(id) != provider.account_id.as_ref());
    state.manager_url = text("managerEndpoint").filter(|url| !same_url(url, provider.endpoint.as_deref()));
    state.description = text("description");
    state.init_script = text("initScript");
    state.tags = text("tags").map(|tags| tags.split(',').map(str::to_owned).collect());
    state.image = text("delegateDockerImage");
    state.permissions = text("k8sPermissionsType");
    state.resources = Resources::deserialize(&values["resources"]).ok();
    state.replicas = values["replicas"]
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n != 1);
    state.poll_for_tasks = text("pollForTasks").filter(|text| text == "true").map(|_| true);
    state.env = envs(&values["custom_envs"]);
    state.log_service_url = text("logStreamingServiceUrl");
    state.token_wo_version = seen
        .notes
        .get(TOKEN_VERSION)
        .and_then(|version| version.parse().ok());
    finish(&place, state).await
}

async fn of_host(mut state: Model, provider: &ProviderData) -> Result<ReadOutcome<Model>, Diagnostics> {
    let directory = default_directory(&state.name);
    let found = tokio::task::spawn_blocking(move || host::observe(&directory)).await;
    let found = found.map_err(|panic| Diagnostics::error("The import failed", panic.to_string()))?;
    let found =
        found.map_err(|error| Diagnostic::from_error("The delegate cannot be looked at", &error, ""))?;
    let Some(found) = found else {
        return Ok(ReadOutcome::Gone);
    };
    let env: Env = found
        .env
        .iter()
        .map(|(name, value)| (name.clone(), value.expose().to_owned()))
        .collect();
    let config = DelegateConfig::from_env(&env)
        .map_err(|error| Diagnostic::from_error("The delegate's settings cannot be read back", &error, ""))?;
    take_settings(&mut state, &config, provider);
    if let Some(host) = &mut state.host {
        host.user.clone_from(&found.record.user);
        host.service = Some(service_name(found.record.service).to_owned());
    }
    let own: Vec<_> = config.to_env().into_iter().map(|(name, _)| name).collect();
    let extra: BTreeMap<_, _> = found
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .filter(|(name, _)| !own.contains(name) && !host::SECRET_VARIABLES.contains(name))
        .map(|(name, value)| (name.to_owned(), value.expose().to_owned()))
        .collect();
    state.env = (!extra.is_empty()).then_some(extra);
    state.token_wo_version = found
        .record
        .notes
        .get(TOKEN_VERSION)
        .and_then(|version| version.parse().ok());
    let found = spec(&state, TokenFrom::Installed, provider)?;
    let place = place::reach(&found, provider).await?;
    finish(&place, state).await
}

/// The arguments that a delegate's settings come from. What is a default, or the provider's, needs no argument.
fn take_settings(state: &mut Model, config: &DelegateConfig, provider: &ProviderData) {
    let defaults = DelegateConfig::new(
        config.account_id.clone(),
        config.name.clone(),
        TokenSource::Elsewhere,
        config.manager_url.clone(),
    );
    state.account_id =
        Some(config.account_id.to_string()).filter(|id| Some(id) != provider.account_id.as_ref());
    state.manager_url =
        Some(config.manager_url.to_string()).filter(|url| !same_url(url, provider.endpoint.as_deref()));
    state.token_file = match &config.token {
        TokenSource::File(path) => Some(path.display().to_string()),
        _ => None,
    };
    state.description = Some(config.description.clone()).filter(|text| !text.is_empty());
    state.init_script.clone_from(&config.init_script);
    let tags: BTreeSet<String> = config.tags.iter().map(Tag::to_string).collect();
    state.tags = (!tags.is_empty()).then_some(tags);
    state.poll_for_tasks = config.poll_for_tasks.then_some(true);
    let logs = config.log_service_url();
    state.log_service_url = (logs != defaults.log_service_url()).then(|| logs.to_string());
    let no_proxy = (!config.no_proxy.is_empty()).then(|| config.no_proxy.clone());
    state.proxy = config.proxy.as_ref().map(|proxy| model::Proxy {
        host: proxy.host.clone(),
        port: proxy.port,
        scheme: (proxy.scheme != ProxyScheme::Http).then(|| proxy.scheme.to_string()),
        user: proxy.credentials.as_ref().map(|login| login.user.clone()),
        password_wo: None,
        no_proxy,
    });
    state.mtls = config.client_certificate.as_ref().map(|files| model::Mtls {
        secret_name: None,
        certificate_file: Some(files.certificate.display().to_string()),
        key_file: Some(files.key.display().to_string()),
    });
    state.ca_bundle = (config.ca_bundle_dir != defaults.ca_bundle_dir).then(|| model::CaBundle {
        secret_name: None,
        directory: Some(config.ca_bundle_dir.display().to_string()),
    });
}

/// The argument that leads to this kind of service here.
fn service_name(kind: ServiceKind) -> &'static str {
    match kind {
        kind if kind == ServiceKind::of_this_machine() => "auto",
        ServiceKind::Systemd => "systemd",
        ServiceKind::Process => "process",
    }
}

async fn finish(place: &place::Place<'_>, mut state: Model) -> Result<ReadOutcome<Model>, Diagnostics> {
    state.target_id = Field::Known(place.target_id());
    let Some(seen) = place.observe().await? else {
        return Ok(ReadOutcome::Gone);
    };
    seen.describe(&mut state);
    state.drift = Field::Known(Vec::new());
    Ok(ReadOutcome::present(state))
}

fn same_url(found: &str, other: Option<&str>) -> bool {
    other.is_some_and(|other| other.trim_end_matches('/') == found.trim_end_matches('/'))
}

/// Plain variables of the chart's `custom_envs`.
fn envs(custom: &Json) -> Option<std::collections::BTreeMap<String, String>> {
    let plain = |env: &Json| {
        Some((
            env["name"].as_str()?.to_owned(),
            env["value"].as_str()?.to_owned(),
        ))
    };
    let envs: std::collections::BTreeMap<_, _> = custom.as_array()?.iter().filter_map(plain).collect();
    (!envs.is_empty()).then_some(envs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_its_identity_name_the_same_place() {
        for id in [
            "helm/minikube/ns/team-a",
            "helm/arn:aws:eks:x:1:cluster/prod/ns/team-a",
            "host/localhost/team-a",
        ] {
            let model = locate(&ImportTarget::Id(id.to_owned())).unwrap();
            assert_eq!(model.id, Field::Known(id.to_owned()));
            let by_identity = locate(&ImportTarget::Identity(identity(id).unwrap())).unwrap();
            assert_eq!(by_identity.id, model.id);
        }
    }

    #[test]
    fn an_unsuitable_id_is_answered_with_the_forms() {
        for id in [
            "",
            "helm/x",
            "helm/x/y",
            "helm//ns/r",
            "pod/x/y/z",
            "host/localhost/",
        ] {
            let error = locate(&ImportTarget::Id(id.to_owned())).unwrap_err().to_string();
            assert!(
                error.contains("helm/<context>/<namespace>/<release>"),
                "{id}: {error}"
            );
        }
        let error = locate(&ImportTarget::Id("host/elsewhere/a".to_owned()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("host/localhost/a"), "{error}");
    }
}
