//! The schema of `harness_delegate`: a table, in the order in which people fill it in.

use std::time::Duration;

use delegate_core::config::{AccountId, DelegateName, DelegateToken, Tag};

use crate::framework::schema::{Attribute, Change, Object, Rule, Schema, Validator};
use crate::framework::value::Type;

/// Namespace when none is named: that of the official instructions.
pub(super) const DEFAULT_NAMESPACE: &str = "harness-delegate-ng";

/// Key under which both charts read the token from a Secret.
pub(super) const TOKEN_KEY: &str = "DELEGATE_TOKEN";

/// The whole schema.
pub(super) fn schema() -> Schema {
    let schema = Schema::new(0).describe(
        "Installs a delegate and proves that it works: the apply ends when the delegate says that it is connected to its \
         manager.\n\nExactly one of `helm` and `host` says where it goes; `{}` takes every default.",
    );
    let schema = identity(schema);
    let schema = token(schema);
    let schema = settings(schema);
    let schema = places(schema);
    computed(schema)
}

fn identity(schema: Schema) -> Schema {
    schema
        .attribute(
            "name",
            Attribute::string()
                .required()
                .requires_replace()
                .validate(Validator::text(parses::<DelegateName>))
                .describe("Name of the delegate, shared by its replicas. A tag by itself."),
        )
        .attribute(
            "account_id",
            Attribute::string()
                .validate(Validator::text(parses::<AccountId>))
                .describe("Account to register with. The provider's `account_id` when absent."),
        )
        .attribute(
            "manager_url",
            Attribute::string().validate(Validator::text(is_url)).describe(
                "URL of the manager, as the delegate reaches it. The provider's `endpoint` when absent.",
            ),
        )
}

fn token(schema: Schema) -> Schema {
    let secret = Object::new()
        .attribute(
            "name",
            Attribute::string()
                .required()
                .describe("Name of the Secret, in the release's namespace."),
        )
        .attribute(
            "key",
            Attribute::string()
                .validate(Validator::one_of([TOKEN_KEY]))
                .describe(
                    "Key of the token in it. The charts read `DELEGATE_TOKEN`, so it can be nothing else.",
                ),
        );
    schema
        .attribute(
            "token_wo",
            Attribute::string()
                .sensitive()
                .write_only()
                .validate(Validator::text(parses::<DelegateToken>))
                .describe(
                    "Delegate token, as the manager shows it or as 32 hexadecimal characters. Never in a plan or a state; raise \
                     `token_wo_version` to give another one.",
                ),
        )
        .attribute(
            "token_wo_version",
            Attribute::number().describe("Any number; a change gives the delegate the token of `token_wo` anew."),
        )
        .attribute(
            "token",
            Attribute::string()
                .sensitive()
                .validate(Validator::text(parses::<DelegateToken>))
                .describe("Delegate token, kept in the state. For Terraform before 1.11; better use `token_wo`."),
        )
        .attribute(
            "token_secret",
            Attribute::object(secret).describe("A Kubernetes Secret of yours that holds the token. With `helm` only."),
        )
        .attribute(
            "token_file",
            Attribute::string()
                .validate(Validator::text(is_absolute))
                .describe("A file on the host that holds the token; the delegate reads it. With `host` only."),
        )
        .rule(Rule::exactly_one_of(["token_wo", "token", "token_secret", "token_file"]))
        .rule(Rule::required_with("token_secret", ["helm"]))
        .rule(Rule::required_with("token_file", ["host"]))
}

