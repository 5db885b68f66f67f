//! What a delegate in a container was installed with.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{ContainerConfig, HealthConfig, HostConfig, ImageConfig, RestartPolicyNameEnum};
use delegate_core::config::{DelegateConfig, Env, TokenSource};
use tokio_util::sync::CancellationToken;

use super::super::model::{CaBundle, Capabilities, Docker, Health, Model, Mtls};
use super::super::place;
use super::super::spec::{CERTIFICATE_FILE, Spec, TOKEN_FILE, TOKEN_VERSION, TokenFrom, spec};
use super::finish;
use super::settings::take_settings;
use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::install::docker::{OWNED, Restart, SECRET_VARIABLES, capability, host_of_place, place_of};

pub(super) async fn complete(
    mut state: Model,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<ReadOutcome<Model>, Diagnostics> {
    // What the provider's own engine leads to needs no argument of the resource, and may need what only the provider has.
    let own = place_of(&provider.docker);
    if let Some(docker) = &mut state.docker
        && own.as_deref().map(host_of_place) == Some(docker.host.as_deref())
    {
        docker.host = None;
    }
    // The settings are not known yet; any do for looking, because only the place counts.
    let mut probe = state.clone();
    probe.account_id.get_or_insert_with(|| "unknown".to_owned());
    probe
        .manager_url
        .get_or_insert_with(|| "https://unknown.invalid".to_owned());
    probe.image = Some("unknown".to_owned());
    let found = spec(&probe, TokenFrom::Installed, provider)?;
    let place::Place::Docker(place) = place::reach(&found, provider, stop).await? else {
        return Ok(ReadOutcome::Gone);
    };
    let Some(seen) = place.look().await? else {
        return Ok(ReadOutcome::Gone);
    };
    let config = seen.container.config.clone().unwrap_or_default();
    let host = seen.container.host_config.clone().unwrap_or_default();
    let image = seen.image.and_then(|image| image.config).unwrap_or_default();
    let settings = settings(&config)?;
    take_settings(&mut state, &settings, provider);
    let labels = config.labels.clone().unwrap_or_default();
    if !labels.contains_key(OWNED) {
        let detail = format!(
            "The container was not made by this provider, so a delegate in it cannot be taken over as it is: apply without the import, \
             with another docker.container, and remove this one when the new delegate is connected. It runs the delegate {}.",
            settings.name
        );
        return Err(Diagnostics::error("The container is another's", detail));
    }
    take_files(&mut state, &host);
    state.image.clone_from(&config.image);
    state.token_wo_version = seen
        .notes
        .get(TOKEN_VERSION)
        .and_then(|version| version.parse().ok());
    let located = state.docker.take().unwrap_or_default();
    let mut docker = arguments(&config, &host, &image);
    docker.container = located.container.filter(|name| *name != state.name);
    if located.host.is_some() {
        docker.cert_path = located.cert_path;
        docker.ssh_opts = located.ssh_opts;
    }
    docker.host = located.host;
    if docker.network.as_deref() != Some("host") {
        let all = seen
            .container
            .network_settings
            .and_then(|settings| settings.networks)
            .unwrap_or_default();
        let first = docker.network.as_deref().unwrap_or("bridge");
        let others: BTreeSet<String> = all
            .into_keys()
            .filter(|name| name != first && name != "none")
            .collect();
        docker.networks = (!others.is_empty()).then_some(others);
    }
    state.docker = Some(docker);
    state.env = extra(&config, &image, &spec(&state, TokenFrom::Installed, provider)?);
    let found = spec(&state, TokenFrom::Installed, provider)?;
    let place = place::reach(&found, provider, stop).await?;
    finish(&place, state, stop).await
}

/// The delegate's settings, out of the variables. The token is not among them: it stays where it is.
fn settings(config: &ContainerConfig) -> Result<DelegateConfig, Diagnostics> {
    let mut env: Vec<(String, String)> = variables(config).into_iter().collect();
    let has_token = env
        .iter()
        .any(|(name, _)| name == "DELEGATE_TOKEN" || name == "DELEGATE_TOKEN_FILE");
    if !has_token {
        // It is in a file in the container.
        env.push(("DELEGATE_TOKEN_FILE".to_owned(), "elsewhere".to_owned()));
    }
    let mut settings = DelegateConfig::from_env(&env.into_iter().collect::<Env>())
        .map_err(|error| Diagnostic::from_error("The delegate's settings cannot be read back", &error, ""))?;
    if settings.token != TokenSource::File(TOKEN_FILE.into()) {
        settings.token = TokenSource::Elsewhere;
    }
    Ok(settings)
}

fn variables(config: &ContainerConfig) -> BTreeMap<String, String> {
    let pair = |line: &String| {
        line.split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    config.env.iter().flatten().filter_map(pair).collect()
}

/// Variables that neither the arguments so far nor the image give.
fn extra(config: &ContainerConfig, image: &ImageConfig, so_far: &Spec) -> Option<BTreeMap<String, String>> {
    let Spec::Docker(so_far, _) = so_far else {
        return None;
    };
    let own: Vec<_> = so_far.config.to_env().into_iter().map(|(name, _)| name).collect();
    let of_image = image.env.as_deref().unwrap_or_default();
    let is_extra = |name: &str, value: &str| {
        !own.contains(&name)
            && !SECRET_VARIABLES.contains(&name)
            && !of_image.contains(&format!("{name}={value}"))
    };
    let extra: BTreeMap<_, _> = variables(config)
        .into_iter()
        .filter(|(name, value)| is_extra(name, value))
        .collect();
    (!extra.is_empty()).then_some(extra)
}

/// The arguments that name files of the engine's machine.
fn take_files(state: &mut Model, host: &HostConfig) {
    let source = |target: &str| {
        let mut mounts = host.mounts.iter().flatten();
        let found = mounts.find(|mount| mount.target.as_deref() == Some(target));
        found.and_then(|mount| mount.source.clone())
    };
    state.token_file = state.token_file.take().and_then(|target| source(&target));
    state.mtls = state.mtls.take().and_then(|inside| {
        Some(Mtls {
            secret_name: None,
            certificate_file: Some(source(CERTIFICATE_FILE)?),
            key_file: Some(source(&inside.key_file?)?),
        })
    });
    let folder = source(delegate_core::config::DEFAULT_CA_BUNDLE_DIR);
    state.ca_bundle = folder.map(|folder| CaBundle {
        secret_name: None,
        directory: Some(folder),
    });
}

/// The argument `docker`, but for where it is and its networks. What is a default needs no argument.
fn arguments(config: &ContainerConfig, host: &HostConfig, image: &ImageConfig) -> Docker {
    let set = |list: Option<&Vec<String>>| {
        let set: BTreeSet<String> = list.into_iter().flatten().cloned().collect();
        (!set.is_empty()).then_some(set)
    };
    let capabilities =
        |list: Option<&Vec<String>>| set(list).map(|set| set.iter().map(|name| capability(name)).collect());
    let capabilities = Capabilities {
        add: capabilities(host.cap_add.as_ref()),
        drop: capabilities(host.cap_drop.as_ref()),
    };
    let own_user = config
        .user
        .clone()
        .filter(|user| Some(user) != image.user.as_ref() && !user.is_empty());
    let health = config
        .healthcheck
        .as_ref()
        .filter(|check| Some(*check) != image.healthcheck.as_ref());
    #[expect(
        clippy::cast_precision_loss,
        reason = "no machine has 2⁵³ billionths of a CPU"
    )]
    let cpus = |nano: i64| nano as f64 / 1e9;
    Docker {
        network: host
            .network_mode
            .clone()
            .filter(|mode| !matches!(mode.as_str(), "default" | "bridge" | "")),
        extra_hosts: set(host.extra_hosts.as_ref()),
        volumes: set(host.binds.as_ref()),
        cpus: host.nano_cpus.filter(|nano| *nano != 0).map(cpus),
        memory: host.memory.filter(|bytes| *bytes != 0).map(memory),
        restart: Some(restart(host)),
        capabilities: (capabilities.add.is_some() || capabilities.drop.is_some()).then_some(capabilities),
        read_only: host.readonly_rootfs.filter(|read_only| *read_only),
        init: host.init.filter(|init| *init),
        user: own_user,
        health: health.map(|check| self::health(check, image.healthcheck.as_ref())),
        ..Docker::default()
    }
}

