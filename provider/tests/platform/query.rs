//! The listing of delegates: on this machine, in a cluster, and by `terraform query` where Terraform has it.

use harness_provider::framework::value::Value;

use crate::cluster::{Config, Site};
use crate::fixture::Case;
use crate::host::Host;
use crate::manager::{Manager, unique};
use crate::rpc::Bench;
use crate::terraform::Terraform;

/// A delegate in the default folder of this machine, installed by hand.
async fn by_hand() -> (Manager, Host, String) {
    let (manager, name) = (Manager::start().await, unique("query"));
    let host = Host::by_default(&name);
    let installed = manager
        .verb(&["install", "--service", "process", "--directory", host.path()])
        .env("DELEGATE_NAME", &name)
        .env("DELEGATE_TAGS", "b,a")
        .env("ACCOUNT_ID", &manager.account)
        .env("DELEGATE_TOKEN", &manager.token)
        .env("MANAGER_HOST_AND_PORT", &manager.url)
        .env("DELEGATE_HTTP_HOST", "127.0.0.1")
        .env("DELEGATE_HTTP_PORT", "0")
        .output()
        .await
        .expect("it runs");
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    (manager, host, name)
}

#[tokio::test]
async fn delegates_of_this_machine_are_listed_with_identity_and_state() {
    let (_manager, _host, name) = by_hand().await;
    let bench = Bench::new(&[]).await;
    let mode = [("mode", Value::from("host"))];
    let one = bench.listed(&mode, false, &name).await;
    assert_eq!(one.display_name, name);
    assert_eq!(one.identity.named("mode").as_str(), Some("host"));
    assert_eq!(one.identity.named("place").as_str(), Some("localhost"));
    assert!(one.resource.is_none());
    let one = bench.listed(&mode, true, &name).await;
    let state = one.state();
    assert_eq!(
        state.named("id").as_str(),
        Some(format!("host/localhost/{name}").as_str())
    );
    assert_eq!(state.named("tags"), &Value::set([Value::from("a"), "b".into()]));
    assert!(state.named("token").is_null() && state.named("token_wo").is_null());
}

#[tokio::test]
async fn a_list_block_that_mixes_places_is_refused() {
    let bench = Bench::new(&[]).await;
    let engine = Value::object([("host", Value::from("tcp://x"))]);
    for (arguments, part) in [
        (
            vec![("mode", "host".into()), ("namespace", "x".into())],
            "namespace does not go with mode = \"host\"",
        ),
        (
            vec![("mode", "helm".into()), ("docker", engine.clone())],
            "docker does not go with mode = \"helm\"",
        ),
        (vec![("docker", engine)], "Set mode = \"docker\""),
    ] {
        let problems = bench.list_problems(&arguments).await;
        assert!(problems.len() == 1 && problems[0].contains(part), "{problems:?}");
    }
    let problems = bench.list_problems(&[("mode", "vm".into())]).await;
    assert!(problems[0].contains("Must be one of"), "{problems:?}");
    // Without a cluster there is no list, and no empty one either.
    let nowhere = Value::object([
        ("config_path", Value::from("/nowhere/kubeconfig")),
        ("config_paths", Value::Null),
        ("config_context", Value::Null),
    ]);
    let listed = bench.list(&[("kubernetes", nowhere)], false).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(
        listed[0].diagnostics[0].contains("/nowhere/kubeconfig"),
        "{listed:?}"
    );
}

/// A delegate of no pods, listed with its id everywhere and in its namespace, with the mode and without, but not with `other`.
async fn is_listed(site: &Site, config: Config, mode: &str, other: &str) {
    let config = config
        .set("replicas", "0")
        .set("tags", "[\"x\"]")
        .set("wait", "{ until = \"installed\" }");
    site.apply(&config).await.succeeds();
    let id = site.attribute("id").await;
    let kubeconfig = site.cluster.kubeconfig.display().to_string();
    let cluster = Value::object([("config_path", Value::from(kubeconfig))]);
    let bench = Bench::new(&[("kubernetes", cluster)]).await;
    let one = bench.listed(&[], false, &site.name).await;
    assert_eq!(one.display_name, format!("{} in {}", site.name, site.namespace));
    let here = [
        ("mode", Value::from(mode)),
        ("namespace", Value::from(site.namespace.as_str())),
    ];
    let all = bench.list(&here, true).await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(serde_json::json!(all[0].id()), id);
    let state = all[0].state();
    assert_eq!(state.named("tags"), &Value::set([Value::from("x")]));
    assert_eq!(state.named("name").as_str(), Some(site.name.as_str()));
    let others = [("mode", Value::from(other)), here[1].clone()];
    assert!(bench.list(&others, false).await.is_empty());
    site.terraform.destroy().await.succeeds();
    assert!(bench.list(&here, false).await.is_empty());
}

#[tokio::test]
async fn releases_of_a_cluster_are_listed_with_the_id_that_imports_them() {
    if let Some(site) = Site::new("query").await {
        is_listed(&site, site.config(), "helm", "manifest").await;
    }
}

#[tokio::test]
async fn plain_objects_of_a_cluster_are_listed_with_the_id_that_imports_them() {
    if let Some(site) = Site::without_helm("query-m").await {
        is_listed(&site, site.manifest_config(), "manifest", "helm").await;
    }
}

/// Whether this Terraform has `query`.
async fn has_query(terraform: &Terraform) -> bool {
    let version = terraform.run(&["version", "-json"]).await.json();
    let version = version["terraform_version"]
        .as_str()
        .expect("a version")
        .to_owned();
    let mut parts = version
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let here = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if here < (1, 14) {
        eprintln!("SKIPPED: Terraform {version} has no query; it came with 1.14");
    }
    here >= (1, 14)
}

#[tokio::test]
async fn terraform_query_finds_a_delegate_of_this_machine() {
    let Some(case) = Case::new("query").await else {
        return;
    };
    if !has_query(&case.terraform).await {
        return;
    }
    let (_manager, _host, name) = by_hand().await;
    case.write("");
    case.terraform.write(
        "find.tfquery.hcl",
        "list \"harness_delegate\" \"here\" {\n  provider = harness\n  config {\n    mode = \"host\"\n  }\n}\n",
    );
    let found = case.terraform.run(&["query", "-no-color"]).await.succeeds();
    assert!(found.stdout.contains(&name), "{found}");
}
