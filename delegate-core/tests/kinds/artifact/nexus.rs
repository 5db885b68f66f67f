//! Repositories of Nexus: of a double in every run, and of a real one where the environment names it.

use axum::body::Bytes;
use serde_json::{Value, json};

use super::server::{PASSWORD, Server, USER};
use crate::delegate::Delegate;

/// As Nexus writes it.
fn tag(content: &Bytes) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, content);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digest}\"")
}

struct Site {
    nexus: Server,
    delegate: Delegate,
}

impl Site {
    async fn new() -> Self {
        let this = Self {
            nexus: Server::start(Some(tag)).await,
            delegate: Delegate::new(),
        };
        this.write("shop.jar", "first");
        this
    }

    fn write(&self, name: &str, content: &str) {
        let workspace = self.delegate.settings.workspace.clone().unwrap();
        std::fs::create_dir_all(&workspace).unwrap();
        std::fs::write(workspace.join(name), content).unwrap();
    }

    fn data(&self, content: Value, existing: &str) -> Value {
        let mut data = json!({
            "url": self.nexus.url, "repository": "releases", "basic": {"user": USER, "password": PASSWORD}, "existing": existing,
        });
        data["content"] = content;
        data
    }
}

#[tokio::test]
async fn files_are_put_in_the_layout_of_their_format_and_only_once() {
    let site = Site::new().await;
    let run = async |content: Value| {
        let data = site.data(content, "refuse");
        site.delegate.run("NEXUS_UPLOAD", data).await
    };
    let maven = || json!({"maven": {"file": "shop.jar", "group": "com.example.shop", "artifact": "web", "version": "1.4.2"}});
    let sent = run(maven()).await.well();
    let folder = "/repository/releases/com/example/shop/web/1.4.2";
    assert_eq!(
        site.nexus.file(&format!("{folder}/web-1.4.2.jar")).unwrap(),
        "first"
    );
    let pom = site.nexus.file(&format!("{folder}/web-1.4.2.pom")).unwrap();
    let pom = String::from_utf8_lossy(&pom).into_owned();
    assert!(
        pom.contains("<artifactId>web</artifactId>") && pom.contains("<packaging>jar</packaging>"),
        "{pom}"
    );
    assert!(sent.var("url").ends_with(&format!("{folder}/web-1.4.2.jar")));
    sent.hides(PASSWORD);
    let files = |outcome: &crate::bench::Outcome| -> Vec<(String, bool)> {
        let files = outcome.field("files").as_array().unwrap().clone();
        let file = |file: &Value| {
            (
                file["before"].as_str().unwrap().to_owned(),
                file["uploaded"].as_bool().unwrap(),
            )
        };
        files.iter().map(file).collect()
    };
    assert_eq!(
        files(&sent),
        [("nothing".to_owned(), true), ("nothing".to_owned(), true)]
    );
    let again = run(maven()).await.well();
    assert_eq!(
        files(&again),
        [("same".to_owned(), false), ("same".to_owned(), false)]
    );
    let mut sources = maven();
    sources["maven"]["classifier"] = json!("sources");
    run(sources).await.well();
    assert!(
        site.nexus
            .file(&format!("{folder}/web-1.4.2-sources.jar"))
            .is_some()
    );

    site.write("shop-1.4.2.tgz", "a chart");
    run(json!({"helm": {"chart": "shop-1.4.2.tgz"}})).await.well();
    assert_eq!(
        site.nexus.file("/repository/releases/shop-1.4.2.tgz").unwrap(),
        "a chart"
    );
    run(json!({"raw": {"file": "shop.jar", "path": "a b/shop.jar"}}))
        .await
        .well();
    assert_eq!(
        site.nexus.file("/repository/releases/a%20b/shop.jar").unwrap(),
        "first"
    );

    // One of two is another one: none is touched.
    site.write("shop.jar", "second");
    site.nexus.asked();
    let refused = run(maven()).await;
    refused.says("`existing` says that it stays; nothing was uploaded");
    assert!(
        site.nexus
            .asked()
            .iter()
            .all(|(request, _)| request.starts_with("HEAD "))
    );
    let replace = site.data(maven(), "replace");
    let replaced = site.delegate.run("NEXUS_UPLOAD", replace).await.well();
    assert_eq!(
        files(&replaced),
        [("other".to_owned(), true), ("same".to_owned(), false)]
    );
}

#[tokio::test]
async fn a_file_that_nexus_has_in_another_form_afterwards_is_told() {
    let site = Site::new().await;
    site.nexus.state.lock().unwrap().damages = true;
    let data = site.data(
        json!({"raw": {"file": "shop.jar", "path": "shop.jar"}}),
        "replace",
    );
    let outcome = site.delegate.run("NEXUS_UPLOAD", data.clone()).await;
    outcome.says("Nexus took shop.jar, and has something else there");
    assert_eq!(outcome.field("files")[0]["uploaded"], false);
    let mut stranger = data;
    stranger["basic"]["password"] = json!("a-wrong-password");
    site.delegate
        .run("NEXUS_UPLOAD", stranger)
        .await
        .says("answers 401 Unauthorized")
        .hides("a-wrong-password");
}

