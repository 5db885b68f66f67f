//! A call that starts a run and is repeated, because its answer was lost.

use reqwest::Method;
use serde_json::{Value, json};

use crate::site::{Caller, ManagerProgram, agent};
use crate::support::Watchdog;

/// Calls at a time.
const CALLS: usize = 8;

const FILE: &str = "pipeline:\n  identifier: p\n  stages:\n    - stage:\n        identifier: s\n        spec:\n          \
    execution:\n            steps:\n              - step: {identifier: a, type: Run, spec: {command: 'true'}}\n";

/// Starts a run, or gets the one that there is: whether it is new, and its id.
async fn start(caller: &Caller, key: &str) -> (bool, String) {
    let body = json!({"file": FILE, "key": key});
    let (status, run) = caller.ask(Method::POST, "/pipelines", Some(body)).await;
    assert!([200, 201].contains(&status), "{status} {run}");
    (status == 201, run["id"].as_str().unwrap().to_owned())
}

async fn count(caller: &Caller) -> usize {
    let page = caller.call(Method::GET, "/pipelines", None).await;
    page["runs"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_key_starts_one_run_however_often_it_is_given() {
    let _watchdog = Watchdog::start("keys of runs");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("manager");
    let mut manager = ManagerProgram::start(&data, "127.0.0.1:0");
    let listen = manager.address.to_string();
    let caller = Caller::new(&manager.url());
    let calls = (0..CALLS).map(|_| start(&caller, "build 7"));
    let answers = futures_util::future::join_all(calls).await;
    let id = answers[0].1.clone();
    assert!(answers.iter().all(|(_, found)| *found == id), "{answers:?}");
    assert_eq!(answers.iter().filter(|(new, _)| *new).count(), 1, "{answers:?}");
    assert_eq!(count(&caller).await, 1);

    // Another manager on the same data knows it, also when the run is over.
    manager.kill();
    let manager = ManagerProgram::start(&data, &listen);
    let caller = Caller::new(&manager.url());
    assert_eq!(start(&caller, "build 7").await, (false, id.clone()));
    let _agent = agent(&manager.url(), "one", &[]);
    assert_eq!(caller.ended(&id).await["status"], "SUCCEEDED");
    assert_eq!(start(&caller, "build 7").await, (false, id.clone()));

    // Another key is another run, and so is none.
    let (new, other) = start(&caller, "build 8").await;
    assert!(new && other != id);
    assert_ne!(caller.start(FILE, json!({})).await, id);
    assert_eq!(count(&caller).await, 3);
    for key in [String::new(), "k".repeat(129)] {
        let body = json!({"file": FILE, "key": key});
        let (status, refusal): (u16, Value) = caller.ask(Method::POST, "/pipelines", Some(body)).await;
        assert_eq!((status, &refusal["field"]), (400, &json!("key")), "{refusal}");
    }
}
