//! Against the double: what cannot be had here, and refusals that the real ones do not give here.

use serde_json::{Value, json};

use super::double::{AUDIENCE, Double, KEY_TOKEN, SECRET, SERVICE_ACCOUNT, USER, key_file};
use super::{closed_port, connect, fails_at};
use crate::delegate::Delegate;

#[tokio::test]
async fn azure_tells_who_one_is_by_secret_and_by_machine() {
    let (double, delegate) = (Double::start().await, Delegate::new());
    let principal = |secret: &str| {
        json!({"azure": {"identity": {"service_principal": {
            "tenant_id": "tenant-1", "client_id": "app-1", "client_secret": secret, "authority": double.url,
        }}}})
    };
    let outcome = connect(&delegate, principal(SECRET)).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("object_id")),
        ("app-1", "object-1")
    );
    assert_eq!(
        (outcome.var("tenant_id"), outcome.var("audience")),
        ("tenant-1", "management")
    );
    outcome.hides(SECRET);
    let refused = connect(&delegate, principal("wrong-secret-of-nobody")).await;
    fails_at(&refused, "login", "AADSTS7000215");
    refused
        .says("to.azure.identity.service_principal.client_secret")
        .hides("wrong-secret-of-nobody");

    let machine = |more: Value| {
        let mut managed = json!({"endpoint": double.url});
        managed
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"azure": {"identity": {"managed_identity": managed}}})
    };
    let outcome = connect(&delegate, machine(json!({}))).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("resource_id")),
        ("machine-1", "/subscriptions/s/m")
    );
    let other = connect(&delegate, machine(json!({"client_id": "other"}))).await;
    fails_at(&other, "login", "Identity not found");
    let nowhere = machine(json!({"endpoint": format!("http://127.0.0.1:{}", closed_port().await)}));
    fails_at(
        &connect(&delegate, nowhere).await,
        "connection",
        "/metadata/identity",
    );
}

#[tokio::test]
async fn google_cloud_tells_who_one_is_by_key_by_federation_and_by_machine() {
    let (double, delegate) = (Double::start().await, Delegate::new());
    let gcp = |identity: Value| json!({"gcp": {"identity": identity}});
    let key = |email: &str| gcp(json!({"service_account": {"key": key_file(&double, email)}}));
    let outcome = connect(&delegate, key(SERVICE_ACCOUNT)).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("project_id")),
        (SERVICE_ACCOUNT, "shop-1")
    );
    assert_eq!(outcome.var("expires_in"), "3599");
    outcome.hides(double.key.lines().nth(1).unwrap());
    let refused = connect(&delegate, key("stranger@shop-1.iam.gserviceaccount.com")).await;
    fails_at(&refused, "login", "Invalid JWT Signature");

    let federated = |token: &str, account: Option<&str>| {
        gcp(json!({"workload_identity": {
            "audience": AUDIENCE, "token": token, "service_account": account,
            "exchange": format!("{}/v1/token", double.url), "impersonation": double.url,
        }}))
    };
    let outcome = connect(&delegate, federated(SECRET, None)).await.well();
    assert_eq!(outcome.text("identity"), AUDIENCE);
    let outcome = connect(&delegate, federated(SECRET, Some(SERVICE_ACCOUNT)))
        .await
        .well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("project_id")),
        (SERVICE_ACCOUNT, "shop-1")
    );
    outcome.hides("federated-token");
    let refused = connect(&delegate, federated("wrong-token-of-nobody", None)).await;
    fails_at(
        &refused,
        "login",
        "check `to.gcp.identity.workload_identity.audience`",
    );
    let other = Some("other@shop-1.iam.gserviceaccount.com");
    let refused = connect(&delegate, federated(SECRET, other)).await;
    fails_at(&refused, "permission", "PERMISSION_DENIED");

    let machine = gcp(json!({"metadata": {"endpoint": double.url}}));
    let outcome = connect(&delegate, machine).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("project_id")),
        (SERVICE_ACCOUNT, "shop-1")
    );
}

#[tokio::test]
async fn google_cloud_tells_whose_an_access_token_is() {
    let (double, delegate) = (Double::start().await, Delegate::new());
    let given = |token: &str| {
        let info = format!("{}/tokeninfo", double.url);
        json!({"gcp": {"identity": {"access_token": {"token": token, "token_info": info}}}})
    };
    let outcome = connect(&delegate, given(KEY_TOKEN)).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("service_account")),
        (SERVICE_ACCOUNT, SERVICE_ACCOUNT)
    );
    assert_eq!(
        (outcome.var("project_id"), outcome.var("expires_in")),
        ("shop-1", "3123")
    );
    outcome.hides(KEY_TOKEN);
    let refused = connect(&delegate, given("ya29.of-nobody")).await;
    fails_at(&refused, "login", "invalid_token: Invalid Value");
    refused
        .says("give a token in `to.gcp.identity.access_token.token` that has not run out")
        .hides("ya29.of-nobody");
}

#[tokio::test]
async fn a_registry_that_wants_a_token_gets_one() {
    let (double, delegate) = (Double::start().await, Delegate::new());
    let to = |password: &str| json!({"registry": {"url": double.url, "basic": {"user": USER, "password": password}}});
    let outcome = connect(&delegate, to(SECRET)).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("admission")),
        (USER, "token")
    );
    outcome.hides(SECRET);
    let refused = connect(&delegate, to("wrong-password-of-nobody")).await;
    fails_at(&refused, "login", "incorrect username or password");
}

#[tokio::test]
async fn nexus_tells_its_version_and_takes_a_login() {
    let (double, delegate) = (Double::start().await, Delegate::new());
    let to = |url: &str, user: &str, password: &str| json!({"nexus": {"url": url, "basic": {"user": user, "password": password}}});
    let at = format!("{}/nexus", double.url);
    let outcome = connect(&delegate, to(&at, USER, SECRET)).await.well();
    assert_eq!(
        (outcome.text("identity"), outcome.var("version")),
        (USER, "3.71.0-06 (OSS)")
    );
    assert_eq!(outcome.var("repositories"), "2");
    let refused = connect(&delegate, to(&at, USER, "wrong-password-of-nobody")).await;
    fails_at(&refused, "login", "check `to.nexus.basic`");
    fails_at(
        &connect(&delegate, to(&double.url, USER, SECRET)).await,
        "answer",
        "404",
    );

    // And a real one, where there is one.
    let named =
        ["HARNESS_TEST_NEXUS_URL", "HARNESS_TEST_NEXUS_PASSWORD"].map(|name| std::env::var(name).ok());
    let [Some(url), Some(password)] = named else {
        eprintln!(
            "SKIPPED: HARNESS_TEST_NEXUS_URL and HARNESS_TEST_NEXUS_PASSWORD name no Nexus; it takes 780 MB of memory"
        );
        return;
    };
    let outcome = connect(&delegate, to(&url, "admin", &password)).await.well();
    assert!(
        outcome.var("version").starts_with('3'),
        "{}",
        outcome.var("version")
    );
    let refused = connect(&delegate, to(&url, "admin", "wrong-password-of-nobody")).await;
    fails_at(&refused, "login", "check `to.nexus.basic`");
}

#[tokio::test]
async fn keys_that_aws_does_not_know_are_a_refused_login() {
    let (double, delegate) = (Double::start().await, Delegate::new());
    let to = json!({"aws": {
        "region": "eu-central-1", "endpoint": double.url,
        "credentials": {"keys": {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "the-secret-key"}},
    }});
    let refused = connect(&delegate, to).await;
    fails_at(&refused, "login", "InvalidClientTokenId");
    refused.says("check `to.aws.credentials`");
}
