//! Azure: who one is there, by the token that a service principal or a managed identity is given.

use async_trait::async_trait;
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::{Found, Meeting, Target};
use crate::Secret;
use crate::protocol::call::Call;
use crate::protocol::http::{Http, HttpSettings};
use crate::task::ask::{ask, check_address, expect_token};
use crate::task::data::one_line;
use crate::task::refusal::{Met, Refusal, Stage};
use crate::task::{TaskContext, TaskError, jwt};

/// Where service principals of the public cloud log in.
const AUTHORITY: &str = "https://login.microsoftonline.com";

/// What a token is asked for: the management of resources.
const RESOURCE: &str = "https://management.azure.com/";

/// Where a machine of Azure asks who it is.
const METADATA: &str = "http://169.254.169.254";

/// The version of that which every machine has.
const METADATA_VERSION: &str = "2018-02-01";

// Its description is that of the field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Azure {
    /// Who one is.
    identity: AzureIdentity,
    /// What the token is asked for. Default: `https://management.azure.com/`.
    resource: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AzureIdentity {
    /// An application with a secret of its own.
    ServicePrincipal(ServicePrincipal),
    /// The identity of the machine that the delegate runs on.
    ManagedIdentity(ManagedIdentity),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ServicePrincipal {
    /// Id of the tenant, or its domain.
    tenant_id: String,
    /// Id of the application.
    client_id: String,
    /// A secret of the application: its value, not its id.
    client_secret: Secret,
    /// Where one logs in, in another cloud than the public one. Default: `https://login.microsoftonline.com`.
    authority: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ManagedIdentity {
    /// Id of the identity, where the machine has more than its own.
    client_id: Option<String>,
    /// Where the machine asks. Default: `http://169.254.169.254`.
    endpoint: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AzureFound {
    /// Id of the tenant.
    tenant_id: Option<String>,
    /// Id of the application or the identity.
    client_id: Option<String>,
    /// Id of its object in the tenant, which roles are given to.
    object_id: Option<String>,
    /// The resource that a managed identity belongs to.
    resource_id: Option<String>,
    /// What the token is for.
    audience: Option<String>,
}

#[async_trait]
impl Target for Azure {
    fn secrets(&self) -> Vec<Secret> {
        match &self.identity {
            AzureIdentity::ServicePrincipal(principal) => vec![principal.client_secret.clone()],
            AzureIdentity::ManagedIdentity(_) => Vec::new(),
        }
    }

    fn check(&self, field: &str) -> Result<(), TaskError> {
        if let Some(resource) = &self.resource {
            one_line(&format!("{field}.resource"), resource)?;
        }
        match &self.identity {
            AzureIdentity::ServicePrincipal(principal) => {
                let field = |name: &str| format!("{field}.identity.service_principal.{name}");
                check_id(&field("tenant_id"), &principal.tenant_id)?;
                check_id(&field("client_id"), &principal.client_id)?;
                one_line(&field("client_secret"), principal.client_secret.expose())?;
                match &principal.authority {
                    Some(authority) => check_address(&field("authority"), authority).map(drop),
                    None => Ok(()),
                }
            }
            AzureIdentity::ManagedIdentity(managed) => {
                let field = |name: &str| format!("{field}.identity.managed_identity.{name}");
                if let Some(id) = &managed.client_id {
                    check_id(&field("client_id"), id)?;
                }
                match &managed.endpoint {
                    Some(endpoint) => check_address(&field("endpoint"), endpoint).map(drop),
                    None => Ok(()),
                }
            }
        }
    }

    async fn meet(&self, field: &str, context: &TaskContext) -> Met<Meeting> {
        let resource = self.resource.as_deref().unwrap_or(RESOURCE);
        let token = match &self.identity {
            AzureIdentity::ServicePrincipal(principal) => {
                principal.token(field, resource, &context.http).await
            }
            AzureIdentity::ManagedIdentity(managed) => managed.token(field, resource).await,
        }?;
        context.secrets.mask([token.clone()]);
        let claims = jwt::claims(&token);
        let text = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| claims[*name].as_str().map(str::to_owned))
        };
        let found = AzureFound {
            tenant_id: text(&["tid"]),
            client_id: text(&["appid", "azp"]),
            object_id: text(&["oid"]),
            resource_id: text(&["xms_mirid"]),
            audience: text(&["aud"]),
        };
        let identity = found.client_id.clone().or_else(|| found.object_id.clone());
        let nobody = || Refusal::new(Stage::Answer, "the token that was given says not whose it is");
        Ok(Meeting {
            identity: identity.ok_or_else(nobody)?,
            found: Found::Azure(found),
        })
    }
}

impl ServicePrincipal {
    async fn token(&self, field: &str, resource: &str, http: &Http) -> Met<Secret> {
        let authority = self.authority.as_deref().unwrap_or(AUTHORITY);
        let mut url = check_address(field, authority)?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend([&*self.tenant_id, "oauth2", "v2.0", "token"]);
        }
        let scope = format!("{}/.default", resource.trim_end_matches('/'));
        let body = Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", self.client_secret.expose())
            .append_pair("scope", &scope)
            .finish();
        let call = Call::new(Method::POST, url.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .map_err(|error| Refusal::new(Stage::Login, &error.to_string()))?;
        let reply = ask(http, call.body(body)).await?;
        let field = format!("{field}.identity.service_principal");
        expect_token(
            &reply,
            url.as_str(),
            &format!(
                "check `{field}.tenant_id`, `{field}.client_id` and `{field}.client_secret`, and that the secret has not expired"
            ),
        )?;
        token_of(&reply.json())
    }
}

impl ManagedIdentity {
    async fn token(&self, field: &str, resource: &str) -> Met<Secret> {
        let mut url = check_address(field, self.endpoint.as_deref().unwrap_or(METADATA))?;
        url.set_path("/metadata/identity/oauth2/token");
        url.query_pairs_mut()
            .append_pair("api-version", METADATA_VERSION)
            .append_pair("resource", resource);
        if let Some(id) = &self.client_id {
            url.query_pairs_mut().append_pair("client_id", id);
        }
        let call = Call::new(Method::GET, url)
            .header("metadata", "true")
            .map_err(|error| Refusal::new(Stage::Login, &error.to_string()))?
            .nearby();
        // It is next to the machine: no proxy leads there.
        let reply = ask(&Http::new(HttpSettings::default()), call).await?;
        expect_token(
            &reply,
            "the metadata service",
            &format!(
                "give this machine an identity, and check `{field}.identity.managed_identity.client_id` where it has several"
            ),
        )?;
        token_of(&reply.json())
    }
}

fn token_of(reply: &Value) -> Met<Secret> {
    let token = reply["access_token"].as_str().filter(|token| !token.is_empty());
    let none = || Refusal::new(Stage::Answer, "there is no token in the answer").into();
    token.map(Secret::new).ok_or_else(none)
}

/// An id or a domain: what becomes a part of an address.
fn check_id(field: &str, id: &str) -> Result<(), TaskError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if !id.is_empty() && id.bytes().all(fits) && !id.contains("..") {
        return Ok(());
    }
    Err(TaskError::data(
        field,
        "is no id; expected for example 11111111-2222-3333-4444-555555555555",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_part_of_an_address() {
        for id in ["11111111-2222-3333-4444-555555555555", "example.com"] {
            assert!(check_id("f", id).is_ok(), "{id}");
        }
        for id in ["", "a/b", "a b", "..", "a?b"] {
            assert!(check_id("f", id).is_err(), "{id}");
        }
    }
}
