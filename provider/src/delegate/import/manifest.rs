//! What plain objects in a cluster were made with.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delegate_core::config::{DelegateConfig, Env};
use delegate_core::install::kubernetes::{SCRATCH, default_image, default_resources};
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use super::super::model::{CaBundle, Model, Mtls, Resources, TokenSecret};
use super::super::place;
use super::super::spec::{self, TOKEN_VERSION, TokenFrom, spec};
use super::settings::take_settings;
use super::{finish, is_providers_own, probe};
use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::install::manifest::{self, Installed};

/// Stands in for the token, which is not read back; a file of this name is none of anybody's.
const NO_TOKEN: (&str, &str) = ("DELEGATE_TOKEN_FILE", "/nonexistent");

pub(super) async fn complete(
    mut state: Model,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<ReadOutcome<Model>, Diagnostics> {
    let found = spec(&probe(&state), TokenFrom::Installed, provider)?;
    let place = place::reach(&found, provider, stop).await?;
    let (place::Place::Manifest(objects), spec::Spec::Manifest(looked_for, _)) = (&place, &found) else {
        return Ok(ReadOutcome::Gone);
    };
    let installed = manifest::installed(objects.cluster(), looked_for)
        .await
        .map_err(|error| place::told_of_manifest(&error))?;
    let Some(installed) = installed else {
        return Ok(ReadOutcome::Gone);
    };
    if is_providers_own(objects.cluster(), provider).await {
        state.kubernetes = None;
    }
    let config = DelegateConfig::from_env(&settings(&installed, &state.name))
        .map_err(|error| Diagnostic::from_error("The delegate's settings cannot be read back", &error, ""))?;
    take_settings(&mut state, &config, provider);
    state.token_file = None;
    take_pods(&mut state, &installed, &looked_for.delegate.own_secret());
    state.permissions = permissions(&state.name, &installed);
    let version = installed.notes.get(TOKEN_VERSION);
    state.token_wo_version = version.and_then(|version| version.parse().ok());
    let found = spec(&state, TokenFrom::Installed, provider)?;
    let place = place::reach(&found, provider, stop).await?;
    finish(&place, state, stop).await
}

/// The delegate's environment, without its token: that of the ConfigMaps, and the login of a proxy.
fn settings(installed: &Installed, name: &str) -> Env {
    let content = |kind: &str, name: &str| {
        let object = installed.objects.get(&format!("{kind}/{name}"));
        object.and_then(|object| object["data"].as_object().cloned())
    };
    let maps = [
        content("ConfigMap", name),
        content("ConfigMap", &format!("{name}-proxy")),
    ];
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let mut all: BTreeMap<String, String> = maps
        .into_iter()
        .flatten()
        .flatten()
        .map(|(name, value)| (name, text(&value)))
        .collect();
    let secret = installed
        .secret
        .as_ref()
        .and_then(|secret| secret["data"].as_object());
    for name in ["PROXY_USER", "PROXY_PASSWORD"] {
        let value = secret.and_then(|data| BASE64.decode(data.get(name)?.as_str()?).ok());
        if let Some(value) = value.and_then(|value| String::from_utf8(value).ok()) {
            all.insert(name.to_owned(), value);
        }
    }
    // Those are mounts, which the arguments name by their Secrets.
    all.remove("DELEGATE_CLIENT_CERTIFICATE_PATH");
    all.remove("DELEGATE_CLIENT_CERTIFICATE_KEY_PATH");
    all.insert(NO_TOKEN.0.to_owned(), NO_TOKEN.1.to_owned());
    all.into_iter().collect()
}

/// The arguments that the Deployment tells. What is a default needs none.
fn take_pods(state: &mut Model, installed: &Installed, own_secret: &str) {
    let Some(deployment) = installed.objects.get(&format!("Deployment/{}", state.name)) else {
        return;
    };
    let pod = &deployment["spec"]["template"]["spec"];
    let containers = pod["containers"].as_array();
    let container = containers
        .into_iter()
        .flatten()
        .find(|container| container["name"] == "delegate")
        .unwrap_or(&Json::Null);
    state.replicas = deployment["spec"]["replicas"]
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n != 1);
    state.image = container["image"]
        .as_str()
        .filter(|image| *image != default_image())
        .map(str::to_owned);
    let resources = &container["resources"];
    state.resources = (*resources != default_resources())
        .then(|| Resources::deserialize(resources).ok())
        .flatten();
    state.env = env(&container["env"]);
    let named = |list: &Json, name: &str| {
        let mut all = list.as_array().into_iter().flatten();
        let found = all.find(|volume| volume["name"] == name)?;
        found["secret"]["secretName"].as_str().map(str::to_owned)
    };
    state.mtls = named(&pod["volumes"], "client-certificate").map(|name| Mtls {
        secret_name: Some(name),
        certificate_file: None,
        key_file: None,
    });
    state.ca_bundle = named(&pod["volumes"], "custom-ca").map(|name| CaBundle {
        secret_name: Some(name),
        directory: None,
    });
    let sources = container["envFrom"].as_array();
    state.token_secret = sources
        .into_iter()
        .flatten()
        .filter(|source| source["secretRef"]["optional"] != true)
        .find_map(|source| source["secretRef"]["name"].as_str())
        .filter(|name| *name != own_secret)
        .map(|name| TokenSecret {
            name: name.to_owned(),
            key: None,
        });
}

/// Plain variables of the container that somebody has set.
fn env(variables: &Json) -> Option<BTreeMap<String, String>> {
    let plain = |variable: &Json| {
        let (name, value) = (
            variable["name"].as_str()?,
            variable["value"].as_str().unwrap_or_default(),
        );
        let ours = matches!(name, "WORKING_DIR" | "HOME") && value == SCRATCH;
        let written = variable["valueFrom"].is_null() && !ours;
        written.then(|| (name.to_owned(), value.to_owned()))
    };
    let env: BTreeMap<_, _> = variables.as_array()?.iter().filter_map(plain).collect();
    (!env.is_empty()).then_some(env)
}

fn permissions(name: &str, installed: &Installed) -> Option<String> {
    let has = |object: String| installed.objects.get(&object);
    if has(format!("ClusterRoleBinding/{name}-cluster-admin")).is_some() {
        return Some("CLUSTER_ADMIN".to_owned());
    }
    if has(format!("ClusterRoleBinding/{name}-cluster-viewer")).is_some() {
        return Some("CLUSTER_VIEWER".to_owned());
    }
    let custom = has(format!("RoleBinding/{name}-custom-roleBinding"))?;
    custom["roleRef"]["name"].as_str().map(str::to_owned)
}
