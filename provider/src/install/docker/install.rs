//! Making an engine agree with a spec, and taking a delegate away.
//!
//! The name of a delegate leads to at most three containers: itself, the next one while it is made, and the one set aside
//! while the next takes its place. Every step leaves a state from which the next install goes on:
//!
//! | there is | cut off | goes on with |
//! |---|---|---|
//! | next | while it was made | removing it |
//! | name, next | before the change | removing next |
//! | aside, next | in the change | setting aside back, and removing next |
//! | name, aside | after the change | starting name, removing aside |

use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse, ImageInspect, NetworkConnectRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
    StartContainerOptions, StopContainerOptionsBuilder,
};
use delegate_core::Secret;
use tokio_util::sync::CancellationToken;

use super::container::{Delivery, body, stop_seconds};
use super::look::{inspect, owner};
use super::{DockerError, DockerSpec, Engine, Engines, drift, files, image};

/// Longest wait for the engine beyond what a delegate may take to end, and for it to take a container away.
const ENGINE_LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at a container that is being taken away.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Name of the next container while it is made.
pub(super) fn next(name: &str) -> String {
    format!("{name}.next")
}

/// Name of the container that the next one replaces.
pub(super) fn aside(name: &str) -> String {
    format!("{name}.aside")
}

/// What an install needs to know, with the image at hand. Nothing was changed but that.
pub struct Prepared {
    image: String,
    inspected: ImageInspect,
    existing: Option<ContainerInspectResponse>,
}

/// Looks at what is there, refuses what is not ours, and gets the image.
///
/// `create`: no Terraform state knows of the delegate, so what is there must be the rest of an apply that did not come to its
/// end.
///
/// # Errors
/// What stands against it. Nothing was changed.
pub async fn prepare(
    engine: &Engine,
    engines: &Engines,
    spec: &DockerSpec,
    create: bool,
    stop: &CancellationToken,
) -> Result<Prepared, DockerError> {
    let mut existing = None;
    let names = [
        spec.container.clone(),
        next(&spec.container),
        aside(&spec.container),
    ];
    for (index, name) in names.iter().enumerate() {
        let Some(found) = inspect(engine, name).await? else {
            continue;
        };
        refuse_others(engine, spec, name, &found, create).await?;
        if index == 0 {
            existing = Some(found);
        }
    }
    let (image, inspected) = image::ensure(engine, engines, spec, stop).await?;
    Ok(Prepared {
        image,
        inspected,
        existing,
    })
}

async fn refuse_others(
    engine: &Engine,
    spec: &DockerSpec,
    name: &str,
    found: &ContainerInspectResponse,
    create: bool,
) -> Result<(), DockerError> {
    let foreign = |whose| {
        Err(DockerError::Foreign {
            container: name.to_owned(),
            engine: engine.address(),
            whose,
            import_id: format!("docker/{}/{}", engine.place(), spec.container),
        })
    };
    match owner(found) {
        None => foreign("was not made by this provider"),
        Some(other) if other != spec.config.name.as_str() => foreign("belongs to a delegate of another name"),
        Some(_) if create && files::is_complete(engine, found.id.as_deref().unwrap_or_default()).await? => {
            foreign("belongs to another resource or state")
        }
        Some(_) => Ok(()),
    }
}

/// Makes the engine agree with the spec. Does nothing to a container that agrees and runs.
///
/// # Errors
/// The step that failed. A container that was there before runs again, as far as the engine lets it.
pub async fn install(
    engine: &Engine,
    spec: &DockerSpec,
    prepared: Prepared,
    stop: &CancellationToken,
) -> Result<(), DockerError> {
    let Prepared {
        image,
        inspected,
        mut existing,
    } = prepared;
    let (next, aside) = (next(&spec.container), aside(&spec.container));
    take_away(engine, &next).await?;
    match (&existing, inspect(engine, &aside).await?) {
        (None, Some(_)) => {
            rename(engine, &aside, &spec.container).await?;
            existing = inspect(engine, &spec.container).await?;
        }
        (Some(_), Some(_)) => take_away(engine, &aside).await?,
        (_, None) => {}
    }
    let delivery = Delivery::to(spec, &inspected);
    let wanted = body(spec, &image, delivery);
    let secrets = files::secrets(spec);
    if let Some(there) = &existing
        && is_current(engine, spec, &wanted, there, &inspected, delivery, &secrets).await?
    {
        return start_if_stopped(engine, there).await;
    }
    let made = make(engine, spec, &next, wanted, delivery, &secrets, &inspected).await;
    if let Err(error) = made {
        // What could not be made is of no use; that it cannot be removed either is less than why it could not be made.
        let _ = take_away(engine, &next).await;
        return Err(error);
    }
    let Some(there) = existing else {
        rename(engine, &next, &spec.container).await?;
        return start(engine, &spec.container).await;
    };
    drain(
        engine,
        &spec.container,
        stop_seconds(spec).max(stop_timeout(&there)),
        stop,
    )
    .await?;
    rename(engine, &spec.container, &aside).await?;
    rename(engine, &next, &spec.container).await?;
    if let Err(error) = start(engine, &spec.container).await {
        // Better the delegate of before than none.
        take_away(engine, &spec.container).await?;
        rename(engine, &aside, &spec.container).await?;
        start(engine, &spec.container).await?;
        return Err(error);
    }
    take_away(engine, &aside).await
}

