//! Faults of settings, token, log service, disk, machine and tools, beside a real manager.

use std::os::unix::fs::PermissionsExt as _;

use delegate_core::agent::Agent;
use delegate_core::config::Env;
use reqwest::Method;
use serde_json::json;

use super::support::TOKEN;
use super::support::real_manager::RealManager;
use super::{Fault, Patient, site};

pub(crate) async fn seeded(manager: &RealManager) -> Vec<Fault> {
    let healthy = || Patient::of(&manager.url);
    let with = |name: &str, value: &str| healthy().with(name, value);
    let mut faults = vec![
        Fault::warning(
            "a misspelt variable",
            with("POLL_FOR_TASK", "true"),
            "settings.names",
            "did you mean POLL_FOR_TASKS?",
        ),
        Fault::warning(
            "a variable nobody knows",
            with("DELEGATE_COLOUR", "red"),
            "settings.names",
            "DELEGATE_COLOUR",
        ),
        Fault::problem(
            "a value that does not read",
            with("DELEGATE_HTTP_PORT", "all"),
            "settings.values",
            "DELEGATE_HTTP_PORT",
        ),
        Fault::problem(
            "no account",
            healthy().without("ACCOUNT_ID"),
            "settings.values",
            "ACCOUNT_ID is not set",
        ),
        Fault::problem(
            "no manager",
            healthy().without("MANAGER_HOST_AND_PORT"),
            "settings.values",
            "MANAGER_HOST_AND_PORT is not set",
        ),
        Fault::warning(
            "a proxy that only curl obeys",
            with("HTTPS_PROXY", "http://proxy:3128"),
            "settings.proxy",
            "set PROXY_HOST",
        ),
        Fault::warning(
            "trust in everybody",
            with("TRUST_ALL_CERTIFICATES", "true"),
            "settings.trust",
            "HARNESS_CERTS_DIR",
        ),
        Fault::problem(
            "a token that is none",
            with("DELEGATE_TOKEN", "abc"),
            "token.value",
            "got 3 characters",
        ),
        Fault::problem(
            "another account's token",
            with("DELEGATE_TOKEN", "ffffffffffffffffffffffffffffffff"),
            "manager.token",
            "does not take the token",
        ),
        Fault::problem(
            "the wrong account",
            with("ACCOUNT_ID", "other"),
            "manager.token",
            "for account other",
        ),
        Fault::problem(
            "a log service that is none",
            with("LOG_STREAMING_SERVICE_URL", &format!("{}/nowhere/", manager.url)),
            "log_service",
            "is no log service",
        ),
        Fault::warning(
            "a collector that is away",
            with(
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://127.0.0.1:1/v1/traces",
            ),
            "telemetry.traces",
            "http://127.0.0.1:1/v1/traces does not take traces",
        ),
        Fault::warning(
            "a collector that is none",
            with(
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
                &format!("{}/nowhere", manager.url),
            ),
            "telemetry.metrics",
            "see that the address is the one for OTLP",
        ),
        Fault::problem(
            "an export to nowhere",
            with("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            "settings.values",
            "OTEL_EXPORTER_OTLP_ENDPOINT is not a URL",
        ),
        Fault::warning(
            "more tasks than the limits carry",
            with("DELEGATE_TASK_CAPACITY", "4000000000"),
            "machine.capacity",
            "lower DELEGATE_TASK_CAPACITY",
        ),
        Fault::warning(
            "a threshold that is always exceeded",
            with("DELEGATE_MEMORY_THRESHOLD", "1"),
            "machine.memory",
            "above DELEGATE_MEMORY_THRESHOLD (1 %)",
        ),
        Fault::problem(
            "a kind of the owner's that is none",
            of_kinds(healthy(), "{}"),
            "tools.plug_ins",
            "missing field `kind`",
        ),
        Fault::problem(
            "a shell that is not there",
            with("DELEGATE_SHELL", "/nowhere/zsh"),
            "tools.shell",
            "/nowhere/zsh, which is no program",
        ),
        Fault::problem(
            "a temporary folder that is not there",
            with("TMPDIR", "/nowhere"),
            "disk.temporary",
            "set TMPDIR",
        ),
        Fault::problem(
            "a working directory that cannot be made",
            with("WORKING_DIR", "/proc/nowhere"),
            "disk.working_dir",
            "/proc/nowhere cannot be written",
        ),
        Fault::warning(
            "a CA folder that is not there",
            with("HARNESS_CERTS_DIR", "/nowhere"),
            "certificates.folder",
            "/nowhere, which is no folder",
        ),
    ];
    faults.extend(of_files(manager));
    faults.push(revoked(manager).await);
    faults.extend(of_others(manager));
    faults
}

fn of_files(manager: &RealManager) -> Vec<Fault> {
    let healthy = || Patient::of(&manager.url).without("DELEGATE_TOKEN");
    let token = |name: &str, content: &str, mode: u32| {
        let patient = healthy();
        let file = patient.file(name, content);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        patient.with("DELEGATE_TOKEN_FILE", file)
    };
    let file_as_folder = healthy().with("DELEGATE_TOKEN", TOKEN);
    let file = file_as_folder.file("file", "");
    vec![
        Fault::problem(
            "a token file that is not there",
            healthy().with("DELEGATE_TOKEN_FILE", "/nowhere/token"),
            "token.file",
            "put the token there",
        ),
        Fault::problem(
            "a token file with something else",
            token("token", "hello", 0o600),
            "token.file",
            "got 5 characters",
        ),
        Fault::problem(
            "a token file that is another file",
            token("token", &"x".repeat(5000), 0o600),
            "token.file",
            "has 5000 bytes",
        ),
        Fault::warning(
            "a token file for everybody",
            token("token", TOKEN, 0o644),
            "token.mode",
            "chmod 600",
        ),
        Fault::problem(
            "a working directory that is a file",
            file_as_folder.with("WORKING_DIR", format!("{file}/below")),
            "disk.working_dir",
            "set WORKING_DIR to a folder",
        ),
    ]
}

/// With a manifest of a task kind.
fn of_kinds(patient: Patient, manifest: &str) -> Patient {
    let folder = patient.path("kinds");
    std::fs::create_dir(&folder).unwrap();
    patient.file("kinds/kind.json", manifest);
    patient.with("DELEGATE_TASK_KINDS_DIR", folder)
}

/// Makes a token in the manager, and revokes it.
async fn revoked(manager: &RealManager) -> Fault {
    let path = "/ng/api/delegate-token-ng";
    let query = "accountIdentifier=acc&tokenName=doctor";
    let made = manager
        .call(Method::POST, &format!("{path}?{query}"), Some(json!({})))
        .await;
    let value = made["resource"]["value"].as_str().unwrap().to_owned();
    manager
        .call(Method::PUT, &format!("{path}?{query}"), Some(json!({})))
        .await;
    Fault::problem(
        "a revoked token",
        Patient::of(&manager.url).with("DELEGATE_TOKEN", value),
        "manager.token",
        "was revoked",
    )
}

/// What is in the way of a delegate: another one, and another program.
fn of_others(manager: &RealManager) -> Vec<Fault> {
    let patient = Patient::of(&manager.url);
    let config =
        delegate_core::config::DelegateConfig::from_env(&patient.vars.clone().into_iter().collect::<Env>());
    let other = Agent::builder(config.unwrap()).build().unwrap();
    let working = patient.keeping(other);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = site::serve(None, |_| site::reply("200 OK", "", "hello"));
    vec![
        Fault::problem(
            "another delegate in the working directory",
            working,
            "disk.working_dir",
            "another delegate works in",
        ),
        Fault::problem(
            "a port that nobody answers at",
            Patient::of(&manager.url)
                .with("DELEGATE_HTTP_PORT", port.to_string())
                .keeping(listener),
            "port",
            "in use by another program",
        ),
        Fault::problem(
            "a port of another web server",
            Patient::of(&manager.url).with("DELEGATE_HTTP_PORT", silent.to_string()),
            "port",
            "in use by another program",
        ),
    ]
}
