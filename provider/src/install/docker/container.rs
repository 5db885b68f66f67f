//! From a spec to what the engine is asked to create. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerConfig, ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, ImageInspect, Mount,
    MountType, NetworkingConfig, RestartPolicy, RestartPolicyNameEnum,
};
use delegate_core::config::EnvValue;

use super::files;
use super::spec::{DockerSpec, Health, Restart, TokenAs};

/// Label of every container of ours; its value is the name of the delegate.
pub const OWNED: &str = "io.harness-delegate.name";

/// What the names of labels with the owner's notes begin with.
pub const NOTE: &str = "io.harness-delegate.note.";

/// Variables whose values are secret. Whether they are there is all that may be told.
pub const SECRET_VARIABLES: [&str; 3] = ["DELEGATE_TOKEN", "PROXY_USER", "PROXY_PASSWORD"];

/// Label by which the image of our agent is known, whatever it was renamed to or extended with.
const TITLE: (&str, &str) = ("org.opencontainers.image.title", "harness-delegate");

/// Writable folder of a delegate whose root is read-only: the one of the official instructions.
pub(super) const WRITABLE: &str = "/writable";

/// Options of the folders in memory of such a delegate: any user may write and run what a task brings along.
const TMPFS: &str = "rw,exec,nosuid,nodev,mode=1777";

/// How a container is given its secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In a file that our agent reads at its start.
    File,
    /// In its environment, for images that can do nothing else, such as the official one.
    Environment,
    /// It is given none.
    Nothing,
}

impl Delivery {
    /// The way for this image.
    pub(super) fn to(spec: &DockerSpec, image: &ImageInspect) -> Self {
        let config = image.config.as_ref();
        let title = config
            .and_then(|config| config.labels.as_ref()?.get(TITLE.0))
            .is_some_and(|title| title == TITLE.1);
        // An image made of ours that is started in another way may not hand the file on.
        let plain = config
            .and_then(|config| config.cmd.as_deref())
            .is_some_and(|cmd| cmd == ["run"]);
        match spec.token_as {
            _ if !spec.has_secrets() => Self::Nothing,
            TokenAs::File => Self::File,
            TokenAs::Auto if title && plain => Self::File,
            TokenAs::Auto | TokenAs::Environment => Self::Environment,
        }
    }

    /// The way for a container that is there; its own one where the engine has its image no more.
    pub(super) fn of(spec: &DockerSpec, image: Option<&ImageInspect>, config: &ContainerConfig) -> Self {
        match (image, spec.has_secrets()) {
            (Some(image), _) => Self::to(spec, image),
            (None, false) => Self::Nothing,
            (None, true) if config.cmd == Some(files::command()) => Self::File,
            (None, true) => Self::Environment,
        }
    }
}

/// What to create. Holds secrets with [`Delivery::Environment`] only.
pub(super) fn body(spec: &DockerSpec, image: &str, delivery: Delivery) -> ContainerCreateBody {
    let env = spec
        .variables()
        .into_iter()
        .filter_map(|(name, value)| match value {
            EnvValue::Plain(value) => Some(format!("{name}={value}")),
            EnvValue::Secret(value) => {
                (delivery == Delivery::Environment).then(|| format!("{name}={}", value.expose()))
            }
        });
    let mut labels: HashMap<String, String> = spec
        .notes
        .iter()
        .map(|(name, value)| (format!("{NOTE}{name}"), value.clone()))
        .collect();
    labels.insert(OWNED.to_owned(), spec.config.name.to_string());
    let first = spec.network.as_ref().filter(|network| is_user_made(network));
    ContainerCreateBody {
        image: Some(image.to_owned()),
        env: Some(env.collect()),
        cmd: (delivery == Delivery::File).then(files::command),
        user: spec.user.clone(),
        labels: Some(labels),
        healthcheck: spec.health.as_ref().map(health),
        // Whoever stops it in another way than this provider lets it drain, too.
        stop_timeout: Some(stop_seconds(spec)),
        host_config: Some(host_config(spec)),
        networking_config: first.map(|network| NetworkingConfig {
            endpoints_config: Some([(network.clone(), EndpointSettings::default())].into()),
        }),
        ..ContainerCreateBody::default()
    }
}

/// How long the engine lets a container drain: the delegate's own time, and a little for it to end.
pub(super) fn stop_seconds(spec: &DockerSpec) -> i64 {
    /// From the end of the last task to the end of the process.
    const MARGIN: u64 = 10;
    i64::try_from(spec.grace().as_secs().saturating_add(MARGIN)).unwrap_or(i64::MAX)
}

fn host_config(spec: &DockerSpec) -> HostConfig {
    let all = |set: &std::collections::BTreeSet<String>| Some(set.iter().cloned().collect::<Vec<_>>());
    let capabilities = |set: &std::collections::BTreeSet<String>| {
        let prefixed = |name: &String| match name.as_str() {
            "ALL" => name.clone(),
            name => format!("CAP_{name}"),
        };
        Some(set.iter().map(prefixed).collect::<Vec<_>>())
    };
    let file = |(source, target): &(std::path::PathBuf, String)| Mount {
        typ: Some(MountType::BIND),
        source: Some(source.display().to_string()),
        target: Some(target.clone()),
        read_only: Some(true),
        ..Mount::default()
    };
    // Of the container's own and gone with it. Here because nothing can be copied into a read-only root.
    let ours = Mount {
        typ: Some(MountType::VOLUME),
        target: Some(files::FOLDER.to_owned()),
        ..Mount::default()
    };
    let (name, retries) = match spec.restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure(count) => (RestartPolicyNameEnum::ON_FAILURE, Some(count)),
    };
    let in_memory = || {
        ["/tmp", WRITABLE]
            .map(|folder| (folder.to_owned(), TMPFS.to_owned()))
            .into()
    };
    HostConfig {
        nano_cpus: Some(spec.nano_cpus),
        memory: Some(spec.memory),
        restart_policy: Some(RestartPolicy {
            name: Some(name),
            maximum_retry_count: retries,
        }),
        network_mode: Some(spec.network.clone().unwrap_or_else(|| "default".to_owned())),
        extra_hosts: all(&spec.extra_hosts),
        binds: all(&spec.volumes),
        mounts: Some(std::iter::once(ours).chain(spec.files.iter().map(file)).collect()),
        cap_add: capabilities(&spec.cap_add),
        cap_drop: capabilities(&spec.cap_drop),
        readonly_rootfs: Some(spec.read_only),
        tmpfs: spec.read_only.then(in_memory),
        init: Some(spec.init),
        ..HostConfig::default()
    }
}

/// Whether a network is one that has a name among networks, and not a way to have none.
fn is_user_made(network: &str) -> bool {
    !matches!(network, "default" | "bridge" | "host" | "none") && !network.starts_with("container:")
}

fn health(health: &Health) -> HealthConfig {
    let nanoseconds = |duration: std::time::Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    let test = match (&health.command, health.disabled) {
        (_, true) => Some(vec!["NONE".to_owned()]),
        (Some(command), false) => Some(vec!["CMD-SHELL".to_owned(), command.clone()]),
        (None, false) => None,
    };
    HealthConfig {
        test,
        interval: health.interval.map(nanoseconds),
        timeout: health.timeout.map(nanoseconds),
        start_period: health.start_period.map(nanoseconds),
        retries: health.retries,
        start_interval: None,
    }
}
