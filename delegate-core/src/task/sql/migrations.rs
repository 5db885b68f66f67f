//! Migrations: files that are applied in order, each once.
//!
//! A table in the database says which were. A file that was applied and has changed since, or is gone, stops everything:
//! nobody can say any more what the database is. Each migration is a transaction of its own, together with its line in
//! the table, so one that is cut off has not happened. Two tasks take turns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::rows::Room;
use super::session::{Session, described};
use super::statements::{MAX_SQL_BYTES, check_sql};
use crate::process::User;
use crate::task::workspace::{self, Place};
use crate::task::{Level, LogWriter, TaskContext, TaskError};

const FIELD: &str = "migrations.directory";

/// Name of the table that says which were applied.
const DEFAULT_TABLE: &str = "schema_migrations";

/// Most migrations; a database of decades has fewer.
const MAX_MIGRATIONS: usize = 10_000;

/// All of them together, in memory.
const MAX_TOTAL_BYTES: usize = 64 * 1024 * 1024;

/// Longest name of a table that every database takes.
const MAX_TABLE_BYTES: usize = 63;

/// Longest number of a version: it fits 64 bits, and holds a time to the millisecond.
const MAX_VERSION_DIGITS: usize = 18;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Migrations {
    /// A folder of `.sql` files, relative to the delegate's workspace or absolute. Each begins with its version, a number:
    /// `001_create.sql`, `V2__more.sql`, `20260131_x.up.sql`. `.down.sql` files are left out.
    directory: Option<String>,
    /// The same in the data itself.
    files: Option<Vec<File>>,
    /// The table that says which were applied, with a schema before it if need be. Default: `schema_migrations`.
    table: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Its name, which begins with its version.
    name: String,
    /// One or more statements.
    sql: String,
}

// Its description is that of the field.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Migrated {
    /// Names of those that were applied now, in order.
    applied: Vec<String>,
    /// How many had been applied before.
    already: u64,
}

/// One that may have to be applied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Migration {
    version: i64,
    name: String,
    sql: String,
    checksum: String,
}

