//! Nexus Repository: whether it takes a login, and which repositories one sees.

use async_trait::async_trait;
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ANYBODY, Found, Meeting, Target};
use crate::Secret;
use crate::protocol::call::Call;
use crate::protocol::http::shown;
use crate::task::ask::{ask, check_address, expect_success};
use crate::task::login::Basic;
use crate::task::refusal::{Met, Refusal, Stage};
use crate::task::{TaskContext, TaskError};

// Its description is that of the field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nexus {
    /// Address of Nexus.
    url: String,
    /// Login by name and password. Default: what everybody may do.
    basic: Option<Basic>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NexusFound {
    /// Version and edition, as Nexus tells them; null where it does not.
    version: Option<String>,
    /// How many repositories one sees.
    repositories: usize,
}

#[async_trait]
impl Target for Nexus {
    fn secrets(&self) -> Vec<Secret> {
        self.basic.iter().map(|basic| basic.password.clone()).collect()
    }

    fn check(&self, field: &str) -> Result<(), TaskError> {
        check_address(&format!("{field}.url"), &self.url)?;
        match &self.basic {
            Some(basic) => basic.header(&format!("{field}.basic")).map(drop),
            None => Ok(()),
        }
    }

    async fn meet(&self, field: &str, context: &TaskContext) -> Met<Meeting> {
        let base = check_address(field, &self.url)?;
        let authorization = self.basic.as_ref().map(|basic| basic.header(field)).transpose()?;
        let remedy = match &self.basic {
            Some(_) => format!("check `{field}.basic`"),
            None => format!("give `{field}.basic`: this Nexus shows nothing to everybody"),
        };
        let get = async |name: &str| {
            let mut url = base.clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().extend(["service", "rest", "v1", name]);
            }
            let mut call = Call::new(Method::GET, url.clone());
            if let Some(value) = authorization.as_ref().and_then(|value| value.to_str().ok()) {
                let said =
                    |error: crate::protocol::call::CallError| Refusal::new(Stage::Login, &error.to_string());
                call = call.header("authorization", value).map_err(said)?;
            }
            expect_success(ask(&context.http, call).await?, &shown(&url), &remedy)
        };
        let status = get("status").await?;
        let repositories = get("repositories").await?.json();
        let Value::Array(repositories) = repositories else {
            let said = format!("{} lists no repositories", shown(&base));
            return Err(Refusal::new(Stage::Answer, &said).into());
        };
        let server = status.headers.get(http::header::SERVER);
        let version = server
            .and_then(|server| server.to_str().ok())
            .and_then(|server| server.strip_prefix("Nexus/"));
        let user = self.basic.as_ref();
        Ok(Meeting {
            identity: user.map_or_else(|| ANYBODY.to_owned(), |basic| basic.user.clone()),
            found: Found::Nexus(NexusFound {
                version: version.map(str::to_owned),
                repositories: repositories.len(),
            }),
        })
    }
}
