//! What a user is told: a fact, its cause and the next step, and the attribute it is about.

use std::error::Error;
use std::fmt::{self, Write};

use super::value::{AttributePath, Problem, ValueError};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; the operation goes on.
    Warning,
    /// The operation failed.
    Error,
}

/// One message to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The fact, one line without a full stop.
    pub summary: String,
    /// The cause and the next step, in sentences. May be empty.
    pub detail: String,
    /// The attribute it is about; the root for the whole resource.
    pub path: AttributePath,
}

impl Diagnostic {
    /// An error about the whole.
    pub fn error(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            summary: summary.into(),
            detail: detail.into(),
            path: AttributePath::root(),
        }
    }

    /// A warning about the whole.
    pub fn warning(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(summary, detail)
        }
    }

    /// The message for an error value: every cause in its chain, each once, and then what to do.
    pub fn from_error(summary: impl Into<String>, error: &dyn Error, next_step: &str) -> Self {
        let mut detail = sentence(&chain(error));
        if !next_step.is_empty() {
            let _ = write!(detail, "\n\n{next_step}");
        }
        Self::error(summary, detail)
    }

    /// A fault of the provider itself, which no configuration can mend.
    pub fn bug(what: impl fmt::Display) -> Self {
        Self::error(
            "The provider has a fault",
            format!(
                "{what}\n\nThis is a fault in the provider, not in the configuration. Please report it to its developers."
            ),
        )
    }

    /// A call that panicked.
    pub(crate) fn panic(report: &crate::plugin::PanicReport) -> Self {
        Self::error("The provider has a fault", report.to_string())
    }

    /// The same about this attribute. Takes dotted text: `"helm.namespace"`.
    #[must_use]
    pub fn at(mut self, path: impl Into<AttributePath>) -> Self {
        self.path = path.into();
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.summary)?;
        if !self.path.is_root() {
            write!(f, " ({})", self.path)?;
        }
        if self.detail.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.detail)
        }
    }
}

/// An error and its causes on one line. A cause that an outer message already ends with is not said twice.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            let _ = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// A fragment made a sentence.
fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let mut sentence: String = first.to_uppercase().chain(chars).collect();
    if !sentence.ends_with(['.', '!', '?', '\n']) {
        sentence.push('.');
    }
    sentence
}

/// Messages in the order in which they came up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Nothing to say.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// A single error.
    pub fn error(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Diagnostic::error(summary, detail).into()
    }

    /// Adds a message.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// The same, each path seen from where `path` starts.
    #[must_use]
    pub fn under(mut self, path: &AttributePath) -> Self {
        for diagnostic in &mut self.0 {
            diagnostic.path = path.join(&diagnostic.path);
        }
        self
    }

    /// The value if there are no errors; else all messages.
    pub fn or_value<T>(self, value: T) -> Result<T, Self> {
        if self.has_errors() { Err(self) } else { Ok(value) }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, diagnostic) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_char('\n')?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl From<ValueError> for Diagnostic {
    fn from(error: ValueError) -> Self {
        let detail = match &error.problem {
            Problem::Unknown => {
                "This value is known only after apply, but it is needed now. Make it known before, or apply the \
                 resource it comes from first, with -target."
                    .to_owned()
            }
            _ if error.path.is_root() => sentence(&error.to_string()),
            _ => format!("{error}."),
        };
        Self::error("Unsuitable value", detail).at(error.path)
    }
}

impl From<ValueError> for Diagnostics {
    fn from(error: ValueError) -> Self {
        Diagnostic::from(error).into()
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        self.0.extend(diagnostics);
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        Self(diagnostics.into_iter().collect())
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot reach the cluster")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct Inner;

    #[test]
    fn an_error_value_becomes_cause_and_next_step() {
        let diagnostic =
            Diagnostic::from_error("Delegate not installed", &Outer(Inner), "Start the cluster.");
        assert_eq!(
            diagnostic.detail,
            "Cannot reach the cluster: connection refused.\n\nStart the cluster."
        );
    }

    #[test]
    fn warnings_do_not_fail_an_operation() {
        let mut diagnostics = Diagnostics::from(Diagnostic::warning("Old", ""));
        assert!(!diagnostics.has_errors());
        diagnostics.push(Diagnostic::error("Bad", "").at("helm.namespace"));
        assert!(diagnostics.has_errors());
        assert_eq!(
            diagnostics.to_string(),
            "warning: Old\nerror: Bad (helm.namespace)"
        );
    }
}
