//! A service of a machine, as the resource sees it.

use std::time::Duration;

use delegate_core::config::EnvValue;
use delegate_core::install::host::order::About;
use delegate_core::install::host::{self, HostSpec, Observed};
use tokio_util::sync::CancellationToken;

use super::{Failure, Seen, interrupted};
use crate::data::ProviderData;
use crate::delegate::spec::{HostWish, WaitFor};
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::host::{Facts, Machine, MachineError};
use crate::install::kubernetes::Until;
use crate::install::ssh::SshError;

/// Between two looks at a delegate on this machine, which is ready within milliseconds.
const LOOK_HERE_EVERY: Duration = Duration::from_millis(50);

/// Between two looks at one on another machine: each takes a session there, and about this long.
const LOOK_THERE_EVERY: Duration = Duration::from_millis(200);

/// Lines of the log that an error shows.
const LOG_LINES: usize = 15;

/// A machine that has answered.
pub(crate) struct HostPlace<'a> {
    wish: &'a HostWish,
    spec: Box<HostSpec>,
    machine: Machine,
}

impl<'a> HostPlace<'a> {
    pub(super) async fn reach(
        wish: &'a HostWish,
        provider: &ProviderData,
        stop: &CancellationToken,
    ) -> Result<Self, Diagnostics> {
        let machine = Machine::reach(wish.access.as_ref(), &provider.ssh, stop)
            .await
            .map_err(|error| told(&error))?;
        Ok(Self {
            wish,
            spec: Box::new(wish.on(machine.facts())?),
            machine,
        })
    }

    pub(super) fn target_id(&self) -> String {
        self.machine.facts().id.clone()
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        vec![format!("{} {}", self.target_id(), self.spec.directory.display())]
    }

    pub(super) fn import_id(&self) -> String {
        format!("host/{}/{}", self.machine.name(), self.spec.config.name)
    }

    /// Where the configuration leads, for an error.
    pub(super) fn whereabouts(&self) -> String {
        match &self.machine {
            Machine::Here(_) => " (this machine)".to_owned(),
            Machine::There(_) => format!(" ({})", self.machine.name()),
        }
    }

    pub(super) async fn observe(&self, stop: &CancellationToken) -> Result<Option<Seen>, Diagnostics> {
        let seen = self
            .machine
            .observe(&self.spec.directory, &self.wish.binary, stop)
            .await
            .map_err(|error| told(&error))?;
        let Some(seen) = seen else {
            return Ok(None);
        };
        let observed = seen.observed;
        Ok(Some(Seen {
            connected: seen.connected,
            ready_replicas: u32::from(observed.running),
            rolled_out: observed.running,
            drift: differences(&self.spec, &observed),
            version: Some(observed.record.version).filter(|version| !version.is_empty()),
            secret_revision: None,
            unclaimed: false,
            image_digest: None,
        }))
    }

    pub(super) async fn install(&self, stop: &CancellationToken) -> Result<(), Failure> {
        has_program(self.wish).map_err(Failure::Before)?;
        self.machine.install(&self.spec, stop).await.map_err(|error| {
            let how = if error.is_before() {
                Failure::Before
            } else {
                Failure::Midway
            };
            how(told(&error))
        })
    }