fn settings(schema: Schema) -> Schema {
    let quantities = |what: &str| {
        Attribute::map(Type::String).describe(format!("{what}, for example `memory = \"512Mi\"`."))
    };
    let resources = Object::new()
        .attribute("requests", quantities("What the container is given for sure"))
        .attribute("limits", quantities("What it may use at most"));
    let proxy = Object::new()
        .attribute(
            "host",
            Attribute::string().required().describe("Host of the proxy."),
        )
        .attribute(
            "port",
            Attribute::number()
                .required()
                .validate(Validator::between(1, 65535))
                .describe("Port of the proxy."),
        )
        .attribute(
            "scheme",
            Attribute::string()
                .validate(Validator::one_of(["http", "https"]))
                .describe("How the proxy itself is spoken to; `http` when absent."),
        )
        .attribute("user", Attribute::string().describe("User name."))
        .attribute(
            "password_wo",
            Attribute::string()
                .sensitive()
                .write_only()
                .describe("Password. Never in a plan or a state."),
        )
        .attribute(
            "no_proxy",
            Attribute::list(Type::String).describe("Domain suffixes reached without it."),
        )
        .rule(Rule::required_with("password_wo", ["user"]));
    let mtls = Object::new()
        .attribute(
            "secret_name",
            Attribute::string().describe("Secret with `client.crt` and `client.key`; with `helm`."),
        )
        .attribute(
            "certificate_file",
            Attribute::string().describe("PEM file of the certificate; with `host`."),
        )
        .attribute(
            "key_file",
            Attribute::string().describe("PEM file of its key; with `host`."),
        )
        .rule(Rule::exactly_one_of(["secret_name", "certificate_file"]))
        .rule(Rule::required_with("certificate_file", ["key_file"]));
    let ca_bundle = Object::new()
        .attribute(
            "secret_name",
            Attribute::string().describe("Secret whose files are trusted; with `helm`."),
        )
        .attribute(
            "directory",
            Attribute::string().describe("Folder whose files are trusted; with `host`."),
        )
        .rule(Rule::exactly_one_of(["secret_name", "directory"]));
    schema
        .attribute(
            "tags",
            Attribute::set(Type::String)
                .validate(Validator::text(parses::<Tag>).each())
                .describe("Tags, which selectors of tasks name."),
        )
        .attribute("description", Attribute::string().describe("Description, shown by the manager."))
        .attribute(
            "replicas",
            Attribute::number().validate(Validator::between(0, 1000)).describe("Pods; 1 when absent. With `helm` only."),
        )
        .attribute(
            "image",
            Attribute::string()
                .validate(Validator::length(1, 512))
                .describe("Image of the delegate; the chart's own when absent. With `helm` only."),
        )
        .attribute(
            "permissions",
            Attribute::string().validate(Validator::length(1, 253)).describe(
                "What the delegate may do in the cluster: `CLUSTER_ADMIN`, `CLUSTER_VIEWER`, `NAMESPACE_ADMIN`, or the name of a \
                 Role in its namespace. The chart's default when absent. With `helm` only.",
            ),
        )
        .attribute("resources", Attribute::object(resources).describe("Resources of the container. With `helm` only."))
        .attribute(
            "env",
            Attribute::map(Type::String)
                .validate(Validator::text(is_free_variable).keys())
                .describe("Further environment variables of the delegate. Not for secrets: they are kept in the state."),
        )
        .attribute("init_script", Attribute::string().describe("Shell script run before the start; its failure stops the start."))
        .attribute(
            "log_service_url",
            Attribute::string()
                .validate(Validator::text(is_url))
                .describe("URL of the log service; `<manager_url>/log-service/` when absent."),
        )
        .attribute("poll_for_tasks", Attribute::bool().describe("Never use the persistent connection."))
        .attribute("proxy", Attribute::object(proxy).describe("Proxy towards the manager."))
        .attribute("mtls", Attribute::object(mtls).describe("Client certificate towards the manager."))
        .attribute("ca_bundle", Attribute::object(ca_bundle).describe("Extra certificate authorities."))
}

