//! Credentials of AWS, from where a machine, a container or a pod is given them.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::send::{Post, QUERY, query_body};
use super::{AwsError, Endpoints, STS, element};
use crate::Secret;
use crate::config::secrets::AwsIdentity;
use crate::protocol::call::{Call, CallError, Reply, own, own_file};
use crate::protocol::http::{Http, HttpSettings, shown};

/// Credentials are got anew so long before they expire: enough for a request with clocks that differ a little.
const MARGIN: Duration = Duration::from_mins(5);

/// How long we want to use the metadata service after asking once, in seconds.
const METADATA_SESSION: &str = "60";

/// What a request is signed with.
#[derive(Clone, PartialEq)]
pub(crate) struct Credentials {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) session_token: Option<Secret>,
    /// `None`: they do not expire.
    pub(super) expires: Option<Timestamp>,
}

/// Who one is, before any role is taken.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    /// By the ways of AWS's own programs.
    Usual(AwsIdentity),
    /// By the token of an identity provider that AWS trusts, which is exchanged for credentials.
    Token {
        /// The role that it is good for.
        role_arn: String,
        /// The token.
        token: Secret,
        /// Shown in AWS's logs.
        session_name: String,
    },
}

/// A role to take.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) arn: String,
    /// What the role's owner asks of those who take it.
    pub(crate) external_id: Option<String>,
    /// Shown in AWS's logs.
    pub(crate) session_name: String,
}

/// Where credentials come from.
pub(crate) struct Source {
    /// For the world.
    http: Arc<Http>,
    /// For what is on this machine, or next to it: no proxy leads there.
    direct: Http,
    identity: Identity,
    /// And where it is taken.
    role: Option<(Role, Endpoints)>,
    region: String,
    /// Where a token is exchanged for credentials: it is shown there.
    endpoints: Endpoints,
    /// Held while they are got, so that many tasks at once ask once.
    kept: Mutex<Option<Credentials>>,
}

impl Source {
    pub(crate) fn new(http: Arc<Http>, region: &str, endpoints: Endpoints, identity: Identity) -> Self {
        Self {
            http,
            direct: Http::new(HttpSettings::default()),
            identity,
            role: None,
            region: region.to_owned(),
            endpoints,
            kept: Mutex::new(None),
        }
    }

    /// The same, which takes a role. A signature is all that is shown at these addresses.
    #[must_use]
    pub(crate) fn in_role(mut self, role: Option<Role>, endpoints: Endpoints) -> Self {
        self.role = role.map(|role| (role, endpoints));
        self
    }

    /// Credentials that last; others than `refused`, where there can be others.
    pub(super) async fn get(&self, refused: Option<&Credentials>) -> Result<Credentials, CallError> {
        let mut kept = self.kept.lock().await;
        let lasts = |kept: &&Credentials| {
            let soon = Timestamp::now() + MARGIN;
            Some(*kept) != refused && kept.expires.is_none_or(|expires| soon < expires)
        };
        if let Some(credentials) = kept.as_ref().filter(lasts) {
            return Ok(credentials.clone());
        }
        let mut fresh = self.of_identity().await?;
        if let Some((role, endpoints)) = &self.role {
            fresh = self.taking(role, endpoints, &fresh).await?;
        }
        Ok(kept.insert(fresh).clone())
    }

    async fn of_identity(&self) -> Result<Credentials, CallError> {
        let usual = match &self.identity {
            Identity::Usual(identity) => identity,
            Identity::Token {
                role_arn,
                token,
                session_name,
            } => return self.by_web_identity(token, role_arn, session_name).await,
        };
        match usual {
            AwsIdentity::Keys {
                id,
                secret,
                session_token,
            } => Ok(Credentials {
                id: id.clone(),
                secret: secret.clone(),
                session_token: session_token.clone(),
                expires: None,
            }),
            AwsIdentity::WebIdentity {
                token_file,
                role_arn,
                session_name,
            } => {
                let token = own_file(token_file).await?;
                self.by_web_identity(&token, role_arn, session_name).await
            }
            AwsIdentity::Container { url, authorization } => {
                let mut call = Call::new(Method::GET, url.clone());
                if let Some(authorization) = authorization {
                    call = call.header("authorization", own(authorization).await?.expose())?;
                }
                let reply = call.send(&self.direct).await?;
                of_json(&expect_ok(reply, url)?, url)
            }
            AwsIdentity::Instance { url } => self.of_instance(url).await,
        }
    }

    /// Exchanges the token of a service account for credentials. The request is not signed: the token is the proof.
    async fn by_web_identity(
        &self,
        token: &Secret,
        role_arn: &str,
        session_name: &str,
    ) -> Result<Credentials, CallError> {
        let parameters = [
            ("RoleArn", role_arn),
            ("RoleSessionName", session_name),
            ("WebIdentityToken", token.expose()),
        ];
        let url = self.endpoints.of(&STS, &self.region)?;
        self.of_sts(url, "AssumeRoleWithWebIdentity", &parameters, role_arn, None)
            .await
    }

