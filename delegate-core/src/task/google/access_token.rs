//! A token that somebody else got.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::{Owner, Token, project_of, send_form};
use crate::Secret;
use crate::task::ask::check_address;
use crate::task::login::bearer;
use crate::task::refusal::{Met, Refusal, Stage};
use crate::task::{TaskContext, TaskError};

/// Where Google says whose a token is.
const TOKEN_INFO: &str = "https://oauth2.googleapis.com/tokeninfo";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::task) struct AccessToken {
    /// The token, as `gcloud auth print-access-token` prints it.
    token: Secret,
    /// Where `CONNECT` asks whose it is. Default: `https://oauth2.googleapis.com/tokeninfo`.
    token_info: Option<String>,
}

impl AccessToken {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        vec![self.token.clone()]
    }

    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        bearer(&format!("{field}.token"), &self.token)?;
        match &self.token_info {
            Some(address) => check_address(&format!("{field}.token_info"), address).map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn token(&self) -> Token {
        Token {
            secret: self.token.clone(),
            expires_in: None,
        }
    }

    pub(super) async fn owner(&self, field: &str, context: &TaskContext) -> Met<Owner> {
        let url = check_address(field, self.token_info.as_deref().unwrap_or(TOKEN_INFO))?;
        // In the body: an address may be in somebody's log.
        let body = Serializer::new(String::new())
            .append_pair("access_token", self.token.expose())
            .finish();
        let remedy = format!("give a token in `{field}.token` that has not run out");
        let json = send_form(&context.http, url, body, &remedy).await?.json();
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let email = text("email");
        let identity = email.clone().or_else(|| text("azp")).or_else(|| text("aud"));
        let nobody = || Refusal::new(Stage::Answer, "Google says not whose the token is");
        Ok(Owner {
            identity: identity.ok_or_else(nobody)?,
            project_id: email.as_deref().and_then(project_of),
            service_account: email.filter(|email| email.ends_with(".gserviceaccount.com")),
            // Google writes the number as a text.
            expires_in: match &json["expires_in"] {
                Value::String(seconds) => seconds.parse().ok(),
                other => other.as_u64(),
            },
        })
    }
}
