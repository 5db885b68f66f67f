//! What is to be installed, and how people write its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use delegate_core::config::{DelegateConfig, EnvValue, TokenSource};

use super::registry::Login;

/// A delegate as a container.
#[derive(Debug, Clone)]
pub struct DockerSpec {
    /// Settings of the delegate.
    pub config: DelegateConfig,
    /// Further variables of the owner.
    pub env: BTreeMap<String, String>,
    /// Name of the container.
    pub container: String,
    /// What it runs.
    pub image: Image,
    /// Login for the image's registry, when it is not one of the provider's.
    pub login: Option<Login>,
    /// How the delegate is given its secrets.
    pub token_as: TokenAs,
    /// Network it is started in; the engine's default when absent. Also `host`, `none` and `container:NAME`.
    pub network: Option<String>,
    /// Networks it is connected to besides.
    pub networks: BTreeSet<String>,
    /// Lines for its `/etc/hosts`, `name:address`.
    pub extra_hosts: BTreeSet<String>,
    /// Folders and volumes, as `docker run --volume` has them.
    pub volumes: BTreeSet<String>,
    /// Files and folders of the engine's machine that settings name, and where the delegate finds them. Read-only.
    pub files: Vec<(PathBuf, String)>,
    /// Most of a CPU, in 10⁻⁹; 0 is no limit.
    pub nano_cpus: i64,
    /// Most memory, in bytes; 0 is no limit.
    pub memory: i64,
    /// When the engine starts it again.
    pub restart: Restart,
    /// Capabilities beyond the engine's default, without `CAP_`.
    pub cap_add: BTreeSet<String>,
    /// Capabilities of the default that it does not have, without `CAP_`.
    pub cap_drop: BTreeSet<String>,
    /// Whether its root is read-only.
    pub read_only: bool,
    /// Whether a small init reaps what the delegate leaves.
    pub init: bool,
    /// User it runs as; the image's when absent.
    pub user: Option<String>,
    /// How the engine looks after it; the image's way when absent.
    pub health: Option<Health>,
    /// Facts of the owner, kept as labels and given back by `observe`. No secrets.
    pub notes: BTreeMap<String, String>,
}

/// What a container runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// An image by its name; pulled when the engine does not have it.
    Named(String),
    /// An image made of this program and a static shell of this machine, for engines without a registry.
    Program(PathBuf),
}

/// How a delegate is given its secrets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenAs {
    /// As a file where the image can read one.
    #[default]
    Auto,
    /// As a file in the container.
    File,
    /// As variables, which whoever may ask the engine can read.
    Environment,
}

/// When an engine starts a container again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    No,
    /// Always, also after somebody has stopped it and the engine starts anew.
    Always,
    /// Always, unless somebody has stopped it.
    #[default]
    UnlessStopped,
    /// When it fails, this many times; 0 is without end.
    OnFailure(i64),
}

/// How an engine looks after a container. What is absent is the engine's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Not at all.
    pub disabled: bool,
    /// Shell command that fails when the delegate is not well.
    pub command: Option<String>,
    /// Between two looks.
    pub interval: Option<Duration>,
    /// How long one may take.
    pub timeout: Option<Duration>,
    /// How long failures do not count after the start.
    pub start_period: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<i64>,
}

impl DockerSpec {
    /// Every variable, those of the settings first; the owner's lose against them.
    pub(super) fn variables(&self) -> Vec<(String, EnvValue)> {
        let mut all: Vec<(String, EnvValue)> = self
            .config
            .to_env()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let own = all.len();
        for (name, value) in &self.env {
            if all[..own].iter().all(|(known, _)| known != name) {
                all.push((name.clone(), EnvValue::Plain(value.clone())));
            }
        }
        all
    }

    /// A variable of the owner that the installation sets itself.
    pub fn lost_variable(&self) -> Option<&str> {
        let own = self.config.to_env();
        let mut names = self.env.keys().map(String::as_str);
        names.find(|name| own.iter().any(|(known, _)| known == name))
    }

    /// Whether the delegate is given anything secret by the installation.
    pub(super) fn has_secrets(&self) -> bool {
        let login = self
            .config
            .proxy
            .as_ref()
            .is_some_and(|proxy| proxy.credentials.is_some());
        login || !matches!(self.config.token, TokenSource::File(_))
    }

