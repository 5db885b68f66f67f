//! Configurations that cannot become a token, each refused once, at its attribute, before anything is made.

use serde_json::Value as Json;

use crate::fixture::{Case, count};

#[tokio::test]
async fn bad_arguments_are_refused_at_validation() {
    let Some(case) = Case::new("bad").await else {
        return;
    };
    for (arguments, part) in [
        ("revoke_after = \"soon\"", "a time with its zone"),
        ("project_id = \"p\"", "org_id must be set too"),
        ("org_id = \"\"", "Must have 1 to 128 characters"),
    ] {
        case.token(arguments);
        let error = case.terraform.validate().await.fails();
        assert!(error.contains(part), "{arguments}: {error}");
        assert_eq!(count(&error, "Error:"), 1, "{error}");
    }
}

#[tokio::test]
async fn a_time_of_revocation_is_in_the_future_and_cannot_be_changed() {
    let Some(case) = Case::new("after").await else {
        return;
    };
    case.token("revoke_after = \"2020-01-01T00:00:00Z\"");
    let error = case.terraform.run(&["plan", "-no-color"]).await.fails();
    assert!(
        error.contains("revoked at once") && error.contains("revoke_after"),
        "{error}"
    );
    case.token("revoke_after = \"2098-01-01T00:00:00Z\"");
    case.terraform.apply().await.succeeds();
    for other in ["revoke_after = \"2099-01-01T00:00:00Z\"", ""] {
        case.token(other);
        let error = case.terraform.apply().await.fails();
        assert!(error.contains("revoke_after cannot be changed"), "{error}");
        assert_eq!(case.known().await["status"], "ACTIVE");
    }
    // The same time in another zone is no change of the token.
    case.token("revoke_after = \"2098-01-01T00:00:00Z\"");
    case.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_manager_without_organizations_says_so() {
    let Some(case) = Case::new("org").await else {
        return;
    };
    case.token("org_id = \"default\"");
    let error = case.terraform.apply().await.fails();
    assert!(
        error.contains("without organizations") && error.contains("The manager refused"),
        "{error}"
    );
    assert_eq!(
        case.known().await,
        Json::Null,
        "nothing was made in the account instead"
    );
}
