//! What keeps an agent from running or telling something: load, the owner's own service, patterns; and its goodbye.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use delegate_core::agent::{Exit, Stop};
use delegate_core::config::ZeroTrust;
use delegate_core::task::{Registry, ShellScript};
use reqwest::Method;
use serde_json::{Value, json};
use support::manager_double::{ManagerDouble, Route};
use support::real_manager::RealManager;
use support::{Running, Watchdog, kinds};

async fn drained(agent: &Running) {
    agent.stop.stop(Stop::Drain);
    assert_eq!(agent.exit().await, Exit::Drained);
}

fn metric<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {text}"))
}

#[tokio::test(start_paused = true)]
async fn a_busy_machine_takes_no_task_and_counts_each_it_left() {
    let _watchdog = Watchdog::start("load");
    let manager = ManagerDouble::start().await;
    // Nothing runs on less than one percent of its memory.
    let agent = Running::start(&manager.url, kinds::registry().0, |config| {
        config.memory_threshold = Some(1.try_into().unwrap());
    });
    manager.called(Route::TaskEvents, 1).await;
    manager.offer("a", "AT_ONCE", json!({}));
    manager.offer("b", "AT_ONCE", json!({}));
    let polls = manager.calls(Route::TaskEvents).len();
    manager.called(Route::TaskEvents, polls + 10).await;
    assert!(manager.calls(Route::Acquire).is_empty());
    let text = agent.get("/api/metrics").await.1;
    let official = "io_harness_custom_metric_";
    assert_eq!(metric(&text, &format!("{official}task_rejected_total")), "2");
    assert_eq!(
        metric(&text, &format!("{official}resource_consumption_above_threshold")),
        "1"
    );
    drained(&agent).await;
}

#[tokio::test]
async fn kinds_of_the_owners_are_offered_and_a_broken_one_stops_nobody() {
    let _watchdog = Watchdog::start("plug-ins");
    let manager = ManagerDouble::start().await;
    let folder = tempfile::tempdir().unwrap();
    let program = "#!/bin/sh\necho '{\"status\": \"SUCCESS\"}'\n";
    std::fs::write(folder.path().join("greet.sh"), program).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, program.as_bytes());
    let sha256: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = json!({
        "kind": "GREET", "description": "Greets.", "again": "Safe.", "program": "greet.sh", "sha256": sha256,
        "data": {"type": "object"}, "example": {},
    });
    std::fs::write(folder.path().join("greet.json"), manifest.to_string()).unwrap();
    std::fs::write(folder.path().join("broken.json"), "{}").unwrap();
    let agent = Running::start(&manager.url, Registry::empty(), |config| {
        config.task_kinds_dir = Some(folder.path().to_owned());
    });
    let body = manager.called(Route::Register, 1).await[0].body.clone();
    assert_eq!(body["supportedTaskTypes"], json!(["GREET"]));
    manager.offer("t", "GREET", json!({}));
    let answer = manager.answered("t").await;
    assert_eq!(answer["data"]["command_execution_status"], "SUCCESS", "{answer}");
    drained(&agent).await;
}

/// The owner's service: what it was told, and what it answers.
#[derive(Clone, Default)]
struct Service {
    told: Arc<Mutex<Vec<(&'static str, Value)>>>,
    faults: Arc<Mutex<usize>>,
}

impl Service {
    async fn start(&self) -> url::Url {
        let verify = async |State(this): State<Service>, Json(body): Json<Value>| {
            let denied = body["taskPackage"]["data"]["parameters"][0]["say"] == "deny";
            this.answer(
                "verify",
                body,
                json!({"allowed": !denied, "reason": "by the rules", "metadata": {}}),
            )
        };
        let output = async |State(this): State<Service>, Json(body): Json<Value>| {
            let leaks = body["taskResponse"]["response"]["output_vars"]["LEAK"].is_string();
            this.answer(
                "output",
                body,
                json!({"error": if leaks { "it leaks" } else { "" }}),
            )
        };
        let router = axum::Router::new()
            .route("/zts/api/verify", post(verify))
            .route("/zts/api/output", post(output))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/zts", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url.parse().unwrap()
    }

