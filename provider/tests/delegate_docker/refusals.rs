//! What is refused, with an error that names the argument and the remedy, and nothing changed.

use crate::fixture::{Case, DELEGATE, docker, inspect};

#[tokio::test]
async fn bad_arguments_are_refused_by_validate() {
    let Some(case) = Case::new("bad").await else {
        return;
    };
    let docker = |name: &str, value: &str| case.config().docker(name, value);
    for (config, at, part) in [
        (docker("host", r#""engine-1""#), "docker.host", "tcp://host:2376"),
        (docker("host", r#""tcp://""#), "docker.host", "tcp://host:2376"),
        (
            docker("cert_path", r#""/certs""#),
            "docker.cert_path",
            "host must be set too",
        ),
        (
            docker("container", r#""-x""#),
            "docker.container",
            "begin with a letter or digit",
        ),
        (docker("cpus", "0"), "docker.cpus", "from 0.01"),
        (docker("memory", r#""1m""#), "docker.memory", "at least 6m"),
        (docker("memory", r#""much""#), "docker.memory", "for example 512m"),
        (
            docker("restart", r#""sometimes""#),
            "docker.restart",
            "on-failure:COUNT",
        ),
        (docker("volumes", r#"["data"]"#), "docker.volumes", "name:/target"),
        (
            docker("extra_hosts", r#"["a"]"#),
            "docker.extra_hosts",
            "name:address",
        ),
        (
            docker("capabilities", r#"{ add = ["NET-ADMIN"] }"#),
            "docker.capabilities.add",
            "NET_ADMIN",
        ),
        (
            docker("token_as", r#""secret""#),
            "docker.token_as",
            "environment",
        ),
        (
            docker("health", r#"{ interval = "5" }"#),
            "docker.health.interval",
            "90s",
        ),
        (
            docker("health", r#"{ disabled = true, command = "true" }"#),
            "docker.health",
            "Remove one",
        ),
        (
            case.config().set("replicas", "2"),
            "replicas",
            "With docker set, replicas may not be set",
        ),
        (case.config().set("host", "{}"), "docker", "Remove all but one"),
        (
            case.config().set("env", r#"{ DELEGATE_TAGS = "x" }"#),
            "env",
            "argument of its own",
        ),
    ] {
        case.write(&config);
        let run = case.terraform.run(&["validate", "-json"]).await;
        assert!(!run.status.success(), "{at} is accepted: {}", config.text());
        let told = &run.json()["diagnostics"];
        let text = told.to_string();
        assert!(text.contains(part), "{at}: {text}");
        let last = at.rsplit('.').next().expect("a name");
        assert!(text.contains(last), "{at}: {text}");
    }
}

#[tokio::test]
async fn what_only_shows_together_is_refused_by_plan() {
    let Some(case) = Case::new("together").await else {
        return;
    };
    let config = case.config();
    for (config, part) in [
        (
            config.clone().docker("binary", r#""/bin/true""#),
            "Remove one of them",
        ),
        (
            config
                .clone()
                .docker("network", r#""host""#)
                .docker("networks", r#"["x"]"#),
            "Remove docker.networks",
        ),
        (
            config.clone().set("env", r#"{ DELEGATE_TYPE = "ECS" }"#),
            "Remove it from env",
        ),
        (
            config
                .clone()
                .unset("image")
                .docker("binary", r#""/nowhere/at-all""#),
            "cannot be read",
        ),
    ] {
        case.write(&config);
        let error = case.terraform.run(&["plan", "-no-color"]).await.fails();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(inspect(&case.name), None);
}

#[tokio::test]
async fn a_container_of_somebody_else_is_left_alone() {
    let Some(case) = Case::new("foreign").await else {
        return;
    };
    let id = docker(&["create", "--name", &case.name, &case.engine.image]);
    let error = case.apply(&case.config()).await.fails();
    assert!(
        error.contains("exists already") && error.contains("not made by this provider"),
        "{error}"
    );
    assert!(
        error.contains(&format!("/{}", case.name)) && error.contains("terraform import"),
        "{error}"
    );
    assert_eq!(case.container_id(), id);
    assert!(case.terraform.state().await.resource(DELEGATE).is_null());
    docker(&["rm", "--force", &case.name]);
    // One of ours, but of another delegate.
    docker(&[
        "create",
        "--name",
        &case.name,
        "--label",
        "io.harness-delegate.name=other",
        &case.engine.image,
    ]);
    let error = case.apply(&case.config()).await.fails();
    assert!(error.contains("belongs to a delegate of another name"), "{error}");
    docker(&["rm", "--force", &case.name]);
    case.apply(&case.config()).await.succeeds();
    case.assert_removed().await;
}

#[tokio::test]
async fn an_engine_that_does_not_answer_fails_the_plan_and_the_destroy_and_loses_nothing() {
    let Some(case) = Case::installed("unreachable").await else {
        return;
    };
    let nowhere = case.terraform.path("no.sock");
    let away = case
        .config()
        .docker("host", format!("{:?}", format!("unix://{}", nowhere.display())));
    let elsewhere = case.config().provider(
        "docker",
        format!("{{ host = {:?} }}", format!("unix://{}", nowhere.display())),
    );
    let state = case.terraform.state_file();
    case.write(&elsewhere);
    for arguments in [
        &["plan", "-no-color"][..],
        &["destroy", "-no-color", "-auto-approve"],
    ] {
        let error = case.terraform.run(arguments).await.fails();
        assert!(
            error.contains("Cannot reach the Docker engine") && error.contains("no.sock"),
            "{error}"
        );
        assert_eq!(case.terraform.state_file(), state);
    }
    // One that is to be made plans all the same: it may come up in the same apply.
    case.terraform.run(&["state", "rm", DELEGATE]).await.succeeds();
    case.write(&away.docker("container", format!("{:?}", format!("{}-b", case.name))));
    assert_eq!(case.terraform.plan(&[]).await.actions(DELEGATE), ["create"]);
}

#[tokio::test]
async fn another_engine_is_refused() {
    let Some(case) = Case::installed("moved").await else {
        return;
    };
    let text = case.terraform.state_file();
    let id = docker(&["info", "--format", "{{.ID}}"]);
    assert!(text.contains(&id), "{text}");
    // As if the engine behind the address had been another one.
    case.terraform
        .write("terraform.tfstate", &text.replace(&id, "OTHER:ENGINE"));
    let container = case.container_id();
    for arguments in [
        &["plan", "-no-color"][..],
        &["destroy", "-no-color", "-auto-approve"],
    ] {
        let error = case.terraform.run(arguments).await.fails();
        assert!(
            error.contains("another place") && error.contains(&id) && error.contains("OTHER:ENGINE"),
            "{error}"
        );
    }
    assert_eq!(case.container_id(), container);
}

#[tokio::test]
async fn a_create_without_its_image_leaves_nothing_and_heals() {
    let Some(case) = Case::new("no-image").await else {
        return;
    };
    let error = case
        .apply(&case.config().set("image", r#""no-such-image.invalid/x:1""#))
        .await
        .fails();
    assert!(
        error.contains("no-such-image.invalid/x:1") && error.contains("cannot be pulled"),
        "{error}"
    );
    assert!(case.terraform.state().await.resource(DELEGATE).is_null());
    assert_eq!(case.containers(), Vec::<String>::new());
    case.write(&case.config());
    case.assert_heals().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn a_delegate_that_ends_by_itself_is_not_waited_for() {
    let Some(mut case) = Case::new("refused").await else {
        return;
    };
    case.terraform
        .set_env("TF_VAR_delegate_token", crate::manager::any_token());
    let error = case.apply(&case.config()).await.fails();
    assert!(
        error.contains("ended by itself with exit code 3") && error.contains("log:"),
        "{error}"
    );
    assert!(case.terraform.state().await.is_tainted(DELEGATE));
    let token = case.manager.token.clone();
    case.terraform.set_env("TF_VAR_delegate_token", token);
    case.assert_heals().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn a_delegate_that_cannot_reach_its_manager_is_told_of() {
    let Some(mut case) = Case::new("lonely").await else {
        return;
    };
    case.manager.stop().await;
    let error = case
        .apply(&case.config().set("wait", r#"{ timeout = "3s" }"#))
        .await
        .fails();
    assert!(
        error.contains("was not connected to its manager within 3 s") && error.contains("docker logs"),
        "{error}"
    );
    assert_eq!(case.attribute("connected").await, false);
    case.manager.resume().await;
    case.write(&case.config());
    case.assert_heals().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn what_is_known_only_after_apply_is_waited_for() {
    let Some(case) = Case::new("unknown").await else {
        return;
    };
    let later = |value: &str| format!("resource \"terraform_data\" \"later\" {{\n  input = {value}\n}}\n");
    let name = format!("{:?}", case.name);
    let config = case
        .config()
        .set("name", "terraform_data.later.output")
        .docker("container", "terraform_data.later.output")
        .docker("cpus", r"length(terraform_data.later.output) > 0 ? 0.5 : 1")
        .docker("extra_hosts", r#"["${terraform_data.later.output}:10.0.0.1"]"#)
        .more(&later(&name));
    case.write(&config);
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["create"], "{}", plan.text);
    case.assert_heals().await;
    assert_eq!(case.container()["HostConfig"]["NanoCpus"], 500_000_000);
    case.assert_removed().await;
}
