//! `GIT_CLONE` with the real git, against git's own https backend and a real sshd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use delegate_core::process::{Environment, User};
use delegate_core::task::{GitClone, TaskKind as _};
use serde_json::{Value, json};

use crate::bench::{Outcome, refused};
use crate::delegate::Delegate;
use crate::git_server::{GitServer, PASSWORD, Repository, USER, git};
use crate::sshd::Sshd;

const KIND: &str = "GIT_CLONE";

/// A delegate that trusts the server, and writes down how git and ssh are started.
fn delegate_of(server: &GitServer) -> Delegate {
    let mut delegate = Delegate::new();
    delegate.settings.environment.set("GIT_SSL_CAINFO", server.ca());
    delegate.watch(&["git", "ssh"]);
    delegate
}

fn login() -> Value {
    json!({"https": {"user": USER, "password": PASSWORD}})
}

/// See [`Delegate::keeps_no`].
#[track_caller]
fn nowhere(delegate: &Delegate, outcome: &Outcome, secret: &str) {
    let watched = delegate.watched();
    assert!(watched.contains("GIT_TERMINAL_PROMPT=0"), "nothing was watched");
    delegate.keeps_no(outcome, secret);
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_folder_is_brought_to_a_branch_again_and_again() {
    let server = GitServer::start().await;
    let repository = server.repository("app");
    let delegate = delegate_of(&server);
    let data = json!({"url": server.url("app"), "directory": "team/app", "credentials": login()});
    let first = delegate.run(KIND, data.clone()).await.well();
    let folder = delegate.path("workspace/team/app");
    assert_eq!(first.text("commit"), repository.git(&["rev-parse", "HEAD"]));
    assert_eq!(first.text("ref"), "refs/heads/main");
    assert_eq!(Path::new(first.text("directory")), folder);
    for name in ["commit", "ref", "directory"] {
        assert_eq!(first.var(name), first.text(name));
    }
    assert_eq!(text(folder.join("file")), "1\n");
    assert!(first.log.contains("refs/heads/main of https://"), "{}", first.log);
    assert_eq!(
        git(&folder, &["status", "--porcelain", "--branch"]),
        "## main...origin/main"
    );
    nowhere(&delegate, &first, PASSWORD);

    // What git knows is brought back, what it does not know stays, and what came since comes.
    fs::write(folder.join("file"), "changed").unwrap();
    fs::write(folder.join("own"), "mine").unwrap();
    let newer = repository.commit("file", "2\n");
    let second = delegate.run(KIND, data).await.well();
    assert_eq!(second.text("commit"), newer);
    assert_eq!(text(folder.join("file")), "2\n");
    assert_eq!(text(folder.join("own")), "mine");
    nowhere(&delegate, &second, PASSWORD);
}

#[tokio::test]
async fn tags_commits_and_depths_are_what_they_are_asked_to_be() {
    let server = GitServer::start().await;
    let repository = server.repository("app");
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["tag", "--annotate", "--message=one", "v1"]);
    let second = repository.commit("file", "2\n");
    repository.git(&["branch", "release/2"]);
    let third = repository.commit("file", "3\n");
    let delegate = delegate_of(&server);
    let folder = delegate.path("clones/app");
    let run = async |reference: Value, depth: Option<u32>| {
        let mut data = json!({"url": server.url("app"), "directory": folder, "credentials": login()});
        data["ref"] = reference;
        if let Some(depth) = depth {
            data["depth"] = depth.into();
        }
        let outcome = delegate.run(KIND, data).await;
        let count = git(&folder, &["rev-list", "--count", "HEAD"]);
        (outcome.well().text("commit").to_owned(), count)
    };
    // An absolute folder whose parent is not there yet.
    assert_eq!(
        run(json!({"branch": "main"}), Some(1)).await,
        (third, "1".to_owned())
    );
    assert_eq!(
        run(json!({"tag": "v1"}), Some(1)).await,
        (first.clone(), "1".to_owned())
    );
    assert_eq!(git(&folder, &["tag"]), "v1");
    // Without a depth the history is whole again.
    assert_eq!(
        run(json!({"branch": "release/2"}), None).await,
        (second.clone(), "2".to_owned())
    );
    assert_eq!(
        run(json!({"commit": first}), None).await,
        (first.clone(), "1".to_owned())
    );
    assert_eq!(
        run(json!({"commit": second}), Some(1)).await,
        (second, "2".to_owned())
    );
    // A tag that was moved is followed.
    repository.git(&["tag", "--force", "v1"]);
    let moved = repository.git(&["rev-parse", "HEAD"]);
    assert_eq!(run(json!({"tag": "v1"}), None).await.0, moved);
}