/// Whether a container is what would be made anew.
async fn is_current(
    engine: &Engine,
    spec: &DockerSpec,
    wanted: &ContainerCreateBody,
    there: &ContainerInspectResponse,
    image: &ImageInspect,
    delivery: Delivery,
    secrets: &Secret,
) -> Result<bool, DockerError> {
    if there.image != image.id || !drift::differences(spec, wanted, there, Some(image), delivery).is_empty() {
        return Ok(false);
    }
    match delivery {
        Delivery::Nothing => Ok(true),
        Delivery::File => files::has_secrets(engine, there.id.as_deref().unwrap_or_default(), secrets).await,
        Delivery::Environment => {
            let found = there.config.as_ref().and_then(|config| config.env.as_ref());
            let has = |line: &String| found.is_some_and(|found| found.contains(line));
            Ok(wanted.env.iter().flatten().all(has))
        }
    }
}

/// Makes a container with all that belongs to it, and does not start it.
async fn make(
    engine: &Engine,
    spec: &DockerSpec,
    name: &str,
    wanted: ContainerCreateBody,
    delivery: Delivery,
    secrets: &Secret,
    image: &ImageInspect,
) -> Result<(), DockerError> {
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    let made = engine.docker.create_container(Some(options), wanted).await;
    let made =
        made.map_err(|error| engine.told(&format!("create the container {}", spec.container), error))?;
    if delivery == Delivery::File {
        let of_image = image.config.as_ref().and_then(|config| config.user.as_deref());
        let user = spec.user.as_deref().or(of_image);
        files::put_secrets(engine, &made.id, user, secrets).await?;
    }
    for network in spec
        .networks
        .iter()
        .filter(|network| spec.network.as_ref() != Some(network))
    {
        let request = NetworkConnectRequest {
            container: made.id.clone(),
            endpoint_config: None,
        };
        let connected = engine.docker.connect_network(network, request).await;
        connected.map_err(|error| {
            engine.told(&format!("connect the container to the network {network}"), error)
        })?;
    }
    Ok(())
}

/// Notes that Terraform is given a state now: from here on, whoever creates it anew is another.
///
/// # Errors
/// When the engine does not take the note.
pub async fn complete(engine: &Engine, spec: &DockerSpec) -> Result<(), DockerError> {
    match inspect(engine, &spec.container).await? {
        Some(found) => files::mark_complete(engine, found.id.as_deref().unwrap_or_default()).await,
        None => Ok(()),
    }
}

/// Drains the delegate and removes everything that was made for it. Does nothing when nothing is there.
///
/// # Errors
/// When something is still there.
pub async fn remove(
    engine: &Engine,
    spec: &DockerSpec,
    limit: Duration,
    stop: &CancellationToken,
) -> Result<(), DockerError> {
    for name in [
        spec.container.clone(),
        next(&spec.container),
        aside(&spec.container),
    ] {
        let Some(found) = inspect(engine, &name).await? else {
            continue;
        };
        // Somebody has put something else in its place: the delegate is gone, and that is not ours to remove.
        if owner(&found) != Some(spec.config.name.as_str()) {
            continue;
        }
        let most = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        drain(
            engine,
            &name,
            stop_timeout(&found).max(stop_seconds(spec)).min(most),
            stop,
        )
        .await?;
        take_away(engine, &name).await?;
    }
    Ok(())
}

/// How long a container lets its delegate drain, as it was made.
fn stop_timeout(container: &ContainerInspectResponse) -> i64 {
    let config = container.config.as_ref();
    config.and_then(|config| config.stop_timeout).unwrap_or_default()
}

/// Asks the delegate to end and waits until it has, at most `seconds`. Whoever is interrupted leaves it draining.
async fn drain(
    engine: &Engine,
    name: &str,
    seconds: i64,
    stop: &CancellationToken,
) -> Result<(), DockerError> {
    let limit = Duration::from_secs(seconds.unsigned_abs()) + ENGINE_LIMIT;
    let docker = engine.docker.clone().with_timeout(limit);
    let options = StopContainerOptionsBuilder::new()
        .t(i32::try_from(seconds).unwrap_or(i32::MAX))
        .build();
    tokio::select! {
        stopped = docker.stop_container(name, Some(options)) => {
            stopped.map_err(|error| engine.told(&format!("stop the container {name}"), error))
        }
        () = stop.cancelled() => Err(DockerError::Stopped("the drain of the delegate")),
    }
}

async fn start_if_stopped(engine: &Engine, there: &ContainerInspectResponse) -> Result<(), DockerError> {
    let id = there.id.as_deref().unwrap_or_default();
    if there
        .state
        .as_ref()
        .is_some_and(|state| state.paused == Some(true))
    {
        let resumed = engine.docker.unpause_container(id).await;
        return resumed.map_err(|error| engine.told("resume the container", error));
    }
    start(engine, id).await
}

async fn start(engine: &Engine, name: &str) -> Result<(), DockerError> {
    let started = engine
        .docker
        .start_container(name, None::<StartContainerOptions>)
        .await;
    started.map_err(|error| engine.told(&format!("start the container {name}"), error))
}

async fn rename(engine: &Engine, from: &str, to: &str) -> Result<(), DockerError> {
    let options = RenameContainerOptionsBuilder::new().name(to).build();
    let renamed = engine.docker.rename_container(from, options).await;
    renamed.map_err(|error| engine.told(&format!("rename the container {from} to {to}"), error))
}

/// Removes a container with the volumes of its own; does nothing when there is none.
async fn take_away(engine: &Engine, name: &str) -> Result<(), DockerError> {
    let deadline = tokio::time::Instant::now() + ENGINE_LIMIT;
    loop {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match engine.docker.remove_container(name, Some(options)).await {
            Ok(()) => return Ok(()),
            Err(error) => match engine.told(&format!("remove the container {name}"), error) {
                gone if gone.is_not_found() => return Ok(()),
                // Somebody is at it already.
                DockerError::Refused { code: 409, .. } if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                error => return Err(error),
            },
        }
    }
}
