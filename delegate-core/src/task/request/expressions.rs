//! `${{secrets.ID}}` and `<{ TEXT | getAsBase64 }>`.
//!
//! First every known reference is replaced by its value; one that is not known stays as it is, because other tools write
//! the same. Then the functions are evaluated, the innermost first, a bounded number of times.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Secret;
use crate::task::TaskError;

/// Functions evaluated in one text: nobody nests or repeats more, and a text that makes new ones ends.
const MAX_ROUNDS: usize = 100;

const OPEN: &str = "<{";
const CLOSE: &str = "}>";
const REFERENCE: &str = "${{secrets.";
const REFERENCE_END: &str = "}}";

/// A text without references.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) text: String,
    /// What was computed: secrets, for what it was computed from may be one.
    pub(super) derived: Vec<Secret>,
}

pub(super) fn resolve(text: &str, secrets: &[(String, Secret)]) -> Result<Resolved, TaskError> {
    let mut text = replace(text, secrets);
    let mut derived = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let Some((before, inner, after)) = innermost(&text) else {
            return Ok(Resolved { text, derived });
        };
        let value = evaluate(inner)?;
        let next = format!("{before}{value}{after}");
        derived.push(Secret::new(value));
        text = next;
    }
    if innermost(&text).is_none() {
        return Ok(Resolved { text, derived });
    }
    Err(TaskError::Refused(format!(
        "a text of the task's data has more than {MAX_ROUNDS} expressions `<{{ … }}>`; split it"
    )))
}

/// In one pass, so that what looks like a reference within a secret stays what it is.
fn replace(text: &str, secrets: &[(String, Secret)]) -> String {
    let (mut done, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(REFERENCE) {
        let (before, from) = rest.split_at(at);
        done.push_str(before);
        let named = from[REFERENCE.len()..].split_once(REFERENCE_END);
        let known = named.and_then(|(id, after)| {
            let (_, secret) = secrets.iter().find(|(known, _)| known == id)?;
            Some((secret, after))
        });
        rest = if let Some((secret, after)) = known {
            done.push_str(secret.expose());
            after
        } else {
            done.push_str(REFERENCE);
            &from[REFERENCE.len()..]
        };
    }
    done.push_str(rest);
    done
}

/// The text before, within and after the first expression that has none within.
fn innermost(text: &str) -> Option<(&str, &str, &str)> {
    let close = text.match_indices(CLOSE).find_map(|(close, _)| {
        let open = text[..close].rfind(OPEN)?;
        Some((open, close))
    });
    let (open, close) = close?;
    Some((
        &text[..open],
        &text[open + OPEN.len()..close],
        &text[close + CLOSE.len()..],
    ))
}

fn evaluate(expression: &str) -> Result<String, TaskError> {
    match expression.rsplit_once('|') {
        Some((value, function)) if function.trim() == "getAsBase64" => Ok(STANDARD.encode(value.trim())),
        Some((_, function)) => Err(TaskError::Refused(format!(
            "the task's data asks for the function `{}`, which this delegate does not know; it knows getAsBase64",
            function.trim()
        ))),
        None => Err(TaskError::Refused(
            "the task's data has an expression `<{ … }>` without a function; it is written `<{ text | getAsBase64 }>`"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secrets() -> Vec<(String, Secret)> {
        vec![
            ("a".to_owned(), Secret::new("alpha")),
            ("b".to_owned(), Secret::new("${{secrets.a}}")),
        ]
    }

    #[test]
    fn references_are_replaced_once_and_unknown_ones_stay() {
        let resolve = |text| resolve(text, &secrets()).unwrap().text;
        assert_eq!(resolve("x ${{secrets.a}}${{secrets.a}} y"), "x alphaalpha y");
        assert_eq!(resolve("${{secrets.b}}"), "${{secrets.a}}");
        assert_eq!(
            resolve("${{secrets.c}} ${{secrets.a"),
            "${{secrets.c}} ${{secrets.a"
        );
        assert_eq!(resolve("${{secrets.${{secrets.a}}}}"), "${{secrets.alpha}}");
    }

    #[test]
    fn functions_are_evaluated_from_within_and_their_results_are_secret() {
        let resolved = resolve(
            "[<{ user:<{ ${{secrets.a}} | getAsBase64 }> | getAsBase64 }>]",
            &secrets(),
        )
        .unwrap();
        let inner = STANDARD.encode("alpha");
        let outer = STANDARD.encode(format!("user:{inner}"));
        assert_eq!(resolved.text, format!("[{outer}]"));
        assert_eq!(resolved.derived, [Secret::new(inner), Secret::new(outer)]);
    }

    #[test]
    fn what_is_not_known_or_does_not_end_is_refused_in_a_sentence() {
        for (text, said) in [
            ("<{ x | rot13 }>".to_owned(), "rot13"),
            ("<{ x }>".to_owned(), "without a function"),
            ("<{ x | getAsBase64 }>".repeat(MAX_ROUNDS + 1), "more than 100"),
        ] {
            let error = resolve(&text, &[]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(
            resolve(&"<{x|getAsBase64}>".repeat(MAX_ROUNDS), &[])
                .unwrap()
                .derived
                .len(),
            MAX_ROUNDS
        );
    }

    proptest! {
        #[test]
        fn any_text_ends(text in r"([<>{}|$ a-c]|\$\{\{secrets\.[ab]\}\}| \| getAsBase64){0,60}") {
            let _ = resolve(&text, &secrets());
        }

        #[test]
        fn text_without_marks_is_unchanged(text in "[^<$]{0,80}") {
            prop_assert_eq!(resolve(&text, &secrets()).unwrap().text, text);
        }
    }
}