    /// How long the delegate may take to finish its tasks.
    pub(super) fn grace(&self) -> Duration {
        let given = self.env.get("DELEGATE_GRACE_PERIOD_SECONDS");
        given
            .and_then(|seconds| seconds.parse().ok())
            .map_or(self.config.grace_period, Duration::from_secs)
    }
}

impl std::str::FromStr for Restart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let retries = |text: &str| text.parse().ok().filter(|count| *count >= 0);
        match text.split_once(':') {
            None => match text {
                "no" => Some(Self::No),
                "always" => Some(Self::Always),
                "unless-stopped" => Some(Self::UnlessStopped),
                "on-failure" => Some(Self::OnFailure(0)),
                _ => None,
            },
            Some(("on-failure", count)) => retries(count).map(Self::OnFailure),
            Some(_) => None,
        }
        .ok_or_else(|| "Must be no, always, unless-stopped, on-failure or on-failure:COUNT.".to_owned())
    }
}

impl std::fmt::Display for Restart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure(0) => f.write_str("on-failure"),
            Self::OnFailure(count) => write!(f, "on-failure:{count}"),
        }
    }
}

/// The one form of a capability's name, whichever way it is written: `NET_ADMIN` for `cap_net_admin`.
pub fn capability(name: &str) -> String {
    let name = name.trim().to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

/// Bytes, as `docker run --memory` reads them: `512m`, `2g`, `1.5GiB`; every unit is a power of 1024.
pub fn memory(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    let bytes = number * f64::from(1u32 << 10).powi(shift / 10);
    // Exact up to 2⁵³, which is more memory than there is.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (1.0..9e15).contains(&bytes).then_some(bytes.round() as i64)
}

/// Whether `text` is a volume as `docker run --volume` takes it: `/folder:/target`, `name:/target`, with `:ro` or `:rw`.
pub fn is_volume(text: &str) -> bool {
    let named = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [source, target] => (source, target, "rw"),
        [source, target, mode] => (source, target, mode),
        _ => return false,
    };
    let modes = [
        "rw", "ro", "z", "Z", "nocopy", "rshared", "rslave", "rprivate", "shared", "slave", "private",
    ];
    (source.starts_with('/') || named(source))
        && target.starts_with('/')
        && target.len() > 1
        && mode.split(',').all(|mode| modes.contains(&mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_docker_does() {
        for (text, bytes) in [
            ("512m", Some(512 << 20)),
            ("512Mi", Some(512 << 20)),
            ("2GB", Some(2 << 30)),
            ("1.5g", Some(3 << 29)),
            ("1073741824", Some(1 << 30)),
            ("64 KiB", Some(64 << 10)),
            ("0", None),
            ("", None),
            ("-1g", None),
            ("2x", None),
            ("g", None),
            ("1e9", None),
        ] {
            assert_eq!(memory(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn restart_policies_are_read_and_written_back() {
        for text in ["no", "always", "unless-stopped", "on-failure", "on-failure:5"] {
            assert_eq!(text.parse::<Restart>().unwrap().to_string(), text);
        }
        for text in ["", "never", "always:3", "on-failure:x", "on-failure:-1"] {
            assert!(text.parse::<Restart>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn capabilities_have_one_form() {
        for text in ["NET_ADMIN", "CAP_NET_ADMIN", "cap_net_admin", " net_admin "] {
            assert_eq!(capability(text), "NET_ADMIN");
        }
    }

    #[test]
    fn volumes_are_told_from_what_is_none() {
        for text in [
            "/a:/b",
            "/a:/b:ro",
            "cache:/var/cache",
            "cache:/x:rw",
            "/a:/b:ro,z",
        ] {
            assert!(is_volume(text), "{text}");
        }
        for text in [
            "",
            "/a",
            "a:b",
            "/a:b",
            "/a:/",
            "./a:/b",
            "/a:/b:rx",
            "/a:/b:ro:x",
            ":/b",
        ] {
            assert!(!is_volume(text), "{text}");
        }
    }
}
