//! What must be so whatever the values: for every case, and where the values decide, value by value.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::contract::container;
use crate::render::{NAMESPACE, RELEASE, TOKEN, TOKEN_DIGITS, case, cases, id, is_secret, objects_with};

const DEPLOYMENT: &str = "Deployment/harness-delegate-ng";

fn all_cases() -> impl Iterator<Item = (String, BTreeMap<String, Value>)> {
    cases().into_keys().map(|name| {
        let objects = case(&name);
        (name, objects)
    })
}

/// Calls `visit` with every key and value, at any depth.
fn walk(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                visit(key, value);
                walk(value, visit);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| walk(value, visit)),
        _ => {}
    }
}

#[test]
fn mounted_secrets_can_be_read_by_owner_and_group_and_nobody_else() {
    let mut seen = 0;
    for (name, objects) in all_cases() {
        for object in objects.values() {
            walk(object, &mut |key, value| {
                if key == "secret" {
                    seen += 1;
                    assert_eq!(
                        value["defaultMode"].as_u64(),
                        Some(0o440),
                        "{name}: {} {value}",
                        id(object)
                    );
                }
            });
        }
    }
    assert!(seen >= 6, "only {seen} Secrets were mounted in all cases");
}

#[test]
fn secrets_are_in_secrets_only() {
    // As given, decoded, and as a Secret has them.
    let secrets = [
        TOKEN,
        TOKEN_DIGITS,
        "TURBd01UQXlNRE13TkRBMU1EWXdOekE0TURrd1lUQmlNR013WkRCbE1HWT0=",
        "proxy-user",
        "cHJveHktdXNlcg==",
        "hidden-p",
        "aGlkZGVuLXAlNDBzcw==",
    ];
    let mut in_secrets = BTreeSet::new();
    for (name, objects) in all_cases() {
        for object in objects.values() {
            let text = object.to_string();
            for secret in secrets.iter().filter(|secret| text.contains(**secret)) {
                assert!(is_secret(object), "{name}: {} holds {secret}", id(object));
                in_secrets.insert(*secret);
            }
        }
    }
    assert!(
        in_secrets.len() >= 5,
        "the cases hold no secrets to look for: {in_secrets:?}"
    );
}

#[test]
fn pods_are_selected_by_the_three_labels_of_the_official_chart() {
    for (name, objects) in all_cases() {
        let delegate = match name.as_str() {
            "official-full" => "team-a",
            "existing-token" => "Team.A",
            _ => "harness-delegate-ng",
        };
        let expected = json!({
            "app.kubernetes.io/instance": RELEASE,
            "app.kubernetes.io/name": delegate,
            "harness.io/name": delegate,
        });
        for object in objects.values() {
            assert_eq!(
                object["metadata"]["labels"]["harness.io/name"],
                delegate,
                "{name}: {}",
                id(object)
            );
            let spec = &object["spec"];
            let selector = match object["kind"].as_str().unwrap() {
                "Deployment" | "PodDisruptionBudget" => &spec["selector"]["matchLabels"],
                "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
                _ => continue,
            };
            assert_eq!(*selector, expected, "{name}: {}", id(object));
            if object["kind"] == "Deployment" {
                let labels = spec["template"]["metadata"]["labels"].as_object().unwrap();
                for (key, value) in expected.as_object().unwrap() {
                    assert_eq!(labels.get(key), Some(value), "{name}");
                }
                assert!(
                    !labels.contains_key("helm.sh/chart"),
                    "{name}: a new chart alone would replace the pods"
                );
            }
        }
    }
}

#[test]
fn every_object_is_in_the_release_namespace_or_in_none() {
    for (name, objects) in all_cases() {
        for object in objects.values() {
            let cluster = object["kind"].as_str().unwrap().starts_with("Cluster");
            let namespace = &object["metadata"]["namespace"];
            let expected = if cluster { Value::Null } else { NAMESPACE.into() };
            assert_eq!(*namespace, expected, "{name}: {}", id(object));
        }
    }
}

