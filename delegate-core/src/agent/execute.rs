//! One task, from its acquire to its answer.
//!
//! In this order, and no other: journal "taken" → acquire, while the disk takes the record → journal "started" → run →
//! end of the log → journal "finished" → answer → journal "closed". Whatever is interrupted between two of these is put
//! right by [`super::recovery`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use indexmap::IndexMap;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span, warn};
use url::Url;

use super::backoff::Backoff;
use super::events::{Course, Event, Outcome, Recorder as _, TaskLabels, TaskLogs};
use super::journal::{Journal, Record, WriteError};
use super::ledger::Slot;
use super::logs::{self, LogWorker, Logs};
use super::report::{self, Delivery};
use super::status::Status;
use super::stdout_log::StdoutLog;
use super::zero_trust::{self, Gate, Package};
use crate::Secret;
use crate::config::AccountId;
use crate::protocol::client::Verdict;
use crate::protocol::runner::{Logger, Request};
use crate::protocol::wire::{CommandStatus, LogLine, ResponseCode, Task, TaskResponse};
use crate::task::{LogSink, Runner};

/// How long an acquire whose outcome is unknown is repeated. Until then the manager may count on us.
const ACQUIRE_PATIENCE: Duration = Duration::from_secs(600);

/// A task that we did not get is not looked at again for this long, so that a manager that offers it on does not make
/// us ask without pause.
const NOT_OURS: Duration = Duration::from_secs(3);

/// What running a task takes.
#[derive(Debug)]
pub(super) struct Executor {
    pub(super) status: Arc<Status>,
    pub(super) account_id: AccountId,
    pub(super) runner: RunnerDebug,
    pub(super) journal: Journal,
    pub(super) logs: Arc<Logs>,
    /// Task logs on standard output, where that is switched on.
    stdout_log: Option<StdoutLog>,
    /// Where else, or where instead, they go.
    task_logs: Option<LogsDebug>,
    /// The service that is asked before each task, where there is one.
    gate: Option<Gate>,
    /// Tasks in hand, answers included.
    pub(super) tasks: TaskTracker,
    /// Ends of logs that are still being sent.
    pub(super) log_ends: TaskTracker,
    /// Cancelled when answers are left to the next life.
    pub(super) give_up: CancellationToken,
    /// Cancelled when the tasks are ended because the agent is: then their answers say so.
    pub(super) cut_short: CancellationToken,
    /// Answers that were left to the next life.
    postponed: AtomicUsize,
}

/// The runner, whose settings hold secrets and do not print.
pub(super) struct RunnerDebug(pub(super) Runner);

impl std::fmt::Debug for RunnerDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runner")
    }
}

/// Somebody else's, which need not print.
pub(super) struct LogsDebug(pub(super) Arc<dyn TaskLogs>);

impl std::fmt::Debug for LogsDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TaskLogs")
    }
}

/// A task that was offered.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    pub(super) delegate_id: Arc<str>,
    pub(super) kind: String,
    pub(super) family: Family,
}

/// In which of the two protocols a task comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Task events and acquire.
    Task,
    /// Runner events and requests.
    Runner,
}

/// What there is to do.
enum Work {
    Task(Box<Task>),
    Requests(Vec<Request>),
}

/// What came of a run.
struct Ran {
    response: TaskResponse,
    /// Of the run itself, whatever became of its result after it.
    outcome: Outcome,
    ended: Instant,
}

/// What came of an acquire.
enum Acquired {
    Ours(Work),
    NotOurs,
    /// The manager may have given it to us.
    Unknown,
}

impl Executor {
    pub(super) fn new(
        status: Arc<Status>,
        account_id: AccountId,
        runner: RunnerDebug,
        journal: Journal,
        logs: Logs,
        stdout_log: Option<StdoutLog>,
        gate: Option<Gate>,
    ) -> Self {
        Self {
            task_logs: None,
            status,
            account_id,
            runner,
            journal,
            logs: Arc::new(logs),
            stdout_log,
            gate,
            tasks: TaskTracker::new(),
            log_ends: TaskTracker::new(),
            give_up: CancellationToken::new(),
            cut_short: CancellationToken::new(),
            postponed: AtomicUsize::new(0),
        }
    }

