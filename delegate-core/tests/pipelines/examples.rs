//! Files of `examples/pipelines/`, run as they are.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::site::{Caller, agent, is, node};
use crate::support::Watchdog;
use crate::support::real_manager::RealManager;

/// Files by path.
type Files = Arc<Mutex<HashMap<String, Bytes>>>;

/// A server that takes files by PUT and gives them by GET.
async fn store() -> (String, Files) {
    async fn serve(State(files): State<Files>, method: Method, uri: Uri, body: Bytes) -> Response {
        let mut files = files.lock().unwrap();
        let path = uri.path().to_owned();
        match method {
            Method::PUT => {
                files.insert(path, body);
                StatusCode::CREATED.into_response()
            }
            Method::DELETE => {
                files.remove(&path);
                StatusCode::NO_CONTENT.into_response()
            }
            _ => match files.get(&path) {
                Some(file) => file.clone().into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            },
        }
    }
    let files = Files::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/shop", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(serve).with_state(Arc::clone(&files));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, files)
}

/// A repository with a release, and a feature since.
fn repository(folder: &Path) {
    let script = "
        git init -q -b main . && mkdir test migrations
        echo 'test -n ok' > test/api.sh; cp test/api.sh test/web.sh
        echo 'CREATE TABLE orders (id INTEGER PRIMARY KEY);' > migrations/001_orders.sql
        git add . && git commit -qm 'feat: begin' && git tag v1.2.3
        echo hello > index.html && git add . && git commit -qm 'feat: a page'
    ";
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_AUTHOR_NAME", "t")
        .env("GIT_AUTHOR_EMAIL", "t@example.com")
        .env("GIT_COMMITTER_NAME", "t")
        .env("GIT_COMMITTER_EMAIL", "t@example.com")
        .status()
        .unwrap();
    assert!(made.success());
}

#[tokio::test]
async fn a_service_comes_from_its_repository_to_its_store() {
    let _watchdog = Watchdog::start("example pipeline");
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path());
    let (url, files) = store().await;
    let manager = RealManager::start().await;
    let _agents = [
        agent(&manager.url, "builder", &["build"]),
        agent(&manager.url, "outside", &["verify"]),
    ];
    let caller = Caller::new(&manager.url);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/pipelines/service.yaml");
    let file = std::fs::read_to_string(file).unwrap();
    let repository = format!("file://{}", dir.path().display());
    let run = async |env: &str, store: &str| -> Value {
        let variables = json!({"repository": repository, "store": store, "env": env});
        let id = caller.start(&file, variables).await;
        if env == "prod" {
            let run = caller
                .until(&id, |run| run.to_string().contains("\"question\""))
                .await;
            let asked = &node(&run, "deploy.sure")["asked"];
            assert_eq!(asked["approval"]["question"], "Deploy 1.3.0?");
            caller
                .say(&id, "deploy.sure", "approve", json!({"by": "ann"}))
                .await;
        }
        caller.ended(&id).await
    };
    let done = run("prod", &url).await;
    assert_eq!(done["status"], "SUCCEEDED", "{done:#}");
    let paths: Vec<String> = files.lock().unwrap().keys().cloned().collect();
    assert_eq!(paths, ["/shop/prod/shop-1.3.0.tar.gz"]);
    assert_eq!(
        (
            &node(&done, "build.package")["delegate"],
            &node(&done, "deploy.verify")["delegate"]
        ),
        (&json!("builder"), &json!("outside"))
    );
    // Again: the folder and the database are there already, and nobody is asked.
    let again = run("dev", &url).await;
    assert!(
        again["status"] == "SUCCEEDED" && is(&again, "deploy.sure", "SKIPPED"),
        "{again:#}"
    );
}
