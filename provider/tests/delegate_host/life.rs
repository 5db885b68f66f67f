//! From nothing to a delegate that works, and back to nothing.

use std::fs;

use serde_json::json;

use crate::fixture::{Case, DELEGATE, TOKEN};
use crate::manager::{any_token, encoded};

#[tokio::test]
async fn a_delegate_is_installed_works_and_is_removed_without_a_trace() {
    let Some(case) = Case::new("life").await else {
        return;
    };
    case.configure(&format!("{TOKEN}\n  tags = [\"blue\", \"prod\"]"));
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["create"]);
    let mut unknown = plan.unknown(DELEGATE);
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "connected",
            "drift",
            "id",
            "ready_replicas",
            "target_id",
            "version"
        ],
        "everything else is known before the apply"
    );
    assert!(!case.host.directory.exists(), "a plan touches nothing");

    case.terraform.apply().await.succeeds();
    let state = case.terraform.state().await;
    for (name, expected) in [
        ("id", json!(format!("host/localhost/{}", case.name))),
        ("connected", json!(true)),
        ("ready_replicas", json!(1)),
        ("version", json!(delegate_core::VERSION)),
        ("drift", json!([])),
        ("token_wo", json!(null)),
    ] {
        assert_eq!(*state.attribute(DELEGATE, name), expected, "{name}");
    }
    assert!(
        state
            .attribute(DELEGATE, "target_id")
            .as_str()
            .is_some_and(|id| !id.is_empty())
    );
    case.terraform.assert_settled().await;
    case.host.assert_one_delegate();
    for (name, mode) in [
        ("", 0o700),
        ("delegate.env", 0o600),
        ("installation.json", 0o600),
        ("bin/harness-delegate", 0o755),
    ] {
        assert_eq!(case.host.mode_of(name), mode, "mode of {name:?}");
    }

    let known = case.manager.delegates(&case.name).await;
    assert_eq!(known.len(), 1);
    assert_eq!(known[0]["connected"], true);
    let result = case
        .manager
        .run_task("echo $((6 * 7)) > \"$PWD/out\"; cat \"$PWD/out\"", "blue")
        .await;
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");

    case.assert_removed().await;
    assert!(case.terraform.state().await.resource(DELEGATE).is_null());
}

#[tokio::test]
async fn every_optional_argument_reaches_the_delegate() {
    let Some(case) = Case::new("all").await else {
        return;
    };
    let marker = case.terraform.path("init-ran");
    // Nobody listens there: that the delegate connects shows that no_proxy reached it too.
    case.configure(&format!(
        r#"{TOKEN}
  tags            = ["b", "a"]
  description     = "Runs the tests; it's \"quoted\", $HOME."
  env             = {{ TEAM = "a b = \"c\" # $d", LOGGING_LEVEL = "debug" }}
  init_script     = "echo ran > '{}'"
  log_service_url = "{}/log-service/"
  poll_for_tasks  = true
  account_id      = "{}"
  manager_url     = "{}"
  proxy           = {{ host = "127.0.0.1", port = 9, scheme = "http", user = "u", password_wo = "proxy-word", no_proxy = ["127.0.0.1"] }}
  timeouts        = {{ create = "2m", update = "2m", delete = "2m" }}
  wait            = {{ until = "connected", timeout = "60s" }}"#,
        marker.display(),
        case.manager.url,
        case.manager.account,
        case.manager.url,
    ));
    case.terraform.apply().await.succeeds();
    case.terraform.assert_settled().await;
    for (name, expected) in [
        ("DELEGATE_NAME", case.name.as_str()),
        ("DELEGATE_TAGS", "a,b"),
        ("DELEGATE_DESCRIPTION", "Runs the tests; it's \"quoted\", $HOME."),
        ("TEAM", "a b = \"c\" # $d"),
        ("LOGGING_LEVEL", "debug"),
        ("POLL_FOR_TASKS", "true"),
        ("ACCOUNT_ID", &case.manager.account),
        ("PROXY_HOST", "127.0.0.1"),
        ("PROXY_PORT", "9"),
        ("PROXY_SCHEME", "http"),
        ("PROXY_USER", "u"),
        ("PROXY_PASSWORD", "proxy-word"),
        ("NO_PROXY", "127.0.0.1"),
    ] {
        assert_eq!(case.host.variable(name).as_deref(), Some(expected), "{name}");
    }
    let service = format!("{}/log-service/", case.manager.url);
    assert_eq!(case.host.variable("LOG_STREAMING_SERVICE_URL"), Some(service));
    assert_eq!(fs::read_to_string(&marker).expect("the init script ran"), "ran\n");
    let known = case.manager.delegates(&case.name).await.remove(0);
    assert_eq!(known["description"], "Runs the tests; it's \"quoted\", $HOME.");
    assert_eq!(known["tags"], json!(["a", "b"]));
    assert!(!case.terraform.state_file().contains("proxy-word"));
    case.assert_removed().await;
}

