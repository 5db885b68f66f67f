//! How much of the program's own text this process keeps mapped.

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
/// microseconds. Read-only text only: nothing that was ever written to is touched, so nothing can be lost.
///
/// # Errors
/// When `/proc` cannot be read, or the kernel does not know the advice. Nothing depends on it.
pub fn let_go_of_startup_pages() -> io::Result<()> {
    advise_text(MmapAdvise::MADV_DONTNEED)
}

fn advise_text(advice: MmapAdvise) -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    for (start, length) in maps.lines().filter_map(|line| text_of(line, program.to_str()?)) {
        let Some(start) = NonNull::new(std::ptr::without_provenance_mut::<c_void>(start)) else {
            continue;
        };
        // SAFETY: the range is a whole mapping of our own, executable and not writable, private and backed by the file of
        // this program. Dropping its pages changes no byte of it: each is read from the same file again. So does mapping them.
        unsafe { madvise(start, length, advice) }?;
    }
    Ok(())
}

/// Start and length in bytes of a line of `/proc/self/maps` that is text of `program`.
fn text_of(line: &str, program: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let of_program = fields.next()? == "r-xp" && line.ends_with(program);
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    of_program.then_some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_of_the_program_is_found() {
        let text = "5555555c6000-555555f98000 r-xp 00384000 fe:00 1234  /opt/harness-delegate";
        assert_eq!(
            text_of(text, "/opt/harness-delegate"),
            Some((0x5555_555c_6000, 0x9d_2000))
        );
        for other in [
            "555555554000-5555555c6000 r--p 00000000 fe:00 1234  /opt/harness-delegate",
            "555555f98000-555555fa0000 rw-p 00d55000 fe:00 1234  /opt/harness-delegate",
            "7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0     [vdso]",
            "",
        ] {
            assert_eq!(text_of(other, "/opt/harness-delegate"), None, "{other}");
        }
    }

    #[test]
    fn the_program_runs_on_without_its_pages() {
        let resident = || -> u64 {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
        };
        advise_text(MmapAdvise::MADV_POPULATE_READ).unwrap();
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
