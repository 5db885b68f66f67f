//! Which database, and how it is reached.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::Secret;
use crate::task::{TaskError, workspace};

/// PostgreSQL's own port.
const DEFAULT_PORT: u16 = 5432;

/// Longest name of a host, a user or a database, or path of a socket.
const MAX_NAME_BYTES: usize = 255;

// Its description is that of the field.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Database {
    /// `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=…]`, or `sqlite:PATH`.
    Url(Secret),
    /// PostgreSQL, in parts.
    Postgres(Postgres),
    /// A file of SQLite, in parts.
    Sqlite(Sqlite),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Postgres {
    /// Name or address of the server, or the folder of its socket.
    host: String,
    /// Default: 5432.
    port: Option<u16>,
    /// Name of the database.
    database: String,
    /// Who logs in.
    user: String,
    /// Password of the user; without, the server must not ask for one.
    password: Option<Secret>,
    /// How the connection is protected. Default: `verify-full`; `disable` on a socket.
    tls: Option<Tls>,
    /// PEM certificates of authorities that are trusted besides those that the delegate trusts.
    ca: Option<String>,
}

// Its description is that of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tls {
    /// Encrypted, and the server's certificate is verified for its name.
    VerifyFull,
    /// Encrypted, and the certificate is verified, whatever name it has.
    VerifyCa,
    /// Encrypted, with whomever.
    Require,
    /// In the clear.
    Disable,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sqlite {
    /// The file: relative to the delegate's workspace, or absolute.
    file: String,
    /// Whether the file is made when it is missing. Default: false.
    create: Option<bool>,
}

/// A database, in checked parts.
pub(super) enum Target {
    Postgres(Server),
    Sqlite(File),
}

pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) tls: Tls,
    pub(super) ca: Option<String>,
}

pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) create: bool,
}

impl Database {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Url(url) => {
                let password = match parts_of_url(url.expose()) {
                    Ok(Target::Postgres(server)) => server.password,
                    _ => None,
                };
                // Also as it is written there, with its escapes.
                let written = Url::parse(url.expose())
                    .ok()
                    .and_then(|url| url.password().map(Secret::new));
                [password, written, Some(url.clone())]
                    .into_iter()
                    .flatten()
                    .filter(|secret| !secret.is_empty())
                    .collect()
            }
            Self::Postgres(postgres) => postgres.password.iter().cloned().collect(),
            Self::Sqlite(_) => Vec::new(),
        }
    }

    /// Its parts, if they can be; the error names the field.
    pub(super) fn target(&self) -> Result<Target, TaskError> {
        match self {
            Self::Url(url) => {
                parts_of_url(url.expose()).map_err(|problem| TaskError::data("database.url", problem))
            }
            Self::Postgres(postgres) => postgres.server().map(Target::Postgres),
            Self::Sqlite(sqlite) => Ok(Target::Sqlite(File {
                path: workspace::read("database.sqlite.file", &sqlite.file)?,
                create: sqlite.create.unwrap_or_default(),
            })),
        }
    }
}

impl Postgres {
    fn server(&self) -> Result<Server, TaskError> {
        let field = |name: &str| format!("database.postgres.{name}");
        for (name, value) in [
            ("host", &self.host),
            ("database", &self.database),
            ("user", &self.user),
        ] {
            check_name(value).map_err(|problem| TaskError::data(field(name), problem))?;
        }
        if self.port == Some(0) {
            return Err(TaskError::data(field("port"), "must be from 1 to 65535"));
        }
        if let Some(ca) = &self.ca {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ca.as_bytes()).collect();
            if !certificates.is_ok_and(|certificates| !certificates.is_empty()) {
                return Err(TaskError::data(field("ca"), "holds no PEM certificate"));
            }
        }
        let default = if self.host.starts_with('/') {
            Tls::Disable
        } else {
            Tls::VerifyFull
        };
        Ok(Server {
            host: self.host.clone(),
            port: self.port.unwrap_or(DEFAULT_PORT),
            database: self.database.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
            tls: self.tls.unwrap_or(default),
            ca: self.ca.clone(),
        })
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.len() > MAX_NAME_BYTES {
        return Err("is longer than 255 bytes");
    }
    if name.contains(char::is_control) {
        return Err("contains a control character");
    }
    Ok(())
}

