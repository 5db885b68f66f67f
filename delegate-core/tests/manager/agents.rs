//! Who is let in: delegates by token, users by API key.

use delegate_core::config::DelegateToken;
use delegate_core::manager::store::Target;
use delegate_core::protocol::wire::{DelegateParams, Envelope};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{ACCOUNT, Fixture, manager};
use crate::scripted_delegate::{ScriptedDelegate, params, seconds};

async fn code(response: Response, status: StatusCode) -> String {
    assert_eq!(response.status(), status);
    let reply: Envelope<Value> = response.json().await.unwrap();
    assert!(reply.response_messages[0].message.ends_with('.'));
    reply.response_messages[0].code.clone()
}

#[tokio::test]
async fn a_refused_token_is_401_with_its_code() {
    let (_directory, manager) = manager().await;
    let refused = StatusCode::UNAUTHORIZED;
    let stranger = ScriptedDelegate::new(&manager.url, ACCOUNT, &DelegateToken::generate().unwrap());
    assert_eq!(
        code(stranger.register(&params("a")).await, refused).await,
        "INVALID_TOKEN"
    );
    let elsewhere = ScriptedDelegate::new(&manager.url, "otherAccount", &manager.token);
    assert_eq!(
        code(elsewhere.register(&params("a")).await, refused).await,
        "INVALID_TOKEN"
    );

    let delegate = manager.delegate("a").await;
    let path = format!(
        "{}/api/agent/delegates/{}/task-events?accountId={ACCOUNT}",
        manager.url, delegate.id
    );
    let call = async |bearer: &str| {
        let response = delegate
            .client
            .get(&path)
            .header("authorization", bearer)
            .send()
            .await
            .unwrap();
        code(response, refused).await
    };
    assert_eq!(
        call(&delegate.bearer(seconds() - 20 * 60 - 120)).await,
        "EXPIRED_TOKEN"
    );
    assert_eq!(call("Delegate nonsense").await, "INVALID_TOKEN");
    assert_eq!(call("Bearer x").await, "INVALID_TOKEN");
    let anonymous = delegate.client.get(&path).send().await.unwrap();
    assert_eq!(code(anonymous, refused).await, "INVALID_TOKEN");
}

