//! The settings that say where the secrets of tasks come from.

use std::path::PathBuf;

use url::Url;

use super::{ConfigErrors, Env, EnvValue, Reader, path};
use crate::Secret;
use crate::config::secrets::{
    AwsIdentity, AwsSettings, DEFAULT_VAULT_MOUNT, EnvironmentSecrets, INSTANCE_METADATA, OwnSecret,
    SERVICE_ACCOUNT_TOKEN, SecretSettings, VaultLogin, VaultSettings,
};

const PREFIX: &str = "DELEGATE_SECRETS_ENV_PREFIX";
const DIR: &str = "DELEGATE_SECRETS_DIR";
const VAULT_URL: &str = "DELEGATE_SECRETS_VAULT_URL";
const VAULT_NAMESPACE: &str = "DELEGATE_SECRETS_VAULT_NAMESPACE";
const VAULT_MOUNT: &str = "DELEGATE_SECRETS_VAULT_MOUNT";
const VAULT_AUTH_MOUNT: &str = "DELEGATE_SECRETS_VAULT_AUTH_MOUNT";
const VAULT_TOKEN: Either = (
    "DELEGATE_SECRETS_VAULT_TOKEN",
    "DELEGATE_SECRETS_VAULT_TOKEN_FILE",
);
const VAULT_ROLE_ID: &str = "DELEGATE_SECRETS_VAULT_ROLE_ID";
const VAULT_SECRET_ID: Either = (
    "DELEGATE_SECRETS_VAULT_SECRET_ID",
    "DELEGATE_SECRETS_VAULT_SECRET_ID_FILE",
);
const VAULT_KUBERNETES_ROLE: &str = "DELEGATE_SECRETS_VAULT_KUBERNETES_ROLE";
const VAULT_KUBERNETES_TOKEN_FILE: &str = "DELEGATE_SECRETS_VAULT_KUBERNETES_TOKEN_FILE";
const AWS_REGION: &str = "DELEGATE_SECRETS_AWS_REGION";
const AWS_ENDPOINT: &str = "DELEGATE_SECRETS_AWS_ENDPOINT";
const AWS_STS_ENDPOINT: &str = "DELEGATE_SECRETS_AWS_STS_ENDPOINT";
const AUTHORIZATION: Either = (
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
);

/// Where the task of a container of ECS has its credentials.
const CONTAINER_CREDENTIALS: &str = "http://169.254.170.2";

/// Secrets of the delegate itself, which no prefix may make secrets of tasks.
const OWN: [&str; 13] = [
    "DELEGATE_TOKEN",
    "HARNESS_DELEGATE_TOKEN",
    "HARNESS_PLATFORM_API_KEY",
    "ACCOUNT_SECRET",
    "UPGRADER_TOKEN",
    "MANAGER_DELEGATE_TOKEN",
    "PROXY_PASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    VAULT_TOKEN.0,
    VAULT_SECRET_ID.0,
];

/// A variable with a secret, and the one with the file it is in.
type Either = (&'static str, &'static str);

pub(super) fn read(read: &mut Reader<'_>) -> SecretSettings {
    SecretSettings {
        environment: environment(read),
        directory: path(read.env, DIR),
        vault: vault(read),
        aws: aws(read),
    }
}

fn environment(read: &mut Reader<'_>) -> Option<EnvironmentSecrets> {
    let prefix = read.env.get(PREFIX)?.trim().to_owned();
    let fits = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    if prefix.starts_with(|first: char| first.is_ascii_digit()) || !prefix.bytes().all(fits) {
        read.fail(
            PREFIX,
            "must have letters, digits and '_' only, and not begin with a digit",
        );
        return None;
    }
    if let Some(own) = OWN.iter().find(|own| own.starts_with(&prefix)) {
        read.fail(
            PREFIX,
            format_args!("would give {own} to tasks; choose another, for example TASK_SECRET_"),
        );
        return None;
    }
    let values = read.env.starting_with(&prefix);
    Some(EnvironmentSecrets { prefix, values })
}

impl Env {
    /// What follows a prefix in the names of variables, and their values.
    fn starting_with(&self, prefix: &str) -> std::collections::BTreeMap<String, Secret> {
        let found = self.0.iter().filter(|(_, value)| !value.is_empty());
        let found = found.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
        found
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, value)| (name.to_owned(), Secret::new(value)))
            .collect()
    }
}

