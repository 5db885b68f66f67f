//! What Terraform does with `harness_delegate` only when it is newer than the one at hand, or was older: deferral, and states
//! of another time.

use harness_provider::delegate::Delegate;
use harness_provider::framework::traits::Resource as _;
use harness_provider::framework::value::{Value, msgpack};
use harness_provider::plugin::proto::tfplugin6 as pb;
use harness_provider::plugin::proto::tfplugin6::provider_server::Provider as _;
use serde_json::{Value as Json, json};
use tonic::Request;

use crate::rpc::{Bench, texts, wire};

const TYPE: &str = "harness_delegate";

fn delegate(arguments: &[(&str, Value)]) -> pb::DynamicValue {
    wire(arguments, &Delegate.schema().ty())
}

fn client(deferral_allowed: bool) -> pb::ClientCapabilities {
    pb::ClientCapabilities {
        deferral_allowed,
        write_only_attributes_allowed: true,
        ..Default::default()
    }
}

async fn plan(
    bench: &Bench,
    config: &pb::DynamicValue,
    deferral: bool,
) -> pb::plan_resource_change::Response {
    let nothing = pb::DynamicValue {
        msgpack: msgpack::encode(&Value::Null, &Delegate.schema().ty())
            .unwrap()
            .into(),
        ..Default::default()
    };
    let request = pb::plan_resource_change::Request {
        type_name: TYPE.into(),
        prior_state: Some(nothing),
        proposed_new_state: Some(config.clone()),
        config: Some(config.clone()),
        client_capabilities: Some(client(deferral)),
        ..Default::default()
    };
    let reply = bench.service.plan_resource_change(Request::new(request)).await;
    let reply = reply.unwrap().into_inner();
    assert_eq!(texts(&reply.diagnostics), Vec::<String>::new());
    reply
}

async fn read(bench: &Bench, state: &pb::DynamicValue, deferral: bool) -> pb::read_resource::Response {
    let request = pb::read_resource::Request {
        type_name: TYPE.into(),
        current_state: Some(state.clone()),
        client_capabilities: Some(client(deferral)),
        ..Default::default()
    };
    let reply = bench.service.read_resource(Request::new(request)).await;
    let reply = reply.unwrap().into_inner();
    assert_eq!(texts(&reply.diagnostics), Vec::<String>::new());
    reply
}

#[tokio::test]
async fn what_the_provider_cannot_know_yet_is_put_off_where_that_is_allowed() {
    let host = Value::object([("service", Value::from("process"))]);
    let own = [
        ("name", Value::from("team-a")),
        ("token_wo", Value::from("0123456789abcdef0123456789abcdef")),
        ("host", host),
    ];
    let provided = delegate(&own);
    let complete = own.clone().into_iter().chain([
        ("account_id", Value::from("acme")),
        ("manager_url", Value::from("https://manager.example")),
    ]);
    let complete = delegate(&complete.collect::<Vec<_>>());
    let unknown = Bench::new(&[("endpoint", Value::Unknown), ("account_id", "acme".into())]).await;

    let put_off = plan(&unknown, &provided, true).await;
    let reason = put_off.deferred.expect("it is put off").reason();
    assert_eq!(reason, pb::deferred::Reason::ProviderConfigUnknown);
    assert!(put_off.planned_state.is_some());
    // A host that knows of no deferral gets a plan, and one that needs nothing of the provider too.
    assert!(plan(&unknown, &provided, false).await.deferred.is_none());
    assert!(plan(&unknown, &complete, true).await.deferred.is_none());

    let stored = delegate(&[
        ("name", "team-a".into()),
        ("target_id", "0123".into()),
        own[2].clone(),
    ]);
    let put_off = read(&unknown, &stored, true).await;
    let reason = put_off.deferred.expect("it is put off").reason();
    assert_eq!(reason, pb::deferred::Reason::ProviderConfigUnknown);
    assert_eq!(put_off.new_state.as_ref(), Some(&stored));
    let kept = read(&unknown, &stored, false).await;
    assert!(kept.deferred.is_none());
    assert_eq!(kept.new_state, Some(stored));
}

