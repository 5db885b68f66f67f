//! Putting right what an earlier life left open.
//!
//! A task that had ended is answered with its result. One that was running is never run again: what is left of its
//! processes is ended, and it is answered once, as failed. One that was only about to be acquired is answered as failed
//! too, in case the manager gave it to us; otherwise that answer has no effect, and the task may be offered and taken.
//! The lines of their logs that were not sent are sent, also of tasks that were answered.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, info, info_span, warn};

use super::events::{Event, Outcome, Recorder as _};
use super::execute::Executor;
use super::journal::{Progress, Unfinished};
use super::ledger::Slot;
use super::logs::{self, Leftovers, Unsent};
use crate::process::kill_marked;
use crate::protocol::wire::TaskResponse;

/// What is said of a task that ran when the agent died.
const INTERRUPTED: &str = "the delegate was restarted while the task ran; the task was not run again";

/// Answers what is open and sends what is left of logs, in the background. To be called before there are new tasks.
pub(super) fn recover(executor: &Arc<Executor>, unfinished: Vec<Unfinished>) {
    let leftovers = Leftovers::find(&executor.logs);
    if unfinished.is_empty() && leftovers.is_empty() {
        return;
    }
    if !unfinished.is_empty() {
        info!(
            tasks = unfinished.len(),
            "answering tasks that an earlier run of this delegate left open"
        );
    }
    // In hand from now on: they may be offered again before their answers are on the way.
    let in_hand: Vec<_> = unfinished
        .into_iter()
        .filter_map(|open| Some((executor.status.ledger.recover(&open.task)?, open)))
        .collect();
    let executor = Arc::clone(executor);
    let tracker = executor.tasks.clone();
    tracker.spawn(async move {
        let mut logs = leftovers.read().await;
        for (slot, open) in in_hand {
            let span = info_span!("task", id = %open.task, kind = %open.kind);
            let log = logs.iter().position(|log| log.task() == open.task);
            let log = log.map(|at| logs.swap_remove(at));
            let work = put_right(Arc::clone(&executor), slot, open, log);
            executor.tasks.spawn(work.instrument(span));
        }
        // Their tasks are answered; only the ends of the logs are missing.
        for log in logs {
            executor.log_ends.spawn(end_log(Arc::clone(&executor), log, None));
        }
    });
}

async fn put_right(executor: Arc<Executor>, slot: Slot, open: Unfinished, log: Option<Unsent>) {
    let response = answer_of(&executor, &open).await;
    if let Some(log) = log {
        // Its last line says what became of the task, as the answer does.
        let interrupted = open.progress == Progress::Started;
        let last = interrupted.then(|| INTERRUPTED.to_owned());
        end_log(Arc::clone(&executor), log, last).await;
    }
    executor.answer(&open.delegate, response).await;
    if open.progress == Progress::Taken {
        slot.forget();
    }
}

/// Sends the rest of a log; what takes long, in the background.
async fn end_log(executor: Arc<Executor>, log: Unsent, last: Option<String>) {
    let (logs, status) = (Arc::clone(&executor.logs), Arc::clone(&executor.status));
    if let Some(rest) = logs::finish(log, last, logs, status).await {
        executor.log_ends.spawn(rest);
    }
}

async fn answer_of(executor: &Executor, open: &Unfinished) -> TaskResponse {
    let reason = match &open.progress {
        Progress::Finished(response) => return (**response).clone(),
        Progress::Started => {
            let ended = kill_marked(&open.task).await;
            if ended > 0 {
                info!(
                    processes = ended,
                    "ended what an interrupted task had left running"
                );
            }
            executor.status.metrics.record(Event::TaskEnded {
                kind: &open.kind,
                outcome: Outcome::Failed,
                took: Duration::ZERO,
            });
            INTERRUPTED
        }
        Progress::Taken => "the delegate was restarted before the task began",
    };
    TaskResponse::failed(&open.task, &open.kind, reason)
}

/// Removes the directories of interrupted tasks. Nobody else uses them: the journal's lock is ours.
pub(super) fn remove_leftovers(work_root: &Path) {
    match std::fs::remove_dir_all(work_root) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            warn!(path = %work_root.display(), %error, "what interrupted tasks left cannot be removed");
        }
    }
}
