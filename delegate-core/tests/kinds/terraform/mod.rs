//! `TERRAFORM` with the real terraform: what is built in, a backend on this machine, and our own provider.

mod aws;
mod refusals;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use delegate_core::process::Environment;
use delegate_core::task::{TaskKind as _, Terraform};
use serde_json::{Value, json};

use crate::delegate::{Delegate, Started};
use crate::git_server::GitServer;

const KIND: &str = "TERRAFORM";

/// A delegate with the program; none, and said so, where it is not there.
fn delegate() -> Option<Delegate> {
    let delegate = Delegate::new();
    if Terraform.check(&delegate.settings.environment).is_err() {
        eprintln!("SKIPPED: neither terraform nor tofu is on the PATH");
        return None;
    }
    Some(delegate)
}

/// A task on a configuration of one file.
fn task(command: &str, main: &str) -> Value {
    json!({"command": command, "directory": "app", "files": {"main.tf": main}})
}

const TWO: &str = r#"
    variable "name" { type = string }
    variable "zones" {
      type    = list(string)
      default = []
    }
    resource "terraform_data" "a" { input = var.name }
    resource "terraform_data" "b" { input = var.zones }
    output "name" { value = terraform_data.a.output }
    output "zones" { value = terraform_data.b.output }
"#;

