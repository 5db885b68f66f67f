//! The objects that are rendered without Helm are those of the chart, object by object.
//!
//! The two may differ in what only one of them has to say: Helm's chart label and the name of who installs. Everything else
//! must be the same, so that a delegate behaves the same whichever way it came.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use delegate_core::config::{
    DelegateConfig, DelegateType, LogLevel, Proxy, ProxyCredentials, ProxyScheme, TokenSource,
};
use delegate_core::install::kubernetes::{
    ChartKind, Installer, KubernetesSpec, MANAGED_BY_LABEL, objects, values,
};
use serde_json::{Value, json};

use crate::render::{HELMS, Helm, NAMESPACE, RELEASE, TOKEN_DIGITS, by_name, objects as parsed};

/// What Helm alone puts on every object.
const CHART_LABEL: &str = "helm.sh/chart";

fn minimal() -> KubernetesSpec {
    let token = TokenSource::Inline(TOKEN_DIGITS.parse().unwrap());
    // The name is also that of the release: only then do the selectors agree.
    let (account, name) = ("golden-account".parse().unwrap(), RELEASE.parse().unwrap());
    let mut config = DelegateConfig::new(account, name, token, "https://app.harness.io".parse().unwrap());
    config.delegate_type = DelegateType::Kubernetes;
    KubernetesSpec {
        config,
        namespace: NAMESPACE.to_owned(),
        image: None,
        replicas: 1,
        permissions: None,
        resources: None,
        env: BTreeMap::new(),
        mtls_secret: None,
        ca_secret: None,
        token_secret: None,
    }
}

fn everything() -> KubernetesSpec {
    let mut spec = minimal();
    let config = &mut spec.config;
    config.manager_url = "https://manager.example:8443/base".parse().unwrap();
    config.log_service_url = Some("https://logs.example/logs".parse().unwrap());
    "says \"yes\", <no> & 'perhaps': ünï".clone_into(&mut config.description);
    config.tags = vec!["linux".parse().unwrap(), "prod".parse().unwrap()];
    config.poll_for_tasks = true;
    config.init_script = Some("#!/bin/sh\nset -e\n\techo \"$HOME\" <in >out && true\n\n# end".to_owned());
    config.proxy = Some(Proxy {
        scheme: ProxyScheme::Https,
        host: "proxy.example".to_owned(),
        port: 3128,
        credentials: Some(ProxyCredentials {
            user: "me".to_owned(),
            password: "hidden p@ss".to_owned().into(),
        }),
    });
    config.no_proxy = vec![".svc".to_owned(), ".example.org".to_owned()];
    spec.image = Some("registry.example:5000/team/delegate@sha256:00".to_owned());
    spec.replicas = 3;
    spec.permissions = Some("CLUSTER_ADMIN".to_owned());
    spec.resources =
        Some(json!({ "requests": { "cpu": "500m" }, "limits": { "memory": "1Gi", "cpu": "2" } }));
    spec.env = BTreeMap::from([
        ("EMPTY".to_owned(), String::new()),
        ("SWITCH".to_owned(), "true".to_owned()),
    ]);
    spec.mtls_secret = Some("own-mtls".to_owned());
    spec.ca_secret = Some("own-ca".to_owned());
    spec
}

/// Settings that reach each branch of the renderer, by what they are about.
fn cases() -> Vec<(&'static str, KubernetesSpec)> {
    let with = |change: fn(&mut KubernetesSpec)| {
        let mut spec = minimal();
        change(&mut spec);
        spec
    };
    vec![
        ("minimal", minimal()),
        ("everything", everything()),
        (
            "token of the owner",
            with(|spec| spec.token_secret = Some("mine".into())),
        ),
        (
            "viewer",
            with(|spec| spec.permissions = Some("CLUSTER_VIEWER".into())),
        ),
        ("role", with(|spec| spec.permissions = Some("deployer".into()))),
        (
            "own working folder",
            with(|spec| {
                spec.env.insert("WORKING_DIR".into(), "/data".into());
            }),
        ),
        (
            "own home",
            with(|spec| {
                spec.env.insert("HOME".into(), "/tmp".into());
            }),
        ),
        ("no pods", with(|spec| spec.replicas = 0)),
        (
            "short grace",
            with(|spec| spec.config.grace_period = Duration::from_secs(4)),
        ),
        (
            "long grace and more settings",
            with(|spec| {
                spec.config.grace_period = Duration::from_hours(1);
                spec.config.log_level = LogLevel::Debug;
                spec.config.task_capacity = Some(7);
            }),
        ),
        (
            "as a chart",
            with(|spec| spec.config.delegate_type = DelegateType::HelmDelegate),
        ),
    ]
}

/// Without the labels that differ by who installs.
fn neutral(mut object: Value) -> Value {
    if let Some(labels) = object
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove(CHART_LABEL);
        labels.remove(MANAGED_BY_LABEL).unwrap();
    }
    object
}

#[test]
fn each_object_is_the_one_that_the_chart_makes() {
    for helm in HELMS {
        let helm = Helm::new(helm);
        for (case, spec) in cases() {
            let values = values(&spec, ChartKind::Ours, Some("0123456789abcdef"));
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), values.to_string()).unwrap();
            let chart = by_name(parsed(&helm.rendered(Some(file.path()), &[])));
            let installer = Installer {
                managed_by: "tests",
                secret_revision: Some("0123456789abcdef"),
            };
            let ours = by_name(objects(&spec, installer));
            let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(&ours), names(&chart), "{} {case}", helm.name);
            for (name, object) in ours {
                similar_asserts::assert_eq!(
                    neutral(object),
                    neutral(chart[&name].clone()),
                    "{} {case} {name}",
                    helm.name
                );
            }
        }
    }
}
