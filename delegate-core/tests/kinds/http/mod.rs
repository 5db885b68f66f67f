//! `HTTP`, against real servers: plain, TLS, and TLS that wants to know who asks.

mod refusals;
pub(crate) mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use delegate_core::config::{ClientCertificate, Proxy, ProxyScheme};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::bench::{Bench, Outcome, run};
use server::{Server, authority, issue, mutual};

/// Sends back what came in.
async fn echo(headers: HeaderMap, body: String) -> Response {
    let sent = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let body = json!({
        "body": body,
        "type": sent("content-type"),
        "team": sent("x-team"),
        "key": sent("x-key"),
        "login": sent("authorization"),
        "list": [{"n": 1}, {"n": 2.5}],
    });
    (
        [("x-answer", "42"), ("content-type", "application/json")],
        body.to_string(),
    )
        .into_response()
}

async fn http(data: Value) -> Outcome {
    run("HTTP", data).await
}

#[tokio::test]
async fn a_request_is_sent_as_told_and_its_answer_comes_back_masked() {
    let server = Server::start(Router::new().route("/echo", any(echo))).await;
    let outcome = http(json!({
        "method": "PUT",
        "url": server.url("/echo?token=hunter-in-the-query"),
        "headers": {"X-Team": "a"},
        "secret_headers": {"X-Key": "hunter-of-headers"},
        "basic": {"user": "anna", "password": "hunter-of-basic"},
        "json": {"n": 1},
        "expect": {"status": [200], "json": {"/list/1/n": 2.5, "/team": "a"}, "contains": "\"n\"", "max_millis": 100_000},
        "return_headers": ["X-Answer", "X-Not-There"],
        "output_vars": {"TEAM": "/team", "LIST": "/list", "KEY": "/key"},
    }))
    .await;
    let result = outcome.succeeded();
    let answer: Value = serde_json::from_str(result["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        answer,
        json!({
            "body": "{\"n\":1}", "type": "application/json", "team": "a", "key": "**************",
            // The name may be told, the password not.
            "login": answer["login"],
            "list": [{"n": 1}, {"n": 2.5}],
        })
    );
    assert_eq!(result["status"], 200);
    assert_eq!(result["attempts"], 1);
    assert_eq!(result["headers"], json!({"x-answer": "42"}));
    assert_eq!(result["url"], server.url("/echo"));
    let vars = outcome.vars();
    assert_eq!(
        (&*vars["TEAM"], &*vars["LIST"], &*vars["KEY"]),
        ("a", "[{\"n\":1},{\"n\":2.5}]", "**************")
    );
    // What the server got is what was meant.
    let (method, target, headers) = server.asked().remove(0);
    assert_eq!((&*method, &*target), ("PUT", "/echo?token=hunter-in-the-query"));
    assert_eq!(headers["x-key"], "hunter-of-headers");
    assert_eq!(headers["authorization"], "Basic YW5uYTpodW50ZXItb2YtYmFzaWM=");
    assert!(
        !outcome.everything().contains("hunter"),
        "{}",
        outcome.everything()
    );
    assert!(!outcome.everything().contains("aHVudGVy") && !outcome.everything().contains("h1bnRlc"));
    assert!(
        outcome.log.contains("PUT http://") && outcome.log.contains("200 OK from"),
        "{}",
        outcome.log
    );
}

#[tokio::test]
async fn what_is_not_as_expected_is_said_each_for_itself() {
    let routes = Router::new().route(
        "/",
        get(|| async { (StatusCode::IM_A_TEAPOT, "{\"state\": \"DOWN\"}") }),
    );
    let server = Server::start(routes).await;
    let outcome = http(json!({
        "url": server.url("/"),
        "expect": {"status": ["2xx", "300-302", 404], "json": {"/state": "UP", "/build": 1}, "contains": "fine"},
        "output_vars": {"STATE": "/state", "BUILD": "/build"},
    }))
    .await;
    let error = outcome.failed();
    for part in [
        "the status is 418, expected 2xx or 300-302 or 404",
        "the value at \"/state\" is \"DOWN\", expected \"UP\"",
        "there is nothing at \"/build\"",
        "does not contain \"fine\"",
        "output variable BUILD",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(outcome.response.data["status"], 418);
    assert_eq!(outcome.vars()["STATE"], "DOWN", "what is there is returned");
    assert!(
        outcome.log.contains("\"DOWN\"}"),
        "what the server said is in the log: {}",
        outcome.log
    );

    // Without an expectation only success will do; with one of its own any status may.
    let outcome = http(json!({"url": server.url("/")})).await;
    assert_eq!(outcome.failed(), "the status is 418, expected 2xx");
    http(json!({"url": server.url("/"), "expect": {"status": ["4xx"]}}))
        .await
        .succeeded();
}

#[tokio::test]
async fn it_is_tried_again_until_it_is_as_expected_or_often_enough() {
    let times = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&times);
    let flaky = get(move || async move {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        (
            if n < 2 {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::OK
            },
            "x",
        )
    });
    let server = Server::start(Router::new().route("/", flaky)).await;
    let data = json!({"url": server.url("/"), "retries": {"times": 3, "every": "1ms"}});
    let outcome = http(data).await;
    assert_eq!(outcome.succeeded()["attempts"], 3);
    assert!(outcome.log.contains("(attempt 3 of 4)"), "{}", outcome.log);

    let data = json!({"url": server.url("/not-there"), "retries": {"times": 2, "every": "1ms"}});
    let outcome = http(data).await;
    assert_eq!(outcome.failed(), "the status is 404, expected 2xx");
    assert_eq!(outcome.response.data["attempts"], 3);
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_failure_that_says_so() {
    // Takes connections, and closes them.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _closing = AbortOnDropHandle::new(tokio::spawn(
        async move { while listener.accept().await.is_ok() {} },
    ));
    let outcome = http(json!({"url": format!("http://{address}/x?key=hunter")})).await;
    let error = outcome.failed();
    assert!(
        error.starts_with(&format!("no answer from http://{address}/x: ")),
        "{error}"
    );
    assert_eq!(outcome.response.data["status"], Value::Null);
    assert!(!outcome.everything().contains("hunter"));
}

