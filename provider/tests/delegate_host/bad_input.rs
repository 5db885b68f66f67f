//! Bad input: one error that names the argument, before anything is changed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value as Json;

use crate::fixture::{Case, TOKEN, resource};
use crate::golden::assert_golden;
use crate::host::Host;
use crate::terraform::Run;

/// Errors among the messages of a command with `-json`: of `validate`, which prints one document, or of `plan` and
/// `apply`, which print one a line.
fn errors(run: &Run) -> Vec<Json> {
    let whole: Option<Json> = serde_json::from_str(&run.stdout).ok();
    let all: Vec<Json> = match whole.as_ref().map(|whole| &whole["diagnostics"]) {
        Some(Json::Array(all)) => all.clone(),
        _ => run
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Json>(line).ok())
            .map(|line| line["diagnostic"].clone())
            .collect(),
    };
    all.into_iter().filter(|one| one["severity"] == "error").collect()
}

/// An error as the golden file holds it: where Terraform points, what it says. What differs from run to run is named.
fn told(case: &Case, error: &Json) -> String {
    let code = error["snippet"]["code"].as_str().unwrap_or_default().trim();
    let text = format!(
        "  at: {code}\n  {}\n  {}\n",
        error["summary"].as_str().unwrap_or_default(),
        error["detail"].as_str().unwrap_or_default().replace('\n', "\n  ")
    );
    text.replace(case.host.path(), "<directory>")
        .replace(&*case.terraform.path("").to_string_lossy(), "<work>/")
        .replace(&case.name, "<name>")
}

#[tokio::test]
async fn what_can_be_known_is_refused_by_validate() {
    let Some(case) = Case::new("bad").await else {
        return;
    };
    let host = "host = {}";
    let named = |name: &str, rest: &str| resource(name, &format!("{TOKEN}\n  {host}\n  {rest}"));
    let with = |rest: &str| resource("a", rest);
    let good = |rest: &str| resource("a", &format!("{TOKEN}\n  {host}\n  {rest}"));
    let token = "0123456789abcdef0123456789abcdef";
    let table = [
        ("no mode", with(TOKEN)),
        ("two modes", good("helm = {}")),
        ("no token", with(host)),
        (
            "two tokens",
            with(&format!(
                "{host}\n  token = \"{token}\"\n  token_wo = \"{token}\""
            )),
        ),
        (
            "token_wo and token_file",
            with(&format!(
                "{host}\n  token_wo = \"{token}\"\n  token_file = \"/x\""
            )),
        ),
        (
            "token_secret on a host",
            with(&format!("{host}\n  token_secret = {{ name = \"x\" }}")),
        ),
        (
            "token_file in a cluster",
            with("helm = {}\n  token_file = \"/x\""),
        ),
        (
            "token_file that is relative",
            with(&format!("{host}\n  token_file = \"x\"")),
        ),
        ("malformed token", with(&format!("{host}\n  token = \"hunter2\""))),
        (
            "malformed write-only token",
            with(&format!("{host}\n  token_wo = \"hunter2\"")),
        ),
        ("empty token", with(&format!("{host}\n  token = \"\""))),
        ("empty name", named("", "")),
        ("name with a space", named("a b", "")),
        ("name that is a path", named("../a", "")),
        ("name that is too long", named(&"a".repeat(200), "")),
        ("tag with a comma", good("tags = [\"a,b\"]")),
        ("empty tag", good("tags = [\"\"]")),
        (
            "manager_url without a scheme",
            good("manager_url = \"app.harness.io\""),
        ),
        ("manager_url of another scheme", good("manager_url = \"ftp://x\"")),
        ("log_service_url that is none", good("log_service_url = \"x\"")),
        ("empty account", good("account_id = \"\"")),
        ("timeout without a unit", good("wait = { timeout = \"5\" }")),
        ("timeout of nothing", good("timeouts = { create = \"0s\" }")),
        ("wait until nonsense", good("wait = { until = \"done\" }")),
        ("variable with a bad name", good("env = { \"A-B\" = \"1\" }")),
        (
            "variable with an argument of its own",
            good("env = { DELEGATE_TAGS = \"a\" }"),
        ),
        (
            "variable of the installation",
            good("env = { DELEGATE_DESCRIPTION = \"a\" }"),
        ),
        ("replicas on a host", good("replicas = 2")),
        ("image on a host", good("image = \"x\"")),
        ("permissions on a host", good("permissions = \"CLUSTER_ADMIN\"")),
        (
            "resources on a host",
            good("resources = { limits = { memory = \"1Gi\" } }"),
        ),
        (
            "kubernetes on a host",
            good("kubernetes = { config_context = \"x\" }"),
        ),
        (
            "relative directory",
            with(&format!("{TOKEN}\n  host = {{ directory = \"x\" }}")),
        ),
        (
            "unknown service",
            with(&format!("{TOKEN}\n  host = {{ service = \"cron\" }}")),
        ),
        (
            "mtls of a cluster on a host",
            good("mtls = { secret_name = \"x\" }"),
        ),
        ("mtls without a key", good("mtls = { certificate_file = \"/x\" }")),
        ("proxy without a port", good("proxy = { host = \"x\" }")),
        (
            "proxy with a wrong port",
            good("proxy = { host = \"x\", port = 70000 }"),
        ),
    ];
    let mut text = String::new();
    for (what, configuration) in table {
        case.write(&configuration);
        let run = case.terraform.run(&["validate", "-json"]).await;
        let errors = errors(&run);
        assert!(
            !run.status.success() && !errors.is_empty(),
            "{what} is accepted: {run}"
        );
        assert!(
            !run.stdout.contains("hunter2") || what.contains("write-only") || what.contains("malformed"),
            "{what}"
        );
        text.push_str(&format!("{what}\n"));
        for error in &errors {
            let told = told(&case, error);
            assert_eq!(
                told.matches("hunter2").count(),
                error["snippet"]["code"]
                    .as_str()
                    .unwrap_or_default()
                    .matches("hunter2")
                    .count(),
                "only Terraform's own quote of the configuration: {told}"
            );
            text.push_str(&told);
        }
        text.push('\n');
    }
    assert_golden("bad_input_validate.txt", &text);
}

