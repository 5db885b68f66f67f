//! `SQL` with a real PostgreSQL, over TLS, and with files of SQLite: the same expectations of both.

use std::fs;
use std::time::Duration;

use delegate_core::process::User;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::bench::{Outcome, refused};
use crate::cluster::Cluster;
use crate::delegate::Delegate;

const KIND: &str = "SQL";
const PASSWORD: &str = "hunter2-of-the-database";

/// A statement that does not end, for each.
const ENDLESS_POSTGRES: &str = "SELECT pg_sleep(86400)";
const ENDLESS_SQLITE: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0";

/// A delegate, and a database that it may use.
struct Site<'b> {
    delegate: &'b Delegate,
    database: Value,
}

impl Site<'_> {
    fn data(&self, more: &Value) -> Value {
        let mut data = json!({"database": self.database});
        for (name, value) in more.as_object().unwrap() {
            data[name] = value.clone();
        }
        data
    }

    async fn run(&self, more: Value) -> Outcome {
        let outcome = self.delegate.run(KIND, self.data(&more)).await;
        outcome.hides(PASSWORD);
        outcome
    }

    async fn statements(&self, statements: &[&str]) -> Outcome {
        let statements: Vec<_> = statements.iter().map(|sql| json!({"sql": sql})).collect();
        self.run(json!({"statements": statements})).await
    }

    /// The only value of a query.
    async fn value(&self, sql: &str) -> Value {
        let outcome = self.statements(&[sql]).await.well();
        let row = outcome.response.data["results"][0]["rows"][0].clone();
        row.as_object().unwrap().values().next().unwrap().clone()
    }

    async fn migrate(&self, files: &[(&str, &str)]) -> Outcome {
        let files: Vec<_> = files
            .iter()
            .map(|(name, sql)| json!({"name": name, "sql": sql}))
            .collect();
        self.run(json!({"migrations": {"files": files}})).await
    }
}

async fn statements_are_one_transaction(site: &Site<'_>) {
    let outcome = site
        .run(json!({
            "statements": [
                {"sql": "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, ratio DOUBLE PRECISION)"},
                {"sql": "INSERT INTO things VALUES ($1, $2, $3)", "parameters": [1, "it's \\ \"so\" $1", 0.5]},
                {"sql": "INSERT INTO things VALUES (2, NULL, $1), (3, 'c', -1e3)", "parameters": [null]},
                {"sql": "SELECT id, name, ratio, id AS id FROM things ORDER BY id"},
            ],
            "max_rows": 2,
            "output_vars": {"NAME": "/results/3/rows/0/name", "ID": "/results/3/rows/1/id"},
        }))
        .await
        .well();
    let results = outcome.field("results");
    assert_eq!(results[1]["affected"], 1, "{}", outcome.everything());
    assert_eq!(results[2]["affected"], 2, "{}", outcome.everything());
    assert_eq!(
        results[3]["rows"],
        json!([
            {"id": 1, "name": "it's \\ \"so\" $1", "ratio": 0.5, "id_2": 1},
            {"id": 2, "name": null, "ratio": null, "id_2": 2},
        ])
    );
    assert_eq!(results[3]["truncated"], true);
    assert_eq!(
        (outcome.var("NAME"), outcome.var("ID")),
        ("it's \\ \"so\" $1", "2")
    );

    let insert = "INSERT INTO things (id) VALUES (4)";
    let failed = site.statements(&[insert, insert]).await;
    failed.says("statement 2 of 2 failed");
    assert_eq!(failed.field("results"), &json!([]));
    let missing = json!({"statements": [{"sql": insert}], "output_vars": {"X": "/results/0/rows/0/id"}});
    let missing = site.run(missing).await;
    missing.says("for the output variable X");
    let read_only = site
        .run(json!({"statements": [{"sql": insert}], "read_only": true}))
        .await;
    read_only.failed();
    let spoilt = site.statements(&["SELEC 1"]).await;
    spoilt.says("SELEC");
    assert_eq!(
        site.value("SELECT count(*) FROM things").await,
        3,
        "something was kept"
    );
}

