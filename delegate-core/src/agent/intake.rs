//! Learning of tasks, and taking them.
//!
//! One question at a time. A manager that can wait answers when there is something; one that cannot answers at once,
//! and is asked every three seconds. While the token is refused nothing is taken. Polling goes on at full capacity and
//! while draining, because aborts come this way.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info};

use super::backoff::{Backoff, between};
use super::events::{Event, Recorder as _};
use super::execute::{Executor, Family, Offered};
use super::ledger::{Abort, Offer};
use crate::protocol::wire::{TaskEvent, TaskEventType};

/// How long the manager may wait for an event: below the 30 s at which common proxies cut a silent connection.
const LONG_POLL: Duration = Duration::from_secs(25);

/// An empty reply within this time came from a manager that does not wait.
const QUICK: Duration = Duration::from_secs(1);

/// Time between two questions to a manager that does not wait: three seconds with a fifth of jitter either way.
pub(super) const POLL_SOONEST: Duration = Duration::from_millis(2400);
pub(super) const POLL_LATEST: Duration = Duration::from_millis(3600);

/// The first pause after a reply that told nothing new; it doubles up to [`POLL_LATEST`]. Such a reply repeats tasks for
/// which there is no room, or an abort that is being obeyed.
const REPEAT_PAUSE: Duration = Duration::from_millis(250);

/// How long the next question waits for the acquires of the last reply: an event is repeated until it is acquired.
const ACQUIRE_WAIT: Duration = Duration::from_secs(1);

/// What a reply held for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    OnlyOldNews,
    News,
}

/// Polls for ever.
pub(super) async fn poll(executor: Arc<Executor>) {
    let link = &executor.status.link;
    let mut backoff = Backoff::default();
    let mut repeats = 0u32;
    let mut dropped = false;
    loop {
        let id = link.registered().await;
        let asked = Instant::now();
        let mut transports = link.transports();
        transports.mark_unchanged();
        // From before the question on: what leaves while the reply is on its way makes it an old one.
        let changed = executor.status.ledger.changed();
        // A manager that answered the dropped question waits before it says the same again, unless it is not to wait.
        let wait = if std::mem::take(&mut dropped) {
            Duration::ZERO
        } else {
            LONG_POLL
        };
        let asking = link.task_events(&id, wait);
        let told = tokio::select! {
            told = asking => told,
            // Asked again the other way: a question that is dropped loses nothing, because an event is repeated until
            // it is acted on.
            Ok(()) = transports.changed() => {
                dropped = true;
                continue;
            }
        };
        let events = match told {
            Ok(events) => events.delegate_task_events,
            Err(error) => {
                // What it means was decided by the link; here it only costs time.
                tokio::time::sleep(backoff.pause(error.retry_after())).await;
                continue;
            }
        };
        backoff.reset();
        match handle(&executor, &id, &events).await {
            Heard::News => repeats = 0,
            Heard::OnlyOldNews => {
                let pause = (REPEAT_PAUSE * (1 << repeats.min(4))).min(POLL_LATEST);
                repeats = repeats.saturating_add(1);
                // Room or an answered abort makes the next reply a different one.
                let _ = tokio::time::timeout(pause, changed).await;
            }
            Heard::Nothing => {
                repeats = 0;
                if !wait.is_zero() && asked.elapsed() < QUICK {
                    tokio::time::sleep(between(POLL_SOONEST, POLL_LATEST)).await;
                }
            }
        }
    }
}

async fn handle(executor: &Arc<Executor>, delegate_id: &Arc<str>, events: &[TaskEvent]) -> Heard {
    let mut heard = if events.is_empty() {
        Heard::Nothing
    } else {
        Heard::OnlyOldNews
    };
    let mut acquires = JoinSet::new();
    for event in events {
        let news = match event.event_type {
            TaskEventType::Abort => abort(executor, event),
            TaskEventType::Task => match take(
                executor,
                &event.account_id,
                &event.delegate_task_id,
                Offered {
                    delegate_id: Arc::clone(delegate_id),
                    kind: event.task_type.clone(),
                    family: Family::Task,
                },
            ) {
                Some(acquired) => {
                    acquires.spawn(acquired);
                    true
                }
                None => false,
            },
            TaskEventType::Other => {
                debug!(task = %event.delegate_task_id, "an event of an unknown type was ignored");
                false
            }
        };
        if news {
            heard = Heard::News;
        }
    }
    if !acquires.is_empty() {
        let all = async { while acquires.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(ACQUIRE_WAIT, all).await;
    }
    heard
}

fn abort(executor: &Executor, event: &TaskEvent) -> bool {
    let told = executor.status.ledger.abort(&event.delegate_task_id) == Abort::Told;
    if told {
        info!(task = %event.delegate_task_id, "aborting the task, as the manager asks");
    }
    told
}

/// Starts on an offered task; the returned future ends when it is known whether we got it.
pub(super) fn take(
    executor: &Arc<Executor>,
    account: &str,
    task: &str,
    offered: Offered,
) -> Option<impl Future<Output = ()> + use<>> {
    let status = &executor.status;
    let ours = [status_account(executor), ""].contains(&account);
    if !ours || !status.link.auth.is_accepted() {
        return None;
    }
    match status.ledger.offer(task) {
        Offer::Take(slot) => {
            let (acquired, known) = tokio::sync::oneshot::channel();
            executor.spawn(slot, offered, acquired);
            Some(async move {
                // The sender is dropped at the latest when the task is over.
                let _ = known.await;
            })
        }
        Offer::Full { first_time } => {
            if first_time {
                status.metrics.record(Event::TaskRejected { kind: &offered.kind });
                debug!(task, "no room for the task; it stays with the manager");
            }
            None
        }
        Offer::Known | Offer::Closed => None,
    }
}

fn status_account(executor: &Executor) -> &str {
    executor.account_id.as_str()
}