#[test]
fn every_mount_has_a_volume_and_a_path_of_its_own() {
    for (name, objects) in all_cases() {
        for object in objects.values() {
            let pod = match object["kind"].as_str().unwrap() {
                "Deployment" => &object["spec"]["template"]["spec"],
                "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"]["spec"],
                _ => continue,
            };
            let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
            let volumes: Vec<_> = list(&pod["volumes"])
                .iter()
                .map(|volume| volume["name"].clone())
                .collect();
            let mut mounted = BTreeSet::new();
            for container in list(&pod["initContainers"])
                .iter()
                .chain(&list(&pod["containers"]))
            {
                let mounts = list(&container["volumeMounts"]);
                let paths: BTreeSet<_> = mounts
                    .iter()
                    .map(|mount| mount["mountPath"].as_str().unwrap())
                    .collect();
                assert_eq!(
                    paths.len(),
                    mounts.len(),
                    "{name}: {}: two mounts at one path",
                    id(object)
                );
                for mount in &mounts {
                    assert!(
                        volumes.contains(&mount["name"]),
                        "{name}: {}: no volume for {mount}",
                        id(object)
                    );
                    mounted.insert(mount["name"].to_string());
                }
            }
            assert_eq!(
                volumes.len(),
                mounted.len(),
                "{name}: {}: a volume that nothing mounts",
                id(object)
            );
        }
    }
}

#[test]
fn the_engine_beside_the_delegate_meets_it_at_a_socket_of_its_group() {
    let pod = |set: &[&str]| {
        let mut all = vec!["dind.enabled=true"];
        all.extend(set);
        objects_with(&all)[DEPLOYMENT]["spec"]["template"]["spec"].clone()
    };
    let variables = |container: &Value| -> Vec<Value> {
        let all = container["env"].as_array().unwrap().iter();
        all.filter(|variable| variable["name"] == "DOCKER_HOST")
            .map(|variable| variable["value"].clone())
            .collect()
    };
    let default = pod(&[]);
    let (engine, delegate) = (&default["initContainers"][0], &default["containers"][0]);
    let host = json!("unix:///var/run/dind/docker.sock");
    assert_eq!(variables(engine), variables(delegate));
    assert_eq!(variables(engine), [host]);
    for container in [engine, delegate] {
        let mounts = container["volumeMounts"].as_array().unwrap();
        assert!(
            mounts.contains(&json!({"name": "dind-socket", "mountPath": "/var/run/dind"})),
            "{container}"
        );
    }
    // It is there before the delegate, and stays until that has drained.
    assert_eq!(engine["restartPolicy"], "Always");
    assert!(engine["startupProbe"].is_object());
    assert_eq!(engine["securityContext"]["privileged"], true);
    assert_eq!(delegate["securityContext"]["allowPrivilegeEscalation"], false);
    let group = |set: &[&str]| pod(set)["initContainers"][0]["args"][2].clone();
    assert_eq!(group(&[]), "--group=1001");
    assert_eq!(
        group(&["delegate.pod.securityContext.fsGroup=1000730000"]),
        "--group=1000730000"
    );
    assert_eq!(group(&["delegate.pod.securityContext=null"]), "--group=0");
    let own = pod(&[
        "custom_envs[0].name=DOCKER_HOST",
        "custom_envs[0].value=tcp://other:1",
    ]);
    assert_eq!(variables(&own["containers"][0]), [json!("tcp://other:1")]);
    assert_eq!(
        case("minimal")[DEPLOYMENT]["spec"]["template"]["spec"]["initContainers"],
        Value::Null
    );
}

