//! Environment variables to [`DelegateConfig`] and back.
//!
//! One function reads and one writes; a property test holds them together. An empty variable counts as absent,
//! because charts and compose files pass empty ones for what is not set.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use super::{
    ConfinementSettings, DEFAULT_HTTP_PORT, DelegateConfig, DelegateName, DelegateToken, DelegateType,
    LogFormat, LogLevel, Percent, ProxyScheme, Tag, TokenSource,
};
use crate::Secret;
use crate::config::telemetry::OtlpProtocol;
pub(super) use network::percent_encode;
use network::{more_direct_hosts, read_client_certificate, read_proxy, read_zero_trust};

mod network;
mod secrets;
mod telemetry;

/// Variables to read from: a snapshot, not the process's own.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The variables of this process; what is not UTF-8 is left out.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// The same with `others` filled in where a variable is absent or empty here.
    #[must_use]
    pub fn or(mut self, others: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in others {
            if self.get(&name).is_none() {
                self.0.insert(name, value);
            }
        }
        self
    }

    /// A variable's value, unless empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Names of the variables that are not empty, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, _)| name.as_str())
    }

    /// The same without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// The same with a variable set.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl FromIterator<(String, String)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(vars: I) -> Self {
        Self(vars.into_iter().collect())
    }
}

/// A value to be written: the writer decides by its kind where it may go (`ConfigMap` or `Secret`, shown or not).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// May be shown.
    Plain(String),
    /// Must not be shown.
    Secret(Secret),
}

impl EnvValue {
    /// The text itself, whatever its kind.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct ConfigError {
    /// Name of the variable.
    pub variable: &'static str,
    /// What is wrong and what to do; never a secret value.
    pub problem: String,
}

/// Everything that is wrong with a configuration, in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

struct Reader<'a> {
    env: &'a Env,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    /// First non-empty of the names; an error names the one that was set.
    fn text(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        names
            .iter()
            .find_map(|name| Some((*name, self.env.get(name)?.to_owned())))
    }

    fn fail(&mut self, variable: &'static str, problem: impl Display) {
        let error = ConfigError {
            variable,
            problem: problem.to_string(),
        };
        // A variable that holds for two settings is read twice.
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, names: &[&'static str]) -> Option<T> {
        let (name, text) = self.text(names)?;
        text.trim().parse().map_err(|error| self.fail(name, error)).ok()
    }

    fn required<T: FromStr<Err: Display>>(&mut self, names: &[&'static str], remedy: &str) -> Option<T> {
        if self.text(names).is_none() {
            self.fail(names[0], format_args!("is not set; {remedy}"));
            return None;
        }
        self.parsed(names)
    }

    fn flag(&mut self, name: &'static str) -> bool {
        match self
            .env
            .get(name)
            .map(|text| text.trim().to_ascii_lowercase())
            .as_deref()
        {
            None | Some("false" | "0" | "no") => false,
            Some("true" | "1" | "yes") => true,
            Some(_) => {
                self.fail(name, "must be true or false");
                false
            }
        }
    }

    /// A number above zero.
    fn bound(&mut self, name: &'static str) -> Option<u32> {
        let number = self.parsed(&[name]);
        if number == Some(0) {
            self.fail(name, "must be at least 1; leave it out for no limit");
        }
        number
    }

    fn url(&mut self, name: &'static str) -> Option<Url> {
        let text = self.env.get(name)?.trim().to_owned();
        match text.parse::<Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            _ => {
                self.fail(
                    name,
                    format_args!("{text:?} is not a URL; expected for example https://app.harness.io"),
                );
                None
            }
        }
    }
}

