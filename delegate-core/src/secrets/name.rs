//! The name of a secret, as a task writes it.

use std::str::FromStr;

use serde_json::Value;

use crate::Secret;

use super::FetchError;

/// Longer names are no names: AWS's end at 2048 with everything in them, all others far below.
const MAX_BYTES: usize = 2048;

/// `[PROVIDER://]PATH[?version=V|?stage=S][#FIELD]`.
///
/// The path is what the provider calls the secret; a prefix `account.` or `org.`, by which managers tell scopes apart, is
/// part of it. `FIELD` takes one field of a secret that has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    /// The only provider to ask; else all are, in their order.
    pub provider: Option<String>,
    /// What the provider calls it. Never empty, without empty parts, `.` and `..` between its slashes.
    pub path: String,
    /// Which of its versions; else the current one.
    pub version: Option<Version>,
    /// Which of its fields.
    pub field: Option<String>,
}

/// A version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// By its number or id.
    Id(String),
    /// By its label (AWS).
    Stage(String),
}

impl FromStr for SecretName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |problem: &str| {
            format!("the name {problem}; it is written [PROVIDER://]PATH[?version=V or ?stage=S][#FIELD]")
        };
        if text.len() > MAX_BYTES || text.chars().any(char::is_control) {
            return Err(bad("is too long, or has control characters"));
        }
        let (provider, rest) = match text.split_once("://") {
            Some((provider, rest)) => (Some(provider.to_owned()), rest),
            None => (None, text),
        };
        let (rest, field) = match rest.split_once('#') {
            Some((_, "")) => return Err(bad("names no field after `#`")),
            Some((rest, field)) => (rest, Some(field.to_owned())),
            None => (rest, None),
        };
        let (path, version) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let version = match version.map(|query| query.split_once('=')) {
            None => None,
            Some(Some(("version", id))) if !id.is_empty() => Some(Version::Id(id.to_owned())),
            Some(Some(("stage", stage))) if !stage.is_empty() => Some(Version::Stage(stage.to_owned())),
            Some(_) => return Err(bad("has an unknown part after `?`")),
        };
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(bad("has an empty part, `.` or `..` in its path"));
        }
        Ok(Self {
            provider,
            path: path.to_owned(),
            version,
            field,
        })
    }
}

impl SecretName {
    /// For providers that keep one text a name: the text, or the wanted field of the JSON object that it is.
    pub(super) fn pick(&self, text: Secret) -> Result<Secret, FetchError> {
        let Some(field) = &self.field else {
            return Ok(text);
        };
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text.expose()) else {
            return Err(FetchError::Failed(format!(
                "`{}` is no JSON object and has no field `{field}`; leave `#{field}` out",
                self.path
            )));
        };
        match fields.remove(field) {
            Some(value) => Ok(as_text(value)),
            None => Err(FetchError::Failed(format!(
                "`{}` has no field `{field}`",
                self.path
            ))),
        }
    }

    /// For providers without versions.
    pub(super) fn without_version(&self) -> Result<(), FetchError> {
        match self.version {
            None => Ok(()),
            Some(_) => Err(FetchError::Absent("it keeps no versions".to_owned())),
        }
    }
}

/// A text as it is, anything else as JSON.
pub(super) fn as_text(value: Value) -> Secret {
    match value {
        Value::String(text) => Secret::new(text),
        other => Secret::new(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_four_parts() {
        let name: SecretName = "vault://team/db?version=3#password".parse().unwrap();
        assert_eq!(name.provider.as_deref(), Some("vault"));
        assert_eq!(name.path, "team/db");
        assert_eq!(name.version, Some(Version::Id("3".to_owned())));
        assert_eq!(name.field.as_deref(), Some("password"));
        let name: SecretName = "account.db".parse().unwrap();
        assert_eq!(
            (name.provider, &*name.path, name.field),
            (None, "account.db", None)
        );
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for text in [
            "",
            "a//b",
            "../b",
            "a/./b",
            "/a",
            "a/",
            "a#",
            "a?x=1",
            "a?version=",
            "a\nb",
            "env://",
        ] {
            assert!(text.parse::<SecretName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_field_is_taken_from_json_and_a_wrong_one_shows_nothing() {
        let pick = |name: &str, text: &str| name.parse::<SecretName>().unwrap().pick(Secret::new(text));
        assert_eq!(pick("a", r#"{"b":1}"#).unwrap().expose(), r#"{"b":1}"#);
        assert_eq!(pick("a#b", r#"{"b":"x"}"#).unwrap().expose(), "x");
        assert_eq!(pick("a#b", r#"{"b":12}"#).unwrap().expose(), "12");
        for text in ["hunter2", r#"{"c":"hunter2"}"#] {
            let error = pick("a#b", text).unwrap_err().to_string();
            assert!(
                error.contains("field `b`") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
