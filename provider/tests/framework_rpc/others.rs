//! Data sources, ephemeral resources, lists, actions, functions.

use futures_util::StreamExt;
use harness_provider::framework::value::{Type, Value, msgpack};
use harness_provider::plugin::proto::tfplugin6 as pb;
use harness_provider::plugin::proto::tfplugin6::provider_server::Provider as _;
use tonic::Request;

use super::{Bench, THING, deferring, only, wire};

#[tokio::test]
async fn data_sources_complete_their_configuration_and_nothing_else() {
    let bench = Bench::configured().await;
    bench.create(&[("name", "a".into()), ("text", "t".into())]).await;
    let ty = Type::object([("name", Type::String), ("text", Type::String)]);
    let read = async |name: &str| {
        let request = pb::read_data_source::Request {
            type_name: "fixture_lookup".into(),
            config: Some(wire(&[("name", name.into())], &ty)),
            ..Default::default()
        };
        bench
            .service
            .read_data_source(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    };
    let found = msgpack::decode(&read("a").await.state.unwrap().msgpack, &ty).unwrap();
    assert_eq!(found.named("text"), &Value::from("t"));
    assert!(only(&read("b").await.diagnostics).starts_with("No such thing"));
    assert!(only(&read("liar").await.diagnostics).contains("name: a configured value must be planned"));
    assert!(only(&read("later").await.diagnostics).starts_with("Not possible yet"));
    let request = pb::validate_data_resource_config::Request {
        type_name: "fixture_lookup".into(),
        config: Some(wire(&[("name", "".into())], &ty)),
    };
    let response = bench
        .service
        .validate_data_resource_config(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(only(&response.diagnostics).starts_with("Invalid value"));
}

#[tokio::test]
async fn an_ephemeral_value_is_opened_renewed_and_closed() {
    let bench = Bench::configured().await;
    let ty = Type::object([("name", Type::String), ("value", Type::String)]);
    let request = pb::open_ephemeral_resource::Request {
        type_name: "fixture_key".into(),
        config: Some(wire(&[("name", "k".into())], &ty)),
        ..Default::default()
    };
    let opened = bench
        .service
        .open_ephemeral_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(opened.renew_at.unwrap().seconds, 4_000_000_000);
    let value = msgpack::decode(&opened.result.unwrap().msgpack, &ty).unwrap();
    assert_eq!(value.named("value"), &Value::from("key-of-k"));
    let request = pb::renew_ephemeral_resource::Request {
        type_name: "fixture_key".into(),
        private: opened.private,
    };
    let renewed = bench
        .service
        .renew_ephemeral_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(renewed.renew_at.is_none());
    let request = pb::close_ephemeral_resource::Request {
        type_name: "fixture_key".into(),
        private: renewed.private,
    };
    let closed = bench
        .service
        .close_ephemeral_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(closed.diagnostics.is_empty());
    assert_eq!(bench.world.lock().calls, ["open k", "renew k", "close k"]);
}

#[tokio::test]
async fn a_listing_streams_until_its_end_its_limit_or_its_failure() {
    let bench = Bench::configured().await;
    let list = async |mode: Option<&str>, limit: i64, include: bool| -> Vec<pb::list_resource::Event> {
        let ty = Type::object([("mode", Type::String)]);
        let request = pb::list_resource::Request {
            type_name: THING.into(),
            config: Some(wire(&[("mode", Value::from(mode.map(str::to_owned)))], &ty)),
            include_resource_object: include,
            limit,
        };
        let stream = bench
            .service
            .list_resource(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        stream.map(Result::unwrap).collect().await
    };
    let all = list(None, 0, true).await;
    assert_eq!(all.len(), 3);
    assert_eq!(
        bench.name_of(all[1].identity.as_ref()).as_deref(),
        Some("thing-1")
    );
    assert_eq!(
        bench.read(all[1].resource_object.as_ref()).named("name"),
        &Value::from("thing-1")
    );
    assert!(list(None, 0, false).await[0].resource_object.is_none());
    assert_eq!(list(Some("endless"), 5, false).await.len(), 5);
    for (mode, message) in [("fail", "No more"), ("panic", "the list is broken")] {
        let events = list(Some(mode), 100, false).await;
        assert_eq!(events.len(), 3);
        assert!(only(&events[2].diagnostic).contains(message));
    }
    let request = pb::list_resource::Request {
        type_name: "fixture_nothing".into(),
        ..Default::default()
    };
    let events: Vec<_> = bench
        .service
        .list_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner()
        .collect()
        .await;
    assert!(only(&events[0].as_ref().unwrap().diagnostic).starts_with("Unknown list resource"));
}

#[tokio::test]
async fn an_action_is_planned_and_tells_what_it_does() {
    use pb::invoke_action::event::Type as Event;
    let bench = Bench::configured().await;
    let ty = Type::object([("name", Type::String)]);
    let config = |name: &str| Some(wire(&[("name", name.into())], &ty));
    let plan = async |name: &str, client| {
        let request = pb::plan_action::Request {
            action_type: "fixture_rename".into(),
            config: config(name),
            client_capabilities: client,
        };
        bench
            .service
            .plan_action(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    };
    assert!(plan("a", None).await.diagnostics.is_empty());
    assert!(only(&plan("refused", None).await.diagnostics).starts_with("Refused"));
    assert!(plan("later", Some(deferring())).await.deferred.is_some());
    let invoke = async |name: &str| -> (Vec<String>, Vec<pb::Diagnostic>) {
        let request = pb::invoke_action::Request {
            action_type: "fixture_rename".into(),
            config: config(name),
            ..Default::default()
        };
        let stream = bench
            .service
            .invoke_action(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        let events: Vec<_> = stream.map(|event| event.unwrap().r#type.unwrap()).collect().await;
        let (mut said, mut end) = (Vec::new(), None);
        for event in events {
            match event {
                Event::Progress(progress) => said.push(progress.message),
                Event::Completed(completed) => end = Some(completed.diagnostics),
            }
        }
        (said, end.expect("an end"))
    };
    assert_eq!(
        invoke("a").await,
        (vec!["renaming".to_owned(), "renamed".to_owned()], Vec::new())
    );
    assert!(only(&invoke("fail").await.1).starts_with("Not renamed"));
    assert!(only(&invoke("explosive").await.1).contains("the action is broken"));
}

#[tokio::test]
async fn a_function_checks_its_arguments_and_names_the_wrong_one() {
    let bench = Bench::raw();
    let text = |value: Value| pb::DynamicValue {
        msgpack: msgpack::encode(&value, &Type::String).unwrap().into(),
        ..Default::default()
    };
    let call = async |name: &str, arguments: Vec<Value>| {
        let request = pb::call_function::Request {
            name: name.into(),
            arguments: arguments.into_iter().map(text).collect(),
        };
        bench
            .service
            .call_function(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    };
    let joined = call("join", vec!["-".into(), "a".into(), Value::Null, "b".into()]).await;
    assert_eq!(
        msgpack::decode(&joined.result.unwrap().msgpack, &Type::String),
        Ok(Value::from("a-b"))
    );
    let error = async |name: &str, arguments: Vec<Value>| {
        let error = call(name, arguments).await.error.expect("an error");
        (error.text, error.function_argument)
    };
    assert_eq!(
        error("join", vec!["bad".into()]).await,
        ("The separator is bad.".into(), Some(0))
    );
    assert_eq!(
        error("join", vec![Value::Null]).await,
        ("separator may not be null.".into(), Some(0))
    );
    assert_eq!(error("join", vec![]).await.0, "join takes 1 arguments, not 0.");
    assert!(
        error("join", vec!["panic".into()])
            .await
            .0
            .contains("the function is broken")
    );
    assert!(
        error("nothing", vec![])
            .await
            .0
            .contains("no function \"nothing\"")
    );
}
