//! The argument `docker`.

use super::super::checks::{is_absolute, is_duration};
use crate::data::is_engine;
use crate::framework::schema::{Attribute, Object, Rule, Validator};
use crate::framework::value::{Type, Value};
use crate::install::docker::{Restart, is_volume, memory};

pub(super) fn argument() -> Attribute {
    let arguments = engine();
    let arguments = container(arguments);
    let arguments = network(arguments);
    let arguments = limits(arguments);
    Attribute::object(arguments).describe(
        "Install as a container of a Docker engine: of this machine, over TCP with TLS, or over ssh.",
    )
}

/// Which engine, and how to get there.
pub(in crate::delegate) fn engine() -> Object {
    Object::new()
        .attribute(
            "host",
            Attribute::string().validate(Validator::text(is_engine)).describe(
                "The engine: `unix://…`, `tcp://host:port` or `ssh://user@host`. The provider's when absent, then `DOCKER_HOST`.",
            ),
        )
        .attribute(
            "cert_path",
            Attribute::string().describe("Folder with `ca.pem`, `cert.pem` and `key.pem` for TLS to `host`."),
        )
        .attribute(
            "ssh_opts",
            Attribute::list(Type::String).describe("Further arguments of the `ssh` program that reaches `host`."),
        )
        .rule(Rule::required_with("cert_path", ["host"]))
        .rule(Rule::required_with("ssh_opts", ["host"]))
}

fn container(object: Object) -> Object {
    let registry = Object::new()
        .attribute("username", Attribute::string().required().describe("User."))
        .attribute(
            "password_wo",
            Attribute::string()
                .required()
                .sensitive()
                .write_only()
                .describe("Password or token. Never in a plan or a state."),
        );
    let duration = |what: &str| {
        Attribute::string()
            .validate(Validator::text(is_duration))
            .describe(what)
    };
    let health = Object::new()
        .attribute("disabled", Attribute::bool().describe("Do not look at all."))
        .attribute(
            "command",
            Attribute::string()
                .describe("Shell command that fails when the delegate is not well; the image's when absent."),
        )
        .attribute("interval", duration("Between two looks."))
        .attribute("timeout", duration("How long one may take."))
        .attribute(
            "start_period",
            duration("How long failures do not count after the start."),
        )
        .attribute(
            "retries",
            Attribute::number()
                .validate(Validator::between(1, 1000))
                .describe("Failures in a row that make it unhealthy."),
        )
        .rule(Rule::conflicts_with(
            "disabled",
            ["command", "interval", "timeout", "start_period", "retries"],
        ));
    object
        .attribute(
            "container",
            // Another one replaces it, as with `helm.release`.
            Attribute::string()
                .validate(Validator::text(is_container))
                .describe("Name of the container; the delegate's name when absent. Another name replaces the resource."),
        )
        .attribute(
            "binary",
            Attribute::string().describe(
                "Static program that an image is made of when `image` is absent; the `harness-delegate` beside the provider when \
                 this is absent too.",
            ),
        )
        .attribute(
            "registry",
            Attribute::object(registry)
                .describe("Login for the registry of `image`. The provider's, then that of `docker login`, when absent."),
        )
        .attribute(
            "token_as",
            Attribute::string().validate(Validator::one_of(["file", "environment"])).describe(
                "How the delegate is given its token and the proxy's login: `file`, copied into the container, which our agent \
                 reads; or `environment`, all that the official image can read, but shown by `docker inspect`. Chosen by the \
                 image when absent.",
            ),
        )
        .attribute("user", Attribute::string().describe("User it runs as; the image's when absent."))
        .attribute("health", Attribute::object(health).describe("How the engine looks after it; the image's way when absent."))
        .attribute("init", Attribute::bool().describe("Run a small init that reaps what tasks leave behind."))
        .attribute(
            "read_only",
            Attribute::bool().describe("Mount the root read-only; `/tmp` and the delegate's own folder are then in memory."),
        )
        .attribute(
            "volumes",
            Attribute::set(Type::String).validate(Validator::text(volume).each()).describe(
                "Folders of the engine's machine and volumes, as `docker run --volume` has them: `/folder:/target:ro`, `name:/target`.",
            ),
        )
}

