//! `SHELL_SCRIPT`, whose other tests are beside its code.

use serde_json::json;

use crate::bench::{refused, run};

#[tokio::test]
async fn what_is_no_script_is_refused() {
    refused(
        "SHELL_SCRIPT",
        &[
            (json!({}), "data", "missing field `script`"),
            (json!([]), "data", "invalid"),
            (json!({"script": 1}), "script", "expected a string"),
            (json!({"script": "", "scirpt": ""}), "scirpt", "unknown field"),
            (
                json!({"script": "", "env": {"A": 1}}),
                "env.A",
                "expected a string",
            ),
            (json!({"script": "", "env": {"A-B": ""}}), "env", "not a name"),
            (json!({"script": "", "env": {"A": "\u{0}"}}), "env.A", "NUL"),
            (
                json!({"script": "", "secrets": {"A": "x\u{0}"}}),
                "secrets.A",
                "NUL",
            ),
            (
                json!({"script": "", "output_vars": ["A;B"]}),
                "output_vars",
                "not a name",
            ),
            (
                json!({"script": "", "output_vars": "A"}),
                "output_vars",
                "expected a sequence",
            ),
            (
                json!({"script": "", "secrets": {"HARNESS_DELEGATE_TASK": ""}}),
                "secrets",
                "set by the delegate",
            ),
            (
                json!({"script": "", "shell": "fish"}),
                "shell",
                "must be bash, sh, pwsh",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn its_result_is_what_its_description_says() {
    let outcome = run("SHELL_SCRIPT", json!({"script": "exit 3"})).await;
    assert_eq!(outcome.failed(), "the script exited with code 3");
    assert_eq!(outcome.response.data["exit_code"], 3);
}