/// The problem shows nothing of the URL.
fn parts_of_url(text: &str) -> Result<Target, String> {
    if let Some(rest) = text.strip_prefix("sqlite:") {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let create = match query {
            "" | "mode=rw" => false,
            "mode=rwc" => true,
            _ => return Err("has a parameter that is not known; use mode=rwc or none".to_owned()),
        };
        // The field is replaced by that of the URL.
        let path = workspace::read("url", path).map_err(|error| match error {
            TaskError::Data { problem, .. } => format!("has a path that {problem}"),
            other => other.to_string(),
        })?;
        return Ok(Target::Sqlite(File { path, create }));
    }
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err("must begin with postgres:// or sqlite:".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    let part = |what: &str, text: &str| {
        let text = decoded(text).ok_or_else(|| format!("has a {what} that is no text"))?;
        check_name(&text).map_err(|problem| format!("has a {what} that {problem}"))?;
        Ok::<_, String>(text)
    };
    let host = url.host_str().unwrap_or_default();
    // An address is written in brackets where a port may follow, and only there.
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = part("host", bare.unwrap_or(host))?;
    let default = if host.starts_with('/') {
        Tls::Disable
    } else {
        Tls::VerifyFull
    };
    let mut tls = default;
    for (name, value) in url.query_pairs() {
        tls = match (&*name, &*value) {
            ("sslmode", "verify-full") => Tls::VerifyFull,
            ("sslmode", "verify-ca") => Tls::VerifyCa,
            ("sslmode", "require") => Tls::Require,
            ("sslmode", "disable") => Tls::Disable,
            ("sslmode", _) => {
                return Err(
                    "has an sslmode that is not known; use verify-full, verify-ca, require or disable"
                        .to_owned(),
                );
            }
            _ => return Err("has a parameter that is not known; only sslmode is".to_owned()),
        };
    }
    let password = url
        .password()
        .map(|password| decoded(password).ok_or("has a password that is no text"))
        .transpose()?;
    Ok(Target::Postgres(Server {
        host,
        port: url.port().unwrap_or(DEFAULT_PORT),
        database: part("database", url.path().trim_start_matches('/'))?,
        user: part("user", url.username())?,
        password: password.map(Secret::new),
        tls,
        ca: None,
    }))
}

/// Percent escapes undone; nothing where the bytes are no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = (byte == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(escaped) = escape {
            bytes.push(escaped);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let Ok(Target::Postgres(server)) =
            parts_of_url("postgres://app%40x:p%3aw@[::1]:6000/db%20a?sslmode=require")
        else {
            panic!("it is one of PostgreSQL")
        };
        assert_eq!(
            (&*server.user, &*server.database, server.port),
            ("app@x", "db a", 6000)
        );
        assert_eq!(server.password, Some(Secret::new("p:w")));
        assert_eq!((&*server.host, server.tls), ("::1", Tls::Require));
        let Ok(Target::Postgres(server)) = parts_of_url("postgresql://u@%2Frun%2Fpg/db") else {
            panic!("it is one of PostgreSQL")
        };
        assert_eq!(
            (&*server.host, server.tls, server.port),
            ("/run/pg", Tls::Disable, 5432)
        );
        for (text, path, create) in [
            ("sqlite:a/b.db", "a/b.db", false),
            ("sqlite:///srv/b.db?mode=rwc", "/srv/b.db", true),
        ] {
            let Ok(Target::Sqlite(file)) = parts_of_url(text) else {
                panic!("it is one of SQLite")
            };
            assert_eq!((file.path.to_str(), file.create), (Some(path), create), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_it() {
        for (text, words) in [
            ("mysql://u:hunter2@h/d", "must begin with"),
            ("postgres://u:hunter2@/d", "host"),
            ("postgres://:hunter2@h/d", "a user that is empty"),
            ("postgres://u:hunter2@h/", "a database that is empty"),
            ("postgres://u@h/d?password=hunter2", "parameter that is not known"),
            ("postgres://u@h/d?sslmode=hunter2", "sslmode that is not known"),
            ("postgres://u:hunter2@h:x/d", "is no URL"),
            ("sqlite:../hunter2", "contains `..`"),
            ("sqlite:hunter2?mode=memory", "parameter that is not known"),
        ] {
            let Err(problem) = parts_of_url(text) else {
                panic!("{text} is taken")
            };
            assert!(problem.contains(words), "{text}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