/// Bytes as people write them: in the largest unit that has no remainder.
fn memory(bytes: i64) -> String {
    let units = [(30, "g"), (20, "m"), (10, "k")];
    let fits = |(shift, _): &(u32, &str)| bytes.trailing_zeros() >= *shift;
    match units.into_iter().find(fits) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

fn restart(host: &HostConfig) -> String {
    let policy = host.restart_policy.clone().unwrap_or_default();
    match policy.name {
        Some(RestartPolicyNameEnum::ALWAYS) => Restart::Always,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => Restart::UnlessStopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => {
            Restart::OnFailure(policy.maximum_retry_count.unwrap_or(0))
        }
        Some(RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY) | None => Restart::No,
    }
    .to_string()
}

fn health(check: &HealthConfig, image: Option<&HealthConfig>) -> Health {
    let base = image.cloned().unwrap_or_default();
    let test = check.test.as_deref().unwrap_or_default();
    if test == ["NONE"] {
        return Health {
            disabled: Some(true),
            ..Health::default()
        };
    }
    let time = |own: Option<i64>, base: Option<i64>| {
        let own = own.filter(|time| *time != 0 && Some(*time) != base)?;
        Some(if own % 1_000_000_000 == 0 {
            format!("{}s", own / 1_000_000_000)
        } else {
            format!("{}ms", own / 1_000_000)
        })
    };
    let command = match test {
        [kind, command] if kind == "CMD-SHELL" && check.test != base.test => Some(command.clone()),
        _ => None,
    };
    Health {
        disabled: None,
        command,
        interval: time(check.interval, base.interval),
        timeout: time(check.timeout, base.timeout),
        start_period: time(check.start_period, base.start_period),
        retries: check
            .retries
            .filter(|count| *count != 0 && Some(*count) != base.retries),
    }
}
