//! `CONNECT`, against the real things as far as they can be had; clouds and others that cannot are in `clouds`, a double.

mod clouds;
pub(crate) mod double;
mod refusals;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::bench::Outcome;
use crate::cluster::Cluster;
use crate::delegate::Delegate;
use crate::git_server::{GitServer, PASSWORD as GIT_PASSWORD, Repository, USER as GIT_USER};
use crate::moto::{Moto, REGION};
use crate::registry::{PASSWORD, Registry, USER};
use crate::sshd::Sshd;

const KIND: &str = "CONNECT";

async fn connect(delegate: &Delegate, to: Value) -> Outcome {
    delegate.run(KIND, json!({"to": to})).await
}

/// That it did not work, how far it came, and what is said of that.
#[track_caller]
fn fails_at(outcome: &Outcome, stage: &str, words: &str) {
    outcome.says(words);
    assert_eq!(outcome.field("failed"), stage, "{}", outcome.everything());
    assert_eq!(
        (outcome.field("identity"), outcome.field("found")),
        (&Value::Null, &Value::Null)
    );
}

/// A port of this machine where nobody listens.
async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

fn me() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.unwrap().unwrap().name
}

#[tokio::test]
async fn aws_tells_who_one_is_by_keys_role_and_web_identity() {
    let Some(moto) = Moto::shared() else { return };
    let mut delegate = Delegate::new();
    let keys = json!({"keys": {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "the-secret-key"}});
    let aws = |more: Value| {
        let mut aws = json!({"region": REGION, "endpoint": moto.url});
        aws.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"aws": aws})
    };
    let own = connect(&delegate, aws(json!({"credentials": keys}))).await.well();
    assert_eq!(own.text("identity"), "arn:aws:sts::123456789012:user/moto");
    assert_eq!(own.field("found")["aws"]["account"], "123456789012");
    assert_eq!((own.var("account"), own.var("region")), ("123456789012", REGION));
    assert_eq!(own.var("identity"), own.var("arn"));
    own.hides("the-secret-key");

    let role = json!({"arn": "arn:aws:iam::123456789012:role/deploy", "session_name": "me"});
    let taken = connect(&delegate, aws(json!({"credentials": keys, "role": role})))
        .await
        .well();
    let assumed = "arn:aws:sts::123456789012:assumed-role/deploy/me";
    assert_eq!(taken.text("identity"), assumed);
    let web = json!({"web_identity": {
        "role_arn": "arn:aws:iam::123456789012:role/deploy", "token": "a-token-of-a-provider", "session_name": "me",
    }});
    let by_token = connect(&delegate, aws(json!({"credentials": web}))).await.well();
    assert_eq!(by_token.text("identity"), assumed);

    // The delegate's own identity, as a service account of Kubernetes is given it.
    let token = delegate.path("token");
    std::fs::write(&token, "the-token-of-the-pod").unwrap();
    for (name, value) in [
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
        ("AWS_ROLE_SESSION_NAME", "pod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ENDPOINT_URL", moto.url.as_str()),
        ("AWS_REGION", REGION),
    ] {
        delegate.settings.environment.set(name, value);
    }
    let own = connect(&delegate, json!({"aws": {}})).await.well();
    assert_eq!(
        own.text("identity"),
        "arn:aws:sts::123456789012:assumed-role/pod/pod"
    );
    own.hides("the-token-of-the-pod");
}