async fn upgrade(bench: &Bench, version: i64, state: &Json) -> Result<Value, String> {
    let request = pb::upgrade_resource_state::Request {
        type_name: TYPE.into(),
        version,
        raw_state: Some(pb::RawState {
            json: state.to_string().into(),
            ..Default::default()
        }),
    };
    let reply = bench.service.upgrade_resource_state(Request::new(request)).await;
    let reply = reply.unwrap().into_inner();
    let problems = texts(&reply.diagnostics);
    match reply.upgraded_state {
        Some(state) => {
            assert_eq!(problems, Vec::<String>::new());
            Ok(msgpack::decode(&state.msgpack, &Delegate.schema().ty()).unwrap())
        }
        None => Err(problems.concat()),
    }
}

/// A state as the first version of this provider wrote it, when there was neither `manifest` nor `docker`.
fn first_state() -> Json {
    json!({
        "name": "team-a", "account_id": null, "manager_url": null, "token": null, "token_wo": null, "token_wo_version": 1,
        "token_secret": null, "token_file": null, "tags": ["linux", "prod"], "description": "", "replicas": 2,
        "image": "harness/delegate:25.07.86408", "permissions": "NAMESPACE_ADMIN", "env": { "A": "b" },
        "resources": { "requests": { "cpu": "0.5" }, "limits": { "memory": "2048Mi" } },
        "helm": {
            "namespace": "harness-delegate-ng", "create_namespace": true, "release": "team-a",
            "chart": { "repository": "https://charts.example", "name": "harness-delegate-ng", "version": "1.0.27", "path": null },
            "values": ["minReadySeconds: 0"],
        },
        "host": null,
        "kubernetes": { "config_path": "~/.kube/config", "config_paths": null, "config_context": "minikube" },
        "wait": { "until": "connected", "timeout": "5m" }, "timeouts": null,
        "id": "helm/minikube/harness-delegate-ng/team-a", "target_id": "0f0e0d0c-0000-4000-8000-000000000000",
        "connected": true, "ready_replicas": 2, "version": "25.07.86408", "drift": [],
    })
}

#[tokio::test]
async fn a_state_of_every_earlier_version_is_read_and_one_of_a_later_refused() {
    let bench = Bench::new(&[]).await;
    let current = Delegate.schema().version();
    let mut state = first_state();
    // Every version there was; a provider of a later patch may also have added an argument that this one does not know.
    for version in 0..=current {
        state["an_argument_of_tomorrow"] = json!({ "x": [1] });
        let read = upgrade(&bench, version, &state).await.expect("a state");
        assert_eq!(read.named("name").as_str(), Some("team-a"));
        assert_eq!(
            read.named("helm").named("chart").named("version").as_str(),
            Some("1.0.27")
        );
        assert_eq!(read.named("tags"), &Value::set(["linux".into(), "prod".into()]));
        for absent in ["docker", "manifest", "image_digest", "adopt"] {
            assert!(read.named(absent).is_null(), "{absent}");
        }
    }
    // Whatever an earlier version did not have, it is answered.
    let names: Vec<String> = state.as_object().expect("an object").keys().cloned().collect();
    for name in names {
        let mut less = state.clone();
        less.as_object_mut().expect("an object").remove(&name);
        let read = upgrade(&bench, 0, &less).await.expect("a state");
        assert!(read.named(&name).is_null(), "{name}");
    }
    let problem = upgrade(&bench, current + 1, &state).await.unwrap_err();
    for part in ["Stored state too new", "install that version or a later one"] {
        assert!(problem.contains(part), "{problem}");
    }
    state["helm"] = json!("a text");
    let problem = upgrade(&bench, 0, &state).await.unwrap_err();
    for part in ["helm", "Nothing was changed", "terraform state rm"] {
        assert!(problem.contains(part), "{problem}");
    }
}
