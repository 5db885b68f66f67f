//! `ARTIFACT_DOWNLOAD`, `ARTIFACT_UPLOAD` and `NEXUS_UPLOAD`.
//!
//! S3 is moto's, Azure's blobs are azurite's; Google's objects are a double's. The plain servers are real ones that keep what they are sent. The Nexus of these tests is a double, which
//! tells the SHA-1 of its files in the tag as Nexus does, and has its layouts.

mod azure;
mod gcs;
mod nexus;
mod plain;
mod refusals;
mod server;

use serde_json::{Value, json};

use crate::delegate::Delegate;
use crate::moto::{Moto, REGION};

/// A bucket of a test's own.
struct Site {
    moto: &'static Moto,
    delegate: Delegate,
    bucket: String,
}

impl Site {
    async fn new() -> Option<Self> {
        let moto = Moto::shared()?;
        let bucket = format!("b{:016x}", fastrand::u64(..));
        let place = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>";
        let made = moto.object("PUT", &bucket, &[], place).await;
        assert!(made.status().is_success(), "{made:?}");
        Some(Self {
            moto,
            delegate: Delegate::new(),
            bucket,
        })
    }

    fn store(&self, key: &str) -> Value {
        let keys = json!({"access_key_id": "AKIAEXAMPLE", "secret_access_key": "the-secret-key"});
        json!({"s3": {
            "aws": {"region": REGION, "endpoint": self.moto.url, "credentials": {"keys": keys}},
            "bucket": self.bucket, "key": key,
        }})
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> std::path::PathBuf {
        workspace_file(&self.delegate, name, content)
    }
}

/// Writes a file into the workspace.
fn workspace_file(delegate: &Delegate, name: &str, content: impl AsRef<[u8]>) -> std::path::PathBuf {
    let workspace = delegate.settings.workspace.clone().unwrap();
    std::fs::create_dir_all(&workspace).unwrap();
    std::fs::write(workspace.join(name), content).unwrap();
    workspace.join(name)
}

fn sha256(text: impl AsRef<[u8]>) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_ref());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn an_object_goes_up_and_comes_down_and_the_same_is_not_sent_twice() {
    let Some(site) = Site::new().await else { return };
    let key = "shop/a b+ü=(1)&~*.txt";
    let up = |existing: &str| json!({"file": "artifact", "to": site.store(key), "existing": existing});
    let run = async |kind: &'static str, data: Value| site.delegate.run(kind, data).await;
    site.file("artifact", "first");
    let first = run("ARTIFACT_UPLOAD", up("refuse")).await.well();
    assert_eq!(
        (
            first.field("uploaded"),
            first.text("before"),
            first.field("bytes")
        ),
        (&json!(true), "nothing", &json!(5))
    );
    assert_eq!(first.var("sha256"), sha256("first"));
    first.hides("the-secret-key");
    let again = run("ARTIFACT_UPLOAD", up("refuse")).await.well();
    assert_eq!(
        (again.field("uploaded"), again.text("before")),
        (&json!(false), "same")
    );

    site.file("artifact", "second");
    run("ARTIFACT_UPLOAD", up("refuse"))
        .await
        .says("there is another artifact at s3://");
    let down = |more: Value| {
        let mut data = json!({"from": site.store(key), "to": "new/folder/file"});
        data["sha256"] = more;
        data
    };
    let fetched = run("ARTIFACT_DOWNLOAD", down(Value::Null)).await.well();
    let path = fetched.var("path").to_owned();
    assert_eq!(std::fs::read(&path).unwrap(), b"first");
    assert_eq!(
        (fetched.field("downloaded"), fetched.var("sha256")),
        (&json!(true), &*sha256("first"))
    );
    let kept = run("ARTIFACT_DOWNLOAD", down(json!(sha256("first").to_uppercase())))
        .await
        .well();
    assert_eq!(kept.field("downloaded"), &json!(false));

    let replaced = run("ARTIFACT_UPLOAD", up("replace")).await.well();
    assert_eq!(
        (replaced.field("uploaded"), replaced.text("before")),
        (&json!(true), "other")
    );
    run("ARTIFACT_DOWNLOAD", down(json!(sha256("first"))))
        .await
        .well();
    std::fs::write(&path, "in the way").unwrap();
    run("ARTIFACT_DOWNLOAD", down(json!(sha256("first"))))
        .await
        .says("is not that of the task's data; nothing was changed");
    let mut refused = down(Value::Null);
    refused["existing"] = json!("refuse");
    run("ARTIFACT_DOWNLOAD", refused)
        .await
        .says("there is another file at");
    let folder = std::path::Path::new(&path).parent().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"in the way");
    assert_eq!(
        std::fs::read_dir(folder).unwrap().count(),
        1,
        "nothing else is left there"
    );

    let mut wrong = up("replace");
    wrong["sha256"] = json!(sha256("first"));
    run("ARTIFACT_UPLOAD", wrong)
        .await
        .says("is not that of the task's data; nothing was uploaded");
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts() {
    let Some(site) = Site::new().await else { return };
    let content: Vec<u8> = (0..11 * 1024 * 1024_u32).map(|at| (at % 251) as u8).collect();
    site.file("large", &content);
    let mut store = site.store("large");
    store["s3"]["part_mib"] = json!(5);
    let up = || json!({"file": "large", "to": store});
    let sent = site.delegate.run("ARTIFACT_UPLOAD", up()).await.well();
    assert_eq!(sent.var("sha256"), sha256(&content));
    let head = site
        .moto
        .object("HEAD", &format!("{}/large", site.bucket), &[], "")
        .await;
    let tag = head.headers()["etag"].to_str().unwrap();
    assert!(tag.ends_with("-3\""), "three parts: {tag}");
    assert_eq!(head.headers()["content-length"], content.len().to_string());
    let again = site.delegate.run("ARTIFACT_UPLOAD", up()).await.well();
    assert_eq!(again.text("before"), "same");
    let down = json!({"from": site.store("large"), "to": "back"});
    let back = site.delegate.run("ARTIFACT_DOWNLOAD", down.clone()).await.well();
    assert_eq!(std::fs::read(back.var("path")).unwrap(), content);
    let mut small = down;
    small["max_mib"] = json!(10);
    site.delegate
        .run("ARTIFACT_DOWNLOAD", small)
        .await
        .says("larger than 10485760 bytes; raise `max_mib`");
}