#[tokio::test]
async fn what_is_applied_is_left_alone_changed_and_destroyed() {
    let Some(delegate) = delegate() else { return };
    let with = |command: &str, name: &str| {
        let mut data = task(command, TWO);
        data["variables"] = json!({"name": name, "zones": ["a", "b"]});
        data
    };
    let outcome = delegate.run(KIND, with("apply", "x")).await.well();
    assert_eq!(outcome.var("name"), "x");
    assert_eq!(outcome.var("zones"), r#"["a","b"]"#);
    assert_eq!(outcome.field("outputs")["zones"], json!(["a", "b"]));
    assert_eq!(outcome.field("plan")["add"], 2);
    assert_eq!(
        outcome.field("applied"),
        &json!({"done": ["terraform_data.a", "terraform_data.b"], "failed": [], "not_done": [], "more": 0})
    );
    assert!(
        outcome.log.contains("terraform_data.a: Creation complete"),
        "{}",
        outcome.log
    );
    assert!(
        outcome
            .log
            .contains("the plan: 2 to add, 0 to change, 0 to destroy"),
        "{}",
        outcome.log
    );

    let again = delegate.run(KIND, with("apply", "x")).await.well();
    assert_eq!(again.field("plan")["changes"], json!([]));
    assert_eq!(again.field("applied")["done"], json!([]));
    assert_eq!(again.var("name"), "x");

    let changed = delegate.run(KIND, with("apply", "y")).await.well();
    assert_eq!(
        changed.field("plan")["changes"],
        json!([{"address": "terraform_data.a", "action": "update"}])
    );
    assert_eq!(changed.var("name"), "y");

    // The state, and nothing else, is asked for outputs.
    let outputs = delegate
        .run(KIND, json!({"command": "output", "directory": "app"}))
        .await
        .well();
    assert_eq!(outputs.var("name"), "y");
    assert_eq!(outputs.field("plan"), &Value::Null);

    let destroyed = delegate.run(KIND, with("destroy", "y")).await.well();
    assert_eq!(destroyed.field("plan")["destroy"], 2);
    let gone = delegate.run(KIND, with("plan", "y")).await.well();
    assert_eq!(gone.var("plan_add"), "2");
}

#[tokio::test]
async fn a_saved_plan_is_applied_by_another_task_once() {
    let Some(delegate) = delegate() else { return };
    let mut data = task("plan", TWO);
    data["variables"] = json!({"name": "x"});
    let planned = delegate.run(KIND, data).await.well();
    assert_eq!(planned.var("plan_has_changes"), "true");
    assert_eq!(
        (planned.var("plan_add"), planned.var("plan_drift")),
        ("2", "false")
    );
    let file = delegate.path("workspace/app/delegate.tfplan");
    assert_eq!(planned.var("plan_file"), file.to_str().unwrap());
    assert_eq!(planned.field("applied"), &Value::Null);

    let apply = json!({"command": "apply", "directory": "app", "files": {"main.tf": TWO}, "plan": planned.var("plan_file")});
    let applied = delegate.run(KIND, apply.clone()).await.well();
    assert_eq!(applied.var("name"), "x");
    assert_eq!(applied.field("plan")["add"], 2);
    let again = delegate.run(KIND, apply).await;
    again.says("stale").says("plan again");
    assert_eq!(
        again.field("applied")["not_done"],
        json!(["terraform_data.a", "terraform_data.b"])
    );
}

const THREE: &str = r#"
    variable "break" { type = bool }
    resource "terraform_data" "first" {}
    resource "terraform_data" "second" {
      depends_on = [terraform_data.first]
      provisioner "local-exec" { command = var.break ? "echo no disk left; exit 3" : "true" }
    }
    resource "terraform_data" "third" { depends_on = [terraform_data.second] }
"#;

#[tokio::test]
async fn an_apply_that_fails_half_way_says_how_far_it_came_and_goes_on_from_there() {
    let Some(delegate) = delegate() else { return };
    let with = |broken: bool| {
        let mut data = task("apply", THREE);
        data["variables"] = json!({"break": broken});
        data
    };
    let outcome = delegate.run(KIND, with(true)).await;
    outcome
        .says("local-exec provisioner error")
        .says("exit status 3")
        .says("terraform_data.first done, terraform_data.second failed or cut off, terraform_data.third not begun");
    assert_eq!(
        outcome.field("applied"),
        &json!({
            "done": ["terraform_data.first"], "failed": ["terraform_data.second"], "not_done": ["terraform_data.third"],
            "more": 0
        })
    );
    assert!(
        outcome.log.contains("(local-exec): no disk left"),
        "{}",
        outcome.log
    );
    let outcome = delegate.run(KIND, with(false)).await.well();
    let changes = &outcome.field("plan")["changes"];
    assert_eq!(
        changes,
        &json!([
            {"address": "terraform_data.second", "action": "replace"},
            {"address": "terraform_data.third", "action": "create"}
        ])
    );
    assert_eq!(outcome.field("applied")["failed"], json!([]));
}

/// Makes one resource, and waits at a second one until a file is there.
const WAITS: &str = r#"
    resource "terraform_data" "done" { input = "kept" }
    resource "terraform_data" "open" {
      depends_on = [terraform_data.done]
      provisioner "local-exec" {
        command = "echo it waits; until [ -e ${path.module}/go ]; do sleep 0.1; done"
      }
    }
    output "done" { value = terraform_data.done.output }
"#;

async fn waiting(delegate: &Delegate, data: &Value) -> Started {
    let started = delegate.start(KIND, data);
    started.log.until("(local-exec): it waits").await;
    started
}

#[tokio::test]
async fn an_abort_in_the_middle_of_an_apply_keeps_the_state_and_gives_the_lock_back() {
    let Some(delegate) = delegate() else { return };
    let started = waiting(&delegate, &task("apply", WAITS)).await;
    assert!(
        delegate
            .path("workspace/app/.terraform.tfstate.lock.info")
            .exists()
    );
    started.cancel.cancel();
    let outcome = started.end().await.ended("ABORTED");
    let reason = outcome.error();
    for words in [
        "the task was aborted while applying",
        "terraform_data.done done",
        "terraform_data.open failed or cut off",
        "the state holds what was done",
    ] {
        assert!(reason.contains(words), "{words:?}: {}", outcome.everything());
    }
    assert!(
        !delegate
            .path("workspace/app/.terraform.tfstate.lock.info")
            .exists()
    );

    // What was made is known, and the next apply begins where this one was cut off.
    fs::write(delegate.path("workspace/app/go"), "").unwrap();
    let outcome = delegate.run(KIND, task("apply", WAITS)).await.well();
    assert_eq!(
        outcome.field("plan")["changes"],
        json!([{"address": "terraform_data.open", "action": "replace"}])
    );
    assert_eq!(outcome.var("done"), "kept");
}

#[tokio::test]
async fn a_state_that_another_run_holds_is_waited_for_or_the_task_says_so() {
    let Some(delegate) = delegate() else { return };
    let state = delegate.path("shared.tfstate");
    let with = |folder: &str, command: &str| {
        let main = format!("terraform {{\n  backend \"local\" {{}}\n}}\n{WAITS}");
        json!({
            "command": command, "directory": folder, "files": {"main.tf": main}, "backend": {"path": state}
        })
    };
    let first = waiting(&delegate, &with("one", "apply")).await;
    let outcome = delegate.run(KIND, with("two", "plan")).await;
    outcome.says("state lock").says("`lock_timeout`");
    let mut patient = with("two", "plan");
    patient["lock_timeout"] = json!("2m");
    let patient = delegate.start(KIND, &patient);
    fs::write(delegate.path("workspace/one/go"), "").unwrap();
    first.end().await.well();
    // It has found what the other one left: nothing to do.
    assert_eq!(patient.end().await.well().var("plan_has_changes"), "false");
}

#[tokio::test]
async fn workspaces_are_made_and_none_stays_selected() {
    let Some(delegate) = delegate() else { return };
    let main = "output \"in\" { value = terraform.workspace }";
    for workspace in [Some("prod"), Some("test"), Some("prod"), None] {
        let mut data = task("apply", main);
        if let Some(workspace) = workspace {
            data["workspace"] = workspace.into();
        }
        let outcome = delegate.run(KIND, data).await.well();
        assert_eq!(outcome.var("in"), workspace.unwrap_or("default"));
    }
    let states = delegate.path("workspace/app/terraform.tfstate.d");
    assert!(states.join("prod").exists() && states.join("test").exists());
}

#[tokio::test]
async fn secrets_reach_the_program_and_nobody_else() {
    let Some(mut delegate) = delegate() else { return };
    delegate.watch(&["terraform", "tofu"]);
    let main = r#"
        terraform {
          backend "local" {}
        }
        variable "password" { sensitive = true }
        output "length" { value = nonsensitive(length(var.password)) }
        output "hush" {
          value     = "behind-the-curtain"
          sensitive = true
        }
        output "told" { value = "it is behind-the-curtain" }
        resource "terraform_data" "shell" {
          provisioner "local-exec" { command = "test \"$KEY\" = key-of-the-cloud && echo \"key: $KEY\"" }
        }
    "#;
    let mut data = task("apply", main);
    data["secret_variables"] = json!({"password": "seventeen-letters"});
    data["secret_backend"] = json!({"workspace_dir": "hidden-states"});
    data["hosts"] = json!({"tf.example.com": "token-of-a-host"});
    data["secrets"] = json!({"KEY": "key-of-the-cloud"});
    data["workspace"] = json!("w");
    let outcome = delegate.run(KIND, data).await.well();
    assert_eq!(outcome.var("length"), "17");
    assert_eq!(outcome.field("sensitive_outputs"), &json!(["hush"]));
    assert_eq!(outcome.field("outputs")["hush"], Value::Null);
    // What an output that is not sensitive has of it is masked all the same.
    assert_eq!(outcome.var("told"), "it is **************");
    outcome.hides("key-of-the-cloud");
    assert!(outcome.log.contains("key: **"), "{}", outcome.log);
    assert!(
        delegate.watched().contains("TF_CLI_CONFIG_FILE="),
        "nothing was watched"
    );
    for secret in ["seventeen-letters", "token-of-a-host", "hidden-states"] {
        delegate.keeps_no(&outcome, secret);
    }
    assert!(delegate.path("workspace/app/hidden-states/w").exists());
}

#[tokio::test]
async fn a_host_gets_its_token_and_one_it_refuses_is_named() {
    let Some(mut delegate) = delegate() else { return };
    let server = GitServer::start().await;
    delegate.settings.environment.set("SSL_CERT_FILE", server.ca());
    let host = server.url("x");
    let host = url::Url::parse(&host).unwrap().authority().to_owned();
    let main = format!("module \"m\" {{\n  source = \"{host}/team/network/aws\"\n}}\n");
    let mut data = task("plan", &main);
    data["hosts"] = json!({host: "token-of-a-host"});
    let outcome = delegate.run(KIND, data).await;
    outcome.says("401").says("`hosts`").hides("token-of-a-host");
    assert_eq!(server.logins(), ["Bearer token-of-a-host"]);
}

#[tokio::test]
async fn files_come_and_go_with_tasks_and_others_stay() {
    let Some(delegate) = delegate() else { return };
    let folder = delegate.path("workspace/app");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("own.tf"), "output \"own\" { value = \"stays\" }").unwrap();
    let module = "output \"word\" { value = \"from a module\" }";
    let main = "module \"m\" {\n  source = \"./m\"\n}\noutput \"word\" { value = module.m.word }";
    let mut data = task("apply", main);
    data["files"]["m/main.tf"] = module.into();
    let outcome = delegate.run(KIND, data).await.well();
    assert_eq!(
        (outcome.var("word"), outcome.var("own")),
        ("from a module", "stays")
    );
    let values = delegate.path("workspace/values.tfvars");
    fs::write(values, "word = \"from a file\"\n").unwrap();
    let data = json!({
        "command": "apply", "directory": "app", "var_files": ["values.tfvars"],
        "files": {"other.tf": "variable \"word\" {}\noutput \"word\" { value = var.word }"},
    });
    // The first file would declare the same output.
    let outcome = delegate.run(KIND, data).await.well();
    assert_eq!(
        (outcome.var("word"), outcome.var("own")),
        ("from a file", "stays")
    );
    assert!(!folder.join("main.tf").exists());
    delegate
        .run(KIND, json!({"command": "apply", "directory": "app"}))
        .await
        .well();
    assert!(!folder.join("other.tf").exists() && folder.join("own.tf").exists());
}