#[tokio::test]
async fn what_is_refused_or_missing_is_said_with_what_to_do_and_leaves_nothing() {
    let server = GitServer::start().await;
    let repository = server.repository("app");
    let delegate = delegate_of(&server);
    let data = |change: Value| {
        let mut data = json!({"url": server.url("app"), "directory": "app", "credentials": login()});
        for (name, value) in change.as_object().unwrap() {
            data[name] = value.clone();
        }
        data
    };
    let wrong = json!({"https": {"user": USER, "password": "an-old-password"}});
    let none = repository
        .git(&["rev-parse", "HEAD"])
        .replace(|c: char| c != 'f', "f");
    for (change, words) in [
        (
            json!({"credentials": wrong}),
            "check credentials.https.user and credentials.https.password",
        ),
        (json!({"credentials": null}), "give credentials.https"),
        (json!({"url": server.url("other")}), "there is no such repository"),
        (json!({"ref": {"branch": "mai"}}), "has no branch `mai`"),
        (json!({"ref": {"tag": "main"}}), "has no tag `main`"),
        (
            json!({"url": "https://127.0.0.1:1/app"}),
            "does not reach the server",
        ),
        (json!({"ref": {"commit": none}}), "has no commit ffff"),
    ] {
        let outcome = delegate.run(KIND, data(change.clone())).await;
        let problem = outcome.failed();
        assert!(problem.contains(words), "{change}: {problem}");
        nowhere(&delegate, &outcome, PASSWORD);
        outcome.hides("an-old-password");
        // That a commit is not there shows only when it is fetched.
        if change["ref"]["commit"].is_null() {
            assert!(
                !delegate.path("workspace/app").exists(),
                "{change}: something was made"
            );
        }
    }
    // A server that nobody vouches for.
    let mut strange = Delegate::new();
    let empty = strange.path("none.pem");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(&empty, other.cert.pem()).unwrap();
    strange.settings.environment.set("GIT_SSL_CAINFO", empty);
    let outcome = strange.run(KIND, data(json!({}))).await;
    outcome.says("HARNESS_CERTS_DIR");
}

#[tokio::test]
async fn a_folder_with_anything_else_in_it_is_left_as_it_is() {
    let server = GitServer::start().await;
    server.repository("app");
    let delegate = delegate_of(&server);
    let workspace = delegate.path("workspace");
    fs::create_dir_all(workspace.join("full")).unwrap();
    fs::write(workspace.join("full/own"), "mine").unwrap();
    fs::write(workspace.join("file"), "mine").unwrap();
    std::os::unix::fs::symlink(delegate.dir.path(), workspace.join("out")).unwrap();
    let other = Repository::new(workspace.join("other"));
    other.git(&[
        "remote",
        "add",
        "origin",
        "https://user:hunter2@example.com/other",
    ]);
    // One whose configuration sends us elsewhere is another one, whatever its URL.
    let turned = Repository::new(workspace.join("turned"));
    turned.git(&["remote", "add", "origin", &server.url("app")]);
    turned.git(&["config", "url.https://127.0.0.1:1/.insteadOf", &server.url("")]);
    // A folder within a repository is not that repository.
    fs::create_dir_all(other.path.join("full")).unwrap();
    fs::write(other.path.join("full/own"), "mine").unwrap();
    for (directory, words) in [
        ("full", "no clone of this repository"),
        ("other", "no clone of this repository"),
        ("turned", "no clone of this repository"),
        ("other/full", "no clone of this repository"),
        ("file", "is no folder"),
        ("file/below", "is no folder"),
        ("out/app", "by a symbolic link"),
    ] {
        let data = json!({"url": server.url("app"), "directory": directory, "credentials": login()});
        let outcome = delegate.run(KIND, data).await;
        let problem = outcome.refusal();
        assert!(
            problem.starts_with("task data field `directory`: "),
            "{directory}: {problem}"
        );
        assert!(problem.contains(words), "{directory}: {problem}");
        outcome.hides("hunter2");
    }
    assert_eq!(text(workspace.join("full/own")), "mine");
    assert_eq!(server.logins(), Vec::<String>::new(), "the server was asked");
}