    async fn taking(
        &self,
        role: &Role,
        endpoints: &Endpoints,
        credentials: &Credentials,
    ) -> Result<Credentials, CallError> {
        let mut parameters = vec![("RoleArn", &*role.arn), ("RoleSessionName", &*role.session_name)];
        parameters.extend(role.external_id.iter().map(|id| ("ExternalId", &**id)));
        let url = endpoints.of(&STS, &self.region)?;
        self.of_sts(url, "AssumeRole", &parameters, &role.arn, Some(credentials))
            .await
    }

    async fn of_sts(
        &self,
        url: Url,
        operation: &'static str,
        parameters: &[(&str, &str)],
        role_arn: &str,
        credentials: Option<&Credentials>,
    ) -> Result<Credentials, CallError> {
        let post = Post {
            url: &url,
            region: &self.region,
            service: &STS,
            headers: &[("content-type", QUERY)],
            body: &query_body(&STS, operation, parameters),
        };
        let reply = post.send(&self.http, credentials).await?;
        if !reply.status.is_success() {
            let refused = AwsError::refused(&STS, operation, &self.region, &reply);
            return Err(CallError(format!(
                "the role {role_arn} cannot be taken: {refused}"
            )));
        }
        let text = String::from_utf8_lossy(&reply.body);
        let credentials = element(&text, "Credentials").and_then(|text| {
            Some(Credentials {
                id: element(text, "AccessKeyId")?.to_owned(),
                secret: Secret::new(element(text, "SecretAccessKey")?),
                session_token: Some(Secret::new(element(text, "SessionToken")?)),
                expires: Some(element(text, "Expiration")?.parse().ok()?),
            })
        });
        credentials.ok_or_else(|| no_credentials(&url))
    }

    /// The metadata service, version 2: a session first, then the name of the role, then its credentials.
    async fn of_instance(&self, base: &Url) -> Result<Credentials, CallError> {
        let url = |path: &str| {
            let mut url = base.clone();
            url.set_path(path);
            url
        };
        let session_url = url("/latest/api/token");
        let session = Call::new(Method::PUT, session_url.clone())
            .header("x-aws-ec2-metadata-token-ttl-seconds", METADATA_SESSION)?
            .nearby()
            .send(&self.direct)
            .await
            .map_err(|error| {
                CallError(format!(
                    "no credentials: no variable of AWS's names any, and this machine has no metadata service ({error})"
                ))
            })?;
        let session = text(&expect_ok(session, &session_url)?, &session_url)?;
        let get = async |url: Url| {
            let reply = Call::new(Method::GET, url.clone())
                .header("x-aws-ec2-metadata-token", session.expose())?
                .nearby()
                .send(&self.direct)
                .await?;
            if reply.status == StatusCode::NOT_FOUND {
                return Err(CallError(
                    "this machine has no role; give its instance profile one".to_owned(),
                ));
            }
            expect_ok(reply, &url)
        };
        let roles_url = url("/latest/meta-data/iam/security-credentials/");
        let roles = text(&get(roles_url.clone()).await?, &roles_url)?;
        let role = roles.expose().lines().next().unwrap_or_default().trim();
        let role_url = url(&format!("/latest/meta-data/iam/security-credentials/{role}"));
        of_json(&get(role_url.clone()).await?, &role_url)
    }
}

fn text(reply: &Reply, url: &Url) -> Result<Secret, CallError> {
    let text = std::str::from_utf8(&reply.body).map_err(|_| no_credentials(url))?;
    Ok(Secret::new(text.trim()))
}

/// The form that containers and machines are given them in.
fn of_json(reply: &Reply, url: &Url) -> Result<Credentials, CallError> {
    let reply = reply.json();
    let text = |name: &str| reply[name].as_str().filter(|text| !text.is_empty());
    let credentials = || {
        Some(Credentials {
            id: text("AccessKeyId")?.to_owned(),
            secret: Secret::new(text("SecretAccessKey")?),
            session_token: text("Token").map(Secret::new),
            expires: match &reply["Expiration"] {
                Value::String(text) => Some(text.parse().ok()?),
                _ => None,
            },
        })
    };
    credentials().ok_or_else(|| no_credentials(url))
}

fn expect_ok(reply: Reply, url: &Url) -> Result<Reply, CallError> {
    if reply.status.is_success() {
        return Ok(reply);
    }
    Err(CallError(format!(
        "{} answers {} to the wish for credentials",
        shown(url),
        reply.status
    )))
}

fn no_credentials(url: &Url) -> CallError {
    CallError(format!("the answer of {} has no credentials in it", shown(url)))
}
