//! Waiting for no longer than a task may.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::protocol::wire::CommandStatus;

/// When a time that begins now is over. A time that no clock reaches is none.
pub(super) fn end_of(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Waits for `work`, and drops it at `end` or when the task is aborted; the error says which.
pub(super) async fn bounded<T>(
    work: impl Future<Output = T>,
    end: Option<Instant>,
    cancel: &CancellationToken,
) -> Result<T, CommandStatus> {
    let over = async {
        match end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = cancel.cancelled() => Err(CommandStatus::Aborted),
        () = over => Err(CommandStatus::Timeout),
    }
}
