//! Answers of what stands before a manager. Time is paused: it jumps whenever everybody waits.

use std::time::Duration;

use delegate_core::agent::{Exit, Stop};
use serde_json::json;

use super::support::manager_double::{Call, Fault, ManagerDouble, Route};
use super::support::{Running, Watchdog, kinds};

/// What the pages below ask for, in seconds.
const ASKED: u64 = 7;

async fn drained(agent: &Running) {
    agent.stop.stop(Stop::Drain);
    assert_eq!(agent.exit().await, Exit::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_asks_for_time_gets_it_and_nothing_is_lost() {
    let _watchdog = Watchdog::start("retry after");
    let manager = ManagerDouble::start().await;
    let busy = [429, 500, 502, 503].map(|status| Fault::Busy(status, ASKED));
    for route in [Route::Register, Route::TaskEvents, Route::Acquire, Route::Respond] {
        manager.fail(route, busy.clone());
    }
    let (kinds, runs, _gate) = kinds::registry();
    let agent = Running::start(&manager.url, kinds, |_| ());
    manager.offer("t", "AT_ONCE", json!({}));
    assert_eq!(manager.answered("t").await["code"], "OK");
    assert_eq!((manager.answers("t").len(), runs.count()), (1, 1));
    let refused = manager.calls(Route::Other).into_iter();
    let mut answers: Vec<Call> = refused
        .filter(|call| call.path.contains("/v2/tasks/t/"))
        .collect();
    answers.extend(manager.calls(Route::Respond));
    for (what, calls) in [
        ("register", manager.calls(Route::Register)),
        ("events", manager.calls(Route::TaskEvents)),
        ("acquire", manager.calls(Route::Acquire)),
        ("answer", answers),
    ] {
        assert!(calls.len() > busy.len(), "{what}: {} calls", calls.len());
        for pair in calls[..=busy.len()].windows(2) {
            let pause = pair[1].at - pair[0].at;
            assert!(
                pause >= Duration::from_secs(ASKED),
                "{what}: asked again after {pause:?}"
            );
        }
    }
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_answers_errors_for_an_hour_is_not_hammered() {
    let _watchdog = Watchdog::start("an hour of errors");
    let manager = ManagerDouble::start().await;
    let (kinds, runs, _gate) = kinds::registry();
    let agent = Running::start(&manager.url, kinds, |_| ());
    manager.called(Route::TaskEvents, 1).await;
    for fault in [Fault::Page(502), Fault::Status(429, "TOO_MANY"), Fault::CutOff] {
        manager.refuse_all(Some(&fault));
        let count =
            || [Route::Heartbeat, Route::TaskEvents, Route::Register].map(|route| manager.calls(route).len());
        let before = count();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let [beats, polls, registrations] = std::array::from_fn(|at| count()[at] - before[at]);
        // One heartbeat in ten seconds; a poll after at most a minute, half of it on average.
        assert!((300..=365).contains(&beats), "{fault:?}: {beats} heartbeats");
        assert!((60..=200).contains(&polls), "{fault:?}: {polls} polls");
        assert_eq!(registrations, 0, "{fault:?}");
    }
    manager.refuse_all(None);
    manager.offer("t", "AT_ONCE", json!({}));
    assert_eq!(manager.answered("t").await["code"], "OK");
    assert_eq!(runs.count(), 1);
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_not_the_one_asked_for_is_not_run() {
    let _watchdog = Watchdog::start("another task");
    let manager = ManagerDouble::start().await;
    let (kinds, runs, _gate) = kinds::registry();
    // As a proxy that mixes up replies does.
    manager.fail(
        Route::Acquire,
        [Fault::Other(json!({"id": "u", "type": "PANICS", "data": {}}))],
    );
    let agent = Running::start(&manager.url, kinds, |_| ());
    manager.offer("t", "AT_ONCE", json!({}));
    let answer = manager.answered("t").await;
    assert_eq!(
        (&answer["code"], &answer["type"]),
        (&json!("OK"), &json!("AT_ONCE")),
        "{answer}"
    );
    assert_eq!((runs.count(), manager.calls(Route::Acquire).len()), (1, 2));
    drained(&agent).await;
}
