//! AWS Secrets Manager by each kind of credentials.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use delegate_core::Secret;
use delegate_core::config::secrets::{AwsIdentity, AwsSettings, OwnSecret};
use delegate_core::protocol::http::Http;
use delegate_core::secrets::{AwsSecretsManager, Providers};
use delegate_core::task::SecretResolver as _;
use serde_json::json;
use url::Url;

use crate::moto::Moto;

fn keys() -> AwsIdentity {
    AwsIdentity::Keys {
        id: "AKIAEXAMPLE".to_owned(),
        secret: Secret::new("example-key"),
        session_token: None,
    }
}

fn providers(url: &Url, identity: AwsIdentity) -> Providers {
    let settings = AwsSettings {
        region: "eu-central-1".to_owned(),
        endpoint: Some(url.clone()),
        sts_endpoint: Some(url.clone()),
        identity,
    };
    Providers::none().with(AwsSecretsManager::new(Arc::new(Http::default()), settings))
}

#[tokio::test]
async fn a_secret_is_had_whole_by_key_and_by_version() {
    let Some(moto) = Moto::start() else { return };
    let create = async |name: &str, value: (&str, String)| {
        moto.call("CreateSecret", json!({"Name": name, value.0: value.1}))
            .await
    };
    create(
        "team/db",
        (
            "SecretString",
            json!({"user": "u", "password": "first"}).to_string(),
        ),
    )
    .await;
    let arn = create("account.plain", ("SecretString", "plain text".to_owned())).await;
    create("binary", ("SecretBinary", STANDARD.encode("from bytes"))).await;
    create("no-text", ("SecretBinary", STANDARD.encode([0xff, 0xfe]))).await;
    let before = moto.call("GetSecretValue", json!({"SecretId": "team/db"})).await;
    let after = json!({"SecretId": "team/db", "SecretString": json!({"password": "second"}).to_string()});
    moto.call("PutSecretValue", after).await;

    let aws = providers(&moto.url, keys());
    let get = async |name: &str| aws.resolve(name).await.map(|value| value.expose().to_owned());
    assert_eq!(get("team/db#password").await.unwrap(), "second");
    assert_eq!(get("team/db?stage=AWSPREVIOUS#password").await.unwrap(), "first");
    let first = before["VersionId"].as_str().unwrap();
    assert_eq!(get(&format!("team/db?version={first}#user")).await.unwrap(), "u");
    assert_eq!(get("aws://account.plain").await.unwrap(), "plain text");
    assert_eq!(get(arn["ARN"].as_str().unwrap()).await.unwrap(), "plain text");
    assert_eq!(get("binary").await.unwrap(), "from bytes");
    for (name, said) in [
        ("no/such", "aws: nothing of that name in eu-central-1"),
        ("a name", "cannot have such a name"),
        ("no-text", "binary and no text"),
        ("team/db#user", "has no field `user`"),
    ] {
        let error = get(name).await.unwrap_err();
        assert!(
            error.contains(said) && !error.contains("second"),
            "{name}: {error}"
        );
    }

    // The token of a service account, exchanged by STS.
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "header.payload.signature\n").unwrap();
    let web = AwsIdentity::WebIdentity {
        token_file,
        role_arn: "arn:aws:iam::123456789012:role/delegate".to_owned(),
        session_name: "tested".to_owned(),
    };
    let aws = providers(&moto.url, web);
    assert_eq!(aws.resolve("account.plain").await.unwrap().expose(), "plain text");
}

/// A double of the places where machines and containers are told their credentials, and of a Secrets Manager that only
/// tells whose signature it got. Each credentials are other ones than those before, and the first have just expired.
#[derive(Clone, Default)]
struct Double {
    given: Arc<Mutex<u32>>,
}

impl Double {
    async fn start(&self) -> Url {
        let this = self.clone();
        let router = Router::new().fallback(move |request: Request| {
            let this = this.clone();
            async move { this.answer(&request) }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url.parse().unwrap()
    }

    fn answer(&self, request: &Request) -> axum::response::Response {
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
        };
        let role = "/latest/meta-data/iam/security-credentials/";
        let allowed = match request.uri().path() {
            "/container" => header("authorization") == "let me in",
            path if path.starts_with(role) => header("x-aws-ec2-metadata-token") == "session",
            _ => true,
        };
        if !allowed {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        match (request.method().as_str(), request.uri().path()) {
            ("PUT", "/latest/api/token") => "session".into_response(),
            ("GET", path) if path == role => "the-role\n".into_response(),
            ("GET", path) if path == "/container" || path == format!("{role}the-role") => {
                let mut given = self.given.lock().unwrap();
                *given += 1;
                let credentials = json!({
                    "AccessKeyId": format!("AKIA{given}"),
                    "SecretAccessKey": "key",
                    "Token": "session-token",
                    "Expiration": "2999-01-01T00:00:00Z",
                });
                axum::Json(credentials).into_response()
            }
            ("POST", "/") => {
                let authorization = header("authorization");
                assert!(
                    authorization.contains(
                        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
                    ),
                    "{authorization}"
                );
                assert_eq!(header("x-amz-security-token"), "session-token");
                if authorization.contains("Credential=AKIA1/") {
                    let error = json!({"__type": "com.amazon#ExpiredTokenException", "message": "expired"});
                    return (StatusCode::BAD_REQUEST, axum::Json(error)).into_response();
                }
                axum::Json(json!({"SecretString": "value"})).into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

#[tokio::test]
async fn credentials_of_containers_and_machines_are_got_once_and_anew_when_they_are_refused() {
    for instance in [false, true] {
        let double = Double::default();
        let url = double.start().await;
        let identity = if instance {
            AwsIdentity::Instance { url: url.clone() }
        } else {
            AwsIdentity::Container {
                url: url.join("container").unwrap(),
                authorization: Some(OwnSecret::Inline(Secret::new("let me in"))),
            }
        };
        let aws = providers(&url, identity);
        for _ in 0..3 {
            assert_eq!(aws.resolve("a").await.unwrap().expose(), "value");
        }
        assert_eq!(*double.given.lock().unwrap(), 2);
    }
}

#[tokio::test]
async fn what_keeps_credentials_from_us_is_told() {
    let url = Double::default().start().await;
    let container = |authorization| AwsIdentity::Container {
        url: url.join("container?id=secret-id").unwrap(),
        authorization,
    };
    let missing = OwnSecret::File("/no/such/file".into());
    for (identity, said) in [
        (container(None), "401 Unauthorized to the wish for credentials"),
        (container(Some(missing)), "/no/such/file cannot be read"),
        (
            AwsIdentity::Instance {
                url: "http://127.0.0.1:1/".parse().unwrap(),
            },
            "this machine has no metadata service",
        ),
    ] {
        let error = providers(&url, identity).resolve("a").await.unwrap_err();
        assert!(error.contains(said) && !error.contains("secret-id"), "{error}");
    }
}
