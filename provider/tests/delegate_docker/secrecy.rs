//! The token and the proxy's password are where they have to be and nowhere else.

use std::fs;

use crate::fixture::{Case, DELEGATE, docker, logs};
use crate::manager::encoded;
use crate::secrets::{CommandLines, Secrets};

/// Where a secret was looked for, and the text.
type Texts = Vec<(&'static str, String)>;

/// The way of Terraform from a plan to a read; everything that it leaves.
async fn told(case: &Case) -> Texts {
    let mut texts = Texts::new();
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
    let read = case.terraform.run(&["plan", "-no-color"]).await.succeeds();
    texts.push(("the log of a read", read.stderr));
    let show = case.terraform.run(&["show", "-json"]).await.succeeds();
    texts.push(("the state's JSON", show.stdout));
    texts.push(("the state file", case.terraform.state_file()));
    let earlier = fs::read_to_string(case.terraform.path("terraform.tfstate.backup"));
    texts.extend(
        earlier
            .ok()
            .filter(|text| !text.is_empty())
            .map(|text| ("the earlier state file", text)),
    );
    texts.push(("the log of the container", logs(&case.name)));
    texts
}

fn assert_absent(texts: &Texts, secrets: &Secrets) {
    assert!(
        texts.iter().any(|(_, text)| text.contains("ApplyResourceChange")),
        "the log is a trace"
    );
    for (what, text) in texts {
        secrets.absent_from(what, text);
    }
}

/// The token of a case, bare and as the installers write it.
fn token(case: &Case) -> Secrets {
    let mut secrets = Secrets::new();
    secrets.add("the token", &case.manager.token);
    secrets.add("the token as it is written", &encoded(&case.manager.token));
    secrets
}

#[tokio::test]
async fn the_secrets_are_in_no_plan_state_log_inspection_or_command_line() {
    let Some(mut case) = Case::new("secret").await else {
        return;
    };
    case.terraform.set_env("TF_LOG", "TRACE");
    let password = format!("proxy-{}", crate::manager::any_token());
    case.terraform.set_env("TF_VAR_password", &password);
    let proxy = format!(
        "{{ host = \"127.0.0.1\", port = 9, user = \"u\", password_wo = var.password, no_proxy = [{:?}] }}",
        case.engine.gateway
    );
    let variable = "variable \"password\" {\n  type = string\n  ephemeral = true\n  sensitive = true\n}\n";
    case.write(&case.config().set("proxy", proxy).more(variable));
    let lines = CommandLines::watch();
    let mut texts = told(&case).await;
    let inspected = docker(&["container", "inspect", &case.name]);
    assert!(inspected.contains("DELEGATE_NAME"));
    texts.push(("what docker inspect shows", inspected));
    texts.push(("a command line", lines.seen()));
    let mut secrets = token(&case);
    secrets.add("the proxy's password", &password);
    assert_absent(&texts, &secrets);

    let inside = docker(&["exec", &case.name, "cat", "/run/harness-delegate/secrets.env"]);
    assert!(
        inside.contains(&encoded(&case.manager.token)) && inside.contains(&password),
        "it is where it has to be"
    );
    let mode = docker(&[
        "exec",
        &case.name,
        "stat",
        "-c",
        "%a %u",
        "/run/harness-delegate/secrets.env",
    ]);
    assert_eq!(mode, "400 1001");
}

#[tokio::test]
async fn an_image_that_reads_only_its_environment_is_given_the_token_there_and_nowhere_else() {
    let Some(mut case) = Case::new("environment").await else {
        return;
    };
    case.terraform.set_env("TF_LOG", "TRACE");
    case.write(&case.config().docker("token_as", r#""environment""#));
    let lines = CommandLines::watch();
    let mut texts = told(&case).await;
    texts.push(("a command line", lines.seen()));
    assert_absent(&texts, &token(&case));
    let env = case.container()["Config"]["Env"].to_string();
    assert!(env.contains(&format!("DELEGATE_TOKEN={}", encoded(&case.manager.token))));
    case.assert_well().await;
    case.write(&case.config());
    assert!(case.terraform.plan(&[]).await.changes);
    case.assert_heals().await;
    assert!(
        !case.container()["Config"]["Env"]
            .to_string()
            .contains("DELEGATE_TOKEN")
    );
}

#[tokio::test]
async fn a_token_in_a_file_of_the_engines_machine_is_read_there() {
    let Some(case) = Case::new("token-file").await else {
        return;
    };
    let file = case.terraform.path("token");
    fs::write(&file, &case.manager.token).expect("writable");
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("ours");
    };
    open(&file, 0o444);
    open(&case.terraform.path(""), 0o755);
    let config = case.config().unset("token_wo").unset("token_wo_version");
    let config = config.set("token_file", format!("{:?}", file.display()));
    case.apply(&config).await.succeeds();
    case.assert_well().await;
    let env = case.container()["Config"]["Env"].to_string();
    assert!(
        env.contains("DELEGATE_TOKEN_FILE=/run/secrets/delegate-token"),
        "{env}"
    );
    let id = case.attribute("id").await.as_str().expect("an id").to_owned();
    case.terraform.run(&["state", "rm", DELEGATE]).await.succeeds();
    case.terraform.import(DELEGATE, &id).await.succeeds();
    case.terraform.assert_settled().await;
    // A file that is not there is told of, and the delegate of before goes on.
    let before = case.container_id();
    let error = case
        .apply(&config.set("token_file", "\"/nowhere/at-all\""))
        .await
        .fails();
    assert!(error.contains("/nowhere/at-all"), "{error}");
    assert_eq!(case.container_id(), before);
    assert_eq!(case.container()["State"]["Running"], true);
}
