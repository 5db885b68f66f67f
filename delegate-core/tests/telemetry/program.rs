//! The program, its own log and its doctor, with a collector that is away.

use nix::sys::signal::Signal;
use serde_json::json;

use super::support::Watchdog;
use super::support::manager_double::ManagerDouble;
use super::support::program::{Running, output, program, run};

/// Nobody listens there.
const ENDPOINT: &str = "http://127.0.0.1:1/v1/traces?key=hunter2-in-the-query";

const HEADERS: &str = "authorization=Bearer%20hunter2-in-the-headers";

#[tokio::test]
async fn a_collector_that_is_away_is_said_once_and_no_key_is() {
    let _watchdog = Watchdog::start("telemetry said");
    let manager = ManagerDouble::start().await;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("stderr");
    let mut command = run(&manager.url, dir.path());
    command
        .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ENDPOINT)
        .env("OTEL_EXPORTER_OTLP_HEADERS", HEADERS)
        .env("OTEL_BSP_SCHEDULE_DELAY", "1")
        .env("LOGGING_LEVEL", "DEBUG")
        .stderr(std::fs::File::create(&log).unwrap());
    let agent = Running::start(command);
    for task in ["t1", "t2"] {
        let script = "echo it is hunter2-in-the-headers";
        manager.offer(task, "SHELL_SCRIPT", json!({"script": script}));
        manager.answered(task).await;
    }
    manager
        .until("the log", |manager| {
            manager.log_text().contains("it is ****").then_some(())
        })
        .await;
    // At the end what is left is tried at least once more.
    agent.signal(Signal::SIGTERM);
    assert!(agent.end().await.success());
    let log = std::fs::read_to_string(log).unwrap();
    let said = log.matches("telemetry is not exported").count();
    assert_eq!(said, 1, "{log}");
    assert!(log.contains("http://127.0.0.1:1/v1/traces"), "{log}");
    assert!(
        !log.contains("hunter2") && !manager.log_text().contains("hunter2"),
        "{log}"
    );
}

#[tokio::test]
async fn the_doctor_says_that_a_collector_is_away_and_no_key() {
    let _watchdog = Watchdog::start("telemetry doctor");
    let dir = tempfile::tempdir().unwrap();
    let mut doctor = program(&[
        ("ACCOUNT_ID", "acc"),
        ("DELEGATE_NAME", "tested"),
        ("DELEGATE_TOKEN", super::support::TOKEN),
        ("MANAGER_HOST_AND_PORT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ENDPOINT),
        ("OTEL_EXPORTER_OTLP_HEADERS", HEADERS),
    ]);
    doctor.env("WORKING_DIR", dir.path()).args(["doctor", "--json"]);
    let output = output(doctor).await;
    let [text, complaints] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let found = findings
        .iter()
        .find(|finding| finding["check"] == "telemetry.traces")
        .unwrap();
    assert_eq!(found["level"], "warning", "{found}");
    assert!(!(text + &complaints).contains("hunter2"), "{report}");
}
