//! What is asked of the machine that a delegate is on, and what it answers: one way, whether it is this machine or
//! another. For another the order and the answer are each one line of JSON, and [`carry_out`] is called there, by the
//! program's hidden verb `carry-out`.
//!
//! An order holds the token; an answer holds no secret: where one is, it says that it is there.
//!
//! [`carry_out`] touches what the rest of this room touches. What goes wrong is a [`Refusal`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Change, FileStamp, HostError, HostSpec, Observed, Record, SECRET_VARIABLES, ServiceKind};
use crate::Secret;
use crate::config::{DelegateConfig, Env};
use crate::install::connected::is_connected;

/// Form of orders and answers. A program that knows another one says so and does nothing.
const FORMAT: u32 = 1;

/// What an answer has in the place of a secret: as long as a token, so that settings can be read from it.
const WITHHELD: &str = "00000000000000000000000000000000";

/// The one secret variable whose value an answer has: a user's name is needed for taking a delegate over.
const TOLD: &str = "PROXY_USER";

/// What is to be done.
#[derive(Debug)]
pub enum Order {
    /// Look at what is installed in a folder.
    Observe {
        /// The folder.
        directory: PathBuf,
    },
    /// Install, or bring up to date.
    Install(Box<HostSpec>),
    /// Stop with drain and remove.
    Uninstall {
        /// The folder.
        directory: PathBuf,
        /// Bounds the drain.
        grace: Duration,
    },
    /// Read the end of the delegate's log.
    Log {
        /// The folder.
        directory: PathBuf,
        /// Most lines.
        lines: usize,
    },
}

/// What came of an order, in the same order of kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What is there; nothing when nothing is installed.
    Observed(Option<Box<Sighting>>),
    /// It is installed and has been started.
    Installed(Change),
    /// Nothing is there any more.
    Removed,
    /// Lines, oldest first.
    Log(Vec<String>),
}

/// An installation, and what its delegate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What is there. Values of secrets are withheld.
    pub observed: Observed,
    /// Whether the delegate says that it is connected to its manager.
    pub connected: bool,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The program to install.
    Program,
    /// The folder.
    Directory,
    /// What keeps the delegate running.
    Service,
    /// The delegate, which has not ended in time.
    Drain,
}

/// An order that was not, or not wholly, carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Refusal {
    /// What it is about.
    pub about: About,
    /// Nothing was changed.
    pub untouched: bool,
    /// What was tried, what came of it, what to do. No secret.
    pub message: String,
}

impl From<HostError> for Refusal {
    fn from(error: HostError) -> Self {
        let about = match error {
            HostError::Program { .. } => About::Program,
            HostError::Foreign(_) | HostError::Taken { .. } | HostError::Io { .. } => About::Directory,
            HostError::Damaged { .. } | HostError::Service { .. } | HostError::NotStarted { .. } => {
                About::Service
            }
            HostError::NotStopped { .. } => About::Drain,
        };
        let untouched = matches!(
            error,
            HostError::Foreign(_) | HostError::Taken { .. } | HostError::Program { .. }
        );
        Self {
            about,
            untouched,
            message: error.to_string(),
        }
    }
}

/// A line that is no order or no answer of this form.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Of another form, or none at all. Nothing of the line is shown: it may hold a secret.
    #[error("it is not of the form {FORMAT}: {0}")]
    Form(String),
    /// The settings in it cannot be used.
    #[error("its settings cannot be used: {0}")]
    Settings(#[from] crate::config::ConfigErrors),
}

/// Does it, on this machine.
///
/// Dropping the future leaves a step that has begun to its end, which comes at the latest with that of the process.
///
/// # Errors
/// Why not.
pub async fn carry_out(order: Order) -> Result<Answer, Refusal> {
    let answer = tokio::task::spawn_blocking(move || work(order)).await;
    let answer = answer.unwrap_or_else(|panic| {
        Err(HostError::Service {
            command: "the installation".to_owned(),
            output: panic.to_string(),
        })
    })?;
    let Answer::Observed(Some(mut sighting)) = answer else {
        return Ok(answer);
    };
    if let Some(address) = sighting.observed.http_address {
        sighting.connected = is_connected(address).await;
    }
    Ok(Answer::Observed(Some(sighting)))
}

fn work(order: Order) -> Result<Answer, HostError> {
    match order {
        Order::Observe { directory } => {
            let sighting = super::observe(&directory)?.map(|observed| {
                Box::new(Sighting {
                    observed: withhold(observed),
                    connected: false,
                })
            });
            Ok(Answer::Observed(sighting))
        }
        Order::Install(spec) => super::install(&spec).map(Answer::Installed),
        Order::Uninstall { directory, grace } => {
            super::uninstall(&directory, grace).map(|()| Answer::Removed)
        }
        Order::Log { directory, lines } => Ok(Answer::Log(super::last_log_lines(&directory, lines))),
    }
}

fn withhold(mut observed: Observed) -> Observed {
    for (name, value) in &mut observed.env {
        if SECRET_VARIABLES.contains(&name.as_str()) && name != TOLD {
            *value = Secret::new(WITHHELD);
        }
    }
    observed
}

impl Order {
    /// One line. It holds the token: it goes to the standard input of the other side and nowhere else.
    pub fn to_line(&self) -> Secret {
        let order = match self {
            Self::Observe { directory } => OrderLine::Observe {
                directory: directory.clone(),
            },
            Self::Install(spec) => OrderLine::Install(Box::new(SpecLine::of(spec))),
            Self::Uninstall { directory, grace } => OrderLine::Uninstall {
                directory: directory.clone(),
                grace_seconds: grace.as_secs(),
            },
            Self::Log { directory, lines } => OrderLine::Log {
                directory: directory.clone(),
                lines: *lines,
            },
        };
        Secret::new(line(&Form {
            format: FORMAT,
            body: order,
        }))
    }

