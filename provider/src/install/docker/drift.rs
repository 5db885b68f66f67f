//! What of a container differs from what its spec asks for: short lines, without secrets.
//!
//! Only what an installation sets is looked at, in one form on both sides: the engine adds defaults and writes some things
//! in another way than they were given, and neither is a difference.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, HealthConfig, HostConfig, ImageInspect,
    Mount, MountType, RestartPolicyNameEnum,
};

use super::container::{Delivery, NOTE, OWNED, SECRET_VARIABLES};
use super::spec::{DockerSpec, capability};

/// The differences. `image` is the image of the container, when the engine still has it; without it, what the image
/// gives is not told from what somebody added.
pub(super) fn differences(
    spec: &DockerSpec,
    wanted: &ContainerCreateBody,
    found: &ContainerInspectResponse,
    image: Option<&ImageInspect>,
    delivery: Delivery,
) -> Vec<String> {
    let mut drift = Drift(Vec::new());
    let empty = (ContainerConfig::default(), HostConfig::default());
    let config = found.config.as_ref().unwrap_or(&empty.0);
    let host = found.host_config.as_ref().unwrap_or(&empty.1);
    let wanted_host = wanted.host_config.as_ref().unwrap_or(&empty.1);
    let base = image.and_then(|image| image.config.as_ref());

    drift.text("the image", config.image.as_deref(), wanted.image.as_deref());
    variables(
        &mut drift,
        wanted,
        config,
        base.and_then(|base| base.env.as_deref()),
        delivery,
    );
    let or_image = |own: &Option<Vec<String>>,
                    of: fn(&bollard::models::ImageConfig) -> Option<Vec<String>>| {
        own.clone().or_else(|| base.and_then(of))
    };
    if wanted.cmd.is_some() || base.is_some() {
        let cmd = or_image(&wanted.cmd, |base| base.cmd.clone()).unwrap_or_default();
        drift.list("the command", config.cmd.iter().flatten(), cmd.iter());
    }
    if let Some(base) = base {
        let entrypoint = base.entrypoint.iter().flatten();
        drift.list("the entry point", config.entrypoint.iter().flatten(), entrypoint);
    }
    if wanted.user.is_some() || base.is_some() {
        let user = wanted
            .user
            .as_deref()
            .or(base.and_then(|base| base.user.as_deref()));
        drift.text("the user", config.user.as_deref(), user);
    }
    let health = wanted
        .healthcheck
        .clone()
        .or_else(|| base.and_then(|base| base.healthcheck.clone()));
    if wanted.healthcheck.is_some() || base.is_some() {
        // Where only the pace is given, the command is the image's.
        let mut health = health.unwrap_or_default();
        if health.test.as_deref().unwrap_or_default().is_empty() {
            health.test = base.and_then(|base| base.healthcheck.as_ref()?.test.clone());
        }
        let same = filled(&health, base) == filled(&config.healthcheck.clone().unwrap_or_default(), base);
        drift.note(!same, "the health check was changed");
    }
    drift.value("the stop timeout", config.stop_timeout, wanted.stop_timeout);
    labels(&mut drift, wanted, config);

    drift.value("cpus (10⁻⁹)", host.nano_cpus.or(Some(0)), wanted_host.nano_cpus);
    drift.value("memory (bytes)", host.memory.or(Some(0)), wanted_host.memory);
    drift.text("restart", Some(&restart(host)), Some(&restart(wanted_host)));
    drift.set("volumes", &binds(host), &binds(wanted_host));
    drift.set("mounts", &mounts(host), &mounts(wanted_host));
    drift.set(
        "capabilities.add",
        &capabilities(host.cap_add.as_ref()),
        &capabilities(wanted_host.cap_add.as_ref()),
    );
    drift.set(
        "capabilities.drop",
        &capabilities(host.cap_drop.as_ref()),
        &capabilities(wanted_host.cap_drop.as_ref()),
    );
    drift.value(
        "read_only",
        host.readonly_rootfs.or(Some(false)),
        wanted_host.readonly_rootfs,
    );
    let tmpfs = |host: &HostConfig| -> BTreeSet<String> {
        host.tmpfs
            .iter()
            .flatten()
            .map(|(folder, options)| format!("{folder}:{options}"))
            .collect()
    };
    drift.set("folders in memory", &tmpfs(host), &tmpfs(wanted_host));
    drift.value("init", host.init.or(Some(false)), wanted_host.init);
    drift.value("privileged", host.privileged.or(Some(false)), Some(false));
    let hosts = |host: &HostConfig| {
        host.extra_hosts
            .iter()
            .flatten()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    drift.set("extra_hosts", &hosts(host), &hosts(wanted_host));
    networks(&mut drift, spec, found, host);
    drift.0
}

/// Why a container does not run, if it does not.
pub(super) fn stopped(found: &ContainerInspectResponse) -> Option<String> {
    let state = found.state.as_ref()?;
    if state.paused == Some(true) {
        return Some("the container is paused".to_owned());
    }
    if state.running == Some(true) {
        return None;
    }
    let status = state.status.map(|status| status.to_string()).unwrap_or_default();
    let code = state.exit_code.unwrap_or_default();
    Some(match status.as_str() {
        "exited" | "dead" => format!("the container does not run (exit code {code})"),
        _ => format!("the container does not run ({status})"),
    })
}

struct Drift(Vec<String>);

impl Drift {
    fn note(&mut self, differs: bool, line: &str) {
        if differs {
            self.0.push(line.to_owned());
        }
    }

    fn value<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: Option<T>, wanted: Option<T>) {
        if found != wanted {
            let text =
                |value: Option<T>| value.map_or_else(|| "not set".to_owned(), |value| format!("{value:?}"));
            self.0.push(format!(
                "{what} is {}, installed with {}",
                text(found),
                text(wanted)
            ));
        }
    }

    fn text(&mut self, what: &str, found: Option<&str>, wanted: Option<&str>) {
        let set = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        self.value(what, set(found), set(wanted));
    }

    fn list<'a>(
        &mut self,
        what: &str,
        found: impl Iterator<Item = &'a String>,
        wanted: impl Iterator<Item = &'a String>,
    ) {
        let (found, wanted): (Vec<_>, Vec<_>) = (found.collect(), wanted.collect());
        self.value(what, Some(found), Some(wanted));
    }

    fn set(&mut self, what: &str, found: &BTreeSet<String>, wanted: &BTreeSet<String>) {
        for missing in wanted.difference(found) {
            self.0.push(format!("{missing:?} is missing from {what}"));
        }
        for added in found.difference(wanted) {
            self.0.push(format!("{added:?} was added to {what}"));
        }
    }
}

