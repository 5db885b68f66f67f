//! Delivering answers: tried until the manager has taken or refused them for good.
//!
//! Repeating is safe, because a manager takes a repeated response as done. An answer that cannot be delivered before the
//! agent ends stays in the journal for its next life.

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::events::{Event, Recorder as _};
use super::link::Link;
use super::metrics::Metrics;
use crate::protocol::client::{CallError, Verdict};
use crate::protocol::wire::TaskResponse;

/// Largest answer sent, in bytes: what managers of this protocol take.
const MAX_RESPONSE: usize = 16 * 1024 * 1024;

/// How an attempt to answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The manager took it, or refused it for good: the task is over.
    Over,
    /// Given up for this life.
    Postponed,
}

/// Delivers an answer under the delegate id that the task was acquired with, until `give_up`.
pub(super) async fn deliver(
    link: &Link,
    metrics: &Metrics,
    delegate_id: &str,
    mut response: TaskResponse,
    give_up: &CancellationToken,
) -> Delivery {
    let mut backoff = Backoff::default();
    let mut replaced = false;
    loop {
        let Some(result) = give_up
            .run_until_cancelled(link.respond(delegate_id, &response))
            .await
        else {
            return Delivery::Postponed;
        };
        let failed = match result {
            Ok(()) => {
                if backoff.attempts() > 0 {
                    info!(task = %response.id, attempts = backoff.attempts() + 1, "the answer was delivered");
                }
                return Delivery::Over;
            }
            Err(failed) => failed,
        };
        match failed.verdict() {
            Verdict::Final if is_too_large(&failed) && !replaced => {
                // Nobody may be left waiting because an answer is long.
                response = too_large(&response, "the manager");
                replaced = true;
                continue;
            }
            // A manager that has forgotten this delegate has no use for its answers either.
            Verdict::Final | Verdict::NotRegistered | Verdict::Dismissed(_) => {
                // Mostly: aborted or expired meanwhile. Without effect on the task, hence no warning about it.
                info!(task = %response.id, error = %failed, "the manager did not take the answer");
                return Delivery::Over;
            }
            // Nobody mints another token while we end for the want of one.
            Verdict::TokenRefused(_) if link.auth.is_given_up() => return Delivery::Postponed,
            Verdict::Retry | Verdict::TokenRefused(_) => {}
        }
        metrics.record(Event::AnswerRetried);
        let pause = backoff.pause(failed.retry_after());
        if backoff.attempts() == 1 {
            warn!(task = %response.id, error = %failed, "the answer could not be delivered; trying until it can");
        } else {
            debug!(task = %response.id, error = %failed, attempt = backoff.attempts(), "the answer is not delivered yet");
        }
        if give_up
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            return Delivery::Postponed;
        }
    }
}

fn is_too_large(failed: &CallError) -> bool {
    failed.status() == Some(http::StatusCode::PAYLOAD_TOO_LARGE)
}

/// The answer itself, unless it is larger than managers take.
pub(super) fn bounded(response: TaskResponse) -> TaskResponse {
    let size = serde_json::to_vec(&response).map_or(0, |bytes| bytes.len());
    if size > MAX_RESPONSE {
        too_large(&response, "the protocol")
    } else {
        response
    }
}

fn too_large(response: &TaskResponse, whom: &str) -> TaskResponse {
    let size = serde_json::to_vec(response).map_or(0, |bytes| bytes.len());
    TaskResponse::failed(
        &response.id,
        &response.kind,
        format!(
            "the task ended, but its result of {size} bytes is more than {whom} takes; write large results to a \
             store and return where they are"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversized_answer_becomes_a_failure_that_says_so() {
        let mut response = TaskResponse::failed("t", "K", "x".repeat(MAX_RESPONSE));
        response.code = crate::protocol::wire::ResponseCode::Ok;
        let sent = bounded(response);
        assert_eq!(sent.code, crate::protocol::wire::ResponseCode::Failed);
        let reason = sent.data["error_message"].as_str().unwrap();
        assert!(reason.contains("bytes is more than"), "{reason}");
        let small = TaskResponse::failed("t", "K", "x");
        assert_eq!(bounded(small.clone()), small);
    }
}
