//! The persistent connection, between the real agent and the real manager: what goes over it, what a break costs, and
//! when there is none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use delegate_core::agent::{Exit, Stop};
use delegate_core::config::{DelegateToken, Proxy, ProxyScheme, TokenSource};
use reqwest::Method;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use support::manager_double::{ManagerDouble, Route};
use support::program::eventually;
use support::real_manager::RealManager;
use support::relay::{Front, Relay};
use support::{PATIENCE, Running, TOKEN, Watchdog, kinds};

fn address(manager: &RealManager) -> std::net::SocketAddr {
    manager.url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// What the agent's health says of something, once it says so.
async fn says(agent: &Running, key: &str, value: &Value) {
    let look = async {
        loop {
            let health: Value = serde_json::from_str(&agent.get("/api/health").await.1).unwrap();
            if health[key] == *value {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .unwrap_or_else(|_| panic!("{key} is never {value}"));
}

async fn drained(agent: &Running) {
    agent.stop.stop(Stop::Drain);
    assert_eq!(agent.exit().await, Exit::Drained);
}

#[tokio::test]
async fn events_logs_and_answers_share_one_connection() {
    let _watchdog = Watchdog::start("one connection");
    let manager = RealManager::start().await;
    let relay = Relay::start(address(&manager), Front::Plain).await;
    let (kinds, runs, _gate) = kinds::registry();
    let agent = Running::start(&format!("http://{}", relay.address), kinds, |_| ());
    says(&agent, "transport", &json!("stream")).await;
    // One to register and ask, one that stays.
    let before = relay.connections();
    let mut tasks = Vec::new();
    for n in 0..50 {
        let said = json!({"say": format!("task {n} line"), "times": 3});
        tasks.push(manager.submit("AT_ONCE", said).await);
    }
    for (n, id) in tasks.iter().enumerate() {
        assert_eq!(manager.ended(id).await["status"], "SUCCEEDED");
        let expected: String = (0..3).map(|line| format!("task {n} line {line}\n")).collect();
        assert_eq!(manager.log(id).await, expected);
    }
    assert_eq!(runs.count(), tasks.len());
    assert_eq!(
        relay.connections(),
        before,
        "nothing needed a connection of its own"
    );
    drained(&agent).await;
}

#[tokio::test]
async fn an_abort_and_a_large_answer_come_through() {
    let _watchdog = Watchdog::start("abort and large answer");
    let manager = RealManager::start().await;
    let registry = kinds::registry().0.with(delegate_core::task::ShellScript);
    let agent = Running::start(&manager.url, registry, |_| ());
    says(&agent, "transport", &json!("stream")).await;
    let running = manager.submit("UNTIL_TOLD", json!({})).await;
    says(&agent, "tasks_executing", &json!(1)).await;
    manager
        .call(Method::POST, &format!("/api/v1/tasks/{running}/abort"), None)
        .await;
    assert_eq!(manager.ended(&running).await["status"], "ABORTED");
    // Larger than what may hold up the heartbeats on the stream.
    let script = "BIG=$(head -c 1500000 /dev/zero | tr '\\0' x)";
    let data = json!({"script": script, "output_vars": ["BIG"]});
    let large = manager.submit("SHELL_SCRIPT", data).await;
    let task = manager.ended(&large).await;
    let big = task["response"]["data"]["output_vars"]["BIG"].as_str();
    assert_eq!(big.map(str::len), Some(1_500_000), "{}", task["status"]);
    drained(&agent).await;
}

#[tokio::test]
async fn breaks_lose_no_task_and_no_line_and_run_nothing_twice() {
    let _watchdog = Watchdog::start("breaks");
    let manager = RealManager::start().await;
    let relay = Relay::start(address(&manager), Front::Plain).await;
    let (kinds, runs, _gate) = kinds::registry();
    let agent = Running::start(&format!("http://{}", relay.address), kinds, |_| ());
    says(&agent, "transport", &json!("stream")).await;
    let mut tasks = Vec::new();
    for round in 0..8 {
        for n in 0..25 {
            let said = json!({"say": format!("{round}/{n}"), "times": 5});
            tasks.push((format!("{round}/{n}"), manager.submit("AT_ONCE", said).await));
        }
        // In the middle of whatever goes on: acquires, logs, answers.
        relay.cut();
    }
    for (said, id) in &tasks {
        let task = manager.ended(id).await;
        assert_eq!(task["status"], "SUCCEEDED", "{task}");
        let expected: String = (0..5).map(|line| format!("{said} {line}\n")).collect();
        // The end of a log may still be on its way when the answer is not.
        let look = async {
            while manager.log(id).await.len() < expected.len() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, look).await;
        assert_eq!(manager.log(id).await, expected);
    }
    assert_eq!(runs.count(), tasks.len(), "each ran once");
    says(&agent, "transport", &json!("stream")).await;
    drained(&agent).await;
}

#[tokio::test]
async fn polling_can_be_forced_and_is_what_other_managers_get() {
    let _watchdog = Watchdog::start("polling");
    let manager = RealManager::start().await;
    let forced = Running::start(&manager.url, kinds::registry().0, |config| {
        config.poll_for_tasks = true;
    });
    let task = manager.submit("AT_ONCE", json!({"say": "x"})).await;
    assert_eq!(manager.ended(&task).await["status"], "SUCCEEDED");
    says(&forced, "transport", &json!("polling")).await;
    drained(&forced).await;

    let other = ManagerDouble::start().await;
    let agent = Running::start(&other.url, kinds::registry().0, |_| ());
    other.offer("t", "AT_ONCE", json!({}));
    other.answered("t").await;
    says(&agent, "transport", &json!("polling")).await;
    let asked: Vec<_> = other
        .calls(Route::Other)
        .into_iter()
        .map(|call| call.path)
        .collect();
    assert!(
        asked.is_empty(),
        "a manager that offers nothing is asked for nothing: {asked:?}"
    );
    drained(&agent).await;
}

#[tokio::test]
async fn a_revoked_token_stops_work_on_an_open_stream_and_a_rotated_file_resumes_it() {
    let _watchdog = Watchdog::start("rotation");
    let manager = RealManager::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let agent = Running::start(&manager.url, kinds::registry().0, |config| {
        config.token = TokenSource::File(file.clone());
    });
    says(&agent, "transport", &json!("stream")).await;
    let tokens = manager.call(Method::GET, "/api/v1/tokens", None).await;
    let old = tokens["tokens"][0]["name"].as_str().unwrap().to_owned();
    let new = manager
        .call(Method::POST, "/api/v1/tokens", Some(json!({"name": "rotated"})))
        .await;
    let new: DelegateToken = new["value"].as_str().unwrap().parse().unwrap();
    manager
        .call(Method::POST, &format!("/api/v1/tokens/{old}/revoke"), None)
        .await;
    says(&agent, "connected", &json!(false)).await;
    // As a Secret is replaced: by a new file in the place of the old one.
    let fresh = dir.path().join("fresh");
    std::fs::write(&fresh, new.encoded().expose()).unwrap();
    std::fs::rename(&fresh, &file).unwrap();
    says(&agent, "connected", &json!(true)).await;
    let task = manager.submit("AT_ONCE", json!({})).await;
    assert_eq!(manager.ended(&task).await["status"], "SUCCEEDED");
    drained(&agent).await;
}

/// A certificate for `localhost` and its authority, in a folder for the agent; and what shows it.
fn tls(folder: &std::path::Path) -> tokio_rustls::TlsAcceptor {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config).into()
}

#[tokio::test]
async fn it_goes_through_tls_and_a_proxy() {
    let _watchdog = Watchdog::start("tls and proxy");
    let manager = RealManager::start().await;
    let folder = tempfile::tempdir().unwrap();
    let secure = Relay::start(address(&manager), Front::Tls(tls(folder.path()))).await;
    let proxy = Relay::start(secure.address, Front::Proxy).await;
    let url = format!("https://localhost:{}", secure.address.port());
    for no_proxy in ["other.test", "localhost"] {
        let agent = Running::start(&url, kinds::registry().0, |config| {
            config.ca_bundle_dir = folder.path().to_path_buf();
            config.proxy = Some(Proxy {
                scheme: ProxyScheme::Http,
                host: "127.0.0.1".to_owned(),
                port: proxy.address.port(),
                credentials: None,
            });
            config.no_proxy = vec![no_proxy.to_owned()];
        });
        says(&agent, "transport", &json!("stream")).await;
        let task = manager.submit("AT_ONCE", json!({"say": "x"})).await;
        assert_eq!(manager.ended(&task).await["status"], "SUCCEEDED");
        drained(&agent).await;
    }
    let heads = proxy.heads();
    let expected = format!("CONNECT localhost:{}", secure.address.port());
    // The one that registered and the stream of the first agent; nothing of the second.
    assert!(
        heads.len() >= 2 && heads.iter().all(|head| head.starts_with(&expected)),
        "{heads:?}"
    );
    let through = proxy.connections();
    eventually("the second agent went directly", || {
        secure.connections() >= through + 2
    })
    .await;
}

#[tokio::test]
async fn a_plain_manager_behind_a_proxy_is_polled() {
    let _watchdog = Watchdog::start("plain proxy");
    let manager = ManagerDouble::start().await;
    manager.offer_stream();
    let proxy = Relay::start(
        manager.url.strip_prefix("http://").unwrap().parse().unwrap(),
        Front::Plain,
    )
    .await;
    let agent = Running::start("http://manager.example.test", kinds::registry().0, |config| {
        config.proxy = Some(Proxy {
            scheme: ProxyScheme::Http,
            host: "127.0.0.1".to_owned(),
            port: proxy.address.port(),
            credentials: None,
        });
    });
    manager.offer("t", "AT_ONCE", json!({}));
    assert_eq!(manager.answered("t").await["code"], "OK");
    says(&agent, "transport", &json!("polling")).await;
    drained(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_offered_and_not_had_is_tried_for_ever_while_polling_works() {
    let _watchdog = Watchdog::start("offered in vain");
    let manager = ManagerDouble::start().await;
    manager.offer_stream();
    let agent = Running::start(&manager.url, kinds::registry().0, |_| ());
    for n in 0..5 {
        let id = format!("t{n}");
        manager.offer(&id, "AT_ONCE", json!({}));
        manager.answered(&id).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    says(&agent, "transport", &json!("polling")).await;
    drained(&agent).await;
}