impl DelegateConfig {
    /// Reads the configuration.
    ///
    /// # Errors
    /// All unusable settings at once, each with the variable's name and what to do.
    pub fn from_env(env: &Env) -> Result<Self, ConfigErrors> {
        let mut read = Reader {
            env,
            errors: Vec::new(),
        };
        let account = read.required(
            &["ACCOUNT_ID", "HARNESS_ACCOUNT_ID"],
            "set it to the id of your account",
        );
        let name: Option<DelegateName> = read.required(
            &["DELEGATE_NAME", "HARNESS_DELEGATE_NAME"],
            "give this delegate a name",
        );
        let token = read_token(&mut read);
        if read.env.get("MANAGER_HOST_AND_PORT").is_none() {
            read.fail(
                "MANAGER_HOST_AND_PORT",
                "is not set; set it to the manager's URL, for example https://app.harness.io",
            );
        }
        let manager = read.url("MANAGER_HOST_AND_PORT");
        let (Some(account), Some(name), Some(token), Some(manager)) = (account, name, token, manager) else {
            return Err(ConfigErrors(read.errors));
        };
        let mut config = Self::new(account, name, token, manager);
        config.log_service_url = read.url("LOG_STREAMING_SERVICE_URL");
        config.description = env
            .get("DELEGATE_DESCRIPTION")
            .map(str::to_owned)
            .unwrap_or_default();
        config.tags = read_tags(&mut read);
        config.delegate_type = read.parsed(&["DELEGATE_TYPE"]).unwrap_or(config.delegate_type);
        config.namespace = env.get("DELEGATE_NAMESPACE").map(str::to_owned);
        config.poll_for_tasks = read.flag("POLL_FOR_TASKS");
        config.init_script = env.get("INIT_SCRIPT").map(str::to_owned);
        // An unknown level means DEBUG in the official image: better too much than nothing.
        config.log_level = env
            .get("LOGGING_LEVEL")
            .map_or(LogLevel::Info, |t| t.parse().unwrap_or(LogLevel::Debug));
        config.log_format = read.parsed(&["LOG_FORMAT"]).unwrap_or_default();
        config.task_logs_to_stdout = read.flag("HARNESS_LOG_STREAMING_STDOUT_ENABLED");
        config.working_dir = path(env, "WORKING_DIR").unwrap_or(config.working_dir);
        config.http_host = read
            .parsed::<IpAddr>(&["DELEGATE_HTTP_HOST"])
            .unwrap_or(config.http_host);
        config.http_port = read.parsed(&["DELEGATE_HTTP_PORT"]).unwrap_or(DEFAULT_HTTP_PORT);
        config.shell = path(env, "DELEGATE_SHELL");
        config.block_shell_tasks = read.flag("BLOCK_SHELL_TASK");
        config.task_capacity = read.parsed(&["DELEGATE_TASK_CAPACITY", "DELEGATE_TASK_LIMIT"]);
        if config.task_capacity == Some(0) {
            read.fail(
                "DELEGATE_TASK_CAPACITY",
                "must be at least 1; leave it out for no limit",
            );
        }
        // The older switch for both, with a threshold for both.
        let both = read.flag("DYNAMIC_REQUEST_HANDLING").then(|| {
            let said = read.parsed(&["DELEGATE_RESOURCE_THRESHOLD"]);
            said.unwrap_or(Percent::USUAL)
        });
        config.cpu_threshold = read
            .parsed(&["DELEGATE_CPU_THRESHOLD", "CPU_USAGE_THRESHOLD"])
            .or(both);
        config.memory_threshold = read
            .parsed(&["DELEGATE_MEMORY_THRESHOLD", "MEMORY_USAGE_THRESHOLD"])
            .or(both);
        config.zero_trust = read_zero_trust(&mut read);
        config.secrets = secrets::read(&mut read);
        config.task_kinds_dir = path(env, "DELEGATE_TASK_KINDS_DIR");
        config.confinement = ConfinementSettings {
            max_processes: read.bound("DELEGATE_TASK_MAX_PROCESSES"),
            max_memory_mib: read.bound("DELEGATE_TASK_MAX_MEMORY_MIB"),
            max_millicpus: read.bound("DELEGATE_TASK_MAX_MILLICPUS"),
            user: env.get("DELEGATE_TASK_USER").map(|user| user.trim().to_owned()),
        };
        if let Some(seconds) = read.parsed(&["DELEGATE_GRACE_PERIOD_SECONDS"]) {
            config.grace_period = Duration::from_secs(seconds);
        }
        config.proxy = read_proxy(&mut read);
        config.no_proxy = list(env.get("NO_PROXY").unwrap_or_default())
            .map(str::to_owned)
            .collect();
        config.no_proxy.extend(more_direct_hosts(&read, &config));
        config.client_certificate = read_client_certificate(&mut read);
        config.ca_bundle_dir = path(env, "HARNESS_CERTS_DIR").unwrap_or(config.ca_bundle_dir);
        config.trust_all_certificates = read.flag("TRUST_ALL_CERTIFICATES");
        config.telemetry = telemetry::read(&mut read);
        if read.errors.is_empty() {
            Ok(config)
        } else {
            Err(ConfigErrors(read.errors))
        }
    }

