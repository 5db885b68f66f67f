//! What there is of a delegate on an engine, and waiting until it is what was asked for.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use futures_util::StreamExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::container::{Delivery, NOTE, OWNED};
use super::{DockerError, DockerSpec, Engine, Engines, container, drift, files, image, install};
use crate::install::connected::{self, METRICS_PATH};
use crate::install::kubernetes::Until;

/// Between two looks at a container: what it is asked costs the engine a process.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Longest wait for the delegate's metrics.
const METRICS_LIMIT: Duration = Duration::from_secs(5);

/// Most of the metrics, in bytes. The official image writes about 100 kB.
const METRICS_BYTES: usize = 4 << 20;

/// Lines of the log that an error shows.
const LOG_LINES: usize = 15;

/// Longest line of it, in characters.
const LINE_LENGTH: usize = 400;

/// Exit codes with which our agent says that another start would end in the same way: bad settings, a refused token.
const FINAL: [i64; 2] = [2, 3];

/// What is there.
#[derive(Debug, Clone)]
pub struct Observed {
    /// As the engine tells it. May hold secrets, with images that can only read their environment.
    pub container: ContainerInspectResponse,
    /// Whether it runs.
    pub running: bool,
    /// Whether the delegate says that it is connected.
    pub connected: bool,
    /// Version of the delegate, by its image.
    pub version: Option<String>,
    /// Digest of the image that runs.
    pub image_digest: Option<String>,
    /// Differences to the spec.
    pub drift: Vec<String>,
    /// Changes with the secrets.
    pub secret_revision: Option<String>,
    /// No Terraform state is known to have it yet.
    pub unclaimed: bool,
    /// The image that runs, when the engine still has it.
    pub image: Option<bollard::models::ImageInspect>,
    /// The owner's facts.
    pub notes: std::collections::BTreeMap<String, String>,
}

/// Looks at the delegate of a spec; `None` when there is none.
///
/// # Errors
/// When the engine cannot be asked: that is not the same as nothing there.
pub async fn observe(
    engine: &Engine,
    engines: &Engines,
    spec: &DockerSpec,
) -> Result<Option<Observed>, DockerError> {
    let mut drift = Vec::new();
    let found = match inspect(engine, &spec.container).await? {
        Some(found) => found,
        // An update was cut off when the container had been set aside.
        None => match inspect(engine, &install::aside(&spec.container)).await? {
            Some(found) if owner(&found) == Some(spec.config.name.as_str()) => {
                drift.push("an update was cut off".to_owned());
                found
            }
            _ => return Ok(None),
        },
    };
    let config = found.config.clone().unwrap_or_default();
    let name = image::reference(engines, spec)?;
    let id = found.id.clone().unwrap_or_default();
    let used = found.image.clone().unwrap_or_default();
    let (used_image, revision, complete) = tokio::try_join!(
        image::find(engine, &used),
        files::revision(engine, &id),
        files::is_complete(engine, &id)
    )?;
    let delivery = Delivery::of(spec, used_image.as_ref(), &config);
    // The tag may have come to mean another image since.
    if config.image.as_deref() == Some(&name)
        && let Some(now) = image::find(engine, &name).await?.and_then(|image| image.id)
        && now != used
    {
        drift.push(format!(
            "the image {name} is now {}, the container runs {}",
            short(&now),
            short(&used)
        ));
    }
    let stopped = drift::stopped(&found);
    let running = stopped.is_none();
    drift.extend(stopped);
    let ours = owner(&found) == Some(spec.config.name.as_str());
    if ours {
        let wanted = container::body(spec, &name, delivery);
        let image = used_image.as_ref();
        drift.extend(drift::differences(spec, &wanted, &found, image, delivery));
        if delivery == Delivery::File && revision.is_none() {
            drift.push("the file with the token is missing".to_owned());
        }
    } else {
        drift.push("the container was replaced by one of somebody else".to_owned());
    }
    let connected = running && is_connected(engine, &id).await;
    let labels = config.labels.clone().unwrap_or_default();
    let note = |(name, value): (String, String)| Some((name.strip_prefix(NOTE)?.to_owned(), value));
    Ok(Some(Observed {
        running,
        connected,
        version: config.image.as_deref().map(image::version),
        image_digest: used_image
            .as_ref()
            .and_then(|image| image::digest(image, config.image.as_deref().unwrap_or_default())),
        drift,
        secret_revision: revision,
        unclaimed: ours && !complete,
        notes: labels.into_iter().filter_map(note).collect(),
        image: used_image,
        container: found,
    }))
}

fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// The delegate that a container was made for, if it is one of ours.
pub(super) fn owner(container: &ContainerInspectResponse) -> Option<&str> {
    let labels = container.config.as_ref()?.labels.as_ref()?;
    labels.get(OWNED).map(String::as_str)
}

/// A container by its name or id; `None` when there is none.
pub(super) async fn inspect(
    engine: &Engine,
    name: &str,
) -> Result<Option<ContainerInspectResponse>, DockerError> {
    match engine
        .docker
        .inspect_container(name, None::<InspectContainerOptions>)
        .await
    {
        // The engine takes the start of an id for a name.
        Ok(found) if is_named(&found, name) || found.id.as_deref() == Some(name) => Ok(Some(found)),
        Ok(_) => Ok(None),
        Err(error) => match engine.told(&format!("look at the container {name}"), error) {
            missing if missing.is_not_found() => Ok(None),
            error => Err(error),
        },
    }
}

fn is_named(container: &ContainerInspectResponse, name: &str) -> bool {
    container
        .name
        .as_deref()
        .is_some_and(|found| found.trim_start_matches('/') == name)
}