#[tokio::test]
async fn an_artifact_comes_from_nexus_and_goes_there() {
    let site = Site::new().await;
    let store = json!({"nexus": {
        "url": site.nexus.url, "repository": "releases", "path": "dist/shop.jar", "basic": {"user": USER, "password": PASSWORD},
    }});
    let up = || json!({"file": "shop.jar", "to": store});
    site.delegate.run("ARTIFACT_UPLOAD", up()).await.well();
    let again = site.delegate.run("ARTIFACT_UPLOAD", up()).await.well();
    assert_eq!(
        (again.field("uploaded"), again.text("before")),
        (&json!(false), "same")
    );
    let down = json!({"from": store, "to": "back.jar"});
    let back = site.delegate.run("ARTIFACT_DOWNLOAD", down).await.well();
    assert_eq!(std::fs::read_to_string(back.var("path")).unwrap(), "first");
}

/// A real Nexus (tried with 3.71.0), whose administrator's password is given; its repositories are the test's own.
#[tokio::test]
async fn a_real_nexus_takes_each_format_once_and_tells_what_it_has() {
    let named =
        ["HARNESS_TEST_NEXUS_URL", "HARNESS_TEST_NEXUS_PASSWORD"].map(|name| std::env::var(name).ok());
    let [Some(url), Some(password)] = named else {
        eprintln!(
            "SKIPPED: HARNESS_TEST_NEXUS_URL and HARNESS_TEST_NEXUS_PASSWORD name no Nexus; it takes 780 MB of memory"
        );
        return;
    };
    let url: url::Url = url.parse().unwrap();
    let client = delegate_core::protocol::http::Http::default()
        .for_url(&url)
        .unwrap();
    let unique = format!("t{:x}", fastrand::u32(..));
    let site = Site::new().await;
    site.write("shop.jar", "first");
    let chart = site.delegate.path("shop");
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(
        chart.join("Chart.yaml"),
        "apiVersion: v2\nname: shop\nversion: 1.4.2\n",
    )
    .unwrap();
    let packed = std::process::Command::new("tar")
        .arg("-czf")
        .arg(site.delegate.path("shop-1.4.2.tgz"))
        .arg("-C")
        .arg(site.delegate.dir.path())
        .arg("shop")
        .status();
    assert!(packed.unwrap().success());
    let contents = [
        (
            "raw",
            "raw",
            json!({"raw": {"file": "shop.jar", "path": "dist/a b/shop.txt"}}),
        ),
        (
            "maven",
            "maven",
            json!({"maven": {"file": "shop.jar", "group": "com.example.shop", "artifact": "web", "version": "1.4.2", "extension": "txt"}}),
        ),
        (
            "helm",
            "helm",
            json!({"helm": {"chart": site.delegate.path("shop-1.4.2.tgz")}}),
        ),
    ];
    for (format, path, content) in contents {
        let name = format!("{unique}-{format}");
        let mut repository = json!({
            "name": name, "online": true,
            "storage": {"blobStoreName": "default", "strictContentTypeValidation": true, "writePolicy": "ALLOW"},
        });
        if format == "maven" {
            repository["maven"] = json!({"versionPolicy": "RELEASE", "layoutPolicy": "STRICT"});
        }
        let made = client
            .post(
                url.join(&format!("service/rest/v1/repositories/{path}/hosted"))
                    .unwrap(),
            )
            .basic_auth("admin", Some(&password))
            .json(&repository)
            .send()
            .await
            .unwrap();
        if made.status() == 404 {
            eprintln!("SKIPPED: this Nexus knows no repositories of format {format}");
            continue;
        }
        assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
        let data = json!({
            "url": url, "repository": name, "basic": {"user": "admin", "password": password},
            "content": content, "existing": "refuse",
        });
        let sent = site.delegate.run("NEXUS_UPLOAD", data.clone()).await.well();
        assert_eq!(sent.field("files")[0]["before"], "nothing", "{format}");
        let again = site.delegate.run("NEXUS_UPLOAD", data.clone()).await.well();
        for file in again.field("files").as_array().unwrap() {
            assert_eq!(
                (&file["before"], &file["uploaded"]),
                (&json!("same"), &json!(false)),
                "{format}"
            );
        }
        if format == "raw" {
            // Nexus looks into files, and this is no such archive.
            let mut other = data.clone();
            other["content"] = json!({"raw": {"file": "shop.jar", "path": "shop.jar"}});
            site.delegate
                .run("NEXUS_UPLOAD", other)
                .await
                .says("answers 400 Bad Request: Detected content type [text/plain]");
            site.write("shop.jar", "second");
            site.delegate
                .run("NEXUS_UPLOAD", data)
                .await
                .says("`existing` says that it stays");
            site.write("shop.jar", "first");
            let from = json!({"nexus": {
                "url": url, "repository": name, "path": "dist/a b/shop.txt", "basic": {"user": "admin", "password": password},
            }});
            let back = site
                .delegate
                .run("ARTIFACT_DOWNLOAD", json!({"from": from, "to": "back"}))
                .await
                .well();
            assert_eq!(std::fs::read_to_string(back.var("path")).unwrap(), "first");
        }
        let gone = client
            .delete(url.join(&format!("service/rest/v1/repositories/{name}")).unwrap())
            .basic_auth("admin", Some(&password))
            .send()
            .await
            .unwrap();
        assert_eq!(gone.status(), 204);
    }
}
