//! The client of the platform API: what it sends, what it attempts again, and what its errors say.

use std::time::{Duration, Instant};

use delegate_core::Secret;
use delegate_core::protocol::platform::DelegateFilter;
use harness_provider::platform::{Access, Api, Connections, PlatformError, Scope};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::product::{Reply, Server};

fn api_with(url: &str, stop: &CancellationToken) -> Api {
    let access = Access {
        endpoint: Some(url),
        account_id: Some("acc"),
        api_key: Some(&Secret::new("pat.acc.key")),
        unknown: &[],
    };
    Connections::default().api(access, stop).expect("all is known")
}

fn api(url: &str) -> Api {
    api_with(url, &CancellationToken::new())
}

/// One answer; without one the connection is closed.
type Answer = fn() -> Option<Reply>;

/// Answers in this order, and with the last one from then on.
async fn scripted(replies: Vec<Answer>) -> Server {
    let mut next = 0;
    Server::start(move |_| {
        let reply = replies[next.min(replies.len() - 1)];
        next += 1;
        reply()
    })
    .await
}

/// An empty list.
const NONE: Answer = || Some(Reply::resource(&json!([])));

/// Not now.
const BUSY: Answer = || Some(Reply::text(503, ""));

fn account() -> Scope {
    Scope::default()
}

#[tokio::test]
async fn a_call_says_who_asks_about_what() {
    let server = scripted(vec![NONE]).await;
    let scope = Scope {
        org: Some("my org".into()),
        project: Some("p".into()),
    };
    // As the product's own clients have it, with the gateway's path.
    let api = api(&format!("{}/gateway/", server.url));
    assert!(api.token(&scope, "team a&b").await.unwrap().is_none());
    let filter = DelegateFilter {
        status: Some("CONNECTED".into()),
        ..DelegateFilter::any()
    };
    assert!(api.delegates(&account(), &filter, true).await.unwrap().is_empty());
    let [token, list] = server.seen().try_into().expect("two requests");
    assert_eq!(
        (token.method.as_str(), token.path.as_str()),
        ("GET", "/gateway/ng/api/delegate-token-ng")
    );
    for (name, value) in [
        ("accountIdentifier", "acc"),
        ("orgIdentifier", "my org"),
        ("projectIdentifier", "p"),
        ("name", "team a&b"),
    ] {
        assert_eq!(token.query[name], value);
    }
    assert_eq!(token.headers["x-api-key"], "pat.acc.key");
    assert!(token.headers["user-agent"].starts_with("terraform-provider-harness/"));
    assert_eq!(
        (list.method.as_str(), list.path.as_str()),
        ("POST", "/gateway/ng/api/delegate-setup/listDelegates")
    );
    assert_eq!(list.query["all"], "true");
    assert!(!list.query.contains_key("orgIdentifier"));
    let body: serde_json::Value = serde_json::from_str(&list.body).unwrap();
    assert_eq!(body, json!({ "filterType": "Delegate", "status": "CONNECTED" }));
}

#[tokio::test]
async fn what_does_no_harm_is_attempted_again_and_not_for_ever() {
    // A lost connection, a busy manager, then an answer.
    let server = scripted(vec![|| None, BUSY, NONE]).await;
    assert!(api(&server.url).token(&account(), "t").await.unwrap().is_none());
    assert_eq!(server.methods().len(), 3);
    let server = scripted(vec![BUSY]).await;
    let error = api(&server.url).token(&account(), "t").await.unwrap_err();
    assert!(
        matches!(error, PlatformError::Refused { status: 503, .. }),
        "{error}"
    );
    assert_eq!(server.methods().len(), 5);
}

