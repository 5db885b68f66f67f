//! Whose login goes with an image: that of the resource, of the provider, or of the user's own `docker login`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bollard::auth::DockerCredentials;
use delegate_core::Secret;
use delegate_core::process::{Command, Environment, Limits};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{DockerError, DockerSpec, Engine};
use crate::install::cluster::expand_home;

/// Registry of images that name none, and the name under which `docker login` keeps its login.
const HUB: &str = "docker.io";
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// How long a credential program may take; it may ask a service.
const HELPER_LIMIT: Duration = Duration::from_secs(30);

/// Most of an answer of such a program, in bytes; a token of a cloud has a few thousand.
const ANSWER_LIMIT: usize = 64 << 10;

/// A login of a registry.
#[derive(Debug, Clone, Deserialize)]
pub struct Login {
    /// Host of the registry, with its port if it has one: `registry.example:5000`.
    pub address: String,
    /// User.
    pub username: String,
    /// Password or token.
    pub password: Secret,
}

impl From<&Login> for DockerCredentials {
    fn from(login: &Login) -> Self {
        Self {
            username: Some(login.username.clone()),
            password: Some(login.password.expose().to_owned()),
            serveraddress: Some(login.address.clone()),
            ..Self::default()
        }
    }
}

/// The registry of an image: what comes before the first slash, when it looks like a host.
pub fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => HUB,
    }
}

/// The login for an image, if there is any.
///
/// # Errors
/// When the user's `docker login` cannot be read.
pub(super) async fn login(
    engine: &Engine,
    spec: &DockerSpec,
    image: &str,
    stop: &CancellationToken,
) -> Result<Option<DockerCredentials>, DockerError> {
    if let Some(login) = &spec.login {
        return Ok(Some(login.into()));
    }
    let registry = registry_of(image);
    let fits = |login: &&Login| host_of(&login.address) == registry;
    if let Some(login) = engine.logins().iter().find(fits) {
        return Ok(Some(login.into()));
    }
    of_user(registry, stop).await
}

/// The host of an address as people write it, with a scheme and a path or without.
fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    if host == "index.docker.io" { HUB } else { host }
}

/// What `docker login` has left.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UserConfig {
    auths: HashMap<String, UserAuth>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserAuth {
    auth: Secret,
}

async fn of_user(registry: &str, stop: &CancellationToken) -> Result<Option<DockerCredentials>, DockerError> {
    let folder = std::env::var_os("DOCKER_CONFIG").map_or_else(|| expand_home("~/.docker"), PathBuf::from);
    let file = folder.join("config.json");
    let Ok(text) = tokio::fs::read(&file).await else {
        return Ok(None);
    };
    let unusable = |problem: &str| DockerError::Target(format!("cannot use {}: {problem}", file.display()));
    // Its text may hold logins, so what the parser says of it is not repeated.
    let config: UserConfig =
        serde_json::from_slice(&text).map_err(|_| unusable("it is not the JSON of docker login"))?;
    let key = if registry == HUB { HUB_KEY } else { registry };
    let helper = config.cred_helpers.get(key).or(config.creds_store.as_ref());
    if let Some(helper) = helper {
        return of_helper(helper, key, stop).await;
    }
    let found = config
        .auths
        .iter()
        .find(|(address, auth)| host_of(address) == registry && !auth.auth.is_empty());
    let Some((_, auth)) = found else {
        return Ok(None);
    };
    let decoded = BASE64
        .decode(auth.auth.expose())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    let (user, password) =
        pair.ok_or_else(|| unusable("an \"auth\" in it is not base64 of user:password"))?;
    Ok(Some(DockerCredentials {
        username: Some(user.to_owned()),
        password: Some(password.to_owned()),
        serveraddress: Some(key.to_owned()),
        ..DockerCredentials::default()
    }))
}

/// Asks the program that keeps the user's logins.
async fn of_helper(
    helper: &str,
    key: &str,
    stop: &CancellationToken,
) -> Result<Option<DockerCredentials>, DockerError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    let program = format!("docker-credential-{helper}");
    let own: Vec<String> = std::env::vars()
        .map(|(name, _)| name)
        .filter(|name| is_for_helpers(name))
        .collect();
    let command = Command::new(program.clone(), Environment::of_this_process(&own))
        .arg("get")
        .stdin(key.as_bytes())
        .limits(Limits {
            timeout: Some(HELPER_LIMIT),
            ..Limits::default()
        });
    let failed = |problem: String| {
        DockerError::Target(format!(
            "{program} gave no login for {key}: {problem}; run docker login"
        ))
    };
    let captured = command
        .capture(stop, ANSWER_LIMIT)
        .await
        .map_err(|error| failed(error.to_string()))?;
    if !captured.exit.success() {
        // "credentials not found" is how these programs say that there is no login, and a public image needs none.
        return Ok(None);
    }
    let answer: Answer =
        serde_json::from_slice(&captured.stdout).map_err(|_| failed("its answer is not JSON".to_owned()))?;
    let token = answer.username == "<token>";
    Ok(Some(DockerCredentials {
        username: (!token).then_some(answer.username),
        password: (!token).then(|| answer.secret.clone()),
        identitytoken: token.then_some(answer.secret),
        serveraddress: Some(key.to_owned()),
        ..DockerCredentials::default()
    }))
}

/// Variables by which the known credential programs are set up.
fn is_for_helpers(name: &str) -> bool {
    [
        "AWS_",
        "GOOGLE_",
        "CLOUDSDK_",
        "AZURE_",
        "DOCKER_",
        "DBUS_",
        "GNUPG",
        "PASSWORD_STORE_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_of_an_image_is_told_from_its_path() {
        for (image, registry) in [
            ("busybox", HUB),
            ("harness/delegate:26.02.88404", HUB),
            ("registry.example/team/delegate", "registry.example"),
            ("127.0.0.1:5000/delegate:1", "127.0.0.1:5000"),
            ("localhost/delegate", "localhost"),
        ] {
            assert_eq!(registry_of(image), registry, "{image}");
        }
    }

    #[test]
    fn an_address_may_be_written_in_any_way() {
        for (address, host) in [
            ("registry.example", "registry.example"),
            ("https://registry.example:5000/v2/", "registry.example:5000"),
            (HUB_KEY, HUB),
            ("docker.io", HUB),
        ] {
            assert_eq!(host_of(address), host, "{address}");
        }
    }
}
