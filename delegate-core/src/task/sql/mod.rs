//! `SQL`: runs statements in one transaction, or applies migrations.
//!
//! Data: `{database: {url} | {postgres: {host, port?, database, user, password?, tls?, ca?}} | {sqlite: {file, create?}}, statements:
//! [{sql, parameters?}] | migrations: {directory | files: [{name, sql}], table?}, read_only?, max_rows?, output_vars?}`. Result:
//! the common fields, `results` and `migrations`.
//!
//! The delegate itself talks to the database; no program is needed. A statement that fails, an output variable that is
//! not there, an abort or the end of the time takes back all statements; of migrations it takes back the one that was
//! under way. Either way the statement is ended in the database, not only given up here.
//!
//! Where tasks have a user of their own, files of SQLite are not opened: the delegate would do it with its own rights.

mod database;
mod look;
mod migrations;
mod postgres;
mod rows;
mod session;
mod sqlite;
mod statements;

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::allowance::Allowance;
use super::workspace::Place;
use super::{About, Level, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate};
use crate::Secret;
use crate::process::{InvalidName, is_valid_name};
use crate::protocol::wire::CommandStatus;
use database::{Database, Target};
pub(super) use look::{DatabaseAccess, Looked, look};
use migrations::{Migrated, Migrations};
use rows::Answer;
use session::{Interrupter, connect};
use statements::Statement;

/// Rows of a statement that are returned, where the data says nothing.
const DEFAULT_MAX_ROWS: u32 = 1000;

/// Between two attempts to end a statement.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(500);

/// On top of the task's grace: a connection has to be made to end a statement.
const LEAST_GRACE: Duration = Duration::from_secs(5);

/// Most of them that can be asked for.
const MOST_ROWS: u32 = 100_000;

/// The kind `SQL`.
pub struct Sql;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// Which database, and who logs in.
    database: Database,
    /// What to run, all in one transaction.
    statements: Option<Vec<Statement>>,
    /// What to apply, each in a transaction of its own and once.
    migrations: Option<Migrations>,
    /// Whether the database is to refuse to change anything. Default: false.
    read_only: Option<bool>,
    /// How many rows of each statement are returned, 0 to 100000. Default: 1000.
    #[schemars(range(max = MOST_ROWS))]
    max_rows: Option<u32>,
    /// Output variables by name: JSON pointers into the result's own fields, such as `/results/0/rows/0/id`. Each must be
    /// there, or nothing is kept.
    output_vars: Option<BTreeMap<String, String>>,
}