fn vault(read: &mut Reader<'_>) -> Option<VaultSettings> {
    let logins = [VAULT_TOKEN.0, VAULT_TOKEN.1, VAULT_ROLE_ID, VAULT_KUBERNETES_ROLE];
    let set: Vec<&str> = logins
        .into_iter()
        .filter(|name| read.env.get(name).is_some())
        .collect();
    if read.env.get(VAULT_URL).is_none() {
        if let Some(name) = set.first() {
            read.fail(VAULT_URL, format_args!("is not set; {name} needs it"));
        }
        return None;
    }
    let url = read.url(VAULT_URL);
    if set.len() != 1 {
        let problem = if set.is_empty() {
            format!("needs a login: set one of {}", logins.join(", "))
        } else {
            format!("has more than one login: keep one of {}", set.join(", "))
        };
        read.fail(VAULT_URL, problem);
        return None;
    }
    let login = if let Some(role_id) = read.env.get(VAULT_ROLE_ID).map(str::to_owned) {
        let secret_id = either(read, VAULT_SECRET_ID);
        if secret_id.is_none() {
            read.fail(
                VAULT_SECRET_ID.0,
                format_args!("is not set; {VAULT_ROLE_ID} needs it, or {}", VAULT_SECRET_ID.1),
            );
        }
        VaultLogin::AppRole {
            mount: vault_path(read, VAULT_AUTH_MOUNT, "approle"),
            role_id,
            secret_id: secret_id?,
        }
    } else if let Some(role) = read.env.get(VAULT_KUBERNETES_ROLE).map(str::to_owned) {
        VaultLogin::Kubernetes {
            mount: vault_path(read, VAULT_AUTH_MOUNT, "kubernetes"),
            role,
            token_file: path(read.env, VAULT_KUBERNETES_TOKEN_FILE)
                .unwrap_or_else(|| PathBuf::from(SERVICE_ACCOUNT_TOKEN)),
        }
    } else {
        VaultLogin::Token(either(read, VAULT_TOKEN)?)
    };
    Some(VaultSettings {
        url: url?,
        namespace: read.env.get(VAULT_NAMESPACE).map(str::to_owned),
        mount: vault_path(read, VAULT_MOUNT, DEFAULT_VAULT_MOUNT),
        login,
    })
}

/// Slashes around it do not count.
fn vault_path(read: &mut Reader<'_>, name: &'static str, default: &str) -> String {
    let Some(text) = read.env.get(name) else {
        return default.to_owned();
    };
    let text = text.trim().trim_matches('/').to_owned();
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        read.fail(name, "is no path of Vault's; write it as in `vault secrets list`");
    }
    text
}

fn either(read: &mut Reader<'_>, (inline, file): Either) -> Option<OwnSecret> {
    match (read.env.get(inline), path(read.env, file)) {
        (Some(_), Some(_)) => {
            read.fail(file, format_args!("and {inline} are both set; keep one"));
            None
        }
        (Some(text), None) => Some(OwnSecret::Inline(Secret::new(text))),
        (None, Some(path)) => Some(OwnSecret::File(path)),
        (None, None) => None,
    }
}

fn aws(read: &mut Reader<'_>) -> Option<AwsSettings> {
    let Some(region) = read.env.get(AWS_REGION).map(|text| text.trim().to_owned()) else {
        if read.env.get(AWS_ENDPOINT).is_some() {
            read.fail(AWS_REGION, format_args!("is not set; {AWS_ENDPOINT} needs it"));
        }
        return None;
    };
    // It becomes part of a host's name.
    let fits = |byte: u8| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !region.bytes().all(fits) {
        read.fail(
            AWS_REGION,
            format_args!("{region:?} is no region of AWS; expected for example eu-central-1"),
        );
    }
    Some(AwsSettings {
        region,
        endpoint: read.url(AWS_ENDPOINT),
        sts_endpoint: read.url(AWS_STS_ENDPOINT),
        identity: identity(read, AWS_REGION)?,
    })
}

impl AwsIdentity {
    /// What variables of this environment say, in the order of AWS's own programs. The error names the one that cannot be
    /// used; `needed_by` is named where there is none.
    pub(crate) fn of_env(env: &Env, needed_by: &'static str) -> Result<Self, ConfigErrors> {
        let mut read = Reader {
            env,
            errors: Vec::new(),
        };
        let found = identity(&mut read, needed_by);
        found
            .filter(|_| read.errors.is_empty())
            .ok_or(ConfigErrors(read.errors))
    }
}

