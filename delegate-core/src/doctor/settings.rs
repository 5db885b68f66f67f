//! Variables that cannot be used, are misspelt, or have no effect.

use super::nearest;
use super::report::Report;
use crate::config::{ConfigError, DelegateConfig, DelegateToken, Env, variables};

/// What the variables of a delegate begin with: others in the environment are somebody else's.
const PREFIXES: [&str; 6] = ["DELEGATE_", "HARNESS_", "MANAGER_", "PROXY_", "ZTS_", "LOGGING_"];

/// Names of the token, whose errors are findings of their own.
const TOKEN: [&str; 4] = [
    "DELEGATE_TOKEN",
    "HARNESS_DELEGATE_TOKEN",
    "ACCOUNT_SECRET",
    "DELEGATE_TOKEN_FILE",
];

/// Reads the settings. Unusable ones are reported and left out, required ones replaced, so that the others can be looked
/// at; the flag says whether the account is the user's. `None` when there is nothing to look at.
pub(super) fn look(env: &Env, report: &mut Report) -> (Option<DelegateConfig>, bool) {
    names(env, report);
    without_effect(env, report);
    let mut usable = env.clone();
    let mut account_is_set = true;
    // A required variable that is missing hides errors of the others: so twice, and once more to read what is left.
    for round in 0..3 {
        let errors = match DelegateConfig::from_env(&usable) {
            Ok(config) => {
                if round == 0 {
                    report.ok(
                        "settings.values",
                        format_args!("delegate {} of account {}", config.name, config.account_id),
                    );
                }
                return (Some(config), account_is_set);
            }
            Err(errors) => errors.0,
        };
        for error in errors {
            tell(&error, report);
            usable = match error.variable {
                "MANAGER_HOST_AND_PORT" => return (None, false),
                "ACCOUNT_ID" | "HARNESS_ACCOUNT_ID" => {
                    account_is_set = false;
                    usable.with("ACCOUNT_ID", "unknown")
                }
                "DELEGATE_NAME" | "HARNESS_DELEGATE_NAME" => usable.with("DELEGATE_NAME", "unknown"),
                name if TOKEN.contains(&name) => {
                    // In its place stands one that is not shown to anybody.
                    let Ok(token) = DelegateToken::generate() else {
                        return (None, false);
                    };
                    let bare = TOKEN.iter().fold(usable, |env, name| env.without(name));
                    bare.with("DELEGATE_TOKEN", token.bare().expose())
                }
                "DELEGATE_CLIENT_CERTIFICATE_PATH" | "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH" => usable
                    .without("DELEGATE_CLIENT_CERTIFICATE_PATH")
                    .without("DELEGATE_CLIENT_CERTIFICATE_KEY_PATH"),
                // A proxy without a port is none.
                "PROXY_PORT" => usable.without("PROXY_PORT").without("PROXY_HOST"),
                other => usable.without(other),
            };
        }
    }
    (None, false)
}

fn tell(error: &ConfigError, report: &mut Report) {
    let check = if TOKEN.contains(&error.variable) {
        "token.value"
    } else {
        "settings.values"
    };
    let (problem, remedy) = error
        .problem
        .split_once("; ")
        .unwrap_or((&error.problem, "correct it"));
    report.problem(check, format_args!("{} {problem}", error.variable), remedy);
}

fn names(env: &Env, report: &mut Report) {
    // The names of secrets are the owner's own.
    let of_secrets = env.get("DELEGATE_SECRETS_ENV_PREFIX").map(str::trim);
    let is_secret = |name: &str| of_secrets.is_some_and(|prefix| name.starts_with(prefix));
    for name in env
        .names()
        .filter(|name| !variables::is_known(name) && !is_secret(name))
    {
        let meant = nearest::variable(name);
        let ours = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if !(ours || meant.is_some()) || is_service_link(env, name) {
            continue;
        }
        let found = format_args!("{name} is set and means nothing to a delegate").to_string();
        match meant {
            // Where the right one is set as well, this one is a leftover.
            Some(meant) => report.warn("settings.names", found, format_args!("did you mean {meant}?")),
            None => report.warn("settings.names", found, "remove it, or look its name up"),
        }
    }
}

/// Kubernetes tells every pod of the services beside it, by variables named after them.
fn is_service_link(env: &Env, name: &str) -> bool {
    name.match_indices('_').any(|(at, _)| {
        let service = &name[..at];
        env.get(&format!("{service}_SERVICE_HOST")).is_some()
            && ["_SERVICE_", "_PORT"]
                .iter()
                .any(|next| name[at..].starts_with(next))
    })
}

fn without_effect(env: &Env, report: &mut Report) {
    let curl = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
    if env.get("PROXY_HOST").is_none()
        && let Some(name) = curl.iter().find(|name| env.get(name).is_some())
    {
        report.warn(
            "settings.proxy",
            format_args!("{name} is set, which only the delegate's tasks obey"),
            "set PROXY_HOST and PROXY_PORT too, if the delegate itself needs the proxy",
        );
    }
    let trusts_all = env
        .get("TRUST_ALL_CERTIFICATES")
        .is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if trusts_all {
        report.warn(
            "settings.trust",
            "TRUST_ALL_CERTIFICATES is set: anyone on the way can pose as the manager",
            "put the right CA into the folder HARNESS_CERTS_DIR, and remove the variable",
        );
    }
}
