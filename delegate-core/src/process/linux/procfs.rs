//! Reading `/proc`. A process may end between any two lines here, so nothing is an error: it is just not there.

use std::fs;
use std::io::Read;

/// The longest environment that is searched for a mark. The kernel allows more, but who fills 4 MiB has no mark there.
const MAX_ENVIRON: u64 = 4 << 20;

/// What `/proc/<pid>/stat` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub(super) parent: u32,
    pub(super) group: u32,
    /// Ended and not yet reaped.
    pub(super) dead: bool,
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
    Some(Stat {
        parent,
        group,
        dead: matches!(state, "Z" | "X" | "x"),
    })
}

/// Whether the environment a process was started with holds `entry` (`NAME=value`).
pub(super) fn has_mark(pid: u32, entry: &[u8]) -> bool {
    let mut environ = Vec::new();
    let read = fs::File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(MAX_ENVIRON).read_to_end(&mut environ));
    read.is_ok() && environ.split(|&byte| byte == 0).any(|var| var == entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = parse_stat("12 (a) Z 1 (b) S 7 9 9 0 -1").unwrap();
        assert_eq!((stat.parent, stat.group, stat.dead), (7, 9, false));
        assert!(parse_stat("12 (sh) Z 7 9").unwrap().dead);
        assert!(parse_stat("").is_none());
    }

    #[test]
    fn this_process_is_listed_and_alive() {
        let us = std::process::id();
        assert!(all().contains(&us));
        assert!(!stat(us).unwrap().dead);
    }
}
