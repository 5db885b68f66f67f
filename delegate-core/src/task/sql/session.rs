//! A connection to a database of either kind, for one task.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde_json::Value;
use sqlx::Either;

use super::database::Target;
use super::postgres::{self, PostgresSession};
use super::rows::Rows;
use super::sqlite::{self, SqliteSession};
use crate::process::Environment;

/// How long a server may take to let us in.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// One connection. What it has not committed when it is dropped is rolled back.
#[async_trait]
pub(super) trait Session: Send {
    /// Begins a transaction, and waits for its turn where only one may write.
    async fn begin(&mut self, read_only: bool) -> Result<(), sqlx::Error>;

    /// Runs what may be several statements, without parameters or one with. Returns how many rows were affected.
    async fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value],
        rows: &mut Rows<'_>,
    ) -> Result<u64, sqlx::Error>;

    async fn commit(&mut self) -> Result<(), sqlx::Error>;

    async fn rollback(&mut self) -> Result<(), sqlx::Error>;

    /// Keeps others with the same key away until the session ends; true when it has come to that at once. A database in
    /// which transactions that write keep others away needs nothing else.
    async fn lock(&mut self, key: i64, wait: bool) -> Result<bool, sqlx::Error>;
}

/// Ends what a session is at, from outside.
pub(super) enum Interrupter {
    Postgres(Box<postgres::Interrupter>),
    Sqlite(sqlite::Interrupter),
}

impl Interrupter {
    /// Asks; the statement then fails soon.
    pub(super) async fn interrupt(&self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(interrupter) => interrupter.interrupt().await,
            Self::Sqlite(interrupter) => {
                interrupter.interrupt();
                Ok(())
            }
        }
    }
}

/// Connects. The error says what was tried, what came back and what to do.
pub(super) async fn connect(
    target: &Target,
    read_only: bool,
    environment: &Environment,
) -> Result<(Box<dyn Session>, Interrupter), String> {
    let connecting = async {
        Ok::<_, sqlx::Error>(match target {
            Target::Postgres(server) => {
                let (session, interrupter) = PostgresSession::connect(server, environment).await?;
                (
                    Box::new(session) as Box<dyn Session>,
                    Interrupter::Postgres(Box::new(interrupter)),
                )
            }
            Target::Sqlite(file) => {
                let (session, interrupter) = SqliteSession::open(file, read_only).await?;
                (
                    Box::new(session) as Box<dyn Session>,
                    Interrupter::Sqlite(interrupter),
                )
            }
        })
    };
    let name = match target {
        Target::Postgres(server) => format!("{}:{}", server.host, server.port),
        Target::Sqlite(file) => file.path.display().to_string(),
    };
    match tokio::time::timeout(CONNECT_WAIT, connecting).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(error)) => Err(match remedy(&error) {
            Some(remedy) => format!("cannot connect to {name}: {}; {remedy}", described(&error)),
            None => format!("cannot connect to {name}: {}", described(&error)),
        }),
        Err(_) => Err(format!(
            "{name} did not answer within {} s; check the address, the network and whether the server takes connections",
            CONNECT_WAIT.as_secs()
        )),
    }
}

/// What to do about a connection that was not made.
fn remedy(error: &sqlx::Error) -> Option<&'static str> {
    let of_tls = "check that the server speaks TLS and for which name its certificate is; name its authority in `ca`, or set `tls`";
    Some(match error {
        // What a handshake comes to.
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => of_tls,
        sqlx::Error::Io(_) => "check `host` and `port`, the network, and that the server runs",
        sqlx::Error::Tls(_) => of_tls,
        sqlx::Error::Database(error) => match error.code().as_deref() {
            Some("28P01" | "28000") => {
                "check `user` and `password`, and that this user may connect from here"
            }
            Some("3D000") => "check `database`, or create it",
            Some("53300") => "there are too many connections; try again later",
            // SQLITE_CANTOPEN
            Some("14") => {
                "check the path, and that the delegate may read it; `create` makes a file that is missing"
            }
            // SQLITE_NOTADB
            Some("26") => "the file is no database of SQLite",
            _ => return None,
        },
        _ => return None,
    })
}

/// What a database says, in a line.
pub(super) fn described(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => {
            postgres::described(&**error).unwrap_or_else(|| error.message().to_owned())
        }
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => format!("TLS failed: {error}"),
        other => other.to_string(),
    }
}

/// Takes all that comes, and returns how many rows were affected.
pub(super) async fn drain<Done, Row>(
    mut stream: BoxStream<'_, Result<Either<Done, Row>, sqlx::Error>>,
    rows: &mut Rows<'_>,
    affected: impl Fn(&Done) -> u64,
    read: impl Fn(&Row) -> Result<Vec<(String, Value)>, sqlx::Error>,
) -> Result<u64, sqlx::Error> {
    let mut sum = 0_u64;
    while let Some(item) = stream.next().await {
        match item? {
            Either::Left(done) => sum = sum.saturating_add(affected(&done)),
            Either::Right(row) => rows.take(|| read(&row))?,
        }
    }
    Ok(sum)
}
