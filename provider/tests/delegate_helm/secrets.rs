//! The token is where it must be, and nowhere else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::cluster::{Site, processes};

/// The forms in which a token may be written down: bare, as people have it, and as Kubernetes shows a Secret.
fn forms(token: &str) -> Vec<String> {
    let bare = String::from_utf8(BASE64.decode(token).expect("base64")).expect("text");
    let mut twice = BASE64.encode(token);
    // Encoded as a part of something longer, only the beginning is the same.
    twice.truncate(40);
    vec![bare, token.to_owned(), twice]
}

#[tokio::test]
async fn the_token_is_in_no_record_plan_state_log_or_process_list() {
    let Some(mut site) = Site::new("secret").await else {
        return;
    };
    let forms = forms(&site.manager.token);
    let clean = |place: &str, text: &str| {
        assert!(!text.is_empty(), "{place} is empty");
        for form in &forms {
            assert!(!text.contains(form.as_str()), "the token is in {place}: {form}");
        }
    };
    site.config().write(&site);
    let plan = site.terraform.plan(&[]).await;
    clean("the plan", &plan.json.to_string());

    let done = Arc::new(AtomicBool::new(false));
    let watch = tokio::task::spawn_blocking({
        let (done, namespace) = (Arc::clone(&done), site.namespace.clone());
        move || {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                seen.extend(
                    processes(&[])
                        .into_iter()
                        .map(|(_, line)| line)
                        .filter(|line| !line.is_empty()),
                );
                // A sampling rate, no wait for anything.
                std::thread::park_timeout(Duration::from_millis(5));
            }
            let helm = seen.iter().filter(|line| line.contains(&namespace)).count();
            (seen.into_iter().collect::<Vec<_>>().join("\n"), helm)
        }
    });
    site.terraform.set_env("TF_LOG", "TRACE");
    let applied = site.terraform.apply().await.succeeds();
    done.store(true, Ordering::Relaxed);
    let (lines, helm) = watch.await.expect("it watched");
    assert!(helm > 0, "Helm was not seen in the process list:\n{lines}");
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
