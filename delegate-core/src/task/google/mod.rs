//! Who one is at Google Cloud: one type of task data, a token for a scope, and whose that token is.
//!
//! Every way to be somebody is a file. A login that is not taken is a [`Stop`](super::refusal::Stop) with the field, what was asked
//! and what came back. Tokens are masked as soon as they are there.

mod access_token;
mod metadata;
mod service_account;
mod workload_identity;

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::ask::{ask, expect_token};
use super::refusal::{Met, Refusal, Stage};
use super::{TaskContext, TaskError};
use crate::Secret;
use crate::protocol::call::{Call, Reply};
use crate::protocol::http::Http;
use access_token::AccessToken;
use metadata::Metadata;
use service_account::ServiceAccount;
use workload_identity::WorkloadIdentity;

/// All that the account may do.
pub(super) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Identity {
    /// A service account, by a key of its own.
    ServiceAccount(ServiceAccount),
    /// A token of an identity provider that a workload identity pool trusts.
    WorkloadIdentity(WorkloadIdentity),
    /// The service account of the machine or the pod that the delegate runs in.
    Metadata(Metadata),
    /// Whoever an access token is of.
    AccessToken(AccessToken),
}

impl Default for Identity {
    fn default() -> Self {
        Self::Metadata(Metadata::default())
    }
}

/// What one does something with.
pub(super) struct Token {
    pub(super) secret: Secret,
    /// How many seconds it is good for, where that was said.
    pub(super) expires_in: Option<u64>,
}

/// Whose a token is.
pub(super) struct Owner {
    /// The account, or the provider of a federated identity.
    pub(super) identity: String,
    /// Address of the service account, where it is one.
    pub(super) service_account: Option<String>,
    /// Its project, where that is known.
    pub(super) project_id: Option<String>,
    /// How many seconds the token is good for, where only its owner's side says that.
    pub(super) expires_in: Option<u64>,
}

/// `field` is the path of this type in the data.
impl Identity {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::ServiceAccount(account) => account.secrets(),
            Self::WorkloadIdentity(workload) => workload.secrets(),
            Self::Metadata(_) => Vec::new(),
            Self::AccessToken(given) => given.secrets(),
        }
    }

    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        match self {
            Self::ServiceAccount(account) => account.check(&format!("{field}.service_account")),
            Self::WorkloadIdentity(workload) => workload.check(&format!("{field}.workload_identity")),
            Self::Metadata(metadata) => metadata.check(&format!("{field}.metadata")),
            Self::AccessToken(given) => given.check(&format!("{field}.access_token")),
        }
    }

    /// An access token for a scope; one that is given, or a machine's, is for what it is for.
    pub(super) async fn token(&self, field: &str, scope: &str, context: &TaskContext) -> Met<Token> {
        let token = match self {
            Self::ServiceAccount(account) => {
                let field = format!("{field}.service_account");
                account.token(&field, scope, context).await
            }
            Self::WorkloadIdentity(workload) => {
                let field = format!("{field}.workload_identity");
                workload.token(&field, scope, context).await
            }
            Self::Metadata(metadata) => metadata.token(&format!("{field}.metadata")).await,
            Self::AccessToken(given) => Ok(given.token()),
        }?;
        context.secrets.mask([token.secret.clone()]);
        Ok(token)
    }

    /// Whose the tokens are; Google is asked where the data does not say it.
    pub(super) async fn owner(&self, field: &str, context: &TaskContext) -> Met<Owner> {
        match self {
            Self::ServiceAccount(account) => Ok(account.owner(&format!("{field}.service_account"))?),
            Self::WorkloadIdentity(workload) => Ok(workload.owner()),
            Self::Metadata(metadata) => metadata.owner(&format!("{field}.metadata")).await,
            Self::AccessToken(given) => given.owner(&format!("{field}.access_token"), context).await,
        }
    }
}

/// Sends a form to a service of tokens. `remedy` is what to do when the login is not taken.
async fn send_form(http: &Http, url: Url, body: String, remedy: &str) -> Met<Reply> {
    let asked = url.to_string();
    let call = Call::new(Method::POST, url)
        .header("content-type", "application/x-www-form-urlencoded")
        .map_err(|error| Refusal::new(Stage::Answer, &error.to_string()))?;
    let reply = ask(http, call.body(body)).await?;
    expect_token(&reply, &asked, remedy)?;
    Ok(reply)
}

/// The token of an answer, by the name that it has there.
fn read_token(reply: &Reply, name: &str) -> Met<Token> {
    let json = reply.json();
    match &json[name] {
        Value::String(token) if !token.is_empty() => Ok(Token {
            secret: Secret::new(token.clone()),
            expires_in: json["expires_in"].as_u64(),
        }),
        _ => Err(Refusal::new(Stage::Answer, "there is no token in the answer").into()),
    }
}

/// Where a service account is from: `NAME@PROJECT.iam.gserviceaccount.com`
fn project_of(account: &str) -> Option<String> {
    let (_, domain) = account.split_once('@')?;
    let project = domain.strip_suffix(".iam.gserviceaccount.com")?;
    Some(project.to_owned())
}
