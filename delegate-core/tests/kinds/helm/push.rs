//! `HELM_PUSH` to a real registry, and charts that come from registries and repositories.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path as Asked;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delegate_core::process::Environment;
use delegate_core::task::{HelmPush, TaskKind as _};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use super::site::{Site, chart, delegate, helm, helms};
use crate::http::server::{Server, authority, issue};
use crate::registry::{PASSWORD, Registry, USER};

const KIND: &str = "HELM_PUSH";

fn target(registry: &Registry, password: &str) -> Value {
    json!({"oci": {
        "url": format!("oci://{}/charts", registry.address),
        "login": {"user": USER, "password": password},
        "plain_http": true,
    }})
}

#[tokio::test]
async fn a_chart_is_packed_with_its_versions_pushed_and_deployed_from_there() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let Some(helm) = helm(4) else { return };
    let Some(site) = Site::new(&helm) else { return };
    let data = json!({
        "chart": "app", "version": "1.4.2+b.7", "app_version": "2026.11", "to": target(&registry, PASSWORD)
    });
    let pushed = site.delegate.run(KIND, data).await.well();
    assert_eq!(
        pushed.var("chart_reference"),
        format!("{}/charts/app:1.4.2_b.7", registry.address)
    );
    assert_eq!(
        (pushed.text("chart"), pushed.text("version")),
        ("app", "1.4.2+b.7")
    );
    assert!(
        pushed.text("digest").starts_with("sha256:"),
        "{}",
        pushed.everything()
    );
    site.delegate.keeps_no(&pushed, PASSWORD);
    site.delegate
        .keeps_no(&pushed, &BASE64.encode(format!("{USER}:{PASSWORD}")));
    // The folder is as it was.
    let text = fs::read_to_string(site.delegate.path("workspace/app/Chart.yaml")).unwrap();
    assert!(text.contains("version: 0.1.0"), "{text}");

    let mut oci = target(&registry, PASSWORD);
    oci["oci"]["url"] = format!("oci://{}/charts/app", registry.address).into();
    oci["oci"]["version"] = json!("1.4.2+b.7");
    let data = site.task(json!({"chart": oci, "values": {"word": "from a registry"}, "wait": false}));
    let outcome = site.delegate.run("HELM_DEPLOY", data).await.well();
    assert_eq!(
        (outcome.var("chart_version"), outcome.var("app_version")),
        ("1.4.2+b.7", "2026.11")
    );
    assert_eq!(site.word(), "from a registry");
    site.delegate.keeps_no(&outcome, PASSWORD);
}

#[tokio::test]
async fn a_packed_chart_keeps_its_digest_and_a_wrong_login_is_named() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    for helm in helms() {
        let delegate = delegate(&helm);
        let folder = delegate.path("workspace/app");
        chart(&folder, "app");
        let packed = Command::new(&helm)
            .args(["package", "app", "--version", "2.0.0"])
            .current_dir(delegate.path("workspace"))
            .output()
            .unwrap();
        assert!(packed.status.success(), "{packed:?}");
        let data = json!({"chart": "app-2.0.0.tgz", "to": target(&registry, PASSWORD)});
        let first = delegate.run(KIND, data.clone()).await.well();
        let again = delegate.run(KIND, data.clone()).await.well();
        assert_eq!(first.var("chart_digest"), again.var("chart_digest"));
        let mut wrong = data.clone();
        wrong["to"] = target(&registry, "another-password");
        delegate
            .run(KIND, wrong)
            .await
            .says("`login`")
            .hides("another-password");
        let mut missing = data;
        missing["chart"] = json!("none");
        delegate.run(KIND, missing).await.says("packing the chart failed");
    }
    assert_eq!(
        HelmPush.check(&Environment::empty()),
        Err("the program helm is not in PATH".to_owned())
    );
}

/// A repository of charts over https, which wants a login.
async fn repository(folder: &Path, ca: &crate::http::server::Ca) -> Server {
    let expected = format!("Basic {}", BASE64.encode(format!("{USER}:{PASSWORD}")));
    let folder = Arc::new(folder.to_owned());
    let answer = move |Asked(name): Asked<String>, headers: HeaderMap| {
        let (expected, folder) = (expected.clone(), Arc::clone(&folder));
        async move {
            let login = headers.get(header::AUTHORIZATION);
            if login.is_none_or(|login| login != expected.as_str()) {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            match fs::read(folder.join(name)) {
                Ok(bytes) => bytes.into_response(),
                Err(_) => StatusCode::NOT_FOUND.into_response(),
            }
        }
    };
    let (certificate, key) = issue(ca, "localhost");
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Server::with_tls(Router::new().route("/{name}", get(answer)), Some(tls)).await
}

#[tokio::test]
async fn a_chart_of_a_repository_with_a_login_is_deployed() {
    let Some(helm) = helm(3) else { return };
    let Some(site) = Site::new(&helm) else { return };
    let charts = site.delegate.path("charts");
    fs::create_dir(&charts).unwrap();
    for args in [
        [
            "package",
            "workspace/app",
            "--version=3.0.0",
            "--destination=charts",
        ]
        .as_slice(),
        &["repo", "index", "charts"],
    ] {
        let done = Command::new(&helm)
            .args(args)
            .current_dir(site.delegate.dir.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    let ca = authority("charts");
    let server = repository(&charts, &ca).await;
    let from = |password: &str| {
        json!({"repository": {
            "url": format!("https://localhost:{}", server.address.port()), "name": "app", "ca": ca.pem(),
            "login": {"user": USER, "password": password},
        }})
    };
    let data = site.task(json!({"chart": from("another-password"), "values": {"word": "x"}}));
    let outcome = site.delegate.run("HELM_DEPLOY", data).await;
    outcome.says("`login`").hides("another-password");
    let data =
        site.task(json!({"chart": from(PASSWORD), "values": {"word": "from a repository"}, "wait": false}));
    let outcome = site.delegate.run("HELM_DEPLOY", data).await.well();
    assert_eq!(outcome.var("chart_version"), "3.0.0");
    assert_eq!(site.word(), "from a repository");
    site.delegate.keeps_no(&outcome, PASSWORD);
}
