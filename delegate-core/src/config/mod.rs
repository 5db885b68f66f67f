//! Every setting of a delegate, once.
//!
//! [`DelegateConfig`] is read from the environment by the agent ([`DelegateConfig::from_env`]) and written to an
//! environment by the installers ([`DelegateConfig::to_env`]); the two are each other's inverse, which a property test
//! holds. Variable names are the ones the official image, chart and manifests use, so that either program runs under
//! either installation. This module does no I/O and knows no other part of the crate.

mod confinement;
mod env;
mod env_file;
mod names;
pub mod secrets;
pub mod telemetry;
mod token;
pub mod variables;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

pub use confinement::ConfinementSettings;
pub use env::{ConfigError, ConfigErrors, Env, EnvValue};
pub use env_file::{EnvFileError, parse as parse_env_file, render as render_env_file};
pub use names::{AccountId, DelegateName, NameError, Tag};
pub use token::{DelegateToken, TokenError};
use url::Url;

use crate::Secret;

/// Port of health and metrics in the official image, and ours.
pub const DEFAULT_HTTP_PORT: u16 = 3460;

/// Writable folder of the official image, and ours.
pub const DEFAULT_WORKING_DIR: &str = "/opt/harness-delegate";

/// Folder of extra CA certificates in the official image, and ours.
pub const DEFAULT_CA_BUNDLE_DIR: &str = "/opt/harness-delegate/ca-bundle";

/// Time for running tasks to finish after SIGTERM: the official chart's `terminationGracePeriodSeconds`.
pub const DEFAULT_GRACE_PERIOD: Duration = Duration::from_mins(10);

/// The settings of one delegate.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one switch of the environment contract"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegateConfig {
    /// `ACCOUNT_ID`.
    pub account_id: AccountId,
    /// `DELEGATE_NAME`: shared by the replicas of one delegate.
    pub name: DelegateName,
    /// `DELEGATE_TOKEN` or `DELEGATE_TOKEN_FILE`.
    pub token: TokenSource,
    /// `MANAGER_HOST_AND_PORT`: may carry a path, which is kept, without a slash at its end.
    pub manager_url: Url,
    /// `LOG_STREAMING_SERVICE_URL`; see [`DelegateConfig::log_service_url`] for the default.
    pub log_service_url: Option<Url>,
    /// `DELEGATE_DESCRIPTION`.
    pub description: String,
    /// `DELEGATE_TAGS`, comma-separated. The name is a tag by itself and not listed.
    pub tags: Vec<Tag>,
    /// `DELEGATE_TYPE`: how it was installed.
    pub delegate_type: DelegateType,
    /// `DELEGATE_NAMESPACE`, in Kubernetes.
    pub namespace: Option<String>,
    /// `POLL_FOR_TASKS`: never use the persistent connection.
    pub poll_for_tasks: bool,
    /// `INIT_SCRIPT`: run by the shell before the start; its failure stops the start.
    pub init_script: Option<String>,
    /// `LOGGING_LEVEL`.
    pub log_level: LogLevel,
    /// `LOG_FORMAT`: `text` or `json`, of the delegate's own log.
    pub log_format: LogFormat,
    /// `HARNESS_LOG_STREAMING_STDOUT_ENABLED`: task logs also go to stdout as JSON rows.
    pub task_logs_to_stdout: bool,
    /// `WORKING_DIR`: the only folder that must be writable, besides the system's temporary one.
    pub working_dir: PathBuf,
    /// `DELEGATE_HTTP_HOST`: address of health and metrics; all interfaces by default, because probes come from outside.
    pub http_host: IpAddr,
    /// `DELEGATE_HTTP_PORT`.
    pub http_port: u16,
    /// `DELEGATE_SHELL`: shell of scripts that name none.
    pub shell: Option<PathBuf>,
    /// `BLOCK_SHELL_TASK`: do not offer shell scripts.
    pub block_shell_tasks: bool,
    /// `DELEGATE_TASK_CAPACITY`: most tasks at once; none of our own limit when absent.
    pub task_capacity: Option<u32>,
    /// `DELEGATE_CPU_THRESHOLD`: percent of the CPU above which tasks are left to others; off when absent.
    pub cpu_threshold: Option<Percent>,
    /// `DELEGATE_MEMORY_THRESHOLD`: the same for memory.
    pub memory_threshold: Option<Percent>,
    /// `ZTS_URL` and its companions: a service that is asked before each task.
    pub zero_trust: Option<ZeroTrust>,
    /// `DELEGATE_TASK_KINDS_DIR`: folder with the manifests of task kinds of the owner's own.
    pub task_kinds_dir: Option<PathBuf>,
    /// `DELEGATE_TASK_MAX_*` and `DELEGATE_TASK_USER`.
    pub confinement: ConfinementSettings,
    /// `DELEGATE_SECRETS_*`: where the secrets come from that tasks refer to.
    pub secrets: secrets::SecretSettings,
    /// `DELEGATE_GRACE_PERIOD_SECONDS`: time for running tasks to finish after SIGTERM.
    pub grace_period: Duration,
    /// `PROXY_HOST` and its companions.
    pub proxy: Option<Proxy>,
    /// `NO_PROXY`: domain suffixes reached without the proxy.
    pub no_proxy: Vec<String>,
    /// `DELEGATE_CLIENT_CERTIFICATE_PATH` and `DELEGATE_CLIENT_CERTIFICATE_KEY_PATH`: mutual TLS towards the manager.
    pub client_certificate: Option<ClientCertificate>,
    /// `HARNESS_CERTS_DIR`: folder of extra CA certificates; missing is fine.
    pub ca_bundle_dir: PathBuf,
    /// `TRUST_ALL_CERTIFICATES`: debugging only.
    pub trust_all_certificates: bool,
    /// `OTEL_*`: where traces and metrics are pushed to.
    pub telemetry: telemetry::Telemetry,
}