impl Migration {
    fn new(name: &str, sql: &str) -> Result<Self, String> {
        check_sql(sql)?;
        // The same file has other line ends on other systems.
        let text = sql.replace("\r\n", "\n");
        let digest = Sha256::digest(text.as_bytes());
        Ok(Self {
            version: version_of(name)?,
            name: name.to_owned(),
            sql: sql.to_owned(),
            checksum: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

/// `001_create.sql` and `V1__create.sql` are 1.
fn version_of(name: &str) -> Result<i64, String> {
    let rest = name.strip_prefix(['V', 'v']).unwrap_or(name);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    let dotted = after
        .strip_prefix('.')
        .is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()));
    if digits.is_empty() || dotted || !(after.is_empty() || after.starts_with(['_', '-', '.'])) {
        return Err("must begin with its version, a whole number, and then `_`: 001_create.sql".to_owned());
    }
    if digits.len() > MAX_VERSION_DIGITS {
        return Err(format!("has a version of more than {MAX_VERSION_DIGITS} digits"));
    }
    digits
        .parse()
        .map_err(|_| "has a version that is no number".to_owned())
}

/// In the order of their versions. The error names the one that is wrong.
fn in_order(migrations: Vec<Migration>) -> Result<Vec<Migration>, String> {
    let mut ordered = BTreeMap::new();
    for migration in migrations {
        if let Some(other) = ordered.insert(migration.version, migration) {
            let twin = &ordered[&other.version].name;
            return Err(format!(
                "has two of version {}: {} and {twin}",
                other.version, other.name
            ));
        }
    }
    Ok(ordered.into_values().collect())
}

impl Migrations {
    /// Whether they can be migrations, as far as the data says.
    pub(super) fn check(&self) -> Result<(), TaskError> {
        if let Some(table) = &self.table {
            quoted_table(table)?;
        }
        match (&self.directory, &self.files) {
            (Some(directory), None) => workspace::read(FIELD, directory).map(drop),
            (None, Some(_)) => self.given().map(drop),
            (Some(_), Some(_)) => Err(TaskError::data(
                "migrations.files",
                "cannot be there together with `directory`; give one of them",
            )),
            (None, None) => Err(TaskError::data("migrations", "needs `directory` or `files`")),
        }
    }

    fn given(&self) -> Result<Vec<Migration>, TaskError> {
        let files = self.files.as_deref().unwrap_or_default();
        if files.is_empty() || files.len() > MAX_MIGRATIONS {
            return Err(TaskError::data(
                "migrations.files",
                format!("must have from 1 to {MAX_MIGRATIONS} files"),
            ));
        }
        let mut migrations = Vec::with_capacity(files.len());
        for (index, file) in files.iter().enumerate() {
            let field = |name: &str| format!("migrations.files[{index}].{name}");
            version_of(&file.name).map_err(|problem| TaskError::data(field("name"), problem))?;
            let migration = Migration::new(&file.name, &file.sql)
                .map_err(|problem| TaskError::data(field("sql"), problem))?;
            migrations.push(migration);
        }
        in_order(migrations).map_err(|problem| TaskError::data("migrations.files", problem))
    }

    /// All of them, in order: those of the data, or those of the folder.
    pub(super) async fn read(&self, context: &TaskContext) -> Result<Vec<Migration>, TaskError> {
        let Some(directory) = &self.directory else {
            return self.given();
        };
        let path = workspace::read(FIELD, directory)?;
        let place = Place::of(FIELD, path, context.workspace.as_deref())?;
        let user = context.confinement.user.clone();
        place.enter(user.as_ref()).await?;
        let path = place.path().to_owned();
        let reading = tokio::task::spawn_blocking(move || of_folder(&path, user.as_ref()));
        reading
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(|problem| place.wrong(problem))
    }

    /// The table's name, quoted, and the key by which tasks take turns.
    fn table(&self) -> Result<(String, i64), TaskError> {
        let table = self.table.as_deref().unwrap_or(DEFAULT_TABLE);
        let digest = Sha256::digest(format!("harness-delegate migrations {table}").as_bytes());
        let mut key = [0; 8];
        key.copy_from_slice(&digest[..8]);
        Ok((quoted_table(table)?, i64::from_be_bytes(key)))
    }
}

fn quoted_table(table: &str) -> Result<String, TaskError> {
    let is_name = |name: &str| name.len() <= MAX_TABLE_BYTES && crate::process::is_valid_name(name);
    let parts: Vec<&str> = table.split('.').collect();
    if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
        return Err(TaskError::data(
            "migrations.table",
            "must be a name of letters, digits and `_`, of at most 63, with a schema and `.` before it if need be",
        ));
    }
    Ok(parts
        .iter()
        .map(|part| format!("\"{part}\""))
        .collect::<Vec<_>>()
        .join("."))
}

/// The migrations of a folder. The error reads well after the folder's path.
fn of_folder(folder: &Path, user: Option<&User>) -> Result<Vec<Migration>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let Some(name) = name.to_str() else { continue };
        if has_ending(name, ".sql") && !has_ending(name, ".down.sql") {
            names.insert(name.to_owned());
        }
    }
    if names.is_empty() {
        return Err("has no .sql file".to_owned());
    }
    if names.len() > MAX_MIGRATIONS {
        return Err(format!("has more than {MAX_MIGRATIONS} .sql files"));
    }
    let mut room = MAX_TOTAL_BYTES;
    let mut migrations = Vec::with_capacity(names.len());
    for name in names {
        let wrong = |problem: String| format!("has {name}, which {problem}");
        let sql = read_file(&folder.join(&name), user).map_err(wrong)?;
        room = room
            .checked_sub(sql.len())
            .ok_or_else(|| format!("has more than {MAX_TOTAL_BYTES} bytes of migrations"))?;
        migrations.push(Migration::new(&name, &sql).map_err(wrong)?);
    }
    in_order(migrations)
}

