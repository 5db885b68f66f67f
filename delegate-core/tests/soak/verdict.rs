//! Whether something grows: the median of the last quarter beside that of the second.
//!
//! The first quarter is left out because caches, pools and threads are made in it. Medians, because one look may hit a
//! moment that is none of the usual ones.

use std::fmt;

use crate::sample::{Sample, mebibytes};

/// Looks below which quarters say nothing.
const FEWEST: usize = 12;

/// What a quantity may grow by: so many hundredths, and so much more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    percent: u64,
    more: u64,
}

/// An allocator's fragments, and pages that a cache was late to fill. Over a night this is a few bytes a task.
pub(crate) const MEMORY: Allowed = Allowed {
    percent: 10,
    more: 1 << 20,
};

/// In less than an hour the allocator's arenas, one a thread, and the caches of the manager's database, 2 MiB for each of its five
/// connections, are still filling. In half a minute, what is leaked shows from some 30 KiB a task on.
pub(crate) const MEMORY_WHILE_CACHES_FILL: Allowed = Allowed {
    percent: 10,
    more: 5 << 20,
};

/// What was opened and is not closed grows with the tasks; two may be on their way somewhere.
const FILES: Allowed = Allowed { percent: 0, more: 2 };

/// Connections stay open for a while after a round that needed more at once than the ones before, up to one for each task of
/// both agents and each question of the client; a disturbance closes them all.
const SOCKETS: Allowed = Allowed { percent: 0, more: 32 };

/// Threads for blocking work end when idle for ten seconds; there are at most so many.
const THREADS: Allowed = Allowed { percent: 0, more: 16 };

/// The journal grows up to a mebibyte before it is written anew.
const DIRECTORY: Allowed = Allowed {
    percent: 10,
    more: 2 << 20,
};

/// What was seen of a process, look by look.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    name: String,
    /// Whether its directory shall not grow.
    directory: bool,
    looks: Vec<Sample>,
}

impl Series {
    pub(crate) fn new(name: &str, directory: bool) -> Self {
        Self {
            name: name.to_owned(),
            directory,
            looks: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, look: Sample) {
        self.looks.push(look);
    }

    /// The last look.
    pub(crate) fn latest(&self) -> String {
        let last = self.looks.last().copied().unwrap_or_default();
        format!("{}: {last}", self.name)
    }

    fn row(&self, quantity: &'static str, of: impl Fn(&Sample) -> u64, allowed: &Allowed) -> Row {
        let quarter = |from: usize| {
            let part = &self.looks[self.looks.len() * from / 4..self.looks.len() * (from + 1) / 4];
            median(part.iter().map(&of).collect())
        };
        let (before, after) = (quarter(1), quarter(3));
        Row {
            process: self.name.clone(),
            quantity,
            before,
            after,
            limit: before + before * allowed.percent / 100 + allowed.more,
        }
    }

    fn rows(&self, memory: &Allowed) -> Vec<Row> {
        assert!(
            self.looks.len() >= FEWEST,
            "{}: {} looks are too few to judge",
            self.name,
            self.looks.len()
        );
        let mut rows = vec![
            self.row(IN_BYTES[0], |look| look.anonymous, memory),
            self.row("files", |look| look.files, &FILES),
            self.row("sockets", |look| look.sockets, &SOCKETS),
            self.row("threads", |look| look.threads, &THREADS),
        ];
        if self.directory {
            rows.push(self.row(IN_BYTES[1], |look| look.directory, &DIRECTORY));
        }
        rows
    }
}

/// Quantities that are bytes; the others are counts.
const IN_BYTES: [&str; 2] = ["memory", "directory"];

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

struct Row {
    process: String,
    quantity: &'static str,
    before: u64,
    after: u64,
    limit: u64,
}

impl Row {
    fn is_flat(&self) -> bool {
        self.after <= self.limit
    }

    fn shown(&self, value: u64) -> String {
        if IN_BYTES.contains(&self.quantity) {
            format!("{:.2} MiB", mebibytes(value))
        } else {
            value.to_string()
        }
    }
}

/// What came of it.
pub(crate) struct Verdict(Vec<Row>);

impl Verdict {
    pub(crate) fn on<'a>(series: impl Iterator<Item = &'a Series>, memory: &Allowed) -> Self {
        Self(series.flat_map(|series| series.rows(memory)).collect())
    }

    pub(crate) fn is_flat(&self) -> bool {
        self.0.iter().all(Row::is_flat)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:10} {:10} {:>15} {:>15} {:>15}",
            "process", "of it", "second quarter", "last quarter", "allowed"
        )?;
        for row in &self.0 {
            let [before, after, limit] = [row.before, row.after, row.limit].map(|value| row.shown(value));
            let verdict = if row.is_flat() { "flat" } else { "GROWS" };
            writeln!(
                f,
                "{:10} {:10} {before:>15} {after:>15} {limit:>15}  {verdict}",
                row.process, row.quantity
            )?;
        }
        Ok(())
    }
}

/// What a process holds that works well, with a little noise.
fn well(look: u64) -> Sample {
    Sample {
        anonymous: (8 << 20) + (look * 7919) % 300_000,
        files: 14 + look % 2,
        sockets: 6 + look % 5,
        threads: 5 + look % 3,
        directory: (look * 100_000) % (1 << 20),
    }
}

fn judged(look: impl Fn(u64) -> Sample) -> Verdict {
    let mut series = Series::new("tested", true);
    (0..200).for_each(|at| series.push(look(at)));
    Verdict::on([series].iter(), &MEMORY)
}

#[test]
fn a_process_that_fills_its_caches_first_and_keeps_them_is_flat() {
    let verdict = judged(|look| Sample {
        anonymous: well(look).anonymous + (look * (1 << 18)).min(9 << 20),
        ..well(look)
    });
    assert!(verdict.is_flat(), "{verdict}");
}

#[test]
fn whatever_grows_a_little_at_each_look_is_found() {
    type Leak = fn(u64, &mut Sample);
    let leaks: [(&str, Leak); 5] = [
        ("memory", |look, of| of.anonymous += look * 40_000),
        ("files", |look, of| of.files += look / 25),
        ("sockets", |look, of| of.sockets += look / 2),
        ("threads", |look, of| of.threads += look / 4),
        ("directory", |look, of| of.directory += look * 40_000),
    ];
    for (quantity, leak) in leaks {
        let verdict = judged(|look| {
            let mut sample = well(look);
            leak(look, &mut sample);
            sample
        });
        let grows: Vec<_> = verdict.0.iter().filter(|row| !row.is_flat()).collect();
        assert!(
            matches!(grows[..], [row] if row.quantity == quantity),
            "{quantity}: {verdict}"
        );
    }
}
