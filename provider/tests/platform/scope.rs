//! Organizations, projects, and an unreliable way to the product: the real terraform, and a stand-in for the product.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::fixture::{PROGRAM, SOURCE, TOKEN, provider, token};
use crate::manager::unique;
use crate::product::{Server, Tokens};
use crate::terraform::Terraform;

struct Case {
    terraform: Terraform,
    tokens: Arc<Mutex<Tokens>>,
    server: Server,
    name: String,
}

impl Case {
    async fn new(stem: &str) -> Option<Self> {
        let terraform = Terraform::here().await?.installed(SOURCE, PROGRAM.as_ref());
        let terraform = terraform.env("HARNESS_PLATFORM_API_KEY", "pat.acc.key");
        let tokens: Arc<Mutex<Tokens>> = Arc::default();
        let shared = Arc::clone(&tokens);
        let server = Server::start(move |request| shared.lock().expect("whole").answer(request)).await;
        let name = unique(stem);
        Some(Self {
            terraform,
            tokens,
            server,
            name,
        })
    }

    fn write(&self, text: &str) {
        self.terraform
            .write("main.tf", &format!("{}{text}", provider(&self.server.url, "acc")));
    }

    /// Status of the token in an organization and a project.
    fn status(&self, org: &str, project: &str) -> Option<String> {
        let key = (org.to_owned(), project.to_owned(), self.name.clone());
        let tokens = self.tokens.lock().expect("whole");
        tokens.known.get(&key).map(|(status, _)| status.clone())
    }
}

#[tokio::test]
async fn tokens_of_one_name_live_in_account_organization_and_project() {
    let Some(case) = Case::new("scoped").await else {
        return;
    };
    let scoped =
        |label: &str, scope: &str| token(&case.name, scope).replace("\"this\"", &format!("\"{label}\""));
    let text = [
        scoped("account", ""),
        scoped("org", "org_id = \"o\""),
        scoped("project", "org_id = \"o\"\n  project_id = \"p\""),
    ]
    .concat();
    case.write(&text);
    case.terraform.apply().await.succeeds();
    let state = case.terraform.state().await;
    let name = &case.name;
    for (label, id) in [
        ("account", name.clone()),
        ("org", format!("o/{name}")),
        ("project", format!("o/p/{name}")),
    ] {
        assert_eq!(
            state.attribute(&format!("harness_delegate_token.{label}"), "id"),
            &json!(id)
        );
    }
    case.terraform.assert_settled().await;
    // Only the one of the project goes.
    case.write(&[scoped("account", ""), scoped("org", "org_id = \"o\"")].concat());
    case.terraform.apply().await.succeeds();
    assert_eq!(case.status("o", "p").as_deref(), Some("REVOKED"));
    assert_eq!(case.status("o", "").as_deref(), Some("ACTIVE"));
    assert_eq!(case.status("", "").as_deref(), Some("ACTIVE"));
    // Another scope is another token.
    case.write(
        &[
            scoped("account", "org_id = \"other\""),
            scoped("org", "org_id = \"o\""),
        ]
        .concat(),
    );
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(
        plan.actions("harness_delegate_token.account"),
        ["delete", "create"],
        "{}",
        plan.text
    );
    // By its id, the one of the organization is found again.
    std::fs::remove_file(case.terraform.path("terraform.tfstate")).expect("a state");
    case.terraform
        .import("harness_delegate_token.org", &format!("o/{name}"))
        .await
        .succeeds();
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(
        plan.actions("harness_delegate_token.org"),
        ["no-op"],
        "{}",
        plan.text
    );
}

#[tokio::test]
async fn a_token_whose_reply_was_lost_is_found_and_kept() {
    let Some(case) = Case::new("lost").await else {
        return;
    };
    case.tokens.lock().expect("whole").lose = 1;
    case.write(&token(&case.name, ""));
    case.terraform.apply().await.succeeds();
    assert_eq!(
        case.server
            .methods()
            .iter()
            .filter(|method| *method == "POST")
            .count(),
        1
    );
    assert_eq!(case.terraform.state().await.attribute(TOKEN, "status"), "ACTIVE");
    case.terraform.assert_settled().await;
    // The same on its way out: the second attempt is refused, because the first one was done.
    case.tokens.lock().expect("whole").lose = 1;
    case.terraform.destroy().await.succeeds();
    assert_eq!(case.status("", "").as_deref(), Some("REVOKED"));
}

#[tokio::test]
async fn a_key_that_may_not_see_values_still_makes_tokens() {
    let Some(case) = Case::new("hidden").await else {
        return;
    };
    case.tokens.lock().expect("whole").hide = true;
    case.write(&token(&case.name, "store_value = true"));
    // An error would mark the token for a replacement that its name does not survive.
    let run = case.terraform.apply().await.succeeds();
    assert!(run.stdout.contains("permission to edit"), "{run}");
    assert_eq!(case.terraform.state().await.attribute(TOKEN, "status"), "ACTIVE");
    // Once the key may, the next apply completes the state in place.
    case.tokens.lock().expect("whole").hide = false;
    case.terraform.apply().await.succeeds();
    let value = case.terraform.state().await.attribute(TOKEN, "value").clone();
    assert!(
        value.as_str().is_some_and(|value| value.len() == 44),
        "the value is there"
    );
    case.terraform.assert_settled().await;
}
