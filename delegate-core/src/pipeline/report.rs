//! A run for programs that read test reports: JUnit's XML, a suite for each stage and a case for each step.

use std::fmt::Write as _;

use super::run::{Millis, NodeView, Outcome};

/// The report of a run as it is now. What has not ended counts as skipped.
pub fn junit(run: &NodeView, now: Millis) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (name, counts) = (escaped(&run.name), counts(run, now));
    // Writing to a string does not fail.
    let _ = writeln!(out, "<testsuites name=\"{name}\" {counts}>");
    for stage in &run.children {
        suite(&mut out, stage, &run.name, now);
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite(out: &mut String, stage: &NodeView, pipeline: &str, now: Millis) {
    let (name, counts) = (escaped(&stage.path), counts(stage, now));
    let _ = writeln!(out, "  <testsuite name=\"{name}\" {counts}>");
    for step in stage.steps() {
        let within = step.path.strip_prefix(&format!("{}.", stage.path));
        let _ = write!(
            out,
            "    <testcase classname=\"{}.{name}\" name=\"{}\" time=\"{:.3}\"",
            escaped(pipeline),
            escaped(within.unwrap_or(&step.path)),
            step.seconds(now)
        );
        let message = escaped(step.message.as_deref().unwrap_or_default());
        let _ = if step.is_failure() {
            let status = &step.status;
            writeln!(
                out,
                "><failure type=\"{status}\" message=\"{message}\"/></testcase>"
            )
        } else if is_skipped(step) {
            writeln!(out, "><skipped message=\"{message}\"/></testcase>")
        } else if message.is_empty() {
            writeln!(out, "/>")
        } else {
            writeln!(out, "><system-out>{message}</system-out></testcase>")
        };
    }
    out.push_str("  </testsuite>\n");
}

/// Whether it did not run, or not to its end.
fn is_skipped(step: &NodeView) -> bool {
    ![Outcome::Succeeded, Outcome::IgnoreFailed]
        .iter()
        .any(|outcome| outcome.as_str() == step.status)
        && !step.is_failure()
}

fn counts(of: &NodeView, now: Millis) -> String {
    let steps = of.steps();
    let failures = steps.iter().filter(|step| step.is_failure()).count();
    let skipped = steps.iter().filter(|step| is_skipped(step)).count();
    format!(
        "tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\" time=\"{:.3}\"",
        steps.len(),
        of.seconds(now)
    )
}

/// A text within XML, in quotes or between tags. What XML 1.0 cannot hold becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_its_quotes() {
        assert_eq!(
            escaped("<a b=\"c\">&\n\u{1b}[0m"),
            "&lt;a b=&quot;c&quot;&gt;&amp;&#10;\u{fffd}[0m"
        );
    }
}
