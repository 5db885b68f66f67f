//! What tasks do.

use std::path::Path;

use serde_json::{Value, json};

/// Long enough for any queue here; a task shall run, not expire.
const QUEUE_TIMEOUT_MS: u64 = 600_000;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Ends at once.
    Quick,
    /// Takes this many milliseconds.
    Takes(u64),
    /// Ends with exit code 3.
    Fails,
    /// Prints this many lines, one by one.
    Prints(u64),
    /// Prints this many lines as quickly as they are taken.
    Floods(u64),
    /// Runs out of this time, in milliseconds.
    TimesOut(u64),
    /// Is aborted; by itself it would not end.
    Aborted,
}

impl Work {
    /// The task, whose script notes first that it runs. A line this short is appended whole.
    pub(crate) fn task(self, name: &str, counter: &Path) -> Value {
        let rest = match self {
            Self::Quick => String::new(),
            Self::Takes(ms) => format!("sleep {}.{:03}", ms / 1000, ms % 1000),
            Self::Fails => "exit 3".to_owned(),
            Self::Prints(lines) => {
                format!("i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); done")
            }
            Self::Floods(lines) => format!("yes a line of a flood | head -n {lines}"),
            Self::TimesOut(_) | Self::Aborted => "sleep 3600".to_owned(),
        };
        let script = format!("echo {name} >> '{}'\n{rest}", counter.display());
        let mut task = json!({
            "type": "SHELL_SCRIPT",
            "data": {"shell": "sh", "script": script},
            "queue_timeout_ms": QUEUE_TIMEOUT_MS,
        });
        if let Self::TimesOut(ms) = self {
            task["timeout_ms"] = json!(ms);
        }
        task
    }
}
