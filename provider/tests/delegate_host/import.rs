//! A delegate that is already there is taken over.

use std::process::Stdio;

use delegate_core::install::host::ServiceKind;

use crate::fixture::{Case, DELEGATE, TOKEN, resource};
use crate::host::Host;

/// A delegate in the default folder, installed by hand.
async fn by_hand(stem: &str) -> Option<(Case, Host)> {
    let case = Case::new(stem).await?;
    let host = Host::by_default(&case.name);
    let installed = case
        .manager
        .verb(&["install", "--service", "process", "--directory", host.path()])
        .env("DELEGATE_NAME", &case.name)
        .env("DELEGATE_TAGS", "b,a")
        .env("DELEGATE_DESCRIPTION", "by hand")
        .env("ACCOUNT_ID", &case.manager.account)
        .env("DELEGATE_TOKEN", &case.manager.token)
        .env("MANAGER_HOST_AND_PORT", &case.manager.url)
        .env("DELEGATE_HTTP_HOST", "127.0.0.1")
        .env("DELEGATE_HTTP_PORT", "0")
        .output()
        .await
        .expect("it runs");
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    Some((case, host))
}

/// The arguments that say what was installed by hand. A service that is this machine's own is imported as `auto`.
fn arguments() -> String {
    let service = match ServiceKind::of_this_machine() {
        ServiceKind::Process => "auto",
        ServiceKind::Systemd => "process",
    };
    format!(
        "{TOKEN}\n  host = {{ service = \"{service}\" }}\n  tags = [\"a\", \"b\"]\n  description = \"by hand\""
    )
}

#[tokio::test]
async fn a_delegate_installed_by_hand_is_imported_by_its_id() {
    let Some((case, host)) = by_hand("import").await else {
        return;
    };
    case.write(&resource(&case.name, &arguments()));
    let agent = host.agent();
    let id = format!("host/localhost/{}", case.name);
    case.terraform.import(DELEGATE, &id).await.succeeds();
    let state = case.terraform.state().await;
    assert_eq!(state.attribute(DELEGATE, "id"), &serde_json::json!(id));
    assert_eq!(state.attribute(DELEGATE, "description"), "by hand");
    assert_eq!(host.agent(), agent, "looking restarts nothing");
    // The token cannot be read back: it is handed over once, with its version.
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["update"], "{}", plan.text);
    case.terraform.apply().await.succeeds();
    case.assert_well(&host, &case.name).await;
    case.terraform.destroy().await.succeeds();
    host.assert_gone();
}

#[tokio::test]
async fn what_was_applied_and_forgotten_is_imported_without_a_change() {
    let Some(case) = Case::new("reimport").await else {
        return;
    };
    let host = Host::by_default(&case.name);
    let more = format!(
        "env = {{ TEAM = \"a\" }}\n  init_script = \"true\"\n  poll_for_tasks = true\n  log_service_url = \"{}/logs/\"\n  \
         proxy = {{ host = \"127.0.0.1\", port = 9, user = \"u\", no_proxy = [\"127.0.0.1\"] }}\n  \
         ca_bundle = {{ directory = \"{}\" }}",
        case.manager.url,
        case.terraform.path("").display()
    );
    case.write(&resource(&case.name, &format!("{}\n  {more}", arguments())));
    case.terraform.apply().await.succeeds();
    let before = case.terraform.state().await.resource(DELEGATE)["values"].clone();
    case.terraform.run(&["state", "rm", DELEGATE]).await.succeeds();
    case.terraform
        .import(DELEGATE, &format!("host/localhost/{}", case.name))
        .await
        .succeeds();
    let after = case.terraform.state().await.resource(DELEGATE)["values"].clone();
    similar_asserts::assert_eq!(before, after);
    case.terraform.assert_settled().await;
    case.terraform.destroy().await.succeeds();
    host.assert_gone();
}

#[tokio::test]
async fn an_import_block_writes_a_configuration_that_plans_nothing() {
    let Some((case, host)) = by_hand("generate").await else {
        return;
    };
    case.write(&format!(
        "import {{\n  to = {DELEGATE}\n  id = \"host/localhost/{}\"\n}}\n",
        case.name
    ));
    let run = case
        .terraform
        .run(&["plan", "-no-color", "-generate-config-out=generated.tf"])
        .await;
    let generated = std::fs::read_to_string(case.terraform.path("generated.tf")).expect("it was written");
    assert!(
        generated.contains("description") && generated.contains("\"by hand\""),
        "{generated}"
    );
    assert!(!generated.contains(&case.manager.token), "{run}");
    // Terraform says itself that a required choice, the token, is for the user to make. Handing it over is the only change.
    let error = run.fails();
    assert!(error.contains("token_wo"), "{error}");
    let end = generated.rfind('}').expect("a block");
    let token_lines = |line: &&str| !line.trim_start().starts_with("token");
    let completed: Vec<&str> = generated[..end].lines().filter(token_lines).collect();
    let completed = format!("{}\n  {TOKEN}\n}}\n", completed.join("\n"));
    case.terraform.write("generated.tf", &completed);
    let plan = case.terraform.plan(&[]).await;
    let change = plan.change(DELEGATE);
    let changed: Vec<&String> = change["before"]
        .as_object()
        .expect("it is there")
        .iter()
        .filter(|(name, before)| change["after"][name.as_str()] != **before)
        .map(|(name, _)| name)
        .collect();
    let expected = [
        "connected",
        "drift",
        "ready_replicas",
        "token_wo_version",
        "version",
    ];
    assert_eq!(changed, expected, "{}", plan.text);
    case.terraform.apply().await.succeeds();
    case.assert_well(&host, &case.name).await;
    case.terraform.destroy().await.succeeds();
    host.assert_gone();
}

#[tokio::test]
async fn an_import_by_identity_is_the_import_by_id() {
    if !imports_by_identity().await {
        eprintln!("SKIPPED: this terraform does not import by identity (1.12 does)");
        return;
    }
    let Some((case, host)) = by_hand("identity").await else {
        return;
    };
    let import = format!(
        "import {{\n  to = {DELEGATE}\n  identity = {{ mode = \"host\", place = \"localhost\", name = \"{}\" }}\n}}\n",
        case.name
    );
    case.write(&format!("{import}{}", resource(&case.name, &arguments())));
    case.terraform.apply().await.succeeds();
    case.assert_well(&host, &case.name).await;
    case.terraform.destroy().await.succeeds();
    host.assert_gone();
}

#[tokio::test]
async fn what_is_not_there_cannot_be_imported() {
    let Some(case) = Case::new("absent").await else {
        return;
    };
    case.write(&resource(&case.name, &arguments()));
    for (id, part) in [
        (
            format!("host/localhost/{}", case.name),
            "Cannot import non-existent remote object",
        ),
        ("host/else where/x".to_owned(), "[user@]host[:port]"),
        ("nonsense".to_owned(), "host/localhost/<name>"),
    ] {
        let error = case.terraform.import(DELEGATE, &id).await.fails();
        assert!(error.contains(part), "{id}: {error}");
    }
}

async fn imports_by_identity() -> bool {
    let mut command = tokio::process::Command::new("terraform");
    let Ok(output) = command
        .args(["version", "-json"])
        .stderr(Stdio::null())
        .output()
        .await
    else {
        return false;
    };
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let version = version["terraform_version"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (parts.next(), parts.next()) >= (Some(1), Some(12))
}