fn variables(
    drift: &mut Drift,
    wanted: &ContainerCreateBody,
    found: &ContainerConfig,
    image: Option<&[String]>,
    delivery: Delivery,
) {
    let pairs = |list: &[String]| -> BTreeMap<String, String> {
        let pair = |line: &String| {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            (name.to_owned(), value.to_owned())
        };
        list.iter().map(pair).collect()
    };
    let wanted = pairs(wanted.env.as_deref().unwrap_or_default());
    let found = pairs(found.env.as_deref().unwrap_or_default());
    let is_secret = |name: &String| SECRET_VARIABLES.contains(&name.as_str());
    for (name, wanted) in wanted.iter().filter(|(name, _)| !is_secret(name)) {
        drift.value(name, found.get(name), Some(wanted));
    }
    if let Some(image) = image.map(pairs) {
        let added =
            |name: &&String| !wanted.contains_key(*name) && !image.contains_key(*name) && !is_secret(name);
        for name in found.keys().filter(added) {
            drift.0.push(format!("{name} was added"));
        }
    }
    // Its value is not known here, only that there has to be one.
    let has_token = found.contains_key("DELEGATE_TOKEN");
    drift.note(
        delivery == Delivery::Environment && !has_token,
        "DELEGATE_TOKEN is missing",
    );
    drift.note(
        delivery != Delivery::Environment && has_token,
        "DELEGATE_TOKEN was added to the environment",
    );
}

