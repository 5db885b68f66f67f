//! Calls that the Terraform at hand may be too old to make, as messages to the provider in this process.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]

use futures_util::StreamExt as _;
use harness_provider::HarnessProvider;
use harness_provider::delegate::{Delegate, DelegateList};
use harness_provider::framework::server::ProviderServer;
use harness_provider::framework::traits::{ListResource as _, Provider as _, Resource};
use harness_provider::framework::value::{Type, Value, msgpack};
use harness_provider::plugin::StopSignal;
use harness_provider::plugin::proto::tfplugin6 as pb;
use harness_provider::plugin::proto::tfplugin6::provider_server::Provider as _;
use tonic::Request;

/// A configured provider.
pub(crate) struct Bench {
    pub(crate) service: ProviderServer<HarnessProvider>,
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

    /// The one listed delegate of this name.
    pub(crate) async fn listed(
        &self,
        arguments: &[(&str, Value)],
        include_resource: bool,
        name: &str,
    ) -> Listed {
        let all = self.list(arguments, include_resource).await;
        let of_name = |one: &&Listed| one.identity.named("name").as_str() == Some(name);
        assert_eq!(all.iter().filter(of_name).count(), 1, "{name} in {all:?}");
        let mut all = all.into_iter();
        all.find(|one| of_name(&one)).expect("it was counted")
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

impl Listed {
    /// The import id that the identity stands for.
    pub(crate) fn id(&self) -> String {
        let parts = ["mode", "place", "namespace", "name"].map(|name| self.identity.named(name));
        let parts: Vec<&str> = parts.into_iter().filter_map(Value::as_str).collect();
        parts.join("/")
    }

    /// What is wrong with it, and its state.
    pub(crate) fn state(&self) -> &Value {
        assert_eq!(self.diagnostics, Vec::<String>::new());
        self.resource.as_ref().expect("a state")
    }
}

pub(crate) fn wire(set: &[(&str, Value)], ty: &Type) -> pb::DynamicValue {
    let value = Value::object(set.iter().cloned()).conform(ty).unwrap();
    pb::DynamicValue {
        msgpack: msgpack::encode(&value, ty).unwrap().into(),
        ..Default::default()
    }
}

pub(crate) fn texts(diagnostics: &[pb::Diagnostic]) -> Vec<String> {
    diagnostics
        .iter()
        .map(|one| format!("{}: {}", one.summary, one.detail))
        .collect()
}
