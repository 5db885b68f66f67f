//! The agent: a delegate at work.
//!
//! [`Agent::builder`] takes a configuration and task kinds, [`AgentBuilder::build`] checks everything that can be checked
//! without contact and binds what must be bound, [`Agent::run`] works until it is told to stop, and says how it ended.
//!
//! Who starts what. `run` starts [`health`], runs [`init_script`], then [`registration`], hands what an earlier life left
//! open to [`recovery`], and starts the loops that live as long as the agent:
//!
//! ```text
//!   registration  ── registers anew when the manager has forgotten us
//!   heartbeat     ── every 10 s
//!   streaming     ── the persistent connection, where the manager offers it
//!   intake        ── events ── ledger decides ──┬─ abort ─▶ the task's cancellation
//!                                                  └─ take  ─▶ execute, one per task
//!   runner_intake ── the same for managers of the early runner protocol
//!   execute       ── journal ─ acquire ─ journal ─ task::Runner ─ journal ─ report ─ journal
//!                                                      └─ logs, a spool and a worker per task
//!   telemetry     ── metrics at an interval, tasks that are over; where a collector is set
//! ```
//!
//! [`drain`] watches over them and ends them. All calls to the manager go through [`link`], which tells the connection
//! and [`auth_watch`] what came back. Arrows point down only: a loop knows the executor, the executor knows no loop, and a
//! task kind knows nothing of all this.
//!
//! Words: to *drain* is to take nothing new and finish; to *cancel* is to end a run and answer it; to *give up* is to
//! leave an answer to the next life.

mod auth_watch;
mod backoff;
mod connection;
mod drain;
mod events;
mod execute;
mod health;
mod heartbeat;
mod identity;
mod init_script;
mod intake;
mod journal;
mod ledger;
mod link;
mod load;
mod logs;
mod metrics;
mod private_files;
mod recovery;
mod registration;
mod report;
mod runner_intake;
mod shutdown;
mod status;
mod stdout_log;
mod streaming;
mod surroundings;
mod telemetry;
mod zero_trust;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

#[cfg(feature = "program")]
pub(crate) use journal::user_of;
#[cfg(feature = "program")]
pub(crate) use load::meter::Meter;

pub use events::{Course, Event, Outcome, Recorder, TaskLabels, TaskLogs};
pub use journal::JournalError;
pub use shutdown::{Shutdown, ShutdownHandle, Stop, shutdown};

use crate::config::{DelegateConfig, TokenSource};
use crate::process::mask::Rules;
use crate::protocol::client::{CallErrorKind, ManagerClient, Verdict};
use crate::protocol::http::{Http, HttpSettings};
use crate::protocol::logs::LogService;
use crate::protocol::transport::Transport;
use crate::task::{Registry, Runner, SecretResolver, Settings, TaskKind};
use execute::{Executor, RunnerDebug};
use journal::{Journal, Unfinished};
use ledger::Ledger;
use link::Link;
use load::Thresholds;
use logs::Logs;
use metrics::Metrics;
use status::Status;
use stdout_log::StdoutLog;
use telemetry::Telemetry;
use zero_trust::Gate;

/// For tasks that come without a timeout: nothing a delegate is asked to do takes longer, and nothing runs for ever.
const DEFAULT_TASK_TIMEOUT: Duration = Duration::from_secs(10 * 60 * 60);

/// Name of the kind that `BLOCK_SHELL_TASK` takes away.
const SHELL_SCRIPT: &str = "SHELL_SCRIPT";

/// Name of the file with patterns to mask, in the working directory.
const SANITIZE_PATTERNS: &str = "sanitize-patterns.txt";

/// Why an agent cannot start. Each names the variable to correct.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The working directory cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The address of health and metrics cannot be bound.
    #[error("DELEGATE_HTTP_PORT: {address} cannot be bound: {reason}; choose a free port")]
    HttpPort {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The thread that writes task logs to standard output cannot be started.
    #[error(
        "HARNESS_LOG_STREAMING_STDOUT_ENABLED: no thread can be started: {reason}; raise the limit of processes"
    )]
    StdoutLog {
        /// What the system said.
        reason: String,
    },
    /// Tasks cannot be run as the user that is wanted.
    #[error("DELEGATE_TASK_USER {reason}")]
    TaskUser {
        /// Why, and what to do.
        reason: String,
    },
    /// The token file or a TLS file cannot be used.
    #[error(transparent)]
    Connection(#[from] CallErrorKind),
}

