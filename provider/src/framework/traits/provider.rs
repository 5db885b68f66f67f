//! The provider itself and the list of its parts.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Action, ClientCapabilities, DataSource, EphemeralResource, Function, ListResource, Resource};
use crate::framework::diagnostics::Diagnostics;
use crate::framework::erased::{
    Entry, ErasedAction, ErasedDataSource, ErasedEphemeral, ErasedList, ErasedResource, Typed, TypedAction,
    TypedEphemeral, TypedList, TypedSource,
};
use crate::framework::schema::Schema;
use crate::framework::value::Value;

/// A provider: its own configuration, and its parts.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What Configure makes of the configuration, shared by all handlers.
    type Data: Send + Sync + 'static;

    /// The schema of the provider block.
    fn schema(&self) -> Schema;

    /// The schema of `provider_meta` blocks, if the provider takes them.
    fn meta_schema(&self) -> Option<Schema> {
        None
    }

    /// Names every resource, data source, function and so on.
    fn register(&self, parts: &mut Parts<Self::Data>);

    /// Checks the provider block beyond its schema's validators. Values may be unknown.
    async fn validate(&self, config: &Value) -> Diagnostics {
        let _ = config;
        Diagnostics::new()
    }

    /// Makes the shared data. Values may be unknown during a plan. Contact nothing here: the targets may not
    /// exist yet, and every one of the many short processes of a run comes through here.
    async fn configure(&self, request: ConfigureRequest) -> Result<Self::Data, Diagnostics>;
}

/// What Configure is given.
#[derive(Debug, Clone)]
pub struct ConfigureRequest {
    /// The provider block; values may be unknown.
    pub config: Value,
    /// Terraform's version, as it says.
    pub terraform_version: String,
    /// What the host can do.
    pub client: ClientCapabilities,
}

/// The parts of a provider, filled by [`Provider::register`].
pub struct Parts<D> {
    pub(crate) resources: Vec<Entry<dyn ErasedResource<D>>>,
    pub(crate) data_sources: Vec<Entry<dyn ErasedDataSource<D>>>,
    pub(crate) ephemeral: Vec<Entry<dyn ErasedEphemeral<D>>>,
    pub(crate) lists: Vec<Entry<dyn ErasedList<D>>>,
    pub(crate) actions: Vec<Entry<dyn ErasedAction<D>>>,
    pub(crate) functions: Vec<Arc<dyn Function>>,
}

impl<D: Send + Sync + 'static> Parts<D> {
    pub(crate) const fn new() -> Self {
        Self {
            resources: Vec::new(),
            data_sources: Vec::new(),
            ephemeral: Vec::new(),
            lists: Vec::new(),
            actions: Vec::new(),
            functions: Vec::new(),
        }
    }

    /// Adds a resource.
    pub fn resource(&mut self, resource: impl Resource<Data = D>) -> &mut Self {
        self.resources
            .push(Entry::new(resource.type_name(), Arc::new(Typed(resource))));
        self
    }

    /// Adds a data source.
    pub fn data_source(&mut self, source: impl DataSource<Data = D>) -> &mut Self {
        self.data_sources
            .push(Entry::new(source.type_name(), Arc::new(TypedSource(source))));
        self
    }

    /// Adds an ephemeral resource.
    pub fn ephemeral_resource(&mut self, resource: impl EphemeralResource<Data = D>) -> &mut Self {
        self.ephemeral.push(Entry::new(
            resource.type_name(),
            Arc::new(TypedEphemeral(resource)),
        ));
        self
    }

    /// Adds the listing of a resource type, which must have an identity.
    pub fn list_resource(&mut self, list: impl ListResource<Data = D>) -> &mut Self {
        self.lists
            .push(Entry::new(list.type_name(), Arc::new(TypedList(list))));
        self
    }

    /// Adds an action.
    pub fn action(&mut self, action: impl Action<Data = D>) -> &mut Self {
        self.actions
            .push(Entry::new(action.type_name(), Arc::new(TypedAction(action))));
        self
    }

    /// Adds a function.
    pub fn function(&mut self, function: impl Function) -> &mut Self {
        self.functions.push(Arc::new(function));
        self
    }

    /// Every fault of every schema, and every name that is there twice.
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut schemas: Vec<(&str, &str, Schema)> = Vec::new();
        schemas.extend(
            self.resources
                .iter()
                .map(|e| ("resource", e.name, e.schema().clone())),
        );
        schemas.extend(
            self.data_sources
                .iter()
                .map(|e| ("data source", e.name, e.schema().clone())),
        );
        schemas.extend(
            self.ephemeral
                .iter()
                .map(|e| ("ephemeral resource", e.name, e.schema().clone())),
        );
        schemas.extend(
            self.lists
                .iter()
                .map(|e| ("list resource", e.name, e.schema().clone())),
        );
        schemas.extend(
            self.actions
                .iter()
                .map(|e| ("action", e.name, e.schema().clone())),
        );
        for (position, (kind, name, schema)) in schemas.iter().enumerate() {
            faults.extend(schema.check(name));
            if schemas[..position]
                .iter()
                .any(|(other_kind, other, _)| (other_kind, other) == (kind, name))
            {
                faults.push(format!("{kind} {name} is there twice"));
            }
        }
        for resource in &self.resources {
            if let Some(identity) = resource.handler.identity_schema() {
                faults.extend(identity.check(resource.name));
            }
        }
        for list in &self.lists {
            let listed = self.resources.iter().find(|resource| resource.name == list.name);
            if listed.is_none_or(|resource| resource.handler.identity_schema().is_none()) {
                faults.push(format!(
                    "list resource {}: there is no resource of this name with an identity",
                    list.name
                ));
            }
        }
        for (position, function) in self.functions.iter().enumerate() {
            if self.functions[..position]
                .iter()
                .any(|other| other.name() == function.name())
            {
                faults.push(format!("function {} is there twice", function.name()));
            }
        }
        faults
    }
}

macro_rules! find {
    ($($method:ident: $field:ident of $handler:ident),*) => {
        impl<D: Send + Sync + 'static> Parts<D> {$(
            /// The part of this type name, or the message that there is none.
            pub(crate) fn $method(&self, kind: &str, name: &str) -> Result<&Entry<dyn $handler<D>>, Diagnostics> {
                self.$field.iter().find(|entry| entry.name == name).ok_or_else(|| unknown(kind, name))
            }
        )*}
    };
}

find! {
    find_resource: resources of ErasedResource,
    find_data_source: data_sources of ErasedDataSource,
    find_ephemeral: ephemeral of ErasedEphemeral,
    find_list: lists of ErasedList,
    find_action: actions of ErasedAction
}

fn unknown(kind: &str, name: &str) -> Diagnostics {
    let detail = format!(
        "This version of the provider has no {kind} {name:?}. Check the name, or install a version of the provider that has it."
    );
    Diagnostics::error(format!("Unknown {kind}"), detail)
}
