//! The listing of delegates: on this machine, in a cluster, and by `terraform query` where Terraform has it.

use harness_provider::framework::value::Value;
use serde_json::Value as Json;

use crate::cluster::Site;
use crate::fixture::Case;
use crate::host::Host;
use crate::manager::{Manager, unique};
use crate::rpc::{Bench, Listed};
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

fn of_name<'l>(listed: &'l [Listed], name: &str) -> &'l Listed {
    let found = listed
        .iter()
        .find(|one| one.identity.named("name").as_str() == Some(name));
    found.unwrap_or_else(|| panic!("{name} is not in {listed:?}"))
}

#[tokio::test]
async fn delegates_of_this_machine_are_listed_with_identity_and_state() {
    let (_manager, _host, name) = by_hand().await;
    let bench = Bench::new(&[]).await;
    let mode = [("mode", Value::from("host"))];
    let listed = bench.list(&mode, false).await;
    let one = of_name(&listed, &name);
    assert_eq!(one.display_name, name);
    assert_eq!(one.identity.named("mode").as_str(), Some("host"));
    assert_eq!(one.identity.named("place").as_str(), Some("localhost"));
    assert!(one.resource.is_none());
    let listed = bench.list(&mode, true).await;
    let state = of_name(&listed, &name).resource.as_ref().expect("a state");
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
    let problems = bench
        .list_problems(&[("mode", "host".into()), ("namespace", "x".into())])
        .await;
    assert!(
        problems.len() == 1 && problems[0].contains("namespace is about clusters"),
        "{problems:?}"
    );
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

#[tokio::test]
async fn releases_of_a_cluster_are_listed_with_the_id_that_imports_them() {
    let Some(site) = Site::new("query").await else {
        return;
    };
    let config = site
        .config()
        .set("replicas", "0")
        .set("tags", "[\"x\"]")
        .set("wait", "{ until = \"installed\" }");
    site.apply(&config).await.succeeds();
    let id = site.attribute("id").await;
    let kubeconfig = site.cluster.kubeconfig.display().to_string();
    let bench = Bench::new(&[(
        "kubernetes",
        Value::object([("config_path", Value::from(kubeconfig))]),
    )])
    .await;
    // Of all namespaces, and of one.
    let everywhere = bench.list(&[], false).await;
    let one = of_name(&everywhere, &site.name);
    assert_eq!(one.display_name, format!("{} in {}", site.name, site.namespace));
    let namespace = [("namespace", Value::from(site.namespace.as_str()))];
    let here = bench.list(&namespace, true).await;
    assert_eq!(here.len(), 1, "{here:?}");
    assert_eq!(here[0].diagnostics, Vec::<String>::new());
    let part = |name: &str| {
        here[0]
            .identity
            .named(name)
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let parts = ["mode", "place", "namespace", "name"].map(part);
    assert_eq!(Json::from(parts.join("/")), id);
    let state = here[0].resource.as_ref().expect("a state");
    assert_eq!(state.named("tags"), &Value::set([Value::from("x")]));
    assert_eq!(state.named("name").as_str(), Some(site.name.as_str()));
    site.terraform.destroy().await.succeeds();
    assert!(bench.list(&namespace, false).await.is_empty());
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
