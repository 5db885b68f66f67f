//! A double of what cannot be had in a test: the token services of Azure and Google Cloud, their metadata services, STS when it
//! refuses, a registry that wants a token, and Nexus. It speaks their protocols as far as they are used, and is none of them.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// Every password and secret that it takes.
pub(crate) const SECRET: &str = "hunter2-of-the-double";
pub(crate) const USER: &str = "robot";
pub(crate) const SERVICE_ACCOUNT: &str = "deploy@shop-1.iam.gserviceaccount.com";
/// What the service account is given for its key, and what a workload that becomes it.
pub(crate) const KEY_TOKEN: &str = "ya29.of-the-double";
pub(crate) const WORKLOAD_TOKEN: &str = "ya29.of-the-account";
/// How every scope begins.
const SCOPES: &str = "https://www.googleapis.com/auth/";
/// The provider of the workload.
pub(crate) const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q";

pub(crate) struct Double {
    pub(crate) url: String,
    /// The private key of the service account, as PEM.
    pub(crate) key: String,
    _serving: AbortOnDropHandle<()>,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der = pair.as_der().unwrap();
        let key = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let public: PublicKeyX509Der = pair.public_key().as_der().unwrap();
        let public: Arc<[u8]> = public.as_ref().into();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let at = url.clone();
        let routes =
            Router::new().fallback(move |request: Request| answer(request, at.clone(), public.clone()));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url,
            key,
            _serving: AbortOnDropHandle::new(serving),
        }
    }
}

/// The file of a key of this service account.
pub(crate) fn key_file(double: &Double, email: &str) -> String {
    json!({
        "type": "service_account", "project_id": "shop-1", "private_key_id": "k1", "private_key": double.key,
        "client_email": email, "token_uri": format!("{}/token", double.url), "universe_domain": "googleapis.com",
    })
    .to_string()
}

fn reply(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

/// A token that says this. Nobody verifies it.
fn token(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(&json!({"alg": "none"})), part(claims))
}

