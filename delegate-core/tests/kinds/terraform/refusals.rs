//! What is no task for `TERRAFORM`.

use serde_json::{Value, json};

use crate::bench::refused;

fn with(mut more: Value) -> Value {
    let data = more.as_object_mut().unwrap();
    data.entry("command").or_insert(json!("apply"));
    data.entry("directory").or_insert(json!("app"));
    more
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    refused(
        "TERRAFORM",
        &[
            (json!({}), "data", "missing field `command`"),
            (json!({"command": "apply"}), "data", "missing field `directory`"),
            (
                with(json!({"command": "import"})),
                "command",
                "expected one of `plan`, `apply`",
            ),
            (with(json!({"directory": "../app"})), "directory", "contains `..`"),
            (with(json!({"directory": "/"})), "directory", "a place of its own"),
            (
                with(json!({"files": {"/etc/main.tf": ""}})),
                "files",
                "relative to `directory`",
            ),
            (
                with(json!({"files": {"a/../../main.tf": ""}})),
                "files",
                "contains `..`",
            ),
            (with(json!({"variable": {}})), "variable", "unknown field"),
            (
                with(json!({"variables": {"a b": 1}})),
                "variables",
                "none of a variable",
            ),
            (
                with(json!({"variables": {"a": 1}, "secret_variables": {"a": "x"}})),
                "secret_variables",
                "without being secret",
            ),
            (
                with(json!({"secret_variables": {"a": 7}})),
                "secret_variables.a",
                "expected a string",
            ),
            (
                with(json!({"backend": {"-x": 1}})),
                "backend",
                "none of a variable",
            ),
            (
                with(json!({"hosts": {"https://x": "t"}})),
                "hosts",
                "leave scheme and path out",
            ),
            (
                with(json!({"hosts": {"x.example.com": "a\nb"}})),
                "hosts.x.example.com",
                "is no token",
            ),
            (
                with(json!({"mirror": {"directory": "here"}})),
                "mirror.directory",
                "must be absolute",
            ),
            (
                with(json!({"mirror": {"url": "http://x/"}})),
                "mirror.url",
                "https URL",
            ),
            (
                with(json!({"workspace": "-x"})),
                "workspace",
                "not beginning with a hyphen",
            ),
            (with(json!({"targets": [""]})), "targets", "must hold addresses"),
            (with(json!({"parallelism": 0})), "parallelism", "nonzero"),
            (
                with(json!({"lock_timeout": "soon"})),
                "lock_timeout",
                "a number and a unit",
            ),
            (
                with(json!({"plan": "p", "variables": {"a": 1}})),
                "variables",
                "in the saved plan already",
            ),
            (
                with(json!({"command": "destroy", "plan": "p"})),
                "plan",
                "a plan of its own",
            ),
            (
                with(json!({"command": "output", "targets": ["a.b"]})),
                "targets",
                "plans nothing",
            ),
            (
                with(json!({"command": "destroy", "refresh": "only"})),
                "refresh",
                "must not be `only`",
            ),
            (
                with(json!({"refresh": "only", "replace": ["a.b"]})),
                "replace",
                "changes nothing",
            ),
            (
                with(json!({"env": {"TF_CLI_ARGS_plan": "-x"}})),
                "env.TF_CLI_ARGS_plan",
                "set by the delegate",
            ),
            (
                with(json!({"secrets": {"A-B": "x"}})),
                "secrets",
                "none for an environment variable",
            ),
        ],
    )
    .await;
}
