//! The provider under OpenTofu: the same delegate, the same examples, no secret in a file or a log.
//!
//! Needs `tofu`, which `scripts/setup opentofu` builds; without it the tests say so and do nothing.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says that it was skipped")]

#[path = "examples/files.rs"]
mod files;
#[path = "../../delegate-core/tests/support/host.rs"]
mod host;
#[path = "support/manager.rs"]
mod manager;
#[path = "support/other_machine.rs"]
mod other_machine;
#[path = "support/terraform.rs"]
mod terraform;

use delegate_core::install::host::ServiceKind;
use files::{PROGRAM, SOURCE, folders, prepared};
use host::Host;
use manager::{Manager, encoded, unique};
use other_machine::OtherMachine;
use serde_json::json;
use terraform::Terraform;

const DELEGATE: &str = "harness_delegate.this";

/// A delegate on this machine, as a configuration that takes its token from the environment.
struct Case {
    tofu: Terraform,
    manager: Manager,
    host: Host,
    name: String,
}

impl Case {
    async fn new(stem: &str) -> Option<Self> {
        Self::on(stem, |_| Host::new()).await
    }

    /// On the host that `host` gives for the delegate's name.
    async fn on(stem: &str, host: fn(&str) -> Host) -> Option<Self> {
        let tofu = Terraform::of("tofu").await?.installed(SOURCE, PROGRAM.as_ref());
        let (manager, name) = (Manager::start().await, unique(stem));
        let tofu = tofu.env("TF_VAR_delegate_token", &manager.token);
        let case = Self {
            tofu,
            manager,
            host: host(&name),
            name,
        };
        case.configure("");
        Some(case)
    }

    fn configure(&self, arguments: &str) {
        let place = format!("directory = \"{}\", service = \"process\"", self.host.path());
        self.configure_at(&place, arguments);
    }

    /// `place` is what the argument `host` holds.
    fn configure_at(&self, place: &str, arguments: &str) {
        let Self { manager, name, .. } = self;
        self.tofu.write(
            "main.tf",
            &format!(
                "variable \"delegate_token\" {{\n  type = string\n  sensitive = true\n  ephemeral = true\n}}\n\
                 provider \"harness\" {{\n  endpoint = \"{}\"\n  account_id = \"{}\"\n}}\n\
                 resource \"harness_delegate\" \"this\" {{\n  name = \"{name}\"\n  token_wo = var.delegate_token\n  \
                 token_wo_version = 1\n  host = {{ {place} }}\n  {arguments}\n}}\n",
                manager.url, manager.account
            ),
        );
    }
}

#[tokio::test]
async fn a_delegate_lives_under_opentofu_as_under_terraform() {
    let Some(case) = Case::new("tofu").await else {
        return;
    };
    let Case { tofu, host, name, .. } = &case;
    tofu.apply().await.succeeds();
    let state = tofu.state().await;
    assert_eq!(*state.attribute(DELEGATE, "connected"), json!(true));
    assert_eq!(*state.attribute(DELEGATE, "token_wo"), json!(null));
    tofu.assert_settled().await;
    host.assert_one_delegate();
    let result = case.manager.run_task("echo here", name).await;
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");

    case.configure("tags = [\"later\"]");
    assert_eq!(tofu.plan(&[]).await.actions(DELEGATE), ["update"]);
    tofu.apply().await.succeeds();
    tofu.assert_settled().await;
    assert_eq!(case.manager.run_task("echo here", "later").await["exit_code"], 0);

    tofu.destroy().await.succeeds();
    host.assert_gone();
}

