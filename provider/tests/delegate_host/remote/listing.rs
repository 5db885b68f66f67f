//! Delegates of another machine are listed with the identity by which they are imported, with nothing sent there.

use harness_provider::framework::value::Value;
use serde_json::json;

use super::{NO_PROGRAM, Remote};
use crate::fixture::{TOKEN, resource};
use crate::host::Host;
use crate::manager::until;
use crate::rpc::Bench;

#[tokio::test]
async fn the_delegates_of_another_machine_are_listed() {
    let Some(remote) = Remote::new("remote-list").await else {
        return;
    };
    let case = &remote.case;
    let host = Host::by_default(&case.name);
    let place = format!(
        "host = {{ service = \"process\", ssh = {} }}",
        remote.machine.arguments("root")
    );
    case.write(&resource(
        &case.name,
        &format!("{place}\n  {TOKEN}\n  tags = [\"x\"]\n  wait = {{ until = \"installed\" }}"),
    ));
    case.terraform.apply().await.succeeds();
    let id = case.attribute("id").await;
    let path = |name: &str| Value::from(remote.machine.path(name).display().to_string());
    let ssh = Value::object([
        ("host", "127.0.0.1".into()),
        ("port", i64::from(remote.machine.port).into()),
        ("user", "root".into()),
        ("identity_file", path("user_key")),
        ("known_hosts_file", path("known_hosts")),
    ]);
    let there = [("mode", Value::from("host")), ("ssh", ssh)];
    let bench = Bench::new(&[]).await;
    remote.machine.received();
    let one = bench.listed(&there, true, &case.name).await;
    assert!(remote.machine.received() < NO_PROGRAM, "a look sends no program");
    assert_eq!(json!(one.id()), id);
    assert_eq!(
        one.display_name,
        format!("{} on {}", case.name, remote.machine.name("root"))
    );
    // Whoever imports it gets there as we did.
    for (name, file) in [("identity_file", "user_key"), ("known_hosts_file", "known_hosts")] {
        assert_eq!(one.identity.named(name), &path(file), "{name}");
    }
    let state = one.state();
    assert_eq!(state.named("tags"), &Value::set([Value::from("x")]));
    assert_eq!(
        state.named("target_id").as_str(),
        Some(remote.machine.id.as_str())
    );
    case.terraform.destroy().await.succeeds();
    host.assert_gone();
    let left = bench.list(&there, false).await;
    assert!(
        left.iter()
            .all(|one| one.identity.named("name").as_str() != Some(&case.name)),
        "{left:?}"
    );
    // It was held by this process, which goes on.
    until("the connection to end", async || {
        (remote.connections() == 0).then_some(())
    })
    .await;
}
