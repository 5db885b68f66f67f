//! What there is: metadata, schemas, identities.

use super::ProviderServer;
use crate::framework::convert;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::schema::{markdown, type_json};
use crate::framework::traits::{Function, Parameter, Provider};
use crate::plugin::proto::tfplugin6 as pb;

/// What we can do beyond the protocol's first version.
const CAPABILITIES: pb::ServerCapabilities = pb::ServerCapabilities {
    // Resources see the plan of their own end, and may refuse it.
    plan_destroy: true,
    // Nothing depends on the schemas having been asked for in this process; most processes of a run never
    // ask.
    get_provider_schema_optional: true,
    move_resource_state: true,
    generate_resource_config: true,
};

impl<P: Provider> ProviderServer<P> {
    pub(super) fn metadata(&self) -> pb::get_metadata::Response {
        use pb::get_metadata as m;
        m::Response {
            server_capabilities: Some(CAPABILITIES),
            diagnostics: Vec::new(),
            data_sources: self
                .parts
                .data_sources
                .iter()
                .map(|e| m::DataSourceMetadata {
                    type_name: e.name.to_owned(),
                })
                .collect(),
            resources: self
                .parts
                .resources
                .iter()
                .map(|e| m::ResourceMetadata {
                    type_name: e.name.to_owned(),
                })
                .collect(),
            functions: self
                .parts
                .functions
                .iter()
                .map(|f| m::FunctionMetadata {
                    name: f.name().to_owned(),
                })
                .collect(),
            ephemeral_resources: self
                .parts
                .ephemeral
                .iter()
                .map(|e| m::EphemeralResourceMetadata {
                    type_name: e.name.to_owned(),
                })
                .collect(),
            list_resources: self
                .parts
                .lists
                .iter()
                .map(|e| m::ListResourceMetadata {
                    type_name: e.name.to_owned(),
                })
                .collect(),
            state_stores: Vec::new(),
            actions: self
                .parts
                .actions
                .iter()
                .map(|e| m::ActionMetadata {
                    type_name: e.name.to_owned(),
                })
                .collect(),
        }
    }

    pub(super) fn schemas(&self) -> Result<pb::get_provider_schema::Response, Diagnostics> {
        if cfg!(debug_assertions) {
            // Terraform would refuse the whole provider, and say so to a user who cannot help it.
            let faults = self.check();
            if !faults.is_empty() {
                return Err(Diagnostic::bug(faults.join("\n")).into());
            }
        }
        Ok(pb::get_provider_schema::Response {
            provider: Some(self.provider_schema().0.to_wire()),
            resource_schemas: self
                .parts
                .resources
                .iter()
                .map(|e| (e.name.to_owned(), e.schema().to_wire()))
                .collect(),
            data_source_schemas: self
                .parts
                .data_sources
                .iter()
                .map(|e| (e.name.to_owned(), e.schema().to_wire()))
                .collect(),
            diagnostics: convert::diagnostics(Diagnostics::new()),
            provider_meta: self.meta_schema().map(|(schema, _)| schema.to_wire()),
            server_capabilities: Some(CAPABILITIES),
            functions: self.functions(),
            ephemeral_resource_schemas: self
                .parts
                .ephemeral
                .iter()
                .map(|e| (e.name.to_owned(), e.schema().to_wire()))
                .collect(),
            list_resource_schemas: self
                .parts
                .lists
                .iter()
                .map(|e| (e.name.to_owned(), e.schema().to_wire()))
                .collect(),
            state_store_schemas: std::collections::BTreeMap::new(),
            action_schemas: self
                .parts
                .actions
                .iter()
                .map(|e| {
                    (
                        e.name.to_owned(),
                        pb::ActionSchema {
                            schema: Some(e.schema().to_wire()),
                        },
                    )
                })
                .collect(),
        })
    }

    pub(super) fn identity_schemas(&self) -> pb::get_resource_identity_schemas::Response {
        let with_identity = self.parts.resources.iter().filter_map(|entry| {
            let schema = entry.handler.identity_schema()?;
            Some((entry.name.to_owned(), schema.to_wire()))
        });
        pb::get_resource_identity_schemas::Response {
            identity_schemas: with_identity.collect(),
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn functions(&self) -> std::collections::BTreeMap<String, pb::Function> {
        self.parts
            .functions
            .iter()
            .map(|function| (function.name().to_owned(), function_message(&**function)))
            .collect()
    }
}

fn function_message(function: &dyn Function) -> pb::Function {
    let signature = function.signature();
    pb::Function {
        parameters: signature.parameters.iter().map(parameter_message).collect(),
        variadic_parameter: signature.variadic.as_ref().map(parameter_message),
        r#return: Some(pb::function::Return {
            r#type: type_json(&signature.returns),
        }),
        summary: signature.summary,
        description: signature.description,
        description_kind: markdown(),
        deprecation_message: String::new(),
    }
}

fn parameter_message(parameter: &Parameter) -> pb::function::Parameter {
    pb::function::Parameter {
        name: parameter.name.clone(),
        r#type: type_json(&parameter.ty),
        allow_null_value: parameter.allow_null,
        allow_unknown_values: parameter.allow_unknown,
        description: parameter.description.clone(),
        description_kind: markdown(),
    }
}