async fn migrations_are_applied_once_and_in_order(site: &Site<'_>) {
    let one = (
        "001_base.sql",
        "CREATE TABLE base (id INTEGER); INSERT INTO base VALUES (1);",
    );
    let two = ("2_more.sql", "-- more\nINSERT INTO base VALUES (2)");
    let three = ("V10__last.sql", "INSERT INTO base VALUES (3)");
    let count = "SELECT count(*) FROM base";
    let applied = |outcome: &Outcome| outcome.field("migrations")["applied"].clone();

    // Whoever comes first; the others have nothing to do.
    let both = [two, one];
    let started: Vec<_> = (0..3)
        .map(|_| {
            let files = both.map(|(name, sql)| json!({"name": name, "sql": sql}));
            site.delegate
                .start(KIND, &site.data(&json!({"migrations": {"files": files}})))
        })
        .collect();
    let mut names = Vec::new();
    for task in started {
        let outcome = task.end().await.well();
        names.extend(applied(&outcome).as_array().unwrap().clone());
    }
    // In SQLite they may take turns between two files: each was applied once, by whomever.
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["001_base.sql", "2_more.sql"]);
    assert_eq!(site.value(count).await, 2);

    let failing = (
        "11_bad.sql",
        "INSERT INTO base VALUES (4); INSERT INTO nowhere VALUES (1)",
    );
    let after = ("12_after.sql", "INSERT INTO base VALUES (5)");
    let outcome = site.migrate(&[one, two, three, failing, after]).await;
    let problem = outcome.failed();
    for words in [
        "11_bad.sql failed",
        "nowhere",
        "1 before it were applied",
        "1 after it were not tried",
    ] {
        assert!(problem.contains(words), "{words}: {problem}");
    }
    assert_eq!(applied(&outcome), json!(["V10__last.sql"]));
    assert_eq!(site.value(count).await, 3, "the failed one was kept");

    let again = site.migrate(&[one, two, three]).await.well();
    assert_eq!(again.field("migrations"), &json!({"applied": [], "already": 3}));
    for (files, words) in [
        (
            vec![one, three],
            "2_more.sql was applied to the database and is missing",
        ),
        (vec![one, (two.0, "SELECT 1"), three], "2_more.sql has changed"),
        (
            vec![one, two, ("5_late.sql", "SELECT 1"), three],
            "5_late.sql comes before V10__last.sql",
        ),
    ] {
        let outcome = site.migrate(&files).await;
        outcome.says(words);
    }

    // The same from a folder of the workspace, with a table of its own.
    let folder = site.delegate.path("workspace/app/migrations");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("1_x.up.sql"), "CREATE TABLE of_folder (id INTEGER)").unwrap();
    fs::write(folder.join("1_x.down.sql"), "DROP TABLE of_folder").unwrap();
    fs::write(folder.join("README.md"), "no migration").unwrap();
    let data = json!({"migrations": {"directory": "app/migrations", "table": "other_history"}});
    let outcome = site.run(data).await.well();
    assert_eq!(applied(&outcome), json!(["1_x.up.sql"]));
    assert_eq!(site.value("SELECT count(*) FROM of_folder").await, 0);
    fs::write(folder.join("x.sql"), "SELECT 1").unwrap();
    let outcome = site
        .run(json!({"migrations": {"directory": "app/migrations"}}))
        .await;
    assert!(
        outcome
            .refusal()
            .contains("has x.sql, which must begin with its version"),
        "{}",
        outcome.everything()
    );
}

