//! A program of the field, as a kind with several steps runs it: within what is left of the task's time, with its progress
//! in the log and its complaint kept.
//!
//! What a program says no to is for its kind to judge, which knows the program's words and what to do about them. What
//! ends the whole task, its time or its abort above all, is a [`Halt`] and passes through with `?`.

use async_trait::async_trait;

use super::allowance::Allowance;
use super::halt::Halt;
use super::said::{LastWords, quoted};
use super::{Level, LogWriter, TaskContext};
use crate::process::{Command, Exit, Line, LineSink, Stream};

/// Most of an answer that is read: a git server with thousands of branches whose names end alike, a cluster's answer about
/// some hundred objects.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A program's answer, or what it complains of.
pub(super) type Answer<T> = Result<T, String>;

/// A program, as one task runs it.
pub(super) struct Tool<'t> {
    name: &'static str,
    pub(super) context: &'t TaskContext,
    pub(super) allowance: &'t Allowance,
}

impl<'t> Tool<'t> {
    /// The program of this name in the delegate's `PATH`.
    pub(super) fn new(name: &'static str, context: &'t TaskContext, allowance: &'t Allowance) -> Self {
        Self {
            name,
            context,
            allowance,
        }
    }

    /// A run of it, in the task's own directory and for what is left of its time.
    pub(super) fn command(&self) -> Command {
        self.context.command(self.name).limits(self.allowance.limits())
    }

    /// Runs it and returns what it prints; nothing goes to the log. `doing` reads well after "while".
    pub(super) async fn ask(&self, command: Command, doing: &str) -> Result<Answer<String>, Halt> {
        let captured = self.allowance.capture(command, MAX_ANSWER_BYTES, doing).await?;
        if captured.exit.success() {
            return Ok(Ok(String::from_utf8_lossy(&captured.stdout).into_owned()));
        }
        let complaint = String::from_utf8_lossy(&captured.stderr);
        Ok(Err(self.complaint(complaint.trim(), &captured.exit)))
    }

    /// Runs it with its progress in the log.
    pub(super) async fn run(&self, command: Command, doing: &str) -> Result<Answer<()>, Halt> {
        self.run_seeing(command, doing, &mut |_| {}).await
    }

    /// The same, and shows each line of its progress to `seen`, masked.
    pub(super) async fn run_seeing(
        &self,
        command: Command,
        doing: &str,
        seen: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answer<()>, Halt> {
        let mut progress = Progress::new(self.context.log.clone(), seen);
        let exit = self.allowance.run(command, &mut progress, doing).await?;
        if exit.success() {
            return Ok(Ok(()));
        }
        Ok(Err(self.complaint(&progress.last_words(), &exit)))
    }

    fn complaint(&self, said: &str, exit: &Exit) -> String {
        if said.is_empty() {
            format!("{} ended with {}", self.name, exit.code())
        } else {
            said.to_owned()
        }
    }
}

/// The line of a complaint that says most: the one that `says` so, or the last.
pub(super) fn quote(complaint: &str, says: impl Fn(&str) -> bool) -> String {
    let lines = || complaint.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| says(line)).or_else(|| lines().next_back());
    quoted(line.unwrap_or_default())
}

/// Passes progress on: of each line that is drawn again and again, its last state.
pub(super) struct Progress<'s> {
    log: LogWriter,
    kept: LastWords,
    seen: &'s mut (dyn FnMut(&str) + Send),
}

impl<'s> Progress<'s> {
    /// Into this log; each line is shown to `seen` as well.
    pub(super) fn new(log: LogWriter, seen: &'s mut (dyn FnMut(&str) + Send)) -> Self {
        Self {
            log,
            kept: LastWords::default(),
            seen,
        }
    }

    /// What was said last on the standard error.
    pub(super) fn last_words(self) -> String {
        self.kept.text()
    }
}

#[async_trait]
impl LineSink for Progress<'_> {
    async fn write(&mut self, lines: Vec<Line>) {
        for line in lines {
            let text = last_state(&line.text);
            if text.is_empty() {
                continue;
            }
            (self.seen)(text);
            self.log.line(level(text), text).await;
            if line.stream == Stream::Stderr {
                self.kept.push(text);
            }
        }
    }
}

/// Programs write their progress to the standard error too, so a line is as bad as it says it is.
fn level(line: &str) -> Level {
    let begins = |words: &[&str]| {
        let begins = |word: &&str| {
            line.get(..word.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        };
        words.iter().any(begins)
    };
    if begins(&["fatal:", "error:", "error "]) {
        Level::Error
    } else if begins(&["warning:"]) {
        Level::Warn
    } else {
        Level::Info
    }
}

/// A line is drawn again after a carriage return; spaces or an escape at its end erase what was longer before.
fn last_state(line: &str) -> &str {
    line.trim_end_matches("\u{1b}[K")
        .trim_end()
        .rsplit('\r')
        .next()
        .unwrap_or_default()
        .trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_line_that_is_drawn_again_its_last_state_is_shown() {
        let line = "Receiving objects:  50% (1/2)\rReceiving objects: 100% (2/2)\rReceiving objects: 100% (2/2), done.";
        assert_eq!(last_state(line), "Receiving objects: 100% (2/2), done.");
        assert_eq!(
            last_state("remote: Counting objects: 1\u{1b}[K"),
            "remote: Counting objects: 1"
        );
        assert_eq!(last_state("a\rb        \r"), "b");
        assert_eq!(last_state(""), "");
    }

    #[test]
    fn a_line_is_as_bad_as_it_says() {
        for (line, wanted) in [
            ("fatal: no", Level::Error),
            ("ERROR: failed to solve", Level::Error),
            ("Error from server (NotFound): no", Level::Error),
            ("Warning: old", Level::Warn),
            ("errors: 0", Level::Info),
            ("ü", Level::Info),
        ] {
            assert_eq!(level(line), wanted, "{line}");
        }
    }

    #[test]
    fn the_line_that_says_most_is_quoted() {
        let said = "one\n  two: no \nthree\n\n";
        assert_eq!(quote(said, |line| line.starts_with("two")), "two: no");
        assert_eq!(quote(said, |_| false), "three");
        assert_eq!(quote("", |_| false), "");
    }
}
