//! Applying a plan, and what was done of it.
//!
//! The program tells what it does line by line in JSON: what is complete, what failed, and why. That is followed as it
//! happens, so that there is an answer to "what was done, and what not" however it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cli::{Cli, remedy};
use crate::process::{Line, LineSink, Stream};
use crate::protocol::wire::CommandStatus;
use crate::task::halt::Halt;
use crate::task::said::{LastWords, quoted};
use crate::task::{Level, LogWriter, TaskError, TaskOutput};

/// So many addresses of each sort are told; beyond, nobody reads them in a result.
const MAX_TOLD: usize = 500;

/// So many are told in a sentence.
const MAX_SAID: usize = 5;

#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
pub(super) struct Applied {
    /// Addresses of the resources that were made, changed or destroyed as planned.
    done: Vec<String>,
    /// Those where it failed, or where it was cut off: what there is of them is for the next plan to find out.
    failed: Vec<String>,
    /// Those that were not begun.
    not_done: Vec<String>,
    /// How many are not listed, because there are more than 500 of a sort.
    more: usize,
}

/// Applies a saved plan of these addresses. What was done is in `applied` from the moment something may have been.
pub(super) async fn apply(
    cli: &Cli<'_>,
    plan: &Path,
    planned: Vec<(String, usize)>,
    applied: &mut Option<Applied>,
) -> Result<(), Halt> {
    let doing = "applying";
    let mut followed = Followed::new(cli.context().log.clone());
    let exit = cli
        .apply(plan)
        .run(&cli.context().cancel, &mut followed)
        .await
        .map_err(TaskError::from)?;
    let result = followed.result(planned);
    let said = result.said();
    *applied = Some(result);
    if let Some(ended) = cli.allowance().ended_child(&exit, doing) {
        let reason = ended.error_message.unwrap_or_default();
        let stopped = match exit.status {
            crate::process::Status::Code(_) => {
                "the program stopped by itself, and the state holds what was done"
            }
            crate::process::Status::Signal(_) => {
                "the program did not stop in time and was ended: its lock may be left, and what it was at may be missing from the state"
            }
        };
        return Err(TaskOutput::not(ended.status, format!("{reason}; {said}; {stopped}")).into());
    }
    if exit.success() {
        return Ok(());
    }
    let complaint = followed.complaint();
    let mut reason = if complaint.is_empty() {
        format!("applying failed: the program ended with {}; {said}", exit.code())
    } else {
        format!("applying failed: {}; {said}", quoted(&complaint))
    };
    if let Some(remedy) = remedy(&complaint) {
        reason.push_str("; ");
        reason.push_str(remedy);
    }
    Err(TaskOutput::not(CommandStatus::Failure, reason).into())
}

impl Applied {
    fn said(&self) -> String {
        let part = |addresses: &[String], words: &str| {
            let names = addresses.iter().take(MAX_SAID).cloned().collect::<Vec<_>>();
            match (addresses.len(), names.join(", ")) {
                (0, _) => format!("nothing {words}"),
                (many, names) if many > MAX_SAID => {
                    format!("{names} and {} more {words}", many - MAX_SAID)
                }
                (_, names) => format!("{names} {words}"),
            }
        };
        format!(
            "{}, {}, {}",
            part(&self.done, "done"),
            part(&self.failed, "failed or cut off"),
            part(&self.not_done, "not begun")
        )
    }
}

/// A line of the program's.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "@level")]
    level: String,
    #[serde(rename = "@message")]
    message: String,
    #[serde(rename = "type")]
    kind: String,
    hook: Option<Hook>,
    diagnostic: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Hook {
    resource: Resource,
}

#[derive(Deserialize)]
struct Resource {
    addr: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    severity: String,
    #[serde(default)]
    detail: String,
}

struct Followed {
    log: LogWriter,
    begun: BTreeSet<String>,
    failed: BTreeSet<String>,
    /// How many steps of each are done: one that is replaced has two.
    done: BTreeMap<String, usize>,
    complaint: Option<String>,
    /// What is not JSON: before it comes to that, and when it crashes.
    other: LastWords,
}

impl Followed {
    fn new(log: LogWriter) -> Self {
        Self {
            log,
            begun: BTreeSet::new(),
            failed: BTreeSet::new(),
            done: BTreeMap::new(),
            complaint: None,
            other: LastWords::default(),
        }
    }

    fn take(&mut self, event: &Event) {
        if let Some(hook) = &event.hook {
            let address = &hook.resource.addr;
            match event.kind.as_str() {
                "apply_start" => {
                    self.begun.insert(address.clone());
                }
                "apply_complete" => {
                    self.begun.remove(address);
                    *self.done.entry(address.clone()).or_default() += 1;
                }
                "apply_errored" => {
                    self.begun.remove(address);
                    self.failed.insert(address.clone());
                }
                _ => {}
            }
        }
        if let Some(diagnostic) = &event.diagnostic
            && diagnostic.severity == "error"
            && self.complaint.is_none()
        {
            let text = format!("{} {}", event.message, diagnostic.detail);
            self.complaint = Some(text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }

    /// What came of the planned ones, whatever is planned and was not heard of.
    fn result(&self, planned: Vec<(String, usize)>) -> Applied {
        let mut applied = Applied::default();
        for (address, steps) in planned {
            let done = self.done.get(&address).copied().unwrap_or_default();
            let open = self.begun.contains(&address) || self.failed.contains(&address);
            let list = if open || (done > 0 && done < steps) {
                &mut applied.failed
            } else if done > 0 {
                &mut applied.done
            } else {
                &mut applied.not_done
            };
            if list.len() < MAX_TOLD {
                list.push(address);
            } else {
                applied.more += 1;
            }
        }
        applied
    }

    fn complaint(self) -> String {
        self.complaint
            .unwrap_or_else(|| self.other.text().replace('\n', " "))
    }
}

#[async_trait]
impl LineSink for Followed {
    async fn write(&mut self, lines: Vec<Line>) {
        for line in lines {
            let Ok(event) = serde_json::from_str::<Event>(&line.text) else {
                self.other.push(&line.text);
                let level = match line.stream {
                    Stream::Stdout => Level::Info,
                    Stream::Stderr => Level::Error,
                };
                self.log.line(level, &line.text).await;
                continue;
            };
            self.take(&event);
            let level = match event.level.as_str() {
                "error" => Level::Error,
                "warn" => Level::Warn,
                _ => Level::Info,
            };
            self.log.line(level, &event.message).await;
            if let Some(diagnostic) = &event.diagnostic {
                self.log.line(level, &diagnostic.detail).await;
            }
        }
    }
}
