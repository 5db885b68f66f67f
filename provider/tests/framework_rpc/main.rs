//! Every call of the protocol, in process, with the fixture provider: also those that the Terraform at hand
//! does not make.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]

#[path = "../fixture/mod.rs"]
mod fixture;
mod others;
mod resource;
mod stored;

use std::sync::Arc;

use fixture::{Fixture, World};
use harness_provider::framework::schema::Schema;
use harness_provider::framework::server::ProviderServer;
use harness_provider::framework::traits::Parts;
use harness_provider::framework::value::{Type, Value, msgpack};
use harness_provider::plugin::proto::tfplugin6 as pb;
use harness_provider::plugin::proto::tfplugin6::provider_server::Provider as Service;
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
            config: Some(Bench::provider_config(&[])),
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

    fn provider_config(set: &[(&str, Value)]) -> pb::DynamicValue {
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

fn deferring() -> pb::ClientCapabilities {
    pb::ClientCapabilities {
        deferral_allowed: true,
        write_only_attributes_allowed: true,
        ..Default::default()
    }
}

fn empty<T: Default>() -> Request<T> {
    Request::new(T::default())
}

#[test]
fn the_fixture_is_sound() {
    assert_eq!(fixture::service().0.check(), Vec::<String>::new());
}

#[tokio::test]
async fn metadata_and_schemas_name_everything_there_is() {
    let bench = Bench::raw();
    let metadata = bench.service.get_metadata(empty()).await.unwrap().into_inner();
    let schemas = bench
        .service
        .get_provider_schema(empty())
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
        .get_functions(empty())
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
        .get_resource_identity_schemas(empty())
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
    let response = service.get_provider_schema(empty()).await.unwrap().into_inner();
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
        let config = Some(Bench::provider_config(&[(name, value.into())]));
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
    let config = Some(Bench::provider_config(&[("prefix", "refused".into())]));
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
    let status = bench.service.get_states(empty()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
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