#[tokio::test]
async fn what_it_complains_of_comes_with_what_to_do() {
    let Some(delegate) = delegate() else { return };
    let outcome = delegate.run(KIND, task("plan", TWO)).await;
    outcome.says("No value for required variable").says("`variables`");
    let outcome = delegate
        .run(KIND, json!({"command": "plan", "directory": "empty"}))
        .await;
    outcome.says("No configuration files").says("`files`");
    let outcome = delegate.run(KIND, task("plan", "resource {")).await;
    outcome.says("main.tf");
    let mut data = task("apply", "");
    data["plan"] = json!("none.tfplan");
    delegate.run(KIND, data).await.says("none.tfplan");
    let empty = Environment::empty();
    assert_eq!(
        Terraform.check(&empty),
        Err("neither terraform nor tofu is in PATH".to_owned())
    );
}

/// The provider of this repository, where a build of it is there.
fn provider() -> Option<PathBuf> {
    let beside = || {
        std::env::current_exe()
            .ok()?
            .parent()?
            .parent()
            .map(PathBuf::from)
    };
    let folder = std::env::var_os("HARNESS_TEST_BIN_DIR")
        .map(PathBuf::from)
        .or_else(beside)?;
    let program = folder.join("terraform-provider-harness");
    if !program.exists() {
        eprintln!("SKIPPED: there is no {}", program.display());
        return None;
    }
    Some(program)
}

