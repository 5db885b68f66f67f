//! What somebody else made becomes the delegate's, and goes on running.

use serde_json::{Value as Json, json};

use crate::cluster::{PROGRAM, SOURCE, Site, THIS, until};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../delegate-core/chart");

/// The release as a person with `helm`, or another provider, installs it.
async fn by_hand(site: &Site, replicas: u32) -> Vec<String> {
    let (tag, url) = (&site.cluster.image, &site.manager.url);
    let values = format!(
        "accountId: acceptance\ndelegateName: {}\nmanagerEndpoint: {url}\ndelegateDockerImage: {tag}\ndelegateToken: {}\nreplicas: {replicas}\n\
         minReadySeconds: 0\n",
        site.name, site.manager.token
    );
    site.terraform.write("by-hand.yaml", &values);
    let file = site.terraform.path("by-hand.yaml");
    let file = file.to_str().unwrap();
    site.helm(&[
        "install",
        &site.name,
        CHART,
        "--create-namespace",
        "--values",
        file,
    ])
    .await;
    until("the pods of the release", async || {
        let pods = site.pods().await;
        let ready = pods.iter().filter(|(_, ready)| *ready).count();
        (ready == replicas as usize && pods.len() == ready).then_some(())
    })
    .await;
    uids(site).await
}

async fn uids(site: &Site) -> Vec<String> {
    let pods = site.get(&["pods"]).await;
    let items = pods["items"].as_array().unwrap().iter();
    items
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect()
}

/// A state in which the other provider has the release. `instance` has every attribute of a schema, and stand-ins for what is
/// this test's. That of schema 2 was recorded: hashicorp/helm 3.2.0 wrote it under Terraform 1.11.4. That of schema 1 is
/// written after what the upgrade in 3.2.0 reads.
fn state_of_helm_release(site: &Site, instance: &str) -> String {
    let stand_ins = [
        ("@NAME@", &site.name),
        ("@NAMESPACE@", &site.namespace),
        ("@CHART@", &CHART.to_owned()),
        ("@IMAGE@", &site.cluster.image),
        ("@MANAGER@", &site.manager.url),
        ("@TOKEN@", &site.manager.token),
    ];
    let instance = stand_ins
        .into_iter()
        .fold(instance.to_owned(), |text, (stand_in, value)| {
            text.replace(stand_in, value)
        });
    let instance: Json = serde_json::from_str(&instance).unwrap();
    json!({
        "version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "0f0f0f0f-1111-2222-3333-444444444444", "outputs": {},
        "resources": [{
            "mode": "managed", "type": "helm_release", "name": "old",
            "provider": "provider[\"registry.terraform.io/hashicorp/helm\"]",
            "instances": [instance],
        }],
    })
    .to_string()
}

/// Terraform wants the provider of a state to be there; what it has to say is never asked for a move.
fn with_a_provider_for_helm(site: &mut Site) {
    let folder = site.terraform.path("other");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(PROGRAM, folder.join("terraform-provider-helm")).unwrap();
    let text = format!(
        "disable_checkpoint = true\nprovider_installation {{\n  dev_overrides {{\n    \"{SOURCE}\" = \"{}\"\n    \
         \"registry.terraform.io/hashicorp/helm\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
        site.terraform.path("programs").display(),
        folder.display()
    );
    site.terraform.write("cli.tfrc", &text);
}