    fn answer(&self, what: &'static str, body: Value, reply: Value) -> Result<Json<Value>, StatusCode> {
        let mut faults = self.faults.lock().unwrap();
        if *faults > 0 {
            *faults -= 1;
            return Err(StatusCode::BAD_GATEWAY);
        }
        self.told.lock().unwrap().push((what, body));
        Ok(Json(reply))
    }
}

fn zero_trust(url: url::Url, enforce: bool) -> ZeroTrust {
    ZeroTrust {
        url,
        timeout: Duration::from_secs(30),
        retries: 2,
        enforce,
    }
}

fn reason(answer: &Value) -> &str {
    answer["data"]["error_message"].as_str().unwrap()
}

#[tokio::test]
async fn the_owners_service_is_asked_before_and_told_after_each_task() {
    let _watchdog = Watchdog::start("zero trust");
    let manager = ManagerDouble::start().await;
    let service = Service::default();
    let url = service.start().await;
    let (kinds, runs, _gate) = kinds::registry();
    let agent = Running::start(&manager.url, kinds.with(ShellScript), |config| {
        config.zero_trust = Some(zero_trust(url, true));
    });
    // A fault or two are overcome.
    *service.faults.lock().unwrap() = 2;
    manager.offer("allowed", "AT_ONCE", json!({"say": "hello"}));
    assert_eq!(manager.answered("allowed").await["code"], "OK");
    {
        let told = service.told.lock().unwrap();
        let (what, package) = &told[0];
        assert_eq!(
            (*what, &package["taskPackage"]["delegateTaskId"]),
            ("verify", &json!("allowed"))
        );
        assert_eq!(package["taskPackage"]["accountId"], "acc");
        assert_eq!(package["decodedPayload"]["payload"], json!({"say": "hello"}));
        let (what, output) = &told[1];
        assert_eq!((*what, &output["taskId"]), ("output", &json!("allowed")));
        assert_eq!(output["taskResponse"]["responseCode"], "OK");
    }
    manager.offer("denied", "AT_ONCE", json!({"say": "deny"}));
    let answer = manager.answered("denied").await;
    assert_eq!((&answer["code"], runs.count()), (&json!("FAILED"), 1));
    assert!(reason(&answer).contains("by the rules"), "{answer}");
    let leak = json!({"script": "LEAK=all-of-it", "output_vars": ["LEAK"]});
    manager.offer("leaks", "SHELL_SCRIPT", leak);
    let answer = manager.answered("leaks").await;
    assert_eq!(answer["code"], "FAILED");
    assert!(
        reason(&answer).contains("it leaks") && !answer.to_string().contains("all-of-it"),
        "{answer}"
    );
    drained(&agent).await;
}

#[tokio::test]
async fn a_service_that_is_away_fails_tasks_only_where_it_is_enforced() {
    let _watchdog = Watchdog::start("zero trust away");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url: url::Url = format!("http://{}", taken.local_addr().unwrap()).parse().unwrap();
    drop(taken);
    for enforce in [true, false] {
        let manager = ManagerDouble::start().await;
        let (kinds, runs, _gate) = kinds::registry();
        let agent = Running::start(&manager.url, kinds, |config| {
            config.zero_trust = Some(zero_trust(url.clone(), enforce));
        });
        manager.offer("t", "AT_ONCE", json!({}));
        let answer = manager.answered("t").await;
        assert_eq!(answer["code"], if enforce { "FAILED" } else { "OK" }, "{answer}");
        assert_eq!(runs.count(), usize::from(!enforce));
        if enforce {
            assert!(
                reason(&answer).contains("could not be") && reason(&answer).contains("3 attempts"),
                "{answer}"
            );
        }
        drained(&agent).await;
    }
}

#[tokio::test]
async fn the_owners_patterns_are_masked_in_logs_and_results() {
    let _watchdog = Watchdog::start("patterns");
    let manager = ManagerDouble::start().await;
    let agent = Running::start(&manager.url, Registry::empty().with(ShellScript), |config| {
        let file = config.working_dir.join("sanitize-patterns.txt");
        std::fs::write(file, "(\n\\d{4}-\\d{4}-\\d{4}\n").unwrap();
    });
    let script = "N=1234-5678-9012; echo \"card $N of me\"; echo plain";
    manager.offer(
        "t",
        "SHELL_SCRIPT",
        json!({"script": script, "output_vars": ["N"]}),
    );
    let answer = manager.answered("t").await;
    assert_eq!(answer["data"]["output_vars"]["N"], "**************");
    manager.called(Route::LogClose, 1).await;
    let log = manager.log_text();
    assert!(log.contains("card ************** of me\nplain\n"), "{log}");
    drained(&agent).await;
}

#[tokio::test]
async fn a_delegate_that_drains_is_not_shown_any_more() {
    let _watchdog = Watchdog::start("goodbye");
    let manager = RealManager::start().await;
    let agent = Running::start(&manager.url, kinds::registry().0, |_| ());
    let task = manager.submit("AT_ONCE", json!({})).await;
    assert_eq!(manager.ended(&task).await["status"], "SUCCEEDED");
    let shown = async || {
        manager.call(Method::GET, "/api/v1/delegates", None).await["delegates"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(shown().await, 1);
    drained(&agent).await;
    assert_eq!(shown().await, 0);
}
