//! PlanResourceChange.

use super::{Found, KIND, identity_type, incoming_identity};
use crate::framework::convert;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::plan::{Plan, checks, filter_replacements, null_write_only, propose};
use crate::framework::server::{ProviderServer, deferral, with_warnings};
use crate::framework::traits::{Private, Provider};
use crate::framework::value::{AttributePath, Value};
use crate::plugin::proto::tfplugin6 as pb;
use crate::plugin::proto::tfplugin6::plan_resource_change::{Request, Response};

pub(in crate::framework::server) async fn call<P: Provider>(
    server: &ProviderServer<P>,
    request: &Request,
) -> Result<Response, Diagnostics> {
    let entry = server.parts.find_resource(KIND, &request.type_name)?;
    let (schema, ty) = (entry.schema(), entry.ty());
    let prior = convert::value(request.prior_state.as_ref(), ty)?;
    let config = convert::value(request.config.as_ref(), ty)?;
    let proposed = convert::value(request.proposed_new_state.as_ref(), ty)?;
    let before = incoming_identity(entry, request.prior_identity.as_ref())?;
    let cx = server.context(
        request.client_capabilities.as_ref(),
        request.provider_meta.as_ref(),
    )?;

    let destroy = proposed.is_null();
    let proposal = propose(schema, &config, &prior, proposed);
    let private = Private::from_wire(&request.prior_private);
    let mut plan = Plan {
        config,
        prior,
        planned: proposal.planned,
        ty: ty.clone(),
        requires_replace: proposal.requires_replace,
        deferred: None,
        private: private.clone(),
    };
    let hook = entry.handler.modify_plan(&cx, &mut plan).await;
    let ((), warnings) = with_warnings(&cx, hook)?;
    let Plan {
        config,
        prior,
        planned,
        requires_replace,
        deferred,
        private: to_remember,
        ..
    } = plan;
    let planned = null_write_only(schema, planned);
    if destroy != planned.is_null() {
        return Err(Diagnostic::bug("the plan of a destroy, and no other, must be null").into());
    }
    let deferred = deferred.map(|reason| deferral(cx.client, reason)).transpose()?;
    let requires_replace = if prior.is_null() || destroy {
        Vec::new()
    } else {
        filter_replacements(schema, &prior, &planned, requires_replace)?
    };
    if cfg!(debug_assertions) && deferred.is_none() {
        let violations = checks::plan(schema, &prior, &config, &planned);
        if !violations.is_empty() {
            return Err(violations.into_iter().map(Diagnostic::from).collect());
        }
    }
    let planned_identity = identity(entry, &prior, &planned, &before, &requires_replace)?;
    Ok(Response {
        planned_state: Some(convert::dynamic(&planned, ty)?),
        requires_replace: requires_replace.iter().filter_map(convert::path).collect(),
        planned_private: if to_remember == private {
            request.prior_private.clone()
        } else {
            to_remember.to_wire()?
        },
        diagnostics: convert::diagnostics(warnings),
        // Never: it would switch off what Terraform checks for the user.
        legacy_type_system: false,
        deferred,
        planned_identity,
    })
}

/// The identity as planned. It stays for the life of the object; only a replacement changes it.
fn identity<D: Send + Sync + 'static>(
    entry: &Found<D>,
    prior: &Value,
    planned: &Value,
    before: &Value,
    requires_replace: &[AttributePath],
) -> Result<Option<pb::ResourceIdentityData>, Diagnostics> {
    let Some(ty) = identity_type(entry) else {
        return Ok(None);
    };
    let before = match (before.is_null(), prior.is_null()) {
        (false, _) => Some(before.clone()),
        // State written before the resource had an identity.
        (true, false) => entry.handler.identity(prior, &ty)?,
        (true, true) => None,
    };
    let after = if planned.is_null() {
        None
    } else {
        entry.handler.identity(planned, &ty)?
    };
    let identity = match (before, after) {
        (Some(before), Some(after)) if before != after => {
            if requires_replace.is_empty() && !prior.is_null() {
                let what = "the plan changes the identity of the object without replacing it";
                return Err(Diagnostic::bug(what).into());
            }
            after
        }
        (Some(identity), _) | (None, Some(identity)) => identity,
        (None, None) => return Ok(None),
    };
    convert::identity(&identity, &ty).map(Some)
}

/// What is stored, unchanged.
pub(in crate::framework::server) fn kept(request: &Request, diagnostics: Vec<pb::Diagnostic>) -> Response {
    Response {
        planned_state: request.prior_state.clone(),
        planned_private: request.prior_private.clone(),
        diagnostics,
        planned_identity: request.prior_identity.clone(),
        ..Response::default()
    }
}
