//! Secrets of a task: from references to values, and from values to the masking.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::{TaskError, reference};
use crate::Secret;
use crate::process::mask::{Masker, Rules};

/// References in one task: nobody needs more, and each may cost a call.
const MAX_REFERENCES: usize = 200;

/// So many are resolved at a time: quick for a task with many, and gentle to who keeps them.
const AT_ONCE: usize = 8;

/// Fetches secrets from where a delegate's owner keeps them.
#[async_trait]
pub trait SecretResolver: Send + Sync {
    /// The value of a name, as it stands in `<+secrets.getValue("name")>`. Several may be asked for at a time; must end
    /// within a bound of its own. The error is a sentence: what was tried, what came back, what to do; never a value.
    async fn resolve(&self, name: &str) -> Result<Secret, String>;
}

/// The resolver of a delegate without any secret provider: knows nothing.
pub struct NoProvider;

#[async_trait]
impl SecretResolver for NoProvider {
    async fn resolve(&self, _name: &str) -> Result<Secret, String> {
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
    /// Compiled when it is first asked for, and again when there are more secrets.
    masker: Option<Masker>,
}

impl Secrets {
    /// `known`: what is secret before the task brings its own, above all the delegate's token.
    pub fn new(resolver: Arc<dyn SecretResolver>, known: Vec<Secret>) -> Self {
        Self::with_rules(resolver, known, Rules::default())
    }

    /// The same, and what these patterns match is masked as well.
    pub fn with_rules(resolver: Arc<dyn SecretResolver>, known: Vec<Secret>, rules: Rules) -> Self {
        Self {
            resolver,
            known: Arc::new(Mutex::new(Known {
                secrets: known,
                rules,
                masker: None,
            })),
        }
    }

    /// Replaces every reference in task data by the value that it stands for, which is masked from then on. With an error
    /// nothing is replaced. May be dropped at any await.
    pub(super) async fn resolve(&self, data: &mut Value) -> Result<(), TaskError> {
        if !reference::has_any(data) {
            return Ok(());
        }
        let mut wanted = BTreeMap::new();
        reference::find(data, "", &mut wanted)?;
        if wanted.len() > MAX_REFERENCES {
            return Err(TaskError::Refused(format!(
                "the task's data refers to {} secrets, at most {MAX_REFERENCES} are resolved; split the task",
                wanted.len()
            )));
        }
        let resolve = |(name, (path, reference)): (String, (String, String))| async move {
            match self.resolver.resolve(&name).await {
                Ok(value) => Ok((name, value)),
                Err(problem) => Err(TaskError::Secret {
                    path,
                    reference,
                    problem,
                }),
            }
        };
        let values: BTreeMap<_, _> = futures_util::stream::iter(wanted)
            .map(resolve)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        self.mask(values.values().cloned());
        reference::replace(data, &values);
        Ok(())
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
            known.masker = None;
        }
    }

    /// The masking of everything known so far.
    pub fn masker(&self) -> Masker {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known {
            secrets,
            rules,
            masker,
        } = &mut *known;
        masker
            .get_or_insert_with(|| Masker::new(&*secrets).with_rules(rules.clone()))
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Vault;

    #[async_trait]
    impl SecretResolver for Vault {
        async fn resolve(&self, name: &str) -> Result<Secret, String> {
            match name {
                "db" => Ok(Secret::new("from-the-vault")),
                _ => Err("there is no such name".to_owned()),
            }
        }
    }

    #[tokio::test]
    async fn what_is_resolved_is_masked() {
        let secrets = Secrets::new(Arc::new(Vault), vec![Secret::new("the-token")]);
        let text = "the-token from-the-vault";
        assert_eq!(secrets.masker().mask_str(text), "************** from-the-vault");
        let mut data = json!({"secrets": {"A": "x<+secrets.getValue(\"db\")>"}});
        secrets.resolve(&mut data).await.unwrap();
        assert_eq!(data, json!({"secrets": {"A": "xfrom-the-vault"}}));
        assert_eq!(
            secrets.masker().mask_str(text),
            [crate::process::mask::MASK; 2].join(" ")
        );
    }

    #[tokio::test]
    async fn what_cannot_be_resolved_is_named_with_its_field_and_nothing_is_replaced() {
        let secrets = Secrets::new(Arc::new(Vault), Vec::new());
        let before = json!({"a": "<+secrets.getValue('db')>", "b": ["<+secrets.getValue('no')>"]});
        let mut data = before.clone();
        let error = secrets.resolve(&mut data).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "secret `<+secrets.getValue('no')>` in task data field `b[0]`: there is no such name"
        );
        assert_eq!(data, before);
        let none = Secrets::new(Arc::new(NoProvider), Vec::new());
        let error = none.resolve(&mut data).await.unwrap_err().to_string();
        assert!(error.contains("no secret provider"), "{error}");
    }

    #[tokio::test]
    async fn more_references_than_anybody_needs_are_refused() {
        let secrets = Secrets::new(Arc::new(Vault), Vec::new());
        let many = (0..=MAX_REFERENCES).map(|n| format!("<+secrets.getValue('{n}')>"));
        let mut data = many.collect();
        let error = secrets.resolve(&mut data).await.unwrap_err().to_string();
        assert!(error.contains("201 secrets, at most 200"), "{error}");
    }
}
