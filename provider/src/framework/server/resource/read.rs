//! ReadResource.

use super::{KIND, identity_of, incoming_identity, outgoing};
use crate::framework::convert;
use crate::framework::diagnostics::Diagnostics;
use crate::framework::server::{ProviderServer, deferral, with_warnings};
use crate::framework::traits::{Private, Provider, ReadOutcome, ReadRequest};
use crate::framework::value::Value;
use crate::plugin::proto::tfplugin6 as pb;
use crate::plugin::proto::tfplugin6::read_resource::{Request, Response};

pub(in crate::framework::server) async fn call<P: Provider>(
    server: &ProviderServer<P>,
    request: &Request,
) -> Result<Response, Diagnostics> {
    let entry = server.parts.find_resource(KIND, &request.type_name)?;
    let ty = entry.ty();
    let state = convert::value(request.current_state.as_ref(), ty)?;
    if state.is_null() {
        return Ok(kept(request, Vec::new()));
    }
    let before = incoming_identity(entry, request.current_identity.as_ref())?;
    let cx = server.context(
        request.client_capabilities.as_ref(),
        request.provider_meta.as_ref(),
    )?;
    let read = ReadRequest {
        state,
        private: Private::from_wire(&request.private),
        identity: before.clone(),
    };
    let outcome = entry.handler.read(&cx, read, ty).await;
    let (outcome, warnings) = with_warnings(&cx, outcome)?;
    let diagnostics = convert::diagnostics(warnings);
    Ok(match outcome {
        ReadOutcome::Present { state, private } => {
            let state = outgoing(entry, state)?;
            Response {
                new_state: Some(convert::dynamic(&state, ty)?),
                diagnostics,
                private: match private {
                    Some(private) => private.to_wire()?,
                    None => request.private.clone(),
                },
                deferred: None,
                new_identity: identity_of(entry, &state, &before)?,
            }
        }
        ReadOutcome::Gone => Response {
            new_state: Some(convert::dynamic(&Value::Null, ty)?),
            diagnostics,
            ..Response::default()
        },
        ReadOutcome::Deferred(reason) => {
            let deferred = deferral(cx.client, reason)?;
            Response {
                deferred: Some(deferred),
                ..kept(request, diagnostics)
            }
        }
    })
}

/// What is stored, unchanged.
pub(in crate::framework::server) fn kept(request: &Request, diagnostics: Vec<pb::Diagnostic>) -> Response {
    Response {
        new_state: request.current_state.clone(),
        diagnostics,
        private: request.private.clone(),
        deferred: None,
        new_identity: request.current_identity.clone(),
    }
}
