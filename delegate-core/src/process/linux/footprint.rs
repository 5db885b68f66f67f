//! How much of the program's own file this process keeps mapped.

#![allow(
    unsafe_code,
    reason = "the kernel is told about our own address space, which no safe wrapper does"
)]

use std::ffi::c_void;
use std::fs;
use std::io;
use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};

/// Lets go of the pages of the program that are mapped here: most were needed by the start alone, and the kernel maps
/// sixteen of them for each that is touched. What is still needed comes back from the page cache at its next use, within
/// microseconds. Only what was never written to is touched, text and constants, so nothing can be lost.
///
/// # Errors
/// When `/proc` cannot be read, or the kernel does not know the advice. Nothing depends on it.
pub fn let_go_of_startup_pages() -> io::Result<()> {
    advise_unwritten(MmapAdvise::MADV_DONTNEED)
}

fn advise_unwritten(advice: MmapAdvise) -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    for (start, length) in maps
        .lines()
        .filter_map(|line| unwritten_of(line, program.to_str()?))
    {
        let Some(start) = NonNull::new(std::ptr::without_provenance_mut::<c_void>(start)) else {
            continue;
        };
        // SAFETY: the range is a whole mapping of our own, private, backed by the file of this program, and never written to.
        // Dropping its pages changes no byte of it: each is read from the same file again. So does mapping them.
        unsafe { madvise(start, length, advice) }?;
    }
    Ok(())
}

/// Start and length in bytes of a line of `/proc/self/maps` that is a part of `program` which nobody ever writes to: its
/// text, or the constants, which the file begins with. What else can only be read now was written when the program was
/// relocated, and must stay.
fn unwritten_of(line: &str, program: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let (mode, offset) = (fields.next()?, fields.next()?);
    let begins_the_file = offset.bytes().all(|digit| digit == b'0');
    let unwritten = mode == "r-xp" || (mode == "r--p" && begins_the_file);
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    (unwritten && line.ends_with(program)).then_some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_never_written_to_is_found() {
        for (line, length) in [
            (
                "5555555c6000-555555f98000 r-xp 00384000 fe:00 1234  /opt/harness-delegate",
                0x9d_2000,
            ),
            (
                "555555242000-5555555c6000 r--p 00000000 fe:00 1234  /opt/harness-delegate",
                0x38_4000,
            ),
        ] {
            let (start, found) = unwritten_of(line, "/opt/harness-delegate").unwrap();
            assert_eq!((format!("{start:x}").as_str(), found), (&line[..12], length));
        }
        for other in [
            // Relocated at the start, then protected.
            "555555f98000-555556050000 r--p 00d56000 fe:00 1234  /opt/harness-delegate",
            "555556050000-555556060000 rw-p 00e0e000 fe:00 1234  /opt/harness-delegate",
            "7ffff7d00000-7ffff7d28000 r--p 00000000 fe:00 5678  /lib/libc.so.6",
            "7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0     [vdso]",
            "",
        ] {
            assert_eq!(unwritten_of(other, "/opt/harness-delegate"), None, "{other}");
        }
    }

    #[test]
    fn the_program_runs_on_without_its_pages() {
        let resident = || -> u64 {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
        };
        advise_unwritten(MmapAdvise::MADV_POPULATE_READ).unwrap();
        let before = resident();
        let_go_of_startup_pages().unwrap();
        let after = resident();
        // The text of the tests is 10 MiB; other tests, which run at the same time, map some of it again.
        assert!(
            after + 4 * 1024 < before,
            "{before} KiB before, {after} KiB after"
        );
    }
}
