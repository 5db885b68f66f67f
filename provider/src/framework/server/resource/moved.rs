//! MoveResourceState: the state of another type, or of another provider's, that a `moved` block makes one of
//! ours.

use super::{KIND, identity_of, outgoing};
use crate::framework::convert;
use crate::framework::diagnostics::Diagnostics;
use crate::framework::server::ProviderServer;
use crate::framework::traits::{MoveRequest, Provider};
use crate::framework::value::Value;
use crate::plugin::proto::tfplugin6::move_resource_state::{Request, Response};

pub(in crate::framework::server) fn call<P: Provider>(
    server: &ProviderServer<P>,
    request: &Request,
) -> Result<Response, Diagnostics> {
    let entry = server.parts.find_resource(KIND, &request.target_type_name)?;
    let json = request
        .source_state
        .as_ref()
        .map(|raw| &raw.json[..])
        .unwrap_or_default();
    let state = serde_json::from_slice(json).map_err(|_| {
        let detail = format!(
            "The stored state of {} is not JSON and cannot be moved.",
            request.source_type_name
        );
        Diagnostics::error("State not movable", detail)
    })?;
    let source = MoveRequest {
        provider_address: request.source_provider_address.clone(),
        type_name: request.source_type_name.clone(),
        schema_version: request.source_schema_version,
        state,
    };
    let moved = entry.handler.move_state(&source, entry.ty()).unwrap_or_else(|| {
        Err(Diagnostics::error(
            "State not movable",
            format!(
                "{} cannot be made from {} (schema version {}) of {}. Remove the moved block, and import the object instead.",
                request.target_type_name, request.source_type_name, request.source_schema_version, request.source_provider_address
            ),
        ))
    })?;
    let state = outgoing(entry, moved)?;
    Ok(Response {
        target_state: Some(convert::dynamic(&state, entry.ty())?),
        diagnostics: Vec::new(),
        // Private state is the business of who wrote it.
        target_private: bytes::Bytes::new(),
        target_identity: identity_of(entry, &state, &Value::Null)?,
    })
}
