//! What is expected of an answer, and whether it is so.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::data::check_pointer;
use super::send::Answer;
use super::{cut, millis};
use crate::task::TaskError;

/// Of a value that is not the expected one, so much is shown, in bytes.
const SHOWN: usize = 200;

/// What is expected of an answer: everything that is there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// The status is one of these: `200`, `"200-299"` or `"2xx"`. Default: `["2xx"]`.
    status: Option<Vec<StatusRange>>,
    /// JSON values of the body by JSON pointers: `{"/items/0/state": "ready"}`.
    json: Option<BTreeMap<String, Value>>,
    /// The body contains this text.
    contains: Option<String>,
    /// The answer is complete within so many milliseconds.
    max_millis: Option<u64>,
}

/// One status or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StatusRange {
    first: u16,
    last: u16,
}

const SUCCESS: StatusRange = StatusRange {
    first: 200,
    last: 299,
};

impl Expect {
    pub(super) fn check(&self) -> Result<(), TaskError> {
        if self.status.as_ref().is_some_and(Vec::is_empty) {
            return Err(TaskError::data(
                "expect.status",
                "is empty, and no answer could be right; name one, or leave it out",
            ));
        }
        for pointer in self.json.iter().flat_map(BTreeMap::keys) {
            check_pointer("expect.json", pointer)?;
        }
        if self.contains.as_deref() == Some("") {
            return Err(TaskError::data(
                "expect.contains",
                "is empty, which every body contains; leave it out",
            ));
        }
        if self.max_millis == Some(0) {
            return Err(TaskError::data("expect.max_millis", "must be at least 1"));
        }
        Ok(())
    }
}

/// What an answer is held against.
pub(super) struct Expectations<'d> {
    expect: Option<&'d Expect>,
    output_vars: Option<&'d BTreeMap<String, String>>,
}

/// What came of it.
pub(super) struct Judgement {
    /// What is not as expected, one sentence each.
    pub(super) unmet: Vec<String>,
    /// Output variables that are there.
    pub(super) found: BTreeMap<String, String>,
}

impl<'d> Expectations<'d> {
    pub(super) fn new(expect: Option<&'d Expect>, output_vars: Option<&'d BTreeMap<String, String>>) -> Self {
        Self { expect, output_vars }
    }

    pub(super) fn judge(&self, answer: &Answer) -> Judgement {
        let mut unmet = Vec::new();
        let usual = [SUCCESS];
        let status = self.expect.and_then(|expect| expect.status.as_deref());
        let status = status.unwrap_or(&usual);
        if !status.iter().any(|range| range.has(answer.status.as_u16())) {
            let wanted: Vec<_> = status.iter().map(StatusRange::to_string).collect();
            unmet.push(format!(
                "the status is {}, expected {}",
                answer.status.as_u16(),
                wanted.join(" or ")
            ));
        }
        if let Some(expect) = self.expect {
            expect.judge_body(answer, &mut unmet);
        }
        let mut found = BTreeMap::new();
        for (name, pointer) in self.output_vars.into_iter().flatten() {
            match at(answer, pointer) {
                Ok(Value::String(text)) => drop(found.insert(name.clone(), text.clone())),
                Ok(value) => drop(found.insert(name.clone(), value.to_string())),
                Err(why) => unmet.push(format!("the output variable {name} is not to be had: {why}")),
            }
        }
        Judgement { unmet, found }
    }
}

impl Expect {
    fn judge_body(&self, answer: &Answer, unmet: &mut Vec<String>) {
        for (pointer, wanted) in self.json.iter().flatten() {
            match at(answer, pointer) {
                Ok(value) if same(value, wanted) => {}
                Ok(value) => unmet.push(format!(
                    "the value at {pointer:?} is {}, expected {}",
                    cut(&value.to_string(), SHOWN),
                    cut(&wanted.to_string(), SHOWN)
                )),
                Err(why) => unmet.push(why),
            }
        }
        if let Some(wanted) = &self.contains
            && !answer.text().contains(wanted.as_str())
        {
            let read = if answer.truncated {
                " as far as it was read"
            } else {
                ""
            };
            unmet.push(format!(
                "the body{read} does not contain {:?}",
                cut(wanted, SHOWN)
            ));
        }
        if let Some(most) = self.max_millis
            && millis(answer.took) > most
        {
            unmet.push(format!(
                "the answer took {} ms, expected at most {most} ms",
                millis(answer.took)
            ));
        }
    }
}

