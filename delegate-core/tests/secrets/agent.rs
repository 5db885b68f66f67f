//! The way of a secret through the program: from where its owner keeps it into a script, and into nothing that leaves.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::program::{self, Running};
use crate::support::real_manager::RealManager;

const IN_FILE: &str = "value-of-the-file";
const IN_ENVIRONMENT: &str = "value of the environment";

async fn ended(manager: &RealManager, data: Value) -> Value {
    let id = manager.submit("SHELL_SCRIPT", data).await;
    let mut task = manager.ended(&id).await;
    task["log"] = manager.log(&id).await.into();
    task
}

#[tokio::test]
async fn a_secret_reaches_the_script_and_nobody_else() {
    let manager = RealManager::start().await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("secrets");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("account.db"), format!("{IN_FILE}\n")).unwrap();
    let mut command = program::run(&manager.url, dir.path());
    command
        .env("DELEGATE_SECRETS_DIR", &folder)
        .env("DELEGATE_SECRETS_ENV_PREFIX", "TASK_SECRET_")
        .env("TASK_SECRET_API_KEY", IN_ENVIRONMENT);
    let log = dir.path().join("delegate.log");
    command.stderr(std::fs::File::create(&log).unwrap());
    let agent = Running::start(command);

    let reference = |name: &str| format!("<+secrets.getValue(\"{name}\")>");
    let script = r#"
        [ "$A" = value-of-the-file ] && [ "$B" = "key=value of the environment;" ] && echo right
        echo "plain $A"; printf '%s' "$A" | base64
        echo "not ours: ${TASK_SECRET_API_KEY-unset}"
        OUT="got $B"
    "#;
    let task = ended(
        &manager,
        json!({
            "script": script,
            "secrets": {"A": reference("account.db")},
            "env": {"B": format!("key={};", reference("api-key"))},
            "output_vars": ["OUT"],
        }),
    )
    .await;
    assert_eq!(task["status"], "SUCCEEDED", "{task}");
    let text = task["log"].as_str().unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "right",
            "plain **************",
            "**************",
            "not ours: unset"
        ],
        "{text}"
    );
    assert_eq!(
        task["response"]["data"]["output_vars"]["OUT"],
        "got key=**************;"
    );

    for (name, said) in [
        ("no-such", "(env: TASK_SECRET_NO_SUCH is not set; file: "),
        (
            "vault://x",
            "this delegate has no provider `vault`; it has env, file",
        ),
    ] {
        let secrets = json!({"A": reference("account.db"), "B": reference(name)});
        let task = ended(&manager, json!({"script": "echo ran", "secrets": secrets})).await;
        assert_eq!(task["status"], "FAILED");
        let error = task["response"]["data"]["error_message"].as_str().unwrap();
        assert!(
            error.contains(&reference(name)) && error.contains("`secrets.B`") && error.contains(said),
            "{error}"
        );
        assert_eq!(task["log"], "");
    }

    // Neither what the manager keeps nor what the delegate says or keeps has a value in any form.
    agent.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(agent.end().await.success());
    let mut kept = manager.call(Method::GET, "/api/v1/tasks", None).await.to_string();
    kept.push_str(&std::fs::read_to_string(&log).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    for file in files(dir.path()) {
        kept.push_str(&String::from_utf8_lossy(&std::fs::read(file).unwrap()));
    }
    for secret in [IN_FILE, IN_ENVIRONMENT] {
        assert!(
            !kept.contains(secret) && !kept.contains(&STANDARD.encode(secret)),
            "{kept}"
        );
    }
}

fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

/// A provider that does not answer holds up neither an abort nor the end of a task's time.
#[tokio::test]
async fn a_task_that_waits_for_its_secrets_can_be_aborted_and_runs_out_of_time() {
    let manager = RealManager::start().await;
    // It takes connections, and that is all.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut command = program::run(&manager.url, dir.path());
    command
        .env(
            "DELEGATE_SECRETS_VAULT_URL",
            format!("http://{}", silent.local_addr().unwrap()),
        )
        .env("DELEGATE_SECRETS_VAULT_ROLE_ID", "role")
        .env("DELEGATE_SECRETS_VAULT_SECRET_ID", "secret-id-of-the-delegate");
    let _agent = Running::start(command);
    let data = json!({"script": "echo ran", "secrets": {"A": "<+secrets.getValue('x')>"}});
    let aborted = manager.submit("SHELL_SCRIPT", data.clone()).await;
    let (connection, _) = tokio::time::timeout(crate::support::PATIENCE, silent.accept())
        .await
        .unwrap()
        .unwrap();
    manager
        .call(Method::POST, &format!("/api/v1/tasks/{aborted}/abort"), None)
        .await;
    let task = manager.ended(&aborted).await;
    assert_eq!(task["status"], "ABORTED", "{task}");
    drop(connection);

    let late = json!({"type": "SHELL_SCRIPT", "data": data, "timeout_ms": 500, "queue_timeout_ms": 60_000});
    let late = manager.call(Method::POST, "/api/v1/tasks", Some(late)).await;
    let task = manager.ended(late["id"].as_str().unwrap()).await;
    assert_eq!(task["status"], "TIMED_OUT", "{task}");
    let error = task["response"]["data"]["error_message"].as_str().unwrap();
    assert!(
        error.contains("ran out of time while its secrets were fetched"),
        "{error}"
    );
}
