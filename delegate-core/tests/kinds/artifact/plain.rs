//! Files at any address.

use serde_json::{Value, json};

use super::server::{PASSWORD, Server, USER, broken};
use super::sha256;
use crate::delegate::Delegate;

fn at(server: &Server, path: &str) -> Value {
    json!({"http": {"url": server.url.join(path).unwrap(), "basic": {"user": USER, "password": PASSWORD}}})
}

#[tokio::test]
async fn a_file_goes_to_an_address_and_comes_back_also_when_the_server_is_busy_first() {
    let server = Server::start(None).await;
    let delegate = Delegate::new();
    let file = delegate.path("artifact");
    std::fs::write(&file, "content").unwrap();
    server.state.lock().unwrap().busy = 2;
    let up = |existing: &str| json!({"file": file, "to": at(&server, "dist/app"), "existing": existing});
    let sent = delegate.run("ARTIFACT_UPLOAD", up("refuse")).await.well();
    assert_eq!(
        (sent.field("uploaded"), sent.text("before")),
        (&json!(true), "nothing")
    );
    sent.hides(PASSWORD);
    assert_eq!(server.file("/dist/app").unwrap(), "content");
    delegate
        .run("ARTIFACT_UPLOAD", up("refuse"))
        .await
        .says("there is another artifact at");
    let again = delegate.run("ARTIFACT_UPLOAD", up("replace")).await.well();
    assert_eq!(
        (again.field("uploaded"), again.text("before")),
        (&json!(true), "unknown")
    );

    let to = delegate.path("back");
    let down = json!({"from": at(&server, "dist/app"), "to": to, "sha256": sha256("content")});
    delegate.run("ARTIFACT_DOWNLOAD", down).await.well();
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "content");
}

#[tokio::test]
async fn a_download_that_fails_changes_nothing_and_says_why() {
    let server = Server::start(None).await;
    let delegate = Delegate::new();
    let to = delegate.path("file");
    std::fs::write(&to, "as it was").unwrap();
    let run = async |store: Value| {
        let data = json!({"from": store, "to": to});
        let outcome = delegate.run("ARTIFACT_DOWNLOAD", data).await;
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "as it was");
        outcome
    };
    let (broken, _serving) = broken().await;
    run(json!({"http": {"url": broken}}))
        .await
        .says("broke off after 14 bytes")
        .says("nothing was changed, try it again");
    run(at(&server, "nothing"))
        .await
        .says("answers 404 Not Found; correct the address");
    let stranger = json!({"http": {"url": server.url.join("dist/app").unwrap(), "bearer": "the-token"}});
    run(stranger)
        .await
        .says("answers 401 Unauthorized: who are you?; give a login")
        .hides("the-token");
    assert_eq!(
        std::fs::read_dir(delegate.dir.path()).unwrap().count(),
        1,
        "no file is left"
    );
}

#[tokio::test]
async fn a_login_goes_to_no_other_host() {
    let server = Server::start(None).await;
    let other = Server::start(None).await;
    other.keep("/open/app", "content");
    let delegate = Delegate::new();
    server.state.lock().unwrap().moved = other.url.join("open/app").unwrap().into();
    let to = delegate.path("file");
    let data = json!({"from": at(&server, "moved"), "to": to});
    delegate.run("ARTIFACT_DOWNLOAD", data).await.well();
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "content");
    assert_eq!(server.asked(), [("GET /moved".to_owned(), true)]);
    assert_eq!(other.asked(), [("GET /open/app".to_owned(), false)]);
}