#[tokio::test]
async fn what_depends_on_this_machine_is_refused_before_anything_is_changed() {
    let Some(case) = Case::new("bad-place").await else {
        return;
    };
    let foreign = Host::new();
    fs::create_dir_all(&foreign.directory).unwrap();
    fs::write(foreign.file("precious"), "x").unwrap();
    let script = case.terraform.path("no-delegate");
    fs::write(&script, "#!/bin/sh\necho something else 1.0\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let text_file = case.terraform.path("text");
    fs::write(&text_file, "hello\n").unwrap();
    let other = Case::installed("other")
        .await
        .expect("terraform was there a moment ago");

    let host = |arguments: &str| format!("{TOKEN}\n  host = {{ service = \"process\", {arguments} }}");
    let directory = format!("directory = \"{}\"", case.host.path());
    let table = [
        (
            "missing program",
            "plan",
            format!(
                "{directory}, binary = \"{}\"",
                case.terraform.path("none").display()
            ),
        ),
        (
            "program that is a folder",
            "plan",
            format!("{directory}, binary = \"{}\"", case.terraform.path("").display()),
        ),
        (
            "program that is none",
            "apply",
            format!("{directory}, binary = \"{}\"", text_file.display()),
        ),
        (
            "program that is no delegate",
            "apply",
            format!("{directory}, binary = \"{}\"", script.display()),
        ),
        (
            "user without systemd",
            "plan",
            format!("{directory}, user = \"nobody\""),
        ),
        (
            "directory of something else",
            "plan",
            format!("directory = \"{}\"", foreign.path()),
        ),
        (
            "directory of another delegate",
            "apply",
            format!("directory = \"{}\"", other.host.path()),
        ),
    ];
    let mut text = String::new();
    for (what, command, arguments) in table {
        case.write(&resource(&case.name, &host(&arguments)));
        let arguments: &[&str] = if command == "plan" {
            &["plan", "-json"]
        } else {
            &["apply", "-json", "-auto-approve"]
        };
        let run = case.terraform.run(arguments).await;
        let errors = errors(&run);
        assert!(!run.status.success() && errors.len() == 1, "{what}: {run}");
        text.push_str(&format!("{what} ({command})\n"));
        let told = told(&case, &errors[0])
            .replace(foreign.path(), "<foreign>")
            .replace(other.host.path(), "<other>")
            .replace(&other.name, "<other name>");
        text.push_str(&format!("{told}\n"));
        assert!(
            case.terraform
                .state()
                .await
                .resource(crate::fixture::DELEGATE)
                .is_null(),
            "{what}: nothing was begun"
        );
        assert!(!case.host.directory.exists(), "{what}: nothing is left");
    }
    case.terraform.write(
        "main.tf",
        &format!(
            "{}{}",
            crate::fixture::TOKEN_VARIABLE,
            resource(&case.name, &host(&directory))
        ),
    );
    for (what, provider) in [
        (
            "no manager anywhere",
            format!(
                "provider \"harness\" {{\n  account_id = \"{}\"\n}}\n",
                case.manager.account
            ),
        ),
        (
            "no account anywhere",
            format!(
                "provider \"harness\" {{\n  endpoint = \"{}\"\n}}\n",
                case.manager.url
            ),
        ),
    ] {
        case.terraform.write("provider.tf", &provider);
        let run = case.terraform.run(&["plan", "-json"]).await;
        let errors = errors(&run);
        assert!(!run.status.success() && errors.len() == 1, "{what}: {run}");
        text.push_str(&format!("{what} (plan)\n{}\n", told(&case, &errors[0])));
    }
    assert_eq!(fs::read_to_string(foreign.file("precious")).unwrap(), "x");
    other.host.assert_one_delegate();
    other.assert_removed().await;
    assert_golden("bad_input_host.txt", &text);
}