    pub(super) async fn wait(&self, wait: WaitFor, stop: &CancellationToken) -> Result<(), Diagnostics> {
        let deadline = tokio::time::Instant::now() + wait.limit;
        let pause = match self.machine {
            Machine::Here(_) => LOOK_HERE_EVERY,
            Machine::There(_) => LOOK_THERE_EVERY,
        };
        loop {
            let seen = self.observe(stop).await?.unwrap_or_default();
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
                return Err(self.why_not(wait, ended, stop).await);
            }
            tokio::select! {
                () = stop.cancelled() => return Err(interrupted("wait for the delegate")),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn why_not(&self, wait: WaitFor, ended: bool, stop: &CancellationToken) -> Diagnostics {
        let name = &self.spec.config.name;
        let fact = if ended {
            format!("The delegate {name} ended by itself")
        } else {
            format!(
                "The delegate {name} was not connected to its manager within {} s",
                wait.limit.as_secs()
            )
        };
        let here = match self.machine {
            Machine::Here(_) => "here".to_owned(),
            Machine::There(_) => self.machine.name(),
        };
        let lines = self.machine.log(&self.spec.directory, LOG_LINES, stop).await;
        let log: String = lines.iter().map(|line| format!("\n  log: {line}")).collect();
        let detail = format!(
            "{fact}. Check that {} can be reached from {here} and that the token is valid. Its last words (the log is in {}):{}",
            self.spec.config.manager_url,
            self.spec.directory.display(),
            if log.is_empty() { " none" } else { &log },
        );
        Diagnostic::error("The delegate did not become what was asked for", detail)
            .at("wait")
            .into()
    }

    pub(super) async fn remove(&self, limit: Duration, stop: &CancellationToken) -> Result<(), Diagnostics> {
        let grace = self.spec.config.grace_period.min(limit);
        self.machine
            .uninstall(&self.spec.directory, grace, &self.wish.binary, stop)
            .await
            .map_err(|error| told(&error))
    }
}

/// See [`super::addresses`].
pub(super) fn planned_addresses(wish: &HostWish) -> Vec<String> {
    match &wish.access {
        None => {
            let spec = Facts::of_this_machine().ok().and_then(|here| wish.on(&here).ok());
            spec.into_iter()
                .map(|spec| format!("host {}", spec.directory.display()))
                .collect()
        }
        // The folder of one that names none depends on the user there; the name, which it ends with, does not.
        Some(access) => vec![format!("host {} {}", access.to, wish.folder())],
    }
}

/// Checks that there is a program to install and, on this machine, a folder to install it in. Another machine is not
/// contacted: it may be one that the same apply makes.
pub(super) fn check(wish: &HostWish) -> Result<(), Diagnostics> {
    if wish.access.is_none() {
        let here = Facts::of_this_machine().map_err(|error| told(&error))?;
        let spec = wish.on(&here)?;
        // Whether another delegate is there is left to the installation: a replacement removes that one first.
        host::check_directory(&spec.directory).map_err(|error| told(&MachineError::Refused(error.into())))?;
    }
    has_program(wish)
}

fn has_program(wish: &HostWish) -> Result<(), Diagnostics> {
    if wish.binary.is_file() {
        return Ok(());
    }
    Err(Diagnostic::error(
        "No program to install",
        format!(
            "There is no file {}. The program harness-delegate comes with the provider and is looked for beside it; set host.binary \
             to where it is.",
            wish.binary.display()
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

pub(in crate::delegate) fn told(error: &MachineError) -> Diagnostics {
    let (summary, path) = match error {
        MachineError::Ssh(SshError::Stopped { to }) => return interrupted(&format!("work on {to}")),
        MachineError::Ssh(_) | MachineError::Shell { .. } | MachineError::Hidden { .. } => {
            ("The machine cannot be used", "host.ssh")
        }
        MachineError::NoIdentity { .. } => ("The machine has no identity", "host"),
        MachineError::System { .. } | MachineError::Closed { .. } => ("The machine cannot be used", "host"),
        MachineError::Processor { .. } | MachineError::Program { .. } => {
            ("The host installation failed", "host.binary")
        }
        MachineError::Copy { .. } | MachineError::Unanswered { .. } => {
            ("The host installation failed", "host")
        }
        MachineError::Refused(refusal) => (
            "The host installation failed",
            match refusal.about {
                About::Program => "host.binary",
                About::Directory => "host.directory",
                About::Service => "host",
                About::Drain => "timeouts",
            },
        ),
    };
    Diagnostic::from_error(summary, error, "").at(path).into()
}
