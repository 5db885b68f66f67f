//! The manager's platform API: delegate tokens and delegates, for holders of an API key.
//!
//! Paths, parameters and messages are those of `delegate_core::protocol::platform`. Nothing is contacted, and no root
//! certificate is read, before the first call; all calls of a process share the connections. A call has a limit in time,
//! in size and in attempts; what may be attempted again is decided in [`retry`]. The key is a header of each request and
//! is in no log and no error; addresses are told without their query and login.

mod client;
mod delegates;
mod error;
mod proxy;
mod retry;
mod tokens;

use std::sync::{Arc, OnceLock};

use delegate_core::Secret;
use delegate_core::config::{AccountId, NameError};
use delegate_core::protocol::http::Http;
pub use error::PlatformError;
pub use tokens::{Token, TokenStatus};
use tokio_util::sync::CancellationToken;
use url::Url;

/// What the API needs to know, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Access<'a> {
    /// URL of the manager. A path in it is kept.
    pub endpoint: Option<&'a str>,
    /// The account.
    pub account_id: Option<&'a str>,
    /// The key.
    pub api_key: Option<&'a Secret>,
    /// Names of the provider's arguments among these that are known only after apply.
    pub unknown: &'a [&'static str],
}

/// The HTTP connections of one provider process, made when first needed.
#[derive(Debug, Default)]
pub struct Connections {
    http: OnceLock<Arc<Http>>,
}

impl Connections {
    /// The API of an account. Nothing is contacted; `stop` ends what is asked through it.
    ///
    /// # Errors
    /// What is missing, unknown or malformed: one error, which names the argument and its variable.
    pub fn api(&self, access: Access<'_>, stop: &CancellationToken) -> Result<Api, PlatformError> {
        if let Some(argument) = access.unknown.first() {
            return Err(PlatformError::Unknown(argument));
        }
        let base = address(access.endpoint.ok_or(PlatformError::NoEndpoint)?)?;
        let account = access.account_id.ok_or(PlatformError::NoAccount)?;
        let account: AccountId = account
            .parse()
            .map_err(|problem: NameError| PlatformError::BadAccount(problem.to_string()))?;
        let key = access.api_key.filter(|key| !key.is_empty());
        let key = key.cloned().ok_or(PlatformError::NoKey)?;
        // Terraform runs on a person's or a pipeline's machine: the proxy is where every other program there has it from.
        let settings = || proxy::settings(base.scheme() == "https", |name| std::env::var(name).ok());
        let http = self.http.get_or_init(|| Arc::new(Http::new(settings())));
        Ok(Api {
            http: Arc::clone(http),
            base,
            account,
            key,
            stop: stop.clone(),
        })
    }
}

fn address(endpoint: &str) -> Result<Url, PlatformError> {
    match endpoint.trim().parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(PlatformError::BadEndpoint),
    }
}

/// The platform API of one account. Cheap to make.
#[derive(Debug, Clone)]
pub struct Api {
    http: Arc<Http>,
    base: Url,
    account: AccountId,
    key: Secret,
    stop: CancellationToken,
}

impl Api {
    /// The account that is asked about.
    pub fn account(&self) -> &str {
        self.account.as_str()
    }
}

/// Where in an account something is: in the account itself, in an organization, or in a project of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Identifier of the organization.
    pub org: Option<String>,
    /// Identifier of the project; only with an organization.
    pub project: Option<String>,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.org, &self.project) {
            (Some(org), Some(project)) => write!(f, "the project {org}/{project}"),
            (Some(org), None) => write!(f, "the organization {org}"),
            (None, _) => f.write_str("the account"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_variable() {
        let key = Secret::new("pat.acc.x.y");
        let all = Access {
            endpoint: Some("https://m.example/gratis"),
            account_id: Some("acc"),
            api_key: Some(&key),
            unknown: &[],
        };
        let api = |access| Connections::default().api(access, &CancellationToken::new());
        assert!(api(all).is_ok());
        let empty = Secret::default();
        for (access, part) in [
            (
                Access { api_key: None, ..all },
                "platform_api_key, or HARNESS_PLATFORM_API_KEY",
            ),
            (
                Access {
                    api_key: Some(&empty),
                    ..all
                },
                "platform_api_key",
            ),
            (
                Access {
                    endpoint: None,
                    ..all
                },
                "endpoint, or HARNESS_ENDPOINT",
            ),
            (
                Access {
                    endpoint: Some("app.harness.io"),
                    ..all
                },
                "https://app.harness.io",
            ),
            (
                Access {
                    account_id: None,
                    ..all
                },
                "account_id, or HARNESS_ACCOUNT_ID",
            ),
            (
                Access {
                    account_id: Some("a/b"),
                    ..all
                },
                "account id",
            ),
            (
                Access {
                    unknown: &["endpoint"],
                    ..all
                },
                "endpoint is known only after apply",
            ),
        ] {
            let complaint = api(access).unwrap_err().to_string();
            assert!(complaint.contains(part), "{complaint}");
        }
    }

    #[test]
    fn the_key_does_not_print() {
        let key = Secret::new("pat.acc.x.y");
        let access = Access {
            endpoint: Some("http://m.example"),
            account_id: Some("acc"),
            api_key: Some(&key),
            unknown: &[],
        };
        let api = Connections::default()
            .api(access, &CancellationToken::new())
            .unwrap();
        let text = format!("{access:?} {api:?}");
        assert!(!text.contains("pat.acc"), "{text}");
    }
}