#[tokio::test]
async fn a_delegate_is_imported_by_its_identity() {
    // An identity leads to the folder that the name leads to.
    let Some(case) = Case::on("identity", Host::by_default).await else {
        return;
    };
    let Case { tofu, host, name, .. } = &case;
    // A service that is this machine's own is imported as `auto`.
    let service = match ServiceKind::of_this_machine() {
        ServiceKind::Process => "auto",
        ServiceKind::Systemd => "process",
    };
    case.configure_at(&format!("service = \"{service}\""), "");
    tofu.apply().await.succeeds();
    let before = tofu.state().await.resource(DELEGATE)["values"].clone();
    let agent = host.agent();
    tofu.run(&["state", "rm", DELEGATE]).await.succeeds();
    tofu.write(
        "import.tf",
        &format!(
            "import {{\n  to = {DELEGATE}\n  identity = {{\n    mode = \"host\"\n    place = \"localhost\"\n    name = \"{name}\"\n  }}\n}}\n"
        ),
    );
    tofu.apply().await.succeeds();
    similar_asserts::assert_eq!(
        before["id"],
        tofu.state().await.resource(DELEGATE)["values"]["id"]
    );
    assert_eq!(host.agent(), agent, "an import restarts nothing");
    std::fs::remove_file(tofu.path("import.tf")).expect("it is there");
    tofu.assert_settled().await;
    tofu.destroy().await.succeeds();
    host.assert_gone();
}

#[tokio::test]
async fn an_identity_says_how_to_get_to_another_machine_and_to_a_folder_there() {
    let Some(case) = Case::new("far").await else {
        return;
    };
    let Some(machine) = OtherMachine::start().await else {
        return;
    };
    let Case { tofu, host, name, .. } = &case;
    let place = format!(
        "directory = \"{}\", ssh = {}",
        host.path(),
        machine.arguments("root")
    );
    case.configure_at(&place, "");
    tofu.apply().await.succeeds();
    let before = tofu.state().await.resource(DELEGATE)["values"].clone();
    let agent = host.agent();
    tofu.run(&["state", "rm", DELEGATE]).await.succeeds();
    tofu.write(
        "import.tf",
        &format!(
            "import {{\n  to = {DELEGATE}\n  identity = {{\n    mode = \"host\"\n    place = \"{}\"\n    name = \"{name}\"\n    \
             directory = \"{}\"\n    identity_file = \"{}\"\n    known_hosts_file = \"{}\"\n  }}\n}}\n",
            machine.name("root"),
            host.path(),
            machine.path("user_key").display(),
            machine.path("known_hosts").display()
        ),
    );
    tofu.apply().await.succeeds();
    let after = tofu.state().await.resource(DELEGATE)["values"].clone();
    similar_asserts::assert_eq!(before, after);
    assert_eq!(host.agent(), agent, "an import restarts nothing");
    std::fs::remove_file(tofu.path("import.tf")).expect("it is there");
    tofu.assert_settled().await;
    tofu.destroy().await.succeeds();
    host.assert_gone();
}

#[tokio::test]
async fn the_token_is_in_no_file_and_no_log() {
    let Some(mut case) = Case::new("quiet").await else {
        return;
    };
    case.tofu.set_env("TF_LOG", "TRACE");
    let mut texts = Vec::new();
    for arguments in [
        &["plan", "-no-color", "-out=test.tfplan"][..],
        &["show", "-json", "test.tfplan"],
        &["apply", "-no-color", "test.tfplan"],
        &["plan", "-no-color"],
        &["show", "-json"],
        &["destroy", "-no-color", "-auto-approve"],
    ] {
        let run = case.tofu.run(arguments).await.succeeds();
        texts.push((arguments.join(" "), format!("{}{}", run.stdout, run.stderr)));
    }
    texts.push(("the state".to_owned(), case.tofu.state_file()));
    assert!(texts[0].1.contains("PlanResourceChange"), "there is a log");
    for token in [case.manager.token.clone(), encoded(&case.manager.token)] {
        for (what, text) in &texts {
            assert!(!text.contains(&token), "the token is in {what}");
        }
    }
}

#[tokio::test]
async fn the_examples_validate_with_what_terraform_1_11_cannot_read() {
    if Terraform::of("tofu").await.is_none() {
        return;
    }
    let mut faults = Vec::new();
    for folder in folders() {
        let tofu = Terraform::of("tofu").await.expect("as before");
        // A resource can be imported in one way at a time.
        let run = prepared(tofu, &folder, &["import-by-string-id.tf"])
            .validate()
            .await;
        if !run.status.success() {
            faults.push(format!("examples/{folder}: {run}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