/// How an agent ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exit {
    /// As ordered: everything it had in hand was finished and answered.
    #[error("drained")]
    Drained,
    /// As ordered, but tasks were ended before their time, or answers were left for the next start.
    #[error("stopped before everything was finished; {undelivered} answers are sent at the next start")]
    CutShort {
        /// Answers that wait in the journal.
        undelivered: usize,
    },
    /// The manager does not take the token.
    #[error(
        "{reason}; copy a valid delegate token from the manager into DELEGATE_TOKEN (or its file) and start again"
    )]
    TokenRefused {
        /// What it said.
        reason: String,
    },
    /// The manager will have this delegate no more: it was deleted, or another one has its identity.
    #[error(
        "{reason}; remove this installation, or give the delegate a DELEGATE_NAME that no other has on a host of this name \
         and start it again"
    )]
    Dismissed {
        /// What it said.
        reason: String,
    },
    /// The init script failed.
    #[error("INIT_SCRIPT {reason}")]
    InitScriptFailed {
        /// How.
        reason: String,
    },
    /// A part of the agent failed, which is a bug.
    #[error("{reason}; please report this with the log above")]
    Broken {
        /// What is known about it.
        reason: String,
    },
}

/// Puts an agent together.
pub struct AgentBuilder {
    config: DelegateConfig,
    registry: Registry,
    resolver: Option<Arc<dyn SecretResolver>>,
    recorder: Option<Arc<dyn Recorder>>,
    task_logs: Option<Arc<dyn TaskLogs>>,
    transport: Option<MakeTransport>,
}

/// Makes the way of calls out of the usual one.
type MakeTransport = Box<dyn FnOnce(Arc<dyn Transport>) -> Arc<dyn Transport> + Send>;

impl AgentBuilder {
    /// Adds a task kind, replacing one of the same name.
    #[must_use]
    pub fn task(mut self, kind: impl TaskKind + 'static) -> Self {
        self.registry = self.registry.with(kind);
        self
    }