#[tokio::test]
async fn a_try_and_a_task_end_with_their_time_and_an_abort_ends_both() {
    let never = get(std::future::pending::<()>);
    let server = Server::start(Router::new().route("/", never)).await;
    let outcome = http(json!({"url": server.url("/"), "timeout": "50ms"})).await;
    assert!(outcome.failed().contains("within 50ms"), "{}", outcome.error());

    let mut bench = Bench::of("HTTP");
    bench.timeout = Duration::from_millis(50);
    let outcome = bench.run(json!({"url": server.url("/")})).await;
    assert_eq!(outcome.status(), "TIMEOUT");

    let bench = Bench::of("HTTP");
    let (cancel, log) = (bench.cancel.clone(), Arc::clone(&bench.log));
    let running = bench.run(json!({"url": server.url("/"), "timeout": "1h"}));
    let aborting = async {
        log.until("GET http://").await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(running, aborting);
    assert_eq!(outcome.status(), "ABORTED");
}

#[tokio::test]
async fn redirects_are_followed_when_asked_and_take_no_secret_to_another_server() {
    let other = Server::start(Router::new().route("/echo", any(echo))).await;
    let there = other.url("/echo");
    let moved = |code: StatusCode, to: String| any(move || async move { (code, [(header::LOCATION, to)]) });
    let routes = Router::new()
        .route("/echo", any(echo))
        .route("/here", moved(StatusCode::FOUND, "/echo".to_owned()))
        .route("/kept", moved(StatusCode::TEMPORARY_REDIRECT, "echo".to_owned()))
        .route("/there", moved(StatusCode::PERMANENT_REDIRECT, there.clone()))
        .route("/round", moved(StatusCode::FOUND, "/round".to_owned()))
        .route("/file", moved(StatusCode::FOUND, "file:///etc/passwd".to_owned()));
    let server = Server::start(routes).await;
    let request = |path: &str| {
        json!({
            "method": "POST", "url": server.url(path), "body": "text", "follow_redirects": true,
            "headers": {"X-Team": "a"}, "secret_headers": {"X-Key": "hunter-of-headers"}, "bearer": "hunter-of-bearers",
        })
    };
    let answer = |outcome: &Outcome| -> Value {
        serde_json::from_str(outcome.succeeded()["body"].as_str().unwrap()).unwrap()
    };
    let mut unasked = request("/here");
    unasked["follow_redirects"] = json!(false);
    assert_eq!(http(unasked).await.failed(), "the status is 302, expected 2xx");

    let found = answer(&http(request("/here")).await);
    assert_eq!(
        (&found["body"], &found["team"]),
        (&json!(""), &json!("a")),
        "found elsewhere: fetched"
    );
    assert!(
        found["key"].is_string() && found["login"].is_string(),
        "the same server: {found}"
    );
    let kept = answer(&http(request("/kept")).await);
    assert_eq!(kept["body"], "text");

    let outcome = http(request("/there")).await;
    let away = answer(&outcome);
    assert_eq!(outcome.succeeded()["url"], there);
    assert_eq!((&away["body"], &away["team"]), (&json!("text"), &json!("a")));
    assert_eq!((&away["key"], &away["login"]), (&Value::Null, &Value::Null));
    let (method, _, headers) = other.asked().remove(0);
    assert_eq!(method, "POST");
    assert!(!headers.contains_key("x-key") && !headers.contains_key("authorization"));

    let error = http(request("/round")).await;
    assert!(error.failed().contains("goes in circles"), "{}", error.error());
    let error = http(request("/file")).await;
    assert!(
        error.failed().contains("which is not followed"),
        "{}",
        error.error()
    );
}

#[tokio::test]
async fn a_large_body_is_cut_and_judged_as_far_as_it_is_read() {
    const MIB: usize = 1024 * 1024;
    let routes = Router::new()
        .route("/small", get(|| async { "ä".repeat(MIB) }))
        .route("/large", get(|| async { "x".repeat(5 * MIB) }));
    let server = Server::start(routes).await;
    let outcome = http(json!({"url": server.url("/small")})).await;
    let result = outcome.succeeded();
    assert_eq!(result["body"].as_str().unwrap(), "ä".repeat(32 * 1024));
    assert_eq!(result["body_truncated"], true);
    let outcome =
        http(json!({"url": server.url("/large"), "expect": {"contains": "y", "json": {"/a": 1}}})).await;
    let error = outcome.failed();
    assert!(
        error.contains("larger than the 4 MiB") && error.contains("as far as it was read"),
        "{error}"
    );
}

#[tokio::test]
async fn the_proxy_of_the_delegate_is_used() {
    let proxy = Server::start(Router::new().fallback(|| async { "through the proxy" })).await;
    let mut bench = Bench::of("HTTP");
    bench.settings.http.proxy = Some(Proxy {
        scheme: ProxyScheme::Http,
        host: "127.0.0.1".to_owned(),
        port: proxy.address.port(),
        credentials: None,
    });
    let outcome = bench.run(json!({"url": "http://shop.invalid/health"})).await;
    assert_eq!(outcome.succeeded()["body"], "through the proxy");
    assert_eq!(proxy.asked()[0].1, "http://shop.invalid/health");
}

#[tokio::test]
async fn a_server_of_an_own_authority_is_trusted_and_shown_the_certificate_of_the_task() {
    let (ca, clients) = (authority("servers"), authority("clients"));
    let routes = Router::new().route("/", get(|| async { "who you are" })).route(
        "/down",
        get(|| async { (StatusCode::FOUND, [(header::LOCATION, "http://localhost:1/")]) }),
    );
    let server = Server::with_tls(routes, Some(mutual(&ca, &clients))).await;
    let url = format!("https://localhost:{}/", server.address.port());
    let (certificate, key) = issue(&clients, "task");
    let (_, other_key) = issue(&clients, "other");
    let tls = json!({"ca": ca.pem(), "certificate": certificate, "key": key});

    let outcome = http(json!({"url": url, "tls": tls})).await;
    assert_eq!(outcome.succeeded()["body"], "who you are");
    let outcome = http(json!({"url": format!("{url}down"), "tls": tls, "follow_redirects": true})).await;
    assert!(
        outcome.failed().contains("which is not followed"),
        "{}",
        outcome.error()
    );

    let outcome = http(json!({"url": url, "tls": {"certificate": certificate, "key": key}})).await;
    assert!(
        outcome.failed().contains("certificate"),
        "an unknown authority: {}",
        outcome.error()
    );
    // The certificate of the delegate itself, which these clients would be known by, is for its manager.
    let dir = tempfile::tempdir().unwrap();
    let pair = ClientCertificate {
        certificate: dir.path().join("certificate"),
        key: dir.path().join("key"),
    };
    std::fs::write(&pair.certificate, &certificate).unwrap();
    std::fs::write(&pair.key, &key).unwrap();
    let mut bench = Bench::of("HTTP");
    bench.settings.http.client_certificate = Some(pair);
    bench
        .run(json!({"url": url, "tls": {"ca": ca.pem()}}))
        .await
        .failed();
    let outcome = http(json!({"url": url, "tls": {"certificate": certificate, "key": other_key}})).await;
    let error = outcome.error();
    assert!(
        error.starts_with("task data field `tls`: cannot be used"),
        "the key of another: {error}"
    );
    assert_eq!(server.asked().len(), 2, "nobody else was let in");
}