#[tokio::test]
async fn a_create_is_attempted_again_only_when_it_was_not_begun() {
    let server = scripted(vec![BUSY]).await;
    let error = api(&server.url)
        .create_token(&account(), "t", None)
        .await
        .unwrap_err();
    assert!(error.is_in_doubt());
    assert_eq!(server.methods(), ["POST"]);
    let server = scripted(vec![|| None]).await;
    let error = api(&server.url)
        .create_token(&account(), "t", None)
        .await
        .unwrap_err();
    assert!(error.is_in_doubt(), "{error}");
    assert_eq!(server.methods(), ["POST"]);
    // A rate limit comes before anything is done; the manager says when to come back.
    let server = scripted(vec![
        || Some(Reply::text(429, "").header("retry-after", "1")),
        || {
            Some(Reply::resource(
                &json!({ "name": "t", "status": "ACTIVE", "value": "v" }),
            ))
        },
    ])
    .await;
    let began = Instant::now();
    let token = api(&server.url)
        .create_token(&account(), "t", None)
        .await
        .unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(token.value.unwrap().expose(), "v");
    assert_eq!(server.methods(), ["POST", "POST"]);
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address_and_nothing_secret() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let error = api(&format!("http://me:secret@{address}"))
        .token(&account(), "t")
        .await
        .unwrap_err();
    assert!(!error.is_in_doubt());
    let text = error.to_string();
    assert!(
        text.contains(&address.to_string()) && text.contains("after 5 attempts"),
        "{text}"
    );
    assert!(!text.contains("secret") && !text.contains("pat.acc"), "{text}");
}

#[tokio::test]
async fn refusals_carry_the_managers_words_and_its_correlation_id() {
    let cases: [(Answer, &[&str]); 6] = [
        (
            || Some(Reply::refusal(401, "Token expired")),
            &["platform_api_key", "Token expired", "corr-7"],
        ),
        (
            || Some(Reply::refusal(403, "No permission")),
            &["may not", "account acc", "No permission", "corr-7"],
        ),
        (
            || Some(Reply::refusal(400, "Bad\nname.")),
            &[
                "did not show the delegate token",
                "Bad name (400, INVALID_REQUEST, correlation id corr-7)",
            ],
        ),
        (
            || Some(Reply::text(200, "<html>login</html>")),
            &["web page", "endpoint"],
        ),
        (
            || Some(Reply::text(404, "<html>proxy</html>")),
            &["404 with a web page"],
        ),
        (
            || Some(Reply::text(302, "").header("location", "https://login.example/x?token=secret")),
            &["redirect to https://login.example/x,", "endpoint"],
        ),
    ];
    for (reply, parts) in cases {
        let server = scripted(vec![reply]).await;
        let text = api(&server.url)
            .token(&account(), "t")
            .await
            .unwrap_err()
            .to_string();
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("secret") && !text.contains("pat.acc"), "{text}");
        assert_eq!(server.methods().len(), 1, "it would be the same again: {text}");
    }
}

#[tokio::test]
async fn a_reply_that_cannot_be_understood_is_not_repeated_to_the_user() {
    let server = scripted(vec![|| Some(Reply::resource(&json!("the-token")))]).await;
    let text = api(&server.url)
        .token(&account(), "t")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("something unexpected") && !text.contains("the-token"),
        "{text}"
    );
    // The other envelope is understood.
    let server = scripted(vec![|| {
        Some(Reply::text(
            200,
            json!({ "status": "SUCCESS", "data": { "latestSupportedVersion": "26.1.7" } }).to_string(),
        ))
    }])
    .await;
    let versions = api(&server.url).supported_versions().await.unwrap();
    assert_eq!(versions.latest_supported_version, "26.1.7");
}

#[tokio::test]
async fn an_interrupt_ends_the_wait_at_once() {
    let stop = CancellationToken::new();
    let interrupt = stop.clone();
    let server = Server::start(move |_| {
        interrupt.cancel();
        Some(Reply::text(429, "").header("retry-after", "60"))
    })
    .await;
    let began = Instant::now();
    let error = api_with(&server.url, &stop)
        .token(&account(), "t")
        .await
        .unwrap_err();
    assert!(matches!(error, PlatformError::Stopped { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn the_product_says_null_where_others_say_nothing() {
    let server = scripted(vec![|| {
        Some(Reply::resource(&json!([{ "name": "d", "type": null, "tags": null, "lastHeartBeat": null, "connected": true,
            "delegateReplicas": [{ "uuid": "1", "hostName": "h", "version": null, "expiringAt": null }], "orgName": "o" }])))
    }])
    .await;
    let listed = api(&server.url)
        .delegates(&account(), &DelegateFilter::any(), false)
        .await
        .unwrap();
    assert_eq!(
        (listed[0].name.as_str(), listed[0].org_name.as_deref()),
        ("d", Some("o"))
    );
    assert_eq!(listed[0].delegate_replicas[0].host_name, "h");
}
