//! Where the secrets come from that tasks refer to by name: the delegate's environment, mounted files, HashiCorp Vault,
//! AWS Secrets Manager.
//!
//! A task says `<+secrets.getValue("name")>`; the room [`crate::task`] finds that, and asks a resolver for the name.
//! [`Providers`] is the resolver of a delegate: it asks its providers in their order, and the first that has the name
//! wins. A provider that cannot tell (no connection, refused) ends the search, because a later one might have another
//! secret of the same name. The name says more where it has to, see [`SecretName`].
//!
//! Nothing is kept: a value is fetched for each task anew, so that one that was changed or taken back counts at once, and
//! no memory holds what no task needs. Only logins are kept, until shortly before they expire. Every call is bounded in
//! time and size and repeated a few times; the whole of a resolution is bounded as well. What fails is told with the
//! name and with what each provider said; a value is in no message.

mod aws;
mod environment;
mod files;
mod name;
mod vault;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Secret;
use crate::config::secrets::SecretSettings;
use crate::protocol::call::CallError;
use crate::protocol::http::{Http, HttpSettings};
use crate::task::SecretResolver;
pub use aws::AwsSecretsManager;
pub use environment::Environment;
pub use files::Files;
pub use name::{SecretName, Version};
pub use vault::Vault;

/// For one name, whatever its providers do: above three attempts of a call and a login before them, and short enough
/// that a task fails with a reason while somebody looks.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(45);

/// Something that keeps secrets.
#[async_trait]
pub trait SecretProvider: Send + Sync {
    /// What a name may begin with to mean this provider alone (`vault://…`), and what errors call it.
    fn scheme(&self) -> &'static str;

    /// The value of a name. May be dropped at any await.
    async fn fetch(&self, name: &SecretName) -> Result<Secret, FetchError>;
}

/// Why a provider gave no value. Both are sentence fragments without any value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It does not have it; another may. Says where it looked.
    #[error("{0}")]
    Absent(String),
    /// It could not tell, or not give it. Says what was tried, what came back and what to do.
    #[error("{0}")]
    Failed(String),
}

impl From<CallError> for FetchError {
    fn from(error: CallError) -> Self {
        Self::Failed(error.0)
    }
}

/// The providers of a delegate, in the order in which they are asked.
#[derive(Default)]
pub struct Providers {
    all: Vec<Arc<dyn SecretProvider>>,
    vault: Option<Arc<Vault>>,
}

impl Providers {
    /// No provider.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those that are configured. Contacts nobody. `http`: how a delegate reaches others.
    pub fn new(settings: &SecretSettings, http: &HttpSettings) -> Self {
        let http = Arc::new(Http::new(HttpSettings {
            // The pair is meant for the manager.
            client_certificate: None,
            ..http.clone()
        }));
        let mut this = Self::none();
        if let Some(settings) = &settings.environment {
            this = this.with(Environment::new(settings.clone()));
        }
        if let Some(directory) = &settings.directory {
            this = this.with(Files::new(directory));
        }
        if let Some(settings) = &settings.vault {
            let vault = Arc::new(Vault::new(Arc::clone(&http), settings.clone()));
            this.vault = Some(Arc::clone(&vault));
            this.all.push(vault);
        }
        if let Some(settings) = &settings.aws {
            this = this.with(AwsSecretsManager::new(http, settings.clone()));
        }
        this
    }

    /// One more, asked last.
    #[must_use]
    pub fn with(mut self, provider: impl SecretProvider + 'static) -> Self {
        self.all.push(Arc::new(provider));
        self
    }

    /// Keeps alive what expires when it is not renewed: a Vault token that was given, not got by a login. Runs for ever.
    pub async fn keep_alive(&self) {
        match &self.vault {
            Some(vault) => vault.keep_token().await,
            None => std::future::pending().await,
        }
    }

    async fn ask(&self, name: &SecretName) -> Result<Secret, String> {
        let asked: Vec<_> = self
            .all
            .iter()
            .filter(|provider| {
                name.provider
                    .as_ref()
                    .is_none_or(|wanted| wanted == provider.scheme())
            })
            .collect();
        if asked.is_empty() {
            return Err(match &name.provider {
                Some(scheme) => {
                    format!(
                        "this delegate has no provider `{scheme}`; it has {}",
                        self.schemes()
                    )
                }
                None => {
                    "no secret provider is configured on this delegate; set DELEGATE_SECRETS_ENV_PREFIX, \
                         DELEGATE_SECRETS_DIR, DELEGATE_SECRETS_VAULT_URL or DELEGATE_SECRETS_AWS_REGION"
                        .to_owned()
                }
            });
        }
        let mut looked = Vec::new();
        for provider in asked {
            match provider.fetch(name).await {
                Ok(value) if value.expose().is_empty() => {
                    return Err(format!("{}: its value is empty", provider.scheme()));
                }
                Ok(value) => return Ok(value),
                Err(FetchError::Absent(place)) => looked.push(format!("{}: {place}", provider.scheme())),
                Err(FetchError::Failed(problem)) => {
                    looked.push(format!("{}: {problem}", provider.scheme()));
                    return Err(looked.join("; "));
                }
            }
        }
        Err(format!(
            "no provider has it ({}); put it there, or correct the name",
            looked.join("; ")
        ))
    }

    fn schemes(&self) -> String {
        let schemes: Vec<_> = self.all.iter().map(|provider| provider.scheme()).collect();
        if schemes.is_empty() {
            "none".to_owned()
        } else {
            schemes.join(", ")
        }
    }
}

#[async_trait]
impl SecretResolver for Providers {
    async fn resolve(&self, name: &str) -> Result<Secret, String> {
        let name = name.parse::<SecretName>()?;
        tokio::time::timeout(RESOLVE_TIMEOUT, self.ask(&name))
            .await
            .unwrap_or_else(|_| {
                Err(format!(
                    "{} did not answer within {} s",
                    self.schemes(),
                    RESOLVE_TIMEOUT.as_secs()
                ))
            })
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Providers({})", self.schemes())
    }
}

#[cfg(test)]
mod tests;