    /// Reads a line.
    ///
    /// # Errors
    /// When it is of another form, or its settings cannot be used.
    pub fn from_line(text: &str) -> Result<Self, WireError> {
        Ok(match parse::<OrderLine>(text)? {
            OrderLine::Observe { directory } => Self::Observe { directory },
            OrderLine::Install(spec) => Self::Install(Box::new(spec.spec()?)),
            OrderLine::Uninstall {
                directory,
                grace_seconds,
            } => Self::Uninstall {
                directory,
                grace: Duration::from_secs(grace_seconds),
            },
            OrderLine::Log { directory, lines } => Self::Log { directory, lines },
        })
    }
}

/// One line that says what came of an order.
pub fn answer_to_line(answer: &Result<Answer, Refusal>) -> String {
    let answer = match answer {
        Ok(Answer::Observed(sighting)) => {
            AnswerLine::Observed(sighting.as_deref().map(|seen| Box::new(SightingLine::of(seen))))
        }
        Ok(Answer::Installed(change)) => AnswerLine::Installed(*change),
        Ok(Answer::Removed) => AnswerLine::Removed,
        Ok(Answer::Log(lines)) => AnswerLine::Log(lines.clone()),
        Err(refusal) => AnswerLine::Refused(refusal.clone()),
    };
    line(&Form {
        format: FORMAT,
        body: answer,
    })
}

/// Reads such a line.
///
/// # Errors
/// When it is of another form.
pub fn answer_from_line(text: &str) -> Result<Result<Answer, Refusal>, WireError> {
    Ok(match parse::<AnswerLine>(text)? {
        AnswerLine::Observed(sighting) => Ok(Answer::Observed(
            sighting.map(|sighting| Box::new(sighting.sighting())),
        )),
        AnswerLine::Installed(change) => Ok(Answer::Installed(change)),
        AnswerLine::Removed => Ok(Answer::Removed),
        AnswerLine::Log(lines) => Ok(Answer::Log(lines)),
        AnswerLine::Refused(refusal) => Err(refusal),
    })
}

fn line<T: Serialize>(form: &Form<T>) -> String {
    // Plain data with text keys: there is nothing in it that JSON could not hold.
    serde_json::to_string(form).unwrap_or_default()
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, WireError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    // serde's own words may quote the line; the class of the error and its place do not.
    let form = |error: serde_json::Error| {
        WireError::Form(format!(
            "{:?} error at column {}",
            error.classify(),
            error.column()
        ))
    };
    let Head { format } = serde_json::from_str(text).map_err(form)?;
    if format != FORMAT {
        return Err(WireError::Form(format!("it says {format}")));
    }
    serde_json::from_str::<Form<T>>(text)
        .map(|form| form.body)
        .map_err(form)
}

#[derive(Serialize, Deserialize)]
struct Form<T> {
    format: u32,
    body: T,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OrderLine {
    Observe { directory: PathBuf },
    Install(Box<SpecLine>),
    Uninstall { directory: PathBuf, grace_seconds: u64 },
    Log { directory: PathBuf, lines: usize },
}

/// A [`HostSpec`], with its settings as the variables they are anyway.
#[derive(Serialize, Deserialize)]
struct SpecLine {
    settings: BTreeMap<String, String>,
    extra_env: BTreeMap<String, String>,
    binary: PathBuf,
    origin: Option<FileStamp>,
    directory: PathBuf,
    service: ServiceKind,
    user: Option<String>,
    notes: BTreeMap<String, String>,
}

impl SpecLine {
    fn of(spec: &HostSpec) -> Self {
        let settings = spec.config.to_env().into_iter();
        Self {
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.expose().to_owned()))
                .collect(),
            extra_env: spec.extra_env.clone(),
            binary: spec.binary.clone(),
            origin: spec.origin.clone(),
            directory: spec.directory.clone(),
            service: spec.service,
            user: spec.user.clone(),
            notes: spec.notes.clone(),
        }
    }

    fn spec(self) -> Result<HostSpec, WireError> {
        let settings: Env = self.settings.into_iter().collect();
        Ok(HostSpec {
            config: DelegateConfig::from_env(&settings)?,
            extra_env: self.extra_env,
            binary: self.binary,
            origin: self.origin,
            directory: self.directory,
            service: self.service,
            user: self.user,
            notes: self.notes,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnswerLine {
    Observed(Option<Box<SightingLine>>),
    Installed(Change),
    Removed,
    Log(Vec<String>),
    Refused(Refusal),
}

#[derive(Serialize, Deserialize)]
struct SightingLine {
    record: Record,
    /// Secrets are withheld by now.
    env: Vec<(String, String)>,
    env_problem: Option<String>,
    running: bool,
    http_address: Option<SocketAddr>,
    binary_digest: Option<String>,
    connected: bool,
}

impl SightingLine {
    fn of(seen: &Sighting) -> Self {
        let observed = &seen.observed;
        Self {
            record: observed.record.clone(),
            env: observed
                .env
                .iter()
                .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                .collect(),
            env_problem: observed.env_problem.clone(),
            running: observed.running,
            http_address: observed.http_address,
            binary_digest: observed.binary_digest.clone(),
            connected: seen.connected,
        }
    }

    fn sighting(self) -> Sighting {
        Sighting {
            observed: Observed {
                record: self.record,
                env: self
                    .env
                    .into_iter()
                    .map(|(name, value)| (name, Secret::new(value)))
                    .collect(),
                env_problem: self.env_problem,
                running: self.running,
                http_address: self.http_address,
                binary_digest: self.binary_digest,
            },
            connected: self.connected,
        }
    }
}

#[cfg(test)]
mod tests;
