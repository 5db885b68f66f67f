//! PostgreSQL.
//!
//! Everything is sent by the simple protocol: a text may hold several statements, and every type comes back as the text
//! PostgreSQL writes. Parameters are those of `PREPARE` and `EXECUTE`, written as literals without a type, so that the
//! server gives them the types their places ask for, as it does for `psql`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Number, Value};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgRow, PgSslMode};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Executor as _, PgConnection, Row as _, ValueRef as _,
};

use super::database::{Server, Tls};
use super::rows::{Room, Rows};
use super::session::{Session, drain};
use crate::process::Environment;

/// Where a delegate with authorities of its own tells programs to find them.
const BUNDLE_VARIABLE: &str = "SSL_CERT_FILE";

/// Since when servers can look whether their client is still there.
const CHECKS_CLIENT_SINCE: u32 = 140_000;

/// A name that no statement of a user has.
const PREPARED: &str = "harness_delegate_prepared";

pub(super) struct PostgresSession {
    connection: PgConnection,
    ended: Arc<AtomicBool>,
}

/// Cancels by a second connection: a closed one would leave a statement running.
pub(super) struct Interrupter {
    options: PgConnectOptions,
    process: i64,
    ended: Arc<AtomicBool>,
}

impl Interrupter {
    pub(super) async fn interrupt(&self) -> Result<(), sqlx::Error> {
        // Also what comes after the statement that is ended.
        self.ended.store(true, Ordering::Relaxed);
        let mut connection = self.options.connect().await?;
        // A number that the server gave us.
        let sql = format!("SELECT pg_cancel_backend({})", self.process);
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
        Ok(())
    }
}

impl PostgresSession {
    pub(super) async fn connect(
        server: &Server,
        environment: &Environment,
    ) -> Result<(Self, Interrupter), sqlx::Error> {
        let options = options(server, environment).await;
        let ended = Arc::new(AtomicBool::new(false));
        let mut session = Self {
            connection: options.connect().await?,
            ended: Arc::clone(&ended),
        };
        if session.connection.server_version_num() >= Some(CHECKS_CLIENT_SINCE) {
            // Should the delegate be killed, the server ends the statement too.
            let set = sqlx::raw_sql("SET client_connection_check_interval = '5s'");
            // A server on a system where it cannot be done says so, and nothing is lost.
            let _ = session.connection.execute(set).await;
        }
        let process = session.number("SELECT pg_backend_pid()").await?;
        let interrupter = Interrupter {
            options,
            process,
            ended,
        };
        Ok((session, interrupter))
    }

    /// The only value of the only row.
    async fn number(&mut self, sql: &str) -> Result<i64, sqlx::Error> {
        let mut room = Room::for_rows(1);
        let mut rows = room.begin();
        self.simple(sql, &mut rows).await?;
        let value = rows.kept.first().and_then(|row| row.values().next());
        value.and_then(Value::as_i64).ok_or(sqlx::Error::RowNotFound)
    }

    async fn simple(&mut self, sql: &str, rows: &mut Rows<'_>) -> Result<u64, sqlx::Error> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(sqlx::Error::Protocol("the task is over".to_owned()));
        }
        let stream = self.connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(sql)));
        drain(stream, rows, sqlx::postgres::PgQueryResult::rows_affected, read).await
    }

    async fn plain(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.simple(sql, &mut Room::for_rows(0).begin()).await.map(drop)
    }
}

#[async_trait]
impl Session for PostgresSession {
    async fn begin(&mut self, read_only: bool) -> Result<(), sqlx::Error> {
        if read_only {
            // Also for a transaction that a statement begins behind our back.
            self.plain("SET default_transaction_read_only = on").await?;
        }
        self.plain("BEGIN").await
    }

    async fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value],
        rows: &mut Rows<'_>,
    ) -> Result<u64, sqlx::Error> {
        if parameters.is_empty() {
            return self.simple(sql, rows).await;
        }
        self.plain(&format!("PREPARE {PREPARED} AS {sql}")).await?;
        let values: Vec<String> = parameters.iter().map(literal).collect();
        let affected = self
            .simple(&format!("EXECUTE {PREPARED} ({})", values.join(", ")), rows)
            .await?;
        self.plain(&format!("DEALLOCATE {PREPARED}")).await?;
        Ok(affected)
    }

    async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.plain("COMMIT").await
    }

    async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        // Also when the task is over.
        self.connection.execute(sqlx::raw_sql("ROLLBACK")).await?;
        Ok(())
    }

    async fn lock(&mut self, key: i64, wait: bool) -> Result<bool, sqlx::Error> {
        if wait {
            self.plain(&format!("SELECT pg_advisory_lock({key})")).await?;
            return Ok(true);
        }
        let sql = format!("SELECT CASE WHEN pg_try_advisory_lock({key}) THEN 1 ELSE 0 END");
        Ok(self.number(&sql).await? == 1)
    }
}

