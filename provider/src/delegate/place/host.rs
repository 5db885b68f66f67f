//! A service of this machine, as the resource sees it.

use std::net::SocketAddr;
use std::time::Duration;

use delegate_core::config::EnvValue;
use delegate_core::install::host::{self, HostError, HostSpec, Observed};
use tokio_util::sync::CancellationToken;

use super::{Failure, Seen, interrupted};
use crate::delegate::spec::WaitFor;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::connected;
use crate::install::helm::Until;

/// Between two looks at the delegate: it is on this machine, and ready within milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Lines of the log that an error shows.
const LOG_LINES: usize = 15;

/// This machine.
pub(crate) struct HostPlace<'a> {
    spec: &'a HostSpec,
    pub(super) target_id: String,
}

impl<'a> HostPlace<'a> {
    pub(super) fn reach(spec: &'a HostSpec) -> Result<Self, Diagnostics> {
        Ok(Self {
            spec,
            target_id: machine_id()?,
        })
    }

    #[expect(clippy::unused_self, reason = "a remote machine will have its own name here")]
    fn machine(&self) -> &'static str {
        "localhost"
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        vec![format!("{} {}", self.target_id, self.spec.directory.display())]
    }

    pub(super) fn import_id(&self) -> String {
        format!("host/{}/{}", self.machine(), self.spec.config.name)
    }

    pub(super) async fn observe(&self) -> Result<Option<Seen>, Diagnostics> {
        let Some(observed) = self.look().await? else {
            return Ok(None);
        };
        let connected = match observed.http_address {
            Some(address) => is_connected(address).await,
            None => false,
        };
        Ok(Some(Seen {
            connected,
            ready_replicas: u32::from(observed.running),
            rolled_out: observed.running,
            version: Some(observed.record.version.clone()).filter(|version| !version.is_empty()),
            drift: differences(self.spec, &observed),
            secret_revision: None,
            unclaimed: false,
        }))
    }

    async fn look(&self) -> Result<Option<Observed>, Diagnostics> {
        let directory = self.spec.directory.clone();
        blocking(move || host::observe(&directory)).await
    }

    pub(super) async fn install(&self) -> Result<(), Failure> {
        check(self.spec).map_err(Failure::Before)?;
        let spec = self.spec.clone();
        match blocking_raw(move || host::install(&spec)).await {
            Ok(_) => Ok(()),
            Err(error @ (HostError::Foreign(_) | HostError::Taken { .. } | HostError::Program { .. })) => {
                Err(Failure::Before(told(&error)))
            }
            Err(error) => Err(Failure::Midway(told(&error))),
        }
    }

    pub(super) async fn wait(&self, wait: WaitFor, stop: &CancellationToken) -> Result<(), Diagnostics> {
        let deadline = tokio::time::Instant::now() + wait.limit;
        loop {
            let seen = self.observe().await?.unwrap_or_default();
            let reached = match wait.until {
                Until::Installed => true,
                Until::Ready => seen.ready_replicas > 0,
                Until::Connected => seen.connected,
            };
            if reached {
                return Ok(());
            }
            // A delegate that has ended for good (bad settings, a refused token) will not come up by waiting.
            let ended = wait.until != Until::Installed && seen.ready_replicas == 0;
            if ended || tokio::time::Instant::now() >= deadline {
                return Err(self.why_not(wait, ended));
            }
            tokio::select! {
                () = stop.cancelled() => return Err(interrupted("wait for the delegate")),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn why_not(&self, wait: WaitFor, ended: bool) -> Diagnostics {
        let name = &self.spec.config.name;
        let fact = if ended {
            format!("The delegate {name} ended by itself")
        } else {
            format!(
                "The delegate {name} was not connected to its manager within {} s",
                wait.limit.as_secs()
            )
        };
        let lines = host::last_log_lines(&self.spec.directory, LOG_LINES);
        let log: String = lines.iter().map(|line| format!("\n  log: {line}")).collect();
        let detail = format!(
            "{fact}. Check that {} can be reached from here and that the token is valid. Its last words (the log is in {}):{}",
            self.spec.config.manager_url,
            self.spec.directory.display(),
            if log.is_empty() { " none" } else { &log },
        );
        Diagnostic::error("The delegate did not become what was asked for", detail)
            .at("wait")
            .into()
    }

    pub(super) async fn remove(&self, limit: Duration) -> Result<(), Diagnostics> {
        let (directory, grace) = (
            self.spec.directory.clone(),
            self.spec.config.grace_period.min(limit),
        );
        blocking(move || host::uninstall(&directory, grace)).await
    }
}

/// Checks that there is a program to install and a folder to install it in.
pub(super) fn check(spec: &HostSpec) -> Result<(), Diagnostics> {
    // Whether another delegate is there is left to the installation: a replacement removes that one first.
    host::check_directory(&spec.directory).map_err(|error| told(&error))?;
    if spec.binary.is_file() {
        return Ok(());
    }
    Err(Diagnostic::error(
        "No program to install",
        format!(
            "There is no file {}. The program harness-delegate comes with the provider and is looked for beside it; set host.binary \
             to where it is.",
            spec.binary.display()
        ),
    )
    .at("host.binary")
    .into())
}

/// What differs from the installation, without secrets.
fn differences(spec: &HostSpec, observed: &Observed) -> Vec<String> {
    let mut drift = Vec::new();
    if !observed.running {
        drift.push("the delegate does not run".to_owned());
    }
    if observed.record.unfinished {
        drift.push("an installation was cut off".to_owned());
    }
    if observed.record.service != spec.service {
        drift.push("the kind of service is another one".to_owned());
    }
    let wanted_digest = program_digest(spec, observed);
    if wanted_digest.is_some_and(|wanted| observed.binary_digest.as_deref() != Some(&wanted)) {
        drift.push("the program is not the one to install".to_owned());
    }
    if let Some(problem) = &observed.env_problem {
        drift.push(format!("the environment file cannot be read: {problem}"));
        return drift;
    }
    let found: std::collections::BTreeMap<&str, &str> = observed
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    let wanted = host::env_of(spec);
    for (name, value) in &wanted {
        match (value, found.get(name.as_str())) {
            (EnvValue::Plain(wanted), Some(found)) if wanted != found => {
                drift.push(format!("{name} is {found:?}, installed with {wanted:?}"));
            }
            (EnvValue::Plain(wanted), None) => {
                drift.push(format!("{name} is missing, installed with {wanted:?}"));
            }
            _ => {}
        }
    }
    // Secrets are not known here, only whether they are there.
    let extra = found.keys().filter(|name| {
        !host::SECRET_VARIABLES.contains(name) && wanted.iter().all(|(wanted, _)| wanted != *name)
    });
    drift.extend(extra.map(|name| format!("{name} was added")));
    if spec.config.token == delegate_core::config::TokenSource::Elsewhere
        && !found.contains_key("DELEGATE_TOKEN")
    {
        drift.push("DELEGATE_TOKEN is missing".to_owned());
    }
    drift
}

/// Digest of the program that would be installed now; the recorded one while that file has not been touched.
fn program_digest(spec: &HostSpec, observed: &Observed) -> Option<String> {
    let stamp = host::FileStamp::of(&spec.binary).ok()?;
    if stamp == observed.record.source {
        return Some(observed.record.binary_digest.clone());
    }
    host::digest_file(&spec.binary).ok()
}

/// Asks a delegate on this machine whether it is connected.
async fn is_connected(address: SocketAddr) -> bool {
    /// Longest wait for an answer over loopback.
    const LIMIT: Duration = Duration::from_secs(2);
    let ask = async {
        let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
            .build_http::<http_body_util::Empty<bytes::Bytes>>();
        let url = format!("http://{address}{}", connected::METRICS_PATH)
            .parse()
            .ok()?;
        let answer = client.get(url).await.ok()?;
        let body = http_body_util::BodyExt::collect(answer.into_body())
            .await
            .ok()?
            .to_bytes();
        connected::connected(&String::from_utf8_lossy(&body))
    };
    tokio::time::timeout(LIMIT, ask)
        .await
        .ok()
        .flatten()
        .unwrap_or(false)
}

/// Identity of this machine.
fn machine_id() -> Result<String, Diagnostics> {
    let read = |path| {
        std::fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|id| !id.is_empty())
    };
    let id = read("/etc/machine-id")
        .or_else(|| read("/var/lib/dbus/machine-id"))
        .or_else(|| read("/etc/hostname"));
    id.ok_or_else(|| {
        Diagnostics::error(
            "This machine has no identity",
            "Neither /etc/machine-id nor /etc/hostname can be read. Run systemd-machine-id-setup, or write any unique text to \
             /etc/machine-id.",
        )
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HostError> + Send + 'static,
) -> Result<T, Diagnostics> {
    blocking_raw(work).await.map_err(|error| told(&error))
}

async fn blocking_raw<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HostError> + Send + 'static,
) -> Result<T, HostError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| {
        Err(HostError::Service {
            command: "the installation".to_owned(),
            output: panic.to_string(),
        })
    })
}

fn told(error: &HostError) -> Diagnostics {
    let path = match error {
        HostError::Program { .. } => "host.binary",
        HostError::Foreign(_) | HostError::Taken { .. } | HostError::Io { .. } => "host.directory",
        HostError::Damaged { .. } | HostError::Service { .. } | HostError::NotStarted { .. } => "host",
        HostError::NotStopped { .. } => "timeouts",
    };
    Diagnostic::from_error("The host installation failed", error, "")
        .at(path)
        .into()
}
