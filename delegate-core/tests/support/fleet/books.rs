//! Whether the books balance: what was submitted, what the manager says of it, and what ran.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::client::Sent;
use super::work::Work;

/// What the reasons of interrupted tasks say.
const INTERRUPTED: &str = "the delegate was restarted while the task ran";
const NOT_BEGUN: &str = "the delegate was restarted before the task began";

/// The balance.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
    pub(crate) aborted: usize,
    pub(crate) timed_out: usize,
    /// Running when their agent was killed.
    pub(crate) interrupted: usize,
    /// Taken, and not begun, when their agent was killed.
    pub(crate) not_begun: usize,
    /// Attempts to submit that had no answer, and tasks that came of them.
    pub(crate) unanswered: usize,
    pub(crate) accepted_unheard: usize,
    /// Where the books do not balance.
    pub(crate) faults: Vec<String>,
}

impl Outcome {
    /// Adds what came of other tasks.
    pub(crate) fn add(&mut self, other: Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.aborted += other.aborted;
        self.timed_out += other.timed_out;
        self.interrupted += other.interrupted;
        self.not_begun += other.not_begun;
        self.unanswered += other.unanswered;
        self.accepted_unheard += other.accepted_unheard;
        self.faults.extend(other.faults);
    }

    /// Tasks that ended as they should.
    pub(crate) fn ended(&self) -> usize {
        self.succeeded + self.failed + self.aborted + self.timed_out
    }

    pub(crate) fn of(
        sent: &[Sent],
        tasks: &BTreeMap<String, Value>,
        mut runs: HashMap<String, usize>,
    ) -> Self {
        let mut outcome = Self::default();
        let mut unknown: HashSet<&str> = tasks.keys().map(String::as_str).collect();
        for sent in sent {
            let ran = runs.remove(&sent.name).unwrap_or(0);
            let Some(task) = tasks.get(&sent.id) else {
                outcome
                    .faults
                    .push(format!("{} was accepted as {} and is lost", sent.name, sent.id));
                continue;
            };
            unknown.remove(sent.id.as_str());
            if !outcome.count(sent.work, task, ran) {
                outcome
                    .faults
                    .push(format!("{} ({:?}) ran {ran} times: {task}", sent.name, sent.work));
            }
            for name in &sent.unanswered {
                let ran = runs.remove(name).unwrap_or(0);
                outcome.unanswered += 1;
                if ran > 1 {
                    outcome.faults.push(format!("{name} ran {ran} times"));
                }
            }
        }
        outcome.accepted_unheard = unknown.len();
        if outcome.accepted_unheard > outcome.unanswered {
            outcome
                .faults
                .push(format!("tasks that nobody submitted: {unknown:?}"));
        }
        for id in unknown {
            if ["QUEUED", "RUNNING"].contains(&tasks[id]["status"].as_str().unwrap()) {
                outcome.faults.push(format!("not over: {}", tasks[id]));
            }
        }
        if !runs.is_empty() {
            outcome.faults.push(format!("runs of nobody's tasks: {runs:?}"));
        }
        outcome
    }

    /// Counts an end, and says whether the task can have ended like this having run so often.
    fn count(&mut self, work: Work, task: &Value, ran: usize) -> bool {
        let status = task["status"].as_str().unwrap();
        let data = &task["response"]["data"];
        let reason = data["error_message"].as_str().unwrap_or_default();
        // Whoever was restarted had taken it: nobody else was given it before or after.
        if task["attempts"].as_u64().unwrap() > 1 {
            return false;
        }
        if status == "FAILED" && reason.contains(INTERRUPTED) {
            self.interrupted += 1;
            return ran <= 1;
        }
        if status == "FAILED" && reason.contains(NOT_BEGUN) {
            self.not_begun += 1;
            return ran == 0;
        }
        match (work, status) {
            (Work::Quick | Work::Takes(_) | Work::Prints(_) | Work::Floods(_), "SUCCEEDED") => {
                self.succeeded += 1;
                ran == 1
            }
            (Work::Fails, "FAILED") => {
                self.failed += 1;
                ran == 1 && data["exit_code"] == 3
            }
            (Work::Aborted, "ABORTED") => {
                self.aborted += 1;
                ran <= 1
            }
            (Work::TimesOut(_), "TIMED_OUT") => {
                self.timed_out += 1;
                // Its time may have been over before its first line.
                ran <= 1
            }
            _ => false,
        }
    }
}
