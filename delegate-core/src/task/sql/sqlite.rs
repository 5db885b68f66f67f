//! SQLite.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Number, Value};
use sqlx::sqlite::{SqliteConnectOptions, SqliteQueryResult, SqliteRow};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Decode, Executor as _, Row as _, Sqlite,
    SqliteConnection, TypeInfo as _, ValueRef as _,
};

use super::database::File;
use super::rows::{Room, Rows, hexadecimal};
use super::session::{Session, drain};

/// Steps of SQLite's machine between two looks whether it is to end: a fraction of a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// How long SQLite itself waits for others; while it does, it does not look whether it is to end.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Others have it locked: SQLITE_BUSY, and its kinds.
const BUSY_CODES: [&str; 4] = ["5", "261", "517", "773"];

pub(super) struct SqliteSession {
    connection: SqliteConnection,
    ended: Arc<AtomicBool>,
}

pub(super) struct Interrupter(Arc<AtomicBool>);

impl Interrupter {
    pub(super) fn interrupt(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl SqliteSession {
    pub(super) async fn open(file: &File, read_only: bool) -> Result<(Self, Interrupter), sqlx::Error> {
        let mut connection = SqliteConnectOptions::new()
            .filename(&file.path)
            .create_if_missing(file.create && !read_only)
            .read_only(read_only)
            .busy_timeout(BUSY_WAIT)
            .disable_statement_logging()
            .connect()
            .await?;
        let ended = Arc::new(AtomicBool::new(false));
        let look = Arc::clone(&ended);
        connection
            .lock_handle()
            .await?
            .set_progress_handler(STEPS_BETWEEN_LOOKS, move || !look.load(Ordering::Relaxed));
        let interrupter = Interrupter(Arc::clone(&ended));
        let mut session = Self { connection, ended };
        // A file that is none is found out by the first look into it.
        session.patiently("SELECT count(*) FROM sqlite_schema").await?;
        Ok((session, interrupter))
    }

    async fn simple(&mut self, sql: &str, rows: &mut Rows<'_>) -> Result<(), sqlx::Error> {
        self.check_over()?;
        let stream = self.connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(sql)));
        drain(stream, rows, |_: &SqliteQueryResult| 0, read)
            .await
            .map(drop)
    }

    async fn plain(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.simple(sql, &mut Room::for_rows(0).begin()).await
    }

    fn check_over(&self) -> Result<(), sqlx::Error> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(sqlx::Error::Protocol("the task is over".to_owned()));
        }
        Ok(())
    }

    /// Waits for its turn, until it is ended.
    async fn patiently(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        loop {
            match self.plain(sql).await {
                Err(error) if is_busy(&error) => {}
                other => return other,
            }
        }
    }

    /// Rows changed since the connection was made. What a single statement is said to have changed is still that of the
    /// one before it, when it is a SELECT.
    async fn changes(&mut self) -> Result<u64, sqlx::Error> {
        let mut room = Room::for_rows(1);
        let mut rows = room.begin();
        self.simple("SELECT total_changes()", &mut rows).await?;
        let value = rows.kept.first().and_then(|row| row.values().next());
        Ok(value.and_then(Value::as_u64).unwrap_or_default())
    }
}

#[async_trait]
impl Session for SqliteSession {
    async fn begin(&mut self, read_only: bool) -> Result<(), sqlx::Error> {
        // Takes the right to write at once: one that is wanted later may be refused in the middle.
        self.patiently(if read_only { "BEGIN" } else { "BEGIN IMMEDIATE" })
            .await
    }

    async fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value],
        rows: &mut Rows<'_>,
    ) -> Result<u64, sqlx::Error> {
        let before = self.changes().await?;
        if parameters.is_empty() {
            self.simple(sql, rows).await?;
        } else {
            let mut query = sqlx::query::<Sqlite>(AssertSqlSafe(sql)).persistent(false);
            for parameter in parameters {
                query = match parameter {
                    Value::Null => query.bind(None::<String>),
                    Value::Bool(value) => query.bind(*value),
                    Value::Number(number) => match number.as_i64() {
                        Some(integer) => query.bind(integer),
                        None => query.bind(number.as_f64()),
                    },
                    Value::String(text) => query.bind(text.clone()),
                    other => query.bind(other.to_string()),
                };
            }
            self.check_over()?;
            let stream = self.connection.fetch_many(query);
            drain(stream, rows, |_: &SqliteQueryResult| 0, read).await?;
        }
        Ok(self.changes().await?.saturating_sub(before))
    }

    async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.patiently("COMMIT").await
    }

    async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        // Also when the task is over.
        self.connection.execute(sqlx::raw_sql("ROLLBACK")).await?;
        Ok(())
    }

    async fn lock(&mut self, _key: i64, _wait: bool) -> Result<bool, sqlx::Error> {
        Ok(true)
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| BUSY_CODES.contains(&&*code))
}

fn read(row: &SqliteRow) -> Result<Vec<(String, Value)>, sqlx::Error> {
    let fields = row.columns().iter().map(|column| {
        let value = row.try_get_raw(column.ordinal())?;
        let json = if value.is_null() {
            Value::Null
        } else {
            // The type of the value: SQLite's columns hold any.
            let kind = value.type_info().name().to_owned();
            match kind.as_str() {
                "INTEGER" => <i64 as Decode<'_, Sqlite>>::decode(value)
                    .map_err(sqlx::Error::Decode)?
                    .into(),
                "REAL" => {
                    let number = <f64 as Decode<'_, Sqlite>>::decode(value).map_err(sqlx::Error::Decode)?;
                    Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
                }
                kind => {
                    let bytes =
                        <Vec<u8> as Decode<'_, Sqlite>>::decode(value).map_err(sqlx::Error::Decode)?;
                    if kind == "BLOB" {
                        hexadecimal(&bytes).into()
                    } else {
                        String::from_utf8_lossy(&bytes).into_owned().into()
                    }
                }
            }
        };
        Ok((column.name().to_owned(), json))
    });
    fields.collect()
}
