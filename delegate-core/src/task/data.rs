//! Task data to types.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Secrets, TaskError};
use crate::Secret;
use crate::process::is_valid_name;

/// The data of a kind: a type that is read, and what its shape cannot tell.
pub trait TaskData: DeserializeOwned {
    /// The secrets that the data spells out. They are masked before anything is said of the data.
    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }

    /// Whether the values make sense. The error is [`TaskError::Data`], with the path of the field and without its
    /// value. Nothing outside is looked at.
    fn check(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

/// What most kinds do to validate: reads the data, makes its secrets known, and checks it.
pub fn validate<T: TaskData>(data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
    let data: T = read(data)?;
    secrets.mask(data.secrets());
    data.check()
}

/// Reads task data. Errors name the field and never show a value, which may be a secret.
pub(super) fn read<T: DeserializeOwned>(data: &Value) -> Result<T, TaskError> {
    serde_path_to_error::deserialize(data).map_err(|error| TaskError::Data {
        path: match error.path().to_string() {
            root if root == "." => "data".to_owned(),
            path => path,
        },
        problem: without_value(&error.inner().to_string()),
    })
}

/// That a value is one line, as whatever reads it wants it.
pub(super) fn one_line(field: &str, text: &str) -> Result<(), TaskError> {
    let problem = if text.is_empty() {
        "is empty"
    } else if text.contains(['\n', '\r', '\0']) {
        "has more than one line; a line end at its end is often one too many"
    } else {
        return Ok(());
    };
    Err(TaskError::data(field, problem))
}

/// That `env` and `secrets` hold what environment variables can be, and none that the kind sets itself.
pub(super) fn check_environment(
    env: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Secret>,
    is_reserved: impl Fn(&str) -> bool,
) -> Result<(), TaskError> {
    let secrets = secrets
        .iter()
        .map(|(name, value)| ("secrets", name, value.expose()));
    let plain = env.iter().map(|(name, value)| ("env", name, value.as_str()));
    for (field, name, value) in plain.chain(secrets) {
        let named = || format!("{field}.{name}");
        if !is_valid_name(name) {
            let problem = "has a name that is none for an environment variable; use letters, digits and `_`";
            return Err(TaskError::data(field, problem));
        }
        if is_reserved(name) {
            let problem = "is set by the delegate; use the field that is meant for it";
            return Err(TaskError::data(named(), problem));
        }
        if value.contains('\0') {
            let problem = "contains a NUL, which no environment variable can";
            return Err(TaskError::data(named(), problem));
        }
    }
    Ok(())
}

/// serde says ``invalid type: string "hunter2", expected a map``; the value goes, its type stays. And it says
/// ``unknown variant `hunter2`, expected `GET` or `PUT` ``.
fn without_value(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown variant `")
        && let Some((_, expected)) = rest.split_once("`, expected ")
    {
        return format!("unknown variant, expected {expected}");
    }
    for kind in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = message.strip_prefix(kind)
            && let Some((found, expected)) = rest.rsplit_once(", expected ")
        {
            let found = found.split(['"', '`']).next().unwrap_or_default().trim_end();
            return format!("{kind}{found}, expected {expected}");
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Data {
        #[serde(rename = "env")]
        _env: BTreeMap<String, String>,
        #[serde(rename = "mode")]
        _mode: Option<Mode>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
        Slow,
    }

    fn problem(data: &Value) -> String {
        read::<Data>(data).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_the_field_and_hides_the_value() {
        assert_eq!(
            problem(&json!({"env": {"PIN": 123_456}})),
            "task data field `env.PIN`: invalid type: integer, expected a string"
        );
        assert_eq!(
            problem(&json!({"env": "hunter2, expected nothing"})),
            "task data field `env`: invalid type: string, expected a map"
        );
        assert_eq!(problem(&json!({})), "task data field `data`: missing field `env`");
        assert_eq!(
            problem(&json!({"env": {}, "mode": "hunter2"})),
            "task data field `mode`: unknown variant, expected `fast` or `slow`"
        );
    }

    #[test]
    fn an_unknown_field_is_named() {
        let problem = problem(&json!({"env": {}, "envs": {}}));
        assert!(problem.contains("`envs`"), "{problem}");
    }
}
