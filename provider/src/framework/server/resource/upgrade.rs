//! UpgradeResourceState and UpgradeResourceIdentity: what is stored, in the shape of today. Terraform asks at
//! every run, also at the same version.

use bytes::Bytes;
use serde_json::Value as Json;

use super::{Found, KIND, identity_type, outgoing};
use crate::framework::convert;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::server::ProviderServer;
use crate::framework::traits::Provider;
use crate::framework::value::{ValueError, json};
use crate::plugin::proto::tfplugin6 as pb;
use crate::plugin::proto::tfplugin6::{upgrade_resource_identity, upgrade_resource_state};

pub(in crate::framework::server) fn state<P: Provider>(
    server: &ProviderServer<P>,
    request: &upgrade_resource_state::Request,
) -> Result<upgrade_resource_state::Response, Diagnostics> {
    let entry = server.parts.find_resource(KIND, &request.type_name)?;
    let stored = stored(request.raw_state.as_ref())?;
    let current = entry.schema().version();
    newer_than_us(request.version, current)?;
    let upgraded = if request.version < current {
        upgrade(entry, stored, request.version)?
    } else {
        stored
    };
    let state =
        json::decode(&upgraded, entry.ty(), json::Shape::Stored).map_err(|error| unreadable(&error))?;
    let state = outgoing(entry, state)?;
    Ok(upgrade_resource_state::Response {
        upgraded_state: Some(convert::dynamic(&state, entry.ty())?),
        diagnostics: Vec::new(),
    })
}

/// Takes the stored JSON through every step from `version` on. A version without a step needed none.
fn upgrade<D: Send + Sync + 'static>(
    entry: &Found<D>,
    stored: Bytes,
    version: i64,
) -> Result<Bytes, Diagnostics> {
    let mut steps = entry.handler.upgrades();
    steps.sort_by_key(|step| step.from);
    let mut steps = steps.into_iter().filter(|step| step.from >= version).peekable();
    if steps.peek().is_none() {
        return Ok(stored);
    }
    let parsed =
        serde_json::from_slice::<Json>(&stored).map_err(|error| unreadable(&ValueError::malformed(error)))?;
    let upgraded = steps.try_fold(parsed, |state, step| {
        (step.apply)(state).map_err(|problem| {
            let what = format!(
                "The state could not be upgraded from version {}: {problem}",
                step.from
            );
            Diagnostics::error("Stored state not upgradable", with_restore(&what))
        })
    })?;
    Ok(upgraded.to_string().into())
}

pub(in crate::framework::server) fn identity<P: Provider>(
    server: &ProviderServer<P>,
    request: &upgrade_resource_identity::Request,
) -> Result<upgrade_resource_identity::Response, Diagnostics> {
    let entry = server.parts.find_resource(KIND, &request.type_name)?;
    let Some(ty) = identity_type(entry) else {
        return Err(Diagnostics::error(
            "No identity",
            format!("{} has no identity.", request.type_name),
        ));
    };
    let stored = stored(request.raw_identity.as_ref())?;
    newer_than_us(
        request.version,
        entry.handler.identity_schema().map_or(0, |schema| schema.version),
    )?;
    let identity = json::decode(&stored, &ty, json::Shape::Stored).map_err(|error| unreadable(&error))?;
    Ok(upgrade_resource_identity::Response {
        upgraded_identity: Some(convert::identity(&identity, &ty)?),
        diagnostics: Vec::new(),
    })
}

fn stored(raw: Option<&pb::RawState>) -> Result<Bytes, Diagnostics> {
    match raw {
        Some(raw) if !raw.json.is_empty() => Ok(raw.json.clone()),
        Some(raw) if !raw.flatmap.is_empty() => Err(Diagnostics::error(
            "Stored state too old",
            "The state was written by Terraform 0.11 or earlier. Run terraform 0.12 on it once, then come back.",
        )),
        _ => Ok(Bytes::from_static(b"null")),
    }
}

fn newer_than_us(stored: i64, current: i64) -> Result<(), Diagnostics> {
    if stored <= current {
        return Ok(());
    }
    Err(Diagnostics::error(
        "Stored state too new",
        format!(
            "The state has schema version {stored}, this version of the provider knows versions up to {current}. A newer version of the \
             provider wrote it; install that version or a later one."
        ),
    ))
}

fn unreadable(error: &ValueError) -> Diagnostics {
    let what = format!("What is stored cannot be read: {error}.");
    Diagnostic::error("Stored state not readable", with_restore(&what))
        .at(&error.path)
        .into()
}

fn with_restore(what: &str) -> String {
    format!(
        "{what}\n\nNothing was changed. Restore the state from a backup, or remove the resource with terraform state rm and import it again."
    )
}
