//! The token is where it has to be and nowhere else.

use std::fs;

use crate::fixture::{Case, TOKEN};
use crate::secrets::{CommandLines, Secrets};

/// Password of the proxy, which is not the token.
const PROXY_PASSWORD: &str = "proxy-password-83c1f4";

#[tokio::test]
async fn the_token_is_in_no_plan_state_log_record_or_command_line() {
    let Some(mut case) = Case::new("secret").await else {
        return;
    };
    case.terraform.set_env("TF_LOG", "TRACE");
    case.terraform.write(
        "proxy.tf",
        "variable \"proxy_password\" {\n  type      = string\n  sensitive = true\n  ephemeral = true\n}\n",
    );
    case.terraform.set_env("TF_VAR_proxy_password", PROXY_PASSWORD);
    case.configure(&format!("{TOKEN}\n  proxy = {{ host = \"127.0.0.1\", port = 9, user = \"u\", password_wo = var.proxy_password, no_proxy = [\"127.0.0.1\"] }}"));
    let lines = CommandLines::watch();
    let mut texts = Vec::new();
    let plan = case
        .terraform
        .run(&["plan", "-no-color", "-out=test.tfplan"])
        .await
        .succeeds();
    texts.push(("the log of the plan", plan.stderr));
    texts.push(("the plan", plan.stdout));
    let show = case
        .terraform
        .run(&["show", "-json", "test.tfplan"])
        .await
        .succeeds();
    texts.push(("the plan's JSON", show.stdout));
    let apply = case.terraform.apply().await.succeeds();
    texts.push(("the log of the apply", apply.stderr));
    texts.push(("the apply", apply.stdout));
    let other = case.manager.another_token().await;
    let mut secrets = Secrets::new();
    secrets.add("the token", &case.manager.token);
    secrets.add("the second token", &other);
    secrets.add("the proxy's password", PROXY_PASSWORD);
    case.hand_over(&other);
    case.configure("token_wo = var.delegate_token\n  token_wo_version = 2");
    let update = case.terraform.apply().await.succeeds();
    texts.push(("the log of the update", update.stderr));
    let read = case.terraform.run(&["plan", "-no-color"]).await.succeeds();
    texts.push(("the log of a read", read.stderr));
    let show = case.terraform.run(&["show", "-json"]).await.succeeds();
    texts.push(("the state's JSON", show.stdout));
    texts.push(("the state file", case.terraform.state_file()));
    let earlier = fs::read_to_string(case.terraform.path("terraform.tfstate.backup"));
    texts.push(("the earlier state file", earlier.unwrap_or_default()));
    for name in ["installation.json", "delegate.log", "supervisor.lock"] {
        texts.push((name, fs::read_to_string(case.host.file(name)).unwrap_or_default()));
    }
    let installed = fs::read_to_string(case.host.env_file()).unwrap();
    let destroy = case.terraform.destroy().await.succeeds();
    texts.push(("the log of the destroy", destroy.stderr));
    let lines = lines.seen();
    let line = |part: &str| {
        lines
            .lines()
            .any(|line| line.contains(part) && line.contains(case.host.path()))
    };
    assert!(
        line("supervise") && line("run --env-file"),
        "the command lines were looked at"
    );
    texts.push(("a command line", lines));

    assert!(
        texts.iter().any(|(_, text)| text.contains("ApplyResourceChange")),
        "the log is a trace"
    );
    assert!(secrets.present_in(&installed), "it is where it has to be");
    for (what, text) in &texts {
        if !text.is_empty() {
            secrets.absent_from(what, text);
        }
    }
    case.host.assert_gone();
}
