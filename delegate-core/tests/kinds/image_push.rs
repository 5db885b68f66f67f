//! `IMAGE_PUSH` with a real Docker engine into real registries; ECR's part of AWS is played by moto, whose token opens one
//! of them.

use delegate_core::process::Environment;
use delegate_core::task::{ImagePush, TaskKind as _};
use serde_json::{Value, json};

use crate::bench::refused;
use crate::delegate::Delegate;
use crate::engine::Engine;
use crate::moto::{Moto, REGION};
use crate::registry::{ECR_PASSWORD, Gate, PASSWORD, Registry, USER};

const KIND: &str = "IMAGE_PUSH";

/// The interface of ECR.
const ECR: &str = "AmazonEC2ContainerRegistry_V20150921";

/// An engine on this machine, which alone reaches a registry on it.
fn engine() -> Option<Engine> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    if !host.is_empty() && !host.starts_with("unix://") {
        eprintln!(
            "SKIPPED: the engine at DOCKER_HOST is not on this machine, and does not reach a registry here"
        );
        return None;
    }
    Engine::find()
}

/// An image with this text in it; returns its name.
async fn built(engine: &Engine, delegate: &Delegate, text: &str) -> String {
    let name = format!("{}:{text}", engine.mark);
    let folder = engine.folder(delegate, text, &format!("LABEL text={text}"));
    let data = json!({"context": folder, "tags": [name]});
    delegate.run("IMAGE_BUILD", data).await.well();
    name
}

fn login(registry: &str, password: &str) -> Value {
    json!({"registry": registry, "user": USER, "password": password})
}

#[tokio::test]
async fn an_image_is_pushed_by_login_and_again_and_its_digest_is_the_registrys() {
    let Some(engine) = engine() else { return };
    let Some(registry) = Registry::start().await else {
        return;
    };
    let delegate = Engine::delegate();
    let image = built(&engine, &delegate, "one").await;
    let mark = &engine.mark;
    let to = ["1.0", "latest"].map(|tag| format!("{}/{mark}/app:{tag}", registry.address));
    let data = json!({"image": image, "to": to, "logins": [login(&registry.address, PASSWORD)]});
    let first = delegate.run(KIND, data.clone()).await.well();
    first.hides(PASSWORD);
    let repository = format!("{mark}/app");
    let digest = registry.digest(&repository, "1.0").await.unwrap();
    assert_eq!(
        first.field("pushed"),
        &json!(to.each_ref().map(|to| json!({"reference": to, "digest": digest})))
    );
    assert_eq!(
        registry.digest(&repository, "latest").await.as_ref(),
        Some(&digest)
    );
    assert_eq!(first.var("digest"), digest);
    assert_eq!(
        first.var("image"),
        format!("{}/{repository}@{digest}", registry.address)
    );
    assert_eq!(first.var("image_id"), first.text("image_id"));
    let again = delegate.run(KIND, data.clone()).await.well();
    assert_eq!(again.field("pushed"), first.field("pushed"));

    // By its id, and a tag that moves.
    let image = built(&engine, &delegate, "two").await;
    let id = engine.ask(&["image", "inspect", "--format", "{{.Id}}", &image]);
    let mut moved = data;
    moved["image"] = json!(id);
    moved["to"] = json!([to[1]]);
    let moved = delegate.run(KIND, moved).await.well();
    assert_eq!(moved.text("image_id"), id);
    assert_eq!(
        registry.digest(&repository, "latest").await.as_deref(),
        Some(moved.var("digest"))
    );
    assert_eq!(registry.digest(&repository, "1.0").await, Some(digest));
}

#[tokio::test]
async fn one_that_fails_says_what_was_pushed_and_what_was_not() {
    let Some(engine) = engine() else { return };
    let (Some(good), Some(strange)) = (Registry::start().await, Registry::start().await) else {
        return;
    };
    let delegate = Engine::delegate();
    let image = built(&engine, &delegate, "half").await;
    let name = |registry: &Registry, tag: &str| format!("{}/{}/half:{tag}", registry.address, engine.mark);
    let to = [name(&good, "1"), name(&strange, "1"), name(&good, "2")];
    let logins = [
        login(&good.address, PASSWORD),
        login(&strange.address, "an-old-password"),
    ];
    let data = json!({"image": image, "to": to, "logins": logins});
    let outcome = delegate.run(KIND, data.clone()).await;
    outcome.hides(PASSWORD).hides("an-old-password");
    let reason = outcome.failed();
    assert!(
        reason.contains("the registry wants a login, or did not take it"),
        "{reason}"
    );
    let done = format!("; pushed before: {}; not pushed: {}, {}", to[0], to[1], to[2]);
    assert!(reason.ends_with(&done), "{reason}");
    let repository = format!("{}/half", engine.mark);
    let digest = good.digest(&repository, "1").await.unwrap();
    assert_eq!(
        outcome.field("pushed"),
        &json!([{"reference": to[0], "digest": digest}])
    );
    assert_eq!(good.digest(&repository, "2").await, None);
    // With the right login it goes on.
    let mut right = data;
    right["logins"][1]["password"] = json!(PASSWORD);
    delegate.run(KIND, right).await.well();
    assert_eq!(good.digest(&repository, "2").await, Some(digest.clone()));
    assert_eq!(strange.digest(&repository, "1").await, Some(digest));

    // An image that nobody built.
    let none = json!({"image": format!("{}:none", engine.mark), "to": [to[0]]});
    delegate
        .run(KIND, none)
        .await
        .says("build it on the same delegate first");
}

