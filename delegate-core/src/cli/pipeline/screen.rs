//! Where progress is shown: a tree that is drawn over itself in a terminal, lines elsewhere.

use std::io::{IsTerminal as _, Write as _};

use super::tree::{Room, changes, tree};
use crate::pipeline::api::RunView;
use crate::pipeline::run::Millis;

/// Room where a terminal does not say how large it is.
const ROWS: usize = 24;
const COLUMNS: usize = 80;

/// Standard error, as progress is shown there.
pub(super) struct Screen {
    /// Whether the tree can be drawn over itself.
    is_live: bool,
    colours: bool,
    /// Lines of the tree that stand there.
    drawn: usize,
    before: Option<RunView>,
}

impl Screen {
    pub(super) fn new(plain: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            is_live: !plain && !dumb && std::io::stderr().is_terminal(),
            colours: std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
            drawn: 0,
            before: None,
        }
    }

    /// Whether what is shown changes with time alone.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// Shows a run. A closed stderr is nobody's concern.
    pub(super) fn show(&mut self, run: &RunView, now: Millis) {
        let mut out = String::new();
        if self.is_live {
            let lines = tree(run, now, self.room());
            if self.drawn > 0 {
                // Up to where the tree begins, and everything below is cleared.
                out.push_str(&format!("\u{1b}[{}A\u{1b}[J", self.drawn));
            }
            self.drawn = lines.len();
            for line in lines {
                out.push_str(&line);
                out.push('\n');
            }
        } else {
            let time = jiff::Timestamp::from_millisecond(now).unwrap_or_default();
            let time = time.strftime("%H:%M:%SZ");
            for line in changes(self.before.as_ref(), run) {
                out.push_str(&format!("{time} {line}\n"));
            }
            self.before = Some(run.clone());
        }
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(out.as_bytes());
        let _ = stderr.flush();
    }

    /// Something else is written: the tree stays above it, and is drawn anew below.
    pub(super) fn leave(&mut self) {
        self.drawn = 0;
    }

    fn room(&self) -> Room {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
        let or = |value: Option<u16>, otherwise: usize| {
            value.filter(|value| *value > 0).map_or(otherwise, usize::from)
        };
        Room {
            // One line is left for the cursor.
            rows: or(size.map(|size| size.ws_row), ROWS).saturating_sub(1).max(1),
            columns: or(size.map(|size| size.ws_col), COLUMNS),
            colours: self.colours,
        }
    }
}