async fn options(server: &Server, environment: &Environment) -> PgConnectOptions {
    // Everything that the library would take from our own environment is set.
    let mut options = PgConnectOptions::new_without_pgpass()
        .port(server.port)
        .username(&server.user)
        .password(server.password.as_ref().map_or("", |password| password.expose()))
        .database(&server.database)
        .application_name("harness-delegate")
        .ssl_mode(match server.tls {
            Tls::VerifyFull => PgSslMode::VerifyFull,
            Tls::VerifyCa => PgSslMode::VerifyCa,
            Tls::Require => PgSslMode::Require,
            Tls::Disable => PgSslMode::Disable,
        })
        .disable_statement_logging();
    options = if server.host.starts_with('/') {
        options.socket(&server.host)
    } else {
        options.host(&server.host)
    };
    let mut authorities = server.ca.clone().unwrap_or_default();
    if let Some(bundle) = environment.get(BUNDLE_VARIABLE) {
        authorities.push_str(&bundle_of(Path::new(bundle)).await);
    }
    if authorities.is_empty() {
        options
    } else {
        options.ssl_root_cert_from_pem(authorities.into_bytes())
    }
}

/// The certificates of a bundle that can be used: the library takes all of a text, or nothing.
async fn bundle_of(path: &Path) -> String {
    let Ok(bundle) = tokio::fs::read(path).await else {
        return String::new();
    };
    CertificateDer::pem_slice_iter(&bundle)
        .flatten()
        .filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok())
        .map(|certificate| {
            format!(
                "\n-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                STANDARD.encode(&certificate)
            )
        })
        .collect()
}

/// A value as SQL. Only scalars come here.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        // Without a type, as text is: its place says which it is.
        Value::Bool(value) => format!("'{value}'"),
        Value::Number(number) => format!("'{number}'"),
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    }
}

/// As `quote_literal` does: right whether or not backslashes are ordinary in plain texts.
fn quoted(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', r"\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// The numbers by which PostgreSQL knows the types that have their like in JSON.
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const OID: u32 = 26;
    pub(super) const JSON: u32 = 114;
    pub(super) const FLOAT4: u32 = 700;
    pub(super) const FLOAT8: u32 = 701;
    pub(super) const JSONB: u32 = 3802;
}

fn read(row: &PgRow) -> Result<Vec<(String, Value)>, sqlx::Error> {
    let fields = row.columns().iter().map(|column| {
        let value = row.try_get_raw(column.ordinal())?;
        if value.is_null() {
            return Ok((column.name().to_owned(), Value::Null));
        }
        let text = String::from_utf8_lossy(value.as_bytes().map_err(sqlx::Error::Decode)?);
        let oid = value.type_info().oid().map_or(0, |oid| oid.0);
        Ok((column.name().to_owned(), json(oid, &text)))
    });
    fields.collect()
}

/// A number, a boolean or JSON where the type is one; a number that JSON cannot hold, such as NaN, is text.
fn json(oid: u32, text: &str) -> Value {
    let value = match oid {
        oid::BOOL => Some(Value::Bool(text == "t")),
        oid::INT2 | oid::INT4 | oid::INT8 | oid::OID => text.parse::<i64>().ok().map(Value::from),
        oid::FLOAT4 | oid::FLOAT8 => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
        oid::JSON | oid::JSONB => serde_json::from_str(text).ok(),
        _ => None,
    };
    value.unwrap_or_else(|| text.into())
}

/// What PostgreSQL says, with its code, details and hint; nothing for another database's error.
pub(super) fn described(error: &(dyn DatabaseError + 'static)) -> Option<String> {
    let error = error.try_downcast_ref::<PgDatabaseError>()?;
    let mut text = format!("{} (SQLSTATE {})", error.message(), error.code());
    for (more, said) in [("detail", error.detail()), ("hint", error.hint())] {
        if let Some(said) = said {
            text.push_str(&format!("; {more}: {said}"));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_literal_is_one_value_whatever_is_in_it() {
        assert_eq!(literal(&json!("it's")), "'it''s'");
        assert_eq!(literal(&json!(r"a\'b")), r"E'a\\''b'");
        assert_eq!(literal(&json!(-1.5)), "'-1.5'");
        assert_eq!(literal(&json!(true)), "'true'");
        assert_eq!(literal(&json!(null)), "NULL");
    }

    #[test]
    fn texts_become_what_their_types_are() {
        assert_eq!(super::json(oid::BOOL, "t"), json!(true));
        assert_eq!(super::json(oid::INT8, "-9223372036854775808"), json!(i64::MIN));
        assert_eq!(super::json(oid::FLOAT8, "1e3"), json!(1000.0));
        assert_eq!(super::json(oid::FLOAT8, "NaN"), json!("NaN"));
        assert_eq!(super::json(oid::JSONB, r#"{"a": [1]}"#), json!({"a": [1]}));
        assert_eq!(super::json(1700, "12.50"), json!("12.50"));
    }
}