#[test]
fn container_runs_as_the_values_say_and_never_contradicts_itself() {
    // Values → user, must not be root, root file system read-only, capabilities dropped.
    let table: &[(&[&str], Value, bool)] = &[
        (&[], json!(1001), true),
        (&["securityContext.runAsRoot=true"], json!(0), false),
        (&["delegate.securityContext.runAsUser=0"], json!(0), false),
        (
            &[
                "securityContext.runAsRoot=true",
                "delegate.securityContext.runAsUser=2000",
            ],
            json!(2000),
            true,
        ),
        (
            &[
                "securityContext.runAsRoot=false",
                "delegate.securityContext.runAsUser=2000",
            ],
            json!(2000),
            true,
        ),
        (&["delegateSecurityContext.runAsUser=0"], json!(0), false),
        (
            &[
                "delegateSecurityContext.runAsUser=0",
                "delegate.securityContext.runAsUser=2000",
            ],
            json!(2000),
            true,
        ),
        (&["delegate.securityContext.runAsUser=null"], Value::Null, true),
        (
            &["delegate.securityContext=null", "securityContext=null"],
            json!(1001),
            true,
        ),
    ];
    for (set, user, confined) in table {
        let objects = objects_with(set);
        let context = &container(&objects)["securityContext"];
        assert_eq!(context["runAsUser"], *user, "{set:?}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{set:?}");
        for key in ["runAsNonRoot", "readOnlyRootFilesystem"] {
            assert_eq!(
                context[key].as_bool().unwrap_or(false),
                *confined,
                "{set:?}: {key}"
            );
        }
        assert_eq!(
            context["capabilities"]["drop"] == json!(["ALL"]),
            *confined,
            "{set:?}"
        );
    }
    let pod =
        |set: &[&str]| objects_with(set)[DEPLOYMENT]["spec"]["template"]["spec"]["securityContext"].clone();
    assert_eq!(pod(&[]), json!({"fsGroup": 1001}));
    assert_eq!(
        pod(&["delegatePodSecurityContext.fsGroup=7"]),
        json!({"fsGroup": 7})
    );
    assert_eq!(
        pod(&["delegate.pod.securityContext.fsGroup=8"]),
        json!({"fsGroup": 8})
    );
    assert_eq!(pod(&["delegate.pod.securityContext=null"]), Value::Null);
    let objects = objects_with(&[
        "delegate.securityContext.readOnlyRootFilesystem=false",
        "delegate.securityContext.procMount=Default",
    ]);
    let context = &container(&objects)["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], false);
    assert_eq!(
        context["procMount"], "Default",
        "a key that the chart does not know is kept"
    );
    assert_eq!(context["runAsNonRoot"], true);
}

#[test]
fn a_read_only_container_can_write_where_it_must_and_custom_mounts_win() {
    let written = |set: &[&str]| {
        let objects = objects_with(set);
        let container = container(&objects);
        let list = |key: &str, part: &str| -> BTreeSet<String> {
            let entries = container[key].as_array().cloned().unwrap_or_default();
            entries
                .iter()
                .map(|entry| entry[part].as_str().unwrap().to_owned())
                .collect()
        };
        (list("volumeMounts", "mountPath"), list("env", "name"))
    };
    let set = |list: &[&str]| -> BTreeSet<String> { list.iter().map(|text| (*text).to_owned()).collect() };

    let work = "/var/lib/harness-delegate";
    assert_eq!(
        written(&[]),
        (set(&["/tmp", work]), set(&["HOME", "WORKING_DIR"]))
    );
    assert_eq!(written(&["securityContext.runAsRoot=true"]), (set(&[]), set(&[])));
    assert_eq!(
        written(&["custom_mounts[0].name=mine", "custom_mounts[0].mountPath=/tmp/"]),
        (set(&["/tmp/", work]), set(&["HOME", "WORKING_DIR"]))
    );
    assert_eq!(
        written(&[
            "custom_envs[0].name=WORKING_DIR",
            "custom_envs[0].value=/elsewhere"
        ]),
        (set(&["/tmp"]), set(&["WORKING_DIR"]))
    );
    let objects = objects_with(&["scratch.sizeLimit=5Gi"]);
    let volumes = &objects[DEPLOYMENT]["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[0]["emptyDir"]["sizeLimit"], "5Gi");
}

#[test]
fn pods_are_replaced_when_what_they_read_changes_and_not_otherwise() {
    let pod = |set: &[&str]| objects_with(set)[DEPLOYMENT]["spec"]["template"].to_string();
    let base = pod(&[]);
    for changes in [
        "delegateToken=ffffffffffffffffffffffffffffffff",
        "tags=x",
        "proxyHost=p,proxyPort=1",
        "proxyHost=p,proxyPort=1,proxyPassword=YQ==",
        "shared_certificates.ca_bundle=x",
        "delegateTokenChecksum=2",
    ] {
        assert_ne!(pod(&[changes]), base, "{changes}");
    }
    let with_password = |password: &str| pod(&[&format!("proxyHost=p,proxyPort=1,proxyPassword={password}")]);
    assert_ne!(with_password("YQ=="), with_password("Yg=="));
    for leaves in [
        "replicas=3",
        "k8sPermissionsType=CLUSTER_ADMIN",
        "upgrader.enabled=true",
        "podDisruptionBudget.enabled=true",
    ] {
        assert_eq!(pod(&[leaves]), base, "{leaves}");
    }
}

#[test]
fn the_delegate_gives_up_on_its_tasks_before_the_pod_is_killed() {
    for (grace, drain) in [
        ("600", "590"),
        ("3600", "3590"),
        ("30", "20"),
        ("12", "6"),
        ("0", "0"),
    ] {
        let objects = objects_with(&[&format!("terminationGracePeriodSeconds={grace}")]);
        let pod = &objects[DEPLOYMENT]["spec"]["template"]["spec"];
        assert_eq!(pod["terminationGracePeriodSeconds"].to_string(), grace);
        let config = &objects["ConfigMap/harness-delegate-ng"]["data"];
        assert_eq!(config["DELEGATE_GRACE_PERIOD_SECONDS"], drain, "{grace}");
    }
}

#[test]
fn probes_ask_for_health_and_null_switches_one_off() {
    let objects = objects_with(&["livenessProbe=null", "readinessProbe.successThreshold=2"]);
    let container = container(&objects);
    assert_eq!(container["livenessProbe"], Value::Null);
    assert_eq!(container["readinessProbe"]["successThreshold"], 2);
    for probe in ["startupProbe", "readinessProbe"] {
        assert_eq!(
            container[probe]["httpGet"],
            json!({"path": "/api/health", "port": 3460, "scheme": "HTTP"})
        );
    }
    let startup = &container["startupProbe"];
    let budget = startup["periodSeconds"].as_u64().unwrap() * startup["failureThreshold"].as_u64().unwrap();
    assert!(
        budget >= 400,
        "a Java delegate may need 400 s to start, and gets {budget}"
    );
}

#[test]
fn autoscaling_owns_the_number_of_replicas() {
    let objects = case("autoscaling");
    assert_eq!(objects[DEPLOYMENT]["spec"].get("replicas"), None);
    let metrics = objects["HorizontalPodAutoscaler/harness-delegate-ng"]["spec"]["metrics"]
        .as_array()
        .unwrap();
    assert_eq!(metrics.len(), 1, "a target of 0 switches a metric off");
    assert_eq!(metrics[0]["resource"]["name"], "memory");
    assert_eq!(objects_with(&["replicas=0"])[DEPLOYMENT]["spec"]["replicas"], 0);
}

#[test]
fn rights_are_bound_to_the_account_that_the_pods_run_as() {
    for (name, objects) in all_cases() {
        let (_, deployment) = objects
            .iter()
            .find(|(id, _)| id.starts_with("Deployment/"))
            .unwrap();
        let account = &deployment["spec"]["template"]["spec"]["serviceAccountName"];
        let bound = objects
            .iter()
            .filter(|(id, _)| id.contains("RoleBinding/") && !id.ends_with("-upgrader-cronjob"));
        let mut count = 0;
        for (id, binding) in bound {
            count += 1;
            let expected = json!([{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]);
            assert_eq!(binding["subjects"], expected, "{name}: {id}");
        }
        assert!(count >= 1, "{name}");
    }
    let role = |name: &str, id: &str| case(name)[id]["roleRef"].clone();
    let expected =
        |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    assert_eq!(
        role("official-full", "ClusterRoleBinding/team-a-cluster-admin"),
        expected("ClusterRole", "cluster-admin")
    );
    assert_eq!(
        role(
            "cluster-viewer",
            "ClusterRoleBinding/harness-delegate-ng-cluster-viewer"
        ),
        expected("ClusterRole", "view")
    );
    assert_eq!(
        role(
            "custom-role",
            "RoleBinding/harness-delegate-ng-custom-roleBinding"
        ),
        expected("Role", "deployer")
    );
}