#[tokio::test]
async fn our_own_provider_is_run_from_a_mirror() {
    let (Some(delegate), Some(provider)) = (delegate(), provider()) else {
        return;
    };
    let machine = match std::env::consts::ARCH {
        "aarch64" => "linux_arm64",
        _ => "linux_amd64",
    };
    let mirror = delegate.path("mirror");
    let folder = mirror.join(format!("terraform.local/harness/harness/1.0.0/{machine}"));
    fs::create_dir_all(&folder).unwrap();
    symlink(provider, folder.join("terraform-provider-harness_v1.0.0")).unwrap();
    let main = r#"
        terraform {
          required_providers {
            harness = { source = "terraform.local/harness/harness" }
          }
        }
        data "harness_delegate_manifest" "a" {
          account_id  = "an-account"
          manager_url = "https://manager.example.com"
          name        = "team-a"
          namespace   = "delegates"
        }
        output "tags" { value = provider::harness::tags("linux, prod") }
        output "secret" { value = data.harness_delegate_manifest.a.secret_name }
    "#;
    let mut data = task("apply", main);
    data["mirror"] = json!({"directory": mirror});
    let outcome = delegate.run(KIND, data).await.well();
    assert_eq!(outcome.var("tags"), r#"["linux","prod"]"#);
    assert_eq!(outcome.var("secret"), "team-a-delegate-token");
}
