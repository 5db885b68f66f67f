//! Google Cloud: who one is there, by the token that a service account, a federated workload or a machine is given.

use async_trait::async_trait;
use http::Method;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use url::form_urlencoded::Serializer;

use super::refusal::{Met, Refusal, Stage};
use super::web::{ask, expect_token};
use super::{Found, Meeting, Target, check_address, jwt};
use crate::Secret;
use crate::protocol::call::{Call, Reply};
use crate::protocol::http::{Http, HttpSettings};
use crate::task::data::one_line;
use crate::task::{TaskContext, TaskError};

/// What a token is asked for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Where service accounts log in.
const TOKENS: &str = "https://oauth2.googleapis.com/token";

/// Where tokens of others are exchanged.
const EXCHANGE: &str = "https://sts.googleapis.com/v1/token";

/// Where a federated identity becomes a service account.
const IMPERSONATION: &str = "https://iamcredentials.googleapis.com";

/// Where a machine or a pod of Google's asks who it is.
const METADATA: &str = "http://metadata.google.internal";

/// How long what we sign is good for: it is used at once, and clocks differ.
const ASSERTION_SECONDS: i64 = 300;

// Its description is that of the field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Gcp {
    /// Who one is.
    identity: GcpIdentity,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum GcpIdentity {
    /// A service account, by a key of its own.
    ServiceAccount(ServiceAccount),
    /// A token of an identity provider that a workload identity pool trusts.
    WorkloadIdentity(WorkloadIdentity),
    /// The service account of the machine or the pod that the delegate runs in.
    Metadata(Metadata),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ServiceAccount {
    /// The file of the key, in JSON, as a whole.
    key: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WorkloadIdentity {
    /// The provider: `//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`.
    audience: String,
    /// The token, a JWT.
    token: Secret,
    /// The service account to become, by its address. Default: the federated identity itself.
    service_account: Option<String>,
    /// Where tokens are exchanged. Default: `https://sts.googleapis.com/v1/token`.
    exchange: Option<String>,
    /// Where the service account is taken. Default: `https://iamcredentials.googleapis.com`.
    impersonation: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Metadata {
    /// Where the machine asks. Default: `http://metadata.google.internal`.
    endpoint: Option<String>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct GcpFound {
    /// Address of the service account; null for a federated identity.
    service_account: Option<String>,
    /// The project of the service account or of the machine.
    project_id: Option<String>,
    /// How many seconds the token is good for.
    expires_in: Option<u64>,
}

/// What a file of a key says, as far as it is needed.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key: Secret,
    private_key_id: String,
    project_id: Option<String>,
    token_uri: Option<String>,
}

#[async_trait]
impl Target for Gcp {
    fn secrets(&self) -> Vec<Secret> {
        match &self.identity {
            GcpIdentity::ServiceAccount(account) => {
                // Its key is told apart from the file around it.
                let inner = account.read().ok().map(|file| file.private_key);
                inner.into_iter().chain([account.key.clone()]).collect()
            }
            GcpIdentity::WorkloadIdentity(workload) => vec![workload.token.clone()],
            GcpIdentity::Metadata(_) => Vec::new(),
        }
    }

    fn check(&self, field: &str) -> Result<(), TaskError> {
        match &self.identity {
            GcpIdentity::ServiceAccount(account) => {
                let field = format!("{field}.identity.service_account.key");
                let file = account
                    .read()
                    .map_err(|problem| TaskError::data(field.clone(), problem))?;
                if jwt::key(file.private_key.expose()).is_none() {
                    return Err(TaskError::data(
                        field,
                        "has no private key of RSA in its field private_key",
                    ));
                }
                match &file.token_uri {
                    Some(uri) => check_address(&field, uri).map(drop),
                    None => Ok(()),
                }
            }
            GcpIdentity::WorkloadIdentity(workload) => {
                let field = |name: &str| format!("{field}.identity.workload_identity.{name}");
                if !workload.audience.starts_with("//iam.googleapis.com/")
                    || workload.audience.contains(char::is_whitespace)
                {
                    return Err(TaskError::data(
                        field("audience"),
                        "is no provider; expected //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER",
                    ));
                }
                one_line(&field("token"), workload.token.expose())?;
                if let Some(account) = &workload.service_account {
                    check_account(&field("service_account"), account)?;
                }
                for (name, address) in [
                    ("exchange", &workload.exchange),
                    ("impersonation", &workload.impersonation),
                ] {
                    if let Some(address) = address {
                        check_address(&field(name), address)?;
                    }
                }
                Ok(())
            }
            GcpIdentity::Metadata(metadata) => match &metadata.endpoint {
                Some(endpoint) => {
                    check_address(&format!("{field}.identity.metadata.endpoint"), endpoint).map(drop)
                }
                None => Ok(()),
            },
        }
    }

    async fn meet(&self, field: &str, context: &TaskContext) -> Met<Meeting> {
        let found = match &self.identity {
            GcpIdentity::ServiceAccount(account) => account.meet(field, context).await,
            GcpIdentity::WorkloadIdentity(workload) => workload.meet(field, context).await,
            GcpIdentity::Metadata(metadata) => metadata.meet(field).await,
        }?;
        let audience = match &self.identity {
            GcpIdentity::WorkloadIdentity(workload) => workload.audience.clone(),
            _ => String::new(),
        };
        Ok(Meeting {
            identity: found.service_account.clone().unwrap_or(audience),
            found: Found::Gcp(found),
        })
    }
}

impl ServiceAccount {
    /// The error shows nothing of the file.
    fn read(&self) -> Result<KeyFile, &'static str> {
        let file: KeyFile = serde_json::from_str(self.key.expose()).map_err(
            |_| "is no key of a service account; give the whole JSON file, with client_email, private_key and private_key_id",
        )?;
        if file.kind != "service_account" {
            return Err("is no key of a service account: its field type is another one");
        }
        Ok(file)
    }

    async fn meet(&self, field: &str, context: &TaskContext) -> Met<GcpFound> {
        let field = format!("{field}.identity.service_account.key");
        let wrong = |problem: &str| TaskError::data(field.clone(), problem);
        let file = self.read().map_err(wrong)?;
        let url = check_address(&field, file.token_uri.as_deref().unwrap_or(TOKENS))?;
        let now = Timestamp::now().as_second();
        let claims = json!({
            "iss": file.client_email, "scope": SCOPE, "aud": url.as_str(), "iat": now, "exp": now + ASSERTION_SECONDS,
        });
        let assertion = jwt::key(file.private_key.expose())
            .and_then(|key| jwt::signed(&key, &file.private_key_id, &claims))
            .ok_or_else(|| wrong("has no private key of RSA in its field private_key"))?;
        context.secrets.mask([assertion.clone()]);
        let body = Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", assertion.expose())
            .finish();
        let remedy = format!(
            "check that the key in `{field}` was not deleted and the service account not disabled, and this delegate's clock"
        );
        let reply = token(&context.http, url, body, &remedy).await?;
        let (_, expires_in) = read_token(&reply)?;
        Ok(GcpFound {
            service_account: Some(file.client_email),
            project_id: file.project_id,
            expires_in,
        })
    }
}

impl WorkloadIdentity {
    async fn meet(&self, field: &str, context: &TaskContext) -> Met<GcpFound> {
        let field = format!("{field}.identity.workload_identity");
        let url = check_address(&field, self.exchange.as_deref().unwrap_or(EXCHANGE))?;
        let body = Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .append_pair("audience", &self.audience)
            .append_pair("scope", SCOPE)
            .append_pair(
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            )
            .append_pair("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")
            .append_pair("subject_token", self.token.expose())
            .finish();
        let remedy = format!(
            "check `{field}.audience`, that the token is for it and has not expired, and the conditions of the provider"
        );
        let reply = token(&context.http, url, body, &remedy).await?;
        let (federated, expires_in) = read_token(&reply)?;
        context.secrets.mask([federated.clone()]);
        let Some(account) = &self.service_account else {
            return Ok(GcpFound {
                expires_in,
                ..GcpFound::default()
            });
        };
        let mut url = check_address(&field, self.impersonation.as_deref().unwrap_or(IMPERSONATION))?;
        url.set_path(&format!(
            "/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
        ));
        let call = Call::new(Method::POST, url)
            .header("content-type", "application/json")
            .and_then(|call| call.header("authorization", &format!("Bearer {}", federated.expose())))
            .map_err(|error| Refusal::new(Stage::Answer, &error.to_string()))?
            .body(json!({"scope": [SCOPE]}).to_string());
        let reply = ask(&context.http, call).await?;
        expect_token(
            &reply,
            &format!("generateAccessToken for {account}"),
            &format!(
                "let the federated identity become `{field}.service_account`: roles/iam.workloadIdentityUser"
            ),
        )?;
        if reply.json()["accessToken"].as_str().is_none() {
            return Err(Refusal::new(Stage::Answer, "there is no token in the answer").into());
        }
        Ok(GcpFound {
            project_id: project_of(account),
            service_account: Some(account.clone()),
            expires_in,
        })
    }
}

impl Metadata {
    async fn meet(&self, field: &str) -> Met<GcpFound> {
        let base = check_address(field, self.endpoint.as_deref().unwrap_or(METADATA))?;
        // It is next to the machine: no proxy leads there.
        let http = Http::new(HttpSettings::default());
        let get = async |path: &str| {
            let mut url = base.clone();
            url.set_path(&format!("/computeMetadata/v1/{path}"));
            let call = Call::new(Method::GET, url)
                .header("metadata-flavor", "Google")
                .map_err(|error| Refusal::new(Stage::Answer, &error.to_string()))?
                .nearby();
            let reply = ask(&http, call).await?;
            let asked = format!("the metadata service, asked for {path},");
            expect_token(&reply, &asked, "give this machine or pod a service account")?;
            Met::Ok(reply)
        };
        let text = |reply: &Reply| Some(String::from_utf8_lossy(&reply.body).trim().to_owned());
        let email = text(&get("instance/service-accounts/default/email").await?);
        let (_, expires_in) = read_token(&get("instance/service-accounts/default/token").await?)?;
        Ok(GcpFound {
            service_account: email,
            project_id: text(&get("project/project-id").await?),
            expires_in,
        })
    }
}

/// Asks a service for a token.
async fn token(http: &Http, url: Url, body: String, remedy: &str) -> Met<Reply> {
    let asked = url.to_string();
    let call = Call::new(Method::POST, url)
        .header("content-type", "application/x-www-form-urlencoded")
        .map_err(|error| Refusal::new(Stage::Answer, &error.to_string()))?;
    let reply = ask(http, call.body(body)).await?;
    expect_token(&reply, &asked, remedy)?;
    Ok(reply)
}

/// The token of an answer, and for how many seconds it is good.
fn read_token(reply: &Reply) -> Met<(Secret, Option<u64>)> {
    let json = reply.json();
    match &json["access_token"] {
        Value::String(token) if !token.is_empty() => {
            Ok((Secret::new(token.clone()), json["expires_in"].as_u64()))
        }
        _ => Err(Refusal::new(Stage::Answer, "there is no token in the answer").into()),
    }
}

/// `NAME@PROJECT.iam.gserviceaccount.com`
fn project_of(account: &str) -> Option<String> {
    let (_, domain) = account.split_once('@')?;
    let project = domain.strip_suffix(".iam.gserviceaccount.com")?;
    Some(project.to_owned())
}

fn check_account(field: &str, account: &str) -> Result<(), TaskError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.@".contains(&byte);
    if account.bytes().filter(|byte| *byte == b'@').count() == 1 && account.bytes().all(fits) {
        return Ok(());
    }
    Err(TaskError::data(
        field,
        "is no service account; expected NAME@PROJECT.iam.gserviceaccount.com",
    ))
}
