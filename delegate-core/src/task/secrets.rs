//! Secrets of a task: from references to values, and from values to the masking.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::TaskError;
use crate::Secret;
use crate::process::mask::{Masker, Rules};

/// What marks a value as a reference: `<+secrets.getValue("name")>`. Anything else is the secret itself.
const REFERENCE: &str = "<+secrets.";

/// Fetches secrets from where a delegate's owner keeps them.
#[async_trait]
pub trait SecretResolver: Send + Sync {
    /// The value of a reference. The error is a sentence: what was tried, what came back, what to do; never a value.
    async fn resolve(&self, reference: &str) -> Result<Secret, String>;
}

/// The resolver of a delegate without any secret provider: knows nothing.
pub struct NoProvider;

#[async_trait]
impl SecretResolver for NoProvider {
    async fn resolve(&self, _reference: &str) -> Result<Secret, String> {
        Err("no secret provider is configured on this delegate; send the value itself, or configure a provider"
            .to_owned())
    }
}

/// The secrets of one task. Clones share what is known.
#[derive(Clone)]
pub struct Secrets {
    resolver: Arc<dyn SecretResolver>,
    known: Arc<Mutex<Known>>,
}

struct Known {
    secrets: Vec<Secret>,
    rules: Rules,
    masker: Masker,
}

impl Secrets {
    /// `known`: what is secret before the task brings its own, above all the delegate's token.
    pub fn new(resolver: Arc<dyn SecretResolver>, known: Vec<Secret>) -> Self {
        Self::with_rules(resolver, known, Rules::default())
    }

    /// The same, and what these patterns match is masked as well.
    pub fn with_rules(resolver: Arc<dyn SecretResolver>, known: Vec<Secret>, rules: Rules) -> Self {
        let masker = Masker::new(&known).with_rules(rules.clone());
        Self {
            resolver,
            known: Arc::new(Mutex::new(Known {
                secrets: known,
                rules,
                masker,
            })),
        }
    }

    /// Turns the values of a map into secrets: those that are references are resolved, all are masked from now on.
    /// `path`: of the map in the data, for errors.
    pub async fn resolve(
        &self,
        path: &str,
        values: &BTreeMap<String, Secret>,
    ) -> Result<BTreeMap<String, Secret>, TaskError> {
        // What is spelled out is known before anything can fail and be told.
        self.mask(values.values().filter(|value| !is_reference(value)).cloned());
        let mut resolved = BTreeMap::new();
        for (name, value) in values {
            let value = if is_reference(value) {
                self.resolver
                    .resolve(value.expose())
                    .await
                    .map_err(|problem| TaskError::Secret {
                        path: format!("{path}.{name}"),
                        reference: value.expose().to_owned(),
                        problem,
                    })?
            } else {
                value.clone()
            };
            resolved.insert(name.clone(), value);
        }
        self.mask(resolved.values().cloned());
        Ok(resolved)
    }

    /// Masks these from now on, too.
    pub fn mask(&self, secrets: impl IntoIterator<Item = Secret>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.secrets.len();
        for secret in secrets {
            if !known.secrets.contains(&secret) {
                known.secrets.push(secret);
            }
        }
        if known.secrets.len() > before {
            known.masker = Masker::new(&known.secrets).with_rules(known.rules.clone());
        }
    }

    /// The masking of everything known so far.
    pub fn masker(&self) -> Masker {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .masker
            .clone()
    }
}

fn is_reference(value: &Secret) -> bool {
    value.expose().contains(REFERENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vault;

    #[async_trait]
    impl SecretResolver for Vault {
        async fn resolve(&self, reference: &str) -> Result<Secret, String> {
            assert_eq!(reference, r#"<+secrets.getValue("db")>"#);
            Ok(Secret::new("from-the-vault"))
        }
    }

    fn values(name: &str, value: &str) -> BTreeMap<String, Secret> {
        BTreeMap::from([(name.to_owned(), Secret::new(value))])
    }

    #[tokio::test]
    async fn what_is_resolved_is_masked() {
        let secrets = Secrets::new(Arc::new(Vault), vec![Secret::new("the-token")]);
        let masker = secrets.masker();
        assert_eq!(
            masker.mask_str("the-token from-the-vault"),
            "************** from-the-vault"
        );
        let resolved = secrets
            .resolve("secrets", &values("A", r#"<+secrets.getValue("db")>"#))
            .await
            .unwrap();
        assert_eq!(resolved["A"].expose(), "from-the-vault");
        secrets.resolve("secrets", &values("B", "literal")).await.unwrap();
        assert_eq!(
            secrets.masker().mask_str("the-token/from-the-vault/literal"),
            [crate::process::mask::MASK; 3].join("/")
        );
    }

    #[tokio::test]
    async fn without_a_provider_a_reference_is_named_in_the_error() {
        let secrets = Secrets::new(Arc::new(NoProvider), Vec::new());
        let error = secrets
            .resolve("secrets", &values("A", r#"<+secrets.getValue("db")>"#))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(r#"`<+secrets.getValue("db")>`"#) && error.contains("`secrets.A`"),
            "{error}"
        );
    }
}
