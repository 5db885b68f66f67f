//! Panics: told to the host once, and turned into an error where they would lose something.
//!
//! The hook prints one `panic: …` line on stderr, the form that makes Terraform collect a crash report. A panic in
//! a call is caught by [`guard`], so that the caller can answer with a diagnostic and the state it was given.

use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    cell::RefCell,
    fmt,
    future::Future,
    io::{self, Write},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
};

use futures_util::FutureExt;

/// Bytes of a panic's message that are kept; a formatted value in it may be of any size.
const MAX_MESSAGE: usize = 4096;

thread_local! {
    /// Where the last panic of this thread was. Only the hook knows the place, only the catcher has the payload.
    static LAST_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs the hook, for the whole process.
///
/// Without `RUST_BACKTRACE` a panic is exactly one line; with it, the trace follows on lines of its own.
pub(super) fn install_hook() {
    panic::set_hook(Box::new(|info| {
        LAST_PLACE.set(info.location().map(ToString::to_string));
        let mut text = line(info) + "\n";
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            text += &trace.to_string();
        }
        // One write, so that other lines do not mix in. Nobody is left to tell when it fails.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }));
}

fn line(info: &PanicHookInfo<'_>) -> String {
    let place = info
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    format!("panic: {} at {place}", message(info.payload()))
}

/// The text of a panic on one line, bounded.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    let end = text.floor_char_boundary(MAX_MESSAGE);
    let mut line = text[..end].replace(['\n', '\r'], " ");
    if end < text.len() {
        line.push('…');
    }
    line
}

/// A panic that was caught.
#[derive(Clone, Debug)]
pub struct PanicReport {
    /// The call in which it happened.
    pub rpc: String,
    /// Its text, one line.
    pub message: String,
    /// `file:line:column`, when the hook is installed.
    pub place: Option<String>,
}

impl PanicReport {
    /// Describes the panic that was just caught on this thread.
    pub(super) fn of(rpc: &str, payload: &(dyn Any + Send)) -> Self {
        Self {
            rpc: rpc.to_owned(),
            message: message(payload),
            place: LAST_PLACE.take(),
        }
    }
}

impl fmt::Display for PanicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "The provider failed in {} in a way that is a bug in the provider: {}",
            self.rpc, self.message
        )?;
        if let Some(place) = &self.place {
            write!(f, " (at {place})")?;
        }
        f.write_str(". Please report it to the provider's developers, with this text.")
    }
}

impl std::error::Error for PanicReport {}

/// Runs one call and catches its panic.
///
/// What the future shared with others may be half-changed afterwards. That is for its author to exclude, as it is
/// for a future that is dropped halfway: both need state that is whole at every await.
///
/// # Errors
/// The panic, for the caller to answer with an error diagnostic and the prior state.
pub async fn guard<T>(rpc: &str, call: impl Future<Output = T>) -> Result<T, PanicReport> {
    AssertUnwindSafe(call)
        .catch_unwind()
        .await
        .map_err(|payload| PanicReport::of(rpc, payload.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_without_panic_passes_through() {
        assert_eq!(guard("ReadResource", async { 7 }).await.expect("no panic"), 7);
    }

    #[tokio::test]
    async fn a_panic_after_an_await_becomes_a_report() {
        let report = guard("ReadResource", async {
            tokio::task::yield_now().await;
            panic!("lost {}\nthings", 3);
        })
        .await
        .expect_err("a report");
        assert_eq!(
            (report.rpc.as_str(), report.message.as_str()),
            ("ReadResource", "lost 3 things")
        );
        assert!(
            report.to_string().contains("bug in the provider: lost 3 things"),
            "{report}"
        );
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let payload: Box<dyn Any + Send> = Box::new("ü".repeat(MAX_MESSAGE));
        let text = message(payload.as_ref());
        assert!(text.ends_with('…') && text.len() <= MAX_MESSAGE + '…'.len_utf8());
        assert_eq!(message(&7_u32), "a value that is no text");
    }
}
