//! Tasks that are over, as traces: gathered into batches, and sent until they are taken or it is too late.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::spans::{Finished, SPANS_OF_A_TASK};
use super::{Traces, attribute, nanos, scope};
use crate::agent::backoff::Backoff;
use crate::agent::events::Outcome;
use crate::protocol::otlp::wire::{
    ExportTraces, Resource, ResourceSpans, ScopeSpans, Span, SpanKind, Status, StatusCode,
};
use crate::protocol::wire::CommandStatus;

/// Tasks in one message: 512 spans, as the specification has it.
const BATCH: usize = 128;

/// How long one batch is tried. A collector that is away longer costs what the queue does not hold.
const TRY_FOR: Duration = Duration::from_secs(60);

/// Exports until `closing`, and then what is left.
pub(super) async fn export(mut traces: Traces, resource: Resource, closing: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        gather(&mut traces.queue, &mut batch, traces.delay, &closing).await;
        if batch.is_empty() {
            return;
        }
        let message = message(&batch, &resource);
        let spans = std::mem::take(&mut batch).len() * SPANS_OF_A_TASK;
        let delivered = deliver(&mut traces, &message, &closing).await;
        traces.spans.lose(delivered.unwrap_or(spans as u64));
    }
}

/// Fills a batch. Returns when it is full, or its first has waited for so long, or at the end; empty only when nothing is
/// left at the end.
async fn gather(
    queue: &mut mpsc::Receiver<Finished>,
    batch: &mut Vec<Finished>,
    delay: Duration,
    closing: &CancellationToken,
) {
    if closing
        .run_until_cancelled(queue.recv_many(batch, BATCH))
        .await
        .is_none()
    {
        while batch.len() < BATCH
            && let Ok(finished) = queue.try_recv()
        {
            batch.push(finished);
        }
        return;
    }
    let end = Instant::now() + delay;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        tokio::select! {
            received = queue.recv_many(batch, room) => if received == 0 { return },
            () = sleep_until(end) => return,
            () = closing.cancelled() => return,
        }
    }
}

/// Sends a message until it is taken; `None` when it never was. Returns how many spans of it were not.
async fn deliver(traces: &mut Traces, message: &ExportTraces, closing: &CancellationToken) -> Option<u64> {
    let began = Instant::now();
    let mut backoff = Backoff::default();
    loop {
        // At the end there is one attempt, or one more.
        let last = closing.is_cancelled();
        let refused = match traces.listener.send(message).await {
            Ok(rejected) => return Some(rejected),
            Err(refused) => refused,
        };
        if !refused.again || last || began.elapsed() > TRY_FOR {
            return None;
        }
        let pause = backoff.pause(refused.retry_after);
        closing.run_until_cancelled(sleep(pause)).await;
    }
}

fn message(batch: &[Finished], resource: &Resource) -> ExportTraces {
    ExportTraces {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans: batch.iter().flat_map(spans).collect(),
            }],
        }],
    }
}

/// The task, and its parts in their order.
fn spans(finished: &Finished) -> [Span; SPANS_OF_A_TASK] {
    let Finished {
        trace,
        id,
        kind,
        outcome,
        answered,
        course,
    } = finished;
    // Zero is no id.
    let new_id = || fastrand::u64(1..).to_be_bytes().to_vec();
    let task = new_id();
    let span = |from: Duration, to: Duration| Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: new_id(),
        parent_span_id: task.clone(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanos(course.offered + from),
        end_time_unix_nano: nanos(course.offered + to),
        status: Some(Status::default()),
        ..Span::default()
    };
    let ran = status(*outcome);
    let delivered = if *answered {
        Status::default()
    } else {
        failed("left to the next start")
    };
    [
        Span {
            span_id: task.clone(),
            parent_span_id: Vec::new(),
            name: format!("task {kind}"),
            // Somebody else made the task, and does not wait on a line for it.
            kind: SpanKind::Consumer.into(),
            attributes: vec![
                attribute("harness.task.id", &**id),
                attribute("harness.task.kind", &**kind),
                attribute("harness.task.outcome", outcome.as_str()),
            ],
            status: Some(ran.clone()),
            ..span(Duration::ZERO, course.over)
        },
        Span {
            name: "acquire".to_owned(),
            ..span(Duration::ZERO, course.acquired)
        },
        Span {
            name: "run".to_owned(),
            status: Some(ran),
            ..span(course.acquired, course.ended)
        },
        Span {
            name: "answer".to_owned(),
            status: Some(delivered),
            ..span(course.ended, course.over)
        },
    ]
}

/// What was ended on purpose, or is another's now, is no error; nor is it said to be in order.
fn status(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Ran(CommandStatus::Success | CommandStatus::Skipped | CommandStatus::Aborted)
        | Outcome::PassedOn => Status::default(),
        Outcome::Ran(CommandStatus::Failure | CommandStatus::Timeout) | Outcome::Failed => {
            failed(outcome.as_str())
        }
    }
}

fn failed(why: &str) -> Status {
    Status {
        code: StatusCode::Error.into(),
        message: why.to_owned(),
    }
}
