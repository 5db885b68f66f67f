//! Opening a database: where it is, that nobody else uses it, and its tables.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _};
use url::Url;

use super::Store;

static MIGRATIONS: Migrator = sqlx::migrate!("src/manager/store/migrations");

/// Name of the database in the data directory.
const FILE_NAME: &str = "manager.db";

/// Name of the lock beside it.
const LOCK_NAME: &str = "manager.lock";

/// Readers at once. SQLite needs few, PostgreSQL should not be crowded.
const MAX_READERS: u32 = 4;

/// How long a read waits for a database that is gone, or for a reader that is free.
const READ_WAIT: Duration = Duration::from_secs(5);

/// How long a start waits for the lock: a predecessor may just be ending, or PostgreSQL may not have noticed yet.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Key of the advisory lock in PostgreSQL: the bytes of `delegate`.
const ADVISORY_LOCK: i64 = 0x6465_6c65_6761_7465;

/// Held by the manager that owns a data directory; given up when the process ends, however it ends.
pub(super) type LockFile = Flock<File>;

/// Where the state is kept.
#[derive(Clone)]
pub enum Target {
    /// SQLite, in this directory.
    Directory(PathBuf),
    /// PostgreSQL, by this URL, which may carry a password.
    Postgres(Url),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.join(FILE_NAME).display()),
            Self::Postgres(url) => write!(
                f,
                "postgres://{}:{}{}",
                url.host_str().unwrap_or("localhost"),
                url.port().unwrap_or(5432),
                url.path()
            ),
        }
    }
}

/// Why a database cannot be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be made or written.
    #[error("cannot write to the data directory {path}: {source}; choose another with --data-dir")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another manager has it.
    #[error(
        "another manager is using {target}; stop it first, or choose another --data-dir or --database-url"
    )]
    InUse {
        /// The database.
        target: String,
    },
    /// It does not open.
    #[error("cannot open {target}: {source}")]
    Database {
        /// The database.
        target: String,
        /// What the database said.
        source: sqlx::Error,
    },
    /// It was written by a newer program, or by another one.
    #[error(
        "cannot bring {target} up to date: {source}; it may have been written by a newer version of this program"
    )]
    Migrate {
        /// The database.
        target: String,
        /// What the database said.
        source: sqlx::migrate::MigrateError,
    },
}

impl Target {
    fn url(&self) -> Option<String> {
        match self {
            Self::Directory(path) => {
                let path = std::path::absolute(path.join(FILE_NAME)).ok()?;
                let url = Url::from_file_path(path).ok()?;
                Some(format!("sqlite://{}?mode=rwc", url.path()))
            }
            Self::Postgres(url) => Some(url.to_string()),
        }
    }
}

impl Store {
    /// Opens a database and brings its tables up to date. Returns it with the one connection that may write.
    pub(in crate::manager) async fn open(target: Target) -> Result<(Self, AnyConnection), OpenError> {
        sqlx::any::install_default_drivers();
        let name = target.to_string();
        let failed = |source| OpenError::Database {
            target: name.clone(),
            source,
        };
        let lock = match &target {
            Target::Directory(path) => Some(own_directory(path, &name).await?),
            Target::Postgres(_) => None,
        };
        let sqlite = matches!(target, Target::Directory(_));
        let url = target
            .url()
            .ok_or_else(|| failed(sqlx::Error::Configuration("its path is not valid".into())))?;
        let pool = AnyPoolOptions::new()
            .max_connections(MAX_READERS)
            .acquire_timeout(READ_WAIT)
            // A file does not go away as a server does; to ask it before each read would double the cost of the read.
            .test_before_acquire(!sqlite)
            .after_connect(move |connection, _| Box::pin(prepare(connection, sqlite)))
            .connect_lazy(&url)
            .map_err(failed)?;
        let store = Self {
            pool,
            target,
            _lock: Arc::new(lock),
        };
        let waited = tokio::time::Instant::now();
        let mut writing = loop {
            match store.connect_to_write().await {
                Ok(Some(connection)) => break connection,
                Ok(None) if waited.elapsed() < LOCK_WAIT => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Ok(None) => return Err(OpenError::InUse { target: name }),
                Err(error) => return Err(failed(error)),
            }
        };
        MIGRATIONS
            .run_direct(None, &mut writing, false)
            .await
            .map_err(|source| OpenError::Migrate {
                target: name.clone(),
                source,
            })?;
        Ok((store, writing))
    }

    /// A new connection that may write, or nothing when another manager has the lock.
    pub(super) async fn connect_to_write(&self) -> Result<Option<AnyConnection>, sqlx::Error> {
        let url = self
            .target
            .url()
            .ok_or_else(|| sqlx::Error::Configuration("its path is not valid".into()))?;
        let mut connection = AnyConnection::connect(&url).await?;
        prepare(&mut connection, matches!(self.target, Target::Directory(_))).await?;
        if matches!(self.target, Target::Postgres(_)) {
            // As an integer, because the driver for any database knows no booleans of PostgreSQL's functions.
            let (got,): (i64,) =
                sqlx::query_as("SELECT CASE WHEN pg_try_advisory_lock($1) THEN 1 ELSE 0 END::BIGINT")
                    .bind(ADVISORY_LOCK)
                    .fetch_one(&mut connection)
                    .await?;
            if got == 0 {
                connection.close().await?;
                return Ok(None);
            }
        }
        Ok(Some(connection))
    }

    /// Closes every connection.
    pub(in crate::manager) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) fn pool(&self) -> &AnyPool {
        &self.pool
    }
}

/// Settings of a connection. WAL lets readers go on while the writer commits; FULL makes a commit survive a power
/// failure; freed pages are overwritten, because they held task data.
async fn prepare(connection: &mut AnyConnection, sqlite: bool) -> Result<(), sqlx::Error> {
    if sqlite {
        connection
            .execute(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA secure_delete = ON;",
            )
            .await?;
    }
    Ok(())
}

/// Makes the directory, takes its lock, and makes the database readable by its owner only.
async fn own_directory(path: &Path, name: &str) -> Result<LockFile, OpenError> {
    let failed = |source| OpenError::Directory {
        path: path.to_owned(),
        source,
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let private = |name: &str| {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(name))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        Ok(file)
    };
    let mut file = private(LOCK_NAME).map_err(failed)?;
    // The files SQLite makes beside the database take its mode.
    private(FILE_NAME).map_err(failed)?;
    let waited = tokio::time::Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, _)) if waited.elapsed() < LOCK_WAIT => {
                file = back;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(_) => {
                return Err(OpenError::InUse {
                    target: name.to_owned(),
                });
            }
        }
    }
}
