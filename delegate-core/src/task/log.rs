//! The log of a task.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Mutex;

use super::Secrets;
use crate::process::{Line, LineSink, MAX_LINE_BYTES, Stream, TRUNCATED_SUFFIX};
use crate::protocol::wire::LogLine;

/// Where the lines of a task's log go. What arrives is masked, in order, and numbered without gaps.
#[async_trait]
pub trait LogSink: Send + Sync {
    /// Takes a batch of at least one line. The task waits for it, so a sink keeps lines rather than waiting for a
    /// network; it deals with its own failures.
    async fn write(&self, lines: Vec<LogLine>);
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What a program wrote to its standard output, and what is good to know.
    Info,
    /// What may surprise.
    Warn,
    /// What a program wrote to its standard error, and what went wrong.
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Writes the log of one task. Clones write to the same log.
#[derive(Clone)]
pub struct LogWriter {
    log: Arc<Log>,
}

struct Log {
    sink: Arc<dyn LogSink>,
    secrets: Secrets,
    /// Position of the next line. Held while writing, so that lines arrive in the order of their positions.
    position: Mutex<u64>,
}

impl LogWriter {
    pub(super) fn new(sink: Arc<dyn LogSink>, secrets: Secrets) -> Self {
        Self {
            log: Arc::new(Log {
                sink,
                secrets,
                position: Mutex::new(0),
            }),
        }
    }

    /// Writes a text, masked; each of its lines becomes one of the log.
    pub async fn line(&self, level: Level, text: &str) {
        let masker = self.log.secrets.masker();
        let masked = masker.mask_str(text);
        self.write(masked.lines().map(|line| (level, cut(line)))).await;
    }

    async fn write(&self, lines: impl Iterator<Item = (Level, String)>) {
        let masker = self.log.secrets.masker();
        let mut position = self.log.position.lock().await;
        let time = format!("{:.9}", jiff::Timestamp::now());
        let lines: Vec<LogLine> = lines
            .map(|(level, out)| {
                let mut out = masker.mask_line(&out).into_owned();
                out.push('\n');
                let pos = *position;
                *position += 1;
                LogLine {
                    level: level.name().to_owned(),
                    pos,
                    out,
                    time: time.clone(),
                    args: Value::Null,
                }
            })
            .collect();
        if !lines.is_empty() {
            self.log.sink.write(lines).await;
        }
    }
}

/// The output of a process that was started with the masking of the task.
#[async_trait]
impl LineSink for LogWriter {
    async fn write(&mut self, lines: Vec<Line>) {
        let lines = lines.into_iter().map(|line| match line.stream {
            Stream::Stdout => (Level::Info, line.text),
            Stream::Stderr => (Level::Error, line.text),
        });
        LogWriter::write(self, lines).await;
    }
}

fn cut(line: &str) -> String {
    if line.len() <= MAX_LINE_BYTES {
        return line.to_owned();
    }
    format!(
        "{}{TRUNCATED_SUFFIX}",
        &line[..line.floor_char_boundary(MAX_LINE_BYTES)]
    )
}
