//! What was found, as text and as JSON.

use std::fmt::{self, Display};

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Not looked at, because something else comes first.
    Skipped,
    /// The delegate works, but not as well as it could, or not for long.
    Warning,
    /// The delegate does not work like this.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked: a group and a name, `manager.tls`. These do not change.
    pub check: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What was found; never a secret.
    pub found: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Everything that was found, in the order in which it was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// The findings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether the delegate works; warnings do not count.
    pub fn is_healthy(&self) -> bool {
        self.count(Level::Problem) == 0
    }

    /// As JSON: `{healthy, version, findings: [{check, level, found, remedy?}]}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "healthy": self.is_healthy(),
            "version": crate::VERSION,
            "findings": self.findings,
        })
    }

    fn count(&self, level: Level) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    }

    fn add(&mut self, check: &'static str, level: Level, found: impl Display, remedy: Option<String>) {
        self.findings.push(Finding {
            check,
            level,
            found: found.to_string(),
            remedy,
        });
    }

    pub(super) fn ok(&mut self, check: &'static str, found: impl Display) {
        self.add(check, Level::Ok, found, None);
    }

    pub(super) fn skip(&mut self, check: &'static str, why: impl Display) {
        self.add(check, Level::Skipped, why, None);
    }

    pub(super) fn warn(&mut self, check: &'static str, found: impl Display, remedy: impl Display) {
        self.add(check, Level::Warning, found, Some(remedy.to_string()));
    }

    pub(super) fn problem(&mut self, check: &'static str, found: impl Display, remedy: impl Display) {
        self.add(check, Level::Problem, found, Some(remedy.to_string()));
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let level = match finding.level {
                Level::Ok => "ok",
                Level::Skipped => "skipped",
                Level::Warning => "warning",
                Level::Problem => "PROBLEM",
            };
            writeln!(f, "{level:<8} {:<24} {}", finding.check, finding.found)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "{:<8} {:<24} -> {remedy}", "", "")?;
            }
        }
        let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        write!(
            f,
            "{}, {}",
            plural(self.count(Level::Problem), "problem"),
            plural(self.count(Level::Warning), "warning")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.ok("settings.values", "delegate team-a of account acc");
        report.warn(
            "settings.names",
            "POLL_FOR_TASK is set and means nothing",
            "did you mean POLL_FOR_TASKS?",
        );
        report.problem(
            "manager.connection",
            "m.example:443 refuses connections",
            "see that it runs",
        );
        report.skip("log_service", "the manager comes first");
        report
    }

    #[test]
    fn the_text_says_what_was_found_and_what_to_do() {
        insta::assert_snapshot!(report());
    }

    #[test]
    fn the_json_has_the_same() {
        let mut json = report().to_json();
        json["version"] = "VERSION".into();
        insta::assert_json_snapshot!(json);
    }

    #[test]
    fn warnings_do_not_fail() {
        let mut report = Report::default();
        report.warn("a.b", "x", "y");
        assert!(report.is_healthy());
        report.problem("a.b", "x", "y");
        assert!(!report.is_healthy());
    }
}