    /// Uses these task kinds instead of the standard ones.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Resolves the secrets that tasks refer to; without, only literal ones are known.
    #[must_use]
    pub fn secrets(mut self, resolver: Arc<dyn SecretResolver>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Tells this recorder everything that counts, besides the agent's own metrics.
    #[must_use]
    pub fn metrics(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Asks this where the log of each task goes; without, it goes to the log service.
    #[must_use]
    pub fn log_sink(mut self, logs: impl TaskLogs + 'static) -> Self {
        self.task_logs = Some(Arc::new(logs));
        self
    }

    /// Makes the calls of the registered delegate go another way. `make` gets the usual way, which is polling, to wrap or
    /// to leave aside; the persistent connection is then not opened. Registering stays a call by HTTP.
    #[must_use]
    pub fn transport(
        mut self,
        make: impl FnOnce(Arc<dyn Transport>) -> Arc<dyn Transport> + Send + 'static,
    ) -> Self {
        self.transport = Some(Box::new(make));
        self
    }

    /// [`AgentBuilder::build`] and [`Agent::run`] in one.
    ///
    /// # Errors
    /// A setting cannot be used; see [`StartError`]. How the agent ended is no error.
    pub async fn run(self, shutdown: Shutdown) -> Result<Exit, StartError> {
        Ok(self.build()?.run(shutdown).await)
    }

    /// Checks the settings, opens the journal and binds the port of health and metrics. Contacts nobody.
    ///
    /// # Errors
    /// A setting cannot be used; see [`StartError`].
    pub fn build(self) -> Result<Agent, StartError> {
        let Self {
            mut config,
            mut registry,
            resolver,
            recorder,
            task_logs,
            transport,
        } = self;
        if let Some(folder) = &config.task_kinds_dir {
            let (with, faults) = registry.with_plug_ins(folder);
            registry = with;
            for fault in faults {
                warn!("a task kind of DELEGATE_TASK_KINDS_DIR is left out: {fault}");
            }
        }
        if config.block_shell_tasks {
            registry = registry.without(SHELL_SCRIPT);
        }
        let http = Arc::new(Http::new(HttpSettings::from(&config)));
        let account_id = config.account_id.clone();
        let client = ManagerClient::new(
            Arc::clone(&http),
            config.manager_url.clone(),
            account_id.clone(),
            config.token.clone(),
        );
        client.check()?;
        let gate = config
            .zero_trust
            .clone()
            .map(|settings| Gate::new(settings, Arc::clone(&http), account_id.clone()));
        let telemetry = Telemetry::new(&config, &http);
        let logs = LogService::new(http, config.log_service_url(), account_id);
        let (journal, unfinished) = Journal::open(&config.working_dir)?;
        let address = SocketAddr::new(config.http_host, config.http_port);
        let port_error = |error: std::io::Error| StartError::HttpPort {
            address,
            reason: error.to_string(),
        };
        let listener = health::bind(address).map_err(port_error)?;
        let http_address = listener.local_addr().map_err(port_error)?;
        announce(&config.working_dir, http_address);
        let (environment, own_secrets) = surroundings::of_children(&config);
        let (task_types, missing) = registry.check(&environment);
        for (name, what) in missing {
            warn!(kind = name, "this delegate does not offer the task kind: {what}");
        }
        let mut settings = Settings::new(environment, config.working_dir.join("tasks"));
        settings.workspace = std::path::absolute(config.working_dir.join("workspace")).ok();
        settings.shell.clone_from(&config.shell);
        settings.default_timeout = Some(DEFAULT_TASK_TIMEOUT);
        if let Some(resolver) = resolver {
            settings.resolver = resolver;
        }
        settings.own_secrets = own_secrets;
        if let TokenSource::Inline(token) = &config.token {
            settings.own_secrets.extend([token.bare(), token.encoded()]);
        }
        settings.confinement = surroundings::confinement(&config.confinement)
            .map_err(|reason| StartError::TaskUser { reason })?;
        settings.rules = sanitize_patterns(&config.working_dir);
        settings.http = HttpSettings::from(&config);
        recovery::remove_leftovers(&settings.work_root);
        let spans = telemetry.as_ref().and_then(Telemetry::spans);
        let metrics = Arc::new(Metrics::new(registry.type_names(), recorder).with_spans(spans));
        let ledger = Arc::new(Ledger::new(config.task_capacity));
        let mut link = Link::new(client, Arc::clone(&metrics));
        if let Some(make) = transport {
            link = link.going(make);
            config.poll_for_tasks = true;
        }
        let stdout_log = if config.task_logs_to_stdout {
            Some(StdoutLog::start().map_err(|error| StartError::StdoutLog {
                reason: error.to_string(),
            })?)
        } else {
            None
        };
        let executor = Executor::new(
            Arc::new(Status::new(
                metrics,
                link,
                ledger,
                config.working_dir.join("journal"),
            )),
            config.account_id.clone(),
            RunnerDebug(Runner::new(registry, settings)),
            journal,
            Logs::new(logs, &config.working_dir),
            stdout_log,
            gate,
        )
        .with_task_logs(task_logs);
        Ok(Agent {
            config,
            executor: Arc::new(executor),
            unfinished,
            listener,
            http_address,
            task_types,
            telemetry,
        })
    }
}

/// The owner's patterns, when there are any; what is wrong with them is told, and the rest of them holds.
fn sanitize_patterns(working_dir: &Path) -> Rules {
    let file = working_dir.join(SANITIZE_PATTERNS);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Rules::default(),
        Err(error) => {
            warn!(%error, file = %file.display(), "the patterns cannot be read; nothing is masked by them");
            return Rules::default();
        }
    };
    let (rules, problems) = Rules::parse(&text);
    for problem in problems {
        warn!(file = %file.display(), "{problem}; the line is left out");
    }
    rules
}

/// Tells whoever installed this agent where health and metrics are, which port 0 leaves to the system. Without the file
/// the agent works all the same.
fn announce(working_dir: &Path, address: SocketAddr) {
    let file = working_dir.join(crate::install::HTTP_ADDRESS_FILE);
    let fresh = file.with_extension("new");
    let written = std::fs::write(&fresh, address.to_string()).and_then(|()| std::fs::rename(&fresh, &file));
    if let Err(problem) = written {
        warn!(error = %problem, file = %file.display(), "the address of health and metrics could not be announced");
    }
}

/// An agent that is ready to run.
#[derive(Debug)]
pub struct Agent {
    config: DelegateConfig,
    executor: Arc<Executor>,
    unfinished: Vec<Unfinished>,
    listener: TcpListener,
    http_address: SocketAddr,
    task_types: Vec<String>,
    telemetry: Option<Telemetry>,
}

impl Agent {
    /// Starts to put an agent together, with the standard task kinds.
    pub fn builder(config: DelegateConfig) -> AgentBuilder {
        AgentBuilder {
            config,
            registry: Registry::standard(),
            resolver: None,
            recorder: None,
            task_logs: None,
            transport: None,
        }
    }

