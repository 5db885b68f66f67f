//! What users of the official chart rely on: names of values, objects, variables and paths. Each is written out here, apart
//! from the templates, so that a slip in a template cannot become the expectation.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use delegate_core::config::{DelegateConfig, DelegateType, Env, TokenSource};
use delegate_core::install::chart;
use serde_json::Value;

use crate::render::{NAMESPACE, TOKEN_DIGITS, case, cases, objects_with};

/// What nearly every delegate has.
const BASE: &str = "Deployment/N ConfigMap/N Secret/N ServiceAccount/N";
/// The rights by default.
const NAMESPACE_ADMIN: &str = "Role/N-harness-namespace-admin RoleBinding/N-harness-namespace-admin";
/// What an upgrader has, besides its settings, its token and its job.
const UPGRADER: &str = "ServiceAccount/N-upgrader-cronjob-sa Role/N-upgrader RoleBinding/N-upgrader-cronjob";

/// The objects of each case.
const OBJECTS: &[(&str, &[&str])] = &[
    ("minimal", &[BASE, NAMESPACE_ADMIN]),
    (
        "official-full",
        &[
            "Deployment/N ConfigMap/N Secret/N ServiceAccount/N-account",
            "ClusterRoleBinding/N-cluster-admin",
        ],
    ),
    ("ca-and-mtls", &[BASE, NAMESPACE_ADMIN]),
    (
        "shared-certificates",
        &[
            BASE,
            NAMESPACE_ADMIN,
            "ConfigMap/N-shared-certificates Secret/N-addcerts",
        ],
    ),
    (
        "proxy",
        &[
            BASE,
            NAMESPACE_ADMIN,
            UPGRADER,
            "ConfigMap/N-proxy Secret/N-proxy CronJob/N-upgrader-job Secret/N-upgrader-token",
            // It holds the proxy's password here; without one it is a ConfigMap.
            "Secret/N-upgrader-config",
        ],
    ),
    (
        "proxy-existing-secret",
        &[BASE, NAMESPACE_ADMIN, "ConfigMap/N-proxy"],
    ),
    (
        "existing-token",
        &[
            "Deployment/N ConfigMap/N ServiceAccount/N",
            NAMESPACE_ADMIN,
            UPGRADER,
            "CronJob/N-upgrader-job ConfigMap/N-upgrader-config",
        ],
    ),
    (
        "autoscaling",
        &[
            BASE,
            NAMESPACE_ADMIN,
            "HorizontalPodAutoscaler/N PodDisruptionBudget/N",
        ],
    ),
    (
        "cluster-viewer",
        &[
            BASE,
            "ClusterRoleBinding/N-cluster-viewer",
            "ClusterRole/N-ccm-visibility ClusterRoleBinding/N-ccm-visibility-roleBinding",
        ],
    ),
    (
        "custom-role",
        &["Deployment/N ConfigMap/N Secret/N RoleBinding/N-custom-roleBinding"],
    ),
    (
        "network-policy",
        &[BASE, NAMESPACE_ADMIN, "NetworkPolicy/N PodDisruptionBudget/N"],
    ),
    ("dind", &[BASE, NAMESPACE_ADMIN]),
    (
        "upgrader",
        &[
            BASE,
            NAMESPACE_ADMIN,
            UPGRADER,
            "CronJob/upgrades ConfigMap/N-upgrader-config",
        ],
    ),
];

/// The variables in ConfigMap `<name>` that every delegate gets.
const VARIABLES: &[&str] = &[
    "ACCOUNT_ID",
    "CLIENT_TOOLS_DOWNLOAD_DISABLED",
    "DELEGATE_DESCRIPTION",
    // Ours: the official image knows its grace by heart.
    "DELEGATE_GRACE_PERIOD_SECONDS",
    "DELEGATE_NAME",
    "DELEGATE_NAMESPACE",
    "DELEGATE_TAGS",
    "DELEGATE_TYPE",
    "DEPLOY_MODE",
    "INIT_SCRIPT",
    "JAVA_OPTS",
    "LOG_STREAMING_SERVICE_URL",
    "MANAGER_HOST_AND_PORT",
    "NEXT_GEN",
    "POLL_FOR_TASKS",
];

type Pairs = &'static [(&'static str, &'static str)];

