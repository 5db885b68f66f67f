//! A pipeline file as a tree of values with their places.
//!
//! YAML 1.2, one document, without anchors, aliases and tags: what a reader of the file sees is what there is. Fails with
//! [`Faults`]; a file that is no YAML has one, at the place where the parser gave up.

use std::fmt;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde::{Deserialize, Serialize};

/// Largest file. One with a thousand steps and their scripts is a tenth of it.
pub(super) const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Lists and maps within each other, of each style; recursion is at most twice as deep.
const MAX_NESTING: usize = 64;

/// So many faults of a file are told; who has more begins with these.
const MAX_FAULTS: usize = 50;

/// A place in a file. Both count from 1; columns are characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Something wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fault {
    /// Where.
    pub at: Mark,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.problem)
    }
}

/// All that is wrong with a file, in the order of the file. Never empty where it is an error. Displayed one a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            let end = if at + 1 < self.0.len() { "\n" } else { "" };
            write!(f, "{fault}{end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl Faults {
    pub(super) fn push(&mut self, at: Mark, problem: impl Into<String>) {
        self.0.push(Fault {
            at,
            problem: problem.into(),
        });
    }

    /// `Ok` when there are none.
    pub(super) fn none(mut self) -> Result<(), Self> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort();
        self.0.dedup();
        let more = self.0.len().saturating_sub(MAX_FAULTS);
        if more > 0 {
            self.0.truncate(MAX_FAULTS);
            if let Some(last) = self.0.last_mut() {
                last.problem
                    .push_str(&format!(" (and {more} more faults after this one)"));
            }
        }
        Err(self)
    }
}

/// Where a scalar stands, and which bytes of the file it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it begins.
    pub at: Mark,
    /// Its bytes in the file, quotes and indentation included.
    pub bytes: (u32, u32),
}

impl Place {
    /// The place in the file of a byte of the scalar's value.
    ///
    /// A value is its source with some characters left out (quotes, escapes, indentation), so walking through both finds
    /// it. Where an escape stands for another character, the rest of that line is some columns off.
    pub(super) fn within(self, file: &str, value: &str, offset: usize) -> Mark {
        let range = Range {
            start: self.bytes.0 as usize,
            end: self.bytes.1 as usize,
        };
        let Some(raw) = file.get(range.clone()) else {
            return self.at;
        };
        let mut source = raw.char_indices().peekable();
        // The header of a block, `|-` or `>`, is no part of the value.
        if raw.starts_with(['|', '>']) {
            while source.next_if(|(_, letter)| *letter != '\n').is_some() {}
            source.next();
        }
        let mut found = source.peek().map_or(0, |(at, _)| *at);
        for (at, letter) in value.char_indices() {
            let mut ahead = source.clone();
            // What a value leaves out is short, but for indentation.
            while ahead
                .peek()
                .is_some_and(|(_, raw)| *raw != letter && !(letter == ' ' && *raw == '\n'))
            {
                ahead.next();
            }
            if let Some((raw_at, _)) = ahead.next() {
                found = raw_at;
                source = ahead;
            }
            if at >= offset {
                break;
            }
        }
        if offset >= value.len() {
            found = source.peek().map_or(raw.len(), |(at, _)| *at);
        }
        mark_of(file, range.start + found)
    }
}

