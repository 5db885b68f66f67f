mod telemetry;

use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::config::secrets::{
    AwsIdentity, AwsSettings, EnvironmentSecrets, OwnSecret, SecretSettings, VaultLogin, VaultSettings,
};
use crate::config::telemetry::{MetricExport, Otlp, SampleRatio, Telemetry, TraceExport};
use crate::config::{AccountId, ClientCertificate, Proxy, ProxyCredentials, ZeroTrust};

fn minimal() -> Vec<(String, String)> {
    [
        ("ACCOUNT_ID", "acc"),
        ("DELEGATE_NAME", "team-a"),
        ("DELEGATE_TOKEN", "000102030405060708090a0b0c0d0e0f"),
        ("MANAGER_HOST_AND_PORT", "https://manager.example/gratis"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .to_vec()
}

fn with(extra: &[(&str, &str)]) -> Result<DelegateConfig, ConfigErrors> {
    let extra = extra.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    DelegateConfig::from_env(&minimal().into_iter().chain(extra).collect())
}

#[test]
fn the_manager_path_is_kept_in_the_log_service_address() {
    let config = with(&[]).unwrap();
    assert_eq!(
        config.log_service_url().as_str(),
        "https://manager.example/gratis/log-service/"
    );
}

#[test]
fn empty_variables_count_as_absent() {
    let config = with(&[
        ("DELEGATE_TAGS", ""),
        ("INIT_SCRIPT", ""),
        ("DELEGATE_HTTP_PORT", ""),
        ("PROXY_HOST", ""),
    ]);
    assert_eq!(config.unwrap(), with(&[]).unwrap());
}

#[test]
fn every_missing_variable_is_named_in_one_go() {
    let errors = DelegateConfig::from_env(&Env::default()).unwrap_err().to_string();
    for name in [
        "ACCOUNT_ID is not set",
        "DELEGATE_NAME is not set",
        "DELEGATE_TOKEN is not set",
        "MANAGER_HOST_AND_PORT is not set",
    ] {
        assert!(errors.contains(name), "{errors}");
    }
    assert!(!errors.contains('\n'), "one line");
}

#[test]
fn a_wrong_value_names_its_variable_and_the_remedy() {
    for (name, value, part) in [
        (
            "DELEGATE_TOKEN",
            "hunter2",
            "DELEGATE_TOKEN is not a delegate token",
        ),
        (
            "MANAGER_HOST_AND_PORT",
            "app.harness.io",
            "is not a URL; expected for example https://",
        ),
        ("MANAGER_HOST_AND_PORT", "ftp://x", "is not a URL"),
        ("POLL_FOR_TASKS", "maybe", "POLL_FOR_TASKS must be true or false"),
        ("DELEGATE_TYPE", "VM", "is not one of KUBERNETES, DOCKER"),
        ("DELEGATE_HTTP_PORT", "99999", "DELEGATE_HTTP_PORT"),
        ("DELEGATE_TASK_CAPACITY", "0", "at least 1"),
        (
            "DELEGATE_TASK_MAX_PROCESSES",
            "0",
            "DELEGATE_TASK_MAX_PROCESSES must be at least 1",
        ),
        ("DELEGATE_NAME", "-x", "DELEGATE_NAME \"-x\" is not valid"),
        (
            "DELEGATE_TOKEN_FILE",
            "/run/token",
            "DELEGATE_TOKEN_FILE and DELEGATE_TOKEN are both set",
        ),
        (
            "DELEGATE_CLIENT_CERTIFICATE_PATH",
            "/c",
            "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH is not set",
        ),
        ("PROXY_HOST", "proxy", "PROXY_PORT is not set"),
    ] {
        let vars = minimal()
            .into_iter()
            .filter(|(k, _)| k != name)
            .chain([(name.to_owned(), value.to_owned())]);
        let errors = DelegateConfig::from_env(&vars.collect()).unwrap_err().to_string();
        assert!(errors.contains(part), "{name}={value}: {errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
}

#[test]
fn a_proxy_leaves_out_the_cluster_and_where_asked_the_manager() {
    let proxy = [
        ("PROXY_HOST", "proxy"),
        ("PROXY_PORT", "3128"),
        ("NO_PROXY", "a.example, 10.0.0.0/8"),
    ];
    let direct = |more: &[(&str, &str)]| with(&[&proxy[..], more].concat()).unwrap().no_proxy;
    assert_eq!(direct(&[]), ["a.example", "10.0.0.0/8"]);
    assert_eq!(
        direct(&[
            ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
            ("PROXY_MANAGER", "false")
        ]),
        ["a.example", "10.0.0.0/8", "10.96.0.1", "manager.example"]
    );
    assert_eq!(direct(&[("PROXY_MANAGER", "true")]), ["a.example", "10.0.0.0/8"]);
    assert!(
        with(&[("KUBERNETES_SERVICE_HOST", "10.96.0.1")])
            .unwrap()
            .no_proxy
            .is_empty()
    );
}

#[test]
fn thresholds_are_understood_by_their_newer_and_older_names() {
    let thresholds = |vars: &[(&str, &str)]| {
        let config = with(vars).unwrap();
        let number = |percent: Option<Percent>| percent.map(Percent::get);
        (number(config.cpu_threshold), number(config.memory_threshold))
    };
    assert_eq!(thresholds(&[]), (None, None));
    assert_eq!(thresholds(&[("DELEGATE_CPU_THRESHOLD", "70")]), (Some(70), None));
    assert_eq!(thresholds(&[("MEMORY_USAGE_THRESHOLD", "60")]), (None, Some(60)));
    assert_eq!(
        thresholds(&[("DYNAMIC_REQUEST_HANDLING", "true")]),
        (Some(80), Some(80))
    );
    let both = [
        ("DYNAMIC_REQUEST_HANDLING", "true"),
        ("DELEGATE_RESOURCE_THRESHOLD", "75"),
        ("DELEGATE_CPU_THRESHOLD", "90"),
    ];
    assert_eq!(thresholds(&both), (Some(90), Some(75)));
    for wrong in ["0", "101", "many"] {
        let error = with(&[("DELEGATE_MEMORY_THRESHOLD", wrong)])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("DELEGATE_MEMORY_THRESHOLD must be a number of percent"),
            "{error}"
        );
    }
}

#[test]
fn secret_providers_are_checked_whole() {
    let vault = ("DELEGATE_SECRETS_VAULT_URL", "https://vault");
    let aws = ("DELEGATE_SECRETS_AWS_REGION", "eu-central-1");
    for (vars, part) in [
        (&[("DELEGATE_SECRETS_ENV_PREFIX", "a-b")][..], "letters, digits"),
        (
            &[("DELEGATE_SECRETS_ENV_PREFIX", "DELEGATE_")],
            "would give DELEGATE_TOKEN to tasks",
        ),
        (
            &[("DELEGATE_SECRETS_ENV_PREFIX", "OTEL_EXPORTER_")],
            "would give OTEL_EXPORTER_OTLP_HEADERS to tasks",
        ),
        (&[vault], "DELEGATE_SECRETS_VAULT_URL needs a login"),
        (
            &[("DELEGATE_SECRETS_VAULT_TOKEN", "hunter2")],
            "DELEGATE_SECRETS_VAULT_URL is not set; DELEGATE_SECRETS_VAULT_TOKEN needs it",
        ),
        (
            &[
                vault,
                ("DELEGATE_SECRETS_VAULT_TOKEN", "hunter2"),
                ("DELEGATE_SECRETS_VAULT_KUBERNETES_ROLE", "r"),
            ],
            "more than one login",
        ),
        (
            &[vault, ("DELEGATE_SECRETS_VAULT_ROLE_ID", "r")],
            "DELEGATE_SECRETS_VAULT_SECRET_ID is not set",
        ),
        (
            &[
                vault,
                ("DELEGATE_SECRETS_VAULT_TOKEN", "hunter2"),
                ("DELEGATE_SECRETS_VAULT_MOUNT", "a/../b"),
            ],
            "is no path of Vault's",
        ),
        (
            &[("DELEGATE_SECRETS_AWS_REGION", "x.evil/")],
            "is no region of AWS",
        ),
        (&[aws, ("AWS_EC2_METADATA_DISABLED", "true")], "needs credentials"),
        (
            &[aws, ("AWS_ACCESS_KEY_ID", "AKIA")],
            "AWS_SECRET_ACCESS_KEY is not set",
        ),
        (
            &[
                aws,
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/x"),
            ],
            "must be https, or an address of this machine",
        ),
        (
            &[
                aws,
                ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "//evil.example/x"),
            ],
            "must be https, or an address of this machine",
        ),
    ] {
        let errors = with(vars).unwrap_err().to_string();
        assert!(errors.contains(part), "{vars:?}: {errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
    let config = with(&[
        ("DELEGATE_SECRETS_ENV_PREFIX", "TASK_SECRET_"),
        ("TASK_SECRET_DB", "hunter2"),
        ("TASK_SECRET_", "no name"),
        ("OTHER", "x"),
    ])
    .unwrap();
    let values = config.secrets.environment.as_ref().unwrap().values.keys();
    assert_eq!(values.collect::<Vec<_>>(), ["DB"]);
    assert_eq!(config.secrets.own(), [Secret::new("hunter2")]);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn names_of_newer_and_older_images_are_understood() {
    let vars = [
        ("HARNESS_ACCOUNT_ID", "acc"),
        ("HARNESS_DELEGATE_NAME", "team-a"),
        ("ACCOUNT_SECRET", "000102030405060708090a0b0c0d0e0f"),
        ("MANAGER_HOST_AND_PORT", "https://manager.example/gratis"),
        ("JAVA_OPTS", "-Xms64M"),
        ("LOGGING_LEVEL", "CHATTY"),
    ];
    let config = DelegateConfig::from_env(
        &vars
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into_iter()
            .collect(),
    )
    .unwrap();
    assert_eq!(
        config.log_level,
        LogLevel::Debug,
        "an unknown level is DEBUG, as in the official image"
    );
    assert_eq!(config.account_id, "acc".parse::<AccountId>().unwrap());
}

#[test]
fn secrets_are_written_as_secrets() {
    let config = with(&[
        ("PROXY_HOST", "p"),
        ("PROXY_PORT", "1"),
        ("PROXY_USER", "u%40x"),
        ("PROXY_PASSWORD", "p%25w"),
    ])
    .unwrap();
    let login = config.proxy.as_ref().unwrap().credentials.clone().unwrap();
    assert_eq!((login.user.as_str(), login.password.expose()), ("u@x", "p%w"));
    let secret: Vec<_> = config
        .to_env()
        .into_iter()
        .filter(|(_, v)| matches!(v, EnvValue::Secret(_)))
        .map(|(k, _)| k)
        .collect();
    assert_eq!(secret, ["DELEGATE_TOKEN", "PROXY_USER", "PROXY_PASSWORD"]);
    assert!(!format!("{config:?}").contains("p%w"));
}

prop_compose! {
    fn any_proxy()(https in any::<bool>(), host in "[a-z]{1,10}", port in 1u16.., login in of(("[^\u{0}]{1,10}", "[^\u{0}]{0,10}"))) -> Proxy {
        let credentials = login.map(|(user, password)| ProxyCredentials { user, password: Secret::new(password) });
        Proxy { scheme: if https { ProxyScheme::Https } else { ProxyScheme::Http }, host, port, credentials }
    }
}

fn any_own() -> impl Strategy<Value = OwnSecret> {
    prop_oneof![
        "[ -~]{1,12}".prop_map(|text| OwnSecret::Inline(Secret::new(text))),
        "/[a-z]{1,9}".prop_map(|path| OwnSecret::File(path.into())),
    ]
}

fn any_login() -> impl Strategy<Value = VaultLogin> {
    prop_oneof![
        any_own().prop_map(VaultLogin::Token),
        ("[a-z]{1,9}", "[a-z]{1,9}", any_own()).prop_map(|(mount, role_id, secret_id)| {
            VaultLogin::AppRole {
                mount,
                role_id,
                secret_id,
            }
        }),
        ("[a-z]{1,9}", "[a-z]{1,9}", "/[a-z]{1,9}").prop_map(|(mount, role, file)| VaultLogin::Kubernetes {
            mount,
            role,
            token_file: file.into(),
        }),
    ]
}

fn any_identity() -> impl Strategy<Value = AwsIdentity> {
    prop_oneof![
        ("[A-Z]{1,9}", "[ -~]{1,12}", of("[ -~]{1,12}")).prop_map(|(id, secret, session)| {
            AwsIdentity::Keys {
                id,
                secret: Secret::new(secret),
                session_token: session.map(Secret::new),
            }
        }),
        ("/[a-z]{1,9}", "arn:[a-z:]{1,9}", "[a-z]{1,9}").prop_map(|(file, role_arn, session_name)| {
            AwsIdentity::WebIdentity {
                token_file: file.into(),
                role_arn,
                session_name,
            }
        }),
        (r"http://127\.0\.0\.1:[1-9][0-9]{3}/[a-z]{1,5}", of(any_own())).prop_map(|(url, authorization)| {
            AwsIdentity::Container {
                url: url.parse().unwrap(),
                authorization,
            }
        }),
        r"http://(169\.254\.169\.254|[a-z]{1,9})/".prop_map(|url| AwsIdentity::Instance {
            url: url.parse().unwrap()
        }),
    ]
}

prop_compose! {
    fn any_secrets()(
        prefix in of("[A-C_][A-C0-9_]{0,9}"),
        directory in of("/[a-z]{1,9}"),
        vault in of(("https?://[a-z]{1,9}/", of("[a-z]{1,9}"), "[a-z]{1,5}(/[a-z]{1,5})?", any_login())),
        aws in of(("[a-z]{2}-[a-z]{4}-[1-9]", of("https://[a-z]{1,9}/"), of("https://[a-z]{1,9}/"), any_identity())),
    ) -> SecretSettings {
        SecretSettings {
            // No variable of the contract begins with "Q".
            environment: prefix.map(|prefix| EnvironmentSecrets { prefix: format!("Q{prefix}"), values: BTreeMap::new() }),
            directory: directory.map(Into::into),
            vault: vault.map(|(url, namespace, mount, login)| VaultSettings { url: url.parse().unwrap(), namespace, mount, login }),
            aws: aws.map(|(region, endpoint, sts, identity)| AwsSettings {
                region,
                endpoint: endpoint.map(|url| url.parse().unwrap()),
                sts_endpoint: sts.map(|url| url.parse().unwrap()),
                identity,
            }),
        }
    }
}

prop_compose! {
    fn any_otlp()(
        endpoint in "https?://[a-z]{1,9}(:[1-9][0-9]{3})?/([a-z]{1,5}/?)?",
        protocol in prop::sample::select(vec![OtlpProtocol::HttpProtobuf, OtlpProtocol::HttpJson, OtlpProtocol::Grpc]),
        // A header has no space at either end.
        headers in prop::collection::btree_map("x-[a-z0-9!#$%&'*+.^_`|~-]{1,9}", "([!-~]([ -~]{0,9}[!-~])?)?", 0..3),
        timeout in 1u32..,
    ) -> Otlp {
        Otlp {
            endpoint: endpoint.parse().unwrap(),
            protocol,
            headers: headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            timeout: Duration::from_millis(timeout.into()),
        }
    }
}

prop_compose! {
    fn any_telemetry()(
        traces in of((any_otlp(), 1u32.., 0u32..=1_000_000)),
        metrics in of((any_otlp(), 1u32..)),
        resource in prop::collection::btree_map("[^\u{0}]{1,9}", "[^\u{0}]{0,9}", 0..3),
    ) -> Telemetry {
        let millis = |millis: u32| Duration::from_millis(millis.into());
        let off = traces.is_none() && metrics.is_none();
        Telemetry {
            traces: traces.map(|(to, delay, sampled)| TraceExport { to, delay: millis(delay), sampled: sampled.try_into().unwrap() }),
            metrics: metrics.map(|(to, every)| MetricExport { to, every: millis(every) }),
            resource: if off { BTreeMap::new() } else { resource },
        }
    }
}

prop_compose! {
    fn any_config()(
        base in ("[A-Za-z0-9_-]{1,22}", "[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", any::<[u8; 16]>(), of("/[a-z/]{1,20}")),
        urls in ("https?://[a-z]{1,9}(:[1-9][0-9]{3})?(/[a-z]{1,5})?", of("https?://[a-z]{1,9}/[a-z]{1,5}/")),
        texts in ("[^\u{0}]{0,20}", prop::collection::vec("[a-z0-9]([a-z0-9 =.]{0,9}[a-z0-9])?", 0..4), of("[a-z-]{1,9}"), of("(?s)[^\u{0}]{1,40}")),
        flags in any::<[bool; 4]>(),
        kinds in (0usize..5, 0usize..6, any::<bool>()),
        http in (any::<[u8; 4]>(), any::<u16>()),
        paths in ("/[a-z]{1,9}", of("/[a-z]{1,9}"), "/[a-z]{1,9}", of(("/[a-z]{1,9}", "/[a-z]{1,9}"))),
        numbers in (of(1u32..), 0u64..1_000_000, of(1u8..=100), of(1u8..=100)),
        zero_trust in of(("https://[a-z]{1,9}/", 0u64..100, 0u32..9, any::<bool>())),
        proxy in (of(any_proxy()), prop::collection::vec("[a-z.0-9/]{1,12}", 0..3)),
        confined in (of(1u32..), of(1u32..), of(1u32..), of("[a-z0-9:]{1,9}"), of("/[a-z]{1,9}")),
        elsewhere in (any_secrets(), any_telemetry()),
    ) -> DelegateConfig {
        let hex: String = base.2.iter().map(|b| format!("{b:02x}")).collect();
        let token = base.3.map_or_else(|| TokenSource::Inline(hex.parse().unwrap()), |p| TokenSource::File(p.into()));
        let mut config = DelegateConfig::new(base.0.parse().unwrap(), base.1.parse().unwrap(), token, urls.0.parse().unwrap());
        config.log_service_url = Some(urls.1.map_or_else(|| config.log_service_url(), |u| u.parse().unwrap()));
        config.description = texts.0;
        config.tags = texts.1.iter().map(|t| t.parse().unwrap()).collect();
        config.namespace = texts.2;
        config.init_script = texts.3;
        [config.poll_for_tasks, config.task_logs_to_stdout, config.block_shell_tasks, config.trust_all_certificates] = flags;
        config.delegate_type = [DelegateType::Kubernetes, DelegateType::Docker, DelegateType::HelmDelegate, DelegateType::Ecs, DelegateType::ShellScript][kinds.0];
        config.log_level = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error, LogLevel::Off][kinds.1];
        config.log_format = if kinds.2 { LogFormat::Json } else { LogFormat::Text };
        config.http_host = IpAddr::from(http.0);
        config.http_port = http.1;
        config.working_dir = paths.0.into();
        config.shell = paths.1.map(Into::into);
        config.ca_bundle_dir = paths.2.into();
        config.client_certificate = paths.3.map(|(c, k)| ClientCertificate { certificate: c.into(), key: k.into() });
        config.task_capacity = numbers.0;
        config.grace_period = Duration::from_secs(numbers.1);
        config.cpu_threshold = numbers.2.map(|n| n.try_into().unwrap());
        config.memory_threshold = numbers.3.map(|n| n.try_into().unwrap());
        config.zero_trust = zero_trust.map(|(url, timeout, retries, enforce)| ZeroTrust {
            url: url.parse().unwrap(), timeout: Duration::from_secs(timeout), retries, enforce,
        });
        config.proxy = proxy.0;
        config.no_proxy = proxy.1;
        (config.secrets, config.telemetry) = elsewhere;
        config.confinement = ConfinementSettings {
            max_processes: confined.0, max_memory_mib: confined.1, max_millicpus: confined.2, user: confined.3,
        };
        config.task_kinds_dir = confined.4.map(Into::into);
        config
    }
}

proptest! {
    #[test]
    fn what_is_installed_is_what_is_parsed(config in any_config()) {
        let vars: Vec<(String, String)> = config.to_env().into_iter().map(|(k, v)| (k.to_owned(), v.expose().to_owned())).collect();
        let read = DelegateConfig::from_env(&vars.iter().cloned().collect()).unwrap();
        prop_assert_eq!(&read, &config);
        // And the same through the file that a host installation writes.
        let file = crate::config::render_env_file(vars.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let read = DelegateConfig::from_env(&crate::config::parse_env_file(&file).unwrap().into_iter().collect()).unwrap();
        prop_assert_eq!(&read, &config);
    }
}
