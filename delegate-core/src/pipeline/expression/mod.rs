//! Expressions, `<+…>`: read once, printed, and evaluated where a [`Scope`] says what names mean.
//!
//! ```text
//!   text ──► parser ──► Expr ──► evaluate ──► Value
//!             lexer                 └── functions, Scope
//! ```
//!
//! A [`Text`] is what a user writes: literal text with expressions in it. A [`Condition`] is one expression without
//! `<+…>` around it, as in `when`. A [`Template`] is data of a task with texts in it. All of them keep what was written,
//! which is what they are stored as.
//!
//! Everything is bounded: the length of an expression, its nesting and parts, the texts and lists that it makes.
//! Reading fails with [`SyntaxError`], evaluation with [`EvaluationError`]; both say where.

mod evaluate;
mod functions;
mod lexer;
mod parser;
mod print;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub use evaluate::{EvaluationError, Scope, Segment, evaluate};
pub(super) use evaluate::{path, reference_to, regex, secret};
pub use template::Template;
pub use text::{Condition, Piece, Text};
pub use value::Value;

/// The functions there are, for the reference and errors: names with their parameters.
pub(super) use functions::names as function_names;

/// Longest expression, bytes: longer ones are programs, and belong into a script.
pub const MAX_EXPRESSION_BYTES: usize = 8 * 1024;

/// Most parts of an expression (names, values, operators, calls), which bounds every recursion over it too.
pub const MAX_PARTS: usize = 256;

/// Parentheses, calls and expressions within each other.
pub const MAX_NESTING: usize = 32;

/// Longest text that an expression makes, bytes.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Longest list that an expression makes.
pub const MAX_ITEMS: usize = 10_000;

/// How a reference to a secret begins: for the delegate, and so forbidden in whatever comes from outside.
pub const SECRET_BEGINNING: &str = "<+secrets.";

/// An expression, or a part of one.
#[derive(Clone, Debug)]
pub struct Expr {
    /// The byte of the text at which it begins; for errors, and no part of what it is.
    pub at: usize,
    /// What it is.
    pub kind: Kind,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true`, `false`.
    Truth(bool),
    /// `3`, `0.5`. Never negative: the sign is an operator.
    Number(f64),
    /// `"text"`.
    Text(String),
    /// `steps`: where a path begins.
    Name(String),
    /// `.name`.
    Member(Box<Expr>, String),
    /// `[…]`.
    Index(Box<Expr>, Box<Expr>),
    /// `.function(…)`.
    Call(Box<Expr>, String, Vec<Expr>),
    /// `!`.
    Not(Box<Expr>),
    /// `-`.
    Negate(Box<Expr>),
    /// Anything with two sides.
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// `… ? … : …`.
    Choose(Box<Expr>, Box<Expr>, Box<Expr>),
}

impl Kind {
    pub(super) fn at(self, at: usize) -> Expr {
        Expr { at, kind: self }
    }
}

/// Operators with two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`: matches a regular expression.
    Matches,
    /// `!~`: does not.
    MatchesNot,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `+`: adds numbers, joins texts.
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

impl Operator {
    /// Every operator.
    pub const ALL: [Self; 15] = [
        Self::Or,
        Self::And,
        Self::Equal,
        Self::NotEqual,
        Self::Matches,
        Self::MatchesNot,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Add,
        Self::Subtract,
        Self::Multiply,
        Self::Divide,
        Self::Remainder,
    ];

    /// How it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::MatchesNot => "!~",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }

    /// How tightly it binds; greater is tighter.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal | Self::NotEqual | Self::Matches | Self::MatchesNot => 3,
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => 4,
            Self::Add | Self::Subtract => 5,
            Self::Multiply | Self::Divide | Self::Remainder => 6,
        }
    }
}

/// What is wrong with the writing of an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct SyntaxError {
    /// The byte of the text at which it was noticed.
    pub at: usize,
    /// What was found, what was expected.
    pub problem: String,
}
