//! Managed resources, one file a call.

pub(super) mod apply;
pub(super) mod generate;
pub(super) mod import;
pub(super) mod moved;
pub(super) mod plan;
pub(super) mod read;
pub(super) mod upgrade;
pub(super) mod validate;

use crate::framework::convert;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::erased::{Entry, ErasedResource};
use crate::framework::plan::{checks, complete_blocks, null_write_only};
use crate::framework::value::{Type, Value};
use crate::plugin::proto::tfplugin6 as pb;

type Found<D> = Entry<dyn ErasedResource<D>>;

const KIND: &str = "resource";

/// A state on its way out: nothing write-only in it, nothing unknown, and blocks in the form Terraform has
/// them.
fn outgoing<D: Send + Sync + 'static>(entry: &Found<D>, state: Value) -> Result<Value, Diagnostics> {
    let state = complete_blocks(entry.schema(), null_write_only(entry.schema(), state));
    let violations = checks::state(entry.schema(), &state);
    if violations.is_empty() {
        Ok(state)
    } else {
        Err(violations.into_iter().map(Diagnostic::from).collect())
    }
}

/// The type of the resource's identities, if it has any.
fn identity_type<D: Send + Sync + 'static>(entry: &Found<D>) -> Option<Type> {
    entry.handler.identity_schema().map(|schema| schema.ty())
}

/// An identity from the host; null if there is none.
fn incoming_identity<D: Send + Sync + 'static>(
    entry: &Found<D>,
    data: Option<&pb::ResourceIdentityData>,
) -> Result<Value, Diagnostics> {
    match identity_type(entry) {
        Some(ty) => convert::value(data.and_then(|data| data.identity_data.as_ref()), &ty),
        None => Ok(Value::Null),
    }
}

/// The identity of `state`, else the one known before: an answer without one would clear what is stored.
fn identity_of<D: Send + Sync + 'static>(
    entry: &Found<D>,
    state: &Value,
    before: &Value,
) -> Result<Option<pb::ResourceIdentityData>, Diagnostics> {
    let Some(ty) = identity_type(entry) else {
        return Ok(None);
    };
    let identity = match entry.handler.identity(state, &ty)? {
        Some(identity) => identity,
        None if before.is_null() || !before.is_wholly_known() => return Ok(None),
        None => before.clone(),
    };
    convert::identity(&identity, &ty).map(Some)
}
