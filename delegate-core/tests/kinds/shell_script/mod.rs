//! `SHELL_SCRIPT`, whose other tests are beside its code.

mod host;

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
            (
                json!({"script": "", "shell": "sh", "interpreter": "python3"}),
                "interpreter",
                "cannot be there together with `shell`",
            ),
            (
                json!({"script": "", "interpreter": "python3 -u"}),
                "interpreter",
                "without arguments",
            ),
            (
                json!({"script": "", "interpreter": "-c"}),
                "interpreter",
                "name or the path",
            ),
            (
                json!({"script": "", "ssh": {"host": "h"}}),
                "ssh",
                "missing field `login`",
            ),
            (
                json!({"script": "", "ssh": host::with(json!({"host": "-oProxyCommand=x"}))}),
                "ssh.host",
                "begin with a hyphen",
            ),
            (
                json!({"script": "", "ssh": host::with(json!({"user": "a b"}))}),
                "ssh.user",
                "a user's name",
            ),
            (
                json!({"script": "", "ssh": host::with(json!({"login": {"key": "x", "known_hosts": "h"}}))}),
                "ssh.login.key",
                "is no private key",
            ),
            (
                json!({"script": "\u{0}", "ssh": host::with(json!({}))}),
                "script",
                "contains a NUL",
            ),
            (
                json!({"script": "", "working_dir": "app", "ssh": host::with(json!({}))}),
                "working_dir",
                "absolute path on the host",
            ),
            (
                json!({"script": "", "env": {"HARNESS_DELEGATE_OUTPUT": "/x"}}),
                "env",
                "set by the delegate",
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

#[tokio::test]
async fn an_interpreter_runs_a_script_and_returns_what_it_writes_down() {
    let script = r#"
import os, sys
print("the secret is " + os.environ["SECRET"])
with open(os.environ["HARNESS_DELEGATE_OUTPUT"], "a") as output:
    output.write("FIRST=1\nFIRST=one = 1\nOTHER=nobody asked\n")
print("to the log", file=sys.stderr)
sys.exit(int(os.environ["CODE"]))
"#;
    let data = |code: &str| {
        json!({
            "script": script, "interpreter": "python3", "env": {"CODE": code}, "secrets": {"SECRET": "hunter2-of-python"},
            "output_vars": ["FIRST", "MISSING"],
        })
    };
    let well = run("SHELL_SCRIPT", data("0")).await;
    well.succeeded();
    assert_eq!(well.vars(), [("FIRST".to_owned(), "one = 1".to_owned())].into());
    assert!(well.log.contains("to the log") && well.log.contains("output variable MISSING was not set"));
    assert!(!well.everything().contains("hunter2"), "{}", well.everything());
    let failed = run("SHELL_SCRIPT", data("3")).await;
    assert_eq!(failed.failed(), "the script exited with code 3");
    assert_eq!(failed.vars()["FIRST"], "one = 1");

    let missing = run(
        "SHELL_SCRIPT",
        json!({"script": "", "interpreter": "no-such-interpreter"}),
    )
    .await;
    assert_eq!(
        missing.error(),
        "interpreter `no-such-interpreter`, wanted by task data field `interpreter`, is not on this delegate; install it, or choose \
         another one"
    );
}