    /// Writes the configuration: what the official image needs always, the rest where it differs from the default.
    pub fn to_env(&self) -> Vec<(&'static str, EnvValue)> {
        let mut vars = Vec::new();
        let mut plain = |name, value: String| vars.push((name, EnvValue::Plain(value)));
        let defaults = Self::new(
            self.account_id.clone(),
            self.name.clone(),
            self.token.clone(),
            self.manager_url.clone(),
        );
        plain("ACCOUNT_ID", self.account_id.to_string());
        plain("DELEGATE_NAME", self.name.to_string());
        plain(
            "MANAGER_HOST_AND_PORT",
            self.manager_url.as_str().trim_end_matches('/').to_owned(),
        );
        plain("LOG_STREAMING_SERVICE_URL", self.log_service_url().into());
        plain("NEXT_GEN", "true".to_owned());
        plain("DEPLOY_MODE", "KUBERNETES".to_owned());
        plain("DELEGATE_TYPE", self.delegate_type.to_string());
        plain(
            "DELEGATE_TAGS",
            self.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(","),
        );
        plain("DELEGATE_DESCRIPTION", self.description.clone());
        plain("POLL_FOR_TASKS", self.poll_for_tasks.to_string());
        let mut differs = |name, differs: bool, value: String| {
            if differs {
                plain(name, value);
            }
        };
        differs(
            "DELEGATE_NAMESPACE",
            self.namespace.is_some(),
            self.namespace.clone().unwrap_or_default(),
        );
        differs(
            "INIT_SCRIPT",
            self.init_script.is_some(),
            self.init_script.clone().unwrap_or_default(),
        );
        differs(
            "LOGGING_LEVEL",
            self.log_level != defaults.log_level,
            self.log_level.to_string(),
        );
        differs(
            "LOG_FORMAT",
            self.log_format != defaults.log_format,
            self.log_format.to_string(),
        );
        differs(
            "HARNESS_LOG_STREAMING_STDOUT_ENABLED",
            self.task_logs_to_stdout,
            "true".to_owned(),
        );
        differs(
            "WORKING_DIR",
            self.working_dir != defaults.working_dir,
            self.working_dir.display().to_string(),
        );
        differs(
            "DELEGATE_HTTP_HOST",
            self.http_host != defaults.http_host,
            self.http_host.to_string(),
        );
        differs(
            "DELEGATE_HTTP_PORT",
            self.http_port != defaults.http_port,
            self.http_port.to_string(),
        );
        let shell = self.shell.as_ref().map(|p| p.display().to_string());
        differs("DELEGATE_SHELL", shell.is_some(), shell.unwrap_or_default());
        differs("BLOCK_SHELL_TASK", self.block_shell_tasks, "true".to_owned());
        let kinds = self.task_kinds_dir.as_ref().map(|p| p.display().to_string());
        differs(
            "DELEGATE_TASK_KINDS_DIR",
            kinds.is_some(),
            kinds.unwrap_or_default(),
        );
        let capacity = self.task_capacity.unwrap_or_default();
        differs(
            "DELEGATE_TASK_CAPACITY",
            self.task_capacity.is_some(),
            capacity.to_string(),
        );
        for (name, threshold) in [
            ("DELEGATE_CPU_THRESHOLD", self.cpu_threshold),
            ("DELEGATE_MEMORY_THRESHOLD", self.memory_threshold),
        ] {
            let number = threshold.map_or_else(String::new, |percent| percent.get().to_string());
            differs(name, threshold.is_some(), number);
        }
        if let Some(service) = &self.zero_trust {
            differs("ZTS_URL", true, service.url.to_string());
            differs("ZTS_TIMEOUT_SECONDS", true, service.timeout.as_secs().to_string());
            differs("ZTS_RETRY_COUNT", true, service.retries.to_string());
            differs("ZTS_ENFORCE", true, service.enforce.to_string());
        }
        let grace = self.grace_period.as_secs().to_string();
        differs(
            "DELEGATE_GRACE_PERIOD_SECONDS",
            self.grace_period != defaults.grace_period,
            grace,
        );
        differs("NO_PROXY", !self.no_proxy.is_empty(), self.no_proxy.join(","));
        let ca = self.ca_bundle_dir.display().to_string();
        differs(
            "HARNESS_CERTS_DIR",
            self.ca_bundle_dir != defaults.ca_bundle_dir,
            ca,
        );
        differs(
            "TRUST_ALL_CERTIFICATES",
            self.trust_all_certificates,
            "true".to_owned(),
        );
        if let Some(pair) = &self.client_certificate {
            differs(
                "DELEGATE_CLIENT_CERTIFICATE_PATH",
                true,
                pair.certificate.display().to_string(),
            );
            differs(
                "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH",
                true,
                pair.key.display().to_string(),
            );
        }
        if let Some(proxy) = &self.proxy {
            differs("PROXY_SCHEME", true, proxy.scheme.to_string());
            differs("PROXY_HOST", true, proxy.host.clone());
            differs("PROXY_PORT", true, proxy.port.to_string());
        }
        match &self.token {
            TokenSource::Inline(token) => vars.push(("DELEGATE_TOKEN", EnvValue::Secret(token.encoded()))),
            TokenSource::File(path) => {
                vars.push(("DELEGATE_TOKEN_FILE", EnvValue::Plain(path.display().to_string())));
            }
            TokenSource::Elsewhere => {}
        }
        if let Some(login) = self.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref()) {
            vars.push((
                "PROXY_USER",
                EnvValue::Secret(Secret::new(percent_encode(&login.user))),
            ));
            vars.push((
                "PROXY_PASSWORD",
                EnvValue::Secret(Secret::new(percent_encode(login.password.expose()))),
            ));
        }
        let ConfinementSettings {
            max_processes,
            max_memory_mib,
            max_millicpus,
            user,
        } = &self.confinement;
        let number = |number: &Option<u32>| number.map(|number| number.to_string());
        for (name, value) in [
            ("DELEGATE_TASK_MAX_PROCESSES", number(max_processes)),
            ("DELEGATE_TASK_MAX_MEMORY_MIB", number(max_memory_mib)),
            ("DELEGATE_TASK_MAX_MILLICPUS", number(max_millicpus)),
            ("DELEGATE_TASK_USER", user.clone()),
        ] {
            vars.extend(value.map(|value| (name, EnvValue::Plain(value))));
        }
        vars.extend(secrets::write(&self.secrets));
        vars.extend(telemetry::write(&self.telemetry));
        vars
    }
}

