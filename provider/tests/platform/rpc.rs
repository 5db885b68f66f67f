//! Calls that the Terraform at hand may be too old to make, as messages to the provider in this process.

use futures_util::StreamExt as _;
use harness_provider::HarnessProvider;
use harness_provider::delegate::{Delegate, DelegateList};
use harness_provider::framework::server::ProviderServer;
use harness_provider::framework::traits::{ListResource as _, Provider as _, Resource};
use harness_provider::framework::value::{Type, Value, msgpack};
use harness_provider::plugin::StopSignal;
use harness_provider::plugin::proto::tfplugin6 as pb;
use harness_provider::plugin::proto::tfplugin6::provider_server::Provider as _;
use harness_provider::token::TokenResource;
use tonic::Request;

use crate::manager::{Manager, unique};

/// A configured provider.
pub(crate) struct Bench {
    service: ProviderServer<HarnessProvider>,
}

/// A listed object.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) identity: Value,
    pub(crate) display_name: String,
    pub(crate) resource: Option<Value>,
    pub(crate) diagnostics: Vec<String>,
}

impl Bench {
    /// With these arguments of the provider.
    pub(crate) async fn new(arguments: &[(&str, Value)]) -> Self {
        let service = ProviderServer::new(HarnessProvider, StopSignal::new());
        let request = pb::configure_provider::Request {
            config: Some(wire(arguments, &HarnessProvider.schema().ty())),
            terraform_version: "1.14.0".into(),
            ..Default::default()
        };
        let reply = service
            .configure_provider(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(texts(&reply.diagnostics), Vec::<String>::new());
        Self { service }
    }

    async fn of(manager: &Manager) -> Self {
        Self::new(&[
            ("endpoint", manager.url.as_str().into()),
            ("account_id", manager.account.as_str().into()),
            ("platform_api_key", manager.api_key.as_str().into()),
        ])
        .await
    }

    /// Lists delegates.
    pub(crate) async fn list(&self, arguments: &[(&str, Value)], include_resource: bool) -> Vec<Listed> {
        let request = pb::list_resource::Request {
            type_name: "harness_delegate".into(),
            config: Some(wire(arguments, &DelegateList.schema().ty())),
            include_resource_object: include_resource,
            limit: 1000,
        };
        let stream = self
            .service
            .list_resource(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        let identity = Delegate.identity_schema().unwrap().ty();
        let resource = Delegate.schema().ty();
        stream
            .map(|event| {
                let event = event.unwrap();
                let data = event.identity.and_then(|identity| identity.identity_data);
                Listed {
                    identity: data.map_or(Value::Null, |data| {
                        msgpack::decode(&data.msgpack, &identity).unwrap()
                    }),
                    display_name: event.display_name,
                    resource: event
                        .resource_object
                        .map(|data| msgpack::decode(&data.msgpack, &resource).unwrap()),
                    diagnostics: texts(&event.diagnostic),
                }
            })
            .collect()
            .await
    }

    /// What is wrong with a list block.
    pub(crate) async fn list_problems(&self, arguments: &[(&str, Value)]) -> Vec<String> {
        let request = pb::validate_list_resource_config::Request {
            type_name: "harness_delegate".into(),
            config: Some(wire(arguments, &DelegateList.schema().ty())),
            ..Default::default()
        };
        let reply = self
            .service
            .validate_list_resource_config(Request::new(request))
            .await
            .unwrap();
        texts(&reply.into_inner().diagnostics)
    }
}

fn wire(set: &[(&str, Value)], ty: &Type) -> pb::DynamicValue {
    let value = Value::object(set.iter().cloned()).conform(ty).unwrap();
    pb::DynamicValue {
        msgpack: msgpack::encode(&value, ty).unwrap().into(),
        ..Default::default()
    }
}

fn texts(diagnostics: &[pb::Diagnostic]) -> Vec<String> {
    diagnostics
        .iter()
        .map(|one| format!("{}: {}", one.summary, one.detail))
        .collect()
}

#[test]
fn every_part_of_the_provider_obeys_terraforms_rules() {
    let faults = ProviderServer::new(HarnessProvider, StopSignal::new()).check();
    assert_eq!(faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_token_is_imported_by_its_identity() {
    let manager = Manager::start().await;
    let name = unique("identity");
    let made = manager
        .verb(&["token", "create", &name])
        .output()
        .await
        .expect("it runs");
    assert!(made.status.success());
    let bench = Bench::of(&manager).await;
    let identity_type = TokenResource.identity_schema().unwrap().ty();
    let state_type = TokenResource.schema().ty();
    let request = pb::import_resource_state::Request {
        type_name: "harness_delegate_token".into(),
        identity: Some(pb::ResourceIdentityData {
            identity_data: Some(wire(&[("name", name.as_str().into())], &identity_type)),
        }),
        ..Default::default()
    };
    let reply = bench
        .service
        .import_resource_state(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(texts(&reply.diagnostics), Vec::<String>::new());
    let imported = reply.imported_resources.into_iter().next().expect("one");
    // As Terraform does at once.
    let request = pb::read_resource::Request {
        type_name: "harness_delegate_token".into(),
        current_state: imported.state,
        private: imported.private,
        current_identity: imported.identity,
        ..Default::default()
    };
    let reply = bench
        .service
        .read_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(texts(&reply.diagnostics), Vec::<String>::new());
    let state = msgpack::decode(&reply.new_state.expect("a state").msgpack, &state_type).unwrap();
    assert_eq!(state.named("status").as_str(), Some("ACTIVE"));
    assert_eq!(state.named("id").as_str(), Some(name.as_str()));
    let data = reply
        .new_identity
        .and_then(|identity| identity.identity_data)
        .expect("an identity");
    let identity = msgpack::decode(&data.msgpack, &identity_type).unwrap();
    assert_eq!(
        identity.named("account_id").as_str(),
        Some(manager.account.as_str())
    );
    assert_eq!(identity.named("name").as_str(), Some(name.as_str()));
}
