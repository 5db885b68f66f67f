//! An expression as a text that reads as the same expression.

use std::fmt::{self, Display, Formatter, Write as _};

use super::lexer::is_plain_name;
use super::{Expr, Kind};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Null => f.write_str("null"),
            Kind::Truth(truth) => write!(f, "{truth}"),
            Kind::Number(number) => write!(f, "{number}"),
            Kind::Text(text) => quoted(text, f),
            Kind::Name(name) => f.write_str(name),
            Kind::Member(of, name) if is_plain_name(name) => write!(f, "{}.{name}", Base(of)),
            Kind::Member(of, name) => {
                write!(f, "{}[", Base(of))?;
                quoted(name, f)?;
                f.write_char(']')
            }
            Kind::Index(of, index) => write!(f, "{}[{index}]", Base(of)),
            Kind::Call(of, function, arguments) => {
                write!(f, "{}.{function}(", Base(of))?;
                for (at, argument) in arguments.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{argument}")?;
                }
                f.write_char(')')
            }
            Kind::Not(of) => write!(f, "!{}", Base(of)),
            Kind::Negate(of) => write!(f, "-{}", Base(of)),
            Kind::Binary(operator, left, right) => write!(f, "({left} {} {right})", operator.as_str()),
            Kind::Choose(condition, then, otherwise) => write!(f, "({condition} ? {then} : {otherwise})"),
        }
    }
}

/// Something in front of a dot, a bracket or behind a sign: in parentheses where it would be read otherwise.
struct Base<'e>(&'e Expr);

impl Display for Base<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.kind {
            Kind::Not(_) | Kind::Negate(_) | Kind::Number(_) => write!(f, "({})", self.0),
            _ => write!(f, "{}", self.0),
        }
    }
}

pub(super) fn quoted(text: &str, f: &mut impl fmt::Write) -> fmt::Result {
    f.write_char('"')?;
    for letter in text.chars() {
        match letter {
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            '"' | '\\' => write!(f, "\\{letter}")?,
            other => f.write_char(other)?,
        }
    }
    f.write_char('"')
}
