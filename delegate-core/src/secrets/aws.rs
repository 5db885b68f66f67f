//! AWS Secrets Manager.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{FetchError, SecretName, SecretProvider, Version};
use crate::Secret;
use crate::aws::{Aws, Endpoints, Identity, SECRETS_MANAGER, STS, Source};
use crate::config::secrets::AwsSettings;
use crate::protocol::http::Http;

/// AWS Secrets Manager in one region. `aws`.
///
/// `name#key` is one key of a secret that is a JSON object. `?version=ID` and `?stage=AWSPREVIOUS` are other versions. A name
/// may be an ARN, also of another account.
pub struct AwsSecretsManager {
    aws: Aws,
}

impl AwsSecretsManager {
    /// Contacts nobody yet.
    pub fn new(http: Arc<Http>, settings: AwsSettings) -> Self {
        let endpoints = Endpoints::default()
            .with(&SECRETS_MANAGER, settings.endpoint)
            .with(&STS, settings.sts_endpoint);
        let source = Source::new(
            Arc::clone(&http),
            &settings.region,
            endpoints.clone(),
            Identity::Usual(settings.identity),
        );
        Self {
            aws: Aws::new(http, &settings.region, endpoints, source),
        }
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
        match self.aws.json(&SECRETS_MANAGER, "GetSecretValue", &body).await {
            Ok(reply) => name.pick(value(&reply)?),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Err(FetchError::Absent(
                format!("nothing of that name in {}", self.aws.region()),
            )),
            Err(error) => Err(FetchError::Failed(error.to_string())),
        }
    }
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