/// What is at a pointer of the body.
fn at<'a>(answer: &'a Answer, pointer: &str) -> Result<&'a Value, String> {
    let json = answer.json().map_err(str::to_owned)?;
    json.pointer(pointer)
        .ok_or_else(|| format!("there is nothing at {pointer:?} of the body"))
}

/// Whether two values are the same to JSON, to which 1 and 1.0 are one number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() != other.is_f64() => {
            one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let there = |(name, one)| other.get(name).is_some_and(|other| same(one, other));
            one.len() == other.len() && one.iter().all(there)
        }
        _ => one == other,
    }
}

impl StatusRange {
    fn has(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }

    /// `2xx`, `200` or `200-299`.
    fn read(text: &str) -> Option<Self> {
        let code = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        let (first, last) = if let Some(class) = text.strip_suffix("xx") {
            let class: u16 = class.parse().ok().filter(|_| class.len() == 1)?;
            (class * 100, class * 100 + 99)
        } else if let Some((first, last)) = text.split_once('-') {
            (code(first)?, code(last)?)
        } else {
            (code(text)?, code(text)?)
        };
        Self::of(first, last)
    }

    fn of(first: u16, last: u16) -> Option<Self> {
        let valid = (100..=599).contains(&first) && (first..=599).contains(&last);
        valid.then_some(Self { first, last })
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last {
            write!(f, "{first}")
        } else if first % 100 == 0 && *last == first + 99 {
            write!(f, "{}xx", first / 100)
        } else {
            write!(f, "{first}-{last}")
        }
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        const EXPECTED: &str = "is not a status; write 200, \"200-299\" or \"2xx\"";
        impl Visitor<'_> for Reader {
            type Value = StatusRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status: 200, \"200-299\" or \"2xx\"")
            }

            fn visit_u64<E: Error>(self, code: u64) -> Result<StatusRange, E> {
                let code = u16::try_from(code).ok();
                code.and_then(|code| StatusRange::of(code, code))
                    .ok_or_else(|| E::custom(EXPECTED))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<StatusRange, E> {
                StatusRange::read(text).ok_or_else(|| E::custom(EXPECTED))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for StatusRange {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "string", "pattern": "^[1-5](xx|[0-9]{2}(-[1-5][0-9]{2})?)$"},
        ]})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{StatusRange, same};

    #[test]
    fn values_are_compared_as_json_has_them() {
        let alike: [(Value, Value); 3] = [
            (json!(1), json!(1.0)),
            (json!([{"a": 2.0, "b": null}]), json!([{"b": null, "a": 2}])),
            (json!(u64::MAX), json!(u64::MAX)),
        ];
        for (one, other) in alike {
            assert!(same(&one, &other) && same(&other, &one), "{one} {other}");
        }
        let unlike: [(Value, Value); 5] = [
            (json!(u64::MAX), json!(u64::MAX - 1)),
            (json!(1), json!("1")),
            (json!([1]), json!([1, 2])),
            (json!({"a": 1}), json!({"a": 1, "b": 1})),
            (json!({"a": null}), json!({"b": null})),
        ];
        for (one, other) in unlike {
            assert!(!same(&one, &other) && !same(&other, &one), "{one} {other}");
        }
    }

    #[test]
    fn a_status_is_read_as_it_is_written_and_shown() {
        for text in ["200", "2xx", "200-204", "100-599"] {
            assert_eq!(StatusRange::read(text).unwrap().to_string(), text);
        }
        for text in [
            "", "xx", "20", "6xx", "0xx", "2XX", "299-200", "+20", "200-", "200-600", "22xx",
        ] {
            assert_eq!(StatusRange::read(text), None, "{text}");
        }
        let range = StatusRange::read("200-204").unwrap();
        assert!(range.has(200) && range.has(204) && !range.has(205));
    }
}
