//! Objects of Google Cloud Storage, which is played by a double.

mod double;

use serde_json::{Value, json};

use super::{sha256, workspace_file};
use crate::connect::double as tokens;
use crate::delegate::Delegate;
use double::{Double, TOKEN, md5};

fn store(double: &Double, object: &str) -> Value {
    json!({"gcs": {
        "bucket": "builds", "object": object, "endpoint": double.url,
        "identity": {"metadata": {"endpoint": double.url}},
    }})
}

#[tokio::test]
async fn an_object_goes_up_and_comes_down_as_the_machine_and_the_same_is_not_sent_twice() {
    let (double, delegate) = (Double::start().await, Delegate::new());
    let object = "shop/a b+ü=(1)&?#%.txt";
    let up = |existing: &str| json!({"file": "artifact", "to": store(&double, object), "existing": existing});
    workspace_file(&delegate, "artifact", "first");
    let first = delegate.run("ARTIFACT_UPLOAD", up("refuse")).await.well();
    assert_eq!(
        (first.field("uploaded"), first.text("before")),
        (&json!(true), "nothing")
    );
    first.hides(TOKEN);
    let kept = double.object(&format!("builds/{object}")).unwrap();
    assert_eq!(
        (&kept.content[..], &kept.metadata["sha256"]),
        (&b"first"[..], &json!(sha256("first")))
    );
    let again = delegate.run("ARTIFACT_UPLOAD", up("refuse")).await.well();
    assert_eq!(again.text("before"), "same");
    workspace_file(&delegate, "artifact", "");
    delegate
        .run("ARTIFACT_UPLOAD", up("refuse"))
        .await
        .says("there is another artifact at gs://builds/shop/a b");
    let down = json!({"from": store(&double, object), "to": "back"});
    let back = delegate.run("ARTIFACT_DOWNLOAD", down.clone()).await.well();
    assert_eq!(std::fs::read_to_string(back.var("path")).unwrap(), "first");
    let replaced = delegate.run("ARTIFACT_UPLOAD", up("replace")).await.well();
    assert_eq!(replaced.text("before"), "other");
    let empty = delegate.run("ARTIFACT_DOWNLOAD", down).await.well();
    assert_eq!(empty.field("bytes"), 0);
}

#[tokio::test]
async fn an_upload_goes_on_from_what_has_arrived() {
    let (double, delegate) = (Double::start().await, Delegate::new());
    let content: Vec<u8> = (0..5 * 1024 * 1024_u32 / 2).map(|at| (at % 251) as u8).collect();
    workspace_file(&delegate, "large", &content);
    let mut to = store(&double, "large");
    to["gcs"]["part_mib"] = json!(1);
    {
        let mut state = double.state.lock().unwrap();
        (state.loses, state.away) = (1, 1);
    }
    let up = json!({"file": "large", "to": to});
    delegate.run("ARTIFACT_UPLOAD", up.clone()).await.well();
    assert_eq!(double.object("builds/large").unwrap().content, content);
    let pieces = std::mem::take(&mut double.state.lock().unwrap().pieces);
    assert_eq!(
        pieces,
        [
            "bytes 0-1048575/2621440",
            "bytes 524288-1572863/2621440",
            "bytes 1572864-2621439/2621440"
        ]
    );
    // Nothing more arrives: it is given up, and said.
    workspace_file(&delegate, "large", &content[1..]);
    double.state.lock().unwrap().away = u32::MAX;
    delegate
        .run("ARTIFACT_UPLOAD", up)
        .await
        .says("answers 503 Service Unavailable: later");
    assert_eq!(double.state.lock().unwrap().given_up, 1);
    assert_eq!(double.object("builds/large").unwrap().content, content);
}

#[tokio::test]
async fn what_google_refuses_or_has_in_another_form_is_told() {
    let (double, delegate) = (Double::start().await, Delegate::new());
    workspace_file(&delegate, "artifact", "content");
    let up = |to: Value| delegate.run("ARTIFACT_UPLOAD", json!({"file": "artifact", "to": to}));
    let down = |from: Value| delegate.run("ARTIFACT_DOWNLOAD", json!({"from": from, "to": "back"}));
    down(store(&double, "nothing"))
        .await
        .says("there is no gs://builds/nothing; correct the bucket");
    let mut private = store(&double, "x");
    private["gcs"]["bucket"] = json!("private");
    up(private)
        .await
        .says("answers 403 Forbidden: not for you; let this account read");
    let mut given = store(&double, "x");
    given["gcs"]["identity"] = json!({"access_token": {"token": "ya29.another-token"}});
    up(given)
        .await
        .says("answers 401 Unauthorized: Invalid Credentials; give a token that has not run out")
        .hides("ya29.another-token");
    let mut away = store(&double, "x");
    away["gcs"]["identity"]["metadata"]["endpoint"] = json!("http://127.0.0.1:1");
    up(away)
        .await
        .says("there is no connection: GET http://127.0.0.1:1/computeMetadata/");

    let wrong = json!({"sha256": sha256("something else")});
    double.keep("builds/damaged", "content", Some(md5("content")), wrong);
    down(store(&double, "damaged"))
        .await
        .says("is not that of the store; nothing was changed");
    double.keep(
        "builds/damaged",
        "content",
        Some(md5("something else")),
        json!({}),
    );
    down(store(&double, "damaged"))
        .await
        .says("has the MD5 9a0364b9e99bb480dd25e1f0284c8555");
    // Composed by Google from others: nobody can say whether it is the same.
    double.keep("builds/composed", "content", None, json!({}));
    assert_eq!(
        up(store(&double, "composed")).await.well().text("before"),
        "unknown"
    );
}

#[tokio::test]
async fn an_object_goes_up_by_the_key_of_an_account_and_comes_down_as_a_workload() {
    let (double, google) = (Double::start().await, tokens::Double::start().await);
    let delegate = Delegate::new();
    workspace_file(&delegate, "artifact", "by key");
    let by = |identity: Value| {
        let mut store = store(&double, "by-key");
        store["gcs"]["identity"] = identity;
        store
    };
    let key = |email: &str| by(json!({"service_account": {"key": tokens::key_file(&google, email)}}));
    let up = |to: Value| delegate.run("ARTIFACT_UPLOAD", json!({"file": "artifact", "to": to}));
    let outcome = up(key(tokens::SERVICE_ACCOUNT)).await.well();
    outcome.hides(tokens::KEY_TOKEN);
    outcome.hides(google.key.lines().nth(1).unwrap());
    assert_eq!(&double.object("builds/by-key").unwrap().content[..], b"by key");

    let workload = |token: &str| {
        by(json!({"workload_identity": {
            "audience": tokens::AUDIENCE, "token": token, "service_account": tokens::SERVICE_ACCOUNT,
            "exchange": format!("{}/v1/token", google.url), "impersonation": google.url,
        }}))
    };
    let down = |from: Value| delegate.run("ARTIFACT_DOWNLOAD", json!({"from": from, "to": "back"}));
    let back = down(workload(tokens::SECRET)).await.well();
    back.hides(tokens::WORKLOAD_TOKEN);
    assert_eq!(std::fs::read_to_string(back.var("path")).unwrap(), "by key");

    up(key("stranger@shop-1.iam.gserviceaccount.com"))
        .await
        .says("the login was refused")
        .says("Invalid JWT Signature")
        .says("check that the key in `to.gcs.identity.service_account.key` was not deleted");
    down(workload("wrong-token-of-nobody"))
        .await
        .says("check `from.gcs.identity.workload_identity.audience`")
        .hides("wrong-token-of-nobody");
}
