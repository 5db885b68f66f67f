//! A container of a Docker engine. Secrets are taken from the environment of whoever runs the text: a command line is
//! public, and a file is kept.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::config::{DelegateConfig, EnvValue, TokenSource};
use crate::install::kubernetes::{TOKEN_KEY, yaml};

/// Where a token file is mounted in the container.
const TOKEN_MOUNT: &str = "/run/secrets/delegate-token";

/// Variables of the container: what may be shown, and the names of what may not.
fn variables(config: &DelegateConfig) -> (Vec<(&'static str, String)>, Vec<&'static str>) {
    let (mut plain, mut secret) = (Vec::new(), Vec::new());
    for (name, value) in config.to_env() {
        match value {
            EnvValue::Plain(_) if name == "DELEGATE_TOKEN_FILE" => {
                plain.push((name, TOKEN_MOUNT.to_owned()));
            }
            EnvValue::Plain(text) => plain.push((name, text)),
            EnvValue::Secret(_) => secret.push(name),
        }
    }
    if matches!(config.token, TokenSource::Elsewhere) {
        secret.push(TOKEN_KEY);
    }
    (plain, secret)
}

/// A mount of the token's file: from where, and to where.
fn mount(config: &DelegateConfig) -> Option<String> {
    match &config.token {
        TokenSource::File(path) => Some(format!("{}:{TOKEN_MOUNT}:ro", path.display())),
        _ => None,
    }
}

/// Seconds until a stopped container is killed: its own grace, and a little for reporting.
fn stop_seconds(config: &DelegateConfig) -> u64 {
    config.grace_period.as_secs() + 10
}

/// A `docker run` command for a shell.
pub(super) fn docker(config: &DelegateConfig, image: &str) -> String {
    let (plain, secret) = variables(config);
    let mut text = String::new();
    if !secret.is_empty() {
        let _ = writeln!(text, "# Taken from your environment: {}.", secret.join(", "));
    }
    let _ = write!(
        text,
        "docker run --detach --name {} --restart unless-stopped --stop-timeout {}",
        quoted(config.name.as_str()),
        stop_seconds(config)
    );
    for (name, value) in plain {
        let _ = write!(text, " \\\n  --env {}", quoted(&format!("{name}={value}")));
    }
    for name in secret {
        let _ = write!(text, " \\\n  --env {name}");
    }
    if let Some(mount) = mount(config) {
        let _ = write!(text, " \\\n  --volume {}", quoted(&mount));
    }
    let _ = writeln!(text, " \\\n  {}", quoted(image));
    text
}

/// A file for `docker compose`.
pub(super) fn compose(config: &DelegateConfig, image: &str) -> String {
    let (plain, secret) = variables(config);
    // Compose replaces what follows a dollar.
    let literal = |text: &str| text.replace('$', "$$");
    let mut environment: Map<String, Value> = plain
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(literal(&value))))
        .collect();
    for name in secret {
        environment.insert(name.to_owned(), json!(format!("${{{name}:?set it}}")));
    }
    let mut service = json!({
        "container_name": config.name.as_str(),
        "image": literal(image),
        "restart": "unless-stopped",
        "stop_grace_period": format!("{}s", stop_seconds(config)),
        "environment": environment,
    });
    if let Some(mount) = mount(config) {
        service["volumes"] = json!([literal(&mount)]);
    }
    yaml::document(&json!({ "services": { "delegate": service } }))
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
