//! Between messages and values: nothing but form, no decisions.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::traits::{ClientCapabilities, DeferReason, FunctionError};
use super::value::{AttributePath, Step, Type, Value, ValueError, json, msgpack};
use crate::plugin::proto::tfplugin6 as pb;

/// The value in a message; absent and empty messages are null. Terraform writes msgpack, some other callers
/// JSON.
pub(crate) fn value(message: Option<&pb::DynamicValue>, ty: &Type) -> Result<Value, Diagnostics> {
    let decoded = match message {
        Some(message) if !message.msgpack.is_empty() => msgpack::decode(&message.msgpack, ty),
        Some(message) if !message.json.is_empty() => json::decode(&message.json, ty, json::Shape::Exact),
        _ => Ok(Value::Null),
    };
    decoded.map_err(|error| undecodable(&error))
}

fn undecodable(error: &ValueError) -> Diagnostics {
    let detail = format!(
        "Terraform sent a value that does not fit the schema: {error}.\n\nThis happens when another version of the provider than the \
         present one is running. Run terraform init, and report it to the developers if it stays."
    );
    Diagnostic::error("Value not readable", detail)
        .at(&error.path)
        .into()
}

/// The message for a value that has the form of `ty`.
pub(crate) fn dynamic(value: &Value, ty: &Type) -> Result<pb::DynamicValue, Diagnostics> {
    match msgpack::encode(value, ty) {
        Ok(bytes) => Ok(pb::DynamicValue {
            msgpack: bytes.into(),
            json: Bytes::new(),
        }),
        Err(error) => {
            let what = format!("an answer does not fit the schema: {error}");
            Err(Diagnostic::bug(what).at(&error.path).into())
        }
    }
}

/// The message for an identity.
pub(crate) fn identity(value: &Value, ty: &Type) -> Result<pb::ResourceIdentityData, Diagnostics> {
    Ok(pb::ResourceIdentityData {
        identity_data: Some(dynamic(value, ty)?),
    })
}

/// The message for a path, which ends where addresses do. The root has none.
pub(crate) fn path(path: &AttributePath) -> Option<pb::AttributePath> {
    use pb::attribute_path::step::Selector;
    let steps: Vec<_> = path
        .addressable()
        .steps()
        .iter()
        .filter_map(|step| match step {
            Step::Attribute(name) => Some(Selector::AttributeName(name.clone())),
            Step::Key(key) => Some(Selector::ElementKeyString(key.clone())),
            Step::Index(index) => Some(Selector::ElementKeyInt(i64::try_from(*index).unwrap_or(i64::MAX))),
            Step::Element => None,
        })
        .map(|selector| pb::attribute_path::Step {
            selector: Some(selector),
        })
        .collect();
    if steps.is_empty() {
        None
    } else {
        Some(pb::AttributePath { steps })
    }
}

/// The messages for diagnostics.
pub(crate) fn diagnostics(diagnostics: Diagnostics) -> Vec<pb::Diagnostic> {
    diagnostics
        .into_iter()
        .map(|diagnostic| pb::Diagnostic {
            severity: match diagnostic.severity {
                Severity::Error => pb::diagnostic::Severity::Error,
                Severity::Warning => pb::diagnostic::Severity::Warning,
            }
            .into(),
            detail: located(&diagnostic),
            summary: diagnostic.summary,
            attribute: path(&diagnostic.path),
        })
        .collect()
}

/// The detail, which says where when the host cannot: Terraform points at attributes of the resource itself, and at the
/// resource as a whole for what lies deeper.
fn located(diagnostic: &Diagnostic) -> String {
    let path = diagnostic.path.addressable();
    let place = path.to_string();
    let told = diagnostic.detail.contains(&place) || diagnostic.summary.contains(&place);
    if path.steps().len() < 2 || told {
        diagnostic.detail.clone()
    } else {
        format!("{place}: {}", diagnostic.detail)
    }
}

/// What the host says it can do; a host that says nothing can do nothing of it.
pub(crate) fn client(message: Option<&pb::ClientCapabilities>) -> ClientCapabilities {
    message.map_or_else(ClientCapabilities::default, |client| ClientCapabilities {
        deferral_allowed: client.deferral_allowed,
        write_only_attributes_allowed: client.write_only_attributes_allowed,
    })
}

/// The message for "not yet".
pub(crate) fn deferred(reason: DeferReason) -> pb::Deferred {
    let reason = match reason {
        DeferReason::ResourceConfigUnknown => pb::deferred::Reason::ResourceConfigUnknown,
        DeferReason::ProviderConfigUnknown => pb::deferred::Reason::ProviderConfigUnknown,
        DeferReason::AbsentPrerequisite => pb::deferred::Reason::AbsentPrereq,
    };
    pb::Deferred {
        reason: reason.into(),
    }
}

/// The message for a failed function.
pub(crate) fn function_error(error: FunctionError) -> pb::FunctionError {
    let argument = error.argument.and_then(|index| i64::try_from(index).ok());
    pb::FunctionError {
        text: error.text,
        function_argument: argument,
    }
}

/// The message for a point in time. Before 1970 is taken as 1970.
pub(crate) fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    prost_types::Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}
