//! Task logs on standard output, one JSON row a line (`HARNESS_LOG_STREAMING_STDOUT_ENABLED`).
//!
//! One thread writes, because a pipe that nobody reads blocks its writer. Rows wait in a bounded queue; when that is full,
//! a task is slowed for a bounded time, and then rows are dropped and counted. The log service gets every line all the
//! same.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::mpsc;
use tracing::warn;

use super::events::{Recorder as _, TaskLabels};
use super::logs::lost;
use super::metrics::Metrics;
use crate::protocol::wire::LogLine;
use crate::task::LogSink;

/// Batches of rows that wait to be written.
const QUEUE: usize = 256;

/// How long a batch waits for room before it is dropped.
const PATIENCE: Duration = Duration::from_secs(1);

/// The writing thread's queue. The thread ends when everything that writes to it is gone.
#[derive(Debug, Clone)]
pub(super) struct StdoutLog(mpsc::Sender<Vec<u8>>);

impl StdoutLog {
    pub(super) fn start() -> std::io::Result<Self> {
        let (sender, mut batches) = mpsc::channel::<Vec<u8>>(QUEUE);
        std::thread::Builder::new()
            .name("task logs".to_owned())
            .spawn(move || {
                let mut out = std::io::stdout();
                while let Some(rows) = batches.blocking_recv() {
                    if let Err(error) = out.write_all(&rows).and_then(|()| out.flush()) {
                        warn!(%error, "standard output takes no task logs any more");
                        return;
                    }
                }
            })?;
        Ok(Self(sender))
    }

    /// A log that goes there, and on to `next`.
    pub(super) fn tee(
        &self,
        task: TaskLabels,
        next: Arc<dyn LogSink>,
        metrics: Arc<Metrics>,
    ) -> Arc<dyn LogSink> {
        Arc::new(Tee {
            log: self.clone(),
            task,
            next,
            metrics,
        })
    }
}

struct Tee {
    log: StdoutLog,
    task: TaskLabels,
    next: Arc<dyn LogSink>,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl LogSink for Tee {
    async fn write(&self, lines: Vec<LogLine>) {
        let mut rows = Vec::new();
        for line in &lines {
            let row = json!({
                "timestamp": line.time,
                "level": line.level.to_uppercase(),
                "message": line.out.trim_end_matches('\n'),
                "logType": "EXECUTION_LOGS",
                "logAbstractions": self.task.abstractions,
                "logContext": {"taskId": self.task.id},
                "logKey": self.task.key,
                "commandUnit": self.task.abstractions.get("commandUnit"),
            });
            // Writing into memory does not fail.
            let _ = writeln!(rows, "{row}");
        }
        if self.log.0.send_timeout(rows, PATIENCE).await.is_err() {
            self.metrics.record(lost(&lines));
        }
        self.next.write(lines).await;
    }
}
