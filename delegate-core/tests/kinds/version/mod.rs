//! `VERSION`, with the real git: in a folder, over a remote, and behind a login.

mod refusals;
mod repository;

use std::process::Command;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use delegate_core::process::User;
use delegate_core::protocol::wire::ResponseCode;
use serde_json::{Value, json};

use crate::bench::{Bench, Outcome, run};
use crate::git_server::git;
use repository::Repository;

/// Whether there is git. Without it a test has no ground.
#[allow(clippy::print_stdout, reason = "what was skipped is counted there")]
fn has_git() -> bool {
    let there = Command::new("git").arg("--version").output().is_ok();
    if !there {
        println!("SKIPPED: git is not installed");
    }
    there
}

async fn version(data: Value) -> Outcome {
    run("VERSION", data).await
}

/// Version and previous one.
fn said(outcome: &Outcome) -> (String, Value) {
    let result = outcome.succeeded();
    (
        result["version"].as_str().unwrap().to_owned(),
        result["previous"].clone(),
    )
}

#[tokio::test]
async fn tags_of_a_folder_say_what_follows_and_commits_how_far() {
    if !has_git() {
        return;
    }
    let repository = Repository::new();
    let ask = |bump: &str| {
        json!({
            "from": {"tags": {"repository": repository.work()}}, "prefix": "v",
            "scheme": {"semantic": {"bump": bump}},
        })
    };
    repository.commit("feat: begin");
    assert_eq!(said(&version(ask("minor")).await), ("0.1.0".into(), Value::Null));
    repository.git(&["tag", "v1.9.0"]);
    // No versions: another prefix, none, and a name that is none.
    for other in ["2.0.0", "w3.0.0", "vlatest"] {
        repository.git(&["tag", other]);
    }
    repository.git(&["tag", "-a", "v1.10.0", "-m", "annotated"]);
    let outcome = version(ask("minor")).await;
    assert_eq!(said(&outcome), ("1.11.0".into(), json!("1.10.0")));
    let vars = outcome.vars();
    assert_eq!(
        (
            &*vars["VERSION"],
            &*vars["PREVIOUS_VERSION"],
            &*vars["VERSION_MINOR"]
        ),
        ("1.11.0", "1.10.0", "11")
    );
    assert_eq!(
        outcome.response.data["parts"],
        json!({"major": "1", "minor": "11", "patch": "0"})
    );
    assert_eq!(outcome.response.data["is_new"], true);
    assert!(
        outcome.log.contains("the next version is 1.11.0, after 1.10.0"),
        "{}",
        outcome.log
    );

    let outcome = version(ask("commits")).await;
    assert_eq!(
        said(&outcome),
        ("1.10.0".into(), json!("1.10.0")),
        "nothing has happened since"
    );
    assert_eq!(outcome.response.data["is_new"], false);
    for (message, expected) in [
        ("docs: a", "1.10.0"),
        ("fix(core): b", "1.10.1"),
        ("feat: c\n\nwith a body", "1.11.0"),
        ("refactor!: d", "2.0.0"),
    ] {
        repository.commit(message);
        assert_eq!(said(&version(ask("commits")).await).0, expected, "{message}");
    }
    assert_eq!(
        repository.git(&["tag"]).lines().count(),
        5,
        "nothing was tagged unasked"
    );
}

