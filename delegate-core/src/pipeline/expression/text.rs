//! Texts with expressions in them, and conditions.

use serde::{Deserialize, Serialize};

use super::evaluate::{EvaluationError, Scope, evaluate, secret};
use super::{Expr, Kind, MAX_TEXT_BYTES, SECRET_BEGINNING, SyntaxError, Value, parser};
use crate::pipeline::source::{Mark, Place};

/// How an expression begins in a text.
const OPEN: &str = "<+";

/// What a user writes, with where. This is what texts and conditions are kept as.
#[derive(Clone, Serialize, Deserialize)]
struct Written {
    text: String,
    place: Place,
}

/// A text with expressions in it, `image:<+pipeline.variables.tag>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Text {
    source: String,
    place: Place,
    pieces: Vec<Piece>,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Stands for itself.
    Literal(String),
    /// `<+…>`.
    Expression(Expr),
}

impl TryFrom<Written> for Text {
    type Error = SyntaxError;

    fn try_from(written: Written) -> Result<Self, SyntaxError> {
        Self::read(written.text, written.place)
    }
}

impl From<Text> for Written {
    fn from(text: Text) -> Self {
        Self {
            text: text.source,
            place: text.place,
        }
    }
}

impl Text {
    /// Reads a text.
    pub fn read(source: String, place: Place) -> Result<Self, SyntaxError> {
        let mut pieces = Vec::new();
        let mut from = 0;
        while let Some(open) = source[from..].find(OPEN).map(|at| from + at) {
            if open > from {
                pieces.push(Piece::Literal(source[from..open].to_owned()));
            }
            let (expression, end) = parser::embedded(&source, open)?;
            pieces.push(Piece::Expression(expression));
            from = end;
        }
        if from < source.len() {
            pieces.push(Piece::Literal(source[from..].to_owned()));
        }
        Ok(Self {
            source,
            place,
            pieces,
        })
    }

    /// What was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where it stands in its file.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where it begins.
    pub fn at(&self) -> Mark {
        self.place.at
    }

    /// Its expressions, in their order.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Expression(expression) => Some(expression),
            Piece::Literal(_) => None,
        })
    }

    /// Whether its value is not known before a run. A reference to a secret is for the delegate, and no question here.
    pub fn is_open(&self) -> bool {
        self.expressions().any(|expression| {
            !matches!(
                secret(expression),
                Some([Expr {
                    kind: Kind::Text(_),
                    ..
                }])
            )
        })
    }

    /// Its value: that of its expression where it is nothing else, with its type; otherwise a text.
    pub fn value(&self, scope: &dyn Scope) -> Result<Value, EvaluationError> {
        if let [Piece::Expression(expression)] = self.pieces.as_slice() {
            return without_reference(evaluate(expression, scope)?, expression.at);
        }
        let (mut joined, mut references, mut made) = (String::new(), 0, 0);
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => joined.push_str(literal),
                Piece::Expression(expression) => {
                    let value = without_reference(evaluate(expression, scope)?, expression.at)?;
                    let text = value.to_text();
                    made += text.len();
                    if made > MAX_TEXT_BYTES {
                        return Err(EvaluationError {
                            at: expression.at,
                            problem: format!(
                                "the expressions make more than {MAX_TEXT_BYTES} bytes of this text"
                            ),
                        });
                    }
                    if matches!(value, Value::Secret(_)) {
                        references += count_references(&text);
                    }
                    joined.push_str(&text);
                }
            }
        }
        if count_references(&joined) != references {
            return Err(foreign_reference(0));
        }
        Ok(if references > 0 {
            Value::Secret(joined)
        } else {
            Value::Text(joined)
        })
    }

    /// Its value as a text for people or for choosing a delegate, where secrets have no place.
    pub fn plain(&self, scope: &dyn Scope) -> Result<String, EvaluationError> {
        match self.value(scope)? {
            Value::Secret(_) => Err(EvaluationError {
                at: 0,
                problem: "a secret has no place here; only data of tasks takes one".to_owned(),
            }),
            value => Ok(value.to_text()),
        }
    }
}

fn count_references(text: &str) -> usize {
    text.matches(SECRET_BEGINNING).count()
}

/// What comes from outside cannot make the delegate give away a secret that the file does not name.
fn without_reference(value: Value, at: usize) -> Result<Value, EvaluationError> {
    if value.brings_reference() {
        Err(foreign_reference(at))
    } else {
        Ok(value)
    }
}

fn foreign_reference(at: usize) -> EvaluationError {
    EvaluationError {
        at,
        problem: format!(
            "the value holds `{SECRET_BEGINNING}`, which the delegate would take for a reference to a secret; references are \
             written in the pipeline file"
        ),
    }
}

/// One expression, without `<+…>` around it, that is true or false: `<+pipeline.variables.env> == "prod"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Condition {
    source: String,
    place: Place,
    expression: Expr,
}

impl TryFrom<Written> for Condition {
    type Error = SyntaxError;

    fn try_from(written: Written) -> Result<Self, SyntaxError> {
        Self::read(written.text, written.place)
    }
}

impl From<Condition> for Written {
    fn from(condition: Condition) -> Self {
        Self {
            text: condition.source,
            place: condition.place,
        }
    }
}

impl Condition {
    /// Reads a condition.
    pub fn read(source: String, place: Place) -> Result<Self, SyntaxError> {
        let expression = parser::whole(&source)?;
        Ok(Self {
            source,
            place,
            expression,
        })
    }

    /// What was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where it stands in its file.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The expression.
    pub fn expression(&self) -> &Expr {
        &self.expression
    }

    /// Whether it holds.
    pub fn holds(&self, scope: &dyn Scope) -> Result<bool, EvaluationError> {
        let value = evaluate(&self.expression, scope)?;
        value.as_truth().ok_or_else(|| EvaluationError {
            at: self.expression.at,
            problem: format!("a condition is true or false, not {}", value.what()),
        })
    }
}
