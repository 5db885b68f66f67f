//! Statements in one transaction.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::rows::{Answer, Room};
use super::session::{Session, described};
use super::{Fields, outputs};
use crate::task::{Level, LogWriter, TaskError};

/// Statements of one task; more belong into a migration.
const MAX_STATEMENTS: usize = 1000;

/// Longest statement, or migration: what is larger is data, and belongs into a file that a program loads.
pub(super) const MAX_SQL_BYTES: usize = 4 * 1024 * 1024;

/// Most parameters of a statement.
const MAX_PARAMETERS: usize = 1000;

/// What would end the transaction behind our back.
const TRANSACTION_WORDS: [&str; 8] = [
    "abort",
    "begin",
    "commit",
    "end",
    "release",
    "rollback",
    "savepoint",
    "start",
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    /// The SQL. With parameters, exactly one statement that reads or writes rows.
    sql: String,
    /// Values for `$1`, `$2` …: texts, numbers, booleans, null.
    parameters: Option<Vec<Value>>,
}

impl Statement {
    fn parameters(&self) -> &[Value] {
        self.parameters.as_deref().unwrap_or_default()
    }
}

pub(super) fn check(statements: &[Statement]) -> Result<(), TaskError> {
    if statements.is_empty() {
        return Err(TaskError::data("statements", "is empty; give at least one"));
    }
    if statements.len() > MAX_STATEMENTS {
        return Err(TaskError::data(
            "statements",
            format!("has more than {MAX_STATEMENTS}; use `migrations`, or several tasks"),
        ));
    }
    for (index, statement) in statements.iter().enumerate() {
        let wrong = |field: &str, problem: String| {
            Err(TaskError::data(format!("statements[{index}].{field}"), problem))
        };
        if let Err(problem) = check_sql(&statement.sql) {
            return wrong("sql", problem);
        }
        if TRANSACTION_WORDS.contains(&&*first_word(&statement.sql)) {
            return wrong(
                "sql",
                "controls a transaction; all statements are in one, which the task begins and ends"
                    .to_owned(),
            );
        }
        let parameters = statement.parameters();
        if parameters.len() > MAX_PARAMETERS {
            return wrong("parameters", format!("has more than {MAX_PARAMETERS}"));
        }
        for (number, parameter) in parameters.iter().enumerate() {
            let problem = match parameter {
                Value::Array(_) | Value::Object(_) => {
                    "must be a text, a number, a boolean or null; write JSON as text"
                }
                Value::String(text) if text.contains('\0') => {
                    "contains a NUL character, which no database takes in a text"
                }
                _ => continue,
            };
            return wrong(&format!("parameters[{number}]"), problem.to_owned());
        }
    }
    Ok(())
}

/// Whether it can be sent at all.
pub(super) fn check_sql(sql: &str) -> Result<(), String> {
    if first_word(sql).is_empty() {
        return Err("holds no statement".to_owned());
    }
    if sql.len() > MAX_SQL_BYTES {
        return Err(format!("is longer than {MAX_SQL_BYTES} bytes"));
    }
    if sql.contains('\0') {
        return Err("contains a NUL character".to_owned());
    }
    Ok(())
}

/// The first word or sign behind spaces, comments and empty statements, in lower case.
fn first_word(sql: &str) -> String {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after)
        } else {
            break;
        };
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    let end = match end {
        // A parenthesis is a beginning as well.
        Some(0) => rest.chars().next().map_or(0, char::len_utf8),
        other => other.unwrap_or(rest.len()),
    };
    rest[..end].to_lowercase()
}

/// Runs them all, or none. The error is a sentence.
pub(super) async fn run(
    session: &mut dyn Session,
    statements: &[Statement],
    read_only: bool,
    max_rows: usize,
    wanted: &BTreeMap<String, String>,
    log: &LogWriter,
) -> Result<(Fields, BTreeMap<String, String>), String> {
    session
        .begin(read_only)
        .await
        .map_err(|error| format!("no transaction could be begun: {}", described(&error)))?;
    let outcome = within(session, statements, max_rows, wanted, log).await;
    if outcome.is_err() {
        // Where this fails too, the database does it when the connection ends.
        let _ = session.rollback().await;
    }
    outcome
}

async fn within(
    session: &mut dyn Session,
    statements: &[Statement],
    max_rows: usize,
    wanted: &BTreeMap<String, String>,
    log: &LogWriter,
) -> Result<(Fields, BTreeMap<String, String>), String> {
    let mut room = Room::for_rows(max_rows);
    let mut results = Vec::with_capacity(statements.len());
    let count = statements.len();
    for (index, statement) in statements.iter().enumerate() {
        let number = index + 1;
        let told = format!("running statement {number} of {count}");
        log.line(Level::Info, &told).await;
        let mut rows = room.begin();
        let affected = session
            .execute(&statement.sql, statement.parameters(), &mut rows)
            .await
            .map_err(|error| {
                format!(
                    "statement {number} of {count} failed, and nothing of the task was kept: {}",
                    described(&error)
                )
            })?;
        let answer = Answer::new(rows, affected);
        let told = format!("statement {number} of {count}: {}", answer.told());
        log.line(Level::Info, &told).await;
        results.push(answer);
    }
    let fields = Fields {
        results,
        migrations: None,
    };
    let vars = outputs(&fields, wanted)?;
    session.commit().await.map_err(|error| {
        format!(
            "the transaction could not be committed, and nothing of the task was kept: {}",
            described(&error)
        )
    })?;
    Ok((fields, vars))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_behind_whatever_stands_before_it() {
        for (sql, word) in [
            ("SELECT 1", "select"),
            (" \n-- x\n/* y */ ;; Commit;", "commit"),
            ("(select 1)", "("),
            ("-- nothing", ""),
            ("/* nothing", ""),
            ("", ""),
        ] {
            assert_eq!(first_word(sql), word, "{sql:?}");
        }
    }
}
