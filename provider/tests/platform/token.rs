//! The life of a token.

use serde_json::{Value as Json, json};

use crate::fixture::{Case, TOKEN};

#[tokio::test]
async fn a_token_is_made_kept_changed_in_place_and_revoked_at_its_end() {
    let Some(case) = Case::new("life").await else {
        return;
    };
    case.token("");
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(TOKEN), ["create"]);
    case.terraform.apply().await.succeeds();
    let made = case.known().await;
    let value = made["value"].as_str().expect("a value").to_owned();
    let state = case.terraform.state().await;
    for (name, expected) in [
        ("id", json!(case.name)),
        ("status", json!("ACTIVE")),
        ("account_id", json!(case.manager.account)),
        ("value", Json::Null),
        ("revoke_after", Json::Null),
    ] {
        assert_eq!(state.attribute(TOKEN, name), &expected, "{name}");
    }
    let created = state
        .attribute(TOKEN, "created_at")
        .as_str()
        .expect("a time")
        .to_owned();
    assert!(created.ends_with('Z') && created.starts_with("20"), "{created}");
    assert!(
        !case.terraform.state_file().contains(&value),
        "the value is not in the state"
    );
    case.terraform.assert_settled().await;

    // In place, and without a trace at the manager.
    case.token("store_value = true\n  delete_on_destroy = false");
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(TOKEN), ["update"], "{}", plan.text);
    assert_eq!(plan.unknown(TOKEN), ["value"]);
    assert!(!plan.text.contains(&value));
    let apply = case.terraform.apply().await.succeeds();
    assert!(!apply.stdout.contains(&value));
    assert_eq!(case.attribute("value").await, json!(value));
    assert_eq!(case.known().await, made, "an update revokes nothing");
    case.terraform.assert_settled().await;
    case.token("");
    case.terraform.apply().await.succeeds();
    assert_eq!(case.attribute("value").await, Json::Null);
    assert!(!case.terraform.state_file().contains(&value));

    case.terraform.destroy().await.succeeds();
    assert_eq!(case.known().await["status"], "REVOKED");
    // The name is blocked now, and the user is told so.
    let error = case.terraform.apply().await.fails();
    assert!(error.contains("name of the delegate token is blocked"), "{error}");
    assert!(
        error.contains("30 days") && error.contains("Choose another name"),
        "{error}"
    );
}

#[tokio::test]
async fn a_destroy_that_also_deletes_frees_the_name() {
    let Some(case) = Case::new("free").await else {
        return;
    };
    case.token(
        "delete_on_destroy = true\n  store_value = true\n  revoke_after = \"2099-01-31T01:00:00+01:00\"",
    );
    case.terraform.apply().await.succeeds();
    let first = case.attribute("value").await;
    assert_eq!(first, case.known().await["value"]);
    assert_eq!(case.known().await["revokeAfter"], json!(4_073_500_800_000_i64));
    // The owner's way of writing the time stays.
    assert_eq!(case.attribute("revoke_after").await, "2099-01-31T01:00:00+01:00");
    case.terraform.assert_settled().await;
    case.terraform.destroy().await.succeeds();
    assert_eq!(case.known().await, Json::Null);
    case.terraform.apply().await.succeeds();
    assert_ne!(case.attribute("value").await, first);
}

#[tokio::test]
async fn a_token_deleted_outside_is_noticed_and_made_anew() {
    let Some(case) = Case::new("gone").await else {
        return;
    };
    case.token("");
    case.terraform.apply().await.succeeds();
    case.remove_outside().await;
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(TOKEN), ["create"], "{}", plan.text);
    case.terraform.apply().await.succeeds();
    assert_eq!(case.known().await["status"], "ACTIVE");
    // What is gone already is no error at the end.
    case.remove_outside().await;
    case.terraform
        .run(&["destroy", "-no-color", "-auto-approve", "-refresh=false"])
        .await
        .succeeds();
}

#[tokio::test]
async fn a_token_revoked_outside_is_reported_and_replaced_only_when_its_name_can_be_freed() {
    let Some(case) = Case::new("revoked").await else {
        return;
    };
    case.token("");
    case.terraform.apply().await.succeeds();
    case.revoke_outside().await;
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(TOKEN), ["no-op"], "{}", plan.text);
    assert!(
        plan.text.contains("The delegate token is revoked"),
        "{}",
        plan.text
    );
    case.token("delete_on_destroy = true");
    // First the flag is stored, for a destroy reads the stored one; then the dead token is replaced.
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(TOKEN), ["update"], "{}", plan.text);
    case.terraform.apply().await.succeeds();
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(TOKEN), ["delete", "create"], "{}", plan.text);
    case.terraform.apply().await.succeeds();
    assert_eq!(case.known().await["status"], "ACTIVE");
    assert_eq!(case.attribute("status").await, "ACTIVE");
    case.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_token_is_imported_by_its_id_and_the_plan_is_empty() {
    let Some(case) = Case::new("import").await else {
        return;
    };
    let made = case
        .manager
        .verb(&["token", "create", &case.name])
        .output()
        .await
        .expect("it runs");
    assert!(made.status.success());
    case.token("");
    // Made by another hand, it is not taken over unasked.
    let error = case.terraform.apply().await.fails();
    assert!(
        error.contains("exists already") && error.contains("terraform import"),
        "{error}"
    );
    case.terraform.import(TOKEN, &case.name).await.succeeds();
    assert_eq!(case.attribute("account_id").await, json!(case.manager.account));
    assert_eq!(case.attribute("status").await, "ACTIVE");
    case.terraform.assert_settled().await;
    assert_eq!(case.known().await["status"], "ACTIVE");
}

#[tokio::test]
async fn what_is_not_there_cannot_be_imported() {
    let Some(case) = Case::new("noimport").await else {
        return;
    };
    case.token("");
    let error = case.terraform.import(TOKEN, "nothing").await.fails();
    assert!(error.contains("non-existent remote object"), "{error}");
    let error = case.terraform.import(TOKEN, "a/b/c/d").await.fails();
    assert!(error.contains("<organization>/<project>/<name>"), "{error}");
}

#[tokio::test]
async fn arguments_of_token_and_provider_may_be_unknown_while_planning() {
    let Some(case) = Case::new("unknown").await else {
        return;
    };
    let text = |trigger: &str| {
        let (url, account) = (&case.manager.url, &case.manager.account);
        format!(
            "resource \"terraform_data\" \"manager\" {{\n  input = \"{url}\"\n  triggers_replace = \"{trigger}\"\n}}\n\
             resource \"terraform_data\" \"name\" {{\n  input = \"{}\"\n}}\n\
             provider \"harness\" {{\n  endpoint = terraform_data.manager.output\n  account_id = \"{account}\"\n}}\n\
             resource \"harness_delegate_token\" \"this\" {{\n  name = terraform_data.name.output\n}}\n",
            case.name
        )
    };
    case.terraform.write("main.tf", &text("a"));
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(TOKEN), ["create"]);
    case.terraform.apply().await.succeeds();
    case.terraform.assert_settled().await;
    // Again, now with a token that is there: the plan neither fails nor loses it.
    case.terraform.write("main.tf", &text("b"));
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(TOKEN), ["no-op"], "{}", plan.text);
    case.terraform.apply().await.succeeds();
    assert_eq!(case.known().await["status"], "ACTIVE");
}
