//! Where the secrets come from that tasks refer to. Each place is off until its first variable is set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use crate::Secret;

/// Vault's secrets engine, where nothing else is set.
pub const DEFAULT_VAULT_MOUNT: &str = "secret";

/// Where Kubernetes gives a pod the token of its service account.
pub const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Where a machine of EC2 is told who it is.
pub const INSTANCE_METADATA: &str = "http://169.254.169.254";

/// The places, in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretSettings {
    /// `DELEGATE_SECRETS_ENV_PREFIX`.
    pub environment: Option<EnvironmentSecrets>,
    /// `DELEGATE_SECRETS_DIR`: a folder with a file for each secret, as Kubernetes mounts a Secret.
    pub directory: Option<PathBuf>,
    /// `DELEGATE_SECRETS_VAULT_URL` and its companions.
    pub vault: Option<VaultSettings>,
    /// `DELEGATE_SECRETS_AWS_REGION` and its companions.
    pub aws: Option<AwsSettings>,
}

impl SecretSettings {
    /// What in here is secret itself: masked in whatever a task prints.
    pub fn own(&self) -> Vec<Secret> {
        let mut own = Vec::new();
        own.extend(
            self.environment
                .iter()
                .flat_map(|env| env.values.values().cloned()),
        );
        if let Some(
            VaultLogin::Token(OwnSecret::Inline(secret))
            | VaultLogin::AppRole {
                secret_id: OwnSecret::Inline(secret),
                ..
            },
        ) = self.vault.as_ref().map(|vault| &vault.login)
        {
            own.push(secret.clone());
        }
        match self.aws.as_ref().map(|aws| &aws.identity) {
            Some(AwsIdentity::Keys {
                secret,
                session_token,
                ..
            }) => {
                own.push(secret.clone());
                own.extend(session_token.clone());
            }
            Some(AwsIdentity::Container {
                authorization: Some(OwnSecret::Inline(secret)),
                ..
            }) => own.push(secret.clone()),
            _ => {}
        }
        own
    }
}

/// A secret of the delegate's own, or the file it is in, which may be replaced while the delegate runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnSecret {
    /// In the environment.
    Inline(Secret),
    /// In a file; white space around it does not count.
    File(PathBuf),
}

/// Variables of the delegate's own environment that are secrets for tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentSecrets {
    /// `DELEGATE_SECRETS_ENV_PREFIX`: how their names begin.
    pub prefix: String,
    /// What follows the prefix, and the value. No setting: whoever installs a delegate sets these variables beside
    /// its settings, as Secrets of the place.
    pub values: BTreeMap<String, Secret>,
}

/// HashiCorp Vault, or what speaks its protocol, with a secrets engine of type KV version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultSettings {
    /// `DELEGATE_SECRETS_VAULT_URL`.
    pub url: Url,
    /// `DELEGATE_SECRETS_VAULT_NAMESPACE`.
    pub namespace: Option<String>,
    /// `DELEGATE_SECRETS_VAULT_MOUNT`: path of the secrets engine.
    pub mount: String,
    /// Who the delegate is there.
    pub login: VaultLogin,
}

/// How a delegate proves to Vault who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultLogin {
    /// `DELEGATE_SECRETS_VAULT_TOKEN` or `DELEGATE_SECRETS_VAULT_TOKEN_FILE`.
    Token(OwnSecret),
    /// `DELEGATE_SECRETS_VAULT_ROLE_ID` with `DELEGATE_SECRETS_VAULT_SECRET_ID` or its `_FILE`.
    AppRole {
        /// `DELEGATE_SECRETS_VAULT_AUTH_MOUNT`, else `approle`.
        mount: String,
        /// Public half.
        role_id: String,
        /// Secret half.
        secret_id: OwnSecret,
    },
    /// `DELEGATE_SECRETS_VAULT_KUBERNETES_ROLE`.
    Kubernetes {
        /// `DELEGATE_SECRETS_VAULT_AUTH_MOUNT`, else `kubernetes`.
        mount: String,
        /// The role.
        role: String,
        /// `DELEGATE_SECRETS_VAULT_KUBERNETES_TOKEN_FILE`, else [`SERVICE_ACCOUNT_TOKEN`].
        token_file: PathBuf,
    },
}

/// AWS Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSettings {
    /// `DELEGATE_SECRETS_AWS_REGION`.
    pub region: String,
    /// `DELEGATE_SECRETS_AWS_ENDPOINT`: instead of the region's own, for example one in a VPC.
    pub endpoint: Option<Url>,
    /// `DELEGATE_SECRETS_AWS_STS_ENDPOINT`: the same for the service that exchanges a web identity for credentials.
    pub sts_endpoint: Option<Url>,
    /// Who the delegate is there: the first of these whose variables are set, else the machine's role.
    pub identity: AwsIdentity,
}

/// How a delegate gets credentials of AWS, by the variables that AWS itself uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsIdentity {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    Keys {
        /// Public half.
        id: String,
        /// Secret half.
        secret: Secret,
        /// Of credentials for a time.
        session_token: Option<Secret>,
    },
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`, `AWS_ROLE_SESSION_NAME`: a service account of Kubernetes.
    WebIdentity {
        /// File with the token, which is replaced from time to time.
        token_file: PathBuf,
        /// The role to take.
        role_arn: String,
        /// Shown in AWS's logs.
        session_name: String,
    },
    /// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`, `AWS_CONTAINER_AUTHORIZATION_TOKEN` or its `_FILE`.
    Container {
        /// Where credentials are had: on this machine, at an address of AWS's, or by https.
        url: Url,
        /// What is asked for there.
        authorization: Option<OwnSecret>,
    },
    /// The role of the machine, by its metadata service, version 2.
    Instance {
        /// `AWS_EC2_METADATA_SERVICE_ENDPOINT`, else [`INSTANCE_METADATA`].
        url: Url,
    },
}