#[tokio::test]
async fn a_cluster_tells_who_one_is() {
    let Some(kubeconfig) = std::env::var_os("HARNESS_TEST_KUBECONFIG") else {
        eprintln!("SKIPPED: HARNESS_TEST_KUBECONFIG names no cluster for tests (scripts/cluster up)");
        return;
    };
    let delegate = Delegate::new();
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let to = |text: &str| json!({"kubernetes": {"kubeconfig": text}});
    let outcome = connect(&delegate, to(&text)).await.well();
    let found = &outcome.field("found")["kubernetes"];
    assert!(!outcome.text("identity").is_empty() && outcome.text("identity") == found["user"]);
    let groups = found["groups"].as_array().unwrap();
    assert!(groups.contains(&json!("system:authenticated")), "{found}");
    assert!(outcome.var("version").starts_with("v1."), "{found}");

    let file = delegate.path("kubeconfig");
    std::fs::write(&file, &text).unwrap();
    let changed = |args: &[&str]| {
        let done = Command::new("kubectl")
            .arg(format!("--kubeconfig={}", file.display()))
            .arg("config")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success());
        std::fs::read_to_string(&file).unwrap()
    };
    changed(&["set-credentials", "stranger", "--token=the-token-of-a-stranger"]);
    let stranger = changed(&["set-context", "--current", "--user=stranger"]);
    let outcome = connect(&delegate, to(&stranger)).await;
    fails_at(&outcome, "login", "renew `to.kubernetes.kubeconfig`");
    let port = closed_port().await;
    changed(&[
        "set-cluster",
        "nobody",
        &format!("--server=https://127.0.0.1:{port}"),
    ]);
    let nobody = changed(&["set-context", "--current", "--cluster=nobody"]);
    let outcome = connect(&delegate, to(&nobody)).await;
    fails_at(&outcome, "connection", "there is no connection");
}

#[tokio::test]
async fn a_git_server_lets_in_by_https_and_ssh() {
    let server = GitServer::start().await;
    let repository = server.repository("app");
    let mut delegate = Delegate::new();
    delegate.settings.environment.set("GIT_SSL_CAINFO", server.ca());
    delegate.watch(&["git", "ssh"]);
    let https = |password: &str| {
        json!({"git": {
            "url": server.url("app"), "credentials": {"https": {"user": GIT_USER, "password": password}},
        }})
    };
    let outcome = connect(&delegate, https(GIT_PASSWORD)).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("default_branch")),
        (GIT_USER, "main")
    );
    assert_eq!(outcome.var("commit"), repository.git(&["rev-parse", "HEAD"]));
    delegate.keeps_no(&outcome, GIT_PASSWORD);
    let refused = connect(&delegate, https("hunter2-of-a-stranger")).await;
    fails_at(&refused, "login", "credentials.https.password");
    let nobody = connect(&delegate, json!({"git": {"url": server.url("app")}})).await;
    fails_at(&nobody, "login", "give credentials.https");
    let untrusting = Delegate::new();
    let refused = connect(&untrusting, https(GIT_PASSWORD)).await;
    fails_at(&refused, "tls", "HARNESS_CERTS_DIR");

    let Some(host) = Sshd::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new(folder.path().join("app"));
    let ssh = |key: &str, known: &str| {
        json!({"git": {
            "url": host.url(&repository.path),
            "credentials": {"ssh": {"key": host.key(key), "known_hosts": host.known_hosts(known)}},
        }})
    };
    let outcome = connect(&delegate, ssh("user_key", "host_key")).await.well();
    assert_eq!(outcome.text("identity"), me());
    assert_eq!(outcome.var("commit"), repository.git(&["rev-parse", "HEAD"]));
    let outcome = connect(&delegate, ssh("stranger_key", "host_key")).await;
    fails_at(&outcome, "login", "credentials.ssh.key");
    let outcome = connect(&delegate, ssh("user_key", "stranger_key")).await;
    fails_at(&outcome, "host_key", "credentials.ssh.known_hosts");
}

#[tokio::test]
async fn a_registry_takes_a_login() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let delegate = Delegate::new();
    let to = |password: &str| {
        json!({"registry": {
            "url": format!("http://{}", registry.address), "basic": {"user": USER, "password": password},
        }})
    };
    let outcome = connect(&delegate, to(PASSWORD)).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("admission")),
        (USER, "basic")
    );
    outcome.hides(PASSWORD);
    let refused = connect(&delegate, to("wrong-password-of-nobody")).await;
    fails_at(&refused, "login", "check `to.registry.basic`");
    let nobody = json!({"registry": {"url": format!("http://{}", registry.address)}});
    fails_at(
        &connect(&delegate, nobody).await,
        "login",
        "give `to.registry.basic`",
    );
    let port = closed_port().await;
    let away = json!({"registry": {"url": format!("http://127.0.0.1:{port}")}});
    fails_at(
        &connect(&delegate, away).await,
        "connection",
        "check the address and the port",
    );
    let unknown = json!({"registry": {"url": "http://no-such-host.invalid"}});
    fails_at(
        &connect(&delegate, unknown).await,
        "name",
        "the DNS of this delegate",
    );
}