/// An abort and the end of the time end the statement itself, and take back what came before it.
async fn what_is_ended_is_taken_back(site: &Site<'_>, endless: &str) {
    site.statements(&["CREATE TABLE kept (id INTEGER)"]).await.well();
    let statements = json!({"statements": [{"sql": "INSERT INTO kept VALUES (1)"}, {"sql": endless}]});
    let task = site.delegate.start(KIND, &site.data(&statements));
    task.log.until("running statement 2 of 2").await;
    task.cancel.cancel();
    let outcome = task.end().await.ended("ABORTED");
    assert!(
        outcome
            .text("error_message")
            .ends_with("nothing of the task was kept"),
        "{}",
        outcome.everything()
    );
    let migration = json!({"migrations": {
        "table": "endless",
        "files": [{"name": "1_endless.sql", "sql": format!("INSERT INTO kept VALUES (1); {endless}")}]
    }});
    let task = site.delegate.start(KIND, &site.data(&migration));
    task.log.until("applying 1_endless.sql").await;
    task.cancel.cancel();
    let outcome = task.end().await.ended("ABORTED");
    assert_eq!(outcome.field("migrations")["applied"], json!([]));
    assert_eq!(site.value("SELECT count(*) FROM kept").await, 0);
}

async fn its_time_ends_it(delegate: &mut Delegate, database: Value, endless: &str) {
    let usual = std::mem::replace(&mut delegate.timeout, Duration::from_millis(500));
    let data = json!({"database": database, "statements": [{"sql": endless}]});
    delegate.run(KIND, data).await.ended("TIMEOUT");
    delegate.timeout = usual;
}

#[tokio::test]
async fn sqlite_does_what_it_is_told() {
    let mut delegate = Delegate::new();
    let missing = json!({"sqlite": {"file": "app.db"}});
    let site = Site {
        delegate: &delegate,
        database: missing.clone(),
    };
    let outcome = site.statements(&["SELECT 1"]).await;
    outcome.says("`create` makes a file");

    let database = json!({"sqlite": {"file": "app.db", "create": true}});
    let site = Site {
        delegate: &delegate,
        database: database.clone(),
    };
    statements_are_one_transaction(&site).await;
    assert!(delegate.path("workspace/app.db").exists());
    migrations_are_applied_once_and_in_order(&site).await;
    what_is_ended_is_taken_back(&site, ENDLESS_SQLITE).await;
    let row = site.value("SELECT x'00ff'").await;
    assert_eq!(row, "\\x00ff");

    let url = Site {
        delegate: &delegate,
        database: json!({"url": "sqlite:app.db"}),
    };
    assert_eq!(url.value("SELECT count(*) FROM things").await, 3);
    fs::write(
        delegate.path("workspace/text"),
        "no database, but long enough to be looked at as one",
    )
    .unwrap();
    let text = Site {
        delegate: &delegate,
        database: json!({"sqlite": {"file": "text"}}),
    };
    let outcome = text.statements(&["SELECT 1"]).await;
    outcome.says("is no database of SQLite");
    its_time_ends_it(&mut delegate, database.clone(), ENDLESS_SQLITE).await;

    // The delegate would open it with its own rights.
    delegate.settings.confinement.user = Some(User {
        uid: 54322,
        gid: 54322,
        name: "tasks".to_owned(),
    });
    let data = json!({"database": database, "statements": [{"sql": "SELECT 1"}]});
    let outcome = delegate.run(KIND, data).await;
    assert!(
        outcome.refusal().contains("have a user of their own"),
        "{}",
        outcome.everything()
    );
}

/// A PostgreSQL that speaks TLS, and the certificate of the authority that vouches for it.
fn tls_cluster() -> Option<(Cluster, u16, String)> {
    let cluster = Cluster::make()?;
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    let certificate = cluster.give("server.crt", &certificate.pem());
    let key = cluster.give("server.key", &key.serialize_pem());
    // It cannot choose a port itself; one that was free a moment ago may be taken again.
    for _ in 0..5 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c ssl=on -c ssl_cert_file='{}' -c ssl_key_file='{}'",
            certificate.display(),
            key.display()
        );
        if cluster.up_with(&options) {
            return Some((cluster, port, authority.pem()));
        }
    }
    panic!("PostgreSQL does not start: {}", cluster.log());
}

