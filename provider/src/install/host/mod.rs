//! A machine on which a delegate is a service: this one, or another over ssh.
//!
//! Both are asked the same, and carry out the same code: here by a call, there by the program itself, which is sent first
//! ([`remote`]). What a machine answers is a [`Sighting`] or a refusal; what goes wrong on the way is a
//! [`MachineError`].

mod facts;
mod installed;
mod processor;
mod remote;

use std::path::{Path, PathBuf};

use delegate_core::install::host::HostSpec;
use delegate_core::install::host::order::{Answer, Order, Refusal, Sighting, carry_out};
pub use facts::Facts;
use remote::Remote;
use tokio_util::sync::CancellationToken;

use super::ssh::{Connections, Destination, SshError};

/// Another machine, and how to work on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Where it is.
    pub to: Destination,
    /// Whether to become root there, with `sudo` and without a password.
    pub sudo: bool,
}

/// A machine that has answered.
pub enum Machine {
    /// The one we are on.
    Here(Facts),
    /// Another one.
    There(Box<Remote>),
}

/// What kept a machine from being asked, or from doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// There is no connection.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// It was asked and did not, or not wholly, do it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing tells it from others.
    #[error(
        "there is no identity on {machine}: neither /etc/machine-id nor /etc/hostname can be read. Run systemd-machine-id-setup there, or \
         write any unique text to /etc/machine-id"
    )]
    NoIdentity {
        /// The machine.
        machine: String,
    },
    /// Commands do not work there.
    #[error(
        "commands cannot be run on {machine}: {said}. The user needs a shell there that is silent and runs sh; with sudo = true also \
         the right to become root without a password (NOPASSWD in sudoers)"
    )]
    Shell {
        /// The machine.
        machine: String,
        /// What came back.
        said: String,
    },
    /// No delegate runs there.
    #[error("the machine {machine} runs {system:?}; a delegate can be installed over ssh on Linux only")]
    System {
        /// The machine.
        machine: String,
        /// What it runs.
        system: String,
    },
    /// The program is for another kind of machine.
    #[error(
        "the machine {machine} is {there}, but {program} is a program for {made_for}. Set host.binary to a harness-delegate that was built for \
         {there}", program = program.display()
    )]
    Processor {
        /// The machine.
        machine: String,
        /// Its processor.
        there: String,
        /// The program.
        program: PathBuf,
        /// The processor that runs it.
        made_for: String,
    },
    /// The program to send is not there.
    #[error("cannot read the program {}: {source}", path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program did not arrive.
    #[error("the program could not be copied to {path} on {machine}: {said}", path = path.display())]
    Copy {
        /// The machine.
        machine: String,
        /// Where to.
        path: PathBuf,
        /// What came back.
        said: String,
    },
    /// A folder that the user may not look into.
    #[error(
        "the machine {machine} does not let us look into {path}. Log in as the user who installed the delegate, or set host.ssh.sudo", path = path.display()
    )]
    Hidden {
        /// The machine.
        machine: String,
        /// The folder.
        path: PathBuf,
    },
    /// A folder of this machine that cannot be looked into.
    #[error("cannot look into {}: {source}; run Terraform as a user who may", path.display())]
    Closed {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program does not work there.
    #[error("the program {path} does not work on {machine}: {said}", path = path.display())]
    Unanswered {
        /// The machine.
        machine: String,
        /// The program.
        path: PathBuf,
        /// What came back.
        said: String,
    },
}

impl MachineError {
    /// Whether it is certain that nothing was changed.
    pub fn is_before(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.untouched,
            Self::Ssh(_) => false,
            _ => true,
        }
    }
}

impl Machine {
    /// Contacts a machine and learns what it is.
    ///
    /// # Errors
    /// When it cannot be reached, or is none that a delegate can be installed on.
    pub async fn reach(
        access: Option<&Access>,
        connections: &Connections,
        stop: &CancellationToken,
    ) -> Result<Self, MachineError> {
        match access {
            None => Facts::of_this_machine().map(Self::Here),
            Some(access) => {
                let connection = connections.get(&access.to, stop).await?;
                let remote = Remote::new(connection, access.sudo, stop).await?;
                Ok(Self::There(Box::new(remote)))
            }
        }
    }

    /// What it is.
    pub fn facts(&self) -> &Facts {
        match self {
            Self::Here(facts) => facts,
            Self::There(remote) => remote.facts(),
        }
    }

    /// What it is called, in an import id.
    pub fn name(&self) -> String {
        match self {
            Self::Here(_) => "localhost".to_owned(),
            Self::There(remote) => remote.name(),
        }
    }

    /// The names of the delegates in the folder where installations are put that name none.
    ///
    /// # Errors
    /// When that folder cannot be looked into.
    pub async fn installed(&self, stop: &CancellationToken) -> Result<Vec<String>, MachineError> {
        match self {
            Self::Here(facts) => {
                let facts = facts.clone();
                let look = tokio::task::spawn_blocking(move || installed::here(&facts));
                look.await.unwrap_or_else(|panic| {
                    Err(MachineError::Closed {
                        path: self.facts().default_base(),
                        source: std::io::Error::other(panic),
                    })
                })
            }
            Self::There(remote) => remote.installed(stop).await,
        }
    }

    /// Looks at what is installed in a folder; nothing when nothing is. `program` is sent when the installed one cannot be
    /// asked.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub async fn observe(
        &self,
        directory: &Path,
        program: &Path,
        stop: &CancellationToken,
    ) -> Result<Option<Sighting>, MachineError> {
        let order = Order::Observe {
            directory: directory.to_owned(),
        };
        let answer = match self {
            Self::Here(_) => Some(carry_out(order).await?),
            Self::There(remote) => remote.ask(directory, &order, program, stop).await?,
        };
        match answer {
            Some(Answer::Observed(sighting)) => Ok(sighting.map(|sighting| *sighting)),
            _ => Ok(None),
        }
    }

    /// Makes the machine agree with `spec`, whose program is one of this machine.
    ///
    /// # Errors
    /// The first step that failed; the next call goes on from there.
    pub async fn install(&self, spec: &HostSpec, stop: &CancellationToken) -> Result<(), MachineError> {
        match self {
            Self::Here(_) => carry_out(Order::Install(Box::new(spec.clone())))
                .await
                .map(drop)?,
            Self::There(remote) => remote.install(spec, stop).await?,
        }
        Ok(())
    }

    /// Stops what is installed in a folder, with drain, and removes it.
    ///
    /// # Errors
    /// When something is still there.
    pub async fn uninstall(
        &self,
        directory: &Path,
        grace: std::time::Duration,
        program: &Path,
        stop: &CancellationToken,
    ) -> Result<(), MachineError> {
        let order = Order::Uninstall {
            directory: directory.to_owned(),
            grace,
        };
        match self {
            Self::Here(_) => carry_out(order).await.map(drop)?,
            Self::There(remote) => {
                if remote.ask(directory, &order, program, stop).await?.is_none() {
                    remote.sweep(directory, stop).await?;
                }
            }
        }
        Ok(())
    }

    /// The last lines of the delegate's log, oldest first; none when they cannot be had.
    pub async fn log(&self, directory: &Path, lines: usize, stop: &CancellationToken) -> Vec<String> {
        let order = Order::Log {
            directory: directory.to_owned(),
            lines,
        };
        let answer = match self {
            Self::Here(_) => carry_out(order).await.ok(),
            Self::There(remote) => remote
                .ask_installed(directory, &order, stop)
                .await
                .unwrap_or_default(),
        };
        match answer {
            Some(Answer::Log(lines)) => lines,
            _ => Vec::new(),
        }
    }
}
