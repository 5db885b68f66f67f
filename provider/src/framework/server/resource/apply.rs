//! ApplyResourceChange: create, update or delete. The one call that must never lose what it did.

use super::{KIND, identity_of, incoming_identity};
use crate::framework::convert;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::erased::Change;
use crate::framework::plan::{checks, complete_blocks, null_write_only};
use crate::framework::server::ProviderServer;
use crate::framework::server::service::Failure;
use crate::framework::traits::{Outcome, Private, Provider};
use crate::framework::value::Value;
use crate::plugin::proto::tfplugin6 as pb;
use crate::plugin::proto::tfplugin6::apply_resource_change::{Request, Response};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Update,
    Delete,
}

pub(in crate::framework::server) async fn call<P: Provider>(
    server: &ProviderServer<P>,
    request: &Request,
) -> Result<Response, Diagnostics> {
    let entry = server.parts.find_resource(KIND, &request.type_name)?;
    let (schema, ty) = (entry.schema(), entry.ty());
    let prior = convert::value(request.prior_state.as_ref(), ty)?;
    let planned = convert::value(request.planned_state.as_ref(), ty)?;
    let config = convert::value(request.config.as_ref(), ty)?;
    let identity = incoming_identity(entry, request.planned_identity.as_ref())?;
    let cx = server.context(None, request.provider_meta.as_ref())?;
    let private = Private::from_wire(&request.planned_private);
    let change = Change {
        prior: &prior,
        planned: &planned,
        config: &config,
        private,
        ty,
    };
    let (operation, result) = match (prior.is_null(), planned.is_null()) {
        (true, true) => return Ok(kept_prior(request, Vec::new())),
        (true, false) => (Operation::Create, entry.handler.create(&cx, change).await),
        (false, false) => (Operation::Update, entry.handler.update(&cx, change).await),
        (false, true) => (Operation::Delete, entry.handler.delete(&cx, change).await),
    };
    let mut diagnostics = cx.take_warnings();
    let Outcome {
        state,
        private,
        diagnostics: problems,
    } = match result {
        Ok(outcome) => outcome,
        Err(problems) => {
            diagnostics.extend(problems);
            return Err(diagnostics);
        }
    };
    diagnostics.extend(problems);
    let state = settle(operation, state, &prior, &planned, &mut diagnostics);
    let state = complete_blocks(schema, null_write_only(schema, state));
    if !diagnostics.has_errors() {
        let violations = if cfg!(debug_assertions) {
            checks::result(schema, &planned, &state)
        } else {
            checks::state(schema, &state)
        };
        diagnostics.extend(violations.into_iter().map(Diagnostic::from));
    }
    // Whatever went wrong, what is stored is known.
    let state = state.unknown_as_null();

    // From here on a problem adds to the answer and never replaces it: the object has changed.
    let new_identity = if state.is_null() {
        None
    } else {
        identity_of(entry, &state, &identity).unwrap_or_else(|problem| {
            diagnostics.extend(problem);
            request.planned_identity.clone()
        })
    };
    if new_identity.is_none()
        && !state.is_null()
        && entry.handler.identity_schema().is_some()
        && !diagnostics.has_errors()
    {
        diagnostics.push(Diagnostic::bug("the object has no identity after apply"));
    }
    let private = match private.as_ref().map(Private::to_wire) {
        Some(Ok(private)) => private,
        Some(Err(problem)) => {
            diagnostics.extend(problem);
            request.planned_private.clone()
        }
        None => request.planned_private.clone(),
    };
    let new_state = match convert::dynamic(&state, ty) {
        Ok(state) => Some(state),
        Err(problem) => {
            diagnostics.extend(problem);
            request.prior_state.clone()
        }
    };
    Ok(Response {
        new_state,
        private: if state.is_null() {
            bytes::Bytes::new()
        } else {
            private
        },
        diagnostics: convert::diagnostics(diagnostics),
        legacy_type_system: false,
        new_identity,
    })
}

/// The state after `operation`, with the outcomes that make no sense turned into errors that keep one.
fn settle(
    operation: Operation,
    state: Option<Value>,
    prior: &Value,
    planned: &Value,
    diagnostics: &mut Diagnostics,
) -> Value {
    let failed = diagnostics.has_errors();
    match (operation, state) {
        (Operation::Delete, Some(state)) if !failed => {
            diagnostics.push(Diagnostic::bug(
                "the object is still there after a delete that did not fail",
            ));
            state
        }
        (_, Some(state)) => state,
        (Operation::Delete, None) => Value::Null,
        (Operation::Create, None) if failed => Value::Null,
        (Operation::Create, None) => {
            diagnostics.push(Diagnostic::bug(
                "there is no state after a create that did not fail",
            ));
            planned.clone()
        }
        // Terraform keeps the stored state if an error comes with none.
        (Operation::Update, None) if failed => prior.clone(),
        (Operation::Update, None) => {
            diagnostics.push(Diagnostic::bug(
                "there is no state after an update that did not fail",
            ));
            prior.clone()
        }
    }
}

/// The answer to a call that had none. One that refused has changed nothing. One that panicked may have made
/// the object: a create is stored as planned, so that Terraform knows of it and replaces it.
pub(in crate::framework::server) fn kept<P: Provider>(
    server: &ProviderServer<P>,
    request: &Request,
    diagnostics: Vec<pb::Diagnostic>,
    failure: Failure,
) -> Response {
    let kept = kept_prior(request, diagnostics);
    if failure == Failure::Refused {
        return kept;
    }
    let planned = || -> Result<Option<pb::DynamicValue>, Diagnostics> {
        let entry = server.parts.find_resource(KIND, &request.type_name)?;
        let prior = convert::value(request.prior_state.as_ref(), entry.ty())?;
        let planned = convert::value(request.planned_state.as_ref(), entry.ty())?;
        if !prior.is_null() || planned.is_null() {
            return Ok(None);
        }
        convert::dynamic(&planned.unknown_as_null(), entry.ty()).map(Some)
    };
    match planned() {
        Ok(Some(planned)) => Response {
            new_state: Some(planned),
            ..kept
        },
        _ => kept,
    }
}

fn kept_prior(request: &Request, diagnostics: Vec<pb::Diagnostic>) -> Response {
    Response {
        new_state: request.prior_state.clone(),
        private: request.planned_private.clone(),
        diagnostics,
        legacy_type_system: false,
        new_identity: request.planned_identity.clone(),
    }
}