    /// The logs of tasks go there from now on.
    pub(super) fn with_task_logs(mut self, logs: Option<Arc<dyn TaskLogs>>) -> Self {
        self.task_logs = logs.map(LogsDebug);
        self
    }

    /// Answers that wait in the journal for the next start.
    pub(super) fn postponed(&self) -> usize {
        self.postponed.load(Ordering::Relaxed)
    }

    /// Starts on a task that was offered. `acquired` is dropped when it is known whether we got it.
    pub(super) fn spawn(self: &Arc<Self>, slot: Slot, offered: Offered, acquired: oneshot::Sender<()>) {
        let span = info_span!("task", id = slot.id(), kind = offered.kind);
        let this = Arc::clone(self);
        self.tasks
            .spawn(async move { this.run(slot, offered, acquired).await }.instrument(span));
    }

    async fn run(&self, slot: Slot, offered: Offered, acquired: oneshot::Sender<()>) {
        let (began, offered_at) = (Instant::now(), SystemTime::now());
        let id = slot.id().to_owned();
        let delegate_id = &*offered.delegate_id;
        let taken = Record::Taken {
            task: id.clone(),
            delegate: delegate_id.to_owned(),
            kind: offered.kind.clone(),
        };
        if self.journal.write(taken).await.is_err() {
            // What cannot be written down is not taken. The journal has said why.
            return let_go(slot);
        }
        // The disk and the manager are waited for together: nothing runs before both.
        let (work, remembered) = tokio::join!(self.acquire(&offered, &id), self.journal.sync());
        let work = match work {
            Acquired::Ours(work) => work,
            Acquired::NotOurs => {
                self.journal.close(&id).await;
                return let_go(slot);
            }
            Acquired::Unknown if self.status.is_draining() => {
                // The journal knows; the next start asks the manager by answering.
                self.postponed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Acquired::Unknown => {
                let reason = "the delegate could not reach the manager to take the task";
                let response = TaskResponse::failed(&id, offered.kind.clone(), reason);
                self.answer(delegate_id, response).await;
                return slot.forget();
            }
        };
        drop(acquired);
        let acquired = began.elapsed();
        let kind = match &work {
            Work::Task(task) if !task.kind.is_empty() => task.kind.clone(),
            _ => offered.kind.clone(),
        };
        let ran = self
            .perform(&slot, delegate_id, kind.clone(), work, remembered)
            .await;
        let delivery = self.answer(delegate_id, ran.response).await;
        self.status.metrics.record(Event::TaskOver {
            id: &id,
            kind: &kind,
            outcome: ran.outcome,
            answered: delivery == Delivery::Over,
            course: Course {
                offered: offered_at,
                acquired,
                ended: ran.ended - began,
                over: began.elapsed(),
            },
        });
    }

    /// Acquires, repeating what has an unknown outcome: the manager lets the same delegate acquire a task twice.
    async fn acquire(&self, offered: &Offered, id: &str) -> Acquired {
        let mut backoff = Backoff::default();
        let began = Instant::now();
        let (link, delegate_id) = (&self.status.link, &*offered.delegate_id);
        loop {
            let got = match offered.family {
                Family::Task => link
                    .acquire(delegate_id, id)
                    .await
                    .map(|task| Work::Task(Box::new(task))),
                Family::Runner => {
                    let payload = link.payload(delegate_id, id).await;
                    payload.map(|payload| Work::Requests(payload.requests))
                }
            };
            let (error, asked) = match got {
                Ok(Work::Task(task)) if !task.id.is_empty() && task.id != id => {
                    // A reply that belongs to another question. To run it would be to run that task a second time.
                    (format!("the reply is about task {}", task.id), None)
                }
                Ok(work) => return Acquired::Ours(work),
                Err(failed) if failed.verdict() != Verdict::Retry => {
                    // Another delegate has it, or it is over: everyday life.
                    debug!(error = %failed, "not our task");
                    return Acquired::NotOurs;
                }
                Err(failed) => (failed.to_string(), failed.retry_after()),
            };
            if began.elapsed() > ACQUIRE_PATIENCE || self.status.is_draining() {
                warn!(error, "the task could not be acquired");
                return Acquired::Unknown;
            }
            tokio::time::sleep(backoff.pause(asked)).await;
        }
    }

    /// Runs the task and ends its log. The answer is in the journal when this returns.
    async fn perform(
        &self,
        slot: &Slot,
        delegate_id: &str,
        kind: String,
        work: Work,
        remembered: Result<(), WriteError>,
    ) -> Ran {
        let id = slot.id().to_owned();
        let started = Record::Started {
            task: id.clone(),
            kind: kind.clone(),
        };
        let began = Instant::now();
        let mut log = None;
        let remembered = match remembered {
            Ok(()) => self.journal.write(started).await,
            failed => failed,
        };
        let mut response = if let Err(error) = remembered {
            TaskResponse::failed(
                &id,
                &kind,
                format!("the delegate will not run what it cannot remember: {error}"),
            )
        } else if slot.cancel().is_cancelled() {
            aborted(&id, &kind, "aborted before it began")
        } else {
            info!("started");
            self.status.metrics.record(Event::TaskStarted { kind: &kind });
            let (sink, worker) = self.log(&id, &kind, &work);
            log = worker;
            let (cancel, runner) = (slot.cancel().clone(), &self.runner.0);
            let allowed = self.verify(&id, &kind, delegate_id, &work).await;
            match (allowed, work) {
                (Err(why), _) => TaskResponse::failed(&id, &kind, why),
                (Ok(()), Work::Task(task)) => {
                    let task = Task {
                        id: id.clone(),
                        kind: kind.clone(),
                        ..*task
                    };
                    runner.run(task, cancel, sink).await
                }
                (Ok(()), Work::Requests(requests)) => {
                    runner
                        .run_requests(id.clone(), kind.clone(), requests, cancel, sink)
                        .await
                }
            }
        };
        if self.cut_short.is_cancelled() {
            say_why(&mut response);
        }
        slot.run_ended();
        let ended = Instant::now();
        let (outcome, took) = (outcome(&response), ended - began);
        self.status.metrics.record(Event::TaskEnded {
            kind: &kind,
            outcome,
            took,
        });
        info!(outcome = outcome.as_str(), ?took, "ended");
        if let Some(worker) = log
            && let Some(rest) = worker.close().await
        {
            self.log_ends.spawn(rest);
        }
        if let Some(gate) = &self.gate
            && let Err(why) = gate.output(&response).await
        {
            response = zero_trust::withheld(&response, why);
        }
        let response = report::bounded(response);
        let finished = Record::Finished {
            task: id,
            response: response.clone(),
        };
        // Should this fail, or a power failure take it back, the next start would answer "restarted while it ran" where
        // the delivery did not succeed: late, but truthful.
        let _ = self.journal.write(finished).await;
        Ran {
            response,
            outcome,
            ended,
        }
    }

    /// Delivers an answer and closes the books on its task.
    pub(super) async fn answer(&self, delegate_id: &str, response: TaskResponse) -> Delivery {
        let id = response.id.clone();
        let Status { link, metrics, .. } = &*self.status;
        let delivery = report::deliver(link, metrics, delegate_id, response, &self.give_up).await;
        match delivery {
            Delivery::Over => self.journal.close(&id).await,
            Delivery::Postponed => {
                self.postponed.fetch_add(1, Ordering::Relaxed);
                info!("the answer stays in the journal and is sent at the next start");
            }
        }
        delivery
    }

    /// Asks the owner's service, where there is one.
    async fn verify(&self, id: &str, kind: &str, delegate_id: &str, work: &Work) -> Result<(), String> {
        let Some(gate) = &self.gate else { return Ok(()) };
        let parts;
        let (data, timeout, is_async, log_key, abstractions) = match work {
            Work::Task(task) => (
                &task.data,
                task.timeout,
                task.is_async,
                task.logging.key(),
                json!(task.logging.abstractions),
            ),
            Work::Requests(requests) => {
                let shown = |request: &Request| json!({"type": request.task.kind, "data": request.task.data});
                parts = requests.iter().map(shown).collect();
                (&parts, 0, true, String::new(), json!({}))
            }
        };
        let package = Package {
            id,
            kind,
            delegate_id,
            timeout,
            is_async,
            data,
            log_key: &log_key,
            abstractions,
        };
        gate.verify(&package).await
    }

    fn log(&self, id: &str, kind: &str, work: &Work) -> (Arc<dyn LogSink>, Option<LogWorker>) {
        let (elsewhere, key, token) = match work {
            Work::Task(task) => (None, task.logging.key(), task.logging.token.clone()),
            Work::Requests(requests) => {
                let logger = requests.iter().find_map(|request| request.task.logger.clone());
                let Logger { address, token, key } = logger.unwrap_or_default();
                (address.parse::<Url>().ok(), key, token)
            }
        };
        let service = match &elsewhere {
            Some(address) => self.logs.service.elsewhere(address.clone()),
            None => Arc::clone(&self.logs.service),
        };
        let (sink, worker): (Arc<dyn LogSink>, _) = if key.is_empty() || token.is_empty() {
            debug!("the task brings no log key or no log token; the log service gets no log of it");
            (Arc::new(Nowhere), None)
        } else {
            let log = service.log(key.clone(), Secret::new(&token));
            let (logs, status) = (Arc::clone(&self.logs), Arc::clone(&self.status));
            let (sink, worker) = logs::start(id.to_owned(), log, elsewhere, logs, status);
            (Arc::new(sink), Some(worker))
        };
        if self.stdout_log.is_none() && self.task_logs.is_none() {
            return (sink, worker);
        }
        let labels = TaskLabels {
            id: id.to_owned(),
            kind: kind.to_owned(),
            key,
            abstractions: match work {
                Work::Task(task) => task.logging.abstractions.clone(),
                Work::Requests(_) => IndexMap::new(),
            },
        };
        let sink = match &self.stdout_log {
            Some(log) => log.tee(labels.clone(), sink, Arc::clone(&self.status.metrics)),
            None => sink,
        };
        let sink = match &self.task_logs {
            Some(LogsDebug(logs)) => logs.open(&labels, sink),
            None => sink,
        };
        (sink, worker)
    }
}

/// The log of a task that has none.
struct Nowhere;

#[async_trait]
impl LogSink for Nowhere {
    async fn write(&self, _lines: Vec<LogLine>) {}
}

/// Keeps the id known for a moment, without using room, then lets it go. Outside the tracker: a drain waits for work only.
fn let_go(slot: Slot) {
    slot.run_ended();
    tokio::spawn(async move {
        tokio::time::sleep(NOT_OURS).await;
        slot.forget();
    });
}

fn aborted(id: &str, kind: &str, reason: &str) -> TaskResponse {
    let mut response = TaskResponse::failed(id, kind, reason);
    response.code = ResponseCode::Ok;
    response.data["command_execution_status"] = serde_json::json!(CommandStatus::Aborted);
    response
}

/// An abort that nobody asked the manager for needs its reason.
fn say_why(response: &mut TaskResponse) {
    if outcome(response) == Outcome::Ran(CommandStatus::Aborted) {
        response.data["error_message"] = "the delegate was stopped before the task ended".into();
    }
}

fn outcome(response: &TaskResponse) -> Outcome {
    match response.code {
        ResponseCode::Failed => Outcome::Failed,
        ResponseCode::RetryOnOtherDelegate => Outcome::PassedOn,
        ResponseCode::Ok => response
            .data
            .get("command_execution_status")
            .and_then(|status| serde_json::from_value(status.clone()).ok())
            .map_or(Outcome::Failed, Outcome::Ran),
    }
}
