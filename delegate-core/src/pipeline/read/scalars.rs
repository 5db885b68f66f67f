//! Single values: texts, words, names, numbers, times, and one of several words.

use std::ops::RangeInclusive;

use super::Reader;
use super::fields::{Fields, nearest};
use crate::pipeline::expression::{Condition, SyntaxError, Template, Text};
use crate::pipeline::source::{Mark, Node, Yaml};
use crate::protocol::api::MAX_TIMEOUT_MS;
use crate::task::Span;

/// Longest identifier or name: they are shown in trees and reports.
const MAX_NAME: usize = 128;

/// Lists and maps within each other in data. A plan is kept as JSON, where each is two levels of the 128 that are read.
const MAX_DATA_NESTING: usize = 32;

impl Reader<'_> {
    fn scalar<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n str> {
        if let Yaml::Scalar { text, .. } = &node.value {
            return Some(text);
        }
        self.faults
            .push(node.at(), format!("expected {expected}, found {}", node.what()));
        None
    }

    fn syntax(&mut self, node: &Node, text: &str, error: &SyntaxError) {
        let at = node.place.within(self.file, text, error.at);
        self.faults
            .push(at, format!("in the expression: {}", error.problem));
    }

    /// A text, with expressions.
    pub(super) fn text(&mut self, node: &Node) -> Option<Text> {
        let text = self.scalar(node, "a text")?;
        match Text::read(text.to_owned(), node.place) {
            Ok(text) => Some(text),
            Err(error) => {
                self.syntax(node, text, &error);
                None
            }
        }
    }

    /// A condition.
    pub(super) fn condition(&mut self, node: &Node) -> Option<Condition> {
        let text = self.scalar(node, "a condition")?;
        match Condition::read(text.to_owned(), node.place) {
            Ok(condition) => Some(condition),
            Err(error) => {
                self.syntax(node, text, &error);
                None
            }
        }
    }

    /// A text without expressions.
    pub(super) fn word<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = self.scalar(node, what)?;
        if text.contains("<+") {
            self.faults.push(
                node.at(),
                format!("{what} is written out; expressions are not evaluated here"),
            );
            return None;
        }
        Some(text)
    }

    /// One of several words.
    pub(super) fn one_of<T: Copy>(&mut self, node: &Node, what: &str, of: &[(&'static str, T)]) -> Option<T> {
        let word = self.word(node, what)?;
        let found = of.iter().find(|(known, _)| *known == word);
        if found.is_none() {
            let known: Vec<_> = of.iter().map(|(known, _)| *known).collect();
            let hint = nearest(word, known.iter().copied())
                .map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
            self.faults.push(
                node.at(),
                format!("{what} is {}, not what is written{hint}", known.join(", ")),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// A whole number.
    pub(super) fn count(&mut self, node: &Node, what: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let word = self.word(node, what)?;
        let number = word.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.faults.push(
                node.at(),
                format!(
                    "{what} is a whole number from {} to {}",
                    range.start(),
                    range.end()
                ),
            );
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, node: &Node, what: &str) -> Option<bool> {
        self.one_of(node, what, &[("true", true), ("false", false)])
    }

    /// A time in milliseconds: `30s`, `1h 30m`.
    pub(super) fn duration(&mut self, node: &Node) -> Option<u64> {
        let word = self.word(node, "a time")?;
        let parts: Result<Vec<Span>, String> = word.split_whitespace().map(str::parse).collect();
        let sum = parts.map(|parts| {
            parts.iter().fold(0, |sum: u64, part| {
                sum.saturating_add(u64::try_from(part.0.as_millis()).unwrap_or(u64::MAX))
            })
        });
        match sum {
            Ok(ms) if (1..=MAX_TIMEOUT_MS).contains(&ms) => return Some(ms),
            Ok(_) => self
                .faults
                .push(node.at(), "a time is more than nothing, and at most 7d"),
            Err(problem) => self.faults.push(node.at(), format!("not a time: {problem}")),
        }
        None
    }

    /// Names of selectors: a list, or one.
    pub(super) fn selectors(&mut self, node: &Node) -> Option<Vec<Text>> {
        if matches!(node.value, Yaml::Scalar { .. }) {
            return Some(vec![self.text(node)?]);
        }
        let items = self.items(node, "delegateSelectors");
        let mut selectors = Vec::new();
        for item in items {
            let text = self.text(item)?;
            if text.source().trim().is_empty() {
                self.faults.push(item.at(), "a selector is not empty");
            }
            selectors.push(text);
        }
        Some(selectors)
    }

    /// Data with expressions in its texts.
    pub(super) fn template(&mut self, node: &Node) -> Template {
        self.template_within(node, MAX_DATA_NESTING)
    }

    fn template_within(&mut self, node: &Node, depth: usize) -> Template {
        let Some(depth) = depth.checked_sub(1) else {
            self.faults.push(
                node.at(),
                format!("more than {MAX_DATA_NESTING} lists and maps within each other"),
            );
            return Template::empty();
        };
        match &node.value {
            Yaml::Scalar { text, plain } => match Node::scalar_to_json(text, *plain) {
                serde_json::Value::String(_) => self
                    .text(node)
                    .map_or(Template::Plain(serde_json::Value::Null), Template::Text),
                other => Template::Plain(other),
            },
            Yaml::List(items) => Template::List(
                items
                    .iter()
                    .map(|item| self.template_within(item, depth))
                    .collect(),
            ),
            Yaml::Map(fields) => Template::Map(
                fields
                    .iter()
                    .map(|(key, value)| (key.name.clone(), self.template_within(value, depth)))
                    .collect(),
            ),
        }
    }

    /// `identifier` and `name`, of which one is enough.
    pub(super) fn named(&mut self, fields: &mut Fields<'_>) -> (String, String) {
        let identifier_node = fields.take("identifier");
        let name_node = fields.take("name");
        let identifier = identifier_node.and_then(|node| self.word(node, "an identifier"));
        let name = name_node.and_then(|node| self.word(node, "a name"));
        let at = identifier_node.or(name_node).map_or(fields.at, Node::at);
        let (identifier, name) = match (identifier, name) {
            (Some(identifier), Some(name)) => (identifier.to_owned(), name.to_owned()),
            (Some(identifier), None) => (identifier.to_owned(), identifier.to_owned()),
            (None, Some(name)) => (identifier_of(name), name.to_owned()),
            (None, None) if identifier_node.or(name_node).is_some() => return (String::new(), String::new()),
            (None, None) => {
                self.faults
                    .push(fields.at, "an `identifier` or a `name` is missing");
                return (String::new(), String::new());
            }
        };
        self.check_name(&identifier, "an identifier", at);
        if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            self.faults.push(
                at,
                format!("a name has at most {MAX_NAME} characters, on one line"),
            );
        }
        (identifier, name)
    }

    /// Names that expressions write with a dot before them.
    pub(super) fn check_name(&mut self, name: &str, what: &str, at: Mark) -> bool {
        let first = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
        let rest = name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '$'));
        let fine = first && rest && name.len() <= MAX_NAME;
        if !fine {
            self.faults.push(
                at,
                format!("{what} has letters, digits, _ and $, begins with a letter or _, and is at most {MAX_NAME} long"),
            );
        }
        fine
    }
}

/// The identifier that a name alone stands for.
fn identifier_of(name: &str) -> String {
    let mut identifier: String = name
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || matches!(letter, '_' | '$') {
                letter
            } else {
                '_'
            }
        })
        .collect();
    if identifier.starts_with(|letter: char| letter.is_ascii_digit() || letter == '$') {
        identifier.insert(0, '_');
    }
    identifier
}
