//! What comes from elsewhere: import, upgrade, move; and configuration generated from it.

use harness_provider::framework::value::{Value, msgpack};
use harness_provider::plugin::proto::tfplugin6 as pb;
use harness_provider::plugin::proto::tfplugin6::provider_server::Provider as _;
use serde_json::json;
use tonic::Request;

use super::fixture::Thing;
use super::{Bench, THING, only, texts};

#[tokio::test]
async fn import_takes_an_id_or_an_identity_and_gives_the_identity_back() {
    let bench = Bench::configured().await;
    bench.world.lock().things.insert("a".into(), Thing::named("a"));
    let import = async |id: &str, identity: Option<&str>| {
        let request = pb::import_resource_state::Request {
            type_name: THING.into(),
            id: id.into(),
            identity: identity.map(|name| bench.identity(name)),
            ..Default::default()
        };
        bench
            .service
            .import_resource_state(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    };
    for imported in [import("a", None).await, import("", Some("a")).await] {
        assert_eq!(texts(&imported.diagnostics), Vec::<String>::new());
        let resource = &imported.imported_resources[0];
        assert_eq!(
            bench.read(resource.state.as_ref()).named("id"),
            &Value::from("id-a")
        );
        assert_eq!(bench.name_of(resource.identity.as_ref()).as_deref(), Some("a"));
    }
    assert!(only(&import("b", None).await.diagnostics).starts_with("No such thing"));
}

#[tokio::test]
async fn stored_state_is_upgraded_step_by_step_and_always_answered() {
    let bench = Bench::raw();
    let upgraded = bench.upgrade(0, r#"{"title":"a","text":"t","gone":1}"#).await;
    let state = bench.read(upgraded.upgraded_state.as_ref());
    assert_eq!(
        (state.named("name"), state.named("text")),
        (&Value::from("a"), &Value::from("t (upgraded)"))
    );
    // Blocks that are held in collections are never null.
    assert_eq!(
        (state.named("mount"), state.named("rule")),
        (&Value::list([]), &Value::set([]))
    );

    let state = bench
        .upgrade(2, r#"{"name":"a","big":18446744073709551617,"secret_wo":"x"}"#)
        .await;
    let state = bench.read(state.upgraded_state.as_ref());
    assert_eq!(
        state.named("big"),
        &Value::Number("18446744073709551617".parse().unwrap())
    );
    assert_eq!(state.named("secret_wo"), &Value::Null);

    for (version, json, message) in [
        (0, r#"{"name":"a"}"#, "it has no title"),
        (3, "{}", "newer version"),
        (
            2,
            r#"{"name":["a"]}"#,
            "name: string is required, this is an array",
        ),
        (2, "{", "cannot be read"),
    ] {
        let text = only(&bench.upgrade(version, json).await.diagnostics);
        assert!(text.contains(message), "{text}");
    }
    let request = pb::upgrade_resource_identity::Request {
        type_name: THING.into(),
        version: 0,
        raw_identity: Some(pb::RawState {
            json: r#"{"name":"a"}"#.into(),
            ..Default::default()
        }),
    };
    let response = bench
        .service
        .upgrade_resource_identity(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        bench.name_of(response.upgraded_identity.as_ref()).as_deref(),
        Some("a")
    );
}

#[tokio::test]
async fn state_moves_from_the_types_that_are_known_and_no_others() {
    let bench = Bench::configured().await;
    let moved = async |version: i64, state: serde_json::Value| {
        let request = pb::move_resource_state::Request {
            source_provider_address: "registry.terraform.io/x/other".into(),
            source_type_name: "other_thing".into(),
            source_schema_version: version,
            source_state: Some(pb::RawState {
                json: state.to_string().into(),
                ..Default::default()
            }),
            target_type_name: THING.into(),
            ..Default::default()
        };
        bench
            .service
            .move_resource_state(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    };
    let response = moved(1, json!({ "label": "a" })).await;
    assert_eq!(
        bench.read(response.target_state.as_ref()).named("name"),
        &Value::from("a")
    );
    assert_eq!(
        bench.name_of(response.target_identity.as_ref()).as_deref(),
        Some("a")
    );
    assert!(only(&moved(1, json!({})).await.diagnostics).starts_with("Not movable"));
    assert!(only(&moved(2, json!({ "label": "a" })).await.diagnostics).contains("(schema version 2)"));
}

#[tokio::test]
async fn a_generated_configuration_has_what_a_person_would_write() {
    let bench = Bench::configured().await;
    let state = bench
        .create(&[("name", "a".into()), ("text", "t".into()), ("secret", "s".into())])
        .await
        .new_state;
    let request = pb::generate_resource_config::Request {
        type_name: THING.into(),
        state,
    };
    let response = bench
        .service
        .generate_resource_config(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    let config = bench.read(response.config.as_ref());
    assert_eq!(
        (config.named("name"), config.named("text")),
        (&Value::from("a"), &Value::from("t"))
    );
    for absent in ["id", "stamp", "size", "enabled", "secret", "secret_wo"] {
        assert!(config.named(absent).is_null(), "{absent}");
    }
}

mod upgrade_totality {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_stored_text_is_a_state_or_a_message(
            version in -1_i64..4,
            text in prop_oneof![
                "[\\[\\]{}\",:a-z0-9.e-]{0,40}",
                Just(r#"{"name":"a","mount":[{"number":1}],"any":{"type":"string","value":"x"}}"#.to_owned()),
                Just(r#"{"name":"a","any":"bare"}"#.to_owned()),
                Just("null".to_owned()),
            ],
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let bench = Bench::raw();
            let response = runtime.block_on(bench.upgrade(version, &text));
            prop_assert!(response.upgraded_state.is_some() != response.diagnostics.iter().any(|d| d.severity == 1));
            if let Some(state) = response.upgraded_state {
                prop_assert!(msgpack::decode(&state.msgpack, &bench.ty).is_ok());
            }
        }
    }
}
