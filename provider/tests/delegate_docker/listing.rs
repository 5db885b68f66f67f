//! Delegates of an engine are listed with the identity by which they are imported.

use harness_provider::framework::value::Value;
use serde_json::json;

use crate::fixture::{Case, docker};
use crate::rpc::Bench;

#[tokio::test]
async fn the_delegates_of_an_engine_are_listed() {
    let Some(case) = Case::new("listed").await else {
        return;
    };
    let config = case
        .config()
        .set("tags", "[\"x\"]")
        .set("wait", "{ until = \"installed\" }");
    case.apply(&config).await.succeeds();
    let id = case.attribute("id").await;
    let bench = Bench::new(&[]).await;
    let mode = ("mode", Value::from("docker"));
    let one = bench.listed(std::slice::from_ref(&mode), false, &case.name).await;
    assert_eq!(json!(one.id()), id);
    assert_eq!(one.display_name, format!("{0} in the container {0}", case.name));
    assert!(one.resource.is_none());
    // By the engine's address, which is that of the environment.
    let address = docker(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]);
    let engine = Value::object([("host", Value::from(address))]);
    let one = bench
        .listed(&[mode.clone(), ("docker", engine)], true, &case.name)
        .await;
    assert_eq!(json!(one.id()), id);
    let state = one.state();
    assert_eq!(state.named("tags"), &Value::set([Value::from("x")]));
    assert_eq!(state.named("image").as_str(), Some(case.engine.image.as_str()));
    assert!(state.named("token").is_null() && state.named("token_wo").is_null());
    // An engine that does not answer has no empty list.
    let nobody = Value::object([("host", Value::from("unix:///nowhere/docker.sock"))]);
    let none = bench.list(&[mode, ("docker", nobody)], false).await;
    assert!(
        none.len() == 1 && none[0].diagnostics[0].contains("/nowhere/docker.sock"),
        "{none:?}"
    );
    case.assert_removed().await;
}
