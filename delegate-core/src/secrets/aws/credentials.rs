//! Credentials of AWS, from where a machine, a container or a pod is given them.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;
use url::form_urlencoded::Serializer;

use super::endpoint;
use crate::Secret;
use crate::config::secrets::{AwsIdentity, AwsSettings};
use crate::protocol::http::{Http, HttpSettings, shown};
use crate::secrets::FetchError;
use crate::secrets::call::{Call, Reply, own, own_file, quoted};

/// Credentials are got anew so long before they expire: enough for a request with clocks that differ a little.
const MARGIN: Duration = Duration::from_mins(5);

/// How long we want to use the metadata service after asking once, in seconds.
const METADATA_SESSION: &str = "60";

/// What a request is signed with.
#[derive(Clone, PartialEq)]
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) session_token: Option<Secret>,
    /// `None`: they do not expire.
    pub(super) expires: Option<Timestamp>,
}

/// Where they come from.
pub(super) struct Source {
    /// For the world.
    http: Arc<Http>,
    /// For what is on this machine, or next to it: no proxy leads there.
    direct: Http,
    identity: AwsIdentity,
    region: String,
    sts_endpoint: Option<Url>,
    /// Held while they are got, so that many tasks at once ask once.
    kept: Mutex<Option<Credentials>>,
}

impl Source {
    pub(super) fn new(http: Arc<Http>, settings: &AwsSettings) -> Self {
        Self {
            http,
            direct: Http::new(HttpSettings::default()),
            identity: settings.identity.clone(),
            region: settings.region.clone(),
            sts_endpoint: settings.sts_endpoint.clone(),
            kept: Mutex::new(None),
        }
    }

    /// Credentials that last; others than `refused`, where there can be others.
    pub(super) async fn get(&self, refused: Option<&Credentials>) -> Result<Credentials, FetchError> {
        let mut kept = self.kept.lock().await;
        let lasts = |kept: &&Credentials| {
            let soon = Timestamp::now() + MARGIN;
            Some(*kept) != refused && kept.expires.is_none_or(|expires| soon < expires)
        };
        if let Some(credentials) = kept.as_ref().filter(lasts) {
            return Ok(credentials.clone());
        }
        let fresh = match &self.identity {
            AwsIdentity::Keys {
                id,
                secret,
                session_token,
            } => Credentials {
                id: id.clone(),
                secret: secret.clone(),
                session_token: session_token.clone(),
                expires: None,
            },
            AwsIdentity::WebIdentity {
                token_file,
                role_arn,
                session_name,
            } => {
                let token = own_file(token_file).await?;
                self.by_web_identity(&token, role_arn, session_name).await?
            }
            AwsIdentity::Container { url, authorization } => {
                let mut call = Call::new(Method::GET, url.clone());
                if let Some(authorization) = authorization {
                    call = call.header("authorization", own(authorization).await?.expose())?;
                }
                let reply = call.send(&self.direct).await?;
                of_json(&expect_ok(reply, url)?, url)?
            }
            AwsIdentity::Instance { url } => self.of_instance(url).await?,
        };
        Ok(kept.insert(fresh).clone())
    }

    /// Exchanges the token of a service account for credentials. The request is not signed: the token is the proof.
    async fn by_web_identity(
        &self,
        token: &Secret,
        role_arn: &str,
        session_name: &str,
    ) -> Result<Credentials, FetchError> {
        let url = match &self.sts_endpoint {
            Some(url) => url.clone(),
            None => endpoint("sts", &self.region)?,
        };
        let form = Serializer::new(String::new())
            .append_pair("Action", "AssumeRoleWithWebIdentity")
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", role_arn)
            .append_pair("RoleSessionName", session_name)
            .append_pair("WebIdentityToken", token.expose())
            .finish();
        let reply = Call::new(Method::POST, url.clone())
            .header("content-type", "application/x-www-form-urlencoded")?
            .body(form)
            .send(&self.http)
            .await?;
        let text = String::from_utf8_lossy(&reply.body);
        if !reply.status.is_success() {
            let said = element(&text, "Message").unwrap_or_default();
            return Err(FetchError::Failed(format!(
                "the role {role_arn} cannot be taken: {} answers {} {}: {}",
                shown(&url),
                reply.status,
                element(&text, "Code").unwrap_or_default(),
                quoted(said)
            )));
        }
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
    async fn of_instance(&self, base: &Url) -> Result<Credentials, FetchError> {
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
                FetchError::Failed(format!(
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
                return Err(FetchError::Failed(
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

fn text(reply: &Reply, url: &Url) -> Result<Secret, FetchError> {
    let text = std::str::from_utf8(&reply.body).map_err(|_| no_credentials(url))?;
    Ok(Secret::new(text.trim()))
}

/// The form that containers and machines are given them in.
fn of_json(reply: &Reply, url: &Url) -> Result<Credentials, FetchError> {
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

fn expect_ok(reply: Reply, url: &Url) -> Result<Reply, FetchError> {
    if reply.status.is_success() {
        return Ok(reply);
    }
    Err(FetchError::Failed(format!(
        "{} answers {} to the wish for credentials",
        shown(url),
        reply.status
    )))
}

fn no_credentials(url: &Url) -> FetchError {
    FetchError::Failed(format!("the answer of {} has no credentials in it", shown(url)))
}

/// The text of the first element of a name. What we read has no attributes, no entities and no element within one of its
/// own name.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, from) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = from.split_once(&format!("</{name}>"))?;
    Some(inner.trim())
}
