//! The platform API's paths for delegate tokens and lists, as the product's clients use them.

use delegate_core::config::DelegateToken;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{ACCOUNT, API_KEY, Fixture, manager};
use crate::scripted_delegate::{ScriptedDelegate, params};

const TOKENS: &str = "/delegate-token-ng";

async fn call(manager: &Fixture, method: Method, path: &str, query: &[(&str, &str)]) -> (StatusCode, Value) {
    let response = manager.platform(method, path).query(query).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_token_is_made_used_revoked_and_deleted() {
    let (_directory, manager) = manager().await;
    let name = [("tokenName", "team-a")];
    let (status, made) = call(&manager, Method::POST, TOKENS, &name).await;
    assert_eq!(status, StatusCode::OK);
    let details = &made["resource"];
    assert_eq!(
        (&details["name"], &details["status"], &details["accountId"]),
        (&json!("team-a"), &json!("ACTIVE"), &json!(ACCOUNT))
    );
    let token: DelegateToken = details["value"].as_str().unwrap().parse().unwrap();
    ScriptedDelegate::registered(&manager.url, ACCOUNT, &token, params("a")).await;

    let (_, listed) = call(&manager, Method::GET, TOKENS, &[("status", "ACTIVE")]).await;
    let listed = listed["resource"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert!(
        listed.iter().all(|token| token.get("value").is_none()),
        "a list shows no secrets"
    );
    let (_, named) = call(&manager, Method::GET, TOKENS, &[("name", "team-a")]).await;
    assert_eq!(named["resource"][0]["value"], details["value"]);
    let (_, groups) = call(
        &manager,
        Method::GET,
        "/delegate-token-ng/delegate-groups",
        &[("delegateTokenName", "team-a")],
    )
    .await;
    let group = &groups["resource"]["delegateGroupDetails"][0];
    assert_eq!(group["groupName"], "a");
    assert_eq!(
        group["delegateInstanceDetails"][0]["connections"][0]["version"],
        "1.0.0"
    );

    assert_eq!(
        call(&manager, Method::DELETE, TOKENS, &name).await.0,
        StatusCode::CONFLICT,
        "it is active"
    );
    assert_eq!(
        call(&manager, Method::POST, TOKENS, &name).await.0,
        StatusCode::CONFLICT,
        "its name is taken"
    );
    let (status, revoked) = call(&manager, Method::PUT, TOKENS, &name).await;
    assert_eq!(
        (status, &revoked["resource"]["status"]),
        (StatusCode::OK, &json!("REVOKED"))
    );
    let (status, blocked) = call(&manager, Method::POST, TOKENS, &name).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        blocked["responseMessages"][0]["message"]
            .as_str()
            .unwrap()
            .contains("30 days")
    );
    assert_eq!(
        call(&manager, Method::DELETE, TOKENS, &name).await.0,
        StatusCode::OK
    );
    assert_eq!(
        call(&manager, Method::PUT, TOKENS, &name).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        call(&manager, Method::POST, TOKENS, &[]).await.0,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn delegates_are_listed_by_name_with_their_replicas() {
    let (_directory, manager) = manager().await;
    let mut said = params("a");
    said.tags = vec!["linux".to_owned()];
    for host in ["one", "two"] {
        said.host_name = host.to_owned();
        manager.delegate_with(said.clone()).await;
    }
    manager.delegate("b").await;
    let list = async |filter: Value| {
        let request = manager
            .platform(Method::POST, "/delegate-setup/listDelegates")
            .query(&[("all", "true")]);
        let reply: Value = request.json(&filter).send().await.unwrap().json().await.unwrap();
        reply["resource"].as_array().unwrap().clone()
    };
    let all = list(json!({ "filterType": "Delegate" })).await;
    assert_eq!(all.len(), 2);
    assert_eq!(
        (&all[0]["name"], &all[0]["connected"], &all[0]["tags"]),
        (&json!("a"), &json!(true), &json!(["linux"]))
    );
    assert_eq!(all[0]["delegateReplicas"].as_array().unwrap().len(), 2);
    assert_eq!(all[0]["delegateReplicas"][0]["version"], "1.0.0");
    assert_eq!(list(json!({ "delegateName": "b" })).await.len(), 1);
    assert_eq!(list(json!({ "delegateTags": ["linux"] })).await.len(), 1);
    assert_eq!(list(json!({ "status": "DISCONNECTED" })).await.len(), 0);
    let version = call(
        &manager,
        Method::GET,
        "/delegate-setup/latest-supported-version",
        &[],
    )
    .await
    .1;
    assert!(version["resource"]["latestSupportedVersion"].is_string());
}

#[tokio::test]
async fn organizations_and_projects_which_the_manager_does_not_have_are_refused() {
    let (_directory, manager) = manager().await;
    for parameter in ["orgIdentifier", "projectIdentifier"] {
        let query = [("tokenName", "team-b"), (parameter, "default")];
        let (status, refused) = call(&manager, Method::POST, TOKENS, &query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let message = refused["responseMessages"][0]["message"].as_str().unwrap();
        assert!(message.contains(parameter), "{message}");
    }
    let (_, listed) = call(&manager, Method::GET, TOKENS, &[("name", "team-b")]).await;
    assert_eq!(
        listed["resource"],
        json!([]),
        "nothing was made in the account instead"
    );
}

#[tokio::test]
async fn the_platform_api_needs_its_key_and_the_right_account() {
    let (_directory, manager) = manager().await;
    for (key, account, status) in [
        ("wrong", ACCOUNT, StatusCode::UNAUTHORIZED),
        (API_KEY, "other", StatusCode::FORBIDDEN),
        (API_KEY, ACCOUNT, StatusCode::OK),
    ] {
        let url = format!(
            "{}/gateway/ng/api{TOKENS}?accountIdentifier={account}",
            manager.url
        );
        let response = manager
            .client
            .get(url)
            .header("x-api-key", key)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status);
    }
}