/// The place of a byte of a file.
fn mark_of(file: &str, byte: usize) -> Mark {
    let before = &file[..byte.min(file.len())];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Mark {
        line: number(before.matches('\n').count() + 1),
        column: number(before[line_start..].chars().count() + 1),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Yaml,
}

#[derive(Clone, Debug)]
pub(super) enum Yaml {
    /// `plain` when it is not quoted, so that it may be a number, a truth or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) at: Mark,
    pub(super) name: String,
}

impl Node {
    pub(super) fn at(&self) -> Mark {
        self.place.at
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Yaml::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for errors; never its value.
    pub(super) fn what(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Yaml::Scalar { .. } => "a single value",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
        }
    }

    /// A scalar as JSON has it: by YAML's core schema.
    pub(super) fn scalar_to_json(text: &str, plain: bool) -> serde_json::Value {
        if !plain {
            return text.into();
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return serde_json::Value::Null,
            "true" | "True" | "TRUE" => return true.into(),
            "false" | "False" | "FALSE" => return false.into(),
            _ => {}
        }
        if let Ok(whole) = text.parse::<i64>() {
            return whole.into();
        }
        let like_number = text.contains(|letter: char| letter.is_ascii_digit())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        match text.parse::<f64>() {
            Ok(number) if like_number && number.is_finite() => number.into(),
            _ => text.into(),
        }
    }
}

type Events<'f> = Parser<'f, StrInput<'f>>;

/// Reads a file.
pub(super) fn parse(file: &str) -> Result<Node, Faults> {
    let first = Mark { line: 1, column: 1 };
    let fail = |at, problem: String| Faults(vec![Fault { at, problem }]);
    if file.len() > MAX_BYTES {
        return Err(fail(
            first,
            format!(
                "the file has {} bytes, at most {MAX_BYTES} are read; split the pipeline",
                file.len()
            ),
        ));
    }
    let options = granit_parser::options! {
        block_nesting_limit: MAX_NESTING,
        flow_nesting_limit: MAX_NESTING,
        // They would come as events of their own where another crate asks the parser for them.
        emit_comments: false,
    };
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(file, options),
        faults: Faults::default(),
    };
    let mut root = None;
    while let Some((event, span)) = reader.next().map_err(|fault| Faults(vec![fault]))? {
        match event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd | Event::StreamEnd => {}
            event if root.is_none() => {
                root = Some(reader.node(event, span).map_err(|fault| Faults(vec![fault]))?);
            }
            _ => {
                let at = mark(span);
                return Err(fail(at, "a second document; a file has one pipeline".to_owned()));
            }
        }
    }
    reader.faults.none()?;
    root.ok_or_else(|| fail(first, "the file is empty; it begins with `pipeline:`".to_owned()))
}

struct Reader<'f> {
    events: Events<'f>,
    faults: Faults,
}

impl<'f> Reader<'f> {
    fn next(&mut self) -> Result<Option<(Event<'f>, Span)>, Fault> {
        self.events.next_event().transpose().map_err(|error| Fault {
            at: Mark {
                line: number(error.marker().line().max(1)),
                column: number(error.marker().col() + 1),
            },
            problem: format!("not YAML: {}", error.info()),
        })
    }

    fn node(&mut self, event: Event<'f>, span: Span) -> Result<Node, Fault> {
        let at = mark(span);
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag) => {
                (*anchor, tag.is_some())
            }
            Event::Alias(_) => (1, false),
            _ => (0, false),
        };
        if anchor != 0 {
            self.faults.push(
                at,
                "anchors and aliases are not read; write the value where it is needed",
            );
        }
        if tag {
            self.faults.push(
                at,
                "tags are not read; put quotes around a text that looks like a number",
            );
        }
        let bytes = span.byte_range().unwrap_or_default();
        let place = Place {
            at,
            bytes: (number(bytes.start), number(bytes.end)),
        };
        let value = match event {
            Event::Scalar(text, style, ..) => Yaml::Scalar {
                text: text.into_owned(),
                plain: style == ScalarStyle::Plain,
            },
            Event::SequenceStart(..) => Yaml::List(self.list()?),
            Event::MappingStart(..) => Yaml::Map(self.map()?),
            _ => Yaml::Scalar {
                text: String::new(),
                plain: true,
            },
        };
        Ok(Node { place, value })
    }

    fn list(&mut self) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            items.push(self.node(event, span)?);
        }
        Ok(items)
    }

    fn map(&mut self) -> Result<Vec<(Key, Node)>, Fault> {
        let mut fields: Vec<(Key, Node)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, span)?;
            let Some((event, span)) = self.next()? else {
                break;
            };
            let value = self.node(event, span)?;
            let at = key.at();
            match key.value {
                Yaml::Scalar { text, .. } => {
                    if !names.insert(text.clone()) {
                        self.faults
                            .push(at, format!("`{text}` is there a second time; keep one"));
                    }
                    fields.push((Key { at, name: text }, value));
                }
                Yaml::List(_) | Yaml::Map(_) => self.faults.push(at, "a name of a field must be a text"),
            }
        }
        Ok(fields)
    }
}

