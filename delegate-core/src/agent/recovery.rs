//! Putting right what an earlier life left open.
//!
//! A task that had ended is answered with its result. One that was running is never run again: what is left of its
//! processes is ended, and it is answered once, as failed. One that was only about to be acquired is answered as failed
//! too, in case the manager gave it to us; otherwise that answer has no effect, and the task may be offered and taken.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, info, info_span, warn};

use super::events::{Event, Outcome, Recorder as _};
use super::execute::Executor;
use super::journal::{Progress, Unfinished};
use crate::process::kill_marked;
use crate::protocol::wire::TaskResponse;

/// Answers what is open, in the background.
pub(super) fn recover(executor: &Arc<Executor>, unfinished: Vec<Unfinished>) {
    if !unfinished.is_empty() {
        info!(
            tasks = unfinished.len(),
            "answering tasks that an earlier run of this delegate left open"
        );
    }
    for open in unfinished {
        let Some(slot) = executor.status.ledger.recover(&open.task) else {
            continue;
        };
        let span = info_span!("task", id = %open.task, kind = %open.kind);
        let executor = Arc::clone(executor);
        let tracker = executor.tasks.clone();
        let work = async move {
            let response = answer_of(&executor, &open).await;
            executor.answer(&open.delegate, response).await;
            if open.progress == Progress::Taken {
                slot.forget();
            }
        };
        tracker.spawn(work.instrument(span));
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
            "the delegate was restarted while the task ran; the task was not run again"
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
