//! What data sources say of a manager's delegates.

use std::sync::Arc;

use delegate_core::config::TokenSource;
use delegate_core::protocol::client::ManagerClient;
use delegate_core::protocol::http::Http;
use delegate_core::protocol::wire::DelegateParams;
use serde_json::json;

use crate::fixture::Case;

/// Registers a replica, as a delegate does when it starts.
async fn replica(case: &Case, name: &str, host: &str, kind: &str, tags: &[&str]) {
    let client = ManagerClient::new(
        Arc::new(Http::default()),
        case.manager.url.parse().expect("an address"),
        case.manager.account.parse().expect("an account"),
        TokenSource::Inline(case.manager.token.parse().expect("a token")),
    );
    let params = DelegateParams {
        account_id: case.manager.account.clone(),
        delegate_name: name.to_owned(),
        host_name: host.to_owned(),
        delegate_type: kind.to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        version: "26.1.7".to_owned(),
        ng: true,
        ..DelegateParams::default()
    };
    client.register(&params).await.expect("it registers");
}

#[tokio::test]
async fn delegates_are_listed_in_order_and_narrowed_by_every_filter() {
    let Some(case) = Case::new("list").await else {
        return;
    };
    replica(&case, "team-b", "h1", "DOCKER", &["linux"]).await;
    replica(&case, "team-a", "h2", "HELM_DELEGATE", &["linux", "prod"]).await;
    replica(&case, "team-a", "h1", "HELM_DELEGATE", &["linux", "prod"]).await;
    replica(&case, "other", "h9", "DOCKER", &[]).await;
    let filters = [
        ("all", "", vec!["other", "team-a", "team-b"]),
        ("name", "name = \"team-a\"", vec!["team-a"]),
        ("part", "name = \"team\"", vec![]),
        ("prefix", "name_prefix = \"team-\"", vec!["team-a", "team-b"]),
        ("tag", "tags = [\"linux\"]", vec!["team-a", "team-b"]),
        ("tags", "tags = [\"prod\", \"linux\"]", vec!["team-a"]),
        ("connected", "connected = true", vec!["other", "team-a", "team-b"]),
        ("disconnected", "connected = false", vec![]),
        (
            "type",
            "type = \"DOCKER\"\n  name_prefix = \"team\"",
            vec!["team-b"],
        ),
        ("below", "below = true", vec!["other", "team-a", "team-b"]),
    ];
    let blocks: String = filters
        .iter()
        .map(|(label, arguments, _)| {
            format!(
                "data \"harness_delegates\" \"{label}\" {{\n  {arguments}\n}}\noutput \"{label}\" {{ value = \
                 data.harness_delegates.{label}.names }}\n"
            )
        })
        .collect();
    case.write(&format!(
        "{blocks}output \"a\" {{ value = data.harness_delegates.name.delegates[0] }}\n\
         data \"harness_delegate_version\" \"newest\" {{}}\n\
         output \"version\" {{ value = data.harness_delegate_version.newest }}\n"
    ));
    case.terraform.apply().await.succeeds();
    let state = case.terraform.state().await;
    for (label, _, expected) in &filters {
        assert_eq!(state.output(label), &json!(expected), "{label}");
    }
    let team = state.output("a");
    assert_eq!(
        (&team["name"], &team["type"], &team["tags"], &team["connected"]),
        (
            &json!("team-a"),
            &json!("HELM_DELEGATE"),
            &json!(["linux", "prod"]),
            &json!(true)
        )
    );
    let hosts: Vec<_> = team["replicas"]
        .as_array()
        .expect("replicas")
        .iter()
        .map(|one| &one["host_name"])
        .collect();
    assert_eq!(hosts, ["h1", "h2"]);
    assert_eq!(team["replicas"][0]["version"], "26.1.7");
    let expected = delegate_core::VERSION;
    assert_eq!(state.output("version")["latest"], expected);
    assert_eq!(state.output("version")["latest_minimal"], expected);
    assert_eq!(
        state.output("version")["account_id"],
        case.manager.account.as_str()
    );
    case.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_list_of_an_unknown_or_silent_manager_is_an_error_and_not_empty() {
    let Some(mut case) = Case::new("silent").await else {
        return;
    };
    let data = "data \"harness_delegates\" \"all\" {}\noutput \"names\" { value = data.harness_delegates.all.names }\n";
    case.terraform.write(
        "main.tf",
        &format!(
            "resource \"terraform_data\" \"manager\" {{\n  input = \"{}\"\n}}\nprovider \"harness\" {{\n  endpoint = \
             terraform_data.manager.output\n  account_id = \"{}\"\n}}\n{data}",
            case.manager.url, case.manager.account
        ),
    );
    let error = case.terraform.run(&["plan", "-no-color"]).await.fails();
    assert!(error.contains("endpoint is known only after apply"), "{error}");
    case.write("data \"harness_delegates\" \"all\" {\n  name = \"a\"\n  name_prefix = \"a\"\n}\n");
    let error = case.terraform.validate().await.fails();
    assert!(error.contains("Conflicting arguments"), "{error}");
    case.write(data);
    case.manager.stop().await;
    let error = case.terraform.apply().await.fails();
    assert!(error.contains("The manager cannot be reached"), "{error}");
}
