//! Secrets in the delegate's own environment.

use async_trait::async_trait;

use super::{FetchError, SecretName, SecretProvider};
use crate::Secret;
use crate::config::secrets::EnvironmentSecrets;

/// Variables with a prefix, as they were at the start. `env`.
///
/// The secret `account.db` is in the variable of that name behind the prefix, or, since few programs can set such a
/// variable, in `ACCOUNT_DB`: upper case, with `_` for whatever is neither letter nor digit.
pub struct Environment(EnvironmentSecrets);

impl Environment {
    /// Those of a configuration.
    pub fn new(settings: EnvironmentSecrets) -> Self {
        Self(settings)
    }
}

#[async_trait]
impl SecretProvider for Environment {
    fn scheme(&self) -> &'static str {
        "env"
    }

    async fn fetch(&self, name: &SecretName) -> Result<Secret, FetchError> {
        name.without_version()?;
        let EnvironmentSecrets { prefix, values } = &self.0;
        let usual = variable(&name.path);
        match values.get(&name.path).or_else(|| values.get(&usual)) {
            Some(value) => name.pick(value.clone()),
            None => Err(FetchError::Absent(format!("{prefix}{usual} is not set"))),
        }
    }
}

fn variable(path: &str) -> String {
    let fits = |character: char| match character {
        'a'..='z' => character.to_ascii_uppercase(),
        'A'..='Z' | '0'..='9' => character,
        _ => '_',
    };
    path.chars().map(fits).collect()
}