#[tokio::test]
async fn a_token_a_little_too_old_is_taken_because_clocks_differ() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let path = format!(
        "{}/api/agent/delegates/{}/task-events?accountId={ACCOUNT}",
        manager.url, delegate.id
    );
    let bearer = delegate.bearer(seconds() - 20 * 60 - 30);
    let response = delegate
        .client
        .get(&path)
        .header("authorization", bearer)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn revoking_a_token_refuses_its_delegates_also_while_they_wait() {
    let (_directory, manager) = manager().await;
    let made = manager
        .api(Method::POST, "/tokens")
        .json(&json!({ "name": "second" }))
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.unwrap();
    let token: DelegateToken = made["value"].as_str().unwrap().parse().unwrap();
    let delegate = ScriptedDelegate::registered(&manager.url, ACCOUNT, &token, params("a")).await;
    let other = manager.delegate("b").await;

    let waiting = tokio::spawn({
        let delegate = delegate.clone();
        async move { delegate.poll(25_000).await }
    });
    let revoke = manager
        .api(Method::POST, "/tokens/second/revoke")
        .send()
        .await
        .unwrap();
    assert_eq!(revoke.status(), StatusCode::OK);
    let refused = StatusCode::UNAUTHORIZED;
    assert_eq!(code(waiting.await.unwrap(), refused).await, "REVOKED_TOKEN");
    assert_eq!(
        code(delegate.heartbeat(&params("a")).await, refused).await,
        "REVOKED_TOKEN"
    );
    assert_eq!(
        code(delegate.register(&params("a")).await, refused).await,
        "REVOKED_TOKEN"
    );
    assert_eq!(
        other.poll(0).await.status(),
        StatusCode::OK,
        "the other token goes on"
    );
    let list: Value = manager
        .api(Method::GET, "/delegates")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (
            &list["delegates"][0]["token_active"],
            &list["delegates"][0]["connected"]
        ),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn a_delegate_the_manager_does_not_know_is_told_to_register() {
    let (_directory, manager) = manager().await;
    let mut delegate = manager.delegate("a").await;
    delegate.id = "somebody-else".to_owned();
    let unknown = StatusCode::NOT_FOUND;
    assert_eq!(
        code(delegate.poll(1000).await, unknown).await,
        "DELEGATE_NOT_REGISTERED"
    );
    assert_eq!(
        code(delegate.heartbeat(&params("a")).await, unknown).await,
        "DELEGATE_NOT_REGISTERED"
    );
    assert_eq!(
        code(delegate.try_acquire("t").await, unknown).await,
        "DELEGATE_NOT_REGISTERED"
    );
}

#[tokio::test]
async fn a_delegate_known_before_a_restart_is_known_after_it() {
    let (directory, manager) = manager().await;
    let mut delegate = manager.delegate("a").await;
    let token = manager.token.clone();
    manager.stop().await;
    let again = Fixture::start_with(Target::Directory(directory.path().to_owned()), token)
        .await
        .unwrap();
    delegate.url.clone_from(&again.url);
    assert_eq!(delegate.poll(0).await.status(), StatusCode::OK);
    assert_eq!(delegate.heartbeat(&params("a")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_registration_that_cannot_be_is_refused_with_what_to_set() {
    let (_directory, manager) = manager().await;
    let delegate = ScriptedDelegate::new(&manager.url, ACCOUNT, &manager.token);
    for said in [
        DelegateParams {
            delegate_name: String::new(),
            ..params("a")
        },
        DelegateParams {
            delegate_name: "-a".to_owned(),
            ..params("a")
        },
        DelegateParams {
            tags: vec!["x".repeat(2000)],
            ..params("a")
        },
    ] {
        assert_eq!(
            code(delegate.register(&said).await, StatusCode::BAD_REQUEST).await,
            "INVALID_REQUEST"
        );
    }
    let garbage = delegate
        .request(Method::POST, "/api/agent/delegates/register")
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(code(garbage, StatusCode::BAD_REQUEST).await, "INVALID_REQUEST");
}

#[tokio::test]
async fn the_account_status_needs_no_token_and_tells_an_unknown_account() {
    let (_directory, manager) = manager().await;
    let status = async |account: &str| {
        let url = format!("{}/api/account/{account}/status", manager.url);
        manager.client.get(url).send().await.unwrap().status()
    };
    assert_eq!(status(ACCOUNT).await, StatusCode::OK);
    assert_eq!(status("other").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_api_needs_its_key_and_answers_in_one_shape() {
    let (_directory, manager) = manager().await;
    for (method, path) in delegate_core::manager::http::API_ROUTES {
        let path = path.replace("{id}", "x").replace("{name}", "x");
        let url = format!("{}/api/v1{path}", manager.url);
        let method: Method = method.to_uppercase().parse().unwrap();
        for key in [None, Some("wrong")] {
            let mut request = manager.client.request(method.clone(), &url);
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            let response = request.send().await.unwrap();
            if path == "/openapi.json" {
                assert_eq!(response.status(), StatusCode::OK);
            } else {
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
                let error: Value = response.json().await.unwrap();
                assert_eq!(error["code"], "UNAUTHORIZED");
                assert!(error["message"].as_str().unwrap().contains("x-api-key"));
            }
        }
    }
    for (method, path, status) in [
        (Method::GET, "/nothing", StatusCode::NOT_FOUND),
        (Method::GET, "/tasks/nope", StatusCode::NOT_FOUND),
        (Method::GET, "/tasks/nope/logs", StatusCode::NOT_FOUND),
        (Method::GET, "/tasks/nope/logs?follow=true", StatusCode::NOT_FOUND),
        (Method::PATCH, "/tasks", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/tasks/a%00b", StatusCode::NOT_FOUND),
    ] {
        let response = manager.api(method, path).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let error: Value = response.json().await.unwrap();
        assert!(
            error["code"].is_string() && error["message"].is_string(),
            "{error}"
        );
    }
}