fn has_ending(name: &str, ending: &str) -> bool {
    name.to_ascii_lowercase().ends_with(ending)
}

/// A file of a task, read by us: where tasks have a user of their own, it must be that user's, and no link. Otherwise a
/// task could have us read what it may not.
fn read_file(path: &Path, user: Option<&User>) -> Result<String, String> {
    use std::io::Read as _;
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    // A named pipe must not hold us up.
    let mut flags = nix::fcntl::OFlag::O_NONBLOCK;
    if user.is_some() {
        flags |= nix::fcntl::OFlag::O_NOFOLLOW;
    }
    let file = options
        .custom_flags(flags.bits())
        .open(path)
        .map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err("is no file".to_owned());
    }
    if user.is_some_and(|user| user.uid != meta.uid()) {
        return Err("does not belong to the user of the delegate's tasks".to_owned());
    }
    let mut text = String::new();
    let limit = u64::try_from(MAX_SQL_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// What the table says of one that was applied.
struct Applied {
    name: String,
    checksum: String,
}

/// Applies what is missing. What was applied before an error stays, and is in `done`. The error is a sentence.
pub(super) async fn run(
    session: &mut dyn Session,
    settings: &Migrations,
    migrations: &[Migration],
    log: &LogWriter,
    done: &mut Migrated,
) -> Result<(), String> {
    let (table, key) = settings.table().map_err(|error| error.to_string())?;
    let failed = |doing: &str, error: &sqlx::Error| format!("{doing} failed: {}", described(error));
    let lock = "waiting for one's turn";
    if !session
        .lock(key, false)
        .await
        .map_err(|error| failed(lock, &error))?
    {
        log.line(Level::Info, "another task migrates this database; waiting for it")
            .await;
        session
            .lock(key, true)
            .await
            .map_err(|error| failed(lock, &error))?;
    }
    begin(session, &table)
        .await
        .map_err(|error| failed("making the table of migrations", &error))?;
    let before = history(session, &table)
        .await
        .map_err(|error| failed("reading the table of migrations", &error))?;
    let pending = compare(&before, migrations)?;
    done.already = u64::try_from(before.len()).unwrap_or(u64::MAX);
    let count = pending.len();
    if count == 0 {
        log.line(Level::Info, "every migration had been applied before")
            .await;
    }
    for (index, migration) in pending.iter().enumerate() {
        let name = &migration.name;
        log.line(Level::Info, &format!("applying {name}, {} of {count}", index + 1))
            .await;
        match apply(session, &table, migration).await {
            Ok(true) => done.applied.push(name.clone()),
            // Another task did, where there is no lock but that of the transaction.
            Ok(false) => done.already += 1,
            Err(error) => {
                let _ = session.rollback().await;
                let rest = count - index - 1;
                return Err(format!(
                    "{name} failed and was rolled back: {}; {} before it were applied and stay, {rest} after it were not tried",
                    described(&error),
                    done.applied.len(),
                ));
            }
        }
    }
    Ok(())
}

async fn begin(session: &mut dyn Session, table: &str) -> Result<(), sqlx::Error> {
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {table} (version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)"
    );
    session.begin(false).await?;
    let made = execute(session, &sql, &[]).await;
    match made {
        Ok(_) => session.commit().await,
        Err(error) => {
            let _ = session.rollback().await;
            Err(error)
        }
    }
}

