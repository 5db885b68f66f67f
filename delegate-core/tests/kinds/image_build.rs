//! `IMAGE_BUILD` with a real Docker engine, and each docker program that there is.

use std::fs;
use std::path::Path;
use std::time::Duration;

use delegate_core::process::Environment;
use delegate_core::protocol::wire::ResponseCode;
use delegate_core::task::{ImageBuild, TaskKind as _};
use serde_json::{Value, json};

use crate::bench::refused;
use crate::delegate::Delegate;
use crate::engine::{Engine, clients, use_client};

const KIND: &str = "IMAGE_BUILD";

/// A step in a shell.
fn run(script: &str) -> String {
    format!("RUN {}", json!(["/bin/busybox", "sh", "-c", script]))
}

fn with(mut data: Value, change: &Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        data[name] = value.clone();
    }
    data
}

#[tokio::test]
async fn an_image_is_built_with_arguments_labels_target_and_tags_by_every_client() {
    let Some(engine) = Engine::find() else { return };
    for (at, client) in clients().iter().enumerate() {
        let mut delegate = Engine::delegate();
        use_client(&mut delegate, client);
        let steps = format!(
            "ARG GREETING=none\nLABEL said=$GREETING\n{}\nFROM base AS later\n{}",
            run("echo \"step $((40+2)) $GREETING\""),
            run("exit 9")
        );
        engine.folder(&delegate, "team/app", "");
        fs::create_dir_all(delegate.path("workspace/team/app/build")).unwrap();
        let file = delegate.path("workspace/team/app/build/Image");
        fs::write(file, engine.dockerfile(&steps)).unwrap();
        let tags = [
            format!("{}:{at}.1", engine.mark),
            format!("localhost:1/{}/x:{at}", engine.mark),
        ];
        let data = json!({
            "context": "team/app", "dockerfile": "build/Image", "tags": tags, "target": "base", "no_cache": true,
            "build_args": {"GREETING": "hello, -x \"y\""}, "labels": {"org.example/of": "a = b"}
        });
        let outcome = delegate.run(KIND, data).await.well();
        assert!(outcome.log.contains("step 42 hello, -x \"y\""), "{}", outcome.log);
        let ask = |format: &str| engine.ask(&["image", "inspect", "--format", format, &tags[1]]);
        assert_eq!(outcome.text("image_id"), ask("{{.Id}}"));
        assert_eq!(outcome.field("size").to_string(), ask("{{.Size}}"));
        assert_eq!(outcome.field("tags"), &json!(tags));
        assert_eq!(ask(r#"{{index .Config.Labels "org.example/of"}}"#), "a = b");
        assert_eq!(ask("{{.Config.Labels.said}}"), "hello, -x \"y\"");
        assert_eq!(
            engine.ask(&["image", "inspect", "--format", "{{.Id}}", &tags[0]]),
            ask("{{.Id}}")
        );
        assert_eq!(outcome.var("image_id"), outcome.text("image_id"));
        assert_eq!(outcome.var("image"), tags[0]);
        assert_eq!(outcome.var("size"), ask("{{.Size}}"));
        assert!(["buildkit", "classic"].contains(&outcome.text("builder")));
    }
}

#[tokio::test]
async fn a_secret_is_there_in_its_step_and_in_no_layer_or_is_refused_without_buildkit() {
    const TOKEN: &str = "a-very-secret-token";
    let Some(engine) = Engine::find() else { return };
    for client in clients() {
        let mut delegate = Engine::delegate();
        use_client(&mut delegate, &client);
        let step = run("wc -c </run/secrets/npm >/length; cat /run/secrets/npm")
            .replace("wc ", "/bin/busybox wc ")
            .replace("cat ", "/bin/busybox cat ")
            .replace("RUN ", "RUN --mount=type=secret,id=npm ");
        engine.folder(&delegate, "app", &step);
        let tag = format!("{}:secret", engine.mark);
        let data = json!({
            "context": "app", "tags": [tag], "secrets": {"npm": TOKEN}, "no_cache": true,
            "logins": [{"registry": "localhost:1", "user": "u", "password": "another-password"}]
        });
        let outcome = delegate.run(KIND, data).await;
        outcome.hides(TOKEN).hides("another-password");
        if outcome.response.code == ResponseCode::RetryOnOtherDelegate {
            assert!(outcome.error().contains("has no BuildKit"), "{}", outcome.error());
            continue;
        }
        let outcome = outcome.well();
        assert_eq!(outcome.text("builder"), "buildkit");
        let saved = delegate.path("image.tar");
        let args = ["save", "--output", saved.to_str().unwrap(), &tag];
        assert!(engine.docker(&args).status.success());
        let found = |text: &str| {
            fs::read(&saved)
                .unwrap()
                .windows(text.len())
                .any(|bytes| bytes == text.as_bytes())
        };
        assert!(found("19\n"), "the step did not have the secret");
        assert!(!found(TOKEN), "the secret is in the image");
        assert!(!engine.ask(&["history", "--no-trunc", &tag]).contains(TOKEN));
    }
}

#[tokio::test]
async fn a_second_build_takes_what_did_not_change_from_the_cache() {
    let Some(engine) = Engine::find() else { return };
    let delegate = Engine::delegate();
    let folder = engine.folder(
        &delegate,
        "app",
        &format!("{}\nCOPY file /file", run("echo once $((1+1))")),
    );
    let tag = format!("{}:again", engine.mark);
    let data = json!({"context": folder, "tags": [tag]});
    let mut ids = Vec::new();
    for (text, runs) in [("1", true), ("1", false), ("2", false)] {
        fs::write(folder.join("file"), text).unwrap();
        let outcome = delegate.run(KIND, data.clone()).await.well();
        assert_eq!(outcome.log.contains("once 2"), runs, "{text}: {}", outcome.log);
        ids.push(outcome.text("image_id").to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    assert_eq!(
        engine.ask(&["image", "inspect", "--format", "{{.Id}}", &tag]),
        ids[2]
    );
    // What was built is what the next one may be made from.
    let outcome = delegate
        .run(KIND, with(data, &json!({"cache_from": [tag]})))
        .await
        .well();
    assert!(!outcome.log.contains("once 2"), "{}", outcome.log);
}

#[tokio::test]
async fn a_step_that_fails_says_so_and_the_tag_stays_where_it_was() {
    let Some(engine) = Engine::find() else { return };
    for client in clients() {
        let mut delegate = Engine::delegate();
        use_client(&mut delegate, &client);
        let folder = engine.folder(&delegate, "app", "");
        let tag = format!("{}:fails", engine.mark);
        let data = json!({"context": "app", "tags": [tag]});
        let first = delegate.run(KIND, data.clone()).await.well();
        fs::write(
            folder.join("Dockerfile"),
            engine.dockerfile(&run("echo broken; exit 7")),
        )
        .unwrap();
        let outcome = delegate.run(KIND, data.clone()).await;
        outcome.says("building the image failed").says("7");
        assert!(outcome.log.contains("broken"), "{}", outcome.log);
        assert_eq!(
            engine.ask(&["image", "inspect", "--format", "{{.Id}}", &tag]),
            first.text("image_id")
        );
        // No container of the step stays.
        let filter = format!("label={}", engine.mark);
        assert_eq!(engine.ask(&["ps", "--all", "--quiet", "--filter", &filter]), "");
        fs::write(folder.join("Dockerfile"), "FROM scratch\nNONSENSE\n").unwrap();
        delegate.run(KIND, data).await.says("NONSENSE");
    }
}

#[tokio::test]
async fn what_is_not_there_is_named_before_the_engine_is_asked() {
    let mut delegate = Delegate::new();
    delegate
        .settings
        .environment
        .set("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let workspace = delegate.path("workspace");
    fs::create_dir_all(workspace.join("app/folder")).unwrap();
    fs::write(workspace.join("file"), "").unwrap();
    std::os::unix::fs::symlink("/etc", workspace.join("out")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", workspace.join("app/passwd")).unwrap();
    for (data, words) in [
        (json!({"context": "none"}), "`context`: "),
        (json!({"context": "file"}), "is no folder"),
        (json!({"context": "out"}), "by a symbolic link"),
        (json!({"context": "app"}), "app/Dockerfile is not there"),
        (
            json!({"context": "app", "dockerfile": "folder"}),
            "is a folder; name the file",
        ),
        (
            json!({"context": "app", "dockerfile": "passwd"}),
            "by a symbolic link",
        ),
    ] {
        let outcome = delegate.run(KIND, data.clone()).await;
        let problem = outcome.refusal();
        assert!(problem.contains(words), "{data}: {problem}");
    }
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_said_or_waited_for() {
    let Some(engine) = Engine::find() else { return };
    let mut delegate = Engine::delegate();
    let folder = engine.folder(&delegate, "app", "");
    let real = std::env::var("DOCKER_HOST").unwrap_or("unix:///var/run/docker.sock".to_owned());
    let elsewhere = json!({"context": folder, "engine": {"host": "unix:///nowhere/docker.sock"}});
    let outcome = delegate.run(KIND, elsewhere).await;
    let problem = outcome.refusal();
    assert!(
        problem.contains("`engine.host`: is not answered by an engine"),
        "{problem}"
    );
    // The one of the task is used, and not that of the delegate.
    delegate
        .settings
        .environment
        .set("DOCKER_HOST", "unix:///nowhere/docker.sock");
    if let Some(socket) = real.strip_prefix("unix://") {
        let data = json!({"context": folder, "engine": {"host": real}});
        delegate.run(KIND, data).await.well();
        // One that comes up while a task waits for it.
        let late = delegate.path("late.sock");
        let host = format!("unix://{}", late.display());
        delegate.settings.environment.set("DOCKER_HOST", host);
        let task = delegate.start(KIND, &json!({"context": folder}));
        task.log.until("the engine does not answer yet").await;
        std::os::unix::fs::symlink(socket, &late).unwrap();
        task.end().await.well();
    }
}

#[tokio::test]
async fn without_an_engine_another_delegate_may_do_it() {
    let Some(engine) = Engine::find() else { return };
    let mut delegate = Engine::delegate();
    engine.folder(&delegate, "app", "");
    delegate
        .settings
        .environment
        .set("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let outcome = delegate.run(KIND, json!({"context": "app"})).await;
    assert_eq!(outcome.response.code, ResponseCode::RetryOnOtherDelegate);
    assert!(outcome.error().contains("set DOCKER_HOST"), "{}", outcome.error());
}

#[tokio::test]
async fn an_abort_ends_the_build_in_the_engine() {
    let Some(engine) = Engine::find() else { return };
    for client in clients() {
        let mut delegate = Engine::delegate();
        use_client(&mut delegate, &client);
        let mark = fastrand::u64(1_000_000_000..10_000_000_000).to_string();
        let script = format!("echo begun $((1+1)); exec /bin/busybox sleep {mark}");
        engine.folder(&delegate, "app", &run(&script));
        let tag = format!("{}:aborted", engine.mark);
        let task = delegate.start(KIND, &json!({"context": "app", "tags": [tag]}));
        task.log.until("begun 2").await;
        if !is_running(&mark) {
            eprintln!("SKIPPED: the engine's processes are not seen from here");
            return;
        }
        task.cancel.cancel();
        task.end().await.ended("ABORTED");
        until_ended(&mark).await;
        assert_eq!(engine.ask(&["images", "--quiet", &tag]), "");
    }
}

/// Whether a step with this number still sleeps. The shell becomes it, so it may take a moment to.
fn is_running(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        command.windows(mark.len()).any(|bytes| bytes == mark.as_bytes()) && is_in_engine(&entry.path())
    })
}

/// In a root of its own, unlike the docker program and this test.
fn is_in_engine(process: &Path) -> bool {
    fs::read_link(process.join("root")).is_ok_and(|root| root == Path::new("/"))
        && fs::read_link(process.join("exe")).is_ok_and(|exe| exe.ends_with("bin/busybox"))
}

/// The engine ends it when it learns that the client is gone, a moment later.
async fn until_ended(mark: &str) {
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while is_running(mark) {
        assert!(tokio::time::Instant::now() < end, "the build goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_docker_could_take_as_something_else_is_refused() {
    let with = |change: Value| with(json!({"context": "app"}), &change);
    let login = |registry: &str, user: &str, password: &str| json!({"logins": [{"registry": registry, "user": user, "password": password}]});
    refused(
        KIND,
        &[
            (json!({"tags": ["a"]}), "data", "missing field `context`"),
            (with(json!({"context": "../app"})), "context", "contains `..`"),
            (with(json!({"context": "https://h/x?\u{1}"})), "context", "control character"),
            (with(json!({"dockerfile": "/etc/passwd"})), "dockerfile", "a path in the folder"),
            (with(json!({"tags": ["--tag"]})), "tags[0]", "no image reference"),
            (with(json!({"tags": ["a", "App"]})), "tags[1]", "lower case"),
            (with(json!({"tags": ["a@sha256:00"]})), "tags[0]", "has a digest"),
            (with(json!({"cache_from": ["type=local,src=/"]})), "cache_from[0]", "no image reference"),
            (with(json!({"build_args": {"A-B": "x"}})), "build_args.A-B", "no name of an ARG"),
            (with(json!({"build_args": {"A": 1}})), "build_args.A", "expected a string"),
            (with(json!({"labels": {"a=b": "x"}})), "labels.a=b", "no name of a label"),
            (with(json!({"secrets": {"a,src=/etc/shadow": "x"}})), "secrets.a,src=/etc/shadow", "no id of a secret"),
            (with(json!({"secrets": {"a": ""}})), "secrets.a", "is empty"),
            (
                with(json!({"secrets": {"a": "hunter2hunter2"}, "build_args": {"A": "x-hunter2hunter2"}})),
                "build_args.A",
                "holds a secret",
            ),
            (with(json!({"target": "-x"})), "target", "no name of a stage"),
            (with(json!({"platform": "arm64"})), "platform", "OS/PROCESSOR"),
            (with(json!({"engine": {"host": "tcp://10.0.0.1:2375"}})), "engine.tls", "is missing"),
            (with(json!({"engine": {"host": "ssh://h"}})), "engine.host", "must begin with"),
            (
                with(json!({"engine": {"host": "tcp://h:1", "tls": {"ca": "x", "certificate": "y", "key": "z"}}})),
                "engine.tls.ca",
                "is no PEM",
            ),
            (with(login("https://h", "u", "p")), "logins[0].registry", "is no registry"),
            (with(login("h", "u:v", "p")), "logins[0].user", "colon"),
            (with(login("h", "u", "p\n")), "logins[0].password", "line end"),
            (with(json!({"dockerfle": "x"})), "dockerfle", "unknown field"),
        ],
    )
    .await;
}

#[test]
fn the_kind_is_offered_where_the_program_is() {
    let mut environment = Environment::empty();
    environment.set("PATH", "/nowhere");
    let missing = ImageBuild.check(&environment);
    assert_eq!(missing, Err("the program docker is not in PATH".to_owned()));
    let Some(program) = clients().into_iter().next() else {
        return;
    };
    environment.set("PATH", program.parent().unwrap());
    assert_eq!(ImageBuild.check(&environment), Ok(()));
}
