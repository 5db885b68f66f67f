//! Tasks of the early runner protocol, from managers that speak it.
//!
//! Asked beside the task events, every three seconds. A manager that answers that there is no such thing is not asked
//! again until it is registered with anew; ours, which offers the persistent connection instead, is never asked.

use std::sync::Arc;

use super::backoff::{Backoff, between};
use super::execute::{Executor, Family, Offered};
use super::intake::{POLL_LATEST, POLL_SOONEST, take};
use crate::protocol::client::Verdict;

/// Asks for ever.
pub(super) async fn poll(executor: Arc<Executor>) {
    let link = &executor.status.link;
    let mut backoff = Backoff::default();
    loop {
        let id = link.registered().await;
        if link.offers_stream() {
            link.registered_as_other(&id).await;
            continue;
        }
        let events = match link.runner_events(&id).await {
            Ok(events) => events.delegate_runner_events,
            Err(failed) if failed.verdict() == Verdict::Final => {
                link.registered_as_other(&id).await;
                continue;
            }
            Err(failed) => {
                tokio::time::sleep(backoff.pause(failed.retry_after())).await;
                continue;
            }
        };
        backoff.reset();
        for event in events {
            let offered = Offered {
                delegate_id: Arc::clone(&id),
                kind: event.task_type,
                family: Family::Runner,
            };
            // Whether we get it is the executor's matter; the next question comes late enough for that to be known.
            drop(take(&executor, &event.account_id, &event.task_id, offered));
        }
        tokio::time::sleep(between(POLL_SOONEST, POLL_LATEST)).await;
    }
}
