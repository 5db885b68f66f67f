//! Blobs of Azure Storage, which is played by azurite.

use std::sync::OnceLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use delegate_core::protocol::http::Http;
use serde_json::{Value, json};

use super::{sha256, workspace_file};
use crate::delegate::Delegate;
use crate::guarded::{self, Guarded};

const ACCOUNT: &str = "shop";

/// In base64, as keys of accounts are.
const KEY: &str = "dGhlLWtleS1vZi1hLXRlc3QtYW5kLW9mLW5vdGhpbmctZWxzZQ==";

/// One for all tests of this process. It does not look at the content of checksums that blobs are given.
fn azurite() -> Option<&'static Guarded> {
    static SHARED: OnceLock<Option<Guarded>> = OnceLock::new();
    let start = || {
        let program = guarded::program("azurite-blob", "azure")?;
        let args = ["--blobHost", "127.0.0.1", "--blobPort", "0"];
        let args = [&args[..], &["--inMemoryPersistence", "--disableTelemetry"]].concat();
        let accounts = format!("{ACCOUNT}:{KEY}");
        let env = [("AZURITE_ACCOUNTS", &*accounts)];
        Some(Guarded::start(&program, &args, &env, "successfully listens on "))
    };
    SHARED.get_or_init(start).as_ref()
}

fn signature(text: &str) -> String {
    let key = STANDARD.decode(KEY).unwrap();
    STANDARD.encode(hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, &key),
        text.as_bytes(),
    ))
}

/// A container of a test's own.
struct Site {
    azurite: &'static Guarded,
    delegate: Delegate,
    container: String,
}

impl Site {
    async fn new() -> Option<Self> {
        let site = Self {
            azurite: azurite()?,
            delegate: Delegate::new(),
            container: format!("c{:016x}", fastrand::u64(..)),
        };
        let made = site.call("PUT", "", &[("restype", "container")], &[], "").await;
        assert!(made.status().is_success(), "{made:?}");
        Some(site)
    }

    /// A request on a blob, or on the container, with a signature that is made here.
    async fn call(
        &self,
        method: &str,
        blob: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> reqwest::Response {
        let blob = if blob.is_empty() {
            String::new()
        } else {
            format!("/{blob}")
        };
        let path = format!("/{ACCOUNT}/{}{blob}", self.container);
        let mut url = self.azurite.url.join(&path).unwrap();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let date = jiff::Timestamp::now()
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let mut headers = headers.to_vec();
        headers.extend([("x-ms-date", &*date), ("x-ms-version", "2021-08-06")]);
        headers.sort_unstable();
        let length = if body.is_empty() {
            String::new()
        } else {
            body.len().to_string()
        };
        let mut text = format!("{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n");
        text.extend(headers.iter().map(|(name, value)| format!("{name}:{value}\n")));
        text.push_str(&format!("/{ACCOUNT}{path}"));
        text.extend(query.iter().map(|(name, value)| format!("\n{name}:{value}")));
        let client = Http::default().for_url(&url).unwrap();
        let mut request = client
            .request(method.parse().unwrap(), url)
            .header(
                "authorization",
                format!("SharedKey {ACCOUNT}:{}", signature(&text)),
            )
            .header("content-length", body.len())
            .body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    }

    /// Puts a blob there as somebody else does.
    async fn keep(&self, blob: &str, headers: &[(&str, &str)], body: &'static str) {
        let headers = [&[("x-ms-blob-type", "BlockBlob")], headers].concat();
        let kept = self.call("PUT", blob, &[], &headers, body).await;
        assert!(kept.status().is_success(), "{kept:?}");
    }

    fn store(&self, blob: &str) -> Value {
        let mut store = self.anonymous(blob);
        store["azure"]["key"] = json!(KEY);
        store
    }

    fn anonymous(&self, blob: &str) -> Value {
        let endpoint = self.azurite.url.join(ACCOUNT).unwrap();
        json!({"azure": {"account": ACCOUNT, "container": self.container, "blob": blob, "endpoint": endpoint}})
    }

    /// Reached by a signature that may read and write, until then.
    fn signed(&self, blob: &str, until: &str) -> Value {
        let (version, container) = ("2019-12-12", &self.container);
        let text = format!("rcw\n\n{until}\n/blob/{ACCOUNT}/{container}\n\n\n\n{version}\nc\n\n\n\n\n\n");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("sv", version), ("sr", "c"), ("sp", "rcw"), ("se", until)])
            .append_pair("sig", &signature(&text))
            .finish();
        let mut store = self.anonymous(blob);
        store["azure"]["sas"] = json!(query);
        store
    }
}

#[tokio::test]
async fn a_blob_goes_up_and_comes_down_and_the_same_is_not_sent_twice() {
    let Some(site) = Site::new().await else { return };
    let blob = "shop/a b+ü=(1)&~*%.txt";
    let up = |existing: &str| json!({"file": "artifact", "to": site.store(blob), "existing": existing});
    let run = async |kind: &'static str, data: Value| site.delegate.run(kind, data).await;
    workspace_file(&site.delegate, "artifact", "first");
    let first = run("ARTIFACT_UPLOAD", up("refuse")).await.well();
    assert_eq!(
        (first.field("uploaded"), first.text("before")),
        (&json!(true), "nothing")
    );
    first.hides(KEY);
    let again = run("ARTIFACT_UPLOAD", up("refuse")).await.well();
    assert_eq!(
        (again.field("uploaded"), again.text("before")),
        (&json!(false), "same")
    );
    workspace_file(&site.delegate, "artifact", "second");
    run("ARTIFACT_UPLOAD", up("refuse"))
        .await
        .says("there is another artifact at http://");
    let down = json!({"from": site.store(blob), "to": "back"});
    let back = run("ARTIFACT_DOWNLOAD", down.clone()).await.well();
    assert_eq!(std::fs::read_to_string(back.var("path")).unwrap(), "first");
    let replaced = run("ARTIFACT_UPLOAD", up("replace")).await.well();
    assert_eq!(replaced.text("before"), "other");
    let back = run("ARTIFACT_DOWNLOAD", down).await.well();
    assert_eq!(std::fs::read_to_string(back.var("path")).unwrap(), "second");
    workspace_file(&site.delegate, "artifact", "");
    run("ARTIFACT_UPLOAD", up("replace")).await.well();
}

