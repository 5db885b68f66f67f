//! What a release in a cluster was installed with.

use serde_json::Value as Json;

use tokio_util::sync::CancellationToken;

use super::super::model::{Model, Resources};
use super::super::place;
use super::super::spec::{self, TOKEN_VERSION, TokenFrom, spec};
use super::{finish, is_providers_own, probe, same_url};
use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::install::helm;

pub(super) async fn complete(
    mut state: Model,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<ReadOutcome<Model>, Diagnostics> {
    let found = spec(&probe(&state), TokenFrom::Installed, provider)?;
    let place = place::reach(&found, provider, stop).await?;
    let (place::Place::Helm(release), spec::Spec::Helm(spec, _)) = (&place, &found) else {
        return Ok(ReadOutcome::Gone);
    };
    let seen = helm::observe(release.cluster(), spec)
        .await
        .map_err(|error| place::told_of_helm(&error))?;
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
    if let Some(name) = text("delegateName").filter(|name| *name != state.name) {
        // Our own objects go by the delegate's name, which only the release tells: look again, for them.
        state.name = name;
        return Box::pin(complete(state, provider, stop)).await;
    }
    if is_providers_own(release.cluster(), provider).await {
        state.kubernetes = None;
    }
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
    finish(&place, state, stop).await
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
