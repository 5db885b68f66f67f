//! What a wrong value gets: no objects, and one error that names the key and keeps secrets to itself.

use crate::render::{HELMS, Helm, TOKEN};

/// The values that are wrong, and what the error must say: the key's last name, and for some the reason.
const WRONG: &[(&[&str], &[&str])] = &[
    // By the schema.
    (&["delegatName=x"], &["delegatName"]),
    (&["replicas=two"], &["replicas", "integer"]),
    (&["replicas=-1"], &["replicas"]),
    (&["memory=2Gi"], &["memory"]),
    (&["cpu=half"], &["cpu"]),
    (&["accountId=has space"], &["accountId"]),
    (&["managerEndpoint=app.harness.io"], &["managerEndpoint"]),
    (&["deployMode=DOCKER"], &["deployMode"]),
    (&["deploymentStrategy=Rolling"], &["deploymentStrategy"]),
    (&["image.pullPolicy=Sometimes"], &["pullPolicy"]),
    (&["image.repo=x"], &["repo"]),
    (&["proxyScheme=socks5"], &["proxyScheme"]),
    (&["autoscaling.minReplica=2"], &["autoscaling", "minReplica"]),
    (
        &["livenessProbe.periodSecond=5"],
        &["livenessProbe", "periodSecond"],
    ),
    (
        &["securityContext.runAsUser=0"],
        &["securityContext", "runAsUser"],
    ),
    (&["upgrader.enabled=yes"], &["upgrader", "enabled"]),
    (&["mTLS.secretName=Not_A_Name"], &["mTLS", "secretName"]),
    (&["custom_envs[0].value=x"], &["custom_envs", "name"]),
    (&["tolerations=x"], &["tolerations"]),
    (&["image=null"], &["image"]),
    (&["dind.enabled=yes"], &["dind", "enabled"]),
    (&["dind.extraArgs[0]=debug"], &["dind", "extraArgs"]),
    (&["commonLabels.a=1"], &["commonLabels"]),
    // By the templates: values that depend on one another, and secrets.
    (&["accountId="], &["accountId is missing"]),
    (
        &["delegateToken="],
        &["delegateToken is missing", "existingDelegateToken"],
    ),
    (
        &["delegateToken=hush"],
        &["delegateToken is not a delegate token"],
    ),
    (
        &["delegateName=Team_A"],
        &["delegateName \"Team_A\"", "fullnameOverride"],
    ),
    (&["fullnameOverride=Team_A"], &["fullnameOverride \"Team_A\""]),
    (
        &["fullnameOverride=a", "delegateName=a b"],
        &["delegateName \"a b\"", "label"],
    ),
    (
        &["proxyHost=p", "proxyPort=1", "proxyPassword=hush!"],
        &["proxyPassword is not base64", "existingProxySecret"],
    ),
    (&["proxyUser=YQ=="], &["proxyHost is missing"]),
    (&["proxyHost=p"], &["proxyPort is missing"]),
    (
        &["k8sPermissionsType=CLUSTER_ADMN"],
        &["k8sPermissionsType \"CLUSTER_ADMN\"", "CLUSTER_ADMIN"],
    ),
    (
        &[
            "delegate.securityContext.runAsUser=0",
            "delegate.securityContext.runAsNonRoot=true",
        ],
        &["delegate.securityContext", "runAsNonRoot"],
    ),
    (
        &["delegateDockerImage=a:1", "image.tag=v2"],
        &["image.tag", "delegateDockerImage"],
    ),
    (
        &["autoscaling.enabled=true", "autoscaling.minReplicas=11"],
        &["minReplicas", "maxReplicas"],
    ),
    (
        &[
            "autoscaling.enabled=true",
            "autoscaling.targetCPUUtilizationPercentage=0",
        ],
        &["autoscaling", "targetMemoryUtilizationPercentage"],
    ),
    (
        &[
            "networkPolicy.enabled=true",
            "networkPolicy.restrictIngress=false",
        ],
        &["networkPolicy", "egress"],
    ),
    (
        &[
            "upgrader.enabled=true",
            "delegateName=a-name-that-has-40-characters-in-it-abcd",
        ],
        &["upgrader.jobName", "53 characters", "39"],
    ),
];

/// The values that the list above passes as secrets.
const SECRETS: &[&str] = &["hush", TOKEN];

#[test]
fn a_wrong_value_is_refused_by_both_helms_with_one_error_that_names_it() {
    for helm in HELMS.map(Helm::new) {
        for (set, expected) in WRONG {
            let token = format!("delegateToken={TOKEN}");
            let mut all = vec!["accountId=golden-account", &token];
            all.extend(*set);
            let output = helm.template(None, &all);
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{} took {set:?}", helm.name);
            assert!(
                output.stdout.is_empty(),
                "{} rendered {set:?} all the same",
                helm.name
            );
            for part in *expected {
                assert!(
                    error.contains(part),
                    "{} {set:?}: {part:?} is not in: {error}",
                    helm.name
                );
            }
            let complaints = error
                .lines()
                .filter(|line| line.trim_start().starts_with("- "))
                .count();
            assert_eq!(complaints, 1, "{} {set:?}: {error}", helm.name);
            for secret in SECRETS {
                assert!(
                    !error.contains(secret),
                    "{} {set:?} prints a secret: {error}",
                    helm.name
                );
            }
        }
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let output = Helm::new("helm3").template(None, &["k8sPermissionsType=ADMIN"]);
    let error = String::from_utf8_lossy(&output.stderr);
    for key in ["accountId", "delegateToken", "k8sPermissionsType"] {
        assert!(error.contains(&format!("- {key}")), "{key} is not in: {error}");
    }
}

#[test]
fn an_engine_beside_the_delegate_is_refused_where_kubernetes_cannot_keep_it() {
    let token = format!("delegateToken={TOKEN}");
    let set = ["accountId=golden-account", &token, "dind.enabled=true"];
    for helm in HELMS.map(Helm::new) {
        for (version, taken) in [("1.28.9", false), ("1.29.0", true), ("1.29.3-eks-1", true)] {
            let output = helm.template_for(version, &set);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), taken, "{} {version}: {error}", helm.name);
            assert!(
                taken || error.contains("dind.enabled needs Kubernetes 1.29"),
                "{error}"
            );
        }
    }
}

#[test]
fn the_longest_name_that_an_upgrader_allows_is_taken() {
    let name = "a-name-that-has-39-characters-in-it-abc";
    assert_eq!(name.len(), 39);
    let objects = crate::render::objects_with(&["upgrader.enabled=true", &format!("delegateName={name}")]);
    assert!(objects.contains_key(&format!("CronJob/{name}-upgrader-job")));
}
