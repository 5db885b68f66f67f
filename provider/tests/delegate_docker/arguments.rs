//! Every argument reaches the container, an import gives them back, and what is changed by hand is seen.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value as Json, json};

use crate::fixture::{Case, Config, DELEGATE, docker, inspect};

/// Every argument, with networks of this case.
fn all(case: &Case) -> Config {
    let folder = case.terraform.path("mounted");
    fs::create_dir_all(&folder).expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("ours");
    let network = |n: u8| format!("{}-{n}", case.name);
    for n in 1..=2 {
        if !docker(&["network", "ls", "--format", "{{.Name}}"])
            .lines()
            .any(|name| name == network(n))
        {
            docker(&["network", "create", &network(n)]);
        }
    }
    case.config()
        .set("tags", r#"["linux", "prod"]"#)
        .set("description", r#""of tests""#)
        .set("env", r#"{ DELEGATE_TASK_CAPACITY = "7", OWN = "a=b c" }"#)
        .set("init_script", r#""echo ready > /tmp/initialized""#)
        .set("poll_for_tasks", "true")
        .set("ca_bundle", format!("{{ directory = {:?} }}", folder.display()))
        .set(
            "proxy",
            format!(
                r#"{{ host = "proxy.invalid", port = 3128, user = "u", password_wo = var.delegate_token, no_proxy = [{:?}] }}"#,
                case.engine.gateway
            ),
        )
        .docker("cpus", "0.5")
        .docker("memory", r#""256m""#)
        .docker("restart", r#""on-failure:5""#)
        .docker("networks", format!("[{:?}, {:?}]", network(1), network(2)))
        .docker("extra_hosts", r#"["somewhere.invalid:10.9.8.7"]"#)
        .docker("volumes", format!("[{:?}, {:?}]", format!("{}:/mounted:ro", folder.display()), format!("{}-data:/data", case.name)))
        .docker("capabilities", r#"{ add = ["CAP_NET_ADMIN"], drop = ["mknod"] }"#)
        .docker("read_only", "true")
        .docker("init", "true")
        .docker("user", r#""1001:0""#)
        .docker("health", r#"{ command = "true", interval = "2s", timeout = "4s", start_period = "3s", retries = 4 }"#)
}

#[tokio::test]
async fn every_argument_reaches_the_container_and_comes_back_with_an_import() {
    let Some(case) = Case::new("all").await else {
        return;
    };
    case.apply(&all(&case)).await.succeeds();
    case.assert_well().await;
    let container = case.container();
    let env = &container["Config"]["Env"];
    for line in [
        "DELEGATE_TAGS=linux,prod",
        "DELEGATE_DESCRIPTION=of tests",
        "DELEGATE_TASK_CAPACITY=7",
        "OWN=a=b c",
        "POLL_FOR_TASKS=true",
        "PROXY_HOST=proxy.invalid",
        "WORKING_DIR=/writable",
    ] {
        assert!(
            env.as_array().expect("a list").contains(&json!(line)),
            "{line}: {env}"
        );
    }
    assert!(
        !env.to_string().contains("PROXY_PASSWORD") && !env.to_string().contains("DELEGATE_TOKEN"),
        "{env}"
    );
    let host = &container["HostConfig"];
    for (name, expected) in [
        ("NanoCpus", json!(500_000_000)),
        ("Memory", json!(256 << 20)),
        (
            "RestartPolicy",
            json!({ "Name": "on-failure", "MaximumRetryCount": 5 }),
        ),
        ("ExtraHosts", json!(["somewhere.invalid:10.9.8.7"])),
        ("CapAdd", json!(["CAP_NET_ADMIN"])),
        ("CapDrop", json!(["CAP_MKNOD"])),
        ("ReadonlyRootfs", json!(true)),
        ("Init", json!(true)),
    ] {
        assert_eq!(host[name], expected, "{name}");
    }
    let health = &container["Config"]["Healthcheck"];
    assert_eq!(
        *health,
        json!({ "Test": ["CMD-SHELL", "true"], "Interval": 2_000_000_000_u64, "Timeout": 4_000_000_000_u64, "StartPeriod": 3_000_000_000_u64, "Retries": 4 })
    );
    let networks: Vec<String> = container["NetworkSettings"]["Networks"]
        .as_object()
        .expect("networks")
        .keys()
        .cloned()
        .collect();
    assert_eq!(networks.len(), 3, "{networks:?}");
    // What tasks see of it.
    let script = "id -u; cat /tmp/initialized; touch /x 2>/dev/null || echo read-only; touch /writable/x /data 2>&1; ls -d /mounted; grep somewhere /etc/hosts";
    let output = docker(&["exec", &case.name, "sh", "-c", script]);
    for part in ["1001", "ready", "read-only", "/mounted", "10.9.8.7"] {
        assert!(output.contains(part), "{part}: {output}");
    }

    let id = case.attribute("id").await.as_str().expect("an id").to_owned();
    let before = case.container_id();
    case.terraform.run(&["state", "rm", DELEGATE]).await.succeeds();
    case.terraform.import(DELEGATE, &id).await.succeeds();
    let plan = case.terraform.plan(&[]).await;
    assert_ne!(plan.actions(DELEGATE), ["delete", "create"], "{}", plan.text);
    let (had, gets) = (&plan.change(DELEGATE)["before"], &plan.change(DELEGATE)["after"]);
    for name in [
        "tags",
        "description",
        "env",
        "init_script",
        "poll_for_tasks",
        "ca_bundle",
        "image",
        "token_wo_version",
    ] {
        assert_eq!(had[name], gets[name], "{name}");
    }
    let differing: Vec<&String> = had["docker"]
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(name, value)| **value != gets["docker"][name.as_str()])
        .map(|(name, _)| name)
        .collect();
    // Capabilities have one name here and several in configurations.
    assert_eq!(differing, ["capabilities"], "{}", plan.text);
    case.assert_heals().await;
    assert_eq!(case.container_id(), before, "and the container is left alone");
    case.assert_removed().await;
}

#[tokio::test]
async fn an_import_is_an_empty_plan() {
    let Some(case) = Case::installed("import").await else {
        return;
    };
    let id = case.attribute("id").await.as_str().expect("an id").to_owned();
    let before = case.terraform.state().await.resource(DELEGATE)["values"].clone();
    case.terraform.run(&["state", "rm", DELEGATE]).await.succeeds();
    case.terraform.import(DELEGATE, &id).await.succeeds();
    case.terraform.assert_settled().await;
    assert_eq!(case.terraform.state().await.resource(DELEGATE)["values"], before);
    // An apply without the import would be another delegate of the same name.
    case.terraform.run(&["state", "rm", DELEGATE]).await.succeeds();
    let error = case.terraform.apply().await.fails();
    assert!(error.contains("exists already") && error.contains(&id), "{error}");
    case.terraform.import(DELEGATE, &id).await.succeeds();
    let error = case
        .terraform
        .import("harness_delegate.other", &format!("{id}-none"))
        .await
        .fails();
    assert!(!error.is_empty());
    case.assert_removed().await;
}

/// One change by hand, and how `drift` tells it.
type Change = (&'static str, fn(&Case), &'static [&'static str]);

#[tokio::test]
async fn what_is_changed_by_hand_is_seen_and_set_right() {
    let Some(case) = Case::new("drift").await else {
        return;
    };
    let config = case.config().docker("cpus", "0.5").docker("memory", r#""256m""#);
    case.apply(&config).await.succeeds();
    let changes: &[Change] = &[
        (
            "stopped",
            |case| _ = docker(&["stop", "--time", "30", &case.name]),
            &["the container does not run (exit code 0)"],
        ),
        (
            "paused",
            |case| _ = docker(&["pause", &case.name]),
            &["the container is paused"],
        ),
        (
            "limits",
            |case| {
                _ = docker(&[
                    "update",
                    "--cpus",
                    "0.25",
                    "--memory",
                    "300m",
                    "--memory-swap",
                    "600m",
                    "--restart",
                    "always",
                    &case.name,
                ]);
            },
            &[
                "cpus (10⁻⁹) is 250000000, installed with 500000000",
                "memory (bytes) is 314572800, installed with 268435456",
                "restart is \"always\", installed with \"unless-stopped\"",
            ],
        ),
        (
            "networks",
            |case| {
                docker(&["network", "create", &format!("{}-x", case.name)]);
                docker(&["network", "connect", &format!("{}-x", case.name), &case.name]);
                docker(&["network", "disconnect", "bridge", &case.name]);
            },
            &[
                "\"bridge\" is missing from networks",
                "-x\" was added to networks",
            ],
        ),
        (
            "token",
            |case| overwrite_token(case),
            &["the Secret of the token was changed"],
        ),
    ];
    for (what, change, expected) in changes {
        change(&case);
        let drift = case.drift().await;
        assert_eq!(drift.len(), expected.len(), "{what}: {drift:?}");
        for (line, part) in drift.iter().zip(*expected) {
            assert!(line.contains(part), "{what}: {drift:?}");
        }
        case.assert_heals().await;
        assert_eq!(case.attribute("drift").await, json!([]), "{what}");
    }
    case.assert_removed().await;
}

/// Copies another file over the one with the token.
fn overwrite_token(case: &Case) {
    let file = case.terraform.path("secrets.env");
    fs::write(&file, "DELEGATE_TOKEN=x\n").expect("writable");
    docker(&[
        "cp",
        &file.to_string_lossy(),
        &format!("{}:/run/harness-delegate/secrets.env", case.name),
    ]);
}

/// An argument of `docker create`, and how `drift` tells it.
type Argument = (&'static str, &'static str, &'static str);

#[tokio::test]
async fn a_container_that_was_replaced_by_hand_is_told_setting_by_setting() {
    let Some(case) = Case::installed("remade").await else {
        return;
    };
    let plain: Vec<String> = case.container()["Config"]["Env"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Json::as_str)
        .map(str::to_owned)
        .collect();
    let label = format!("io.harness-delegate.name={}", case.name);
    // In two rounds: each costs a plan, and those of the second do not go with those of the first.
    let rounds: &[&[Argument]] = &[
        &[
            ("--read-only", "", "read_only is true, installed with false"),
            (
                "--tmpfs",
                "/scratch:size=1m",
                "\"/scratch:size=1m\" was added to folders in memory",
            ),
            ("--init", "", "init is true, installed with false"),
            (
                "--cap-add",
                "NET_ADMIN",
                "\"NET_ADMIN\" was added to capabilities.add",
            ),
            ("--cap-drop", "MKNOD", "\"MKNOD\" was added to capabilities.drop"),
            ("--user", "0", "the user is \"0\", installed with \"1001\""),
            ("--volume", "/tmp:/host", "\"/tmp:/host\" was added to volumes"),
            (
                "--add-host",
                "a.invalid:10.0.0.1",
                "\"a.invalid:10.0.0.1\" was added to extra_hosts",
            ),
            ("--env", "MORE=1", "MORE was added"),
            (
                "--env",
                "DELEGATE_TAGS=other",
                "DELEGATE_TAGS is \"other\", installed with \"\"",
            ),
            (
                "--env",
                "DELEGATE_TOKEN=x",
                "DELEGATE_TOKEN was added to the environment",
            ),
            ("--stop-timeout", "5", "the stop timeout is 5, installed with 610"),
            (
                "--label",
                "io.harness-delegate.note.token-wo-version=9",
                "the labels were changed",
            ),
            ("--no-healthcheck", "", "the health check was changed"),
            ("--entrypoint", "/bin/sh", "the entry point is"),
        ],
        &[
            ("--privileged", "", "privileged is true, installed with false"),
            (
                "--network",
                "none",
                "network is \"none\", installed with \"bridge\"",
            ),
            ("--memory", "64m", "memory (bytes) is 67108864, installed with 0"),
            ("--cpus", "0.5", "cpus (10⁻⁹) is 500000000, installed with 0"),
            (
                "--restart",
                "on-failure:3",
                "restart is \"on-failure:3\", installed with \"unless-stopped\"",
            ),
        ],
    ];
    docker(&["rm", "--force", &case.name]);
    for round in rounds {
        let mut all = vec!["create", "--name", &case.name, "--label", &label];
        for line in &plain {
            all.extend(["--env", line]);
        }
        for (name, value, _) in *round {
            all.push(name);
            all.extend(Some(*value).filter(|value| !value.is_empty()));
        }
        all.push(&case.engine.image);
        docker(&all);
        let drift = case.drift().await;
        for (name, value, expected) in *round {
            assert!(
                drift.iter().any(|line| line.contains(expected)),
                "{name} {value}: {drift:?}"
            );
        }
        assert!(
            !drift.iter().any(|line| line.contains("TOKEN is \"x\"")),
            "no secret: {drift:?}"
        );
        docker(&["rm", "--force", "--volumes", &case.name]);
    }
    assert_eq!(inspect(&case.name), None);
    case.assert_heals().await;
    case.assert_removed().await;
}
