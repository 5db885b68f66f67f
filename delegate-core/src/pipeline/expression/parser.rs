//! From a text to an expression: recursive descent, bounded in nesting and in parts.
//!
//! `>` closes `<+…` wherever it stands directly within it, so that `<+a>b` is the value of `a` and a `b`. Where it is to
//! compare, it has blanks on both sides and something to compare with, or it stands within parentheses.

use super::lexer::{Token, token};
use super::{Expr, Kind, MAX_EXPRESSION_BYTES, MAX_NESTING, MAX_PARTS, Operator, SyntaxError};

/// Reads `<+…>` at the byte `from`; and says where it ends.
pub(super) fn embedded(text: &str, from: usize) -> Result<(Expr, usize), SyntaxError> {
    let mut parser = Parser::new(text, from);
    let expression = parser.angle()?;
    Ok((expression, parser.at))
}

/// Reads a text that is an expression as a whole.
pub(super) fn whole(text: &str) -> Result<Expr, SyntaxError> {
    let mut parser = Parser::new(text, 0);
    let expression = parser.choice()?;
    let (at, token) = parser.peek()?;
    if token == Token::End {
        Ok(expression)
    } else {
        Err(SyntaxError {
            at,
            problem: format!("expected an operator or the end, found {}", token.describe()),
        })
    }
}