impl DelegateConfig {
    /// The required settings, everything else at its default.
    pub fn new(account_id: AccountId, name: DelegateName, token: TokenSource, mut manager_url: Url) -> Self {
        // Paths are appended to it; one form, so that equal settings compare equal.
        let path = manager_url.path().trim_end_matches('/').to_owned();
        manager_url.set_path(&path);
        Self {
            account_id,
            name,
            token,
            manager_url,
            log_service_url: None,
            description: String::new(),
            tags: Vec::new(),
            delegate_type: DelegateType::Docker,
            namespace: None,
            poll_for_tasks: false,
            init_script: None,
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
            task_logs_to_stdout: false,
            working_dir: PathBuf::from(DEFAULT_WORKING_DIR),
            http_host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            http_port: DEFAULT_HTTP_PORT,
            shell: None,
            block_shell_tasks: false,
            task_capacity: None,
            cpu_threshold: None,
            memory_threshold: None,
            zero_trust: None,
            task_kinds_dir: None,
            confinement: ConfinementSettings::default(),
            secrets: secrets::SecretSettings::default(),
            grace_period: DEFAULT_GRACE_PERIOD,
            proxy: None,
            no_proxy: Vec::new(),
            client_certificate: None,
            ca_bundle_dir: PathBuf::from(DEFAULT_CA_BUNDLE_DIR),
            trust_all_certificates: false,
            telemetry: telemetry::Telemetry::default(),
        }
    }

    /// Base of the log service: as set, else `<manager>/log-service/`.
    pub fn log_service_url(&self) -> Url {
        self.log_service_url.clone().unwrap_or_else(|| {
            let mut url = self.manager_url.clone();
            url.set_path(&format!(
                "{}/log-service/",
                self.manager_url.path().trim_end_matches('/')
            ));
            url
        })
    }
}

/// Where the delegate token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// In the environment.
    Inline(DelegateToken),
    /// In a file, which may be replaced while the delegate runs.
    File(PathBuf),
    /// Given to the delegate in another way, for example by a Secret of its owner: an installer writes nothing.
    Elsewhere,
}

/// How a delegate was installed, as managers show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DelegateType {
    /// By a plain Kubernetes manifest.
    Kubernetes,
    /// As a container, or on a host.
    #[default]
    Docker,
    /// By a Helm chart.
    HelmDelegate,
    /// As an ECS task.
    Ecs,
    /// By a shell script, of old.
    ShellScript,
}

/// Verbosity of the delegate's own log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// For whoever runs it.
    #[default]
    Info,
    /// What may need attention.
    Warn,
    /// What went wrong.
    Error,
    /// Nothing.
    Off,
}

/// Form of the delegate's own log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A share in percent, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// What the official image's thresholds are where they are switched on without a number.
    pub const USUAL: Self = Self(80);

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        if (1..=100).contains(&number) {
            Ok(Self(number))
        } else {
            Err("must be a number of percent, 1 to 100")
        }
    }
}

impl std::str::FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<u8>().unwrap_or(0).try_into()
    }
}

/// A service of the owner's that is asked before each task and told after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZeroTrust {
    /// `ZTS_URL`.
    pub url: Url,
    /// `ZTS_TIMEOUT_SECONDS`: of one call.
    pub timeout: Duration,
    /// `ZTS_RETRY_COUNT`: further calls when one has no answer.
    pub retries: u32,
    /// `ZTS_ENFORCE`: a task that is denied, or that cannot be asked about, fails; else it is only logged.
    pub enforce: bool,
}

/// A forward proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `PROXY_SCHEME`.
    pub scheme: ProxyScheme,
    /// `PROXY_HOST`.
    pub host: String,
    /// `PROXY_PORT`.
    pub port: u16,
    /// `PROXY_USER` and `PROXY_PASSWORD`, in clear here; the environment carries them URL-encoded.
    pub credentials: Option<ProxyCredentials>,
}

impl Proxy {
    /// Its URL with the login, as tools read it from `HTTPS_PROXY`.
    pub fn url(&self) -> Secret {
        let login = self.credentials.as_ref().map_or_else(String::new, |login| {
            let (user, password) = (&login.user, login.password.expose());
            format!("{}:{}@", env::percent_encode(user), env::percent_encode(password))
        });
        Secret::new(format!("{}://{login}{}:{}", self.scheme, self.host, self.port))
    }
}

/// How the proxy itself is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ProxyScheme {
    /// Plain.
    #[default]
    Http,
    /// TLS to the proxy.
    Https,
}

/// Login of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyCredentials {
    /// User name.
    pub user: String,
    /// Password; may be empty.
    pub password: Secret,
}

/// A client certificate and its key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Path of the certificate chain.
    pub certificate: PathBuf,
    /// Path of the private key.
    pub key: PathBuf,
}
