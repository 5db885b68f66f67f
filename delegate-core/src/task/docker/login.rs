//! Who logs in at which registry, from the data of a task to the `docker` program: its configuration file in the task's
//! own directory, which is read instead of a user's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::reference::is_registry;
use crate::Secret;
use crate::task::{TaskContext, TaskError, files};

/// How Docker's own registry is called in the configuration file.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

// A login at a registry.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::task) struct Login {
    /// The registry: `HOST[:PORT]`; `docker.io` is Docker's own.
    pub(in crate::task) registry: String,
    /// Name of the user; where a token is the login, what the registry asks for.
    pub(in crate::task) user: String,
    /// Password or token.
    pub(in crate::task) password: Secret,
}

/// What is secret in them.
pub(in crate::task) fn secrets_of(logins: &[Login]) -> impl Iterator<Item = Secret> {
    logins.iter().map(|login| login.password.clone())
}

/// Whether they are what they should be. `field` is the path of the list.
pub(in crate::task) fn check_logins(field: &str, logins: &[Login]) -> Result<(), TaskError> {
    for (at, login) in logins.iter().enumerate() {
        let wrong =
            |name: &str, problem: &str| Err(TaskError::data(format!("{field}[{at}].{name}"), problem));
        if !is_registry(&login.registry) {
            return wrong(
                "registry",
                "is no registry; give HOST or HOST:PORT, without a scheme and a path",
            );
        }
        if logins[..at]
            .iter()
            .any(|earlier| earlier.registry == login.registry)
        {
            return wrong("registry", "has a login already; give one for each registry");
        }
        if login.user.is_empty() || login.user.contains([':', '\n', '\r', '\0']) {
            return wrong(
                "user",
                "is empty, or has a colon or a line end in it, which no registry takes",
            );
        }
        if login.password.is_empty() || login.password.expose().contains(['\n', '\r', '\0']) {
            return wrong(
                "password",
                "is empty, or has a line end; one at its end is often one too many",
            );
        }
    }
    Ok(())
}

/// Writes the configuration file into the task's directory, which is `DOCKER_CONFIG` then. To be called once a task.
pub(super) async fn lay_out(logins: &[Login], context: &TaskContext) -> Result<(), TaskError> {
    let mut auths = Map::new();
    for login in logins {
        let auth = STANDARD.encode(format!("{}:{}", login.user, login.password.expose()));
        // A client that is asked to be verbose would show it encoded; one that was made for this task is known to nobody yet.
        context
            .secrets
            .mask([Secret::new(auth.clone()), login.password.clone()]);
        let key = match &*login.registry {
            "docker.io" => DOCKER_HUB_KEY,
            registry => registry,
        };
        auths.insert(key.to_owned(), json!({"auth": auth}));
    }
    let mut config = json!({"auths": auths});
    if let Some(home) = context.environment.get("HOME") {
        // Where a user, unlike a package, puts plugins such as buildx.
        let plugins = std::path::Path::new(home).join(".docker/cli-plugins");
        config["cliPluginsExtraDirs"] = Value::from(vec![plugins.to_string_lossy()]);
    }
    let file = context.work_dir.join("config.json");
    files::write_private(&file, &config.to_string(), context.confinement.user.as_ref()).await
}