#[tokio::test]
async fn a_tag_is_made_once_for_a_commit_and_pushed_when_asked() {
    if !has_git() {
        return;
    }
    let repository = Repository::new();
    repository.commit("feat: begin");
    let data = |push: bool| {
        json!({
            "from": {"tags": {"repository": repository.work()}}, "prefix": "v", "tag": true, "push": push,
            "scheme": {"semantic": {"prerelease": "rc"}},
        })
    };
    let first = version(data(false)).await;
    assert_eq!(first.succeeded()["tag"], "v0.1.0-rc.1");
    assert_eq!(repository.git(&["tag", "--points-at", "HEAD"]), "v0.1.0-rc.1");
    assert_eq!(repository.git(&["ls-remote", "origin"]), "");
    // Again: the same, and now it is pushed.
    let again = version(data(true)).await;
    assert_eq!(again.succeeded()["tag"], "v0.1.0-rc.1");
    assert!(
        again.log.contains("has the tag v0.1.0-rc.1 already"),
        "{}",
        again.log
    );
    let remote = repository.git(&["ls-remote", "--tags", "origin"]);
    assert!(
        remote.ends_with("refs/tags/v0.1.0-rc.1") && remote.lines().count() == 1,
        "{remote}"
    );
    repository.commit("fix: more");
    let next = version(data(true)).await;
    assert_eq!(said(&next), ("0.1.0-rc.2".into(), json!("0.1.0-rc.1")));
    // The remote knows the same, asked as a remote is.
    let remote = json!({
        "from": {"tags": {"repository": repository.bare()}}, "prefix": "v",
        "scheme": {"semantic": {"prerelease": "rc"}},
    });
    assert_eq!(said(&version(remote).await).0, "0.1.0-rc.3");

    // Half way: the tag is there, the push is not, and the answer says both.
    repository.commit("fix: once more");
    repository.git(&["remote", "set-url", "origin", "/not/there.git"]);
    let outcome = version(data(true)).await;
    let error = outcome.failed();
    assert!(
        error.contains("git could not push the tag")
            && error.contains("the commit has the new tag v0.1.0-rc.3"),
        "{error}"
    );
    repository.git(&["remote", "set-url", "origin", repository.bare().to_str().unwrap()]);
    assert_eq!(version(data(true)).await.succeeded()["tag"], "v0.1.0-rc.3");
    assert!(
        repository
            .git(&["ls-remote", "--tags", "origin"])
            .contains("v0.1.0-rc.3")
    );
}

#[tokio::test]
async fn a_remote_behind_a_login_is_asked_with_it_and_shows_it_nowhere() {
    if !has_git() {
        return;
    }
    let repository = Repository::new();
    repository.commit("feat: begin");
    repository.git(&["tag", "3.1.4"]);
    repository.git(&["push", "-q", "origin", "3.1.4"]);
    let bare = repository.bare();
    git(&bare, &["update-server-info"]);
    // git's plain protocol: files, behind a login.
    let serve = move |request: Request| {
        let file = bare.join(request.uri().path().trim_start_matches('/'));
        async move {
            let login = request.headers().get(header::AUTHORIZATION);
            // anna:hunter-of-git
            if login.is_none_or(|login| login != "Basic YW5uYTpodW50ZXItb2YtZ2l0") {
                let realm = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
                return (StatusCode::UNAUTHORIZED, realm).into_response();
            }
            match std::fs::read(file) {
                Ok(bytes) => bytes.into_response(),
                Err(_) => StatusCode::NOT_FOUND.into_response(),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = axum::serve(listener, Router::new().fallback(serve)).into_future();
    let _server = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(server));
    let data = |password: &str| {
        json!({
            "from": {"tags": {"repository": url, "login": {"user": "anna", "password": password}}},
            "scheme": {"semantic": {}},
        })
    };
    let outcome = version(data("hunter-of-git")).await;
    assert_eq!(said(&outcome).0, "3.1.5");
    let outcome = version(data("hunter-of-none")).await;
    let error = outcome.failed();
    assert!(
        error.starts_with("git could not list the tags of the repository: "),
        "{error}"
    );
    assert!(
        !outcome.everything().contains("hunter"),
        "{}",
        outcome.everything()
    );
}

#[tokio::test]
async fn a_file_gives_the_version_and_gets_the_next_one_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Cargo.toml");
    let text =
        "[package]\nname = \"a\"\nversion = \"1.4.9\"\n\n[dependencies]\nb = { version = \"2.0.0\" }\n";
    std::fs::write(&file, text).unwrap();
    let pattern = "(?m)^version = \"([^\"]+)\"";
    let data = json!({"from": {"file": {"path": file, "pattern": pattern}}, "scheme": {"semantic": {}}});
    assert_eq!(
        said(&version(data.clone()).await),
        ("1.4.10".into(), json!("1.4.9"))
    );
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        text,
        "nothing is written unasked"
    );

    let mut in_place = data.clone();
    in_place["write"] = json!({"file": file});
    version(in_place).await.succeeded();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        text.replace("1.4.9", "1.4.10")
    );

    // Another file: the version and a line end; which is then read whole.
    let other = dir.path().join("VERSION");
    let mut elsewhere = data;
    elsewhere["write"] = json!({"file": other});
    elsewhere["scheme"] = json!({"semantic": {"bump": "major", "build": "sha.1a"}});
    version(elsewhere).await.succeeded();
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "2.0.0+sha.1a\n");
    let whole =
        json!({"from": {"file": {"path": other}}, "scheme": {"semantic": {}}, "write": {"file": other}});
    assert_eq!(
        said(&version(whole.clone()).await),
        ("2.0.1".into(), json!("2.0.0+sha.1a"))
    );
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "2.0.1\n");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");

    std::fs::write(&other, "soon").unwrap();
    let outcome = version(whole.clone()).await;
    assert!(
        outcome.failed().contains("is not a semantic version"),
        "{}",
        outcome.error()
    );
    std::fs::remove_file(&other).unwrap();
    let outcome = version(whole).await;
    assert!(
        outcome.error().contains("failed to read") && outcome.error().contains("VERSION"),
        "{}",
        outcome.error()
    );
}

