//! AWS Secrets Manager, by its own JSON protocol: one call is all there is to it, and AWS's own library would double the
//! program.

mod credentials;
mod sign;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::call::{Call, Reply, quoted};
use super::{FetchError, SecretName, SecretProvider, Version};
use crate::Secret;
use crate::config::secrets::AwsSettings;
use crate::protocol::http::Http;
use credentials::{Credentials, Source};
use sign::{Scope, Signable};

const TARGET: &str = "secretsmanager.GetSecretValue";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// What the service answers when credentials have just expired, or were taken back.
const STALE: [&str; 3] = [
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
];

/// AWS Secrets Manager in one region. `aws`.
///
/// `name#key` is one key of a secret that is a JSON object. `?version=ID` and `?stage=AWSPREVIOUS` are other versions. A name
/// may be an ARN, also of another account.
pub struct AwsSecretsManager {
    http: Arc<Http>,
    settings: AwsSettings,
    source: Source,
}

impl AwsSecretsManager {
    /// Contacts nobody yet.
    pub fn new(http: Arc<Http>, settings: AwsSettings) -> Self {
        let source = Source::new(Arc::clone(&http), &settings);
        Self {
            http,
            settings,
            source,
        }
    }

    async fn get(&self, body: &Value, credentials: &Credentials) -> Result<Reply, FetchError> {
        let url = match &self.settings.endpoint {
            Some(url) => url.clone(),
            None => endpoint("secretsmanager", &self.settings.region)?,
        };
        let body = body.to_string();
        let scope = Scope {
            region: &self.settings.region,
            service: "secretsmanager",
        };
        let signed = Signable {
            method: Method::POST.as_str(),
            url: &url,
            headers: &[("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)],
            body: body.as_bytes(),
        }
        .sign(credentials, scope, jiff::Timestamp::now());
        let mut call = Call::new(Method::POST, url)
            .header("content-type", CONTENT_TYPE)?
            .header("x-amz-target", TARGET)?
            .header("x-amz-date", &signed.date)?
            .header("authorization", &signed.authorization)?;
        if let Some(token) = &credentials.session_token {
            call = call.header("x-amz-security-token", token.expose())?;
        }
        call.body(body).send(&self.http).await
    }
}

#[async_trait]
impl SecretProvider for AwsSecretsManager {
    fn scheme(&self) -> &'static str {
        "aws"
    }

    async fn fetch(&self, name: &SecretName) -> Result<Secret, FetchError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-:".contains(&byte);
        if !name.path.bytes().all(fits) {
            return Err(FetchError::Absent(
                "a secret there cannot have such a name".to_owned(),
            ));
        }
        let mut body = json!({"SecretId": name.path});
        match &name.version {
            Some(Version::Id(id)) => body["VersionId"] = json!(id),
            Some(Version::Stage(stage)) => body["VersionStage"] = json!(stage),
            None => {}
        }
        let credentials = self.source.get(None).await?;
        let mut reply = self.get(&body, &credentials).await?;
        if STALE.contains(&&*code(&reply)) {
            let fresh = self.source.get(Some(&credentials)).await?;
            reply = self.get(&body, &fresh).await?;
        }
        if reply.status.is_success() {
            return name.pick(value(&reply.json())?);
        }
        let AwsSettings { region, .. } = &self.settings;
        let said = reply.json();
        let words = said["message"]
            .as_str()
            .or(said["Message"].as_str())
            .unwrap_or_default();
        match &*code(&reply) {
            "ResourceNotFoundException" => {
                Err(FetchError::Absent(format!("nothing of that name in {region}")))
            }
            "AccessDeniedException" => Err(FetchError::Failed(format!(
                "access is denied in {region}; allow secretsmanager:GetSecretValue: {}",
                quoted(words)
            ))),
            code => Err(FetchError::Failed(format!(
                "it answers {} {code} in {region}: {}",
                reply.status,
                quoted(words)
            ))),
        }
    }
}

/// The host of a service in a region.
fn endpoint(service: &str, region: &str) -> Result<Url, FetchError> {
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("https://{service}.{region}.{domain}/")
        .parse()
        .map_err(|_| FetchError::Failed(format!("`{region}` is no region")))
}

/// The name of an error, which comes with or without a name space before it.
fn code(reply: &Reply) -> String {
    if reply.status.is_success() {
        return String::new();
    }
    let kind = reply.json()["__type"].as_str().unwrap_or_default().to_owned();
    kind.rsplit('#').next().unwrap_or_default().to_owned()
}

fn value(reply: &Value) -> Result<Secret, FetchError> {
    if let Some(text) = reply["SecretString"].as_str() {
        return Ok(Secret::new(text));
    }
    let bytes = reply["SecretBinary"]
        .as_str()
        .and_then(|text| STANDARD.decode(text).ok());
    match bytes.map(String::from_utf8) {
        Some(Ok(text)) => Ok(Secret::new(text)),
        Some(Err(_)) => Err(FetchError::Failed(
            "the secret is binary and no text; store it as text, for example in base64".to_owned(),
        )),
        None => Err(FetchError::Failed("the answer has no secret in it".to_owned())),
    }
}