fn labels(drift: &mut Drift, wanted: &ContainerCreateBody, found: &ContainerConfig) {
    let ours = |labels: &Option<std::collections::HashMap<String, String>>| -> BTreeMap<String, String> {
        let all = labels.iter().flatten();
        all.filter(|(name, _)| *name == OWNED || name.starts_with(NOTE))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    drift.note(
        ours(&wanted.labels) != ours(&found.labels),
        "the labels were changed",
    );
}

fn restart(host: &HostConfig) -> String {
    let policy = host.restart_policy.as_ref();
    match policy.and_then(|policy| policy.name) {
        None | Some(RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO) => "no".to_owned(),
        Some(RestartPolicyNameEnum::ON_FAILURE) => {
            match policy.and_then(|policy| policy.maximum_retry_count) {
                None | Some(0) => "on-failure".to_owned(),
                Some(count) => format!("on-failure:{count}"),
            }
        }
        Some(name) => name.to_string(),
    }
}

/// `rw` is what is meant when nothing is said.
fn binds(host: &HostConfig) -> BTreeSet<String> {
    let binds = host.binds.iter().flatten();
    binds
        .map(|bind| bind.strip_suffix(":rw").unwrap_or(bind).to_owned())
        .collect()
}

fn mounts(host: &HostConfig) -> BTreeSet<String> {
    let line = |mount: &Mount| {
        let target = mount.target.as_deref().unwrap_or_default();
        match mount.typ {
            Some(MountType::VOLUME) if mount.source.as_deref().unwrap_or_default().is_empty() => {
                target.to_owned()
            }
            _ => format!(
                "{}:{target}:{}",
                mount.source.as_deref().unwrap_or_default(),
                if mount.read_only == Some(true) { "ro" } else { "rw" }
            ),
        }
    };
    host.mounts.iter().flatten().map(line).collect()
}

fn capabilities(names: Option<&Vec<String>>) -> BTreeSet<String> {
    names.into_iter().flatten().map(|name| capability(name)).collect()
}

/// A health check with what the engine fills in from the image where nothing is said.
fn filled(health: &HealthConfig, image: Option<&bollard::models::ImageConfig>) -> (Vec<String>, [i64; 4]) {
    let base = image
        .and_then(|image| image.healthcheck.clone())
        .unwrap_or_default();
    let number = |own: Option<i64>, base: Option<i64>| own.filter(|n| *n != 0).or(base).unwrap_or(0);
    let test = health
        .test
        .clone()
        .filter(|test| !test.is_empty())
        .unwrap_or_default();
    if test.is_empty() || test == ["NONE"] {
        return (Vec::new(), [0; 4]);
    }
    (
        test,
        [
            number(health.interval, base.interval),
            number(health.timeout, base.timeout),
            number(health.start_period, base.start_period),
            number(health.retries, base.retries),
        ],
    )
}

fn networks(drift: &mut Drift, spec: &DockerSpec, found: &ContainerInspectResponse, host: &HostConfig) {
    // "default" is "bridge" to newer engines.
    let mode = |mode: Option<&str>| match mode.unwrap_or("default") {
        "default" | "" => "bridge".to_owned(),
        mode => mode.to_owned(),
    };
    drift.value(
        "network",
        Some(mode(host.network_mode.as_deref())),
        Some(mode(spec.network.as_deref())),
    );
    if spec
        .network
        .as_ref()
        .is_some_and(|network| network.starts_with("container:"))
    {
        return;
    }
    let empty = std::collections::HashMap::new();
    let settings = found
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref());
    let there = settings.unwrap_or(&empty);
    let mut open: BTreeSet<&String> = there.keys().collect();
    let first = mode(spec.network.as_deref());
    for wanted in std::iter::once(&first).chain(&spec.networks) {
        // A network may be named by its id.
        let named = there
            .iter()
            .find(|(name, settings)| *name == wanted || settings.network_id.as_ref() == Some(wanted));
        match named {
            Some((name, _)) => _ = open.remove(name),
            None => drift.0.push(format!("{wanted:?} is missing from networks")),
        }
    }
    drift.0.extend(
        open.into_iter()
            .map(|name| format!("{name:?} was added to networks")),
    );
}