fn read_token(read: &mut Reader<'_>) -> Option<TokenSource> {
    let inline = ["DELEGATE_TOKEN", "HARNESS_DELEGATE_TOKEN", "ACCOUNT_SECRET"];
    let file = path(read.env, "DELEGATE_TOKEN_FILE");
    match (read.text(&inline), file) {
        (Some(_), None) => read.parsed::<DelegateToken>(&inline).map(TokenSource::Inline),
        (None, Some(file)) => Some(TokenSource::File(file)),
        (Some((name, _)), Some(_)) => {
            read.fail(
                "DELEGATE_TOKEN_FILE",
                format_args!("and {name} are both set; keep one"),
            );
            None
        }
        (None, None) => {
            read.fail(
                "DELEGATE_TOKEN",
                "is not set; copy the delegate token from the manager, or set DELEGATE_TOKEN_FILE",
            );
            None
        }
    }
}

fn read_tags(read: &mut Reader<'_>) -> Vec<Tag> {
    let Some((name, text)) = read.text(&["DELEGATE_TAGS", "HARNESS_DELEGATE_TAGS"]) else {
        return Vec::new();
    };
    list(&text)
        .filter_map(|tag| tag.parse().map_err(|error| read.fail(name, error)).ok())
        .collect()
}

fn path(env: &Env, name: &str) -> Option<PathBuf> {
    env.get(name).map(PathBuf::from)
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Gives an enum its texts in one table: `Display`, and `FromStr` ignoring case.
macro_rules! texts {
    ($type:ty, $($variant:path => $text:literal),+) => {
        impl Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($variant => $text),+ })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $(if text.eq_ignore_ascii_case($text) { return Ok($variant); })+
                Err(format!("{text:?} is not one of {}", [$($text),+].join(", ")))
            }
        }
    };
}

texts!(DelegateType,
    DelegateType::Kubernetes => "KUBERNETES", DelegateType::Docker => "DOCKER", DelegateType::HelmDelegate => "HELM_DELEGATE",
    DelegateType::Ecs => "ECS", DelegateType::ShellScript => "SHELL_SCRIPT");
texts!(LogLevel,
    LogLevel::Trace => "TRACE", LogLevel::Debug => "DEBUG", LogLevel::Info => "INFO",
    LogLevel::Warn => "WARN", LogLevel::Error => "ERROR", LogLevel::Off => "OFF");
texts!(LogFormat, LogFormat::Text => "text", LogFormat::Json => "json");
texts!(OtlpProtocol,
    OtlpProtocol::HttpProtobuf => "http/protobuf", OtlpProtocol::HttpJson => "http/json", OtlpProtocol::Grpc => "grpc");
texts!(ProxyScheme, ProxyScheme::Http => "http", ProxyScheme::Https => "https");

#[cfg(test)]
mod tests;
