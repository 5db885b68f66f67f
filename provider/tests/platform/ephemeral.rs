//! A token's value on its way into a delegate, without resting anywhere.

use std::fs;

use crate::fixture::{Case, TOKEN, token};
use crate::host::Host;
use crate::manager::unique;

/// A delegate on this host that takes its token from the ephemeral resource.
fn delegate(name: &str, host: &Host, version: u32) -> String {
    format!(
        "resource \"harness_delegate\" \"this\" {{\n  name = \"{name}\"\n  token_wo = ephemeral.harness_delegate_token.this.value\n  \
         token_wo_version = {version}\n  host = {{ directory = \"{}\", service = \"process\" }}\n}}\n",
        host.path()
    )
}

fn opened(arguments: &str) -> String {
    format!("ephemeral \"harness_delegate_token\" \"this\" {{\n  {arguments}\n}}\n")
}

#[tokio::test]
async fn a_token_and_its_delegate_are_made_by_one_apply_and_the_value_rests_nowhere() {
    let Some(mut case) = Case::new("handed").await else {
        return;
    };
    let (host, name) = (Host::new(), unique("delegate"));
    case.terraform.set_env("TF_LOG", "TRACE");
    let text = format!(
        "{}{}{}",
        token(&case.name, "delete_on_destroy = true"),
        opened("id = harness_delegate_token.this.id"),
        delegate(&name, &host, 1)
    );
    case.write(&text);
    let mut texts = Vec::new();
    let plan = case
        .terraform
        .run(&["plan", "-no-color", "-out=test.tfplan"])
        .await
        .succeeds();
    texts.extend([("the plan", plan.stdout), ("the log of the plan", plan.stderr)]);
    let show = case
        .terraform
        .run(&["show", "-json", "test.tfplan"])
        .await
        .succeeds();
    texts.push(("the plan's JSON", show.stdout));
    let apply = case
        .terraform
        .run(&["apply", "-no-color", "test.tfplan"])
        .await
        .succeeds();
    texts.extend([
        ("the apply", apply.stdout),
        ("the log of the apply", apply.stderr),
    ]);
    // It is the token by which the delegate is let in.
    let known = case.manager.delegates(&name).await;
    assert_eq!(known[0]["token_name"], case.name.as_str(), "{known:?}");
    host.assert_one_delegate();
    let value = case.known().await["value"].as_str().expect("a value").to_owned();
    // With the token in place, the plan opens it and finds nothing to do.
    let plan = case
        .terraform
        .run(&["plan", "-no-color", "-detailed-exitcode"])
        .await
        .succeeds();
    texts.extend([("the second plan", plan.stdout), ("its log", plan.stderr)]);
    let show = case.terraform.run(&["show", "-json"]).await.succeeds();
    texts.extend([
        ("the state's JSON", show.stdout),
        ("the state file", case.terraform.state_file()),
    ]);
    let bare = value
        .parse::<delegate_core::config::DelegateToken>()
        .expect("a token")
        .bare();
    assert!(
        texts
            .iter()
            .any(|(_, text)| text.contains("OpenEphemeralResource")),
        "the log is a trace"
    );
    let installed = fs::read_to_string(host.env_file()).expect("it is installed");
    assert!(
        installed.contains(&value) || installed.contains(bare.expose()),
        "it is where it has to be"
    );
    for (what, text) in &texts {
        for secret in [value.as_str(), bare.expose()] {
            assert!(!text.contains(secret), "{what} holds the token");
        }
    }
    // The delegate goes first, then its token.
    case.terraform.destroy().await.succeeds();
    host.assert_gone();
    assert_eq!(case.known().await, serde_json::Value::Null);
}

#[tokio::test]
async fn a_token_that_cannot_be_used_is_not_opened() {
    let Some(case) = Case::new("unusable").await else {
        return;
    };
    let plan = async |arguments: &str| {
        case.write(&opened(arguments));
        case.terraform.run(&["plan", "-no-color"]).await
    };
    let error = plan("name = \"nothing\"").await.fails();
    assert!(
        error.contains("No such delegate token") && error.contains("nothing"),
        "{error}"
    );
    let error = plan("id = \"a\"\n  name = \"b\"").await.fails();
    assert!(error.contains("Exactly one of id, name"), "{error}");
    let error = plan("id = \"a//b\"").await.fails();
    assert!(error.contains("Unsuitable id"), "{error}");
    case.token("");
    case.terraform.apply().await.succeeds();
    let by_name = format!("name = \"{}\"", case.name);
    case.write(&format!("{}{}", token(&case.name, ""), opened(&by_name)));
    case.terraform
        .run(&["plan", "-no-color", "-detailed-exitcode"])
        .await
        .succeeds();
    case.revoke_outside().await;
    case.write(&format!("{}{}", token(&case.name, ""), opened(&by_name)));
    let error = case.terraform.run(&["plan", "-no-color"]).await.fails();
    assert!(error.contains("The delegate token is revoked"), "{error}");
    assert_eq!(
        case.terraform.state().await.attribute(TOKEN, "name"),
        case.name.as_str()
    );
}