fn places(schema: Schema) -> Schema {
    let chart = Object::new()
        .attribute(
            "repository",
            Attribute::string().describe("`https://…` or `oci://…`."),
        )
        .attribute("name", Attribute::string().describe("Name of the chart in it."))
        .attribute(
            "version",
            Attribute::string().describe("Version; the newest when absent."),
        )
        .attribute(
            "path",
            Attribute::string().describe("Folder or packed chart on this machine."),
        )
        .rule(Rule::exactly_one_of(["name", "path"]))
        .rule(Rule::conflicts_with("path", ["repository", "version"]));
    let helm = Object::new()
        .attribute(
            "namespace",
            Attribute::string()
                .default(DEFAULT_NAMESPACE)
                .requires_replace()
                .validate(Validator::text(is_label))
                .describe("Namespace of the release."),
        )
        .attribute(
            "create_namespace",
            Attribute::bool().default(true).describe(
                "Whether to make the namespace when it is missing. A namespace made this way goes with the delegate, once nothing \
                 else is in it.",
            ),
        )
        .attribute(
            "release",
            Attribute::string()
                .requires_replace()
                .validate(Validator::length(1, 53))
                .validate(Validator::text(is_label))
                .describe("Name of the release; the delegate's name when absent."),
        )
        .attribute(
            "chart",
            Attribute::object(chart).describe(
                "Another chart than the embedded one, for example the official `harness-delegate-ng`, with the same value names.",
            ),
        )
        .attribute(
            "values",
            Attribute::list(Type::String)
                .describe("YAML documents, laid over what the arguments give, as with `helm --values`. Not for secrets."),
        );
    let host = Object::new()
        .attribute(
            "binary",
            Attribute::string().describe("The program to install; the `harness-delegate` beside the provider when absent."),
        )
        .attribute(
            "directory",
            Attribute::string()
                .requires_replace()
                .validate(Validator::text(is_absolute))
                .describe("Folder of the installation; `/var/lib/harness-delegate/<name>`, or below the home folder, when absent."),
        )
        .attribute(
            "service",
            Attribute::string().default("auto").validate(Validator::one_of(["auto", "systemd", "process"])).describe(
                "What keeps it running: `systemd`, a supervisor `process` of its own, or `auto`: systemd where it runs.",
            ),
        )
        .attribute("user", Attribute::string().describe("User it runs as; with systemd only."));
    let kubernetes = Object::new()
        .attribute("config_path", Attribute::string().describe("A kubeconfig file."))
        .attribute(
            "config_paths",
            Attribute::list(Type::String).describe("Several kubeconfig files, merged as kubectl does."),
        )
        .attribute(
            "config_context",
            Attribute::string().describe("Context to use; the current one when absent."),
        );
    let duration = |what: &str| {
        Attribute::string()
            .validate(Validator::text(is_duration))
            .describe(what)
    };
    let wait = Object::new()
        .attribute(
            "until",
            Attribute::string()
                .validate(Validator::one_of(["installed", "ready", "connected"]))
                .describe("`connected` (when absent), `ready`, or `installed` for not waiting."),
        )
        .attribute(
            "timeout",
            duration("How long, for example `5m`, which it is when absent."),
        );
    let timeouts = Object::new()
        .attribute(
            "create",
            duration("Of a create without the wait; `10m` when absent."),
        )
        .attribute(
            "update",
            duration("Of an update without the wait, drain included; `15m` when absent."),
        )
        .attribute(
            "delete",
            duration("Of a delete, drain included; `15m` when absent."),
        );
    schema
        .attribute(
            "helm",
            Attribute::object(helm).requires_replace_if(comes_or_goes).describe("Install as a Helm release, with Helm 3 or 4."),
        )
        .attribute(
            "host",
            Attribute::object(host).requires_replace_if(comes_or_goes).describe("Install as a service of this machine."),
        )
        .attribute(
            "kubernetes",
            Attribute::object(kubernetes)
                .describe("The cluster; the provider's when absent. Credentials other than in files belong to the provider."),
        )
        .attribute("wait", Attribute::object(wait).describe("How far an apply waits."))
        .attribute("timeouts", Attribute::object(timeouts).describe("How long an operation may take."))
        .rule(Rule::exactly_one_of(["helm", "host"]))
        .rule(Rule::required_with("kubernetes", ["helm"]))
        .rule(Rule::required_with("replicas", ["helm"]))
        .rule(Rule::required_with("image", ["helm"]))
        .rule(Rule::required_with("permissions", ["helm"]))
        .rule(Rule::required_with("resources", ["helm"]))
        .rule(Rule::required_with("mtls.secret_name", ["helm"]))
        .rule(Rule::required_with("mtls.certificate_file", ["host"]))
        .rule(Rule::required_with("ca_bundle.secret_name", ["helm"]))
        .rule(Rule::required_with("ca_bundle.directory", ["host"]))
}

fn computed(schema: Schema) -> Schema {
    schema
        .attribute(
            "id",
            Attribute::string()
                .computed()
                .use_state_for_unknown()
                .describe("`helm/<context>/<namespace>/<release>` or `host/<machine>/<name>`."),
        )
        .attribute(
            "target_id",
            Attribute::string().computed().use_state_for_unknown().describe(
                "Identity of the place: uid of the cluster's `kube-system` namespace, or machine id. A place with another identity \
                 is refused.",
            ),
        )
        .attribute("connected", Attribute::bool().computed().describe("Whether every replica says that it is connected."))
        .attribute("ready_replicas", Attribute::number().computed().describe("Replicas that are ready."))
        .attribute("version", Attribute::string().computed().describe("Version of the delegate that is installed."))
        .attribute(
            "drift",
            Attribute::list(Type::String).computed().describe(
                "What was changed outside of Terraform, one line each, without secrets. Anything here is set right by the next apply.",
            ),
        )
}

