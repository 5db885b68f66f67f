//! Delegates that are containers of an engine, by the label of this provider.

use super::Found;
use crate::data::ProviderData;
use crate::delegate::model::Docker;
use crate::delegate::place::told_of_engine;
use crate::delegate::spec::engine_of;
use crate::framework::diagnostics::Diagnostics;
use crate::install::docker::list;

pub(super) async fn find(
    docker: Option<&Docker>,
    provider: &ProviderData,
) -> Result<Vec<Found>, Diagnostics> {
    let told = |error| told_of_engine(&error);
    let target = docker.map_or_else(|| provider.docker.clone(), |docker| engine_of(docker, provider));
    let engine = provider.engines.to(&target).map_err(told)?;
    let found = Box::pin(list(&engine)).await.map_err(told)?;
    let place = engine.place();
    Ok(found
        .into_iter()
        .map(|(container, delegate)| Found {
            id: format!("docker/{place}/{container}"),
            display_name: format!("{delegate} in the container {container}"),
        })
        .collect())
}
