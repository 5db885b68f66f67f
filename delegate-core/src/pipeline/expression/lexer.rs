//! The next token of an expression.

use super::{Operator, SyntaxError};

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// `<+`
    Open,
    Operator(Operator),
    Not,
    Question,
    Colon,
    Dot,
    Comma,
    LeftParenthesis,
    RightParenthesis,
    LeftBracket,
    RightBracket,
    Name(String),
    Number(f64),
    Text(String),
    End,
}

impl Token {
    /// For errors. Texts are not shown: they may be anything.
    pub(super) fn describe(&self) -> String {
        let text = match self {
            Self::Open => "<+",
            Self::Operator(operator) => operator.as_str(),
            Self::Not => "!",
            Self::Question => "?",
            Self::Colon => ":",
            Self::Dot => ".",
            Self::Comma => ",",
            Self::LeftParenthesis => "(",
            Self::RightParenthesis => ")",
            Self::LeftBracket => "[",
            Self::RightBracket => "]",
            Self::Name(name) => name,
            Self::Number(number) => return format!("`{number}`"),
            Self::Text(_) => return "a text in quotes".to_owned(),
            Self::End => return "the end".to_owned(),
        };
        format!("`{text}`")
    }
}

/// Symbols, the longer ones first.
const SYMBOLS: [(&str, Token); 27] = [
    ("<+", Token::Open),
    ("||", Token::Operator(Operator::Or)),
    ("&&", Token::Operator(Operator::And)),
    ("==", Token::Operator(Operator::Equal)),
    ("!=", Token::Operator(Operator::NotEqual)),
    ("=~", Token::Operator(Operator::Matches)),
    ("!~", Token::Operator(Operator::MatchesNot)),
    ("<=", Token::Operator(Operator::LessOrEqual)),
    (">=", Token::Operator(Operator::GreaterOrEqual)),
    ("<", Token::Operator(Operator::Less)),
    (">", Token::Operator(Operator::Greater)),
    ("+", Token::Operator(Operator::Add)),
    ("-", Token::Operator(Operator::Subtract)),
    ("*", Token::Operator(Operator::Multiply)),
    ("/", Token::Operator(Operator::Divide)),
    ("%", Token::Operator(Operator::Remainder)),
    ("!", Token::Not),
    ("?", Token::Question),
    (":", Token::Colon),
    (".", Token::Dot),
    (",", Token::Comma),
    ("(", Token::LeftParenthesis),
    (")", Token::RightParenthesis),
    ("[", Token::LeftBracket),
    ("]", Token::RightBracket),
    // Said to people who know them from elsewhere; see `hint`.
    ("=", Token::End),
    ("|", Token::End),
];

/// The token at `from`, which is no blank, and where it ends.
pub(super) fn token(text: &str, from: usize) -> Result<(Token, usize), SyntaxError> {
    let rest = &text[from..];
    let Some(first) = rest.chars().next() else {
        return Ok((Token::End, from));
    };
    if first.is_ascii_digit() {
        return number(rest, from);
    }
    if is_name_start(first) {
        let length = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        return Ok((Token::Name(rest[..length].to_owned()), from + length));
    }
    if matches!(first, '"' | '\'') {
        return quoted(rest, first, from);
    }
    let symbol = SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol));
    match symbol {
        Some((symbol, token)) if *token != Token::End => Ok((token.clone(), from + symbol.len())),
        _ => Err(SyntaxError {
            at: from,
            problem: format!("`{first}` has no meaning here{}", hint(first)),
        }),
    }
}

fn hint(letter: char) -> &'static str {
    match letter {
        '=' => "; equality is written ==",
        '|' => "; `or` is written ||",
        '&' => "; `and` is written &&",
        _ => "",
    }
}

pub(super) fn is_name_start(letter: char) -> bool {
    letter.is_ascii_alphabetic() || matches!(letter, '_' | '$')
}

fn is_name(letter: char) -> bool {
    is_name_start(letter) || letter.is_ascii_digit()
}

/// Whether a text can stand behind a dot.
pub(super) fn is_plain_name(text: &str) -> bool {
    text.chars().next().is_some_and(is_name_start) && text.chars().all(is_name)
}

fn number(rest: &str, from: usize) -> Result<(Token, usize), SyntaxError> {
    let digits = |text: &str| {
        text.find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(text.len())
    };
    let mut length = digits(rest);
    if let Some(after) = rest[length..].strip_prefix('.')
        && after.starts_with(|letter: char| letter.is_ascii_digit())
    {
        length += 1 + digits(after);
    }
    let bad = |problem: &str| SyntaxError {
        at: from,
        problem: problem.to_owned(),
    };
    if rest[length..].starts_with(is_name_start) {
        return Err(bad("a number with letters; put a text in quotes"));
    }
    match rest[..length].parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Number(number), from + length)),
        _ => Err(bad("a number that is too large")),
    }
}

/// A text in quotes. `\n`, `\t` and `\r` are what they are elsewhere, a backslash makes itself and quotes plain, and
/// before anything else it stays, for regular expressions.
fn quoted(rest: &str, quote: char, from: usize) -> Result<(Token, usize), SyntaxError> {
    let mut value = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            return Ok((Token::Text(value), from + at + 1));
        }
        if letter != '\\' {
            value.push(letter);
            continue;
        }
        match letters.next() {
            Some((_, 'n')) => value.push('\n'),
            Some((_, 't')) => value.push('\t'),
            Some((_, 'r')) => value.push('\r'),
            Some((_, plain @ ('\\' | '"' | '\''))) => value.push(plain),
            Some((_, other)) => value.extend(['\\', other]),
            None => break,
        }
    }
    Err(SyntaxError {
        at: from,
        problem: format!("a text without its closing {quote}"),
    })
}
