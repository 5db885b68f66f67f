//! What is no task for `VM_DEPLOY`.

use serde_json::{Value, json};

use crate::bench::refused;

fn with(more: Value) -> Value {
    let mut data = json!({
        "hosts": [{"host": "h"}],
        "login": {"key": "-----BEGIN KEY-----", "known_hosts": "h ssh-ed25519 A"},
        "script": "true",
    });
    data.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    data
}

fn file(from: &Value, to: &str, mode: &str) -> Value {
    with(json!({"files": [{"from": from, "to": to, "mode": mode}]}))
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let text = json!({"content": "x"});
    refused(
        "VM_DEPLOY",
        &[
            (json!({}), "data", "missing field `hosts`"),
            (with(json!({"hosts": []})), "hosts", "from 1 to 1000"),
            (
                with(json!({"hosts": [{"host": "-oProxyCommand=x"}]})),
                "hosts[0].host",
                "begin with a hyphen",
            ),
            (
                with(json!({"hosts": [{"host": "a@b"}]})),
                "hosts[0].host",
                "fields of their own",
            ),
            (
                with(json!({"hosts": [{"host": "a"}, {"host": "a"}]})),
                "hosts[1]",
                "is there already",
            ),
            (
                with(json!({"hosts": [{"host": "a", "port": 0}]})),
                "hosts[0].port",
                "nonzero",
            ),
            (with(json!({"user": "-l"})), "user", "begin with a hyphen"),
            (with(json!({"user": "a b"})), "user", "a user's name"),
            (
                with(json!({"login": {"key": "x", "known_hosts": "h"}})),
                "login.key",
                "is no private key",
            ),
            (
                with(json!({"login": {"key": "-----BEGIN KEY-----", "known_hosts": " "}})),
                "login.known_hosts",
                "is empty",
            ),
            (with(json!({"script": null})), "script", "nothing to do"),
            (with(json!({"script": " "})), "script", "not empty"),
            (
                with(json!({"shell": "python"})),
                "shell",
                "expected `sh` or `bash`",
            ),
            (
                with(json!({"env": {"A B": "x"}})),
                "env",
                "none for an environment variable",
            ),
            (
                with(json!({"secrets": {"A": "x\u{0}"}})),
                "secrets.A",
                "contains a NUL",
            ),
            (
                with(json!({"wave": {"percent": 101}})),
                "wave.percent",
                "from 1 to 100",
            ),
            (with(json!({"wave": {"hosts": 0}})), "wave.hosts", "nonzero"),
            (
                with(json!({"max_failures": -1})),
                "max_failures",
                "expected usize",
            ),
            (file(&text, "relative", "0644"), "files[0].to", "absolute path"),
            (file(&text, "/a/../b", "0644"), "files[0].to", "without `..`"),
            (file(&text, "/a", "u+x"), "files[0].mode", "in octal"),
            (
                file(&json!({"path": "../x"}), "/a", "0644"),
                "files[0].from.path",
                "contains `..`",
            ),
            (
                with(json!({"files": [{"from": text, "to": "/a"}, {"from": text, "to": "/a"}]})),
                "files[1].to",
                "another file goes already",
            ),
        ],
    )
    .await;
}
