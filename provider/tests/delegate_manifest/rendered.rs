//! The objects as text, from the data source and from the agent's own program: what is printed is what is installed.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::asleep;
use crate::cluster::{Site, agent};

const RENDERED: &str = "data.harness_delegate_manifest.this";

fn by_name(yaml: &str) -> BTreeMap<String, Json> {
    let objects: Vec<Json> = serde_saphyr::from_multiple(yaml).expect("YAML");
    let name = |object: &Json| {
        let text = |value: &Json| value.as_str().expect("text").to_owned();
        format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
    };
    objects
        .into_iter()
        .filter(Json::is_object)
        .map(|object| (name(&object), object))
        .collect()
}

/// What `harness-delegate manifest` prints, with this environment and nothing else.
async fn printed(arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String, String) {
    let output = Command::new(agent())
        .arg("manifest")
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Gives YAML to `kubectl` as somebody else's field manager.
async fn apply(site: &Site, yaml: &str) {
    let mut child = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(&site.cluster.kubeconfig)
        .args(["apply", "--server-side", "--field-manager=somebody", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("kubectl starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(yaml.as_bytes()).await.expect("kubectl reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("kubectl ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn what_is_printed_installs_a_delegate_that_terraform_can_take_over() {
    let Some(site) = Site::without_helm("m-print").await else {
        return;
    };
    let (name, namespace) = (site.name.as_str(), site.namespace.as_str());
    let quoted = |text: &str| json!(text).to_string();
    let block = format!(
        "\ndata \"harness_delegate_manifest\" \"this\" {{\n  name = {}\n  namespace = {}\n  image = {}\n  replicas = 0\n  tags = [\"yes\", \"012\"]\n}}\n",
        quoted(name),
        quoted(namespace),
        quoted(&site.cluster.image),
    );
    let wanted = asleep(&site).set("tags", r#"["yes", "012"]"#);
    wanted.clone().more(&block).write(&site);
    site.terraform
        .run(&[
            "apply",
            "-no-color",
            "-auto-approve",
            &format!("-target={RENDERED}"),
        ])
        .await
        .succeeds();
    let state = site.terraform.state().await;
    let yaml = state
        .attribute(RENDERED, "yaml")
        .as_str()
        .expect("text")
        .to_owned();
    let secret = format!("{name}-delegate-token");
    assert_eq!(state.attribute(RENDERED, "secret_name"), &json!(secret));
    let objects = state.attribute(RENDERED, "objects").as_object().expect("a map");
    let each: String = objects
        .values()
        .map(|text| format!("---\n{}", text.as_str().expect("text")))
        .collect();
    assert_eq!(by_name(&each), by_name(&yaml));

    // The program prints the same from its own settings.
    let environment = [
        ("DELEGATE_NAME", name),
        ("ACCOUNT_ID", "acceptance"),
        ("MANAGER_HOST_AND_PORT", site.manager.url.as_str()),
        ("DELEGATE_TAGS", "012,yes"),
        ("DELEGATE_TOKEN", site.manager.token.as_str()),
    ];
    let arguments = [
        "--namespace",
        namespace,
        "--image",
        &site.cluster.image,
        "--replicas=0",
    ];
    let (ok, text, error) = printed(&arguments, &environment).await;
    assert!(ok, "{error}");
    assert_eq!(by_name(&text), by_name(&yaml));
    assert!(
        !text.contains(&site.manager.token) && text.contains(&secret),
        "{text}"
    );

    // With the Secret, it is all that a cluster needs.
    let (ok, text, error) = printed(&[&arguments[..], &["--with-secrets"]].concat(), &environment).await;
    assert!(ok, "{error}");
    site.cluster.kubectl(&["create", "namespace", namespace]).await;
    apply(&site, &text).await;
    let live = site.get(&["configmap", name]).await;
    assert_eq!(live["data"]["DELEGATE_TAGS"], "012,yes");
    let context = site.cluster.kubectl(&["config", "current-context"]).await;
    let id = format!("manifest/{}/{namespace}/{name}", context.trim());
    wanted.write(&site);
    site.terraform
        .import("harness_delegate.this", &id)
        .await
        .succeeds();
    // Whoever applies it now and then keeps its fields until they are taken over.
    let error = site.terraform.apply().await.fails();
    assert!(error.contains("is set by \"somebody\""), "{error}");
    site.apply(&wanted.manifest("force_conflicts", "true"))
        .await
        .succeeds();
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn every_format_is_printed_without_the_token() {
    let token = "MDAwMTAyMDMwNDA1MDYwNzA4MDkwYTBiMGMwZDBlMGY=";
    let environment = [
        ("DELEGATE_NAME", "team-a"),
        ("ACCOUNT_ID", "acc"),
        ("MANAGER_HOST_AND_PORT", "https://manager.example"),
        ("DELEGATE_DESCRIPTION", "it's $5 \"now\""),
        ("DELEGATE_TOKEN", token),
    ];
    for (format, expected) in [
        (
            "kubernetes",
            &["kind: \"Deployment\"", "team-a-delegate-token"][..],
        ),
        ("values", &["existingDelegateToken: \"team-a-delegate-token\""]),
        (
            "docker",
            &[
                "docker run --detach --name team-a",
                "--env DELEGATE_TOKEN \\",
                r#"--env 'DELEGATE_DESCRIPTION=it'\''s $5 "now"'"#,
            ],
        ),
        (
            "compose",
            &[
                r#"DELEGATE_DESCRIPTION: "it's $$5 \"now\"""#,
                r#"DELEGATE_TOKEN: "${DELEGATE_TOKEN:?set it}""#,
            ],
        ),
        (
            "systemd",
            &[
                "ExecStart=/var/lib/harness-delegate/default/bin/harness-delegate run",
                "#   DELEGATE_NAME='team-a'",
            ],
        ),
    ] {
        let (ok, text, error) = printed(&["--format", format], &environment).await;
        assert!(ok, "{format}: {error}");
        assert!(!text.contains(token), "{format}: {text}");
        for part in expected {
            assert!(text.contains(part), "{format}: {part:?} is not in: {text}");
        }
        // A token is needed only where it is printed.
        let (ok, _, error) = printed(&["--format", format], &environment[..4]).await;
        assert!(ok, "{format}: {error}");
    }
    for (arguments, environment, expected) in [
        (&[][..], &environment[1..], "DELEGATE_NAME is not set"),
        (
            &["--with-secrets"],
            &environment[..4],
            "DELEGATE_TOKEN is not set",
        ),
        (
            &["--http-port", "8080"],
            &environment[..],
            "DELEGATE_HTTP_PORT cannot be changed",
        ),
        (
            &["--name", "Team_A"],
            &environment[..],
            "cannot name Kubernetes objects",
        ),
        (
            &["--format", "systemd", "--directory", "x"],
            &environment[..],
            "must be an absolute path",
        ),
    ] {
        let (ok, text, error) = printed(arguments, environment).await;
        assert!(!ok && text.is_empty() && error.contains(expected), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}
