//! Vault: reading, logins, and tokens that end.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use delegate_core::Secret;
use delegate_core::config::secrets::{OwnSecret, SecretSettings, VaultLogin, VaultSettings};
use delegate_core::protocol::http::{Http, HttpSettings};
use delegate_core::secrets::{Providers, Vault};
use delegate_core::task::SecretResolver as _;
use serde_json::json;
use url::Url;

use crate::support::PATIENCE;
use crate::vault_double::VaultDouble;

fn settings(url: &Url, login: VaultLogin) -> VaultSettings {
    VaultSettings {
        url: url.clone(),
        namespace: None,
        mount: "secret".to_owned(),
        login,
    }
}

fn providers(settings: VaultSettings) -> Providers {
    Providers::none().with(Vault::new(Arc::new(Http::default()), settings))
}

fn app_role(role_id: &str, secret_id: &str) -> VaultLogin {
    VaultLogin::AppRole {
        mount: "approle".to_owned(),
        role_id: role_id.to_owned(),
        secret_id: OwnSecret::Inline(Secret::new(secret_id)),
    }
}

fn given(token: &str) -> VaultLogin {
    VaultLogin::Token(OwnSecret::Inline(Secret::new(token)))
}

async fn get(vault: &Providers, name: &str) -> Result<String, String> {
    vault.resolve(name).await.map(|value| value.expose().to_owned())
}

/// What holds for every Vault that has these secrets; `login` may read them.
async fn reads(url: &Url, login: VaultLogin) {
    let vault = providers(settings(url, login));
    for (name, value) in [
        ("team/db#password", "second"),
        ("team/db?version=1#password", "first"),
        ("single", "only"),
        ("vault://account.usual", "the usual"),
        ("account.usual#count", "7"),
    ] {
        assert_eq!(get(&vault, name).await.unwrap(), value, "{name}");
    }
    for (name, said) in [
        ("no/such", "vault: nothing at secret/data/no/such"),
        ("team/db?version=9", "nothing at secret/data/team/db"),
        ("gone", "that version of secret/data/gone was deleted"),
        ("team/db?stage=X", "versions are numbers"),
        ("team/db#no", "has no field `no`"),
        (
            "team/db",
            "has 2 fields and none is `value`; name one: `team/db#FIELD`",
        ),
    ] {
        let error = get(&vault, name).await.unwrap_err();
        assert!(
            error.contains(said) && !error.contains("second"),
            "{name}: {error}"
        );
    }
}

fn fill(vault: &VaultDouble) {
    let secrets = json!({
        "team/db": [{"password": "first"}, {"user": "u", "password": "second"}],
        "single": [{"anything": "only"}],
        "account.usual": [{"value": "the usual", "count": 7}],
        "gone": [{"a": "b"}, null],
    });
    vault.with(|inner| {
        inner.secrets = serde_json::from_value(secrets).unwrap();
        inner.tokens.insert("given".to_owned(), 0);
    });
}

#[tokio::test]
async fn a_secret_is_read_by_path_field_and_version_whoever_the_delegate_is() {
    let double = VaultDouble::start().await;
    fill(&double);
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let logins = [
        given("given"),
        VaultLogin::Token(OwnSecret::File(file("token", "given\n"))),
        app_role("r", "s"),
        VaultLogin::Kubernetes {
            mount: "k8s".to_owned(),
            role: "delegate".to_owned(),
            token_file: file("jwt", "of-the-pod\n"),
        },
    ];
    for login in logins {
        reads(&double.url, login).await;
    }
    // One login each for a dozen reads.
    assert_eq!(double.with(|inner| inner.logins), 2);

    double.with(|inner| inner.namespace = Some("team".to_owned()));
    let mut settings = settings(&double.url, given("given"));
    settings.namespace = Some("team".to_owned());
    assert_eq!(get(&providers(settings.clone()), "single").await.unwrap(), "only");
    settings.mount = "elsewhere".to_owned();
    let error = get(&providers(settings), "single").await.unwrap_err();
    assert!(
        error.contains("refuses to read elsewhere/data/single; allow `read`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_session_is_renewed_and_when_it_is_lost_there_is_another_login() {
    let double = VaultDouble::start().await;
    fill(&double);
    // Due at once: two thirds of a second that is rounded down.
    double.with(|inner| inner.ttl = 1);
    let vault = providers(settings(&double.url, app_role("r", "s")));
    assert_eq!(get(&vault, "single").await.unwrap(), "only");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(get(&vault, "single").await.unwrap(), "only");
    let (logins, renewals) = double.with(|inner| (inner.logins, inner.renewals));
    // On a slow machine the session may have ended before it could be renewed, or before it was used at all.
    assert!(logins + renewals >= 2, "{logins} {renewals}");

    // Revoked by somebody.
    double.with(|inner| {
        inner.ttl = 3600;
        inner.tokens.clear();
    });
    assert_eq!(get(&vault, "single").await.unwrap(), "only");
    assert_eq!(double.with(|inner| inner.logins), logins + 1);

    // Many at once log in once.
    double.with(|inner| inner.tokens.clear());
    let many = (0..20).map(|_| get(&vault, "single"));
    for value in futures_util::future::join_all(many).await {
        assert_eq!(value.unwrap(), "only");
    }
    assert_eq!(double.with(|inner| inner.logins), logins + 2);
}

#[tokio::test]
async fn a_vault_that_is_away_for_a_moment_is_asked_again_and_its_refusal_is_told_in_its_words() {
    let double = VaultDouble::start().await;
    fill(&double);
    let vault = providers(settings(&double.url, given("given")));
    let fail = |status: StatusCode, times| double.with(|inner| inner.faults = vec![status; times]);
    fail(StatusCode::SERVICE_UNAVAILABLE, 2);
    assert_eq!(get(&vault, "single").await.unwrap(), "only");
    for (status, times, said) in [
        (
            StatusCode::SERVICE_UNAVAILABLE,
            3,
            "503 Service Unavailable to the wish to read secret/data/single: as scripted",
        ),
        (
            StatusCode::TEMPORARY_REDIRECT,
            1,
            "set DELEGATE_SECRETS_VAULT_URL to the active server",
        ),
    ] {
        fail(status, times);
        let error = get(&vault, "single").await.unwrap_err();
        assert!(error.contains(said), "{error}");
        assert!(double.with(|inner| inner.faults.is_empty()));
    }
    let wrong = providers(settings(&double.url, app_role("r", "hunter2")));
    let error = get(&wrong, "single").await.unwrap_err();
    assert!(
        error.contains("log in at auth/approle/login: invalid role or secret ID"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
    let nobody = providers(settings(&"http://127.0.0.1:1/".parse().unwrap(), given("given")));
    let error = get(&nobody, "single").await.unwrap_err();
    assert!(
        error.contains("GET http://127.0.0.1:1/v1/secret/data/single: "),
        "{error}"
    );
}

#[tokio::test]
async fn a_given_token_is_kept_alive() {
    let double = VaultDouble::start().await;
    fill(&double);
    double.with(|inner| {
        inner.ttl = 1;
        inner.tokens.insert("given".to_owned(), 1);
    });
    let secrets = SecretSettings {
        vault: Some(settings(&double.url, given("given"))),
        ..SecretSettings::default()
    };
    let vault = Arc::new(Providers::new(&secrets, &HttpSettings::default()));
    let keeping = tokio::spawn(async move { vault.keep_alive().await });
    let renewed = async {
        while double.with(|inner| inner.renewals) < 2 {
            double.changed.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed)
        .await
        .expect("it is renewed again and again");
    keeping.abort();
}