#[tokio::test]
async fn what_git_could_take_as_something_else_is_refused() {
    let with = |change: Value| {
        let mut data = json!({"url": "https://git.example.com/app", "directory": "app"});
        for (name, value) in change.as_object().unwrap() {
            data[name] = value.clone();
        }
        data
    };
    let ssh = |key: &str, known_hosts: &str| json!({"ssh": {"key": key, "known_hosts": known_hosts}});
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----";
    refused(
        KIND,
        &[
            (json!({"directory": "app"}), "data", "missing field `url`"),
            (
                with(json!({"url": "--upload-pack=touch"})),
                "url",
                "begins with `-`",
            ),
            (with(json!({"url": "ext::sh"})), "url", "transport helper"),
            (
                with(json!({"url": "http://h/x"})),
                "url",
                "name it in `protocols`",
            ),
            (
                with(json!({"url": "https://user:pw@h/x"})),
                "url",
                "holds a login",
            ),
            (
                with(json!({"ref": {"branch": "-x"}})),
                "ref.branch",
                "begins with `-`",
            ),
            (
                with(json!({"ref": {"tag": "a:b"}})),
                "ref.tag",
                "no name that git gives",
            ),
            (
                with(json!({"ref": {"commit": "abc123"}})),
                "ref.commit",
                "whole commit id",
            ),
            (
                with(json!({"ref": {"branch": "a", "tag": "b"}})),
                "ref",
                "single key",
            ),
            (with(json!({"depth": 0})), "depth", "nonzero"),
            (with(json!({"directory": "../app"})), "directory", "contains `..`"),
            (
                with(json!({"protocols": ["ext"]})),
                "protocols[0]",
                "unknown variant",
            ),
            (with(json!({"branch": "main"})), "branch", "unknown field"),
            (
                with(json!({"credentials": ssh(key, "h k")})),
                "credentials.ssh",
                "reached by https",
            ),
            (
                with(json!({"url": "git@h:x", "credentials": ssh("key", "h k")})),
                "credentials.ssh.key",
                "no private key",
            ),
            (
                with(json!({"url": "git@h:x", "credentials": ssh(key, " ")})),
                "credentials.ssh.known_hosts",
                "is empty",
            ),
            (
                with(json!({"credentials": {"https": {"user": "u", "password": "a\nhost=evil"}}})),
                "credentials.https.password",
                "more than one line",
            ),
            (
                with(json!({"url": "http://h/x", "protocols": ["http"], "credentials": login()})),
                "credentials.https",
                "in the clear",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn submodules_come_too_and_the_login_goes_to_no_other_host() {
    let server = GitServer::start().await;
    let other = GitServer::start().await;
    let library = server.repository("library");
    let repository = server.repository("app");
    let mut delegate = delegate_of(&server);
    let add = |url: &str, from: &Path, name: &str| {
        repository.git(&["submodule", "--quiet", "add", from.to_str().unwrap(), name]);
        repository.git(&[
            "config",
            "--file=.gitmodules",
            &format!("submodule.{name}.url"),
            url,
        ]);
        repository.commit("file", name);
    };
    add("../library", &library.path, "library");
    let data = json!({
        "url": server.url("app"), "directory": "app", "submodules": true, "depth": 1, "credentials": login()
    });
    let outcome = delegate.run(KIND, data.clone()).await.well();
    assert_eq!(text(delegate.path("workspace/app/library/file")), "1\n");
    nowhere(&delegate, &outcome, PASSWORD);

    // A file of this machine is a transport that nobody asked for.
    let private = Repository::new(delegate.path("private"));
    add(
        &format!("file://{}", private.path.display()),
        &private.path,
        "private",
    );
    let outcome = delegate.run(KIND, data.clone()).await;
    outcome.says("`protocols`");
    let mut asked = data.clone();
    asked["protocols"] = json!(["file"]);
    delegate.run(KIND, asked.clone()).await.well();

    let foreign = other.repository("foreign");
    add(&other.url("foreign"), &foreign.path, "foreign");
    // Both authorities are trusted: it is the login that is missing.
    let both = delegate.path("both.pem");
    fs::write(&both, text(server.ca()) + &text(other.ca())).unwrap();
    delegate.settings.environment.set("GIT_SSL_CAINFO", both);
    let outcome = delegate.run(KIND, asked).await;
    outcome.says("asks for a login");
    assert_eq!(
        other.logins(),
        Vec::<String>::new(),
        "a login was sent to another host"
    );
}

#[tokio::test]
async fn over_ssh_a_key_logs_in_and_a_strange_host_is_refused() {
    let Some(sshd) = Sshd::start().await else { return };
    let mut delegate = Delegate::new();
    delegate.watch(&["git", "ssh"]);
    let repository = Repository::new(delegate.path("served/app"));
    let run = async |key: &str, passphrase: Option<&str>, host_key: &str| {
        let mut ssh = json!({"key": sshd.key(key), "known_hosts": sshd.known_hosts(host_key)});
        if let Some(passphrase) = passphrase {
            ssh["passphrase"] = passphrase.into();
        }
        let data = json!({
            "url": sshd.url(&repository.path), "directory": "app", "credentials": {"ssh": ssh}
        });
        delegate.run(KIND, data).await
    };
    let strange = run("user_key", None, "stranger_key").await;
    strange.says("Host key verification failed");
    strange.says("credentials.ssh.known_hosts");
    let stranger = run("stranger_key", None, "host_key").await;
    stranger.says("credentials.ssh.key");
    let locked = run("locked_key", Some("another-passphrase"), "host_key").await;
    locked.says("passphrase");
    assert!(!delegate.path("workspace/app").exists());

    let outcome = run("user_key", None, "host_key").await.well();
    assert_eq!(outcome.text("commit"), repository.git(&["rev-parse", "HEAD"]));
    let newer = repository.commit("file", "2\n");
    let outcome = run("locked_key", Some("the-passphrase"), "host_key").await.well();
    assert_eq!(outcome.text("commit"), newer);
    nowhere(&delegate, &outcome, "the-passphrase");
    let of_the_key = sshd.key("user_key");
    nowhere(&delegate, &outcome, of_the_key.lines().nth(1).unwrap());
}

#[tokio::test]
async fn an_abort_ends_it_and_a_next_run_goes_on() {
    let server = GitServer::start().await;
    let delegate = delegate_of(&server);
    let data = json!({"url": server.url("hang"), "directory": "app", "credentials": login()});
    let started = delegate.start(KIND, &data);
    server.hangs().await;
    started.cancel.cancel();
    let outcome = started.end().await.ended("ABORTED");
    assert!(
        outcome.text("error_message").contains("asking the server"),
        "{}",
        outcome.everything()
    );
    // What a first run leaves that is killed as soon as it has begun.
    let repository = server.repository("app");
    git(
        delegate.dir.path(),
        &["init", "--quiet", "--template=", "workspace/app"],
    );
    let data = json!({"url": server.url("app"), "directory": "app", "credentials": login()});
    let outcome = delegate.run(KIND, data).await.well();
    assert_eq!(outcome.text("commit"), repository.git(&["rev-parse", "HEAD"]));
}

#[tokio::test]
async fn two_tasks_in_one_folder_wait_for_each_other() {
    let server = GitServer::start().await;
    server.repository("app");
    let delegate = delegate_of(&server);
    let data = json!({"url": server.url("app"), "directory": "app", "credentials": login()});
    let started = [(); 3].map(|()| delegate.start(KIND, &data));
    for task in started {
        task.end().await.well();
    }
}

#[tokio::test]
async fn with_a_user_of_its_own_the_clone_is_that_users() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give tasks another user");
        return;
    }
    let server = GitServer::start().await;
    let repository = server.repository("app");
    let mut delegate = Delegate::new();
    let ca = delegate.path("ca.pem");
    fs::copy(server.ca(), &ca).unwrap();
    for (path, mode) in [(delegate.dir.path(), 0o711), (&ca, 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    delegate.settings.environment.set("GIT_SSL_CAINFO", &ca);
    delegate.settings.confinement.user = Some(User::find("54322:54322").unwrap());
    let data = json!({"url": server.url("app"), "directory": "app", "credentials": login()});
    delegate.run(KIND, data.clone()).await.well();
    let newer = repository.commit("file", "2\n");
    let outcome = delegate.run(KIND, data.clone()).await.well();
    assert_eq!(outcome.text("commit"), newer);
    let file = fs::metadata(delegate.path("workspace/app/file")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&file), 54322);
    // Another user's clone is not touched: its configuration could name programs.
    delegate.settings.confinement.user = None;
    let outcome = delegate.run(KIND, data).await;
    outcome.says("belongs to another user");
}

#[tokio::test]
async fn without_its_programs_the_kind_says_so() {
    let empty = Environment::empty();
    assert_eq!(
        GitClone.check(&empty),
        Err("the program git is not in PATH".to_owned())
    );
    let mut delegate = Delegate::new();
    let git: PathBuf = delegate.settings.environment.find_program("git").unwrap();
    let programs = delegate.path("programs");
    fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(git, programs.join("git")).unwrap();
    delegate.settings.environment.set("PATH", &programs);
    assert_eq!(GitClone.check(&delegate.settings.environment), Ok(()));
    let data = json!({"url": "https://git.example.com/app", "directory": "app", "lfs": true});
    let outcome = delegate.run(KIND, data).await;
    assert!(
        outcome.refusal().contains("git-lfs is not on this delegate"),
        "{}",
        outcome.everything()
    );
}
