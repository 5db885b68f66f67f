//! HashiCorp Vault: secrets engines of type KV, version 2.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, warn};
use url::Url;

use super::name::as_text;
use super::{FetchError, SecretName, SecretProvider, Version};
use crate::Secret;
use crate::config::secrets::{VaultLogin, VaultSettings};
use crate::protocol::call::{Call, Reply, own, own_file, quoted};
use crate::protocol::http::{Http, shown};

/// The field that is meant where a secret has several and none is named.
const USUAL_FIELD: &str = "value";

/// Between two looks at a token that needs no renewal, or at a Vault that does not answer.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

/// A token is renewed, or got anew, when this share of its time is over.
const RENEW_AT: f64 = 2.0 / 3.0;

/// Vault, as one delegate uses it. `vault`.
///
/// `path#field` is a field of `path` below the mount; without a field it is the only one, or `value`. `?version=N` is an
/// earlier version.
pub struct Vault {
    http: Arc<Http>,
    settings: VaultSettings,
    /// Held during a login, so that many tasks at once make one.
    session: Mutex<Option<Session>>,
}

/// What a login gave.
struct Session {
    token: Secret,
    renewable: bool,
    /// When to renew it. `None`: it does not expire.
    renew_at: Option<Instant>,
    expires_at: Option<Instant>,
}

impl Session {
    /// From the `auth` of a reply.
    fn new(auth: &Value) -> Option<Self> {
        let lease = Duration::from_secs(auth["lease_duration"].as_u64().unwrap_or(0));
        let lasts = !lease.is_zero();
        let now = Instant::now();
        Some(Self {
            token: Secret::new(auth["client_token"].as_str()?),
            renewable: auth["renewable"] == true,
            renew_at: lasts.then(|| now + lease.mul_f64(RENEW_AT)),
            expires_at: lasts.then(|| now + lease),
        })
    }
}

impl Vault {
    /// Contacts nobody yet.
    pub fn new(http: Arc<Http>, settings: VaultSettings) -> Self {
        Self {
            http,
            settings,
            session: Mutex::new(None),
        }
    }

    /// Renews a token that was given to us for as long as Vault lets it live. Runs for ever. Tokens of logins need no
    /// such care: when one has expired, there is another login.
    pub async fn keep_token(&self) {
        let VaultLogin::Token(token) = &self.settings.login else {
            return std::future::pending().await;
        };
        loop {
            let kept = match own(token).await {
                Ok(token) => self.renew_given(&token).await,
                Err(error) => Err(error.into()),
            };
            let pause = kept.unwrap_or_else(|error| {
                warn!(%error, "the token for Vault cannot be renewed");
                LOOK_AGAIN
            });
            tokio::time::sleep(pause).await;
        }
    }

    /// Says when to come again.
    async fn renew_given(&self, token: &Secret) -> Result<Duration, FetchError> {
        let looked = self
            .post_or_get(Method::GET, "auth/token/lookup-self", Some(token), None)
            .await?;
        let data = &expect_ok(&looked, "look at its token")?["data"];
        let left = Duration::from_secs(data["ttl"].as_u64().unwrap_or(0));
        if left.is_zero() {
            // It does not expire; but its file may get another.
            return Ok(LOOK_AGAIN);
        }
        if data["renewable"] != true {
            warn!(
                ?left,
                "the token for Vault expires and cannot be renewed; replace it in time"
            );
            return Ok(left.mul_f64(RENEW_AT).clamp(Duration::from_secs(1), LOOK_AGAIN));
        }
        let renewed = self
            .post_or_get(
                Method::POST,
                "auth/token/renew-self",
                Some(token),
                Some(&json!({})),
            )
            .await?;
        let lease = expect_ok(&renewed, "renew its token")?["auth"]["lease_duration"].as_u64();
        let lease = Duration::from_secs(lease.unwrap_or(0));
        debug!(?lease, "the token for Vault is renewed");
        Ok(lease.mul_f64(RENEW_AT).max(Duration::from_secs(1)))
    }

    /// A token to read with; another one than `refused`.
    async fn token(&self, refused: Option<&Secret>) -> Result<Secret, FetchError> {
        if let VaultLogin::Token(token) = &self.settings.login {
            return Ok(own(token).await?);
        }
        let mut session = self.session.lock().await;
        let now = Instant::now();
        if let Some(kept) = session.as_ref().filter(|kept| Some(&kept.token) != refused) {
            if kept.renew_at.is_none_or(|at| now < at) {
                return Ok(kept.token.clone());
            }
            if kept.renewable && kept.expires_at.is_none_or(|at| now < at) {
                let renewed = self
                    .post_or_get(
                        Method::POST,
                        "auth/token/renew-self",
                        Some(&kept.token),
                        Some(&json!({})),
                    )
                    .await?;
                if let Some(fresh) = renewed
                    .status
                    .is_success()
                    .then(|| Session::new(&renewed.json()["auth"]))
                    .flatten()
                {
                    return Ok(session.insert(fresh).token.clone());
                }
                debug!(status = %renewed.status, "the session with Vault cannot be renewed; logging in again");
            }
        }
        *session = None;
        let fresh = self.log_in().await?;
        Ok(session.insert(fresh).token.clone())
    }