#[tokio::test]
async fn a_large_file_goes_up_in_blocks() {
    let Some(site) = Site::new().await else { return };
    let content: Vec<u8> = (0..5 * 1024 * 1024_u32 / 2).map(|at| (at % 251) as u8).collect();
    workspace_file(&site.delegate, "large", &content);
    let mut store = site.store("large");
    store["azure"]["part_mib"] = json!(1);
    let up = || json!({"file": "large", "to": store});
    let sent = site.delegate.run("ARTIFACT_UPLOAD", up()).await.well();
    assert_eq!(sent.var("sha256"), sha256(&content));
    let list = [("blocklisttype", "committed"), ("comp", "blocklist")];
    let blocks = site
        .call("GET", "large", &list, &[], "")
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(blocks.matches("<Name>").count(), 3, "{blocks}");
    let again = site.delegate.run("ARTIFACT_UPLOAD", up()).await.well();
    assert_eq!(again.text("before"), "same");
    let down = json!({"from": site.store("large"), "to": "back"});
    let back = site.delegate.run("ARTIFACT_DOWNLOAD", down).await.well();
    assert_eq!(std::fs::read(back.var("path")).unwrap(), content);
}

#[tokio::test]
async fn what_others_put_there_is_held_against_the_checksum_that_azure_keeps() {
    let Some(site) = Site::new().await else { return };
    workspace_file(&site.delegate, "artifact", "content");
    let run = async |kind: &'static str, data: Value| site.delegate.run(kind, data).await;
    site.keep("plain", &[], "content").await;
    let up = |blob: &str| json!({"file": "artifact", "to": site.store(blob)});
    assert_eq!(
        run("ARTIFACT_UPLOAD", up("plain")).await.well().text("before"),
        "same"
    );
    site.keep("plain", &[], "Content").await;
    assert_eq!(
        run("ARTIFACT_UPLOAD", up("plain")).await.well().text("before"),
        "other"
    );
    let down = |blob: &str| json!({"from": site.store(blob), "to": "damaged"});
    let wrong = [("x-ms-meta-sha256", &*sha256("something else"))];
    site.keep("damaged", &wrong, "content").await;
    run("ARTIFACT_DOWNLOAD", down("damaged"))
        .await
        .says("is not that of the store; nothing was changed");
    site.keep("damaged", &[], "content").await;
    let other = [("x-ms-blob-content-md5", "MD5MD5MD5MD5MD5MD5MD5A==")];
    let set = site
        .call("PUT", "damaged", &[("comp", "properties")], &other, "")
        .await;
    assert!(set.status().is_success(), "{set:?}");
    run("ARTIFACT_DOWNLOAD", down("damaged"))
        .await
        .says("has the MD5 9a0364b9e99bb480dd25e1f0284c8555, and the store says that it is 303e4");
    let workspace = site.delegate.settings.workspace.clone().unwrap();
    assert!(!workspace.join("damaged").exists());
}

#[tokio::test]
async fn a_signature_is_a_login_and_what_azure_refuses_is_told() {
    let Some(site) = Site::new().await else { return };
    workspace_file(&site.delegate, "artifact", "content");
    let run = async |kind: &'static str, data: Value| site.delegate.run(kind, data).await;
    let up = |to: Value| json!({"file": "artifact", "to": to});
    let down = |from: Value| json!({"from": from, "to": "back"});
    let signed = site.signed("by/signature", "2099-01-01T00:00:00Z");
    let secret = signed["azure"]["sas"].as_str().unwrap();
    let sent = run("ARTIFACT_UPLOAD", up(signed.clone())).await.well();
    sent.hides(secret);
    let back = run("ARTIFACT_DOWNLOAD", down(signed.clone())).await.well();
    assert_eq!(std::fs::read_to_string(back.var("path")).unwrap(), "content");

    let late = site.signed("by/signature", "2020-01-01T00:00:00Z");
    let secret = late["azure"]["sas"].as_str().unwrap();
    run("ARTIFACT_DOWNLOAD", down(late.clone()))
        .await
        .says("answers 403 Forbidden")
        .hides(secret);
    let mut other = site.store("x");
    other["azure"]["key"] = json!("YW5vdGhlci1rZXk=");
    run("ARTIFACT_UPLOAD", up(other.clone()))
        .await
        .says("answers 403 Forbidden");
    run("ARTIFACT_DOWNLOAD", down(other))
        .await
        .says("answers 403 Forbidden");
    run("ARTIFACT_DOWNLOAD", down(site.store("nothing")))
        .await
        .says("answers 404 Not Found: BlobNotFound; correct the name of the blob");
    let mut elsewhere = site.store("x");
    elsewhere["azure"]["container"] = json!("no-such-container");
    run("ARTIFACT_UPLOAD", up(elsewhere))
        .await
        .says("ContainerNotFound; make the container");
}
