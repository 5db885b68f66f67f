//! Reading `/proc`. A process may end between any two lines here, so nothing is an error: it is just not there.

use std::fs;
use std::io::{self, Read};
use std::time::Duration;

/// The longest environment that is searched for a mark. The kernel allows more, but who fills 4 MiB has no mark there.
const MAX_ENVIRON: usize = 4 << 20;

/// Room for an environment at first, which nearly all fit into. It is cleared for every process of the machine at the end of
/// every task, so more would cost more than the reading.
const USUAL_ENVIRON: usize = 16 << 10;

/// How often, and how far apart, a process is looked at that is just being given another program: the kernel shows no
/// environment then. It lasts microseconds, or as long as a busy machine keeps the process waiting.
const EXEC_LOOKS: u32 = 200;
const EXEC_WAIT: Duration = Duration::from_millis(1);

/// How often an environment has to be read empty from a process that runs before it is believed. Of a process that does
/// nothing but change its program, one reading in twenty is.
const EMPTY_LOOKS: u32 = 8;

/// The flag in `/proc/<pid>/stat` of what the kernel runs itself (`PF_KTHREAD`).
const KERNEL_THREAD: u32 = 0x0020_0000;

/// What `/proc/<pid>/stat` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub(super) parent: u32,
    pub(super) group: u32,
    /// Ended and not yet reaped.
    pub(super) dead: bool,
    /// Runs no program: it has no environment, and never gets one.
    pub(super) of_kernel: bool,
    /// In the middle of `execve`: the old environment is gone and the new one is not there yet.
    pub(super) between_programs: bool,
}

/// All process ids.
pub(super) fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The children of this process, adopted ones included.
pub(super) fn children() -> Vec<u32> {
    let Some(lists) = children_lists() else {
        // A kernel without these files: look at everybody.
        let us = std::process::id();
        return all()
            .into_iter()
            .filter(|&pid| stat(pid).is_some_and(|stat| stat.parent == us))
            .collect();
    };
    lists
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// The kernel keeps one list for each thread.
fn children_lists() -> Option<String> {
    let mut lists = String::new();
    for thread in fs::read_dir("/proc/self/task").ok()?.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => {
                lists.push_str(&list);
                lists.push(' ');
            }
            // The thread has ended; or no thread has such a file.
            Err(_) if thread.path().exists() => return None,
            Err(_) => {}
        }
    }
    Some(lists)
}

/// The state of a process.
pub(super) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in the second field may hold anything, parentheses and line ends too; what follows the last `)` is regular.
fn parse_stat(stat: &str) -> Option<Stat> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    // Fields 9 and 51 of proc_pid_stat(5). The last is 0, too, of processes that we may not look into.
    let flags: u32 = fields.nth(3)?.parse().ok()?;
    let environ_end = fields.nth(41).unwrap_or("0");
    let dead = matches!(state, "Z" | "X" | "x");
    let of_kernel = flags & KERNEL_THREAD != 0;
    Some(Stat {
        parent,
        group,
        dead,
        of_kernel,
        between_programs: !dead && !of_kernel && environ_end == "0",
    })
}

/// The environment a process was started with. One call to the kernel takes one picture; between two the process may have
/// got another program, and the rest would be missing. So what does not fit is read anew, into more room.
fn environment(pid: u32) -> io::Result<Vec<u8>> {
    let mut room = USUAL_ENVIRON;
    loop {
        let mut environ = vec![0; room];
        let length = fs::File::open(format!("/proc/{pid}/environ"))?.read(&mut environ)?;
        if length < room || room == MAX_ENVIRON {
            environ.truncate(length);
            return Ok(environ);
        }
        room = (room * 8).min(MAX_ENVIRON);
    }
}

/// Whether the environment a process was started with holds `entry` (`NAME=value`). Blocks for up to [`EXEC_LOOKS`] times
/// [`EXEC_WAIT`] while the process changes its program.
pub(super) fn has_mark(pid: u32, entry: &[u8]) -> bool {
    let mut empty = 0;
    for _ in 0..EXEC_LOOKS {
        match environment(pid) {
            Ok(environ) if environ.is_empty() => {}
            Ok(environ) => return environ.split(|&byte| byte == 0).any(|var| var == entry),
            Err(_) => return false,
        }
        if stat(pid).is_some_and(|stat| stat.between_programs) {
            #[expect(
                clippy::disallowed_methods,
                reason = "the kernel announces no end of an exec; the caller knows that this blocks"
            )]
            std::thread::sleep(EXEC_WAIT);
            continue;
        }
        // It may have got its environment since it was read.
        empty += 1;
        if empty == EMPTY_LOOKS {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = parse_stat("12 (a) Z 1 (b) S 7 9 9 0 -1 0").unwrap();
        assert_eq!((stat.parent, stat.group, stat.dead), (7, 9, false));
        assert!(parse_stat("12 (sh) Z 7 9 9 0 -1 0").unwrap().dead);
        assert!(parse_stat("").is_none());
    }

    #[test]
    fn this_process_is_listed_and_alive() {
        let us = std::process::id();
        assert!(all().contains(&us));
        assert!(!stat(us).unwrap().dead);
    }

    #[test]
    fn a_process_that_is_changing_its_program_is_told_from_others() {
        let line = |state: &str, flags: u32, environ_end: u32| {
            let middle = "0 ".repeat(41);
            format!("12 (sh) {state} 7 9 9 0 -1 {flags} {middle}{environ_end} 0")
        };
        let between = |state, flags, end| parse_stat(&line(state, flags, end)).unwrap().between_programs;
        assert!(between("R", 0x40_0000, 0));
        assert!(!between("R", 0x40_0000, 9000));
        assert!(!between("Z", 0x40_0000, 0));
        assert!(!between("S", KERNEL_THREAD, 0));
        assert!(!stat(std::process::id()).unwrap().between_programs);
    }

    #[test]
    fn a_mark_is_found_behind_a_long_environment() {
        let mut child = std::process::Command::new("sleep")
            .arg("300")
            .env_clear()
            .env("A_LONG_ONE", "x".repeat(100_000))
            .env("MARK_AT_THE_END", "yes")
            .spawn()
            .unwrap();
        let found = has_mark(child.id(), b"MARK_AT_THE_END=yes");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found);
    }

    /// One that does nothing but change its program is met in the middle of it again and again.
    #[test]
    fn a_mark_is_found_while_the_program_changes() {
        let mut restless = std::process::Command::new("sh")
            .args(["-c", "exec sh -c \"$0\" \"$0\"", "exec sh -c \"$0\" \"$0\""])
            .env("MARK_OF_RESTLESS", "yes")
            .spawn()
            .unwrap();
        let missed = (0..5_000)
            .filter(|_| !has_mark(restless.id(), b"MARK_OF_RESTLESS=yes"))
            .count();
        restless.kill().unwrap();
        restless.wait().unwrap();
        assert_eq!(missed, 0);
    }
}
