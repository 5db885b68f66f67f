//! The machine or the pod, by the metadata service that only it can ask.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Owner, Token, read_token};
use crate::protocol::call::{Call, Reply};
use crate::protocol::http::{Http, HttpSettings};
use crate::task::TaskError;
use crate::task::ask::{ask, check_address, expect_token};
use crate::task::refusal::{Met, Refusal, Stage};

/// Where a machine or a pod of Google's asks who it is.
const METADATA: &str = "http://metadata.google.internal";

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::task) struct Metadata {
    /// Where the machine asks. Default: `http://metadata.google.internal`.
    endpoint: Option<String>,
}

impl Metadata {
    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        match &self.endpoint {
            Some(endpoint) => check_address(&format!("{field}.endpoint"), endpoint).map(drop),
            None => Ok(()),
        }
    }

    pub(super) async fn token(&self, field: &str) -> Met<Token> {
        let reply = self.get(field, "instance/service-accounts/default/token").await?;
        read_token(&reply, "access_token")
    }

    pub(super) async fn owner(&self, field: &str) -> Met<Owner> {
        let text = |reply: &Reply| String::from_utf8_lossy(&reply.body).trim().to_owned();
        let account = text(&self.get(field, "instance/service-accounts/default/email").await?);
        let project = text(&self.get(field, "project/project-id").await?);
        Ok(Owner {
            identity: account.clone(),
            service_account: Some(account),
            project_id: Some(project),
            expires_in: None,
        })
    }

    async fn get(&self, field: &str, path: &str) -> Met<Reply> {
        let mut url = check_address(field, self.endpoint.as_deref().unwrap_or(METADATA))?;
        url.set_path(&format!("/computeMetadata/v1/{path}"));
        let call = Call::new(Method::GET, url)
            .header("metadata-flavor", "Google")
            .map_err(|error| Refusal::new(Stage::Answer, &error.to_string()))?
            .nearby();
        // It is next to the machine: no proxy leads there.
        let reply = ask(&Http::new(HttpSettings::default()), call).await?;
        let asked = format!("the metadata service, asked for {path},");
        expect_token(&reply, &asked, "give this machine or pod a service account")?;
        Ok(reply)
    }
}
