//! The names of all variables that mean something to a delegate.
//!
//! Three tables: what this program reads, what only the official image reads, and what the other verbs of the program
//! read. Whoever looks for misspelt variables needs all three. A test holds the first against the sources.

/// Read by `run`.
pub const READ: &[&str] = &[
    "ACCOUNT_ID",
    "ACCOUNT_SECRET",
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "BLOCK_SHELL_TASK",
    "CPU_USAGE_THRESHOLD",
    "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH",
    "DELEGATE_CLIENT_CERTIFICATE_PATH",
    "DELEGATE_CPU_THRESHOLD",
    "DELEGATE_DESCRIPTION",
    "DELEGATE_GRACE_PERIOD_SECONDS",
    "DELEGATE_HTTP_HOST",
    "DELEGATE_HTTP_PORT",
    "DELEGATE_MEMORY_THRESHOLD",
    "DELEGATE_NAME",
    "DELEGATE_NAMESPACE",
    "DELEGATE_RESOURCE_THRESHOLD",
    "DELEGATE_SECRETS_AWS_ENDPOINT",
    "DELEGATE_SECRETS_AWS_REGION",
    "DELEGATE_SECRETS_AWS_STS_ENDPOINT",
    "DELEGATE_SECRETS_DIR",
    "DELEGATE_SECRETS_ENV_PREFIX",
    "DELEGATE_SECRETS_VAULT_AUTH_MOUNT",
    "DELEGATE_SECRETS_VAULT_KUBERNETES_ROLE",
    "DELEGATE_SECRETS_VAULT_KUBERNETES_TOKEN_FILE",
    "DELEGATE_SECRETS_VAULT_MOUNT",
    "DELEGATE_SECRETS_VAULT_NAMESPACE",
    "DELEGATE_SECRETS_VAULT_ROLE_ID",
    "DELEGATE_SECRETS_VAULT_SECRET_ID",
    "DELEGATE_SECRETS_VAULT_SECRET_ID_FILE",
    "DELEGATE_SECRETS_VAULT_TOKEN",
    "DELEGATE_SECRETS_VAULT_TOKEN_FILE",
    "DELEGATE_SECRETS_VAULT_URL",
    "DELEGATE_SHELL",
    "DELEGATE_TAGS",
    "DELEGATE_TASK_CAPACITY",
    "DELEGATE_TASK_KINDS_DIR",
    "DELEGATE_TASK_LIMIT",
    "DELEGATE_TASK_MAX_MEMORY_MIB",
    "DELEGATE_TASK_MAX_MILLICPUS",
    "DELEGATE_TASK_MAX_PROCESSES",
    "DELEGATE_TASK_USER",
    "DELEGATE_TOKEN",
    "DELEGATE_TOKEN_FILE",
    "DELEGATE_TYPE",
    "DYNAMIC_REQUEST_HANDLING",
    "HARNESS_ACCOUNT_ID",
    "HARNESS_CERTS_DIR",
    "HARNESS_DELEGATE_NAME",
    "HARNESS_DELEGATE_TAGS",
    "HARNESS_DELEGATE_TOKEN",
    "HARNESS_LOG_STREAMING_STDOUT_ENABLED",
    "INIT_SCRIPT",
    "LOGGING_LEVEL",
    "LOG_FORMAT",
    "LOG_STREAMING_SERVICE_URL",
    "MANAGER_HOST_AND_PORT",
    "MEMORY_USAGE_THRESHOLD",
    "NO_PROXY",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_METRICS_EXPORTER",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "POLL_FOR_TASKS",
    "PROXY_CONFIG_FILE",
    "PROXY_HOST",
    "PROXY_MANAGER",
    "PROXY_PASSWORD",
    "PROXY_PORT",
    "PROXY_SCHEME",
    "PROXY_USER",
    "TRUST_ALL_CERTIFICATES",
    "WORKING_DIR",
    "ZTS_ENFORCE",
    "ZTS_RETRY_COUNT",
    "ZTS_TIMEOUT_SECONDS",
    "ZTS_URL",
];

