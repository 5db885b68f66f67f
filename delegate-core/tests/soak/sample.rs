//! What a process holds, as the kernel tells it.

use std::fmt;
use std::path::Path;

use crate::fleet::site::Site;
use crate::support::{anonymous_bytes, status_of};
use crate::verdict::{Allowed, Series, Verdict};

/// One look at a process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Memory that is the process's alone and backed by no file, in bytes.
    pub(crate) anonymous: u64,
    /// Open descriptors that are no sockets.
    pub(crate) files: u64,
    pub(crate) sockets: u64,
    pub(crate) threads: u64,
    /// Its directory with everything below, in bytes.
    pub(crate) directory: u64,
}

impl Sample {
    fn of(pid: u32, directory: &Path) -> Self {
        let (mut files, mut sockets) = (0, 0);
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            // One that was closed since it was listed is none.
            match std::fs::read_link(entry.unwrap().path()) {
                Ok(target) if target.to_string_lossy().starts_with("socket:") => sockets += 1,
                Ok(_) => files += 1,
                Err(_) => {}
            }
        }
        Self {
            anonymous: anonymous_bytes(pid),
            files,
            sockets,
            threads: status_of(pid, "Threads:"),
            directory: size(directory),
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} MiB, {} files, {} sockets, {} threads, {:.1} MiB on disk",
            mebibytes(self.anonymous),
            self.files,
            self.sockets,
            self.threads,
            mebibytes(self.directory)
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Bytes of files below a directory. What is removed meanwhile counts for nothing.
fn size(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The processes, and what was seen of each in its present life.
pub(crate) struct Watched {
    manager: (u32, Series),
    agents: Vec<Series>,
}

impl Watched {
    pub(crate) fn of(agents: usize) -> Self {
        Self {
            // Its directory keeps every task for a month: it grows by intent.
            manager: (0, Series::new("manager", false)),
            agents: (0..agents)
                .map(|at| Series::new(&format!("agent-{at}"), true))
                .collect(),
        }
    }

    /// Looks at each process.
    pub(crate) fn look(&mut self, site: &Site) {
        let pid = site.manager_pid();
        if self.manager.0 != pid {
            self.manager = (pid, Series::new("manager", false));
        }
        self.manager.1.push(Sample::of(pid, &site.data()));
        for (at, agent) in self.agents.iter_mut().enumerate() {
            agent.push(Sample::of(site.agent_pid(at), &site.home(at)));
        }
    }

    fn all(&self) -> impl Iterator<Item = &Series> {
        std::iter::once(&self.manager.1).chain(&self.agents)
    }

    /// The last look, in a line.
    pub(crate) fn latest(&self) -> String {
        let each: Vec<String> = self.all().map(Series::latest).collect();
        each.join("  |  ")
    }

    pub(crate) fn verdict(&self, memory: &Allowed) -> Verdict {
        Verdict::on(self.all(), memory)
    }
}