fn comes_or_goes(change: Change<'_>) -> bool {
    change.prior.is_null() != change.planned.is_null()
}

fn parses<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>()
        .map(|_| ())
        .map_err(|problem| format!("The value {problem}."))
}

fn is_url(text: &str) -> Result<(), String> {
    match text.parse::<url::Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        _ => Err("Must be a URL, for example https://app.harness.io.".to_owned()),
    }
}

fn is_absolute(text: &str) -> Result<(), String> {
    // A systemd unit and a shell read the path; what either would take apart is refused.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@=:~".contains(c);
    if text.starts_with('/') && text.chars().all(plain) {
        Ok(())
    } else {
        Err("Must be an absolute path of letters, digits and / . _ - + @ = : ~.".to_owned())
    }
}

fn is_label(text: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: char| inner(c) && c != '-';
    if text.len() <= 63 && text.starts_with(edge) && text.ends_with(edge) && text.chars().all(inner) {
        Ok(())
    } else {
        Err(
            "Must have 1 to 63 lower-case letters, digits and '-', and begin and end with a letter or digit."
                .to_owned(),
        )
    }
}

fn is_free_variable(text: &str) -> Result<(), String> {
    const OWNED: &[&str] = &[
        "ACCOUNT_ID",
        "ACCOUNT_SECRET",
        "DELEGATE_DESCRIPTION",
        "DELEGATE_NAME",
        "DELEGATE_TAGS",
        "DELEGATE_TOKEN",
        "DELEGATE_TOKEN_FILE",
        "HARNESS_ACCOUNT_ID",
        "HARNESS_DELEGATE_NAME",
        "HARNESS_DELEGATE_TAGS",
        "HARNESS_DELEGATE_TOKEN",
        "INIT_SCRIPT",
        "LOG_STREAMING_SERVICE_URL",
        "MANAGER_HOST_AND_PORT",
        "NO_PROXY",
        "POLL_FOR_TASKS",
        "PROXY_HOST",
        "PROXY_PASSWORD",
        "PROXY_PORT",
        "PROXY_SCHEME",
        "PROXY_USER",
        "UPGRADER_TOKEN",
    ];
    if OWNED.contains(&text) {
        return Err(format!("{text} is set by an argument of its own; use that."));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.is_empty() && text.chars().all(fits) && !text.starts_with(|c: char| c.is_ascii_digit()) {
        Ok(())
    } else {
        Err("A variable's name has letters, digits and '_', and does not begin with a digit.".to_owned())
    }
}

fn is_duration(text: &str) -> Result<(), String> {
    duration(text)
        .map(|_| ())
        .ok_or_else(|| "Must be a duration, for example 90s, 5m or 1h30m.".to_owned())
}

/// A duration as Go writes it: numbers with `h`, `m`, `s` or `ms`, together more than zero.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |at| digits + at);
        let unit = match &rest[digits..unit_end] {
            "h" => Duration::from_hours(1),
            "m" => Duration::from_mins(1),
            "s" => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(number)?)?;
        rest = &rest[unit_end..];
    }
    (!total.is_zero()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_obeys_terraforms_rules() {
        assert_eq!(schema().check("harness_delegate"), Vec::<String>::new());
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("0s", None),
            ("5", None),
            ("", None),
            ("m", None),
        ] {
            assert_eq!(duration(text).map(|d| d.as_secs()), seconds, "{text:?}");
        }
    }

    #[test]
    fn names_and_paths_that_a_place_does_not_take_are_refused() {
        assert!(is_label("team-a").is_ok() && is_label("Team").is_err() && is_label("a-").is_err());
        assert!(
            is_absolute("/var/lib/x").is_ok() && is_absolute("x").is_err() && is_absolute("/a b").is_err()
        );
        assert!(is_free_variable("HTTP_TIMEOUT").is_ok() && is_free_variable("1A").is_err());
        assert!(
            is_free_variable("DELEGATE_TOKEN")
                .unwrap_err()
                .contains("argument of its own")
        );
        assert!(is_url("https://x/gratis").is_ok() && is_url("app.harness.io").is_err());
    }
}
