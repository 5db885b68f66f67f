//! Functions, called by Terraform.

use serde_json::json;

use crate::fixture::Case;
use crate::manager::{any_token, encoded};

#[tokio::test]
async fn functions_help_where_a_module_would_have_to_think() {
    let Some(mut case) = Case::new("functions").await else {
        return;
    };
    let token = any_token();
    case.terraform.set_env("TF_VAR_token", encoded(&token));
    // No provider block and no key: functions need neither.
    case.terraform.write(
        "main.tf",
        &format!(
            "variable \"token\" {{\n  type = string\n  sensitive = true\n}}\n\
             output \"hint\" {{ value = nonsensitive(provider::harness::decode_token_hint(var.token)) }}\n\
             output \"same\" {{ value = provider::harness::decode_token_hint(\"{token}\").hint }}\n\
             output \"tags\" {{ value = provider::harness::tags(\"linux, prod\", [\"b\", \"a\", null], toset([\"linux\"]), \
             {{ env = \"dev\", gpu = true, old = false, tier = 2 }}, null) }}\n\
             output \"none\" {{ value = provider::harness::tags() }}\n"
        ),
    );
    case.terraform.apply().await.succeeds();
    let state = case.terraform.state().await;
    let hint = format!("{}…{}", &token[..4], &token[28..]);
    assert_eq!(
        state.output("hint"),
        &json!({ "encoding": "base64", "hint": hint })
    );
    assert_eq!(state.output("same"), &json!(hint));
    assert_eq!(
        state.output("tags"),
        &json!(["a", "b", "env:dev", "gpu", "linux", "prod", "tier:2"])
    );
    assert_eq!(state.output("none"), &json!([]));
    assert!(!case.terraform.state_file().contains(&encoded(&token)));
}

#[tokio::test]
async fn a_wrong_argument_is_named() {
    let Some(case) = Case::new("wrong").await else {
        return;
    };
    for (call, parts) in [
        (
            "decode_token_hint(\"half-a-token\")",
            ["\"token\"", "12 characters"],
        ),
        ("tags(\"fine\", [\"a,b\"])", ["\"tags\"", "no comma"]),
        ("tags([[\"a\"]])", ["\"tags\"", "must be a text"]),
    ] {
        case.terraform.write(
            "main.tf",
            &format!("output \"x\" {{ value = provider::harness::{call} }}\n"),
        );
        let error = case.terraform.run(&["plan", "-no-color"]).await.fails();
        for part in parts {
            assert!(error.contains(part), "{call}: {error}");
        }
    }
}
