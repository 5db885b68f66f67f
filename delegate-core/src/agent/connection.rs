//! Whether the manager can be reached, as every call observes it.
//!
//! Connected means: registered, and a call answered within the last three heartbeats. Loss and return are logged once
//! each, not per attempt.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::heartbeat;

/// Three heartbeats without an answer: the manager is away, or we are.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(3 * heartbeat::INTERVAL.as_secs());

#[derive(Debug, Default)]
struct Inner {
    last_answer: Option<Instant>,
    failing_since: Option<Instant>,
}

/// The connection to the manager.
#[derive(Debug, Default)]
pub(super) struct Connection(Mutex<Inner>);

impl Connection {
    /// A call was answered. Says whether this ended an outage.
    pub(super) fn answered(&self) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let was_lost = inner.last_answer.is_some_and(|last| now - last >= LOST_AFTER);
        if let Some(since) = inner.failing_since.take() {
            info!(
                after_seconds = (now - since).as_secs(),
                "the manager answers again"
            );
        }
        inner.last_answer = Some(now);
        was_lost
    }

    /// A call got no answer, or none from the manager.
    pub(super) fn failed(&self, error: &dyn std::fmt::Display) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.last_answer.is_none() {
            // The registration tells this story.
            debug!(%error, "the manager has not answered yet");
        } else if inner.failing_since.is_none() {
            inner.failing_since = Some(Instant::now());
            warn!(%error, "the manager cannot be reached; trying until it can");
        } else {
            debug!(%error, "the manager still cannot be reached");
        }
    }

    /// Whether the manager can be reached.
    pub(super) fn is_up(&self) -> bool {
        self.silence().is_some_and(|silence| silence < LOST_AFTER)
    }

    /// Time since the last answer; `None` before the first.
    pub(super) fn silence(&self) -> Option<Duration> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last_answer.map(|last| last.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_lost_after_three_silent_heartbeats_and_returns_with_an_answer() {
        let connection = Connection::default();
        assert!(!connection.is_up());
        assert!(!connection.answered(), "the first answer ends no outage");
        tokio::time::advance(LOST_AFTER.saturating_sub(Duration::from_millis(1))).await;
        connection.failed(&"reset");
        assert!(connection.is_up(), "one failed call is no outage");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!connection.is_up());
        assert!(connection.answered());
        assert!(connection.is_up());
    }
}
