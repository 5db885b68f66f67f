//! Patterns of the owner's own: regular expressions, one a line (`sanitize-patterns.txt`).
//!
//! They see whole lines and whole values, after the known secrets are masked. A line that is no expression is reported
//! and left out; the others still hold.

use std::borrow::Cow;
use std::sync::Arc;

use regex::Regex;

use super::MASK;

/// Expressions in one file; each costs time on every line of every log.
const MAX_RULES: usize = 200;

/// Compiled patterns. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Rules(Arc<[Regex]>);

impl Rules {
    /// Reads patterns; empty lines and `#` comments are none. Also says what is wrong, with the number of the line.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        let lines = text.lines().map(str::trim).enumerate();
        for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            if rules.len() == MAX_RULES {
                problems.push(format!("line {}: only {MAX_RULES} patterns are used", at + 1));
                break;
            }
            match Regex::new(line) {
                // It would mask the gaps between all characters.
                Ok(rule) if rule.is_match("") => {
                    problems.push(format!("line {}: the pattern matches an empty text", at + 1));
                }
                Ok(rule) => rules.push(rule),
                Err(_) => problems.push(format!("line {}: it is no regular expression", at + 1)),
            }
        }
        (Self(rules.into()), problems)
    }

    /// Masks what any pattern matches.
    pub fn apply<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        self.0.iter().fold(text, |text, rule| {
            if !rule.is_match(&text) {
                return text;
            }
            Cow::Owned(rule.replace_all(&text, MASK).into_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_is_masked_and_what_is_wrong_is_told_by_its_line() {
        let (rules, problems) = Rules::parse("# cards\n\\d{4}-\\d{4}\n(\nx*\n\nsecret=\\S+");
        assert_eq!(problems.len(), 2);
        assert!(
            problems[0].contains("line 3") && problems[1].contains("line 4"),
            "{problems:?}"
        );
        assert_eq!(
            rules.apply("a 1234-5678 secret=x b".into()),
            format!("a {MASK} {MASK} b")
        );
        assert!(matches!(rules.apply("clean".into()), Cow::Borrowed(_)));
    }
}