async fn answer(request: Request, url: String, public: Arc<[u8]>) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let query = head.uri.query().unwrap_or_default();
    let pairs =
        |text: &[u8]| -> Vec<(String, String)> { url::form_urlencoded::parse(text).into_owned().collect() };
    let (form, query) = (pairs(&body), pairs(query.as_bytes()));
    let field = |form: &[(String, String)], name: &str| {
        let found = form.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let header = |name: &str| text(&head.headers, name);
    let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{SECRET}")));
    let managed = json!({"tid": "tenant-1", "appid": "machine-1", "oid": "object-2", "xms_mirid": "/subscriptions/s/m"});
    match head.uri.path() {
        // Azure: a service principal.
        "/tenant-1/oauth2/v2.0/token" if field(&form, "client_secret") == SECRET => {
            assert_eq!(field(&form, "scope"), "https://management.azure.com/.default");
            let claims = json!({"tid": "tenant-1", "appid": field(&form, "client_id"), "oid": "object-1", "aud": "management"});
            reply(
                200,
                &json!({"token_type": "Bearer", "access_token": token(&claims)}),
            )
        }
        "/tenant-1/oauth2/v2.0/token" => {
            let said = "AADSTS7000215: Invalid client secret provided.";
            reply(
                401,
                &json!({"error": "invalid_client", "error_description": said}),
            )
        }
        // Azure: the machine.
        "/metadata/identity/oauth2/token"
            if header("metadata") == "true" && field(&query, "client_id") != "other" =>
        {
            assert_eq!(field(&query, "resource"), "https://management.azure.com/");
            reply(200, &json!({"access_token": token(&managed)}))
        }
        "/metadata/identity/oauth2/token" => reply(
            400,
            &json!({"error": "invalid_request", "error_description": "Identity not found"}),
        ),
        // Google Cloud: the key of a service account.
        "/token" => match verified(&field(&form, "assertion"), &public) {
            Some(claims) if claims["iss"] == SERVICE_ACCOUNT && claims["aud"] == format!("{url}/token") => {
                assert!(claims["scope"].as_str().unwrap().starts_with(SCOPES));
                reply(200, &json!({"access_token": KEY_TOKEN, "expires_in": 3599}))
            }
            _ => {
                let said = "Invalid JWT Signature.";
                reply(400, &json!({"error": "invalid_grant", "error_description": said}))
            }
        },
        // Google Cloud: whose a token is.
        "/tokeninfo" if field(&form, "access_token") == KEY_TOKEN => reply(
            200,
            &json!({"azp": "1234", "aud": "1234", "expires_in": "3123", "email": SERVICE_ACCOUNT}),
        ),
        "/tokeninfo" => reply(
            400,
            &json!({"error": "invalid_token", "error_description": "Invalid Value"}),
        ),
        // Google Cloud: a federated workload, and the account that it becomes.
        "/v1/token" if field(&form, "subject_token") == SECRET => {
            assert_eq!(field(&form, "audience"), AUDIENCE);
            assert!(field(&form, "scope").starts_with(SCOPES));
            reply(
                200,
                &json!({"access_token": "federated-token", "expires_in": 3600}),
            )
        }
        "/v1/token" => reply(
            400,
            &json!({"error": "invalid_grant", "error_description": "The given credential is rejected."}),
        ),
        path if path.ends_with(":generateAccessToken") => {
            assert_eq!(header("authorization"), "Bearer federated-token");
            if path.contains(SERVICE_ACCOUNT) {
                reply(200, &json!({"accessToken": WORKLOAD_TOKEN}))
            } else {
                let error = json!({"status": "PERMISSION_DENIED", "message": "Permission iam.serviceAccounts.getAccessToken denied"});
                reply(403, &json!({"error": error}))
            }
        }
        // Google Cloud: the machine.
        path if path.starts_with("/computeMetadata/v1/") && header("metadata-flavor") == "Google" => {
            match path.trim_start_matches("/computeMetadata/v1/") {
                "instance/service-accounts/default/email" => SERVICE_ACCOUNT.into_response(),
                "instance/service-accounts/default/token" => reply(
                    200,
                    &json!({"access_token": "ya29.of-the-machine", "expires_in": 1200}),
                ),
                "project/project-id" => "shop-1\n".into_response(),
                _ => StatusCode::NOT_FOUND.into_response(),
            }
        }
        // A registry that wants a token.
        "/v2/" if header("authorization") == "Bearer registry-token" => "{}".into_response(),
        "/v2/" => {
            let wanted = format!("Bearer realm=\"{url}/auth\",service=\"double\"");
            (StatusCode::UNAUTHORIZED, [("www-authenticate", wanted)]).into_response()
        }
        "/auth" if header("authorization") == basic && field(&query, "service") == "double" => {
            reply(200, &json!({"token": "registry-token"}))
        }
        "/auth" => reply(
            401,
            &json!({"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}),
        ),
        // Nexus.
        "/nexus/service/rest/v1/status" => [("server", "Nexus/3.71.0-06 (OSS)")].into_response(),
        "/nexus/service/rest/v1/repositories" if header("authorization") == basic => {
            reply(200, &json!([{"name": "releases"}, {"name": "charts"}]))
        }
        "/nexus/service/rest/v1/repositories" => StatusCode::UNAUTHORIZED.into_response(),
        // STS, which knows no key.
        "/" if field(&form, "Action") == "GetCallerIdentity" => {
            let said = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code>\
                        <Message>The security token included in the request is invalid.</Message></Error></ErrorResponse>";
            (StatusCode::FORBIDDEN, said).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    value.unwrap_or_default()
}

/// What an assertion says, when it is signed by the key.
fn verified(assertion: &str, public: &[u8]) -> Option<Value> {
    let (message, signature) = assertion.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
    key.verify(message.as_bytes(), &signature).ok()?;
    let (_, claims) = message.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}
