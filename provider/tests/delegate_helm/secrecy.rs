//! The token is where it must be, and nowhere else.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use crate::cluster::Site;
use crate::secrets::{CommandLines, Secrets};

/// Password of a proxy.
const PROXY_PASSWORD: &str = "proxy-password-83c1f4";

#[tokio::test]
async fn the_token_is_in_no_record_plan_state_log_or_process_list() {
    let Some(mut site) = Site::new("secret").await else {
        return;
    };
    let mut secrets = Secrets::new();
    secrets.add("the token", &site.manager.token);
    let clean = |place: &str, text: &str| secrets.absent_from(place, text);
    site.config().write(&site);
    let plan = site.terraform.plan(&[]).await;
    clean("the plan", &plan.json.to_string());

    let lines = CommandLines::watch();
    site.terraform.set_env("TF_LOG", "TRACE");
    let applied = site.terraform.apply().await.succeeds();
    let lines = lines.seen();
    assert!(
        lines.contains(&site.namespace),
        "Helm was not seen in the process list:\n{lines}"
    );
    clean("the process list", &lines);
    clean("the log", &applied.stderr);
    clean("the output", &applied.stdout);
    clean(
        "the logs of the pods",
        &site
            .kubectl(&[
                "logs",
                "-l",
                &format!("harness.io/name={}", site.name),
                "--tail=-1",
            ])
            .await,
    );
    // An update, and what a failure says.
    let failed = site
        .config()
        .set("tags", r#"["x"]"#)
        .set("image", "\"nowhere.invalid/none:1\"")
        .set("wait", r#"{ timeout = "3s" }"#);
    failed.write(&site);
    let failed = site.terraform.apply().await;
    assert!(!failed.status.success());
    clean("the log of a failure", &failed.stderr);
    site.terraform.set_env("TF_LOG", "");

    clean("the state", &site.terraform.state_file());
    clean(
        "the state as JSON",
        &site.terraform.state().await.json.to_string(),
    );
    let records = site.records().await;
    assert_eq!(records.len(), 2);
    for record in records {
        clean("Helm's record", &record.to_string());
    }
    let secret = site
        .get(&["secret", &format!("{}-delegate-token", site.name)])
        .await;
    assert_eq!(
        secret["data"]["DELEGATE_TOKEN"],
        BASE64.encode(&site.manager.token)
    );
}

#[tokio::test]
async fn a_secret_of_the_owner_is_used_and_its_change_is_drift() {
    let Some(site) = Site::new("owned").await else {
        return;
    };
    let put = async |token: &str| {
        site.cluster
            .put(&serde_json::json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": { "name": "mine", "namespace": site.namespace },
                "data": { "DELEGATE_TOKEN": BASE64.encode(token) },
            }))
            .await;
    };
    site.cluster
        .kubectl(&["create", "namespace", &site.namespace])
        .await;
    put(&site.manager.token).await;
    let config = site
        .config()
        .unset("token_wo")
        .unset("token_wo_version")
        .set("token_secret", r#"{ name = "mine" }"#);
    site.apply(&config).await.succeeds();
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;

    let second = site.manager.say(&["token", "create", "second"]).await;
    put(second.split_whitespace().last().expect("a token")).await;
    let before = site.pods().await;
    let drift = site.drift().await;
    assert!(
        drift.contains(&"the Secret of the token was changed".to_owned()),
        "{drift:?}"
    );
    site.terraform.apply().await.succeeds();
    assert_ne!(site.pods().await, before);
    site.terraform.assert_settled().await;

    site.terraform.destroy().await.succeeds();
    let left = site.objects().await;
    assert_eq!(left, BTreeSet::from(["secret/mine".to_owned()]));
}

/// Everything in the namespace but the content of our own Secret, and Helm's packed records.
async fn everything_else(site: &Site) -> String {
    let kinds = "secret,configmap,deployment,serviceaccount,role,rolebinding";
    let mut found = site.get(&[kinds]).await;
    let own = format!("{}-delegate-token", site.name);
    for object in found["items"].as_array_mut().expect("a list") {
        if object["metadata"]["name"] == own.as_str() || object["type"] == "helm.sh/release.v1" {
            object["data"] = Json::Null;
        }
    }
    found.to_string()
}

#[tokio::test]
async fn a_proxys_password_and_a_clusters_key_are_nowhere_else_either() {
    let Some(mut site) = Site::new("secret2").await else {
        return;
    };
    // The cluster by its parts: the key is an argument, and not a file.
    let view = ["config", "view", "--raw", "--minify", "-o", "json"];
    let config: Json = serde_json::from_str(&site.cluster.kubectl(&view).await).expect("JSON");
    let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
    let pem = |value: &Json| {
        let bytes = BASE64.decode(value.as_str()?).expect("base64");
        Some(String::from_utf8(bytes).expect("PEM"))
    };
    let (Some(certificate), Some(key)) = (
        pem(&user["client-certificate-data"]),
        pem(&user["client-key-data"]),
    ) else {
        eprintln!("SKIPPED: the cluster's kubeconfig has no client certificate in it");
        return;
    };
    let mut parts = vec![
        format!("host = {}", cluster["server"]),
        format!("client_certificate = {}", json!(certificate)),
        "client_key = var.key".to_owned(),
    ];
    if let Some(authority) = pem(&cluster["certificate-authority-data"]) {
        parts.push(format!("cluster_ca_certificate = {}", json!(authority)));
    }
    if let Some(name) = cluster["tls-server-name"].as_str() {
        parts.push(format!("tls_server_name = {}", json!(name)));
    }
    let mut secrets = Secrets::new();
    secrets.add("the token", &site.manager.token);
    secrets.add("the proxy's password", PROXY_PASSWORD);
    secrets.add("the client key", &key);
    site.terraform.set_env("TF_VAR_key", &key);
    site.terraform.set_env("TF_VAR_proxy_password", PROXY_PASSWORD);
    let variable = |name: &str| {
        format!("variable \"{name}\" {{\n  type      = string\n  ephemeral = true\n  sensitive = true\n}}\n")
    };
    site.config()
        .provider("kubernetes", format!("{{ {} }}", parts.join(", ")))
        .set("replicas", "0")
        .set("wait", r#"{ until = "installed" }"#)
        .set(
            "proxy",
            r#"{ host = "proxy.example", port = 3128, user = "me", password_wo = var.proxy_password }"#,
        )
        .more(&variable("key"))
        .more(&variable("proxy_password"))
        .write(&site);
    let lines = CommandLines::watch();
    site.terraform.set_env("TF_LOG", "TRACE");
    let plan = site
        .terraform
        .run(&["plan", "-no-color", "-out=test.tfplan"])
        .await
        .succeeds();
    let shown = site
        .terraform
        .run(&["show", "-json", "test.tfplan"])
        .await
        .succeeds();
    let applied = site.terraform.apply().await.succeeds();
    let state = site.terraform.run(&["show", "-json"]).await.succeeds();
    let objects = everything_else(&site).await;
    let records: Vec<String> = site.records().await.iter().map(Json::to_string).collect();
    let secret = site
        .get(&["secret", &format!("{}-delegate-token", site.name)])
        .await;
    assert!(
        secrets.present_in(&secret["data"].to_string()),
        "it is where it has to be"
    );
    let annotations = secret["metadata"].to_string();
    let destroyed = site.terraform.destroy().await.succeeds();
    let lines = lines.seen();
    assert!(
        lines.contains(&site.namespace),
        "Helm was not seen in the process list:\n{lines}"
    );
    for (place, text) in [
        ("the plan", &plan.stdout),
        ("the plan's log", &plan.stderr),
        ("the plan as JSON", &shown.stdout),
        ("the apply's log", &applied.stderr),
        ("the state as JSON", &state.stdout),
        ("the state", &site.terraform.state_file()),
        ("an object", &objects),
        ("Helm's record", &records.join("\n")),
        ("the Secret's annotations", &annotations),
        ("the destroy's log", &destroyed.stderr),
        ("a command line", &lines),
    ] {
        secrets.absent_from(place, text);
    }
}