    /// Where health and metrics are served.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Works until `shutdown` or a refused token ends it. Needs a tokio runtime with time and I/O. Dropping the future
    /// ends running tasks without an answer; the next start answers them.
    pub async fn run(self, mut shutdown: Shutdown) -> Exit {
        let Self {
            config,
            executor,
            unfinished,
            listener,
            http_address,
            task_types,
            telemetry,
        } = self;
        info!(address = %http_address, "health and metrics are served");
        let status = Arc::clone(&executor.status);
        let _health = AbortOnDropHandle::new(tokio::spawn(health::serve(listener, Arc::clone(&status))));
        let exports = telemetry.map(|telemetry| telemetry.start(&status));
        if let Some(script) = &config.init_script {
            let cancel = CancellationToken::new();
            let _cancel_at_stop = AbortOnDropHandle::new(tokio::spawn({
                let (cancel, mut shutdown) = (cancel.clone(), shutdown.clone());
                async move {
                    shutdown.at_least(Stop::Drain).await;
                    cancel.cancel();
                }
            }));
            let ran = init_script::run(script, config.shell.as_deref(), &config.working_dir, &cancel).await;
            if shutdown.now() > Stop::No {
                return Exit::Drained;
            }
            if let Err(reason) = ran {
                return Exit::InitScriptFailed { reason };
            }
        }
        let params = Arc::new(identity::params(&config, task_types));
        let registered = tokio::select! {
            registered = registration::register(&status.link, &params) => registered,
            () = shutdown.at_least(Stop::Drain) => return Exit::Drained,
        };
        if let Err(refused) = registered {
            return match refused.verdict() {
                Verdict::Dismissed(why) => Exit::Dismissed {
                    reason: why.to_string(),
                },
                _ => Exit::TokenRefused {
                    reason: format!("the manager refuses the token: {refused}"),
                },
            };
        }
        recovery::recover(&executor, unfinished);
        let mut loops = JoinSet::new();
        let (link, body) = (Arc::clone(&status), Arc::clone(&params));
        loops.spawn(async move { registration::keep_registered(&link.link, &body).await });
        let (link, body) = (status, params);
        loops.spawn(async move { heartbeat::beat(&link.link, &body).await });
        if !config.poll_for_tasks {
            let link = Arc::clone(&executor.status);
            loops.spawn(async move { streaming::keep_open(&link.link).await });
        }
        let thresholds = Thresholds {
            cpu: config.cpu_threshold,
            memory: config.memory_threshold,
        };
        let ledger = Arc::clone(&executor.status.ledger);
        loops.spawn(async move { load::watch(&ledger, thresholds).await });
        loops.spawn(runner_intake::poll(Arc::clone(&executor)));
        loops.spawn(intake::poll(Arc::clone(&executor)));
        let exit = drain::supervise(&executor, shutdown, loops, config.grace_period).await;
        if let Some(exports) = exports {
            exports.finish().await;
        }
        exit
    }
}