#[tokio::test]
async fn a_registry_with_a_bad_moment_is_tried_again() {
    let Some(engine) = engine() else { return };
    let Some(registry) = Registry::start().await else {
        return;
    };
    let gate = Gate::before(&registry).await;
    let delegate = Engine::delegate();
    let image = built(&engine, &delegate, "gate").await;
    let target = format!("{}/{}/gate:1", gate.address, engine.mark);
    let data = json!({"image": image, "to": [target], "logins": [login(&gate.address, PASSWORD)]});
    let task = delegate.start(KIND, &data);
    task.log.until("failed by the way, and is tried again").await;
    gate.open();
    let outcome = task.end().await.well();
    let digest = registry.digest(&format!("{}/gate", engine.mark), "1").await;
    assert_eq!(digest.as_deref(), Some(outcome.var("digest")));
}

#[tokio::test]
async fn ecr_is_logged_in_to_by_its_token_and_its_repositories_are_created_on_request() {
    let Some(engine) = engine() else { return };
    let (Some(registry), Some(moto)) = (Registry::start().await, Moto::shared()) else {
        return;
    };
    let delegate = Engine::delegate();
    let image = built(&engine, &delegate, "ecr").await;
    let repository = format!("{}/ecr", engine.mark);
    let target = format!("{}/{repository}:1", registry.address);
    let data = json!({
        "image": image, "to": [target],
        "ecr": {
            "aws": {
                "region": REGION, "endpoint": moto.url,
                "credentials": {"keys": {"access_key_id": "AKIATEST", "secret_access_key": "the-secret-key"}}
            },
            "registry": registry.address, "create_repositories": true
        }
    });
    for created in [true, false] {
        let outcome = delegate.run(KIND, data.clone()).await.well();
        outcome.hides(ECR_PASSWORD).hides("the-secret-key");
        let digest = registry.digest(&repository, "1").await;
        assert_eq!(digest.as_deref(), Some(outcome.var("digest")));
        let said = format!("created the repository {repository} in ECR");
        assert_eq!(outcome.log.contains(&said), created, "{}", outcome.log);
    }
    let body = json!({"repositoryNames": [repository]});
    let found = moto.call_of("ecr", ECR, "DescribeRepositories", body).await;
    assert_eq!(found["repositories"][0]["repositoryName"], json!(repository));

    // Another region than the registry's name says.
    let mut other = data;
    other["to"] = json!(["123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1"]);
    other["ecr"].as_object_mut().unwrap().remove("registry");
    let outcome = delegate.run(KIND, other.clone()).await;
    assert!(
        outcome
            .refusal()
            .starts_with("task data field `ecr.aws.region`: is eu-central-1"),
        "{}",
        outcome.error()
    );
    // AWS that does not answer.
    other["ecr"]["aws"]["region"] = json!("us-east-1");
    other["ecr"]["aws"]["endpoint"] = json!("http://127.0.0.1:1");
    delegate
        .run(KIND, other)
        .await
        .says("ECR GetAuthorizationToken in us-east-1");
}

#[tokio::test]
async fn what_no_registry_takes_is_refused() {
    let with = |change: Value| {
        let mut data = json!({"image": "app:1", "to": ["r.example.com/app:1"]});
        for (name, value) in change.as_object().unwrap() {
            data[name] = value.clone();
        }
        data
    };
    let in_ecr = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
    let to_ecr = |change: Value| {
        let mut data = with(json!({"to": [format!("{in_ecr}/app")], "ecr": {}}));
        for (name, value) in change.as_object().unwrap() {
            data[name] = value.clone();
        }
        data
    };
    refused(
        KIND,
        &[
            (json!({"image": "a"}), "data", "missing field `to`"),
            (
                with(json!({"image": "--all-tags"})),
                "image",
                "no image reference",
            ),
            (with(json!({"image": "sha256:12"})), "image", "no id of an image"),
            (with(json!({"to": []})), "to", "at least one"),
            (with(json!({"to": vec!["a"; 51]})), "to", "more than 50"),
            (with(json!({"to": ["a", "a"]})), "to[1]", "is there twice"),
            (
                with(json!({"to": ["a", "https://h/a"]})),
                "to[1]",
                "no image reference",
            ),
            (with(json!({"to": ["a@sha256:00"]})), "to[0]", "has a digest"),
            (with(json!({"to": "a"})), "to", "expected a sequence"),
            (
                with(json!({"logins": [login("h/x", "p")]})),
                "logins[0].registry",
                "is no registry",
            ),
            (
                with(json!({"logins": [login("h", "p"), login("h", "q")]})),
                "logins[1].registry",
                "has a login already",
            ),
            (
                with(json!({"logins": [login("h", "")]})),
                "logins[0].password",
                "is empty",
            ),
            (with(json!({"ecr": {}})), "ecr", "none of `to` is in ECR"),
            (
                with(json!({"ecr": {"registry": "https://h"}})),
                "ecr.registry",
                "is no registry",
            ),
            (
                to_ecr(json!({"ecr": {"aws": {"region": "Frankfurt"}}})),
                "ecr.aws.region",
                "no region of AWS",
            ),
            (
                to_ecr(json!({"logins": [login(in_ecr, "p")]})),
                "logins[0].registry",
                "is Amazon ECR",
            ),
            (
                with(json!({"engine": {"host": "tcp://h"}})),
                "engine.host",
                "a host and a port",
            ),
            (with(json!({"tag": "x"})), "tag", "unknown field"),
        ],
    )
    .await;
}

#[test]
fn the_kind_is_offered_where_the_program_is() {
    let missing = ImagePush.check(&Environment::empty());
    assert_eq!(missing, Err("the program docker is not in PATH".to_owned()));
}
