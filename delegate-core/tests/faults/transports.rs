//! The real agent and the real manager with a bad network between them, by both transports.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use delegate_core::agent::{Exit, Stop};
use serde_json::json;

use super::network::{BadNetwork, Fault};
use super::support::real_manager::RealManager;
use super::support::{PATIENCE, Running, Watchdog, kinds};

/// Tasks submitted during each fault.
const TASKS: usize = 12;

/// Connections that a fault may cost: a retry of each call in hand, and what the pauses between retries allow in the
/// time a fault lasts here. Without pauses it would be thousands.
const MOST_CONNECTIONS: usize = 100;

/// A fault, and how many pieces it shall hit before it is over; with none, work goes on during it.
type Trial = (Fault, Option<usize>);

async fn goes_through(test: &'static str, polling: bool, trials: &[Trial]) {
    let _watchdog = Watchdog::start_for(test, 3 * PATIENCE);
    let manager = RealManager::start().await;
    let target: SocketAddr = manager.url.strip_prefix("http://").unwrap().parse().unwrap();
    let network = BadNetwork::start(target).await;
    let (kinds, runs, _gate) = kinds::registry();
    let url = format!("http://{}", network.address);
    let agent = Running::start(&url, kinds, |config| config.poll_for_tasks = polling);
    let mut all = 0;
    for (fault, hits) in trials {
        let (before, began) = (network.connections(), Instant::now());
        network.set(*fault);
        let mut tasks = Vec::new();
        for n in 0..TASKS {
            let said = format!("{fault:?} {n}");
            let id = manager.submit("AT_ONCE", json!({"say": said, "times": 3})).await;
            tasks.push((id, said));
        }
        all += tasks.len();
        if let Some(hits) = hits {
            network.hits(*hits).await;
            network.mend();
        }
        for (id, said) in &tasks {
            let task = manager.ended(id).await;
            assert_eq!(
                (&task["status"], &task["attempts"]),
                (&json!("SUCCEEDED"), &json!(1)),
                "{fault:?}: {task}"
            );
            let expected: String = (0..3).map(|line| format!("{said} {line}\n")).collect();
            logged(&manager, id, &expected).await;
        }
        assert_eq!(runs.count(), all, "{fault:?}: each ran once");
        let connections = network.connections() - before;
        assert!(
            connections < MOST_CONNECTIONS,
            "{fault:?}: {connections} connections"
        );
        network.mend();
        println!(
            "{test}: {fault:?} took {:.1?} and {connections} connections",
            began.elapsed()
        );
    }
    agent.stop.stop(Stop::Drain);
    assert_eq!(agent.exit().await, Exit::Drained);
}

/// The end of a log may still be on its way when the answer is not.
async fn logged(manager: &RealManager, id: &str, expected: &str) {
    let look = async {
        while manager.log(id).await.len() < expected.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, look).await;
    assert_eq!(manager.log(id).await, expected);
}

#[tokio::test]
async fn the_stream_outlives_what_a_network_does_to_it() {
    goes_through(
        "faults of the stream",
        false,
        &[
            (Fault::Late(Duration::from_millis(30)), None),
            (Fault::Slow(400), None),
            (Fault::Cut(300), Some(2)),
            (Fault::Reset(9), Some(1)),
            (Fault::BlackHole, Some(1)),
            (Fault::Twice, Some(2)),
        ],
    )
    .await;
}

#[tokio::test]
async fn polling_outlives_what_a_network_does_to_it() {
    goes_through(
        "faults of polling",
        true,
        &[
            (Fault::Late(Duration::from_millis(30)), None),
            (Fault::Slow(400), None),
            (Fault::Cut(150), Some(2)),
            (Fault::Reset(9), Some(1)),
            // A question for events and a heartbeat at most are on their way when nothing comes back.
            (Fault::BlackHole, Some(1)),
        ],
    )
    .await;
}