#[tokio::test]
async fn a_database_tells_who_one_is() {
    let delegate = Delegate::new();
    let file = json!({"database": {"sqlite": {"file": "app.db"}}});
    fails_at(
        &connect(&delegate, file.clone()).await,
        "answer",
        "check the path",
    );
    let mut made = file.clone();
    made["database"]["sqlite"]["create"] = true.into();
    made["statements"] = json!([{"sql": "CREATE TABLE things (id INTEGER)"}]);
    delegate.run("SQL", made).await.well();
    let outcome = connect(&delegate, file).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("engine")),
        ("anonymous", "sqlite")
    );

    let Some(cluster) = Cluster::start() else { return };
    let to = |user: &str, database: &str| json!({"database": {"postgres": {"host": cluster.path(), "user": user, "database": database}}});
    let outcome = connect(&delegate, to("postgres", "postgres")).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("database")),
        ("postgres", "postgres")
    );
    let version = outcome.var("version");
    assert!(
        version.starts_with(|digit: char| digit.is_ascii_digit()),
        "{version}"
    );
    let stranger = connect(&delegate, to("stranger", "postgres")).await;
    fails_at(&stranger, "login", "check `user` and `password`");
    let missing = connect(&delegate, to("postgres", "missing")).await;
    fails_at(&missing, "answer", "check `database`, or create it");
    let away = json!({"database": {"postgres": {"host": "/no/such/folder", "user": "u", "database": "d"}}});
    fails_at(
        &connect(&delegate, away).await,
        "connection",
        "check `host` and `port`",
    );
}

#[tokio::test]
async fn a_host_tells_who_one_is_and_which_key_it_has() {
    let Some(host) = Sshd::start().await else { return };
    let mut delegate = Delegate::new();
    delegate.watch(&["ssh"]);
    let to = |port: u16, key: &str, known: &str| {
        json!({"ssh": {
            "host": "127.0.0.1", "port": port, "user": me(),
            "login": {"key": host.key(key), "known_hosts": host.known_hosts(known)},
        }})
    };
    let outcome = connect(&delegate, to(host.port, "user_key", "host_key"))
        .await
        .well();
    assert_eq!((outcome.text("identity"), outcome.var("user")), (&*me(), &*me()));
    let told = Command::new("ssh-keygen")
        .args(["-l", "-f"])
        .arg(host.path("host_key.pub"))
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let fingerprint = told.split(' ').nth(1).unwrap();
    assert_eq!(outcome.var("host_key"), format!("ssh-ed25519 {fingerprint}"));
    assert!(
        outcome.var("system").starts_with("Linux "),
        "{}",
        outcome.var("system")
    );
    let key = host.key("user_key");
    delegate.keeps_no(&outcome, key.lines().nth(1).unwrap());
    let outcome = connect(&delegate, to(host.port, "stranger_key", "host_key")).await;
    fails_at(&outcome, "login", "check to.ssh.login.key");
    let outcome = connect(&delegate, to(host.port, "user_key", "stranger_key")).await;
    fails_at(&outcome, "host_key", "to.ssh.login.known_hosts");
    let outcome = connect(&delegate, to(closed_port().await, "user_key", "host_key")).await;
    fails_at(&outcome, "connection", "does not reach the host");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time_and_on_request() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let data = json!({"to": {"registry": {"url": format!("http://{}", silent.local_addr().unwrap())}}});
    let mut delegate = Delegate::new();
    let started = delegate.start(KIND, &data);
    let (held, _) = silent.accept().await.unwrap();
    started.cancel.cancel();
    let outcome = started.end().await.ended("ABORTED");
    assert!(
        outcome.error().contains("aborted while connecting"),
        "{}",
        outcome.error()
    );
    drop(held);
    delegate.timeout = Duration::from_millis(300);
    let outcome = delegate.run(KIND, data).await.ended("TIMEOUT");
    assert!(
        outcome.error().contains("was over while connecting"),
        "{}",
        outcome.error()
    );
}