#[tokio::test]
async fn a_value_is_enough_for_every_scheme() {
    let value = |value: &str, scheme: Value| json!({"from": {"value": value}, "scheme": scheme});
    let calendar = json!({"calendar": {"format": "YYYY.0M.MICRO", "date": "2026-11-23"}});
    for (data, expected, previous) in [
        (
            value("1.2.3", json!({"semantic": {"bump": "major"}})),
            "2.0.0",
            json!("1.2.3"),
        ),
        (
            value("", json!({"semantic": {"initial": "1.0.0"}})),
            "1.0.0",
            Value::Null,
        ),
        (
            value("2026.11.4", calendar.clone()),
            "2026.11.5",
            json!("2026.11.4"),
        ),
        (value("2026.10.4", calendar), "2026.11.0", json!("2026.10.4")),
        (
            value(
                "main-41",
                json!({"template": {"format": "{branch}-{n}", "values": {"branch": "main"}}}),
            ),
            "main-42",
            json!("main-41"),
        ),
        (
            value(
                "none",
                json!({"template": {"format": "r{YYYY}{0M}-{n}", "start": 100, "date": "2026-11-23"}}),
            ),
            "r202611-100",
            Value::Null,
        ),
    ] {
        assert_eq!(
            said(&version(data.clone()).await),
            (expected.to_owned(), previous),
            "{data}"
        );
    }
}

#[tokio::test]
async fn a_folder_that_is_no_repository_is_said_in_git_s_words() {
    if !has_git() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let outcome =
        version(json!({"from": {"tags": {"repository": dir.path()}}, "scheme": {"semantic": {}}})).await;
    let error = outcome.failed();
    assert!(
        error.contains("git could not list the tags") && error.contains("repository"),
        "{error}"
    );
}

#[tokio::test]
async fn a_delegate_does_not_touch_files_in_the_place_of_its_task_user() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("VERSION");
    std::fs::write(&file, "1.0.0").unwrap();
    let owner = std::fs::metadata(&file).unwrap();
    for data in [
        json!({"from": {"file": {"path": file}}, "scheme": {"semantic": {}}}),
        json!({"from": {"value": "1.0.0"}, "scheme": {"semantic": {}}, "write": {"file": file}}),
    ] {
        let mut bench = Bench::of("VERSION");
        bench.settings.confinement.user = Some(User {
            uid: owner.uid(),
            gid: owner.gid(),
            name: "tasks".to_owned(),
        });
        let outcome = bench.run(data).await;
        assert_eq!(outcome.response.code, ResponseCode::Failed);
        assert!(
            outcome.error().contains("DELEGATE_TASK_USER"),
            "{}",
            outcome.error()
        );
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1.0.0");
}