struct Parser<'t> {
    text: &'t str,
    /// Where this expression begins.
    start: usize,
    at: usize,
    parts: usize,
    nesting: usize,
    /// Whether it stands directly within `<+…>`.
    in_angle: bool,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, at: usize) -> Self {
        Self {
            text,
            start: at,
            at,
            parts: 0,
            nesting: 0,
            in_angle: false,
        }
    }

    fn blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    /// The next token and where it begins.
    fn peek(&mut self) -> Result<(usize, Token), SyntaxError> {
        self.blanks();
        if self.at - self.start > MAX_EXPRESSION_BYTES {
            return Err(self.error(format!(
                "an expression longer than {MAX_EXPRESSION_BYTES} bytes; is its `>` missing?"
            )));
        }
        Ok((self.at, token(self.text, self.at)?.0))
    }

    fn take(&mut self) -> Result<(usize, Token), SyntaxError> {
        self.blanks();
        let from = self.at;
        let (token, end) = token(self.text, from)?;
        self.at = end;
        Ok((from, token))
    }

    fn take_if(&mut self, wanted: &Token) -> Result<bool, SyntaxError> {
        let found = self.peek()?.1 == *wanted;
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), SyntaxError> {
        let (at, found) = self.take()?;
        if found == *wanted {
            return Ok(());
        }
        Err(SyntaxError {
            at,
            problem: format!("expected {}, found {}", wanted.describe(), found.describe()),
        })
    }

    fn error(&self, problem: impl Into<String>) -> SyntaxError {
        SyntaxError {
            at: self.at,
            problem: problem.into(),
        }
    }

    /// Counts a part.
    fn part(&mut self, at: usize, kind: Kind) -> Result<Expr, SyntaxError> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(self.error(format!("an expression of more than {MAX_PARTS} parts; split it")));
        }
        Ok(kind.at(at))
    }

    /// Something within brackets of any kind.
    fn nested<T>(
        &mut self,
        in_angle: bool,
        read: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        if self.nesting == MAX_NESTING {
            return Err(self.error(format!("more than {MAX_NESTING} parentheses within each other")));
        }
        self.nesting += 1;
        let before = std::mem::replace(&mut self.in_angle, in_angle);
        let read = read(self)?;
        self.in_angle = before;
        self.nesting -= 1;
        Ok(read)
    }

    fn angle(&mut self) -> Result<Expr, SyntaxError> {
        self.expect(&Token::Open)?;
        let inner = self.nested(true, Self::choice)?;
        self.blanks();
        if self.text[self.at..].starts_with('>') {
            self.at += 1;
            return Ok(inner);
        }
        let (at, found) = self.peek()?;
        Err(SyntaxError {
            at,
            problem: format!(
                "expected an operator or the closing `>`, found {}",
                found.describe()
            ),
        })
    }

    fn choice(&mut self) -> Result<Expr, SyntaxError> {
        let condition = self.binary(1)?;
        if !self.take_if(&Token::Question)? {
            return Ok(condition);
        }
        // A choice of choices nests without any bracket.
        let (then, otherwise) = self.nested(self.in_angle, |parser| {
            let then = parser.choice()?;
            parser.expect(&Token::Colon)?;
            Ok((then, parser.choice()?))
        })?;
        let at = condition.at;
        let kind = Kind::Choose(Box::new(condition), Box::new(then), Box::new(otherwise));
        self.part(at, kind)
    }

    fn binary(&mut self, tightness: u8) -> Result<Expr, SyntaxError> {
        let mut left = self.unary()?;
        while let Some(operator) = self.operator()?
            && operator.precedence() >= tightness
        {
            self.take()?;
            let right = self.binary(operator.precedence() + 1)?;
            let at = left.at;
            left = self.part(at, Kind::Binary(operator, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    /// The operator that comes next, unless it is the `>` that closes.
    fn operator(&mut self) -> Result<Option<Operator>, SyntaxError> {
        let (at, found) = match self.peek() {
            Ok(found) => found,
            // What closes may have anything behind it.
            Err(_) if self.in_angle && self.text[self.at..].starts_with('>') => return Ok(None),
            Err(error) => return Err(error),
        };
        let Token::Operator(operator) = found else {
            return Ok(None);
        };
        let closes = self.in_angle
            && matches!(operator, Operator::Greater | Operator::GreaterOrEqual)
            && !self.compares(at, operator.as_str().len());
        Ok((!closes).then_some(operator))
    }

    /// Whether the `>` there has blanks around it and something to compare with.
    fn compares(&self, at: usize, length: usize) -> bool {
        let blank_before = self.text[..at].ends_with(char::is_whitespace);
        let after = &self.text[at + length..];
        let operand = after.trim_start();
        blank_before
            && operand.len() < after.len()
            && (operand.starts_with("<+")
                || operand.starts_with(|letter: char| {
                    letter.is_ascii_alphanumeric() || "_$\"'(!-".contains(letter)
                }))
    }

    fn unary(&mut self) -> Result<Expr, SyntaxError> {
        let (at, token) = self.peek()?;
        match token {
            Token::Not => {
                self.take()?;
                let of = self.nested(self.in_angle, Self::unary)?;
                self.part(at, Kind::Not(Box::new(of)))
            }
            Token::Operator(Operator::Subtract) => {
                self.take()?;
                let of = self.nested(self.in_angle, Self::unary)?;
                self.part(at, Kind::Negate(Box::new(of)))
            }
            _ => self.postfix(),
        }
    }

    fn postfix(&mut self) -> Result<Expr, SyntaxError> {
        let mut of = self.primary()?;
        loop {
            let at = of.at;
            // `<+a>.b` in a text is a value and `.b`; within an expression it goes on.
            match self.peek() {
                Ok((_, Token::Dot)) => {
                    self.take()?;
                    let (name_at, token) = self.take()?;
                    let Token::Name(name) = token else {
                        return Err(SyntaxError {
                            at: name_at,
                            problem: format!("expected a name after `.`, found {}", token.describe()),
                        });
                    };
                    of = if self
                        .peek()
                        .is_ok_and(|(_, token)| token == Token::LeftParenthesis)
                    {
                        self.take()?;
                        let arguments = self.nested(false, Self::arguments)?;
                        self.part(at, Kind::Call(Box::new(of), name, arguments))?
                    } else {
                        self.part(at, Kind::Member(Box::new(of), name))?
                    };
                }
                Ok((_, Token::LeftBracket)) => {
                    self.take()?;
                    let index = self.nested(false, |parser| {
                        let index = parser.choice()?;
                        parser.expect(&Token::RightBracket)?;
                        Ok(index)
                    })?;
                    of = self.part(at, Kind::Index(Box::new(of), Box::new(index)))?;
                }
                _ => return Ok(of),
            }
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, SyntaxError> {
        let mut arguments = Vec::new();
        if self.take_if(&Token::RightParenthesis)? {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.choice()?);
            if !self.take_if(&Token::Comma)? {
                break;
            }
        }
        self.expect(&Token::RightParenthesis)?;
        Ok(arguments)
    }

    fn primary(&mut self) -> Result<Expr, SyntaxError> {
        let (at, token) = self.peek()?;
        if token == Token::Open {
            return self.angle();
        }
        self.take()?;
        let kind = match token {
            Token::Name(name) => match name.as_str() {
                "null" => Kind::Null,
                "true" => Kind::Truth(true),
                "false" => Kind::Truth(false),
                _ => Kind::Name(name),
            },
            Token::Number(number) => Kind::Number(number),
            Token::Text(text) => Kind::Text(text),
            Token::LeftParenthesis => {
                return self.nested(false, |parser| {
                    let inner = parser.choice()?;
                    parser.expect(&Token::RightParenthesis)?;
                    Ok(inner)
                });
            }
            other => {
                return Err(SyntaxError {
                    at,
                    problem: format!("expected a name, a value or `(`, found {}", other.describe()),
                });
            }
        };
        self.part(at, kind)
    }
}
