//! Looking who one is in a database, without touching anything in it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::database::{Database, Target};
use super::place;
use super::rows::Room;
use super::session::{connect, described};
use crate::Secret;
use crate::task::{TaskContext, TaskError};

const ASK_POSTGRES: &str = "SELECT current_user AS \"user\", current_database() AS \"database\", \
                            current_setting('server_version') AS \"version\"";
const ASK_SQLITE: &str = "SELECT sqlite_version() AS version, count(*) AS objects FROM sqlite_master";

// A database, and who logs in. Its description is that of the field.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(in crate::task) struct DatabaseAccess(Database);

/// What a database says of itself.
pub(in crate::task) struct Looked {
    pub(in crate::task) engine: &'static str,
    /// Nothing where there are no users.
    pub(in crate::task) user: Option<String>,
    pub(in crate::task) version: String,
    pub(in crate::task) database: String,
}

impl DatabaseAccess {
    pub(in crate::task) fn secrets(&self) -> Vec<Secret> {
        self.0.secrets()
    }

    /// Whether it is what it should be. `field` is its own path.
    pub(in crate::task) fn check(&self, field: &str) -> Result<(), TaskError> {
        match self.0.target() {
            Ok(Target::Sqlite(file)) if file.create => Err(TaskError::data(
                field,
                "would make the file, and looking changes nothing; leave `create` or `mode=rwc` out",
            )),
            Ok(_) => Ok(()),
            Err(TaskError::Data { path, problem }) => {
                let inner = path.strip_prefix("database").unwrap_or_default();
                Err(TaskError::data(format!("{field}{inner}"), problem))
            }
            Err(error) => Err(error),
        }
    }
}

/// Connects and asks. The inner error says what was tried, what came back and what to do. May be dropped at any await: the
/// server ends such a question by itself.
pub(in crate::task) async fn look(
    access: &DatabaseAccess,
    context: &TaskContext,
) -> Result<Result<Looked, String>, TaskError> {
    let target = place(access.0.target()?, context).await?;
    let (mut session, _) = match connect(&target, true, &context.environment).await {
        Ok(connected) => connected,
        Err(problem) => return Ok(Err(problem)),
    };
    let sql = match &target {
        Target::Postgres(_) => ASK_POSTGRES,
        Target::Sqlite(_) => ASK_SQLITE,
    };
    let mut room = Room::for_rows(1);
    let mut rows = room.begin();
    if let Err(error) = session.execute(sql, &[], &mut rows).await {
        return Ok(Err(format!(
            "the database does not say who one is: {}",
            described(&error)
        )));
    }
    let row = rows.kept.first();
    let text = |name: &str| {
        row.and_then(|row| row.get(name))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    Ok(Ok(Looked {
        engine: match &target {
            Target::Postgres(_) => "postgres",
            Target::Sqlite(_) => "sqlite",
        },
        user: text("user"),
        version: text("version").unwrap_or_default(),
        database: match &target {
            Target::Postgres(server) => text("database").unwrap_or_else(|| server.database.clone()),
            Target::Sqlite(file) => file.path.display().to_string(),
        },
    }))
}
