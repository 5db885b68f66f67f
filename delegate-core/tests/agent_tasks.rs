//! What becomes of tasks when the manager, the log service or the task itself misbehaves. Time is paused where no
//! child process takes part.

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
use tokio::sync::watch;

struct Setup {
    _watchdog: Watchdog,
    manager: ManagerDouble,
    agent: Running,
    runs: kinds::Runs,
    gate: watch::Sender<bool>,
}

async fn setup(test: &'static str, capacity: Option<u32>) -> Setup {
    let watchdog = Watchdog::start(test);
    let manager = ManagerDouble::start().await;
    let (registry, runs, gate) = kinds::registry();
    let agent = Running::start(&manager.url, registry, |config| config.task_capacity = capacity);
    manager.called(Route::TaskEvents, 1).await;
    Setup {
        _watchdog: watchdog,
        manager,
        agent,
        runs,
        gate,
    }
}

async fn drained(agent: &Running) {
    agent.stop.stop(Stop::Drain);
    assert_eq!(agent.exit().await, Exit::Drained);
}

fn status(answer: &Value) -> &str {
    answer["data"]["command_execution_status"].as_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_repeated_until_it_is_delivered() {
    let t = setup("answer repeated", None).await;
    let Setup {
        manager, agent, runs, ..
    } = &t;
    for (n, faults) in [
        vec![
            Fault::Status(503, "X"),
            Fault::CutOff,
            Fault::Page(403),
            Fault::Status(429, "X"),
        ],
        vec![Fault::Status(408, "X"), Fault::Page(200), Fault::Status(500, "X")],
    ]
    .into_iter()
    .enumerate()
    {
        manager.fail(Route::Respond, faults);
        let id = format!("t{n}");
        manager.offer(&id, "AT_ONCE", json!({}));
        let answer = manager.answered(&id).await;
        assert_eq!((&answer["code"], status(&answer)), (&json!("OK"), "SUCCESS"));
        assert_eq!(runs.count(), n + 1);
    }
    assert!(
        agent
            .get("/api/metrics")
            .await
            .1
            .contains("\nharness_delegate_response_retries_total 7\n")
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_refused_for_good_is_not_repeated() {
    let t = setup("answer refused", None).await;
    let Setup { manager, agent, .. } = &t;
    manager.fail_always(Route::Respond, Some(Fault::Status(400, "TASK_NOT_HELD")));
    manager.offer("t", "AT_ONCE", json!({}));
    let attempts = |m: &ManagerDouble| {
        m.calls(Route::Other)
            .iter()
            .filter(|c| c.path.contains("/v2/tasks/t/"))
            .count()
    };
    manager
        .until("answering", |m| (attempts(m) > 0).then_some(()))
        .await;
    let beats = manager.calls(Route::Heartbeat).len();
    manager.called(Route::Heartbeat, beats + 20).await;
    assert_eq!(attempts(manager), 1);
    drained(agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_makes_the_answer_come_twice_and_the_task_run_once() {
    let t = setup("lost reply", None).await;
    let Setup {
        manager, agent, runs, ..
    } = &t;
    manager.fail(Route::Acquire, [Fault::LostReply]);
    manager.fail(Route::Respond, [Fault::LostReply]);
    manager.offer("t", "AT_ONCE", json!({}));
    let answers = manager
        .until("both", |m| {
            Some(m.answers("t")).filter(|answers| answers.len() == 2)
        })
        .await;
    assert_eq!(answers[0], answers[1]);
    assert_eq!(runs.count(), 1);
    drained(agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_offered_over_and_over_runs_once() {
    let t = setup("duplicates", None).await;
    let Setup {
        manager,
        agent,
        runs,
        gate,
        ..
    } = &t;
    manager.repeat_events();
    manager.offer("t", "UNTIL_TOLD", json!({}));
    let polls = manager.called(Route::TaskEvents, 20).await;
    // Repeated news are no reason to ask without pause.
    assert!(polls[19].at - polls[10].at > Duration::from_secs(5));
    gate.send_replace(true);
    manager.answered("t").await;
    let polls = manager.calls(Route::TaskEvents).len();
    manager.called(Route::TaskEvents, polls + 5).await;
    assert_eq!(
        (
            runs.count(),
            manager.calls(Route::Acquire).len(),
            manager.answers("t").len()
        ),
        (1, 1, 1)
    );
    drained(agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_another_delegate_has_is_dropped_quietly_and_taken_when_offered_later() {
    let t = setup("not ours", None).await;
    let Setup {
        manager, agent, runs, ..
    } = &t;
    manager.fail(
        Route::Acquire,
        [Fault::Status(409, "TAKEN"), Fault::Status(404, "GONE")],
    );
    manager.offer("t", "AT_ONCE", json!({}));
    let answer = manager.answered("t").await;
    assert_eq!(status(&answer), "SUCCESS");
    let acquires = manager.calls(Route::Acquire);
    assert_eq!(
        (acquires.len(), runs.count(), manager.answers("t").len()),
        (3, 1, 1)
    );
    assert!(
        acquires[1].at - acquires[0].at >= Duration::from_secs(3),
        "not asked without pause"
    );
    drained(agent).await;
}

#[tokio::test(start_paused = true)]
async fn an_acquire_with_an_unknown_outcome_is_repeated() {
    let t = setup("acquire", None).await;
    let Setup {
        manager, agent, runs, ..
    } = &t;
    manager.fail(
        Route::Acquire,
        [Fault::CutOff, Fault::Status(502, "X"), Fault::Page(403)],
    );
    manager.offer("t", "AT_ONCE", json!({}));
    manager.answered("t").await;
    assert_eq!((runs.count(), manager.calls(Route::Acquire).len()), (1, 4));
    drained(agent).await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_type_and_a_panic_are_answered_and_not_left_hanging() {
    let t = setup("unknown", None).await;
    let Setup { manager, agent, .. } = &t;
    manager.offer("unknown", "NO_SUCH_KIND", json!({}));
    manager.offer("panics", "PANICS", json!({}));
    for (id, part) in [("unknown", "NO_SUCH_KIND"), ("panics", "PANICS")] {
        let answer = manager.answered(id).await;
        assert_eq!((&answer["code"], status(&answer)), (&json!("FAILED"), "FAILURE"));
        let reason = answer["data"]["error_message"].as_str().unwrap();
        assert!(reason.contains(part), "{reason}");
        assert!(answer["data"]["output_vars"].is_object());
    }
    drained(agent).await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_a_running_task_and_frees_its_room_even_when_there_is_none() {
    let t = setup("abort", Some(1)).await;
    let Setup {
        manager, agent, runs, ..
    } = &t;
    manager.offer("long", "UNTIL_TOLD", json!({}));
    manager.called(Route::LogAppend, 1).await;
    manager.offer("next", "AT_ONCE", json!({}));
    let polls = manager.calls(Route::TaskEvents).len();
    manager.called(Route::TaskEvents, polls + 5).await;
    assert_eq!(runs.count(), 1, "there is room for one");
    assert!(
        agent
            .get("/api/metrics")
            .await
            .1
            .contains("_task_rejected_total 1\n"),
        "counted once"
    );
    manager.abort("long");
    manager.abort("never-heard-of");
    let answer = manager.answered("long").await;
    assert_eq!((&answer["code"], status(&answer)), (&json!("OK"), "ABORTED"));
    manager.answered("next").await;
    drained(agent).await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_before_the_task_began_keeps_it_from_beginning() {
    let t = setup("early abort", None).await;
    let Setup {
        manager, agent, runs, ..
    } = &t;
    manager.fail(Route::Acquire, [Fault::Late(Duration::from_secs(5))]);
    manager.offer("t", "AT_ONCE", json!({}));
    manager.called(Route::Acquire, 1).await;
    manager.abort("t");
    assert_eq!(status(&manager.answered("t").await), "ABORTED");
    assert_eq!(runs.count(), 0);
    drained(agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_takes_nothing_new_and_finishes_what_runs() {
    let t = setup("drain", None).await;
    let Setup {
        manager,
        agent,
        runs,
        gate,
        ..
    } = &t;
    manager.offer("running", "UNTIL_TOLD", json!({}));
    manager.called(Route::LogAppend, 1).await;
    agent.stop.stop(Stop::Drain);
    manager.offer("late", "AT_ONCE", json!({}));
    let beats = manager.calls(Route::Heartbeat).len();
    manager.called(Route::Heartbeat, beats + 3).await;
    assert!(
        agent
            .get("/api/health")
            .await
            .1
            .contains("\"status\":\"draining\"")
    );
    assert_eq!(
        agent.get("/api/health").await.0,
        200,
        "a drain is no reason to restart the agent"
    );
    assert_eq!(agent.get("/api/ready").await.0, 503);
    manager.fail(Route::Respond, [Fault::Status(503, "X")]);
    gate.send_replace(true);
    assert_eq!(agent.exit().await, Exit::Drained);
    assert_eq!(status(&manager.answered("running").await), "SUCCESS");
    assert_eq!((runs.count(), manager.calls(Route::Acquire).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_obeyed_while_draining() {
    let t = setup("abort while draining", None).await;
    let Setup { manager, agent, .. } = &t;
    manager.offer("running", "UNTIL_TOLD", json!({}));
    manager.called(Route::LogAppend, 1).await;
    agent.stop.stop(Stop::Drain);
    manager.abort("running");
    assert_eq!(status(&manager.answered("running").await), "ABORTED");
    assert_eq!(agent.exit().await, Exit::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_second_order_ends_running_tasks_and_answers_them() {
    let t = setup("second order", None).await;
    let Setup { manager, agent, .. } = &t;
    manager.offer("running", "UNTIL_TOLD", json!({}));
    manager.called(Route::LogAppend, 1).await;
    agent.stop.stop(Stop::Cancel);
    assert_eq!(agent.exit().await, Exit::CutShort { undelivered: 0 });
    let answer = manager.answered("running").await;
    assert_eq!(status(&answer), "ABORTED");
    assert!(
        answer["data"]["error_message"]
            .as_str()
            .unwrap()
            .contains("delegate was stopped")
    );
}

// In real time: paused time does not wait for the journal's thread.
#[tokio::test]
async fn the_grace_period_ends_what_will_not_end() {
    let _watchdog = Watchdog::start("grace");
    let manager = ManagerDouble::start().await;
    let (registry, _runs, _gate) = kinds::registry();
    let agent = Running::start(&manager.url, registry, |config| {
        config.grace_period = Duration::from_secs(6);
    });
    manager.offer("running", "UNTIL_TOLD", json!({}));
    manager.called(Route::LogAppend, 1).await;
    agent.stop.stop(Stop::Drain);
    assert_eq!(agent.exit().await, Exit::CutShort { undelivered: 0 });
    assert_eq!(status(&manager.answered("running").await), "ABORTED");
}

#[tokio::test(start_paused = true)]
async fn a_drain_during_an_outage_ends_with_the_grace_period_and_says_what_is_left() {
    let t = setup("drain in outage", None).await;
    let Setup { manager, agent, .. } = &t;
    manager.fail_always(Route::Respond, Some(Fault::Status(503, "X")));
    manager.offer("t", "AT_ONCE", json!({}));
    manager
        .until("answering", |m| {
            m.calls(Route::Other)
                .iter()
                .any(|c| c.path.contains("/v2/tasks/"))
                .then_some(())
        })
        .await;
    agent.stop.stop(Stop::Drain);
    assert_eq!(agent.exit().await, Exit::CutShort { undelivered: 1 });
}

#[tokio::test(start_paused = true)]
async fn the_log_comes_whole_and_in_order_through_faults() {
    let t = setup("log", None).await;
    let Setup { manager, agent, .. } = &t;
    manager.fail(Route::LogOpen, [Fault::Status(503, "X"), Fault::CutOff]);
    manager.fail(
        Route::LogAppend,
        [Fault::Status(500, "X"), Fault::Page(502), Fault::Status(429, "X")],
    );
    manager.offer("t", "AT_ONCE", json!({"say": "line", "times": 3000}));
    manager.called(Route::LogClose, 1).await;
    let expected: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(manager.log_text(), expected);
    let lines = manager
        .calls(Route::LogAppend)
        .into_iter()
        .flat_map(|call| call.body.as_array().unwrap().clone());
    assert!(
        lines
            .enumerate()
            .all(|(n, line)| line["pos"] == n && line["level"] == "info")
    );
    let close = &manager.calls(Route::LogClose)[0];
    assert!(
        close.query.contains("accountID=acc") && close.query.contains("snapshot=true"),
        "{}",
        close.query
    );
    drained(agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_service_that_takes_no_streams_gets_the_log_in_one_piece() {
    let t = setup("no streams", None).await;
    let Setup { manager, agent, .. } = &t;
    manager.fail_always(Route::LogOpen, Some(Fault::Status(403, "X")));
    manager.offer("t", "AT_ONCE", json!({"say": "line", "times": 3}));
    let upload = &manager.called(Route::LogUpload, 1).await[0];
    let text: Vec<_> = upload
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["out"].as_str().unwrap())
        .collect();
    assert_eq!(text, ["line 0\n", "line 1\n", "line 2\n"]);
    assert_eq!(manager.calls(Route::LogAppend).len(), 0);
    drained(agent).await;
}

// In real time. The service stays silent for good, so an answer that waited for it would never come.
#[tokio::test]
async fn a_dead_log_service_delays_no_answer_and_its_losses_are_counted() {
    let t = setup("dead log service", None).await;
    let Setup { manager, agent, .. } = &t;
    manager.fail_always(Route::LogOpen, Some(Fault::Silence));
    // More than the spool of a task holds.
    manager.offer("t", "AT_ONCE", json!({"say": "x".repeat(10_000), "times": 800}));
    manager.answered("t").await;
    let text = agent.get("/api/metrics").await.1;
    let lost = text
        .lines()
        .find_map(|line| line.strip_prefix("harness_delegate_log_lines_lost_total "));
    assert!(lost.unwrap().parse::<u64>().unwrap() > 100, "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn lost_lines_are_declared_in_the_log() {
    let t = setup("declared losses", None).await;
    let Setup {
        manager, agent, gate, ..
    } = &t;
    manager.fail_always(Route::LogOpen, Some(Fault::Status(503, "X")));
    manager.offer("t", "AT_ONCE", json!({"say": "x".repeat(10_000), "times": 800}));
    manager.answered("t").await;
    manager.fail_always(Route::LogOpen, None);
    manager.called(Route::LogClose, 1).await;
    let text = manager.log_text();
    let (first, rest) = text.split_once('\n').unwrap();
    let lost: usize = first
        .strip_prefix('[')
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(lost + rest.lines().count(), 800, "{first}");
    assert!(rest.ends_with(" 799\n"), "the end is what matters most");
    gate.send_replace(true);
    drained(agent).await;
}

#[tokio::test]
async fn a_line_is_live_within_two_hundred_milliseconds() {
    let t = setup("live", None).await;
    let Setup {
        manager, agent, gate, ..
    } = &t;
    manager.offer("t", "UNTIL_TOLD", json!({}));
    let acquired = manager.called(Route::Acquire, 1).await[0].at;
    let appended = manager.called(Route::LogAppend, 1).await[0].at;
    // The bound of the contract, with room for a busy machine; the task has not ended.
    assert!(
        appended - acquired < Duration::from_millis(1000),
        "{:?}",
        appended - acquired
    );
    assert_eq!(manager.answers("t").len(), 0);
    gate.send_replace(true);
    drained(agent).await;
}