async fn moves(label: &str, instance: &str, major: u32) {
    let Some(mut site) = Site::with_helm(label, major).await else {
        return;
    };
    let running = by_hand(&site, 1).await;
    with_a_provider_for_helm(&mut site);
    site.terraform
        .write("terraform.tfstate", &state_of_helm_release(&site, instance));
    // The release has the delegate's name: to say so changes nothing.
    let config = site
        .config()
        .helm("release", json!(site.name).to_string())
        .helm("chart", format!("{{ path = \"{CHART}\" }}"))
        .more("moved {\n  from = helm_release.old\n  to   = harness_delegate.this\n}\n");
    config.write(&site);
    let plan = site.terraform.plan(&[]).await;
    assert_eq!(plan.actions(THIS), ["update"], "{}", plan.text);
    assert_eq!(
        plan.json["resource_changes"][0]["previous_address"],
        "helm_release.old"
    );
    let change = plan.change(THIS);
    // What sets an argument of ours, the token here, does not come along; the rest of the values does.
    assert_eq!(change["before"]["helm"]["values"], json!(["minReadySeconds: 0"]));
    assert!(!change.to_string().contains(&site.manager.token));
    site.terraform.apply().await.succeeds();
    assert_eq!(uids(&site).await, running, "the pod is the same");
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;
    assert_eq!(site.task("true").await["command_execution_status"], "SUCCESS");
    site.terraform.destroy().await.succeeds();
    assert_eq!(uids(&site).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_moved_release_of_the_second_helm_provider_keeps_its_pods() {
    moves("mv1", include_str!("states/schema-1.json"), 3).await;
}

#[tokio::test]
async fn a_moved_release_of_the_third_helm_provider_keeps_its_pods() {
    moves("mv2", include_str!("states/schema-2.json"), 4).await;
}

#[tokio::test]
async fn a_release_is_taken_over_when_that_is_asked_for() {
    let Some(site) = Site::new("upins").await else {
        return;
    };
    let running = by_hand(&site, 1).await;
    let error = site.apply(&site.config()).await.fails();
    assert!(error.contains("helm.upgrade_install = true"), "{error}");
    site.apply(&site.config().helm("upgrade_install", "true"))
        .await
        .succeeds();
    assert_eq!(uids(&site).await, running, "the pod is the same");
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn objects_of_nobody_are_taken_over_when_that_is_asked_for() {
    for major in [3, 4] {
        let Some(site) = Site::with_helm("loose", major).await else {
            return;
        };
        site.cluster
            .kubectl(&["create", "namespace", &site.namespace])
            .await;
        site.kubectl(&[
            "create",
            "configmap",
            &site.name,
            "--from-literal=DELEGATE_NAME=of-nobody",
        ])
        .await;
        let config = site
            .config()
            .set("replicas", "0")
            .set("wait", r#"{ until = "installed" }"#);
        let error = site.apply(&config).await.fails();
        assert!(
            error.contains("cannot be imported into the current release"),
            "{error}"
        );
        site.apply(&config.helm("take_ownership", "true"))
            .await
            .succeeds();
        let map = site.get(&["configmap", &site.name]).await;
        assert_eq!(map["data"]["DELEGATE_NAME"], site.name.as_str());
        site.terraform.assert_settled().await;
        site.terraform.destroy().await.succeeds();
        assert!(site.objects().await.is_empty(), "{:?}", site.objects().await);
    }
}

#[tokio::test]
async fn another_cluster_is_taken_when_it_is_said_to_be_meant() {
    let Some(site) = Site::new("elsewhere").await else {
        return;
    };
    let config = site
        .config()
        .set("replicas", "0")
        .set("wait", r#"{ until = "installed" }"#);
    site.apply(&config).await.succeeds();
    let (stated, uid) = site.pretend_another_cluster().await;
    let error = site.terraform.run(&["plan", "-no-color"]).await.fails();
    let context = site.cluster.kubectl(&["config", "current-context"]).await;
    for part in ["adopt = true", stated, &uid, context.trim()] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    let adopting = config.clone().set("adopt", "true");
    adopting.write(&site);
    let plan = site.terraform.plan(&[]).await;
    assert_eq!(plan.actions(THIS), ["update"]);
    assert!(
        plan.unknown(THIS).contains(&"target_id".to_owned()),
        "{}",
        plan.text
    );
    site.terraform.apply().await.succeeds();
    assert_eq!(site.attribute("target_id").await, uid.as_str());
    site.terraform.assert_settled().await;
    site.apply(&config).await.succeeds();
    assert_eq!(site.attribute("adopt").await, Json::Null);
    site.terraform.assert_settled().await;
}