fn network(object: Object) -> Object {
    object
        .attribute(
            "network",
            Attribute::string()
                .validate(Validator::length(1, 255))
                .describe("Network it is started in; also `host`, `none` and `container:<name>`. The engine's default when absent."),
        )
        .attribute(
            "networks",
            Attribute::set(Type::String)
                .validate(Validator::length(1, 255).each())
                .describe("Networks it is connected to besides, by name."),
        )
        .attribute(
            "extra_hosts",
            Attribute::set(Type::String).validate(Validator::text(is_host_line).each()).describe(
                "Lines for its `/etc/hosts`, `name:address`; `host-gateway` stands for the engine's machine.",
            ),
        )
}

fn limits(object: Object) -> Object {
    let capabilities = |what: &str| {
        Attribute::set(Type::String)
            .validate(Validator::text(is_capability).each())
            .describe(what)
    };
    let capabilities = Object::new()
        .attribute(
            "add",
            capabilities("Beyond the engine's default, `NET_ADMIN` or `CAP_NET_ADMIN`."),
        )
        .attribute(
            "drop",
            capabilities("Taken from the engine's default; `ALL` for all."),
        );
    object
        .attribute(
            "cpus",
            Attribute::number().validate(Validator::check(is_positive)).describe("Most CPUs it may use, for example `1.5`."),
        )
        .attribute(
            "memory",
            Attribute::string()
                .validate(Validator::text(is_memory))
                .describe("Most memory it may use, for example `2g`; units are powers of 1024."),
        )
        .attribute(
            "restart",
            Attribute::string().default("unless-stopped").validate(Validator::text(is_restart)).describe(
                "When the engine starts it again: `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:<count>`.",
            ),
        )
        .attribute("capabilities", Attribute::object(capabilities).describe("Linux capabilities."))
}

fn is_container(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.len() > 1 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits) {
        Ok(())
    } else {
        Err("Must have at least 2 letters, digits and _ . -, and begin with a letter or digit.".to_owned())
    }
}

fn volume(text: &str) -> Result<(), String> {
    if !is_volume(text) {
        return Err("Must be /folder:/target, name:/target, or one of them with :ro.".to_owned());
    }
    text.split(':')
        .take(2)
        .filter(|part| part.starts_with('/'))
        .try_for_each(is_absolute)
}

fn is_host_line(text: &str) -> Result<(), String> {
    match text.split_once(':') {
        Some((name, address))
            if !name.is_empty()
                && (address == "host-gateway" || address.parse::<std::net::IpAddr>().is_ok()) =>
        {
            Ok(())
        }
        _ => Err("Must be name:address, for example host.docker.internal:host-gateway.".to_owned()),
    }
}

fn is_capability(text: &str) -> Result<(), String> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic() || c == '_') {
        Ok(())
    } else {
        Err("Must be the name of a capability, for example NET_ADMIN.".to_owned())
    }
}

fn is_positive(value: &Value) -> Result<(), String> {
    match value {
        // The engine counts in 10⁻⁹ and takes nothing below a hundredth.
        Value::Number(number) if (0.01..=4096.0).contains(&number.to_f64()) => Ok(()),
        _ => Err("Must be a number from 0.01 to 4096.".to_owned()),
    }
}

fn is_memory(text: &str) -> Result<(), String> {
    /// The engine takes no less.
    const LEAST: i64 = 6 << 20;
    match memory(text) {
        Some(bytes) if bytes >= LEAST => Ok(()),
        _ => Err("Must be an amount of memory of at least 6m, for example 512m or 2g.".to_owned()),
    }
}

fn is_restart(text: &str) -> Result<(), String> {
    text.parse::<Restart>().map(|_| ())
}