// What came of it.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Fields {
    /// One for each statement, in their order.
    results: Vec<Answer>,
    /// What migrations did, when there were any.
    migrations: Option<Migrated>,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        self.database.secrets()
    }

    fn check(&self) -> Result<(), TaskError> {
        self.database.target()?;
        match (&self.statements, &self.migrations) {
            (Some(statements), None) => statements::check(statements)?,
            (None, Some(migrations)) => {
                migrations.check()?;
                if self.read_only == Some(true) {
                    return Err(TaskError::data(
                        "read_only",
                        "is of no use with `migrations`, which change the database",
                    ));
                }
                if self.output_vars.is_some() {
                    return Err(TaskError::data(
                        "output_vars",
                        "are those of `statements`, and there are `migrations`",
                    ));
                }
            }
            (Some(_), Some(_)) => {
                return Err(TaskError::data(
                    "migrations",
                    "cannot be there together with `statements`; give one of them",
                ));
            }
            (None, None) => return Err(TaskError::data("data", "needs `statements` or `migrations`")),
        }
        if self.max_rows.is_some_and(|rows| rows > MOST_ROWS) {
            return Err(TaskError::data(
                "max_rows",
                format!("must be from 0 to {MOST_ROWS}"),
            ));
        }
        for (name, pointer) in self.output_vars.iter().flatten() {
            if !is_valid_name(name) {
                return Err(TaskError::data(
                    "output_vars",
                    InvalidName(name.clone()).to_string(),
                ));
            }
            if !pointer.starts_with('/') {
                return Err(TaskError::data(
                    format!("output_vars.{name}"),
                    "must be a JSON pointer, such as /results/0/rows/0/id",
                ));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl TaskKind for Sql {
    fn type_name(&self) -> &'static str {
        "SQL"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Runs statements in a transaction, or applies migrations, in PostgreSQL or SQLite.",
            "Migrations: safe, each is applied once. Statements: as safe as they are; a task that was cut off kept nothing \
             of them, unless it was cut off in its very last step.",
            json!({
                "database": {"postgres": {
                    "host": "db.example.com",
                    "database": "app",
                    "user": "app",
                    "password": "<+secrets.getValue(\"account.db-password\")>",
                }},
                "statements": [
                    {"sql": "UPDATE jobs SET state = $1 WHERE id = $2", "parameters": ["done", 7]},
                    {"sql": "SELECT count(*) AS open FROM jobs WHERE state <> 'done'"},
                ],
                "output_vars": {"OPEN": "/results/1/rows/0/open"},
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn needs_directory(&self) -> bool {
        false
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let target = place(data.database.target()?, &context).await?;
        let migrations = match &data.migrations {
            Some(migrations) => migrations.read(&context).await?,
            None => Vec::new(),
        };
        let read_only = data.read_only.unwrap_or_default();
        let connecting = connect(&target, read_only, &context.environment);
        let (mut session, interrupter) =
            match allowance.within("connecting to the database", connecting).await {
                Err(output) => return Ok(output.with_fields(&Fields::default())),
                Ok(Err(problem)) => {
                    let output = TaskOutput::not(CommandStatus::Failure, problem);
                    return Ok(output.with_fields(&Fields::default()));
                }
                Ok(Ok(connected)) => connected,
            };
        let bounds = Bounds {
            allowance: &allowance,
            interrupter: &interrupter,
            context: &context,
        };
        if let Some(settings) = &data.migrations {
            let mut done = Migrated::default();
            let work = migrations::run(&mut *session, settings, &migrations, &context.log, &mut done);
            let outcome = bounds.hold(work, "what was under way was rolled back").await;
            let fields = |migrations| Fields {
                results: Vec::new(),
                migrations: Some(migrations),
            };
            return Ok(match outcome {
                Ok(()) => TaskOutput::success().with_fields(&fields(done)),
                Err(output) => output.with_fields(&fields(done)),
            });
        }
        let rows = data.max_rows.unwrap_or(DEFAULT_MAX_ROWS);
        let none = BTreeMap::new();
        let work = statements::run(
            &mut *session,
            data.statements.as_deref().unwrap_or_default(),
            read_only,
            usize::try_from(rows).unwrap_or(usize::MAX),
            data.output_vars.as_ref().unwrap_or(&none),
            &context.log,
        );
        Ok(match bounds.hold(work, "nothing of the task was kept").await {
            Ok((fields, vars)) => TaskOutput::success().with_fields(&fields).with_vars(vars),
            Err(output) => output.with_fields(&Fields::default()),
        })
    }
}

/// What work in a database is held within.
struct Bounds<'t> {
    allowance: &'t Allowance,
    interrupter: &'t Interrupter,
    context: &'t TaskContext,
}

impl Bounds<'_> {
    /// Waits for the work. When its time is over, it is ended in the database, and waited for: only then is it known
    /// what became of it. The error is the outcome of the task; `kept` says what a task that was ended has left.
    async fn hold<T>(
        &self,
        work: impl Future<Output = Result<T, String>>,
        kept: &str,
    ) -> Result<T, TaskOutput> {
        let mut work = pin!(work);
        let mut output = match self.allowance.within("the database worked", work.as_mut()).await {
            Ok(done) => return done.map_err(|problem| TaskOutput::not(CommandStatus::Failure, problem)),
            Err(output) => output,
        };
        let ending = async {
            loop {
                if let Err(error) = self.interrupter.interrupt().await {
                    let problem = session::described(&error);
                    let text = format!("the statement could not be ended yet: {problem}");
                    self.context.log.line(Level::Warn, &text).await;
                }
                // What began just then has not heard of it.
                if let Ok(done) = timeout(INTERRUPT_AGAIN, work.as_mut()).await {
                    break done;
                }
            }
        };
        let note = match timeout(self.context.grace + LEAST_GRACE, ending).await {
            // It was quicker.
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(_)) => kept,
            Err(_) => "the database did not answer any more, and the connection was closed",
        };
        output.error_message = output.error_message.map(|message| format!("{message}; {note}"));
        Err(output)
    }
}

/// Where the database is on this machine, when it is a file.
async fn place(target: Target, context: &TaskContext) -> Result<Target, TaskError> {
    let Target::Sqlite(file) = target else {
        return Ok(target);
    };
    if context.confinement.user.is_some() {
        return Err(TaskError::Refused(
            "files of SQLite are not opened by a delegate whose tasks have a user of their own; use a script and sqlite3"
                .to_owned(),
        ));
    }
    let place = Place::of("database", file.path, context.workspace.as_deref())?;
    place.enter(None).await?;
    Ok(Target::Sqlite(database::File {
        path: place.path().to_owned(),
        create: file.create,
    }))
}

/// Output variables. The error is a sentence.
fn outputs(fields: &Fields, wanted: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let fields = serde_json::to_value(fields).map_err(|error| error.to_string())?;
    let vars = wanted.iter().map(|(name, pointer)| match fields.pointer(pointer) {
        Some(Value::String(text)) => Ok((name.clone(), text.clone())),
        Some(Value::Null) | None => Err(format!(
            "there is no value at {pointer} of the result, for the output variable {name}; nothing of the task was kept"
        )),
        Some(other) => Ok((name.clone(), other.to_string())),
    });
    vars.collect()
}
