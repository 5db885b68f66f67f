//! The way to the platform API: key, account and address.

use serde_json::Value as Json;

use crate::fixture::{Case, TOKEN, count, provider, token};
use crate::manager::Manager;

/// That this is one error, and no more.
fn one(error: &str) {
    assert_eq!(count(error, "Error:"), 1, "{error}");
}

#[tokio::test]
async fn a_missing_or_refused_key_is_one_error_that_names_it() {
    let Some(mut case) = Case::new("key").await else {
        return;
    };
    case.token("");
    case.terraform.set_env("HARNESS_PLATFORM_API_KEY", "");
    // Nothing is asked of a manager before it is needed.
    case.terraform.validate().await.succeeds();
    let error = case.terraform.apply().await.fails();
    one(&error);
    assert!(
        error.contains("platform_api_key") && error.contains("HARNESS_PLATFORM_API_KEY"),
        "{error}"
    );
    assert!(error.contains("No platform API key"), "{error}");
    case.terraform
        .set_env("HARNESS_PLATFORM_API_KEY", "pat.not-the-key");
    let error = case.terraform.apply().await.fails();
    one(&error);
    assert!(error.contains("The platform API key was refused"), "{error}");
    assert!(
        error.contains("platform_api_key") && error.contains(&case.manager.url),
        "{error}"
    );
    assert!(!error.contains("pat.not-the-key"), "{error}");
    assert_eq!(case.known().await, Json::Null);
    // As an argument of the provider it does as well.
    let (url, account, key) = (&case.manager.url, &case.manager.account, &case.manager.api_key);
    let block =
        provider(url, account).replace("endpoint", &format!("platform_api_key = \"{key}\"\n  endpoint"));
    case.terraform
        .write("main.tf", &format!("{block}{}", token(&case.name, "")));
    case.terraform.apply().await.succeeds();
}

#[tokio::test]
async fn another_account_is_refused_and_named() {
    let Some(case) = Case::new("account").await else {
        return;
    };
    case.token("account_id = \"elsewhere\"");
    let error = case.terraform.apply().await.fails();
    one(&error);
    assert!(
        error.contains("account elsewhere") && error.contains("check account_id"),
        "{error}"
    );
}

#[tokio::test]
async fn a_manager_that_is_away_loses_no_token() {
    let Some(mut case) = Case::new("away").await else {
        return;
    };
    case.token("");
    case.terraform.apply().await.succeeds();
    case.manager.stop().await;
    for command in [
        &["plan", "-no-color"][..],
        &["destroy", "-no-color", "-auto-approve", "-refresh=false"],
    ] {
        let error = case.terraform.run(command).await.fails();
        one(&error);
        assert!(error.contains("The manager cannot be reached"), "{error}");
        assert!(
            error.contains(&case.manager.url) && error.contains("endpoint"),
            "{error}"
        );
    }
    assert_eq!(case.attribute("status").await, "ACTIVE", "it is still known");
    case.manager.resume().await;
    case.terraform.assert_settled().await;
    case.terraform.destroy().await.succeeds();
    assert_eq!(case.known().await["status"], "REVOKED");
}

#[tokio::test]
async fn the_key_is_in_no_plan_state_or_log() {
    let Some(mut case) = Case::new("redacted").await else {
        return;
    };
    case.terraform.set_env("TF_LOG", "TRACE");
    case.token("");
    let plan = case
        .terraform
        .run(&["plan", "-no-color", "-out=test.tfplan"])
        .await
        .succeeds();
    let apply = case
        .terraform
        .run(&["apply", "-no-color", "test.tfplan"])
        .await
        .succeeds();
    let bad = Manager::start().await;
    case.terraform.write(
        "main.tf",
        &format!(
            "{}{}",
            provider(&bad.url, &case.manager.account),
            token(&case.name, "")
        ),
    );
    let refused = case.terraform.run(&["plan", "-no-color"]).await;
    assert!(!refused.status.success());
    assert!(apply.stderr.contains("platform API"), "the log has the calls");
    for text in [
        plan.stdout,
        plan.stderr,
        apply.stdout,
        apply.stderr,
        refused.stdout,
        refused.stderr,
        case.terraform.state_file(),
    ] {
        assert!(!text.contains(&case.manager.api_key), "it holds the key");
    }
    assert_eq!(case.terraform.state().await.attribute(TOKEN, "status"), "ACTIVE");
}
