//! What an expression comes to.
//!
//! Names mean what a [`Scope`] says; nothing else is looked at. `&&`, `||` and `? :` evaluate only what they need.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::functions;
use super::value::whole;
use super::{Expr, Kind, MAX_TEXT_BYTES, Operator, Value};

/// A name of a path, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'e> {
    /// The name.
    pub name: &'e str,
    /// The byte of the text at which the path begins.
    pub at: usize,
}

/// What names mean.
pub trait Scope {
    /// The value of a path, such as `pipeline.variables.version`. The error is a sentence, after the path.
    fn look_up(&self, path: &[Segment<'_>]) -> Result<Value, String>;
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct EvaluationError {
    /// The byte of the text at which the part begins that has none.
    pub at: usize,
    /// What is wrong. It shows names and functions, never values.
    pub problem: String,
}

/// The path that an expression is, if it is one: names, and indexes that are texts.
pub(in crate::pipeline) fn path(expression: &Expr) -> Option<Vec<Segment<'_>>> {
    let mut segments = Vec::new();
    let mut part = expression;
    loop {
        let name = match &part.kind {
            Kind::Name(name) | Kind::Member(_, name) => name,
            Kind::Index(_, index) => match &index.kind {
                Kind::Text(name) => name,
                _ => return None,
            },
            _ => return None,
        };
        segments.push(Segment { name, at: part.at });
        match &part.kind {
            Kind::Member(of, _) | Kind::Index(of, _) => part = of,
            _ => break,
        }
    }
    segments.reverse();
    Some(segments)
}

/// Whether it is a call of `secrets.getValue`, and with what.
pub(in crate::pipeline) fn secret(expression: &Expr) -> Option<&[Expr]> {
    match &expression.kind {
        Kind::Call(of, function, arguments)
            if of.kind == Kind::Name("secrets".to_owned()) && function == "getValue" =>
        {
            Some(arguments)
        }
        _ => None,
    }
}

/// The value of an expression.
pub fn evaluate(expression: &Expr, scope: &dyn Scope) -> Result<Value, EvaluationError> {
    let fail = |problem: String| EvaluationError {
        at: expression.at,
        problem,
    };
    if let Some(path) = path(expression) {
        return scope.look_up(&path).map_err(fail);
    }
    if let Some(arguments) = secret(expression) {
        let [name] = arguments else {
            return Err(fail("secrets.getValue takes one name".to_owned()));
        };
        return match evaluate(name, scope)? {
            Value::Text(name) => reference_to(&name).map_err(fail),
            other => Err(fail(format!(
                "secrets.getValue takes a name as a text, not {}",
                other.what()
            ))),
        };
    }
    match &expression.kind {
        Kind::Null => Ok(Value::Null),
        Kind::Truth(truth) => Ok(Value::Truth(*truth)),
        Kind::Number(number) => Ok(Value::Number(*number)),
        Kind::Text(text) => Ok(Value::Text(text.clone())),
        // A path, and so dealt with.
        Kind::Name(name) => Err(fail(format!("`{name}` is not known"))),
        Kind::Member(of, name) => member(evaluate(of, scope)?, name).map_err(fail),
        Kind::Index(of, index) => {
            let of = evaluate(of, scope)?;
            let index = evaluate(index, scope)?;
            functions::element(of, &index).map_err(fail)
        }
        Kind::Call(of, function, arguments) => {
            let of = evaluate(of, scope)?;
            let arguments = arguments
                .iter()
                .map(|argument| evaluate(argument, scope))
                .collect::<Result<Vec<_>, _>>()?;
            functions::call(of, function, &arguments).map_err(fail)
        }
        Kind::Not(of) => truth(&evaluate(of, scope)?, "!")
            .map(|truth| Value::Truth(!truth))
            .map_err(fail),
        Kind::Negate(of) => {
            let number = number(&evaluate(of, scope)?, "-").map_err(fail)?;
            Ok(Value::Number(-number))
        }
        Kind::Binary(Operator::And, left, right) => {
            let both = truth(&evaluate(left, scope)?, "&&").map_err(fail)?
                && truth(&evaluate(right, scope)?, "&&").map_err(fail)?;
            Ok(Value::Truth(both))
        }
        Kind::Binary(Operator::Or, left, right) => {
            let either = truth(&evaluate(left, scope)?, "||").map_err(fail)?
                || truth(&evaluate(right, scope)?, "||").map_err(fail)?;
            Ok(Value::Truth(either))
        }
        Kind::Binary(operator, left, right) => {
            let left = evaluate(left, scope)?;
            let right = evaluate(right, scope)?;
            binary(*operator, &left, &right).map_err(fail)
        }
        Kind::Choose(condition, then, otherwise) => {
            let chosen = if truth(&evaluate(condition, scope)?, "?").map_err(fail)? {
                then
            } else {
                otherwise
            };
            evaluate(chosen, scope)
        }
    }
}

/// The reference to a secret that the delegate resolves.
pub(in crate::pipeline) fn reference_to(name: &str) -> Result<Value, String> {
    let quote = if name.contains('"') { '\'' } else { '"' };
    if name.trim().is_empty() || name.contains(['\n', '<', '>']) || name.contains(quote) {
        return Err(
            "secrets.getValue needs the name of a secret: not empty, on one line, without < and >".to_owned(),
        );
    }
    Ok(Value::Secret(format!(
        "<+secrets.getValue({quote}{name}{quote})>"
    )))
}

fn member(of: Value, name: &str) -> Result<Value, String> {
    match of {
        Value::Map(mut fields) => fields
            .swap_remove(name)
            .ok_or_else(|| format!("there is no `{name}` in the map")),
        other => Err(format!(
            "{} has no `{name}`; a function is called with parentheses",
            other.what()
        )),
    }
}

fn truth(value: &Value, operator: &str) -> Result<bool, String> {
    value
        .as_truth()
        .ok_or_else(|| format!("`{operator}` needs true or false, not {}", value.what()))
}

fn number(value: &Value, operator: &str) -> Result<f64, String> {
    value
        .as_number()
        .ok_or_else(|| format!("`{operator}` needs numbers, not {}", value.what()))
}

fn binary(operator: Operator, left: &Value, right: &Value) -> Result<Value, String> {
    let sign = operator.as_str();
    if matches!(left, Value::Secret(_)) || matches!(right, Value::Secret(_)) {
        return Err(format!(
            "`{sign}` cannot look at a secret, which only the delegate knows; write its reference beside the text"
        ));
    }
    match operator {
        Operator::Equal => Ok(Value::Truth(equal(left, right))),
        Operator::NotEqual => Ok(Value::Truth(!equal(left, right))),
        Operator::Matches | Operator::MatchesNot => {
            let (Value::Text(text), Value::Text(pattern)) = (left, right) else {
                return Err(format!(
                    "`{sign}` needs a text and a regular expression, not {} and {}",
                    left.what(),
                    right.what()
                ));
            };
            Ok(Value::Truth(
                matches(pattern, text)? == (operator == Operator::Matches),
            ))
        }
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let order = compare(left, right).ok_or_else(|| {
                format!(
                    "`{sign}` compares numbers, or texts, not {} with {}",
                    left.what(),
                    right.what()
                )
            })?;
            Ok(Value::Truth(match operator {
                Operator::Less => order == Ordering::Less,
                Operator::LessOrEqual => order != Ordering::Greater,
                Operator::Greater => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        Operator::Add => add(left, right),
        _ => arithmetic(operator, number(left, sign)?, number(right, sign)?),
    }
}

/// Numbers are added; where one side is a text, both are joined.
fn add(left: &Value, right: &Value) -> Result<Value, String> {
    if let (Value::Number(left), Value::Number(right)) = (left, right) {
        return arithmetic(Operator::Add, *left, *right);
    }
    let joins = |value: &Value| matches!(value, Value::Text(_) | Value::Number(_) | Value::Truth(_));
    let some_text = matches!(left, Value::Text(_)) || matches!(right, Value::Text(_));
    if !some_text || !joins(left) || !joins(right) {
        return Err(format!(
            "`+` adds numbers or joins texts, not {} and {}",
            left.what(),
            right.what()
        ));
    }
    text(left.to_text() + &right.to_text())
}

fn arithmetic(operator: Operator, left: f64, right: f64) -> Result<Value, String> {
    if right == 0.0 && matches!(operator, Operator::Divide | Operator::Remainder) {
        return Err(format!("`{}` by zero", operator.as_str()));
    }
    let result = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => left % right,
    };
    if !result.is_finite() {
        return Err(format!("the result of `{}` is too large", operator.as_str()));
    }
    // No minus zero, which is written otherwise and is the same.
    Ok(Value::Number(
        whole(result).filter(|whole| *whole == 0).map_or(result, |_| 0.0),
    ))
}

/// Texts are compared with numbers and truths by what they are written as.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Text(_), Value::Number(number)) | (Value::Number(number), Value::Text(_)) => {
            let text = if matches!(left, Value::Text(_)) {
                left
            } else {
                right
            };
            text.as_number() == Some(*number)
        }
        (Value::Text(_), Value::Truth(truth)) => left.as_truth() == Some(*truth),
        (Value::Truth(truth), Value::Text(_)) => right.as_truth() == Some(*truth),
        _ => left == right,
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Number(_), _) | (_, Value::Number(_)) => left.as_number()?.partial_cmp(&right.as_number()?),
        _ => None,
    }
}

/// A regular expression of a user, which may not become large.
pub(in crate::pipeline) fn regex(pattern: &str) -> Option<regex::Regex> {
    /// Compiled: enough for what anybody writes by hand.
    const MAX_COMPILED_BYTES: usize = 256 * 1024;
    regex::RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .ok()
}

/// Whether a regular expression matches a text or a part of it.
fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    regex(pattern).map(|regex| regex.is_match(text)).ok_or_else(|| {
        "`=~` needs a regular expression on its right; this one does not read, or is too large".to_owned()
    })
}

/// A text, unless it is too long.
pub(super) fn text<'t>(text: impl Into<Cow<'t, str>>) -> Result<Value, String> {
    let text = text.into();
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("the text is longer than {MAX_TEXT_BYTES} bytes"));
    }
    Ok(Value::Text(text.into_owned()))
}
