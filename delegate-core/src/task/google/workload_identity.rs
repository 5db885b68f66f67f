//! A workload that another identity provider knows: its token is exchanged, and may become a service account.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::{Owner, Token, project_of, read_token, send_form};
use crate::Secret;
use crate::protocol::call::Call;
use crate::task::ask::{ask, check_address, expect_token};
use crate::task::data::one_line;
use crate::task::refusal::{Met, Refusal, Stage};
use crate::task::{TaskContext, TaskError};

/// Where tokens of others are exchanged.
const EXCHANGE: &str = "https://sts.googleapis.com/v1/token";

/// Where a federated identity becomes a service account.
const IMPERSONATION: &str = "https://iamcredentials.googleapis.com";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::task) struct WorkloadIdentity {
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

impl WorkloadIdentity {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        vec![self.token.clone()]
    }

    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        let field = |name: &str| format!("{field}.{name}");
        if !self.audience.starts_with("//iam.googleapis.com/") || self.audience.contains(char::is_whitespace)
        {
            return Err(TaskError::data(
                field("audience"),
                "is no provider; expected //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER",
            ));
        }
        one_line(&field("token"), self.token.expose())?;
        if let Some(account) = &self.service_account {
            check_account(&field("service_account"), account)?;
        }
        for (name, address) in [
            ("exchange", &self.exchange),
            ("impersonation", &self.impersonation),
        ] {
            if let Some(address) = address {
                check_address(&field(name), address)?;
            }
        }
        Ok(())
    }

    pub(super) async fn token(&self, field: &str, scope: &str, context: &TaskContext) -> Met<Token> {
        let url = check_address(field, self.exchange.as_deref().unwrap_or(EXCHANGE))?;
        let body = Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .append_pair("audience", &self.audience)
            .append_pair("scope", scope)
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
        let reply = send_form(&context.http, url, body, &remedy).await?;
        let federated = read_token(&reply, "access_token")?;
        let Some(account) = &self.service_account else {
            return Ok(federated);
        };
        context.secrets.mask([federated.secret.clone()]);
        let mut url = check_address(field, self.impersonation.as_deref().unwrap_or(IMPERSONATION))?;
        url.set_path(&format!(
            "/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
        ));
        let call = Call::new(Method::POST, url)
            .header("content-type", "application/json")
            .and_then(|call| {
                let login = format!("Bearer {}", federated.secret.expose());
                call.header("authorization", &login)
            })
            .map_err(|error| Refusal::new(Stage::Answer, &error.to_string()))?
            .body(json!({"scope": [scope]}).to_string());
        let reply = ask(&context.http, call).await?;
        expect_token(
            &reply,
            &format!("generateAccessToken for {account}"),
            &format!(
                "let the federated identity become `{field}.service_account`: roles/iam.workloadIdentityUser"
            ),
        )?;
        Ok(Token {
            // Google says until when, and both are good for an hour.
            expires_in: federated.expires_in,
            ..read_token(&reply, "accessToken")?
        })
    }

    pub(super) fn owner(&self) -> Owner {
        let account = self.service_account.clone();
        Owner {
            identity: account.clone().unwrap_or_else(|| self.audience.clone()),
            project_id: account.as_deref().and_then(project_of),
            service_account: account,
            expires_in: None,
        }
    }
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
