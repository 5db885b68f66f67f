//! Examples that are applied as they are, by their variables alone, and removed again.

use serde_json::{Value as Json, json};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::cluster::{Cluster, Site};
use crate::files::{copy, prepared};
use crate::host::Host;
use crate::manager::{Manager, unique};
use crate::terraform::Terraform;

/// The account of a [`Site`]'s manager.
const ACCOUNT: &str = "acceptance";

/// The example in the place of the site's own configuration, with these variables besides those that all have.
fn at(mut site: Site, example: &str, variables: &[(&str, &str)]) -> Site {
    copy(&site.terraform, example, &[]);
    with_helm(&mut site);
    for (name, value) in [
        ("manager_url", site.manager.url.as_str()),
        ("account_id", ACCOUNT),
        ("delegate_token", &site.manager.token),
        ("name", &site.name),
        ("namespace", &site.namespace),
        ("image", &site.cluster.image),
    ]
    .iter()
    .chain(variables)
    {
        site.terraform.set_env(format!("TF_VAR_{name}"), value);
    }
    site
}

/// Examples name no `helm`: the one of the site is found on the PATH.
pub(crate) fn with_helm(site: &mut Site) {
    let mut folders = vec![site.helm.parent().expect("a folder").to_owned()];
    folders.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    site.terraform
        .set_env("PATH", std::env::join_paths(folders).expect("a PATH"));
}

#[tokio::test]
async fn the_minikube_example_works_in_a_cluster() {
    let Some(site) = Site::new("minikube").await else {
        return;
    };
    let kubeconfig = site.cluster.kubeconfig.display().to_string();
    let context = site.cluster.kubectl(&["config", "current-context"]).await;
    let site = at(
        site,
        "minikube",
        &[("kubeconfig", &kubeconfig), ("context", context.trim())],
    );
    site.terraform.apply().await.succeeds();
    let state = site.terraform.state().await;
    assert_eq!(state.output("delegate")["connected"], true);
    let result = site.task("echo here").await;
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    site.terraform.assert_settled().await;
    site.terraform.destroy().await.succeeds();
    assert!(
        state.output("delegate")["id"]
            .as_str()
            .is_some_and(|id| id.ends_with(&site.name))
    );
}

#[tokio::test]
async fn the_manifest_example_works_in_a_cluster() {
    let Some(site) = Site::without_helm("manifest").await else {
        return;
    };
    let kubeconfig = site.cluster.kubeconfig.display().to_string();
    let site = at(site, "manifest", &[("kubeconfig", &kubeconfig)]);
    site.terraform.apply().await.succeeds();
    let state = site.terraform.state().await;
    assert_eq!(state.output("delegate")["connected"], true);
    // What the data source says is what the resource has applied.
    for object in state.output("objects").as_array().expect("a list") {
        let object = object.as_str().expect("a name").to_lowercase();
        site.kubectl(&["get", &object]).await;
    }
    site.terraform.assert_settled().await;
    site.terraform.destroy().await.succeeds();
}

/// A service account with just the rights that the example's head names. What it has outside of its namespace goes with
/// this value; the rest goes with the namespace.
struct Account<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl<'a> Account<'a> {
    async fn new(cluster: &'a Cluster, name: &str, namespace: &str) -> Self {
        let account = Self {
            cluster,
            name: name.to_owned(),
        };
        let rule = |group: &str, resource: &str, verb: &str| json!({ "apiGroups": [group], "resources": [resource], "verbs": [verb] });
        let objects = [
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": namespace } }),
            role(name, namespace, &rule("*", "*", "*")),
            binding(name, namespace, namespace),
            role(name, "kube-system", &rule("", "namespaces", "get")),
            binding(name, "kube-system", namespace),
        ];
        for object in &objects {
            account.cluster.put(object).await;
        }
        account
    }
}

fn role(name: &str, namespace: &str, rule: &Json) -> Json {
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": name, "namespace": namespace }, "rules": [rule] })
}

fn binding(name: &str, namespace: &str, home: &str) -> Json {
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": name, "namespace": namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": home }] })
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.cluster.kubeconfig)
            .args([
                "delete",
                "role,rolebinding",
                &self.name,
                "--namespace",
                "kube-system",
                "--ignore-not-found",
            ])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
    }
}

#[tokio::test]
async fn the_example_of_an_existing_cluster_works_with_the_rights_it_names() {
    let Some(site) = Site::new("existing").await else {
        return;
    };
    let cluster = site.cluster.clone();
    let installer = format!("installer-{}", site.name);
    let _account = Account::new(&cluster, &installer, &site.namespace).await;
    let token = site.kubectl(&["create", "token", &installer]).await;
    let config = cluster
        .kubectl(&["config", "view", "--raw", "--minify", "-o", "json"])
        .await;
    let config: Json = serde_json::from_str(&config).expect("JSON");
    let server = &config["clusters"][0]["cluster"];
    let authority = server["certificate-authority-data"].as_str().unwrap_or_default();
    let authority = String::from_utf8(BASE64.decode(authority).expect("base64")).expect("PEM");
    let mut variables = vec![
        ("cluster_host", server["server"].as_str().expect("an address")),
        ("cluster_token", token.trim()),
        ("cluster_ca_certificate", authority.as_str()),
    ];
    if let Some(name) = server["tls-server-name"].as_str() {
        variables.push(("cluster_tls_server_name", name));
    }
    let site = at(site, "existing-cluster", &variables);
    site.terraform.apply().await.succeeds();
    let state = site.terraform.state().await;
    assert_eq!(state.output("delegate")["ready_replicas"], 1);
    assert!(!site.terraform.state_file().contains(token.trim()));
    site.terraform.assert_settled().await;
    site.terraform.destroy().await.succeeds();
    assert!(
        site.cluster.has_namespace(&site.namespace).await,
        "the namespace is not ours"
    );
}

#[tokio::test]
async fn the_example_of_many_delegates_works_on_this_machine() {
    let Some(terraform) = Terraform::here().await else {
        return;
    };
    let (manager, host, prefix) = (
        Manager::start().await,
        Host::new(),
        format!("{}-", unique("many")),
    );
    let mut terraform = prepared(terraform, "many", &[]);
    for (name, value) in [
        ("manager_url", manager.url.as_str()),
        ("account_id", &manager.account),
        ("delegate_token", &manager.token),
        ("directory", host.path()),
        ("service", "process"),
        ("prefix", &prefix),
    ] {
        terraform.set_env(format!("TF_VAR_{name}"), value);
    }
    terraform.apply().await.succeeds();
    let connected = json!({ "apps": true, "data": true, "web": true });
    assert_eq!(*terraform.state().await.output("connected"), connected);
    let result = manager.run_task("echo here", "batch").await;
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    terraform.assert_settled().await;
    terraform.destroy().await.succeeds();
    assert_eq!(host.processes(), []);
}