/// The first whose variables are set, in the order of AWS's own programs.
fn identity(read: &mut Reader<'_>, needed_by: &'static str) -> Option<AwsIdentity> {
    let text = |name: &str| read.env.get(name).map(str::to_owned);
    if let Some(id) = text("AWS_ACCESS_KEY_ID") {
        let Some(secret) = text("AWS_SECRET_ACCESS_KEY") else {
            read.fail("AWS_SECRET_ACCESS_KEY", "is not set; AWS_ACCESS_KEY_ID needs it");
            return None;
        };
        return Some(AwsIdentity::Keys {
            id,
            secret: Secret::new(secret),
            session_token: text("AWS_SESSION_TOKEN").map(Secret::new),
        });
    }
    if let Some(token_file) = path(read.env, "AWS_WEB_IDENTITY_TOKEN_FILE") {
        let Some(role_arn) = text("AWS_ROLE_ARN") else {
            read.fail("AWS_ROLE_ARN", "is not set; AWS_WEB_IDENTITY_TOKEN_FILE needs it");
            return None;
        };
        return Some(AwsIdentity::WebIdentity {
            token_file,
            role_arn,
            session_name: text("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "harness-delegate".to_owned()),
        });
    }
    if let Some(relative) = text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let url = Url::parse(CONTAINER_CREDENTIALS).and_then(|base| base.join(&relative));
        return container(read, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", url.ok());
    }
    if read.env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some() {
        let url = read.url("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        return container(read, "AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    }
    if read.flag("AWS_EC2_METADATA_DISABLED") {
        read.fail(
            needed_by,
            "needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another way that AWS's own programs know",
        );
        return None;
    }
    let url = match read.env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        Some(_) => read.url("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        None => Url::parse(INSTANCE_METADATA).ok(),
    };
    Some(AwsIdentity::Instance { url: url? })
}

/// Credentials are asked for, and a token shown, only where nobody else can be listening.
fn container(read: &mut Reader<'_>, name: &'static str, url: Option<Url>) -> Option<AwsIdentity> {
    let url = url?;
    let near = match url.host() {
        Some(url::Host::Ipv4(address)) => {
            address.is_loopback() || ["169.254.170.2", "169.254.170.23"].contains(&&*address.to_string())
        }
        Some(url::Host::Ipv6(address)) => address.is_loopback() || address.to_string() == "fd00:ec2::23",
        Some(url::Host::Domain(host)) => host == "localhost",
        None => false,
    };
    if url.scheme() != "https" && !near {
        read.fail(
            name,
            "must be https, or an address of this machine or of AWS's own",
        );
        return None;
    }
    Some(AwsIdentity::Container {
        url,
        authorization: either(read, AUTHORIZATION),
    })
}

/// The variables of these settings.
pub(super) fn write(settings: &SecretSettings) -> Vec<(&'static str, EnvValue)> {
    let mut vars = Vars(Vec::new());
    vars.plain(PREFIX, settings.environment.as_ref().map(|env| &env.prefix));
    vars.plain(DIR, settings.directory.as_ref().map(|dir| dir.display()));
    if let Some(vault) = &settings.vault {
        vars.plain(VAULT_URL, Some(&vault.url));
        vars.plain(VAULT_NAMESPACE, vault.namespace.as_ref());
        vars.plain(VAULT_MOUNT, Some(&vault.mount));
        match &vault.login {
            VaultLogin::Token(token) => vars.either(VAULT_TOKEN, token),
            VaultLogin::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                vars.plain(VAULT_AUTH_MOUNT, Some(mount));
                vars.plain(VAULT_ROLE_ID, Some(role_id));
                vars.either(VAULT_SECRET_ID, secret_id);
            }
            VaultLogin::Kubernetes {
                mount,
                role,
                token_file,
            } => {
                vars.plain(VAULT_AUTH_MOUNT, Some(mount));
                vars.plain(VAULT_KUBERNETES_ROLE, Some(role));
                vars.plain(VAULT_KUBERNETES_TOKEN_FILE, Some(token_file.display()));
            }
        }
    }
    if let Some(aws) = &settings.aws {
        vars.plain(AWS_REGION, Some(&aws.region));
        vars.plain(AWS_ENDPOINT, aws.endpoint.as_ref());
        vars.plain(AWS_STS_ENDPOINT, aws.sts_endpoint.as_ref());
        vars.identity(&aws.identity);
    }
    vars.0
}

struct Vars(Vec<(&'static str, EnvValue)>);

impl Vars {
    fn plain(&mut self, name: &'static str, value: Option<impl ToString>) {
        self.0
            .extend(value.map(|value| (name, EnvValue::Plain(value.to_string()))));
    }

    fn secret(&mut self, name: &'static str, value: &Secret) {
        self.0.push((name, EnvValue::Secret(value.clone())));
    }

    fn either(&mut self, (inline, file): Either, value: &OwnSecret) {
        match value {
            OwnSecret::Inline(secret) => self.secret(inline, secret),
            OwnSecret::File(path) => self.plain(file, Some(path.display())),
        }
    }

    fn identity(&mut self, identity: &AwsIdentity) {
        match identity {
            AwsIdentity::Keys {
                id,
                secret,
                session_token,
            } => {
                self.plain("AWS_ACCESS_KEY_ID", Some(id));
                self.secret("AWS_SECRET_ACCESS_KEY", secret);
                if let Some(token) = session_token {
                    self.secret("AWS_SESSION_TOKEN", token);
                }
            }
            AwsIdentity::WebIdentity {
                token_file,
                role_arn,
                session_name,
            } => {
                self.plain("AWS_WEB_IDENTITY_TOKEN_FILE", Some(token_file.display()));
                self.plain("AWS_ROLE_ARN", Some(role_arn));
                self.plain("AWS_ROLE_SESSION_NAME", Some(session_name));
            }
            AwsIdentity::Container { url, authorization } => {
                self.plain("AWS_CONTAINER_CREDENTIALS_FULL_URI", Some(url));
                if let Some(authorization) = authorization {
                    self.either(AUTHORIZATION, authorization);
                }
            }
            AwsIdentity::Instance { url } => {
                let other = url.as_str().trim_end_matches('/') != INSTANCE_METADATA;
                self.plain("AWS_EC2_METADATA_SERVICE_ENDPOINT", other.then_some(url));
            }
        }
    }
}
