//! The environment file: `NAME=value` lines, a subset of the shell's syntax.
//!
//! Read: empty lines, `#` comments, an optional `export`, values bare, in single quotes (taken as they are, over
//! several lines) or in double quotes (`\"`, `\\`, `\$`, `` \` ``, `\n`, `\r`, `\t`). Nothing is expanded.
//! Written: single quotes always, so that a shell, systemd and this parser read the same.

use std::fmt::Write as _;

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct EnvFileError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong there; never a value.
    pub problem: &'static str,
}

/// Reads a file. Later lines win.
///
/// # Errors
/// The first line that is no assignment. Values do not appear in the error.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, EnvFileError> {
    let mut vars = Vec::new();
    let mut rest = text;
    let line_of = |rest: &str| text[..text.len() - rest.len()].matches('\n').count() + 1;
    while !rest.is_empty() {
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if trimmed.is_empty() {
            break;
        }
        let line = line_of(trimmed);
        let fail = |problem| EnvFileError { line, problem };
        if trimmed.starts_with('#') {
            rest = trimmed.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let assignment = trimmed.strip_prefix("export ").unwrap_or(trimmed).trim_start();
        let end = assignment
            .find(['=', '\n'])
            .filter(|&at| assignment.as_bytes()[at] == b'=');
        let (name, after) = assignment.split_at(end.ok_or_else(|| fail("expected NAME=value"))?);
        if !is_name(name) {
            return Err(fail(
                "a variable name has letters, digits and '_' and does not begin with a digit",
            ));
        }
        let (value, after) = value(&after[1..]).map_err(fail)?;
        vars.push((name.to_owned(), value));
        let (tail, next) = after.split_once('\n').unwrap_or((after, ""));
        let tail = tail.trim();
        if !(tail.is_empty() || tail.starts_with('#')) {
            return Err(fail("text after the closing quote"));
        }
        rest = next;
    }
    Ok(vars)
}

/// Writes a file that [`parse`] reads back unchanged.
pub fn render<'a>(vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in vars {
        // A quote inside single quotes: close, a quoted quote, open again.
        let _ = writeln!(text, "{name}='{}'", value.replace('\'', r"'\''"));
    }
    text
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads one value and returns it with what follows. Quoted pieces may touch each other, as in a shell.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut rest = text;
    let mut quoted = false;
    loop {
        if let Some(body) = rest.strip_prefix('\'') {
            let (inner, after) = body.split_once('\'').ok_or("a single quote is not closed")?;
            value.push_str(inner);
            rest = after;
        } else if let Some(body) = rest.strip_prefix('"') {
            rest = double_quoted(body, &mut value)?;
        } else if let Some(after) = quoted.then(|| rest.strip_prefix("\\'")).flatten() {
            value.push('\'');
            rest = after;
        } else if quoted {
            return Ok((value, rest));
        } else {
            let (line, _) = rest.split_once('\n').unwrap_or((rest, ""));
            return Ok((line.trim().to_owned(), &rest[line.len()..]));
        }
        quoted = true;
    }
}

fn double_quoted<'a>(body: &'a str, value: &mut String) -> Result<&'a str, &'static str> {
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(&body[at + 1..]),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some('\n') => {}
                Some(c @ ('"' | '\\' | '$' | '`')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err("a double quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(vars in prop::collection::vec(("[A-Z_][A-Z0-9_]{0,8}", "(?s).{0,40}"), 0..6)) {
            let text = render(vars.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            prop_assert_eq!(parse(&text).unwrap(), vars);
        }

        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "(?s).{0,200}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn the_forms_people_write_are_understood() {
        let text = "# comment\n\nexport A=1\nB = no\n";
        assert_eq!(parse(text).unwrap_err().line, 4);
        let text = "A=bare value \r\nB=\"q\\n\\\"x\\\" \\$1\"\nC='it'\\''s' # why\nD=\nE='two\nlines'\n";
        let read = parse(text).unwrap();
        let values: Vec<&str> = read.iter().map(|(_, v)| v.as_str()).collect();
        assert_eq!(values, ["bare value", "q\n\"x\" $1", "it's", "", "two\nlines"]);
    }

    #[test]
    fn an_open_quote_names_its_line_and_no_value() {
        let error = parse("A=1\nB='hunter2\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: a single quote is not closed");
    }
}
