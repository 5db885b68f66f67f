//! Data that brings no artifact anywhere.

use serde_json::{Value, json};

use crate::bench::refused;

fn s3(field: &str, value: Value) -> Value {
    let mut store = json!({"bucket": "builds", "key": "shop"});
    store[field] = value;
    json!({"s3": store})
}

fn http(url: &str) -> Value {
    json!({"http": {"url": url}})
}

fn nexus(field: &str, value: Value) -> Value {
    let mut store = json!({"url": "http://nexus", "repository": "raw", "path": "a/b"});
    store[field] = value;
    json!({"nexus": store})
}

fn gcs(field: &str, value: Value) -> Value {
    let mut store = json!({"bucket": "builds", "object": "a/b"});
    store[field] = value;
    json!({"gcs": store})
}

fn azure(field: &str, value: Value) -> Value {
    let mut store = json!({"account": "shop", "container": "builds", "blob": "a/b", "key": "a2V5"});
    store[field] = value;
    json!({"azure": store})
}

#[tokio::test]
async fn what_downloads_nothing_is_refused() {
    let from = |store: Value| json!({"from": store, "to": "file"});
    let with = |field: &str, value: Value| {
        let mut data = from(http("http://host/file"));
        data[field] = value;
        data
    };
    let mut two = http("http://host/file");
    two["http"]["bearer"] = json!("hunter2");
    two["http"]["basic"] = json!({"user": "a", "password": "hunter2"});
    let mut colon = http("http://host/file");
    colon["http"]["basic"] = json!({"user": "a:b", "password": "hunter2"});
    let mut line = http("http://host/file");
    line["http"]["bearer"] = json!("hunter2\n");
    refused(
        "ARTIFACT_DOWNLOAD",
        &[
            (json!({"to": "file"}), "data", "missing field `from`"),
            (from(json!({})), "from", "expected"),
            (from(json!({"ftp": {}})), "from", "unknown variant"),
            (with("to", json!("../file")), "to", "contains `..`"),
            (with("sha256", json!("abc")), "sha256", "64 hexadecimal digits"),
            (with("max_mib", json!(0)), "max_mib", "at least 1"),
            (with("existing", json!("append")), "existing", "unknown variant"),
            (from(http("ftp://host/file")), "from.http.url", "no address"),
            (
                from(http("http://a:hunter2@host/file")),
                "from.http.url",
                "without a login",
            ),
            (from(two), "from.http.bearer", "second login besides `basic`"),
            (from(colon), "from.http.basic.user", "colon"),
            (from(line), "from.http.bearer", "a line end"),
            (
                from(s3("bucket", json!("Builds"))),
                "from.s3.bucket",
                "no name of a bucket",
            ),
            (
                from(s3("bucket", json!("a..b"))),
                "from.s3.bucket",
                "no name of a bucket",
            ),
            (
                from(s3("key", json!("a/../b"))),
                "from.s3.key",
                "no part between slashes",
            ),
            (from(s3("part_mib", json!(1))), "from.s3.part_mib", "5 to 5120"),
            (
                from(s3("aws", json!({"region": "A"}))),
                "from.s3.aws.region",
                "no region",
            ),
            (
                from(nexus("repository", json!("../x"))),
                "from.nexus.repository",
                "no name of a repository",
            ),
            (
                from(nexus("path", json!("/a"))),
                "from.nexus.path",
                "no path in a repository",
            ),
            (from(nexus("url", json!("nexus"))), "from.nexus.url", "no address"),
            (
                from(gcs("bucket", json!("a/b"))),
                "from.gcs.bucket",
                "no name of a bucket",
            ),
            (
                from(gcs("object", json!(".."))),
                "from.gcs.object",
                "no name of an object",
            ),
            (
                from(gcs("endpoint", json!("google"))),
                "from.gcs.endpoint",
                "no address",
            ),
            (
                from(gcs("identity", json!({"key": {}}))),
                "from.gcs.identity",
                "unknown variant",
            ),
            (
                from(gcs(
                    "identity",
                    json!({"service_account": {"key": "/etc/key.json"}}),
                )),
                "from.gcs.identity.service_account.key",
                "whole JSON file",
            ),
            (
                from(gcs("identity", json!({"access_token": {"token": "hunter2\n"}}))),
                "from.gcs.identity.access_token.token",
                "a line end",
            ),
            (
                from(azure("account", json!("Shop"))),
                "from.azure.account",
                "no name of a storage account",
            ),
            (
                from(azure("container", json!("a/b"))),
                "from.azure.container",
                "no name of a container",
            ),
            (
                from(azure("blob", json!("a//b"))),
                "from.azure.blob",
                "one slash between",
            ),
            (
                from(azure("endpoint", json!("shop"))),
                "from.azure.endpoint",
                "no address",
            ),
            (
                from(azure("key", json!("hunter2!"))),
                "from.azure.key",
                "which is in base64",
            ),
            (
                from(azure("sas", json!("sv=1&sig=x"))),
                "from.azure.sas",
                "second login besides `key`",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_uploads_nothing_is_refused() {
    let to = |store: Value| json!({"file": "file", "to": store});
    let with = |field: &str, value: Value| {
        let mut data = to(http("http://host/file"));
        data[field] = value;
        data
    };
    refused(
        "ARTIFACT_UPLOAD",
        &[
            (json!({"file": "file"}), "data", "missing field `to`"),
            (with("file", json!("")), "file", "is empty"),
            (with("file", json!("a/../../b")), "file", "contains `..`"),
            (with("from", json!({})), "from", "unknown field"),
            (
                with("sha256", json!("g".repeat(64))),
                "sha256",
                "64 hexadecimal digits",
            ),
            (with("existing", json!(true)), "existing", "expected"),
            (to(s3("version", json!("3"))), "to.s3.version", "is for downloads"),
            (to(s3("key", json!(""))), "to.s3.key", "is no key"),
            (to(s3("part_mib", json!(9999))), "to.s3.part_mib", "5 to 5120"),
            (to(http("")), "to.http.url", "no address"),
            (to(gcs("part_mib", json!(0))), "to.gcs.part_mib", "1 to 1024"),
            (to(azure("part_mib", json!(0))), "to.azure.part_mib", "1 to 4000"),
            (
                to(json!({"azure": {"account": "shop", "container": "builds", "blob": "a", "sas": "hunter2"}})),
                "to.azure.sas",
                "no shared access signature",
            ),
            (
                to(nexus("path", json!("a//b"))),
                "to.nexus.path",
                "one slash between",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_puts_nothing_into_nexus_is_refused() {
    let content =
        |content: Value| json!({"url": "http://nexus", "repository": "releases", "content": content});
    let with = |field: &str, value: Value| {
        let mut data = content(json!({"raw": {"file": "a", "path": "a"}}));
        data[field] = value;
        data
    };
    let maven = |field: &str, value: &str| {
        let mut maven = json!({"file": "a.jar", "group": "g", "artifact": "a", "version": "1"});
        maven[field] = json!(value);
        content(json!({"maven": maven}))
    };
    refused(
        "NEXUS_UPLOAD",
        &[
            (with("content", json!({})), "content", "expected"),
            (with("content", json!({"npm": {}})), "content", "unknown variant"),
            (with("url", json!("nexus:8081")), "url", "no address"),
            (
                with("repository", json!("a/b")),
                "repository",
                "no name of a repository",
            ),
            (
                with("basic", json!({"user": "a:b", "password": "hunter2"})),
                "basic.user",
                "colon",
            ),
            (
                content(json!({"raw": {"file": "a", "path": "../a"}})),
                "content.raw.path",
                "no path",
            ),
            (
                content(json!({"raw": {"file": "..", "path": "a"}})),
                "content.raw.file",
                "contains `..`",
            ),
            (
                content(json!({"helm": {"chart": "shop"}})),
                "content.helm.chart",
                "no packaged chart",
            ),
            (
                maven("group", "com/example"),
                "content.maven.group",
                "other characters",
            ),
            (
                maven("artifact", ".."),
                "content.maven.artifact",
                "other characters",
            ),
            (
                maven("version", "1-SNAPSHOT"),
                "content.maven.version",
                "is a snapshot",
            ),
            (maven("file", "a"), "content.maven.extension", "is needed"),
            (
                maven("extension", ""),
                "content.maven.extension",
                "other characters",
            ),
            (maven("pom", "../pom.xml"), "content.maven.pom", "contains `..`"),
        ],
    )
    .await;
}