    async fn log_in(&self) -> Result<Session, FetchError> {
        let (mount, body) = match &self.settings.login {
            VaultLogin::Token(_) => {
                return Err(FetchError::Failed("a given token needs no login".to_owned()));
            }
            VaultLogin::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                let secret_id = own(secret_id).await?;
                (
                    mount,
                    json!({"role_id": role_id, "secret_id": secret_id.expose()}),
                )
            }
            VaultLogin::Kubernetes {
                mount,
                role,
                token_file,
            } => {
                let jwt = own_file(token_file).await?;
                (mount, json!({"role": role, "jwt": jwt.expose()}))
            }
        };
        let path = format!("auth/{mount}/login");
        let reply = self.post_or_get(Method::POST, &path, None, Some(&body)).await?;
        let reply = expect_ok(&reply, &format!("log in at {path}"))?;
        Session::new(&reply["auth"])
            .ok_or_else(|| FetchError::Failed(format!("the login at {path} gave no token")))
    }

    async fn read(&self, url: &Url, token: &Secret) -> Result<Reply, FetchError> {
        self.call(Method::GET, url.clone(), Some(token), None).await
    }

    async fn post_or_get(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret>,
        body: Option<&Value>,
    ) -> Result<Reply, FetchError> {
        self.call(method, self.url(path), token, body).await
    }

    async fn call(
        &self,
        method: Method,
        url: Url,
        token: Option<&Secret>,
        body: Option<&Value>,
    ) -> Result<Reply, FetchError> {
        let mut call = Call::new(method, url).header("x-vault-request", "true")?;
        if let Some(namespace) = &self.settings.namespace {
            call = call.header("x-vault-namespace", namespace)?;
        }
        if let Some(token) = token {
            call = call.header("x-vault-token", token.expose())?;
        }
        if let Some(body) = body {
            call = call
                .header("content-type", "application/json")?
                .body(body.to_string());
        }
        Ok(call.send(&self.http).await?)
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.settings.url.clone();
        // A URL with a host, as the configuration has checked, has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path.split('/'));
        }
        url
    }
}

#[async_trait]
impl SecretProvider for Vault {
    fn scheme(&self) -> &'static str {
        "vault"
    }

    async fn fetch(&self, name: &SecretName) -> Result<Secret, FetchError> {
        let place = format!("{}/data/{}", self.settings.mount, name.path);
        let mut url = self.url(&place);
        match &name.version {
            Some(Version::Id(number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                url.query_pairs_mut().append_pair("version", number);
            }
            None => {}
            Some(_) => {
                return Err(FetchError::Absent(
                    "its versions are numbers, ?version=3".to_owned(),
                ));
            }
        }
        let mut token = self.token(None).await?;
        let mut reply = self.read(&url, &token).await?;
        if reply.status == StatusCode::FORBIDDEN {
            // Revoked, perhaps. A token in a file may have been replaced between our reading it and Vault's.
            let other = self.token(Some(&token)).await?;
            if other != token {
                token = other;
                reply = self.read(&url, &token).await?;
            }
        }
        match reply.status {
            StatusCode::OK => field(name, &place, reply.json()),
            StatusCode::NOT_FOUND => {
                let gone = reply.json()["data"]["metadata"].is_object();
                Err(FetchError::Absent(if gone {
                    format!("that version of {place} was deleted")
                } else {
                    format!("nothing at {place}")
                }))
            }
            StatusCode::FORBIDDEN => Err(FetchError::Failed(format!(
                "{} refuses to read {place}; allow `read` on that path in the policy of the delegate's login",
                shown(&self.settings.url)
            ))),
            _ => Err(refusal(&reply, &format!("read {place}"))),
        }
    }
}

fn field(name: &SecretName, place: &str, mut reply: Value) -> Result<Secret, FetchError> {
    let Value::Object(mut fields) = reply["data"]["data"].take() else {
        return Err(FetchError::Failed(format!(
            "{place} is not in a secrets engine of type KV version 2; set DELEGATE_SECRETS_VAULT_MOUNT to one"
        )));
    };
    let wanted = name.field.as_deref();
    let only = fields.keys().next().filter(|_| fields.len() == 1).cloned();
    let key = wanted
        .map(str::to_owned)
        .or(only)
        .unwrap_or_else(|| USUAL_FIELD.to_owned());
    match (fields.remove(&key), wanted) {
        (Some(value), _) => Ok(as_text(value)),
        (None, Some(wanted)) => Err(FetchError::Failed(format!("{place} has no field `{wanted}`"))),
        (None, None) => Err(FetchError::Failed(format!(
            "{place} has {} fields and none is `{USUAL_FIELD}`; name one: `{}#FIELD`",
            fields.len(),
            name.path
        ))),
    }
}

fn expect_ok(reply: &Reply, action: &str) -> Result<Value, FetchError> {
    if reply.status.is_success() {
        Ok(reply.json())
    } else {
        Err(refusal(reply, action))
    }
}

/// In Vault's own words, which never hold a secret's value.
fn refusal(reply: &Reply, action: &str) -> FetchError {
    let body = reply.json();
    let words: Vec<_> = body["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut text = format!("it answers {} to the wish to {action}", reply.status);
    if reply.status.is_redirection() {
        text.push_str("; set DELEGATE_SECRETS_VAULT_URL to the active server, or to what stands before all");
    } else if !words.is_empty() {
        text = format!("{text}: {}", quoted(&words.join(", ")));
    }
    FetchError::Failed(text)
}
