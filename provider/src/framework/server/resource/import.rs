//! ImportResourceState.

use super::{KIND, identity_of, incoming_identity, outgoing};
use crate::framework::convert;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::server::{ProviderServer, deferral, with_warnings};
use crate::framework::traits::{ImportRequest, ImportTarget, Imported, Provider};
use crate::plugin::proto::tfplugin6::import_resource_state::{ImportedResource, Request, Response};

pub(in crate::framework::server) async fn call<P: Provider>(
    server: &ProviderServer<P>,
    request: &Request,
) -> Result<Response, Diagnostics> {
    let entry = server.parts.find_resource(KIND, &request.type_name)?;
    let ty = entry.ty();
    let identity = incoming_identity(entry, request.identity.as_ref())?;
    let target = if identity.is_null() {
        ImportTarget::Id(request.id.clone())
    } else {
        ImportTarget::Identity(identity.clone())
    };
    let cx = server.context(request.client_capabilities.as_ref(), None)?;
    let import = entry.handler.import(&cx, ImportRequest { target }, ty).await;
    let (
        Imported {
            state,
            private,
            deferred,
        },
        warnings,
    ) = with_warnings(&cx, import)?;
    let deferred = deferred.map(|reason| deferral(cx.client, reason)).transpose()?;
    if state.is_null() {
        return Err(Diagnostic::bug("an import found nothing and did not say so").into());
    }
    let state = outgoing(entry, state)?;
    let resource = ImportedResource {
        type_name: request.type_name.clone(),
        state: Some(convert::dynamic(&state, ty)?),
        private: private.to_wire()?,
        identity: identity_of(entry, &state, &identity)?,
    };
    Ok(Response {
        imported_resources: vec![resource],
        diagnostics: convert::diagnostics(warnings),
        deferred,
    })
}