/// Case, object, its whole data (for ConfigMap `<name>`: what is added to [`VARIABLES`]).
const DATA: &[(&str, &str, Pairs)] = &[
    ("minimal", "ConfigMap/N", &[]),
    (
        "ca-and-mtls",
        "ConfigMap/N",
        &[
            ("DELEGATE_CLIENT_CERTIFICATE_KEY_PATH", "/etc/mtls/client.key"),
            ("DELEGATE_CLIENT_CERTIFICATE_PATH", "/etc/mtls/client.crt"),
            (
                "DESTINATION_CA_PATH",
                "/etc/ssl/certs/ca-certificates.crt,/etc/pki/tls/certs/ca-bundle.crt",
            ),
        ],
    ),
    (
        "shared-certificates",
        "ConfigMap/N",
        &[
            ("DELEGATE_GROUP_NAME", "harness-delegate-ng"),
            ("ZTS_ENFORCE", "true"),
            ("ZTS_RETRY_COUNT", "0"),
            ("ZTS_TIMEOUT_SECONDS", "7"),
            ("ZTS_URL", "http://zts.example.com"),
        ],
    ),
    (
        "shared-certificates",
        "ConfigMap/N-shared-certificates",
        &[
            (
                "ADDITIONAL_CERTS_PATH",
                "/shared/customer-artifacts/certificates/ca.bundle",
            ),
            (
                "CI_MOUNT_VOLUMES",
                "/shared/customer-artifacts/certificates/ca.bundle:/etc/ssl/certs/ca-bundle.crt,\
                 /shared/customer-artifacts/certificates/ca.bundle:/kaniko/ssl/certs/additional-ca-cert-bundle.crt",
            ),
        ],
    ),
    (
        "proxy",
        "ConfigMap/N-proxy",
        &[
            ("NO_PROXY", ".svc,.example.org"),
            ("PROXY_HOST", "proxy.example.com"),
            ("PROXY_PORT", "3128"),
            ("PROXY_SCHEME", "http"),
        ],
    ),
    (
        "proxy",
        "Secret/N-proxy",
        &[
            ("PROXY_PASSWORD", "aGlkZGVuLXAlNDBzcw=="),
            ("PROXY_USER", "cHJveHktdXNlcg=="),
        ],
    ),
    (
        "proxy",
        "Secret/N-upgrader-token",
        &[(
            "UPGRADER_TOKEN",
            "TURBd01UQXlNRE13TkRBMU1EWXdOekE0TURrd1lUQmlNR013WkRCbE1HWT0=",
        )],
    ),
    (
        "minimal",
        "Secret/N",
        &[(
            "DELEGATE_TOKEN",
            "TURBd01UQXlNRE13TkRBMU1EWXdOekE0TURrd1lUQmlNR013WkRCbE1HWT0=",
        )],
    ),
];

/// `N` stands for the name of the case's objects.
fn named(case: &str, text: &str) -> String {
    let name = match case {
        "official-full" | "existing-token" => "team-a",
        _ => "harness-delegate-ng",
    };
    text.replacen("/N", &format!("/{name}"), 1)
}

pub(crate) fn data(object: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(object["data"].clone()).unwrap()
}

#[test]
fn each_case_has_the_objects_of_the_contract_and_no_other() {
    let expected: BTreeMap<_, _> = OBJECTS.iter().copied().collect();
    assert_eq!(
        expected.keys().copied().collect::<BTreeSet<_>>(),
        cases().keys().map(String::as_str).collect()
    );
    for (name, expected) in expected {
        let ids = expected.iter().flat_map(|group| group.split(' '));
        let expected: BTreeSet<_> = ids.map(|id| named(name, id)).collect();
        let found: BTreeSet<_> = case(name).into_keys().collect();
        similar_asserts::assert_eq!(expected, found, "{name}");
    }
}

#[test]
fn each_variable_is_where_the_contract_has_it() {
    for (name, id, expected) in DATA {
        let mut found = data(&case(name)[&named(name, id)]);
        if *id == "ConfigMap/N" {
            for variable in VARIABLES {
                assert!(found.remove(*variable).is_some(), "{name}: {variable} is missing");
            }
        }
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        similar_asserts::assert_eq!(expected, found, "{name}: {id}");
    }
}

/// What the container's process would see, by the rules of Kubernetes: the sources of envFrom in order, then env.
fn environment(objects: &BTreeMap<String, Value>, container: &Value) -> Env {
    let mut env = BTreeMap::new();
    for source in container["envFrom"].as_array().unwrap() {
        let (kind, reference) = if source["configMapRef"].is_object() {
            ("ConfigMap", &source["configMapRef"])
        } else {
            ("Secret", &source["secretRef"])
        };
        let name = reference["name"].as_str().unwrap();
        let Some(object) = objects.get(&format!("{kind}/{name}")) else {
            assert_eq!(reference["optional"], true, "{kind} {name} is missing");
            continue;
        };
        for (variable, value) in data(object) {
            let value = if kind == "Secret" {
                String::from_utf8(STANDARD.decode(value).unwrap()).unwrap()
            } else {
                value
            };
            env.insert(variable, value);
        }
    }
    for variable in container["env"].as_array().unwrap_or(&Vec::new()) {
        env.insert(
            variable["name"].as_str().unwrap().to_owned(),
            variable["value"].as_str().unwrap().to_owned(),
        );
    }
    Env::default().or(env)
}

