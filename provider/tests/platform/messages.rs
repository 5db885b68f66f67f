//! The provider by messages, where Terraform has no command for it.

use harness_provider::HarnessProvider;
use harness_provider::framework::server::ProviderServer;
use harness_provider::framework::traits::Resource as _;
use harness_provider::framework::value::msgpack;
use harness_provider::plugin::StopSignal;
use harness_provider::plugin::proto::tfplugin6 as pb;
use harness_provider::plugin::proto::tfplugin6::provider_server::Provider as _;
use harness_provider::token::TokenResource;
use tonic::Request;

use crate::manager::{Manager, unique};
use crate::rpc::{Bench, texts, wire};

async fn of(manager: &Manager) -> Bench {
    Bench::new(&[
        ("endpoint", manager.url.as_str().into()),
        ("account_id", manager.account.as_str().into()),
        ("platform_api_key", manager.api_key.as_str().into()),
    ])
    .await
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
    let bench = of(&manager).await;
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
