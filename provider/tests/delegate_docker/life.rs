//! From nothing to a delegate that works, through its changes, and back to nothing.

use serde_json::json;

use crate::fixture::{Case, DELEGATE, docker, inspect};

#[tokio::test]
async fn a_delegate_comes_works_and_goes() {
    let Some(case) = Case::new("life").await else {
        return;
    };
    case.apply(&case.config()).await.succeeds();
    for (name, expected) in [
        ("connected", json!(true)),
        ("ready_replicas", json!(1)),
        ("drift", json!([])),
        ("target_id", json!(docker(&["info", "--format", "{{.ID}}"]))),
        (
            "image_digest",
            json!(docker(&[
                "image",
                "inspect",
                &case.engine.image,
                "--format",
                "{{.Id}}"
            ])),
        ),
    ] {
        assert_eq!(case.attribute(name).await, expected, "{name}");
    }
    let id = case.attribute("id").await;
    let id = id.as_str().expect("an id");
    assert!(
        id.starts_with("docker/") && id.ends_with(&format!("/{}", case.name)),
        "{id}"
    );
    case.assert_well().await;
    let container = case.container();
    let env = container["Config"]["Env"].to_string();
    assert!(env.contains("DELEGATE_TYPE=DOCKER"), "{env}");
    assert_eq!(container["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
    let volumes = container["Mounts"].as_array().cloned().unwrap_or_default();
    case.assert_removed().await;
    for volume in volumes {
        let name = volume["Name"].as_str().expect("a volume");
        assert!(
            !docker(&["volume", "ls", "--quiet"]).contains(name),
            "its volume stays"
        );
    }
}

#[tokio::test]
async fn a_container_removed_by_hand_is_made_anew() {
    let Some(case) = Case::installed("gone").await else {
        return;
    };
    docker(&["rm", "--force", &case.name]);
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["create"], "{}", plan.text);
    case.assert_heals().await;
    docker(&["rm", "--force", &case.name]);
    case.terraform.destroy().await.succeeds();
    assert_eq!(inspect(&case.name), None);
}

#[tokio::test]
async fn the_example_works_on_an_engine() {
    let Some(mut case) = Case::new("example").await else {
        return;
    };
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/docker/main.tf");
    let text = std::fs::read_to_string(example).expect("readable");
    std::fs::remove_file(case.terraform.path("providers.tf")).expect("it names the provider itself");
    case.terraform.write("main.tf", &text);
    for (name, value) in [
        ("manager_url", case.manager.url.clone()),
        ("account_id", case.manager.account.clone()),
        ("image", case.engine.image.clone()),
        ("name", case.name.clone()),
    ] {
        case.terraform.set_env(format!("TF_VAR_{name}"), value);
    }
    case.assert_heals().await;
    case.assert_removed().await;
}