pub(crate) fn container(objects: &BTreeMap<String, Value>) -> &Value {
    let (_, deployment) = objects
        .iter()
        .find(|(id, _)| id.starts_with("Deployment/"))
        .unwrap();
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn the_delegate_reads_what_the_chart_writes() {
    let objects = case("proxy");
    let config = DelegateConfig::from_env(&environment(&objects, container(&objects))).unwrap();
    assert_eq!(config.account_id.as_str(), "golden-account");
    assert_eq!(config.name.as_str(), "harness-delegate-ng");
    assert_eq!(config.manager_url.as_str(), "https://app.harness.io/");
    assert_eq!(
        config.log_service_url().as_str(),
        "https://app.harness.io/log-service/"
    );
    assert_eq!(config.delegate_type, DelegateType::HelmDelegate);
    assert_eq!(config.namespace.as_deref(), Some(NAMESPACE));
    assert_eq!(config.working_dir.to_str(), Some("/var/lib/harness-delegate"));
    assert_eq!(config.grace_period.as_secs(), 590);
    assert_eq!(config.no_proxy, [".svc", ".example.org"]);
    let TokenSource::Inline(token) = &config.token else {
        panic!("the token is not in the environment")
    };
    assert_eq!(token.bare().expose(), TOKEN_DIGITS);
    let proxy = config.proxy.unwrap();
    assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example.com", 3128));
    let credentials = proxy.credentials.unwrap();
    assert_eq!(credentials.user, "proxy-user");
    assert_eq!(credentials.password.expose(), "hidden-p@ss");

    let objects = case("official-full");
    let config = DelegateConfig::from_env(&environment(&objects, container(&objects))).unwrap();
    assert_eq!(config.manager_url.as_str(), "https://app.harness.io/gratis");
    assert_eq!(
        config.log_service_url().as_str(),
        "https://app.harness.io/gratis/log-service/"
    );
    assert_eq!(config.description, "says \"hello\": yes");
    assert!(config.poll_for_tasks);
    assert_eq!(config.task_capacity, Some(10));
    assert_eq!(
        config.init_script.as_deref(),
        Some("#!/bin/sh\necho \"installing {{ tools }}\"\nmicrodnf install -y jq\n")
    );

    let objects = case("ca-and-mtls");
    let config = DelegateConfig::from_env(&environment(&objects, container(&objects))).unwrap();
    assert_eq!(
        config.client_certificate.unwrap().certificate.to_str(),
        Some("/etc/mtls/client.crt")
    );
}

#[test]
fn certificates_are_mounted_where_the_images_look_for_them() {
    let secret_at = |case_name: &str, path: &str| {
        let objects = case(case_name);
        let container = container(&objects);
        let mount = container["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|mount| mount["mountPath"] == path);
        let name = mount.unwrap_or_else(|| panic!("{case_name}: nothing at {path}"))["name"].clone();
        let pod = &objects[&named(case_name, "Deployment/N")]["spec"]["template"]["spec"];
        let volume = pod["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|volume| volume["name"] == name)
            .unwrap();
        volume["secret"]["secretName"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        secret_at("ca-and-mtls", "/opt/harness-delegate/ca-bundle/"),
        "company-ca"
    );
    assert_eq!(secret_at("ca-and-mtls", "/etc/mtls"), "delegate-mtls");
    assert_eq!(
        secret_at(
            "shared-certificates",
            "/shared/customer-artifacts/certificates/ca.bundle"
        ),
        "harness-delegate-ng-addcerts"
    );
}

#[test]
fn image_is_chosen_in_the_order_of_the_contract() {
    let image = |set: &[&str]| {
        container(&objects_with(set))["image"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let default = format!("harness-delegate:{}", chart::VERSION);
    assert_eq!(image(&[]), default);
    assert_eq!(
        image(&["image.registry=r.example.com"]),
        format!("r.example.com/{default}")
    );
    assert_eq!(image(&["delegateDockerImage=a/b:1"]), "a/b:1");
    assert_eq!(
        image(&[
            "delegateDockerImage=a/b:1",
            "image.repository=c/d",
            "image.tag=v2"
        ]),
        "c/d:v2"
    );
    assert_eq!(
        image(&["image.registry=r/", "image.repository=c/d"]),
        format!("r/c/d:{}", chart::VERSION)
    );
}
