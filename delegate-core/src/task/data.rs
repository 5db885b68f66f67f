//! Task data to types.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::TaskError;

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

/// serde says ``invalid type: string "hunter2", expected a map``; the value goes, its type stays.
fn without_value(message: &str) -> String {
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
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Data {
        #[serde(rename = "env")]
        _env: BTreeMap<String, String>,
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
    }

    #[test]
    fn an_unknown_field_is_named() {
        let problem = problem(&json!({"env": {}, "envs": {}}));
        assert!(problem.contains("`envs`"), "{problem}");
    }
}
