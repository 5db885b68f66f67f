//! Every call of the protocol, in process, with the fixture provider: also those that the Terraform at hand does not make.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]

mod fixture;

use std::sync::Arc;

use fixture::{Fixture, Thing, World};
use futures_util::StreamExt;
use harness_provider::framework::schema::Schema;
use harness_provider::framework::server::ProviderServer;
use harness_provider::framework::traits::Parts;
use harness_provider::framework::value::{Type, Value, msgpack};
use harness_provider::plugin::proto::tfplugin6 as pb;
use harness_provider::plugin::proto::tfplugin6::provider_server::Provider as Service;
use serde_json::json;
use tonic::Request;

const THING: &str = "fixture_thing";

/// A configured service, its world, and the types of what goes through it.
struct Bench {
    service: ProviderServer<Fixture>,
    world: Arc<World>,
    ty: Type,
    identity: Type,
}

impl Bench {
    async fn configured() -> Self {
        let bench = Self::raw();
        let config = pb::configure_provider::Request {
            config: Some(bench.provider_config(&[])),
            terraform_version: "1.14.0".into(),
            ..Default::default()
        };
        let response = bench
            .service
            .configure_provider(Request::new(config))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(texts(&response.diagnostics), Vec::<String>::new());
        bench
    }

    fn raw() -> Self {
        let (service, world) = fixture::service();
        Self {
            service,
            world,
            ty: thing_schema().ty(),
            identity: Type::object([("name", Type::String)]),
        }
    }

    fn provider_config(&self, set: &[(&str, Value)]) -> pb::DynamicValue {
        wire(
            set,
            &Type::object([("prefix", Type::String), ("token", Type::String)]),
        )
    }

    /// A thing with these attributes, the others null and blocks empty.
    fn thing(&self, set: &[(&str, Value)]) -> pb::DynamicValue {
        wire(&with_blocks(set), &self.ty)
    }

    fn read(&self, value: Option<&pb::DynamicValue>) -> Value {
        msgpack::decode(&value.expect("a value").msgpack, &self.ty).unwrap()
    }

    fn name_of(&self, identity: Option<&pb::ResourceIdentityData>) -> Option<String> {
        let data = identity?.identity_data.as_ref()?;
        let identity = msgpack::decode(&data.msgpack, &self.identity).unwrap();
        identity.named("name").as_str().map(str::to_owned)
    }

    fn identity(&self, name: &str) -> pb::ResourceIdentityData {
        pb::ResourceIdentityData {
            identity_data: Some(wire(&[("name", name.into())], &self.identity)),
        }
    }

    async fn plan(
        &self,
        prior: &pb::DynamicValue,
        config: &pb::DynamicValue,
    ) -> pb::plan_resource_change::Response {
        self.plan_with(pb::plan_resource_change::Request {
            prior_state: Some(prior.clone()),
            proposed_new_state: Some(config.clone()),
            config: Some(config.clone()),
            ..Default::default()
        })
        .await
    }