#[tokio::test]
async fn certificates_reach_the_delegate() {
    let Some(case) = Case::new("tls").await else {
        return;
    };
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (
        case.terraform.path("client.crt"),
        case.terraform.path("client.key"),
    );
    let authorities = case.terraform.path("authorities");
    fs::create_dir(&authorities).expect("a folder");
    fs::write(authorities.join("ca.crt"), own.cert.pem()).expect("written");
    fs::write(&certificate, own.cert.pem()).expect("written");
    fs::write(&key, own.signing_key.serialize_pem()).expect("written");
    case.configure(&format!(
        "{TOKEN}\n  mtls = {{ certificate_file = \"{}\", key_file = \"{}\" }}\n  ca_bundle = {{ directory = \"{}\" }}",
        certificate.display(),
        key.display(),
        authorities.display()
    ));
    case.terraform.apply().await.succeeds();
    case.terraform.assert_settled().await;
    for (name, path) in [
        ("DELEGATE_CLIENT_CERTIFICATE_PATH", &certificate),
        ("DELEGATE_CLIENT_CERTIFICATE_KEY_PATH", &key),
        ("HARNESS_CERTS_DIR", &authorities),
    ] {
        let found = case.host.variable(name);
        assert_eq!(found.as_deref(), path.to_str(), "{name}");
    }
    case.assert_removed().await;
}

#[tokio::test]
async fn a_token_is_taken_in_each_way_it_can_be_given() {
    let Some(mut case) = Case::new("token").await else {
        return;
    };
    let file = case.terraform.path("token");
    fs::write(&file, format!("{}\n", encoded(&case.manager.token))).expect("written");
    case.configure(&format!("token_file = \"{}\"", file.display()));
    case.terraform.apply().await.succeeds();
    case.terraform.assert_settled().await;
    let text = fs::read_to_string(case.host.env_file()).expect("readable");
    assert!(
        !text.contains(&case.manager.token) && !text.contains(&encoded(&case.manager.token)),
        "{text}"
    );

    // For a Terraform without write-only arguments: in the state, by the user's choice.
    case.configure(&format!("token = \"{}\"", encoded(&case.manager.token)));
    assert_eq!(case.terraform.plan(&[]).await.actions(DELEGATE), ["update"]);
    case.assert_heals().await;
    let sensitive = case.terraform.state().await.resource(DELEGATE)["sensitive_values"]["token"].clone();
    assert_eq!(sensitive, true);

    let base64 = encoded(&case.manager.token);
    case.hand_over(&base64);
    case.configure(TOKEN);
    case.assert_heals().await;
    assert!(
        !case.terraform.state_file().contains(&base64),
        "it has left the state"
    );
    case.assert_removed().await;
}

#[tokio::test]
async fn waiting_until_installed_does_not_need_a_manager() {
    let Some(mut case) = Case::new("installed").await else {
        return;
    };
    case.manager.stop().await;
    case.configure(&format!("{TOKEN}\n  wait = {{ until = \"installed\" }}"));
    case.terraform.apply().await.succeeds();
    assert_eq!(case.attribute("connected").await, false);
    case.host.assert_one_delegate();
    case.terraform.assert_settled().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn a_delegate_that_runs_is_ready_with_and_without_a_manager() {
    let Some(mut case) = Case::new("ready").await else {
        return;
    };
    case.manager.stop().await;
    case.hand_over(&any_token());
    case.configure(&format!(
        "{TOKEN}\n  wait = {{ until = \"ready\", timeout = \"30s\" }}"
    ));
    case.terraform.apply().await.succeeds();
    assert_eq!(case.attribute("ready_replicas").await, 1);
    case.assert_removed().await;
}