/// Read by the official image, its chart or its companions, or by other programs with OpenTelemetry, and without effect
/// here: no mistake.
pub const OFFICIAL: &[&str] = &[
    "ADDITIONAL_CERTS_PATH",
    "CDN_URL",
    "CI_MOUNT_VOLUMES",
    "CI_OVERRIDE_SERVICE_URLS",
    "CLIENT_TOOLS_DOWNLOAD_DISABLED",
    "DELEGATE_CHECK_LOCATION",
    "DELEGATE_GROUP_NAME",
    "DELEGATE_ORG_IDENTIFIER",
    "DELEGATE_PROFILE",
    "DELEGATE_PROJECT_IDENTIFIER",
    "DELEGATE_STORAGE_URL",
    "DELEGATE_TASK_CAPACITY_CHECK",
    "DEPLOY_MODE",
    "DESTINATION_CA_PATH",
    "DISABLE_AUTO_UPGRADE",
    "GRPC_AUTHORITY_MODIFICATION_DISABLED",
    "GRPC_SERVICE_CONNECTOR_PORT",
    "GRPC_SERVICE_ENABLED",
    "HARNESS_CLIENT_CERT_FILE",
    "HARNESS_CLIENT_KEY_FILE",
    "HARNESS_DESTINATION_CA_PATH",
    "HARNESS_INIT_SCRIPT_PATH",
    "HARNESS_MANAGER_HOST_AND_PORT",
    "HARNESS_SHARED_CERTS_PATH",
    "HARNESS_WORKDIR",
    "HELM3_PATH",
    "HELM_DESIRED_VERSION",
    "HELM_PATH",
    "INSTALL_CLIENT_TOOLS_IN_BACKGROUND",
    "JAVA_OPTS",
    "KUBECTL_PATH",
    "KUSTOMIZE_PATH",
    "LOGGING_LEVEL_EVENT_CLIENT",
    "LOGGING_LEVEL_PCF",
    "LOG_COMPRESS",
    "LOG_ENABLE_FILE_LOGGING",
    "LOG_MAX_AGE_DAYS",
    "LOG_MAX_BACKUPS",
    "LOG_MAX_SIZE_MB",
    "NEXT_GEN",
    "OTEL_BLRP_SCHEDULE_DELAY",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_INSECURE",
    "OTEL_LOGS_EXPORTER",
    "OTEL_PROPAGATORS",
    "PRECHECK_CONN",
    "PROXY_TLS_CONNECT",
    "REMOTE_WATCHER_URL_CDN",
    "RUNNER_URL",
    "SCM_SKIP_SSL",
    "SHARED_CA_CERTS_PATH",
    "STACK_DRIVER_LOGGING_ENABLED",
    "TI_SERVICE_URL",
    "UPGRADER_TOKEN",
    "UPGRADER_WORKLOAD_NAME",
    "USE_CDN",
    "VERSION_CHECK_DISABLED",
    "WATCHER_CHECK_LOCATION",
    "WATCHER_STORAGE_URL",
    "ZERO_TRUST_SERVICE_ENABLED",
    "ZERO_TRUST_SERVICE_URL",
];

/// Read by other verbs of the program, by the provider, or set by us for child processes.
pub const OTHER_VERBS: &[&str] = &[
    "HARNESS_DELEGATE_CACHE",
    "HARNESS_DELEGATE_TASK",
    "HARNESS_ENDPOINT",
    "HARNESS_PLATFORM_API_KEY",
    "MANAGER_ACCOUNT_ID",
    "MANAGER_API_KEY",
    "MANAGER_DATABASE_URL",
    "MANAGER_DATA_DIR",
    "MANAGER_DELEGATE_TOKEN",
    "MANAGER_LISTEN",
];

/// Whether a variable of this name means something to a delegate.
pub fn is_known(name: &str) -> bool {
    all().any(|known| known == name)
}

/// All names of the three tables.
pub fn all() -> impl Iterator<Item = &'static str> {
    [READ, OFFICIAL, OTHER_VERBS].into_iter().flatten().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names in quotes in the sources that read settings: what is read there must be in the table.
    #[test]
    fn every_variable_that_is_read_is_in_the_table() {
        let sources = [
            include_str!("env.rs"),
            include_str!("env/network.rs"),
            include_str!("env/secrets.rs"),
            include_str!("env/telemetry.rs"),
        ];
        let words = sources.iter().flat_map(|source| source.split('"'));
        let is_name = |word: &&str| {
            word.contains('_')
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        };
        // Values of settings, and the cluster's own variable.
        let other = ["HELM_DELEGATE", "SHELL_SCRIPT", "KUBERNETES_SERVICE_HOST"];
        let mut found = 0;
        for name in words.filter(is_name).filter(|name| !other.contains(name)) {
            assert!(is_known(name), "{name} is read and not in the table");
            found += 1;
        }
        assert!(found > 50, "the sources were not read: {found}");
        let mut sorted: Vec<_> = READ.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, READ, "the table is sorted");
    }
}