/// Asks the delegate whether it is connected, from within its container: that works on every engine, near or far, and in
/// every network.
async fn is_connected(engine: &Engine, id: &str) -> bool {
    let asked = tokio::time::timeout(METRICS_LIMIT, metrics(engine, id)).await;
    let text = asked.ok().flatten().unwrap_or_default();
    connected::connected(&String::from_utf8_lossy(&text)).unwrap_or(false)
}

async fn metrics(engine: &Engine, id: &str) -> Option<Vec<u8>> {
    let script = format!(
        "u=\"http://127.0.0.1:${{DELEGATE_HTTP_PORT:-{}}}{METRICS_PATH}\"; curl -fsS \"$u\" 2>/dev/null || wget -q -O - \"$u\" 2>/dev/null",
        delegate_core::config::DEFAULT_HTTP_PORT
    );
    let options = CreateExecOptions {
        cmd: Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), script]),
        attach_stdout: Some(true),
        ..CreateExecOptions::default()
    };
    let exec = engine.docker.create_exec(id, options).await.ok()?;
    let StartExecResults::Attached { mut output, .. } =
        engine.docker.start_exec(&exec.id, None).await.ok()?
    else {
        return None;
    };
    let mut text = Vec::new();
    while let Some(Ok(part)) = output.next().await {
        if let LogOutput::StdOut { message } = part {
            text.extend_from_slice(&message);
        }
        if text.len() > METRICS_BYTES {
            return None;
        }
    }
    Some(text)
}

/// Waits until the delegate is as far as asked.
///
/// # Errors
/// When the time is over, or the delegate ends by itself, with its state and its last words; when it was asked to stop.
pub async fn wait(
    engine: &Engine,
    spec: &DockerSpec,
    until: Until,
    limit: Duration,
    stop: &CancellationToken,
) -> Result<(), DockerError> {
    let deadline = Instant::now() + limit;
    let look = async {
        loop {
            let container = inspect(engine, &spec.container).await?;
            let Some(container) = container else {
                return Err(DockerError::Late(format!(
                    "the container {} was removed while it was waited for",
                    spec.container
                )));
            };
            let id = container.id.as_deref().unwrap_or_default();
            let runs = drift::stopped(&container).is_none()
                && container
                    .state
                    .as_ref()
                    .is_none_or(|state| state.restarting != Some(true));
            let reached = match until {
                Until::Installed => true,
                Until::Ready => runs && is_well(&container),
                Until::Connected => runs && is_connected(engine, id).await,
            };
            if reached {
                return Ok(());
            }
            let ended = ended_for_good(&container);
            if ended || Instant::now() >= deadline {
                return Err(DockerError::Late(
                    why_not(engine, spec, &container, until, limit, ended).await,
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        end = look => end,
        () = stop.cancelled() => Err(DockerError::Stopped("the wait for the delegate")),
    }
}

/// Whether the engine calls it healthy, if it looks at all.
fn is_well(container: &ContainerInspectResponse) -> bool {
    let health = container
        .state
        .as_ref()
        .and_then(|state| state.health.as_ref()?.status);
    matches!(
        health,
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE | HealthStatusEnum::HEALTHY)
    )
}

/// Whether waiting is of no use: it has ended and is not started again, or it would only end in the same way.
fn ended_for_good(container: &ContainerInspectResponse) -> bool {
    let state = container.state.clone().unwrap_or_default();
    let restarts = state.restarting == Some(true);
    let code = state.exit_code.unwrap_or_default();
    let has_ended =
        state.running != Some(true) && state.finished_at.is_some_and(|at| !at.starts_with("0001-"));
    (has_ended && !restarts) || (restarts && FINAL.contains(&code))
}

async fn why_not(
    engine: &Engine,
    spec: &DockerSpec,
    container: &ContainerInspectResponse,
    until: Until,
    limit: Duration,
    ended: bool,
) -> String {
    let state = container.state.clone().unwrap_or_default();
    let status = state.status.map(|status| status.to_string()).unwrap_or_default();
    let name = &spec.config.name;
    let mut text = if ended {
        format!(
            "the delegate {name} ended by itself with exit code {}",
            state.exit_code.unwrap_or_default()
        )
    } else {
        let goal = if until == Until::Ready {
            "healthy"
        } else {
            "connected to its manager"
        };
        format!(
            "the delegate {name} was not {goal} within {} s; its container {} is {status}",
            limit.as_secs(),
            spec.container
        )
    };
    if let Some(count) = container.restart_count.filter(|count| *count > 0) {
        text.push_str(&format!(", started again {count} times"));
    }
    if state.oom_killed == Some(true) {
        text.push_str(", killed for want of memory: raise docker.memory");
    }
    if let Some(error) = state.error.filter(|error| !error.is_empty()) {
        text.push_str(&format!("; the engine says: {error}"));
    }
    text.push_str(&format!(
        ". Check that {} can be reached from the container and that the token is valid. Its last words (docker logs {}):",
        spec.config.manager_url, spec.container
    ));
    let lines = last_lines(engine, container.id.as_deref().unwrap_or_default()).await;
    if lines.is_empty() {
        text.push_str(" none");
    }
    for line in lines {
        text.push_str(&format!("\n  log: {line}"));
    }
    text
}

async fn last_lines(engine: &Engine, id: &str) -> Vec<String> {
    let options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .tail(&LOG_LINES.to_string())
        .build();
    let read = async {
        let stream = engine.docker.logs(id, Some(options));
        let parts: Vec<String> = stream
            .map(|part| part.map(|part| part.to_string()).unwrap_or_default())
            .collect()
            .await;
        parts.concat()
    };
    let text = tokio::time::timeout(METRICS_LIMIT, read)
        .await
        .unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| line.chars().take(LINE_LENGTH).collect::<String>());
    let lines: Vec<String> = lines.filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].to_vec()
}