fn mark(span: Span) -> Mark {
    Mark {
        line: number(span.start.line().max(1)),
        column: number(span.start.col() + 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn faults(file: &str) -> String {
        parse(file).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_pipeline_file_is_refused_at_its_place() {
        for (file, said) in [
            ("", "line 1, column 1: the file is empty"),
            ("a: 1\n---\nb: 2\n", "line 3, column 1: a second document"),
            ("a: 1\na: 2\n", "line 2, column 1: `a` is there a second time"),
            (
                "a: &x 1\nb: *x\n",
                "line 2, column 4: anchors and aliases are not read",
            ),
            ("a: !!str 1\n", "tags are not read"),
            ("[a]: 1\n", "line 1, column 1: a name of a field must be a text"),
            ("a: [1\nb: 2\n", "not YAML"),
        ] {
            let told = faults(file);
            assert!(told.contains(said), "{file:?}: {told}");
        }
        assert!(faults(&"[".repeat(100_000)).contains("not YAML"));
        assert!(faults(&" ".repeat(MAX_BYTES + 1)).contains("split the pipeline"));
    }

    #[test]
    fn a_place_within_a_text_is_found_in_every_style() {
        let file = "plain: say <+x>\ndouble: \"\\\"a\\\" <+x>\"\nsingle: 'it''s <+x>'\nliteral: |-\n    one\n    é <+x>\nfolded: >\n  two\n  <+x>\n";
        let Yaml::Map(fields) = parse(file).unwrap().value else {
            panic!("no map");
        };
        let found: Vec<_> = fields
            .iter()
            .map(|(_, node)| {
                let Yaml::Scalar { text, .. } = &node.value else {
                    panic!("no scalar");
                };
                let mark = node.place.within(file, text, text.find("<+").unwrap());
                (mark.line, mark.column)
            })
            .collect();
        assert_eq!(found, [(1, 12), (2, 16), (3, 16), (6, 7), (9, 3)]);
    }

    #[test]
    fn scalars_are_what_the_core_schema_says() {
        use serde_json::json;
        for (text, value) in [
            ("1", json!(1)),
            ("-7", json!(-7)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("1.2.3", json!("1.2.3")),
            ("1h", json!("1h")),
            ("e", json!("e")),
            ("yes", json!("yes")),
            ("true", json!(true)),
            ("~", json!(null)),
            (".inf", json!(".inf")),
        ] {
            assert_eq!(Node::scalar_to_json(text, true), value, "{text}");
            assert_eq!(Node::scalar_to_json(text, false), json!(text), "{text}");
        }
    }

    #[test]
    fn comments_stand_anywhere_and_mean_nothing() {
        let commented = "# a\n\n# b\na: # c\n  # d\n  - x # e\n  # f\n  - {y: z} # g\n# h\n";
        let values = |file: &str| format!("{:?}", parse(file).unwrap().value).replace(char::is_numeric, "");
        assert_eq!(values(commented), values("a:\n  - x\n  - {y: z}\n"));
    }

    #[test]
    fn faults_come_in_order_and_not_without_end() {
        let mut faults = Faults::default();
        for line in (1..=80).rev() {
            faults.push(Mark { line, column: 1 }, "wrong");
        }
        let told = faults.none().unwrap_err();
        assert_eq!(told.0.len(), MAX_FAULTS);
        assert_eq!(told.0[0].at.line, 1);
        assert!(told.to_string().ends_with("(and 30 more faults after this one)"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(file in r#"([a-z:\-\[\]{}"'|>&*! \n<+é]|  ){0,80}"#) {
            if let Ok(node) = parse(&file) {
                visit(&node, &file);
            }
        }
    }

    fn visit(node: &Node, file: &str) {
        match &node.value {
            Yaml::Scalar { text, .. } => {
                for offset in 0..=text.len() {
                    node.place.within(file, text, offset);
                }
            }
            Yaml::List(items) => items.iter().for_each(|item| visit(item, file)),
            Yaml::Map(fields) => fields.iter().for_each(|(_, value)| visit(value, file)),
        }
    }
}