    async fn plan_with(
        &self,
        request: pb::plan_resource_change::Request,
    ) -> pb::plan_resource_change::Response {
        let request = pb::plan_resource_change::Request {
            type_name: THING.into(),
            ..request
        };
        self.service
            .plan_resource_change(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    }

    async fn apply(
        &self,
        prior: &pb::DynamicValue,
        planned: pb::DynamicValue,
        config: &pb::DynamicValue,
    ) -> pb::apply_resource_change::Response {
        let request = pb::apply_resource_change::Request {
            type_name: THING.into(),
            prior_state: Some(prior.clone()),
            planned_state: Some(planned),
            config: Some(config.clone()),
            ..Default::default()
        };
        self.service
            .apply_resource_change(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    }

    /// Plans and applies the create of a thing.
    async fn create(&self, set: &[(&str, Value)]) -> pb::apply_resource_change::Response {
        let config = self.thing(set);
        let plan = self.plan(&null(), &config).await;
        assert_eq!(texts(&plan.diagnostics), Vec::<String>::new());
        self.apply(&null(), plan.planned_state.unwrap(), &config).await
    }

    async fn read_resource(&self, state: pb::DynamicValue) -> pb::read_resource::Response {
        self.read_with(pb::read_resource::Request {
            current_state: Some(state),
            ..Default::default()
        })
        .await
    }

    async fn read_with(&self, request: pb::read_resource::Request) -> pb::read_resource::Response {
        let request = pb::read_resource::Request {
            type_name: THING.into(),
            ..request
        };
        self.service
            .read_resource(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    }

    async fn upgrade(&self, version: i64, json: &str) -> pb::upgrade_resource_state::Response {
        let request = pb::upgrade_resource_state::Request {
            type_name: THING.into(),
            version,
            raw_state: Some(pb::RawState {
                json: json.to_owned().into(),
                ..Default::default()
            }),
        };
        self.service
            .upgrade_resource_state(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    }
}

fn thing_schema() -> Schema {
    use harness_provider::framework::traits::Resource as _;
    fixture::ThingResource.schema()
}

fn with_blocks<'s>(set: &[(&'s str, Value)]) -> Vec<(&'s str, Value)> {
    let mut all = vec![("mount", Value::list([])), ("rule", Value::set([]))];
    all.extend(set.iter().cloned());
    all
}

fn wire(set: &[(&str, Value)], ty: &Type) -> pb::DynamicValue {
    let value = Value::object(set.iter().cloned()).conform(ty).unwrap();
    pb::DynamicValue {
        msgpack: msgpack::encode(&value, ty).unwrap().into(),
        ..Default::default()
    }
}

fn null() -> pb::DynamicValue {
    pb::DynamicValue {
        msgpack: vec![0xc0].into(),
        ..Default::default()
    }
}

fn texts(diagnostics: &[pb::Diagnostic]) -> Vec<String> {
    diagnostics
        .iter()
        .map(|diagnostic| format!("{}: {}", diagnostic.summary, diagnostic.detail))
        .collect()
}

/// The only message.
fn only(diagnostics: &[pb::Diagnostic]) -> String {
    let [text] = &texts(diagnostics)[..] else {
        panic!("one message expected: {:?}", texts(diagnostics))
    };
    text.clone()
}

fn allowing_deferral() -> Option<pb::ClientCapabilities> {
    Some(pb::ClientCapabilities {
        deferral_allowed: true,
        write_only_attributes_allowed: true,
        ..Default::default()
    })
}

#[test]
fn the_fixture_is_sound() {
    assert_eq!(fixture::service().0.check(), Vec::<String>::new());
}

#[tokio::test]
async fn metadata_and_schemas_name_everything_there_is() {
    let bench = Bench::raw();
    let metadata = bench
        .service
        .get_metadata(Request::new(Default::default()))
        .await
        .unwrap()
        .into_inner();
    let schemas = bench
        .service
        .get_provider_schema(Request::new(Default::default()))
        .await
        .unwrap()
        .into_inner();
    assert!(schemas.diagnostics.is_empty());
    let capabilities = metadata.server_capabilities.unwrap();
    assert!(capabilities.plan_destroy && capabilities.get_provider_schema_optional);
    assert!(capabilities.move_resource_state && capabilities.generate_resource_config);
    assert_eq!(schemas.server_capabilities, Some(capabilities));
    assert_eq!(metadata.resources[0].type_name, THING);
    assert_eq!(schemas.resource_schemas[THING].version, 2);
    assert_eq!(metadata.data_sources[0].type_name, "fixture_lookup");
    assert!(schemas.data_source_schemas.contains_key("fixture_lookup"));
    assert_eq!(metadata.ephemeral_resources[0].type_name, "fixture_key");
    assert!(schemas.ephemeral_resource_schemas.contains_key("fixture_key"));
    assert_eq!(metadata.list_resources[0].type_name, THING);
    assert!(schemas.list_resource_schemas.contains_key(THING));
    assert_eq!(metadata.actions[0].type_name, "fixture_rename");
    assert!(schemas.action_schemas["fixture_rename"].schema.is_some());
    assert_eq!(metadata.functions[0].name, "join");
    let functions = bench
        .service
        .get_functions(Request::new(Default::default()))
        .await
        .unwrap()
        .into_inner()
        .functions;
    assert_eq!(functions, schemas.functions);
    assert_eq!(
        functions["join"].variadic_parameter.as_ref().unwrap().name,
        "parts"
    );
    assert!(schemas.provider_meta.is_some());
    let identities = bench
        .service
        .get_resource_identity_schemas(Request::new(Default::default()))
        .await
        .unwrap()
        .into_inner();
    assert!(identities.identity_schemas[THING].identity_attributes[0].required_for_import);
}

#[tokio::test]
async fn a_faulty_schema_is_not_handed_out() {
    struct Faulty;
    #[tonic::async_trait]
    impl harness_provider::framework::traits::Provider for Faulty {
        type Data = ();
        fn schema(&self) -> Schema {
            use harness_provider::framework::schema::Attribute;
            Schema::new(0).attribute("Wrong", Attribute::string())
        }
        fn register(&self, _: &mut Parts<()>) {}
        async fn configure(
            &self,
            _: harness_provider::framework::traits::ConfigureRequest,
        ) -> Result<(), harness_provider::framework::diagnostics::Diagnostics> {
            Ok(())
        }
    }
    let service = ProviderServer::new(Faulty, harness_provider::plugin::StopSignal::new());
    let response = service
        .get_provider_schema(Request::new(Default::default()))
        .await
        .unwrap()
        .into_inner();
    assert!(only(&response.diagnostics).contains("provider.Wrong: a name consists of"));
}

#[tokio::test]
async fn provider_configuration_is_checked_by_schema_and_by_the_provider() {
    let bench = Bench::raw();
    for (name, value, message) in [
        (
            "prefix",
            "much too long",
            "Invalid value: Must have 1 to 8 characters; this has 13.",
        ),
        ("token", "", "Empty token: Set a token or leave it out."),
    ] {
        let config = Some(bench.provider_config(&[(name, value.into())]));
        let request = pb::validate_provider_config::Request { config };
        let response = bench
            .service
            .validate_provider_config(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(only(&response.diagnostics), message);
        assert!(response.diagnostics[0].attribute.is_some());
    }
}

#[tokio::test]
async fn an_unconfigured_provider_and_one_that_refused_say_so() {
    let bench = Bench::configured().await;
    let config = Some(bench.provider_config(&[("prefix", "refused".into())]));
    let request = pb::configure_provider::Request {
        config,
        ..Default::default()
    };
    let response = bench
        .service
        .configure_provider(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(only(&response.diagnostics).starts_with("Prefix refused"));
    // What was configured before does not serve on.
    let response = bench.read_resource(bench.thing(&[("name", "a".into())])).await;
    assert!(only(&response.diagnostics).starts_with("The provider is not configured"));
}

#[tokio::test]
async fn unknown_type_names_are_messages_in_every_call() {
    let bench = Bench::configured().await;
    let name = || "fixture_nothing".to_owned();
    let mut messages = Vec::new();
    macro_rules! ask {
        ($method:ident, $module:ident, $field:ident) => {
            let request = pb::$module::Request {
                $field: name(),
                ..Default::default()
            };
            messages.push(only(
                &bench
                    .service
                    .$method(Request::new(request))
                    .await
                    .unwrap()
                    .into_inner()
                    .diagnostics,
            ));
        };
    }
    ask!(validate_resource_config, validate_resource_config, type_name);
    ask!(upgrade_resource_state, upgrade_resource_state, type_name);
    ask!(upgrade_resource_identity, upgrade_resource_identity, type_name);
    ask!(read_resource, read_resource, type_name);
    ask!(plan_resource_change, plan_resource_change, type_name);
    ask!(apply_resource_change, apply_resource_change, type_name);
    ask!(import_resource_state, import_resource_state, type_name);
    ask!(move_resource_state, move_resource_state, target_type_name);
    ask!(generate_resource_config, generate_resource_config, type_name);
    ask!(
        validate_data_resource_config,
        validate_data_resource_config,
        type_name
    );
    ask!(read_data_source, read_data_source, type_name);
    ask!(
        validate_ephemeral_resource_config,
        validate_ephemeral_resource_config,
        type_name
    );
    ask!(open_ephemeral_resource, open_ephemeral_resource, type_name);
    ask!(renew_ephemeral_resource, renew_ephemeral_resource, type_name);
    ask!(close_ephemeral_resource, close_ephemeral_resource, type_name);
    ask!(
        validate_list_resource_config,
        validate_list_resource_config,
        type_name
    );
    ask!(validate_action_config, validate_action_config, type_name);
    ask!(plan_action, plan_action, action_type);
    assert_eq!(messages.len(), 18);
    for message in messages {
        assert!(
            message.starts_with("Unknown ") && message.contains("\"fixture_nothing\""),
            "{message}"
        );
    }
}

#[tokio::test]
async fn bytes_that_are_no_value_are_messages_and_keep_what_is_stored() {
    let bench = Bench::configured().await;
    let garbage = || {
        Some(pb::DynamicValue {
            msgpack: vec![0xdd, 0xff, 0xff, 0xff, 0xff].into(),
            ..Default::default()
        })
    };
    let request = pb::read_resource::Request {
        current_state: garbage(),
        private: "p".into(),
        ..Default::default()
    };
    let response = bench.read_with(request).await;
    assert!(only(&response.diagnostics).starts_with("Value not readable"));
    assert_eq!(
        (response.new_state, &response.private[..]),
        (garbage(), &b"p"[..])
    );
}

#[tokio::test]
async fn state_stores_are_unimplemented() {
    let bench = Bench::raw();
    let status = bench
        .service
        .get_states(Request::new(Default::default()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}

#[tokio::test]
async fn a_host_that_would_store_write_only_values_is_refused() {
    let bench = Bench::raw();
    let disk = Value::object([("path", "/x".into()), ("key_wo", "s".into())]);
    let config = bench.thing(&[("name", "a".into()), ("disk", disk)]);
    let validate = async |client| {
        let request = pb::validate_resource_config::Request {
            type_name: THING.into(),
            config: Some(config.clone()),
            client_capabilities: client,
        };
        bench
            .service
            .validate_resource_config(Request::new(request))
            .await
            .unwrap()
            .into_inner()
            .diagnostics
    };
    let refused = validate(None).await;
    assert!(only(&refused).contains("disk.key_wo is write-only"));
    assert_eq!(refused[0].attribute.as_ref().unwrap().steps.len(), 2);
    assert!(validate(allowing_deferral()).await.is_empty());
}

#[tokio::test]
async fn warnings_reach_the_user_beside_the_answer() {
    let bench = Bench::configured().await;
    let config = bench.thing(&[("name", "a".into()), ("behavior", "warn".into())]);
    let plan = bench.plan(&null(), &config).await;
    assert_eq!(only(&plan.diagnostics), "A warning: Of the plan.");
    assert_eq!(plan.diagnostics[0].severity(), pb::diagnostic::Severity::Warning);
    assert!(plan.planned_state.is_some());
    let request = pb::validate_resource_config::Request {
        type_name: THING.into(),
        config: Some(bench.thing(&[("name", "a".into()), ("text", "old".into())])),
        client_capabilities: None,
    };
    let response = bench
        .service
        .validate_resource_config(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(only(&response.diagnostics), "Old text: Choose a newer one.");
}

#[tokio::test]
async fn a_create_is_planned_applied_and_read_with_its_identity() {
    let bench = Bench::configured().await;
    let config = bench.thing(&[("name", "a".into()), ("secret_wo", "s".into())]);
    let plan = bench.plan(&null(), &config).await;
    let planned = bench.read(plan.planned_state.as_ref());
    assert_eq!(
        (planned.named("id"), planned.named("secret_wo")),
        (&Value::Unknown, &Value::Null)
    );
    assert!(!plan.legacy_type_system && plan.requires_replace.is_empty());
    assert_eq!(
        bench.name_of(plan.planned_identity.as_ref()).as_deref(),
        Some("a")
    );

    let applied = bench.apply(&null(), plan.planned_state.unwrap(), &config).await;
    assert_eq!(texts(&applied.diagnostics), Vec::<String>::new());
    let state = bench.read(applied.new_state.as_ref());
    assert_eq!(
        (state.named("id"), state.named("secret_wo")),
        (&Value::from("id-a"), &Value::Null)
    );
    assert_eq!(bench.name_of(applied.new_identity.as_ref()).as_deref(), Some("a"));
    assert_eq!(&applied.private[..], br#"{"made":1}"#);

    // Also for a state from before the identity, and with the private state as it was.
    let read = bench
        .read_with(pb::read_resource::Request {
            current_state: applied.new_state.clone(),
            private: applied.private.clone(),
            ..Default::default()
        })
        .await;
    assert_eq!(bench.read(read.new_state.as_ref()), state);
    assert_eq!(read.private, applied.private);
    assert_eq!(bench.name_of(read.new_identity.as_ref()).as_deref(), Some("a"));
}

#[tokio::test]
async fn only_what_is_known_to_be_gone_is_gone() {
    let bench = Bench::configured().await;
    let gone = bench.read_resource(bench.thing(&[("name", "a".into())])).await;
    assert!(gone.diagnostics.is_empty());
    assert!(bench.read(gone.new_state.as_ref()).is_null());
    for (name, message) in [("unreachable", "Not reachable"), ("explosive", "read is broken")] {
        let state = bench.thing(&[("name", name.into())]);
        let request = pb::read_resource::Request {
            current_state: Some(state.clone()),
            private: "p".into(),
            current_identity: Some(bench.identity(name)),
            ..Default::default()
        };
        let response = bench.read_with(request).await;
        assert!(only(&response.diagnostics).contains(message));
        assert_eq!(response.new_state, Some(state));
        assert_eq!(&response.private[..], b"p");
        assert_eq!(response.new_identity, Some(bench.identity(name)));
    }
}

#[tokio::test]
async fn deferral_is_for_hosts_that_take_it() {
    let bench = Bench::configured().await;
    let state = bench.thing(&[("name", "later".into())]);
    let read = |client| {
        bench.read_with(pb::read_resource::Request {
            current_state: Some(state.clone()),
            client_capabilities: client,
            ..Default::default()
        })
    };
    let allowed = read(allowing_deferral()).await;
    assert_eq!(
        allowed.deferred.unwrap().reason(),
        pb::deferred::Reason::AbsentPrereq
    );
    assert_eq!(allowed.new_state, Some(state.clone()));
    let refused = read(None).await;
    assert!(only(&refused.diagnostics).starts_with("Not possible yet") && refused.deferred.is_none());

    let config = bench.thing(&[("name", "a".into()), ("behavior", "defer".into())]);
    let plan = |client| {
        bench.plan_with(pb::plan_resource_change::Request {
            prior_state: Some(null()),
            proposed_new_state: Some(config.clone()),
            config: Some(config.clone()),
            client_capabilities: client,
            ..Default::default()
        })
    };
    assert!(plan(allowing_deferral()).await.deferred.is_some());
    assert!(only(&plan(None).await.diagnostics).starts_with("Not possible yet"));
}

#[tokio::test]
async fn replacements_are_told_once_and_only_where_something_changes() {
    let bench = Bench::configured().await;
    let created = bench.create(&[("name", "a".into())]).await.new_state.unwrap();
    let plan = bench.plan(&created, &bench.thing(&[("name", "b".into())])).await;
    let paths: Vec<_> = plan
        .requires_replace
        .iter()
        .map(|path| path.steps.len())
        .collect();
    assert_eq!(paths, [1]);
    assert_eq!(
        bench.name_of(plan.planned_identity.as_ref()).as_deref(),
        Some("b")
    );
}

#[tokio::test]
async fn private_state_planned_reaches_the_apply() {
    let bench = Bench::configured().await;
    let config = bench.thing(&[("name", "a".into()), ("behavior", "remember".into())]);
    let plan = bench.plan(&null(), &config).await;
    assert_eq!(&plan.planned_private[..], br#"{"planned":"yes"}"#);
    let request = pb::apply_resource_change::Request {
        type_name: THING.into(),
        prior_state: Some(null()),
        planned_state: plan.planned_state,
        config: Some(config),
        planned_private: plan.planned_private,
        ..Default::default()
    };
    let applied = bench
        .service
        .apply_resource_change(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(&applied.private[..], br#"{"made":1,"planned":"yes"}"#);
}

#[tokio::test]
async fn whatever_fails_in_an_apply_the_state_is_true() {
    let bench = Bench::configured().await;
    let behavior = |behavior: &str| [("name", Value::from("a")), ("behavior", behavior.into())];

    let failed = bench.create(&behavior("fail_create")).await;
    assert!(only(&failed.diagnostics).starts_with("Not created"));
    assert_eq!(failed.new_state, Some(null()));

    let partial = bench.create(&behavior("partial_create")).await;
    let state = bench.read(partial.new_state.as_ref());
    assert_eq!(
        (state.named("id"), state.named("stamp")),
        (&Value::from("id-a"), &Value::Null)
    );
    assert_eq!(bench.name_of(partial.new_identity.as_ref()).as_deref(), Some("a"));

    let panicked = bench.create(&behavior("panic_create")).await;
    assert!(only(&panicked.diagnostics).contains("create is broken"));
    let state = bench.read(panicked.new_state.as_ref());
    assert_eq!(
        (state.named("name"), state.named("id")),
        (&Value::from("a"), &Value::Null)
    );

    let stored = bench.create(&[("name", "a".into())]).await.new_state.unwrap();
    for behavior_name in ["fail_update", "panic_update", "vanish"] {
        let config = bench.thing(&behavior(behavior_name));
        let plan = bench.plan(&stored, &config).await;
        let applied = bench.apply(&stored, plan.planned_state.unwrap(), &config).await;
        assert_eq!(applied.diagnostics.len(), 1, "{behavior_name}");
        assert_eq!(
            bench.read(applied.new_state.as_ref()),
            bench.read(Some(&stored)),
            "{behavior_name}"
        );
    }
    for behavior_name in ["fail_delete", "panic_delete"] {
        let stored = bench.create(&behavior(behavior_name)).await.new_state.unwrap();
        let applied = bench.apply(&stored, null(), &null()).await;
        assert_eq!(applied.diagnostics.len(), 1, "{behavior_name}");
        assert_eq!(applied.new_state.as_ref(), Some(&stored), "{behavior_name}");
    }
}

#[tokio::test]
async fn a_destroy_has_a_plan_that_may_refuse() {
    let bench = Bench::configured().await;
    let stored = bench
        .create(&[("name", "a".into()), ("behavior", "keep".into())])
        .await
        .new_state
        .unwrap();
    let refused = bench.plan(&stored, &null()).await;
    assert!(only(&refused.diagnostics).starts_with("Not to be destroyed"));
    assert_eq!(refused.planned_state.as_ref(), Some(&stored));
    let stored = bench.create(&[("name", "b".into())]).await.new_state.unwrap();
    let plan = bench.plan(&stored, &null()).await;
    assert!(plan.diagnostics.is_empty());
    assert_eq!(plan.planned_state, Some(null()));
    let applied = bench.apply(&stored, null(), &null()).await;
    assert_eq!(applied.new_state, Some(null()));
    assert!(applied.private.is_empty() && applied.new_identity.is_none());
}

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
    assert!(plan("later", allowing_deferral()).await.deferred.is_some());
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

#[tokio::test]
async fn a_stop_ends_waiting_calls_and_not_the_service() {
    let bench = Arc::new(Bench::configured().await);
    let waiting = Arc::clone(&bench);
    let create = tokio::spawn(async move {
        waiting
            .create(&[("name", "a".into()), ("behavior", "wait".into())])
            .await
    });
    bench.world.waiting.notified().await;
    let stopped = bench
        .service
        .stop_provider(Request::new(Default::default()))
        .await
        .unwrap()
        .into_inner();
    assert!(stopped.error.is_empty());
    let created = create.await.unwrap();
    assert!(only(&created.diagnostics).starts_with("Interrupted"));
    assert_eq!(
        bench.read(created.new_state.as_ref()).named("id"),
        &Value::from("id-a")
    );
    assert!(bench.create(&[("name", "b".into())]).await.diagnostics.is_empty());
}

#[tokio::test]
async fn provider_meta_is_read_in_its_own_schema() {
    let bench = Bench::configured().await;
    let wrong = wire(
        &[("module", "m".into()), ("x", "y".into())],
        &Type::object([("module", Type::String), ("x", Type::String)]),
    );
    let request = pb::read_resource::Request {
        current_state: Some(bench.thing(&[("name", "a".into())])),
        provider_meta: Some(wrong),
        ..Default::default()
    };
    assert!(only(&bench.read_with(request).await.diagnostics).contains("unexpected attribute \"x\""));
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
