//! Tasks of the early runner protocol: requests whose sub-tasks make the secrets their data refers to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use delegate_core::agent::{Exit, Stop};
use delegate_core::task::Registry;
use serde_json::{Value, json};
use support::manager_double::{Fault, ManagerDouble, Route};
use support::{Running, Watchdog};

fn encoded(value: &Value) -> Value {
    json!(STANDARD.encode(value.to_string()))
}

fn script(text: &str) -> Value {
    json!({"script": text, "output_vars": ["SAID"]})
}

fn secret(id: &str, value: &str) -> Value {
    json!({"id": id, "type": "secret/static", "data": {"secrets": [{"id": "any", "value": value}]}})
}

async fn drained(agent: &Running) {
    agent.stop.stop(Stop::Drain);
    assert_eq!(agent.exit().await, Exit::Drained);
}

#[tokio::test]
async fn secrets_of_sub_tasks_reach_the_script_and_nothing_that_leaves() {
    let _watchdog = Watchdog::start("requests");
    let manager = ManagerDouble::start().await;
    let text = "printf '%s' '${{secrets.one}}' | wc -c; echo '${{secrets.one}} <{ me:${{secrets.two}} | getAsBase64 }> \
                ${{secrets.three}}'; SAID=$(printf '%s' '<{ ${{secrets.two}} | getAsBase64 }>' | base64 -d | tr a-z A-Z)";
    // A sub-task sees the secrets of those before it; data is base64 in one place and inline in the other.
    let two = json!({"id": "two", "type": "secret/static",
                     "data": encoded(&json!({"secrets": [{"value": "${{secrets.one}}-more"}]}))});
    let logger = json!({"key": "own/key", "token": "own-log-token"});
    let task = json!({"type": "SHELL_SCRIPT", "data": encoded(&script(text)), "logger": logger});
    manager.offer_requests(
        "t",
        "SHELL_SCRIPT",
        json!([{"id": "r", "account_id": "acc", "task": task, "secrets": [secret("one", "hunter2hunter2"), two]}]),
    );
    let agent = Running::start(&manager.url, Registry::standard(), |_| ());
    let answer = manager.answered("t").await;
    assert_eq!(answer["code"], "OK", "{answer}");
    assert_eq!(
        answer["data"]["output_vars"]["SAID"], "HUNTER2HUNTER2-MORE",
        "{answer}"
    );
    manager.called(Route::LogClose, 1).await;
    let log = manager.log_text();
    assert!(
        log.contains("14\n") && log.contains("${{secrets.three}}"),
        "{log}"
    );
    for told in ["hunter2", &STANDARD.encode("me:hunter2hunter2-more")] {
        assert!(!log.contains(told), "{log}");
    }
    let open = &manager.calls(Route::LogOpen)[0];
    assert!(open.query.contains("own%2Fkey"), "{}", open.query);
    drained(&agent).await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_made_fails_the_request_before_its_task() {
    let _watchdog = Watchdog::start("no secret");
    let manager = ManagerDouble::start().await;
    let dir = tempfile::tempdir().unwrap();
    let ran = dir.path().join("ran");
    let task = json!({"type": "SHELL_SCRIPT", "data": script(&format!("touch {}", ran.display()))});
    for (id, secrets) in [
        (
            "unknown",
            json!([{"id": "s", "type": "secret/vault", "data": {}}]),
        ),
        (
            "empty",
            json!([{"id": "s", "type": "secret/static", "data": {"secrets": []}}]),
        ),
        (
            "other",
            json!([{"id": "s", "type": "SHELL_SCRIPT", "data": {"script": "exit 3"}}]),
        ),
    ] {
        manager.offer_requests(id, "SHELL_SCRIPT", json!([{"task": task, "secrets": secrets}]));
    }
    let agent = Running::start(&manager.url, Registry::standard(), |_| ());
    for (id, said) in [
        ("unknown", "secret/vault"),
        ("empty", "secrets"),
        ("other", "`s`"),
    ] {
        let answer = manager.answered(id).await;
        assert_eq!(answer["code"], "FAILED", "{answer}");
        let reason = answer["data"]["error_message"].as_str().unwrap();
        assert!(reason.contains(said), "{reason}");
    }
    assert!(!ran.exists());
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_does_not_speak_it_is_asked_once() {
    let _watchdog = Watchdog::start("not spoken");
    let manager = ManagerDouble::start().await;
    let agent = Running::start(&manager.url, support::kinds::registry().0, |_| ());
    manager.called(Route::Heartbeat, 10).await;
    assert_eq!(manager.calls(Route::RunnerEvents).len(), 1);
    // Registered anew, perhaps with a newer one: asked again.
    manager.fail(Route::Heartbeat, [Fault::Status(404, "DELEGATE_NOT_REGISTERED")]);
    manager.called(Route::RunnerEvents, 2).await;
    drained(&agent).await;
}
