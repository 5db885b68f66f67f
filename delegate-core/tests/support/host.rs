//! A folder for host installations, whose end is certain: whatever runs from it or in it is killed when the test ends.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// An installation's folder. It does not exist before an apply.
pub struct Host {
    base: Option<TempDir>,
    pub directory: PathBuf,
}

/// A process that runs from a folder or in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub arguments: Vec<String>,
}

impl Process {
    /// Whether it was started with this verb of the delegate's command line.
    pub fn is(&self, verb: &str) -> bool {
        self.arguments.get(1).is_some_and(|argument| argument == verb)
    }
}

impl Host {
    /// A folder of its own.
    pub fn new() -> Self {
        let base = tempfile::tempdir().expect("a directory");
        let directory = base.path().join("delegate");
        Self {
            base: Some(base),
            directory,
        }
    }

    /// The provider's own choice for a delegate of this name; removed at the end, whatever is in it.
    pub fn by_default(name: &str) -> Self {
        let base = if nix::unistd::geteuid().is_root() {
            PathBuf::from("/var/lib")
        } else {
            PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".local/share")
        };
        Self {
            base: None,
            directory: base.join("harness-delegate").join(name),
        }
    }

    /// This folder; removed at the end, whatever is in it.
    pub fn at(directory: &Path) -> Self {
        Self {
            base: None,
            directory: directory.to_owned(),
        }
    }

    /// The folder, for a configuration.
    pub fn path(&self) -> &str {
        self.directory.to_str().expect("plain")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn env_file(&self) -> PathBuf {
        self.file("delegate.env")
    }

    /// Value of a variable in the environment file, as it stands there.
    pub fn variable(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.env_file()).ok()?;
        delegate_core::config::parse_env_file(&text)
            .expect("it can be read")
            .into_iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    pub fn mode_of(&self, name: &str) -> u32 {
        fs::metadata(self.file(name))
            .expect("it is there")
            .permissions()
            .mode()
            & 0o7777
    }

    /// Everything that runs from this folder or in it, tasks included.
    pub fn processes(&self) -> Vec<Process> {
        processes_of(&self.directory)
    }

    /// The processes started with this verb. A child of one of them that has not become its own program yet is none.
    pub fn running(&self, verb: &str) -> Vec<Process> {
        let mut found = self.processes();
        found.retain(|process| process.is(verb));
        let pids: Vec<i32> = found.iter().map(|process| process.pid).collect();
        found.retain(|process| !pids.contains(&process.parent));
        found
    }

    fn one(&self, verb: &str) -> Option<Process> {
        let mut found = self.running(verb);
        assert!(found.len() < 2, "two at once: {found:?}");
        found.pop()
    }

    /// The supervisor, if it runs. Two of them fail the test.
    pub fn supervisor(&self) -> Option<Process> {
        self.one("supervise")
    }

    /// The agent, if it runs. Two of them fail the test.
    pub fn agent(&self) -> Option<Process> {
        self.one("run")
    }

    /// That no process and no file is left. An empty folder may be: a removal that is killed between its last two calls
    /// leaves one, and a state that says that nothing is there any more asks for no other.
    pub fn assert_gone_but_for_an_empty_folder(&self) {
        assert_eq!(self.processes(), [], "processes are left");
        let left = fs::read_dir(&self.directory).map(|entries| entries.flatten().count());
        assert!(
            left.unwrap_or(0) == 0,
            "{} is not empty",
            self.directory.display()
        );
    }

    /// That nothing is left: no file, no process.
    pub fn assert_gone(&self) {
        assert_eq!(self.processes(), [], "processes are left");
        assert!(
            !self.directory.exists(),
            "{} is left: {:?}",
            self.directory.display(),
            fs::read_dir(&self.directory).map(|entries| entries
                .flatten()
                .map(|entry| entry.file_name())
                .collect::<Vec<_>>())
        );
    }

    /// That exactly one delegate runs, supervised.
    pub fn assert_one_delegate(&self) {
        let count = |verb| self.running(verb).len();
        assert_eq!(
            (count("supervise"), count("run")),
            (1, 1),
            "{:?}",
            self.processes()
        );
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What is killed may have started something in between; the supervisor, which starts agents, goes first.
        for _ in 0..100 {
            let mut found = self.processes();
            if found.is_empty() {
                break;
            }
            found.sort_by_key(|process| !process.is("supervise"));
            for process in found {
                end(process.pid);
            }
            std::thread::yield_now();
        }
        if self.base.is_none() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Ends a process without warning.
pub fn end(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

fn processes_of(directory: &Path) -> Vec<Process> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("readable").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let below =
            |link: &str| fs::read_link(entry.path().join(link)).is_ok_and(|path| path.starts_with(directory));
        if pid == i32::try_from(std::process::id()).unwrap_or(0) || !(below("exe") || below("cwd")) {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        // A process that has just ended has no command line any more.
        if arguments.iter().any(|argument| !argument.is_empty()) {
            found.push(Process {
                pid,
                parent: parent_of(pid),
                arguments,
            });
        }
    }
    found
}

fn parent_of(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything; behind it come the state and the parent.
    let parent = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(1));
    parent.and_then(|parent| parent.parse().ok()).unwrap_or(0)
}