#[tokio::test]
async fn what_s3_refuses_or_has_in_another_form_is_told() {
    let Some(site) = Site::new().await else { return };
    let file = site.file("artifact", "content");
    let run = async |kind: &'static str, data: Value| site.delegate.run(kind, data).await;
    run(
        "ARTIFACT_DOWNLOAD",
        json!({"from": site.store("nothing"), "to": "x"}),
    )
    .await
    .says("S3 GetObject in eu-central-1: NoSuchKey (404 Not Found)");
    let mut elsewhere = site.store("x");
    elsewhere["s3"]["bucket"] = json!("no-such-bucket");
    run("ARTIFACT_UPLOAD", json!({"file": "artifact", "to": elsewhere}))
        .await
        .says("S3 PutObject in eu-central-1: NoSuchBucket");
    let missing = run(
        "ARTIFACT_UPLOAD",
        json!({"file": "no-such-file", "to": site.store("x")}),
    )
    .await;
    assert!(
        missing.refusal().starts_with("task data field `file`: ")
            && missing.error().contains("cannot be read"),
        "{}",
        missing.error()
    );
    let object = format!("{}/damaged", site.bucket);
    let wrong = sha256("something else");
    site.moto
        .object("PUT", &object, &[("x-amz-meta-sha256", &wrong)], "content")
        .await;
    run(
        "ARTIFACT_DOWNLOAD",
        json!({"from": site.store("damaged"), "to": "damaged"}),
    )
    .await
    .says("is not that of the store; nothing was changed");
    assert!(!file.with_file_name("damaged").exists());
    // Without a checksum, nobody can say whether it is the same.
    site.moto
        .object("PUT", &format!("{}/plain", site.bucket), &[], "content")
        .await;
    let up = json!({"file": "artifact", "to": site.store("plain")});
    let sent = run("ARTIFACT_UPLOAD", up).await.well();
    assert_eq!(
        (sent.field("uploaded"), sent.text("before")),
        (&json!(true), "unknown")
    );
}
