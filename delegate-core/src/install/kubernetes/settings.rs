//! The settings that pods read from ConfigMaps.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::KubernetesSpec;
use crate::config::{DEFAULT_GRACE_PERIOD, DelegateConfig, EnvValue, Tag};

/// Time between the end of the delegate's own grace and that of its pod: it reports what it ended, then it is killed.
const REPORTING: u64 = 10;

/// Variables of the contract that the ConfigMaps, the Secret and the mounts carry; whatever else the settings say becomes
/// a variable of the container.
const CARRIED: &[&str] = &[
    "ACCOUNT_ID",
    "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH",
    "DELEGATE_CLIENT_CERTIFICATE_PATH",
    "DELEGATE_DESCRIPTION",
    "DELEGATE_GRACE_PERIOD_SECONDS",
    "DELEGATE_NAME",
    "DELEGATE_NAMESPACE",
    "DELEGATE_TAGS",
    "DELEGATE_TYPE",
    "DEPLOY_MODE",
    "INIT_SCRIPT",
    "LOG_STREAMING_SERVICE_URL",
    "MANAGER_HOST_AND_PORT",
    "NEXT_GEN",
    "NO_PROXY",
    "POLL_FOR_TASKS",
    "PROXY_HOST",
    "PROXY_PORT",
    "PROXY_SCHEME",
];

/// Content of the delegate's ConfigMap.
pub(super) fn of_delegate(spec: &KubernetesSpec) -> BTreeMap<&'static str, String> {
    let config = &spec.config;
    let manager = config.manager_url.as_str().trim_end_matches('/');
    let logs = config
        .log_service_url
        .as_ref()
        .map_or_else(|| format!("{manager}/log-service/"), ToString::to_string);
    let tags: Vec<&str> = config.tags.iter().map(Tag::as_str).collect();
    let mut data = BTreeMap::from([
        ("ACCOUNT_ID", config.account_id.to_string()),
        ("MANAGER_HOST_AND_PORT", manager.to_owned()),
        ("LOG_STREAMING_SERVICE_URL", logs),
        ("DELEGATE_NAME", config.name.to_string()),
        ("DELEGATE_DESCRIPTION", config.description.clone()),
        ("DELEGATE_TAGS", tags.join(",")),
        ("DELEGATE_TYPE", config.delegate_type.to_string()),
        ("DELEGATE_NAMESPACE", spec.namespace.clone()),
        ("DEPLOY_MODE", "KUBERNETES".to_owned()),
        ("NEXT_GEN", "true".to_owned()),
        ("POLL_FOR_TASKS", config.poll_for_tasks.to_string()),
        ("INIT_SCRIPT", config.init_script.clone().unwrap_or_default()),
        // For the Java delegate; ours ignores it.
        ("JAVA_OPTS", "-Xms64M".to_owned()),
        ("CLIENT_TOOLS_DOWNLOAD_DISABLED", "true".to_owned()),
        (
            "DELEGATE_GRACE_PERIOD_SECONDS",
            drain_seconds(termination_seconds(config)).to_string(),
        ),
    ]);
    if spec.mtls_secret.is_some() {
        data.insert(
            "DELEGATE_CLIENT_CERTIFICATE_PATH",
            "/etc/mtls/client.crt".to_owned(),
        );
        data.insert(
            "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH",
            "/etc/mtls/client.key".to_owned(),
        );
    }
    data
}

/// Content of the ConfigMap of the proxy; empty when there is none.
pub(super) fn of_proxy(spec: &KubernetesSpec) -> BTreeMap<&'static str, String> {
    let mut data = BTreeMap::new();
    if let Some(proxy) = &spec.config.proxy {
        data.insert("PROXY_HOST", proxy.host.clone());
        data.insert("PROXY_PORT", proxy.port.to_string());
        data.insert("PROXY_SCHEME", proxy.scheme.to_string());
    }
    if !spec.config.no_proxy.is_empty() {
        data.insert("NO_PROXY", spec.config.no_proxy.join(","));
    }
    data
}

/// What neither a ConfigMap nor the Secret carries, for the container itself.
pub(super) fn further(config: &DelegateConfig) -> Vec<(&'static str, String)> {
    config
        .to_env()
        .into_iter()
        .filter_map(|(name, value)| match value {
            EnvValue::Plain(text) if !CARRIED.contains(&name) => Some((name, text)),
            _ => None,
        })
        .collect()
}

/// Grace of the pod, in seconds: that of the delegate, and a little for reporting.
pub(super) fn termination_seconds(config: &DelegateConfig) -> u64 {
    let grace = config.grace_period.as_secs();
    if config.grace_period == DEFAULT_GRACE_PERIOD {
        DEFAULT_GRACE_PERIOD.as_secs()
    } else if grace >= REPORTING {
        grace + REPORTING
    } else {
        // The chart gives the delegate half of a short grace.
        grace * 2
    }
}

/// Grace of the delegate in a pod of this grace, as the chart has it.
fn drain_seconds(termination: u64) -> u64 {
    termination.saturating_sub(REPORTING).max(termination / 2)
}

/// Grace of the pod when nothing else is said.
pub(super) fn default_termination() -> u64 {
    Duration::as_secs(&DEFAULT_GRACE_PERIOD)
}

/// SHA-256 of all settings that the ConfigMaps carry, as the chart puts it on the pods.
pub(super) fn checksum(spec: &KubernetesSpec) -> String {
    let nothing = BTreeMap::new();
    let all = [of_delegate(spec), of_proxy(spec), nothing];
    let text = serde_json::to_string(&all).unwrap_or_default();
    hex(&Sha256::digest(as_go_writes(&text)))
}

/// The chart's checksum of the Secrets it makes, which are none: the token is in a Secret of its own.
pub(super) fn checksum_of_no_secret() -> String {
    hex(&Sha256::digest("\n"))
}

/// JSON of Go's `encoding/json`, which keeps clear of what HTML and JavaScript would take apart.
fn as_go_writes(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
