//! What the journal says, line by line, and what is left open when it ends.
//!
//! One JSON object a line. A line that was cut off by a crash is the last one and says nothing; a damaged line in the
//! middle is skipped and reported, because dropping all the others would lose more.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::protocol::wire::TaskResponse;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(in crate::agent) enum Record {
    /// About to be acquired: from here on the manager may count on us.
    Taken {
        task: String,
        delegate: String,
        kind: String,
    },
    /// Acquired: about to run.
    Started { task: String, kind: String },
    /// Ended with this answer.
    Finished { task: String, response: TaskResponse },
    /// Over: answered, refused for good, or never ours.
    Closed { task: String },
}

impl Record {
    pub(super) fn task(&self) -> &str {
        match self {
            Self::Taken { task, .. }
            | Self::Started { task, .. }
            | Self::Finished { task, .. }
            | Self::Closed { task } => task,
        }
    }

    /// The line, with its end.
    pub(super) fn to_line(&self) -> Vec<u8> {
        // Cannot fail: string keys only.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// How far a task had come.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) enum Progress {
    /// Perhaps acquired, certainly not started.
    Taken,
    /// Started, and never to be run again.
    Started,
    /// Ended with this answer, which was not delivered for all we know.
    Finished(Box<TaskResponse>),
}

/// A task that an earlier life left open.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) struct Unfinished {
    /// Task id.
    pub(in crate::agent) task: String,
    /// Name of its kind.
    pub(in crate::agent) kind: String,
    /// Delegate id under which it was acquired, and must be answered.
    pub(in crate::agent) delegate: String,
    /// How far it came.
    pub(in crate::agent) progress: Progress,
}

/// What a journal leaves open, in the order of taking, and how many lines were damaged.
pub(super) fn replay(bytes: &[u8]) -> (Vec<Unfinished>, usize) {
    let mut open: IndexMap<String, Unfinished> = IndexMap::new();
    let mut damaged = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let whole = line.ends_with(b"\n");
        let Ok(record) = serde_json::from_slice::<Record>(line) else {
            damaged += usize::from(whole);
            continue;
        };
        match record {
            Record::Taken { task, delegate, kind } => {
                let progress = Progress::Taken;
                open.insert(
                    task.clone(),
                    Unfinished {
                        task,
                        kind,
                        delegate,
                        progress,
                    },
                );
            }
            Record::Started { task, .. } => {
                if let Some(entry) = open.get_mut(&task) {
                    entry.progress = Progress::Started;
                }
            }
            Record::Finished { task, response } => {
                if let Some(entry) = open.get_mut(&task) {
                    entry.progress = Progress::Finished(Box::new(response));
                }
            }
            Record::Closed { task } => {
                open.shift_remove(&task);
            }
        }
    }
    (open.into_values().collect(), damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(records: &[Record]) -> Vec<u8> {
        records.iter().flat_map(Record::to_line).collect()
    }

    fn taken(task: &str) -> Record {
        Record::Taken {
            task: task.to_owned(),
            delegate: "d".to_owned(),
            kind: "K".to_owned(),
        }
    }

    fn life(task: &str) -> [Record; 4] {
        let (task, kind) = (task.to_owned(), "K".to_owned());
        [
            taken(&task),
            Record::Started {
                task: task.clone(),
                kind,
            },
            Record::Finished {
                task: task.clone(),
                response: TaskResponse::failed(&task, "K", "line one\nline two"),
            },
            Record::Closed { task },
        ]
    }

    #[test]
    fn what_is_open_is_told_with_how_far_it_came() {
        let [a, b, c] = [life("a"), life("b"), life("c")];
        let mut journal = lines(&a);
        journal.extend(lines(&b[..3]));
        journal.extend(lines(&c[..2]));
        journal.extend(lines(&[taken("d")]));
        let (open, damaged) = replay(&journal);
        let told: Vec<_> = open.iter().map(|u| (u.task.as_str(), &u.progress)).collect();
        let response = TaskResponse::failed("b", "K", "line one\nline two");
        assert_eq!(
            told,
            [
                ("b", &Progress::Finished(Box::new(response))),
                ("c", &Progress::Started),
                ("d", &Progress::Taken)
            ]
        );
        assert_eq!(damaged, 0);
    }

    #[test]
    fn a_damaged_line_costs_itself_only() {
        let mut journal = lines(&[taken("a")]);
        journal.extend(b"\0\0\xff garbage\n");
        journal.extend(lines(&[taken("b")]));
        let (open, damaged) = replay(&journal);
        assert_eq!((open.len(), damaged), (2, 1));
    }

    proptest! {
        /// A crash cuts the file anywhere: whatever was whole before the cut counts, the rest does not.
        #[test]
        fn a_journal_cut_anywhere_never_goes_back(cut in 0usize..2000) {
            let all = lines(&life("a"));
            let cut = cut.min(all.len());
            let (open, damaged) = replay(&all[..cut]);
            let whole = all[..cut].split(|byte| *byte == b'\n').count() - 1;
            prop_assert_eq!(damaged, 0);
            let rank = match open.first().map(|u| &u.progress) {
                None if whole >= 3 => 4,
                None => 0,
                Some(Progress::Taken) => 1,
                Some(Progress::Started) => 2,
                Some(Progress::Finished(_)) => 3,
            };
            // A line without its end may be whole all the same.
            prop_assert!(rank == whole || rank == whole + 1, "{} lines, rank {}", whole, rank);
        }
    }
}
