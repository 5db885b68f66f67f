//! A login by name and password, as several kinds take it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

use super::TaskError;
use crate::Secret;

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Basic {
    /// Name, without a colon.
    pub(super) user: String,
    /// Password.
    pub(super) password: Secret,
}

impl Basic {
    /// The header `authorization`. `field` is the path of this type in the data.
    pub(super) fn header(&self, field: &str) -> Result<HeaderValue, TaskError> {
        if self.user.contains(':') {
            return Err(TaskError::data(
                format!("{field}.user"),
                "must not contain a colon",
            ));
        }
        let login = STANDARD.encode(format!("{}:{}", self.user, self.password.expose()));
        secret_header(field, &format!("Basic {login}"))
    }
}

/// The header `authorization` of a login by token.
pub(super) fn bearer(field: &str, token: &Secret) -> Result<HeaderValue, TaskError> {
    secret_header(field, &format!("Bearer {}", token.expose()))
}

fn secret_header(field: &str, value: &str) -> Result<HeaderValue, TaskError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        TaskError::data(
            field,
            "has characters that a header cannot hold, such as a line end",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
