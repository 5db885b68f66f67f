//! Data that no service can be deployed by.

use serde_json::{Value, json};

use crate::bench::refused;

#[tokio::test]
async fn what_deploys_nothing_is_refused() {
    let with = |field: &str, value: Value| {
        let mut data =
            json!({"service": "shop", "task_definition": {"existing": "shop:1"}, "desired_count": 1});
        data[field] = value;
        data
    };
    let aws = |aws: Value| with("aws", aws);
    let definition = |definition: Value| with("task_definition", definition);
    let keys = |id: &str, key: &str| json!({"credentials": {"keys": {"access_key_id": id, "secret_access_key": key}}});
    refused(
        "ECS_DEPLOY",
        &[
            (json!({"service": "shop"}), "data", "missing field `task_definition`"),
            (with("service", json!("shop of mine")), "service", "neither a name"),
            (with("cluster", json!("")), "cluster", "neither a name"),
            (with("wait", json!({"timeout": "0s"})), "wait.timeout", "longer than nothing"),
            (with("on_failure", json!("panic")), "on_failure", "unknown variant"),
            (with("create", json!({"desiredCount": 2})), "create.desiredCount", "is the field `desired_count`"),
            (with("create", json!({"clientToken": "x"})), "create.clientToken", "set by the delegate"),
            (aws(json!({"region": "x.evil/"})), "aws.region", "no region of AWS"),
            (aws(json!({"endpoint": "https://user:hunter2@host/"})), "aws.endpoint", "without a login"),
            (aws(keys("AKIA EXAMPLE", "hunter2")), "aws.credentials.keys.access_key_id", "letters and digits"),
            (aws(keys("AKIAEXAMPLE", "")), "aws.credentials.keys.secret_access_key", "is empty"),
            (aws(json!({"role": {"arn": "deployer"}})), "aws.role.arn", "arn:aws:iam::ACCOUNT:role/NAME"),
            (
                aws(json!({"role": {"arn": "arn:aws:iam::1:role/a", "session_name": "a b"}})),
                "aws.role.session_name",
                "2 to 64 letters",
            ),
            (
                aws(json!({"credentials": {"web_identity": {"role_arn": "arn:aws:iam::1:role/a", "token": ""}}})),
                "aws.credentials.web_identity.token",
                "is empty",
            ),
            (definition(json!({"existing": "a b"})), "task_definition.existing", "FAMILY:REVISION"),
            (definition(json!({"change": {}})), "task_definition.change", "changes nothing"),
            (
                definition(json!({"change": {"images": {"web": ""}}})),
                "task_definition.change.images.web",
                "no name of an image",
            ),
            (
                definition(json!({"change": {"environment": {"web": {"A=B": ""}}}})),
                "task_definition.change.environment.web",
                "no name of a variable",
            ),
            (definition(json!({"register": {}})), "task_definition.register.family", "is missing"),
            (
                definition(json!({"register": {"family": "a", "containerDefinitions": []}})),
                "task_definition.register.containerDefinitions",
                "is missing, or is no list",
            ),
            (
                definition(json!({"register": {"family": "a", "containerDefinitions": [{"name": "web"}]}})),
                "task_definition.register.containerDefinitions[0].image",
                "is missing",
            ),
            (
                definition(json!({"register": {
                    "family": "a", "revision": 3, "containerDefinitions": [{"name": "web", "image": "i"}],
                }})),
                "task_definition.register.revision",
                "is set by ECS",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_restarts_nothing_is_refused() {
    let aws = |aws: Value| json!({"service": "shop", "aws": aws});
    refused(
        "ECS_RESTART",
        &[
            (json!({}), "data", "missing field `service`"),
            (json!({"service": 1}), "service", "expected a string"),
            (json!({"service": ""}), "service", "neither a name"),
            (
                json!({"service": "a", "cluster": "a b"}),
                "cluster",
                "neither a name",
            ),
            (json!({"service": "a", "force": true}), "force", "unknown field"),
            (
                json!({"service": "a", "wait": "10m"}),
                "wait",
                "expected struct Wait",
            ),
            (
                json!({"service": "a", "wait": {"timeout": "soon"}}),
                "wait.timeout",
                "give a number",
            ),
            (aws(json!({"region": ""})), "aws.region", "no region of AWS"),
            (aws(json!({"endpoint": "moto"})), "aws.endpoint", "is no address"),
            (aws(json!({"credentials": {}})), "aws.credentials", "expected"),
            (aws(json!({"role": {}})), "aws.role", "missing field `arn`"),
        ],
    )
    .await;
}