#[tokio::test]
async fn postgresql_does_what_it_is_told() {
    let Some((cluster, port, ca)) = tls_cluster() else {
        return;
    };
    let mut delegate = Delegate::new();
    let socket = cluster.path().to_str().unwrap();
    let as_owner =
        json!({"postgres": {"host": socket, "port": port, "database": "postgres", "user": "postgres"}});
    let owner = Site {
        delegate: &delegate,
        database: as_owner,
    };
    owner
        .statements(&[&format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")])
        .await;
    owner
        .statements(&[
            "CREATE SCHEMA app AUTHORIZATION app",
            "ALTER ROLE app SET search_path = app",
        ])
        .await
        .well();

    let with = |change: Value| {
        let mut postgres = json!({
            "host": "localhost", "port": port, "database": "postgres", "user": "app", "password": PASSWORD, "ca": ca
        });
        for (name, value) in change.as_object().unwrap() {
            postgres[name] = value.clone();
        }
        json!({"postgres": postgres})
    };
    let database = with(json!({}));
    let site = Site {
        delegate: &delegate,
        database: database.clone(),
    };
    statements_are_one_transaction(&site).await;
    migrations_are_applied_once_and_in_order(&site).await;
    what_is_ended_is_taken_back(&site, ENDLESS_POSTGRES).await;
    let active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()";
    assert_eq!(owner.value(active).await, 0, "a statement goes on");
    values_have_their_types(&site).await;

    for (change, words) in [
        (
            json!({"password": "another-password"}),
            "check `user` and `password`",
        ),
        (json!({"password": null}), "check `user` and `password`"),
        (json!({"database": "none"}), "check `database`"),
        (json!({"ca": null}), "name its authority in `ca`"),
        (json!({"host": "127.0.0.1"}), "name its authority in `ca`"),
        (json!({"port": 1}), "check `host` and `port`"),
    ] {
        let site = Site {
            delegate: &delegate,
            database: with(change.clone()),
        };
        let outcome = site.statements(&["SELECT 1"]).await;
        outcome.says(words);
        outcome.hides("another-password");
    }
    // With a URL, and with the delegate's own authorities.
    let bundle = delegate.path("bundle.pem");
    fs::write(&bundle, &ca).unwrap();
    delegate.settings.environment.set("SSL_CERT_FILE", bundle);
    let url = json!({"url": format!("postgres://app:{PASSWORD}@localhost:{port}/postgres")});
    let site = Site {
        delegate: &delegate,
        database: url,
    };
    assert_eq!(
        site.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .await,
        true
    );
    its_time_ends_it(&mut delegate, database, ENDLESS_POSTGRES).await;
}

async fn values_have_their_types(site: &Site<'_>) {
    let sql = "SELECT true AS yes, 9007199254740993::int8 AS big, 12.50::numeric AS price, 'NaN'::float8 AS none, \
               '{\"a\": [1]}'::jsonb AS json, DATE '2026-01-31' AS day, ARRAY[1, 2] AS list, '\\x00ff'::bytea AS bytes, \
               'b'::text COLLATE \"C\" AS text, NULL::uuid AS nothing";
    let outcome = site.statements(&[sql]).await.well();
    assert_eq!(
        outcome.field("results")[0]["rows"][0],
        json!({
            "yes": true, "big": 9_007_199_254_740_993_i64, "price": "12.50", "none": "NaN", "json": {"a": [1]},
            "day": "2026-01-31", "list": "{1,2}", "bytes": "\\x00ff", "text": "b", "nothing": null,
        })
    );
    // Parameters are given the types of their places.
    let outcome = site
        .run(json!({"statements": [
            {"sql": "CREATE TEMPORARY TABLE typed (day DATE, price NUMERIC, yes BOOLEAN, json JSONB)"},
            {
                "sql": "INSERT INTO typed VALUES ($1, $2, $3, $4)",
                "parameters": ["2026-01-31", 1.25, true, "{\"quote\": \"it's\"}"]
            },
            {"sql": "SELECT * FROM typed WHERE day >= $1 LIMIT $2", "parameters": ["2026-01-01", 5]},
        ]}))
        .await
        .well();
    assert_eq!(
        outcome.field("results")[2]["rows"],
        json!([{"day": "2026-01-31", "price": "1.25", "yes": true, "json": {"quote": "it's"}}])
    );
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused() {
    let with = |change: Value| {
        let mut data = json!({"database": {"sqlite": {"file": "a.db"}}, "statements": [{"sql": "SELECT 1"}]});
        for (name, value) in change.as_object().unwrap() {
            data[name] = value.clone();
        }
        data
    };
    let migrations =
        |migrations: Value| json!({"database": {"sqlite": {"file": "a.db"}}, "migrations": migrations});
    let files = |files: Value| migrations(json!({"files": files}));
    let postgres = |change: Value| {
        let mut postgres = json!({"host": "h", "database": "d", "user": "u"});
        for (name, value) in change.as_object().unwrap() {
            postgres[name] = value.clone();
        }
        with(json!({"database": {"postgres": postgres}}))
    };
    refused(
        KIND,
        &[
            (json!({"statements": []}), "data", "missing field `database`"),
            (
                json!({"database": {"sqlite": {"file": "a.db"}}}),
                "data",
                "needs `statements` or `migrations`",
            ),
            (
                with(json!({"database": {"url": "mysql://u@h/d"}})),
                "database.url",
                "must begin with postgres://",
            ),
            (
                with(json!({"database": {"sqlite": {"file": "../a.db"}}})),
                "database.sqlite.file",
                "contains `..`",
            ),
            (
                postgres(json!({"host": ""})),
                "database.postgres.host",
                "is empty",
            ),
            (
                postgres(json!({"port": 0})),
                "database.postgres.port",
                "from 1 to 65535",
            ),
            (
                postgres(json!({"ca": "none"})),
                "database.postgres.ca",
                "no PEM certificate",
            ),
            (with(json!({"statements": []})), "statements", "is empty"),
            (
                with(json!({"statements": [{"sql": "-- nothing"}]})),
                "statements[0].sql",
                "holds no statement",
            ),
            (
                with(json!({"statements": [{"sql": "/* */ Commit"}]})),
                "statements[0].sql",
                "controls a transaction",
            ),
            (
                with(json!({"statements": [{"sql": "SELECT $1", "parameters": ["a", ["b"]]}]})),
                "statements[0].parameters[1]",
                "write JSON as text",
            ),
            (
                with(json!({"max_rows": 1_000_000})),
                "max_rows",
                "from 0 to 100000",
            ),
            (
                with(json!({"output_vars": {"A": "results"}})),
                "output_vars.A",
                "JSON pointer",
            ),
            (
                with(json!({"migrations": {"directory": "m"}})),
                "migrations",
                "together with `statements`",
            ),
            (
                migrations(json!({})),
                "migrations",
                "needs `directory` or `files`",
            ),
            (
                migrations(json!({"directory": "m", "table": "a;b"})),
                "migrations.table",
                "must be a name",
            ),
            (
                migrations(json!({"directory": "/m/../x"})),
                "migrations.directory",
                "contains `..`",
            ),
            (files(json!([])), "migrations.files", "from 1 to 10000"),
            (
                files(json!([{"name": "a.sql", "sql": "SELECT 1"}])),
                "migrations.files[0].name",
                "begin with its version",
            ),
            (
                files(
                    json!([{"name": "1_a.sql", "sql": "SELECT 1"}, {"name": "01_b.sql", "sql": "SELECT 1"}]),
                ),
                "migrations.files",
                "two of version 1",
            ),
        ],
    )
    .await;
}