async fn history(session: &mut dyn Session, table: &str) -> Result<BTreeMap<i64, Applied>, sqlx::Error> {
    let sql = format!("SELECT version, name, checksum FROM {table} ORDER BY version");
    let rows = execute(session, &sql, &[]).await?;
    let text = |row: &Map<String, Value>, name: &str| {
        row.get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Ok(rows
        .iter()
        .filter_map(|row| {
            let applied = Applied {
                name: text(row, "name"),
                checksum: text(row, "checksum"),
            };
            Some((row.get("version")?.as_i64()?, applied))
        })
        .collect())
}

/// One transaction. False when it had been applied meanwhile.
async fn apply(session: &mut dyn Session, table: &str, migration: &Migration) -> Result<bool, sqlx::Error> {
    session.begin(false).await?;
    let known = format!("SELECT version FROM {table} WHERE version = $1");
    if !execute(session, &known, &[json!(migration.version)])
        .await?
        .is_empty()
    {
        session.rollback().await?;
        return Ok(false);
    }
    execute(session, &migration.sql, &[]).await?;
    let insert = format!("INSERT INTO {table} (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)");
    let values = [
        json!(migration.version),
        json!(migration.name),
        json!(migration.checksum),
        json!(Timestamp::now().to_string()),
    ];
    execute(session, &insert, &values).await?;
    session.commit().await?;
    Ok(true)
}

/// Runs a statement whose rows are few, or nobody's business.
async fn execute(
    session: &mut dyn Session,
    sql: &str,
    parameters: &[Value],
) -> Result<Vec<Map<String, Value>>, sqlx::Error> {
    let mut room = Room::for_rows(MAX_MIGRATIONS);
    let mut rows = room.begin();
    session.execute(sql, parameters, &mut rows).await?;
    Ok(rows.kept)
}

/// What is to be applied; or why nobody can say.
fn compare<'m>(
    before: &BTreeMap<i64, Applied>,
    migrations: &'m [Migration],
) -> Result<Vec<&'m Migration>, String> {
    for (version, applied) in before {
        let Some(migration) = migrations.iter().find(|migration| migration.version == *version) else {
            return Err(format!(
                "{} was applied to the database and is missing here; put it back, nothing was applied",
                applied.name
            ));
        };
        if migration.checksum != applied.checksum {
            return Err(format!(
                "{} has changed since it was applied to the database; restore it and make the change in a new one, nothing was applied",
                migration.name
            ));
        }
    }
    let pending: Vec<_> = migrations
        .iter()
        .filter(|migration| !before.contains_key(&migration.version))
        .collect();
    let newest = before.last_key_value();
    if let (Some(first), Some((newest, applied))) = (pending.first(), newest)
        && first.version < *newest
    {
        return Err(format!(
            "{} comes before {}, which was applied already; give it a later version, nothing was applied",
            first.name, applied.name
        ));
    }
    Ok(pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(name: &str) -> Migration {
        Migration::new(name, "SELECT 1").unwrap()
    }

    #[test]
    fn a_name_begins_with_its_version() {
        for (name, version) in [
            ("001_create.sql", 1),
            ("V2__more.sql", 2),
            ("20260131120000-x.up.sql", 20_260_131_120_000),
            ("3.sql", 3),
        ] {
            assert_eq!(version_of(name), Ok(version), "{name}");
        }
        for name in [
            "create.sql",
            "V1.2__x.sql",
            "1x.sql",
            "",
            "-1_x.sql",
            "1234567890123456789_x",
        ] {
            assert!(version_of(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_order_is_that_of_numbers_and_no_version_comes_twice() {
        let ordered = in_order(vec![migration("10_b.sql"), migration("9_a.sql")]).unwrap();
        assert_eq!(ordered[0].name, "9_a.sql");
        let twice = in_order(vec![migration("1_a.sql"), migration("01_b.sql")]).unwrap_err();
        assert!(twice.contains("1_a.sql and 01_b.sql"), "{twice}");
    }

    #[test]
    fn line_ends_do_not_change_a_file() {
        let unix = Migration::new("1_a.sql", "SELECT 1;\nSELECT 2;\n").unwrap();
        let windows = Migration::new("1_a.sql", "SELECT 1;\r\nSELECT 2;\r\n").unwrap();
        assert_eq!(unix.checksum, windows.checksum);
    }

    #[test]
    fn tables_are_names() {
        assert_eq!(quoted_table("app.history").unwrap(), r#""app"."history""#);
        for table in ["", "a b", "a;b", "a\"b", "a.b.c", ".a"] {
            assert!(quoted_table(table).is_err(), "{table}");
        }
    }
}
