//! A service account, by a key of its own: it signs who it is, and gets a token for that.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::{Owner, Token, read_token, send_form};
use crate::Secret;
use crate::task::ask::check_address;
use crate::task::refusal::Met;
use crate::task::{TaskContext, TaskError, jwt};

/// Where service accounts log in.
const TOKENS: &str = "https://oauth2.googleapis.com/token";

/// How long what we sign is good for: it is used at once, and clocks differ.
const ASSERTION_SECONDS: i64 = 300;

const NO_KEY: &str = "has no private key of RSA in its field private_key";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::task) struct ServiceAccount {
    /// The file of the key, in JSON, as a whole.
    key: Secret,
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

impl ServiceAccount {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        // Its key is told apart from the file around it.
        let inner = self.read("key").ok().map(|file| file.private_key);
        inner.into_iter().chain([self.key.clone()]).collect()
    }

    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        let field = format!("{field}.key");
        let file = self.read(&field)?;
        if jwt::key(file.private_key.expose()).is_none() {
            return Err(TaskError::data(field, NO_KEY));
        }
        match &file.token_uri {
            Some(uri) => check_address(&field, uri).map(drop),
            None => Ok(()),
        }
    }

    pub(super) async fn token(&self, field: &str, scope: &str, context: &TaskContext) -> Met<Token> {
        let field = format!("{field}.key");
        let file = self.read(&field)?;
        let url = check_address(&field, file.token_uri.as_deref().unwrap_or(TOKENS))?;
        let now = Timestamp::now().as_second();
        let claims = json!({
            "iss": file.client_email, "scope": scope, "aud": url.as_str(), "iat": now, "exp": now + ASSERTION_SECONDS,
        });
        let assertion = jwt::key(file.private_key.expose())
            .and_then(|key| jwt::signed(&key, &file.private_key_id, &claims))
            .ok_or_else(|| TaskError::data(field.clone(), NO_KEY))?;
        context.secrets.mask([assertion.clone()]);
        let body = Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", assertion.expose())
            .finish();
        let remedy = format!(
            "check that the key in `{field}` was not deleted and the service account not disabled, and this delegate's clock"
        );
        let reply = send_form(&context.http, url, body, &remedy).await?;
        read_token(&reply, "access_token")
    }

    pub(super) fn owner(&self, field: &str) -> Result<Owner, TaskError> {
        let file = self.read(&format!("{field}.key"))?;
        Ok(Owner {
            identity: file.client_email.clone(),
            service_account: Some(file.client_email),
            project_id: file.project_id,
            expires_in: None,
        })
    }

    /// The error shows nothing of the file. `field` is that of the key.
    fn read(&self, field: &str) -> Result<KeyFile, TaskError> {
        let file: KeyFile = serde_json::from_str(self.key.expose()).map_err(|_| {
            TaskError::data(
                field,
                "is no key of a service account; give the whole JSON file, with client_email, private_key and private_key_id",
            )
        })?;
        if file.kind != "service_account" {
            return Err(TaskError::data(
                field,
                "is no key of a service account: its field type is another one",
            ));
        }
        Ok(file)
    }
}
