//! The agent and a manager that has faults: registration, heartbeats, polling, and what becomes of a refused token.
//!
//! Time is paused: it jumps whenever everybody waits, so pauses of minutes cost nothing and are measured exactly.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

mod support;

use std::time::Duration;

use delegate_core::agent::{Exit, Stop};
use serde_json::{Value, json};
use support::manager_double::{Fault, ManagerDouble, Route};
use support::{Running, Watchdog, kinds};

fn faults() -> Vec<Fault> {
    vec![
        Fault::Status(503, "UNAVAILABLE"),
        Fault::Page(502),
        Fault::CutOff,
        Fault::Page(401),
        Fault::Status(429, "TOO_MANY"),
        Fault::Page(200),
    ]
}

async fn started() -> (ManagerDouble, Running) {
    let manager = ManagerDouble::start().await;
    let agent = Running::start(&manager.url, kinds::registry().0, |_| ());
    manager.called(Route::TaskEvents, 1).await;
    (manager, agent)
}

async fn drained(agent: &Running) {
    agent.stop.stop(Stop::Drain);
    assert_eq!(agent.exit().await, Exit::Drained);
}

#[tokio::test(start_paused = true)]
async fn registration_goes_on_until_it_succeeds_with_growing_pauses() {
    let _watchdog = Watchdog::start("registration");
    let manager = ManagerDouble::start().await;
    manager.fail(Route::Register, faults());
    let agent = Running::start(&manager.url, kinds::registry().0, |_| ());
    let calls = manager.called(Route::Register, faults().len() + 1).await;
    for (n, pair) in calls.windows(2).enumerate() {
        let pause = pair[1].at - pair[0].at;
        let longest = Duration::from_millis(500) * (1 << (n + 1)) + Duration::from_millis(100);
        assert!(
            (Duration::from_millis(500)..=longest).contains(&pause),
            "pause {n}: {pause:?}"
        );
    }
    let body = &calls[0].body;
    assert_eq!(
        body["supportedTaskTypes"],
        json!(["AT_ONCE", "PANICS", "UNTIL_TOLD"])
    );
    assert_eq!(
        body["delegateRandomToken"],
        Value::Null,
        "the raw secret is never sent"
    );
    assert!(calls[0].authorization.starts_with("Delegate ey"));
    manager.called(Route::TaskEvents, 1).await;
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_not_there_is_waited_for() {
    let _watchdog = Watchdog::start("not there");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    let agent = Running::start(&url, kinds::registry().0, |_| ());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!agent.has_ended(), "an hour is nothing");
    let (status, body) = agent.get("/api/health").await;
    assert_eq!(status, 200, "an outage is no reason to restart the agent: {body}");
    assert_eq!(agent.get("/api/ready").await.0, 503);
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_at_registration_ends_the_agent_at_once() {
    let _watchdog = Watchdog::start("refused");
    for code in ["INVALID_TOKEN", "REVOKED_TOKEN", "EXPIRED_TOKEN"] {
        let manager = ManagerDouble::start().await;
        manager.fail_always(Route::Register, Some(Fault::Status(401, code)));
        let agent = Running::start(&manager.url, kinds::registry().0, |_| ());
        let exit = agent.exit().await;
        let Exit::TokenRefused { reason } = &exit else {
            panic!("{exit:?}")
        };
        assert!(reason.contains(code) && reason.contains("/register"), "{reason}");
        assert!(!exit.to_string().contains("ey"), "no token in it: {exit}");
        // An expired token is minted anew once; a refused one is not tried twice.
        let attempts = if code == "EXPIRED_TOKEN" { 2 } else { 1 };
        assert_eq!(manager.calls(Route::Register).len(), attempts);
    }
}

/// A good reply that sends the delegate away.
fn order(resource: &Value) -> Fault {
    Fault::Other(json!({"metaData": {}, "resource": resource, "responseMessages": []}))
}

fn assert_dismissed(exit: &Exit, because: &str) {
    assert!(
        matches!(exit, Exit::Dismissed { reason } if reason.contains(because)),
        "{exit:?}"
    );
    assert!(
        exit.to_string().contains("DELEGATE_NAME"),
        "and what to do: {exit}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_order_to_end_at_registration_ends_the_agent_at_once() {
    let _watchdog = Watchdog::start("self destruct");
    let manager = ManagerDouble::start().await;
    let reply = order(&json!({"action": "SELF_DESTRUCT"}));
    manager.fail_always(Route::Register, Some(reply));
    let agent = Running::start(&manager.url, kinds::registry().0, |_| ());
    assert_dismissed(&agent.exit().await, "SELF_DESTRUCT");
    assert_eq!(manager.calls(Route::Register).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_to_move_or_an_unknown_one_is_no_end() {
    let _watchdog = Watchdog::start("migrate");
    let manager = ManagerDouble::start().await;
    let migrate = json!({"delegateId": "d", "action": "MIGRATE", "migrateUrl": "https://elsewhere.test"});
    manager.fail(Route::Register, [order(&migrate)]);
    let enabled = json!({"delegateId": "d", "status": "ENABLED", "action": "NEWER"});
    manager.fail_always(Route::Heartbeat, Some(order(&enabled)));
    let agent = Running::start(&manager.url, kinds::registry().0, |_| ());
    manager.called(Route::Heartbeat, 2).await;
    manager.offer("t", "AT_ONCE", json!({}));
    manager.answered("t").await;
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_delegate_finishes_what_runs_and_ends() {
    let _watchdog = Watchdog::start("deleted");
    for resource in [
        json!({"delegateId": "delegate-1", "status": "DELETED"}),
        json!({"action": "SELF_DESTRUCT"}),
    ] {
        let manager = ManagerDouble::start().await;
        let (kinds, runs, gate) = kinds::registry();
        let agent = Running::start(&manager.url, kinds, |_| ());
        manager.offer("running", "UNTIL_TOLD", json!({}));
        manager.called(Route::LogAppend, 1).await;
        manager.fail_always(Route::Heartbeat, Some(order(&resource)));
        let beats = manager.calls(Route::Heartbeat).len();
        // The second comes after the reply to the first was read.
        manager.called(Route::Heartbeat, beats + 2).await;
        assert!(!agent.has_ended(), "running work comes first");
        assert!(agent.get("/api/health").await.1.contains("\"draining\":true"));
        manager.offer("late", "AT_ONCE", json!({}));
        let polls = manager.calls(Route::TaskEvents).len();
        manager.called(Route::TaskEvents, polls + 1).await;
        gate.send_replace(true);
        assert_dismissed(&agent.exit().await, "the manager");
        assert_eq!(manager.answers("running")[0]["code"], "OK");
        assert_eq!(runs.count(), 1, "nothing new was taken");
        assert_eq!(manager.calls(Route::Register).len(), 1, "it does not come back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_goes_away_within_a_minute_is_waited_for() {
    let _watchdog = Watchdog::start("short duplicate");
    let manager = ManagerDouble::start().await;
    let duplicate = || Fault::Status(400, "DUPLICATE_DELEGATE_EXCEPTION");
    manager.fail(Route::Register, [duplicate(), duplicate()]);
    let agent = Running::start(&manager.url, kinds::registry().0, |_| ());
    manager.called(Route::TaskEvents, 1).await;
    manager.fail(Route::Heartbeat, [duplicate(), duplicate()]);
    let beats = manager.calls(Route::Heartbeat).len();
    manager.called(Route::Heartbeat, beats + 4).await;
    manager.offer("t", "AT_ONCE", json!({}));
    manager.answered("t").await;
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_stays_ends_the_agent() {
    let _watchdog = Watchdog::start("duplicate");
    for route in [Route::Register, Route::Heartbeat] {
        let manager = ManagerDouble::start().await;
        let duplicate = Fault::Status(409, "DUPLICATE_DELEGATE_EXCEPTION");
        let began = tokio::time::Instant::now();
        if route == Route::Heartbeat {
            // Whatever is asked for, after a good registration.
            manager.fail_always(Route::TaskEvents, Some(duplicate.clone()));
        }
        manager.fail_always(route, Some(duplicate));
        let agent = Running::start(&manager.url, kinds::registry().0, |_| ());
        assert_dismissed(&agent.exit().await, "DUPLICATE_DELEGATE_EXCEPTION");
        assert!(began.elapsed() >= Duration::from_secs(60), "{route:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_their_beat_through_faults() {
    let _watchdog = Watchdog::start("heartbeats");
    let (manager, agent) = started().await;
    manager.fail(Route::Heartbeat, faults());
    let registered = manager.calls(Route::Register)[0].at;
    let beats = manager.called(Route::Heartbeat, faults().len() + 2).await;
    for (n, beat) in beats.iter().enumerate() {
        let due = registered + Duration::from_secs(10) * u32::try_from(n + 1).unwrap();
        let late = beat.at.saturating_duration_since(due);
        assert!(
            beat.at >= due - Duration::from_millis(50) && late < Duration::from_millis(500),
            "beat {n}: {late:?}"
        );
        assert_eq!(beat.body["delegateId"], "delegate-1");
    }
    let stamps: Vec<_> = beats
        .iter()
        .map(|beat| beat.body["lastHeartBeat"].as_i64().unwrap())
        .collect();
    assert!(stamps.is_sorted());
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn polling_goes_on_through_faults() {
    let _watchdog = Watchdog::start("polling");
    let (manager, agent) = started().await;
    manager.fail(Route::TaskEvents, faults());
    let polls = manager.called(Route::TaskEvents, faults().len() + 2).await;
    assert!(polls[0].query.contains("waitMs=25000"), "{}", polls[0].query);
    manager.offer("t", "AT_ONCE", json!({}));
    assert_eq!(manager.answered("t").await["code"], "OK");
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_does_not_wait_is_asked_every_three_seconds_with_jitter() {
    let _watchdog = Watchdog::start("cadence");
    let manager = ManagerDouble::start().await;
    manager.do_not_wait();
    let agent = Running::start(&manager.url, kinds::registry().0, |_| ());
    let polls = manager.called(Route::TaskEvents, 30).await;
    let pauses: Vec<_> = polls.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    for pause in &pauses {
        assert!(
            (Duration::from_millis(2400)..Duration::from_millis(3700)).contains(pause),
            "{pause:?}"
        );
    }
    assert!(
        pauses
            .iter()
            .max()
            .unwrap()
            .abs_diff(*pauses.iter().min().unwrap())
            > Duration::from_millis(200)
    );
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_has_forgotten_us_is_registered_with_anew() {
    let _watchdog = Watchdog::start("forgotten");
    for route in [Route::Heartbeat, Route::TaskEvents] {
        let (manager, agent) = started().await;
        manager.fail(route, [Fault::Status(404, "DELEGATE_NOT_REGISTERED")]);
        manager.fail(Route::Register, [Fault::Status(503, "STARTING")]);
        manager.called(Route::Register, 3).await;
        manager
            .until("the new id is used", |manager| {
                let polls = manager.calls(Route::TaskEvents);
                polls
                    .last()
                    .filter(|poll| poll.path.contains("/delegate-2/"))
                    .map(drop)
            })
            .await;
        manager
            .until("the new id beats", |manager| {
                let beats = manager.calls(Route::Heartbeat);
                beats
                    .last()
                    .filter(|beat| beat.body["delegateId"] == "delegate-2")
                    .map(drop)
            })
            .await;
        drained(&agent).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_minted_anew_and_nobody_notices() {
    let _watchdog = Watchdog::start("expired");
    let (manager, agent) = started().await;
    let before = manager.called(Route::Heartbeat, 1).await[0].authorization.clone();
    manager.fail(Route::Heartbeat, [Fault::Status(401, "EXPIRED_TOKEN")]);
    let beats = manager.called(Route::Heartbeat, 3).await;
    assert_ne!(beats[2].authorization, before);
    assert!(
        beats[2].at - beats[1].at < Duration::from_secs(1),
        "repeated at once"
    );
    manager.offer("t", "AT_ONCE", json!({}));
    manager.answered("t").await;
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_for_a_minute_ends_the_agent_after_its_running_work() {
    let _watchdog = Watchdog::start("revoked");
    let manager = ManagerDouble::start().await;
    let (kinds, runs, gate) = kinds::registry();
    let agent = Running::start(&manager.url, kinds, |_| ());
    manager.offer("running", "UNTIL_TOLD", json!({}));
    manager.called(Route::LogAppend, 1).await;
    manager.refuse_all(Some(&Fault::Status(401, "REVOKED_TOKEN")));
    let refused_at = tokio::time::Instant::now();
    manager.offer("late", "AT_ONCE", json!({}));
    // The refusal has lasted once heartbeats no longer carry hope; the task still runs.
    manager
        .until("draining", |manager| {
            let last = manager.calls(Route::Heartbeat).last()?.at;
            (last - refused_at > Duration::from_secs(80)).then_some(())
        })
        .await;
    assert!(!agent.has_ended(), "running work comes first");
    assert!(agent.get("/api/health").await.1.contains("\"draining\":true"));
    gate.send_replace(true);
    let exit = agent.exit().await;
    assert!(
        matches!(&exit, Exit::TokenRefused { reason } if reason.contains("revoked")),
        "{exit:?}"
    );
    assert_eq!(runs.count(), 1, "nothing new was taken");
}

#[tokio::test(start_paused = true)]
async fn a_token_accepted_again_within_a_minute_changes_nothing() {
    let _watchdog = Watchdog::start("refused for a while");
    let (manager, agent) = started().await;
    manager.refuse_all(Some(&Fault::Status(401, "INVALID_TOKEN")));
    let beats = manager.calls(Route::Heartbeat).len();
    manager.called(Route::Heartbeat, beats + 4).await;
    assert_eq!(agent.get("/api/ready").await.0, 503);
    manager.refuse_all(None);
    manager.offer("t", "AT_ONCE", json!({}));
    manager.answered("t").await;
    assert_eq!(agent.get("/api/ready").await.0, 200);
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_shows_in_the_metrics_and_so_does_its_end() {
    let _watchdog = Watchdog::start("outage");
    let (manager, agent) = started().await;
    let metric = |text: &str, name: &str| -> String {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("io_harness_custom_metric_{name} ")));
        line.unwrap_or_else(|| panic!("{name} in {text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        metric(&agent.get("/api/metrics").await.1, "delegate_connected"),
        "1"
    );
    manager.refuse_all(Some(&Fault::Page(502)));
    let beats = manager.calls(Route::Heartbeat).len();
    manager.called(Route::Heartbeat, beats + 6).await;
    assert_eq!(
        metric(&agent.get("/api/metrics").await.1, "delegate_connected"),
        "0"
    );
    manager.refuse_all(None);
    manager.offer("t", "AT_ONCE", json!({}));
    manager.answered("t").await;
    let text = agent.get("/api/metrics").await.1;
    assert_eq!(metric(&text, "delegate_connected"), "1");
    assert_eq!(metric(&text, "delegate_reconnected_total"), "1");
    drained(&agent).await;
}

#[tokio::test]
async fn the_http_server_serves_three_paths_by_get_only() {
    let _watchdog = Watchdog::start("http");
    let (_manager, agent) = started().await;
    assert_eq!(agent.get("/api/health").await.0, 200);
    assert_eq!(agent.get("/api/metrics").await.0, 200);
    assert_eq!(agent.get("/").await.0, 404);
    assert_eq!(support::request(agent.http, "POST", "/api/health").await.0, 405);
    let (status, _) = support::get(agent.http, &format!("/{}", "x".repeat(200_000))).await;
    assert!(status >= 400, "{status}");
    drained(&agent).await;
}
