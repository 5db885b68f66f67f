//! Where the image comes from: a registry with a login, or the agent's program.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::fixture::{Case, Config, docker};
use crate::manager::until;
use crate::secrets::{CommandLines, Secrets};

const USER: &str = "puller";
const PASSWORD: &str = "pull-me-if-you-can-7f3a";
/// bcrypt of [`PASSWORD`], which is all the registry takes.
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuuneoatMqrvqeNpNLl8petYcU4rvHDvxC";

/// A registry that wants a login. The engine speaks plain HTTP to it, because it is on this machine.
struct Registry {
    address: String,
    _child: Child,
}

impl Registry {
    async fn start(folder: &Path) -> Option<Self> {
        let program = PathBuf::from("/usr/bin/docker-registry");
        if !program.exists() {
            eprintln!("SKIPPED: there is no {}", program.display());
            return None;
        }
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("users"), format!("{USER}:{HASH}\n")).unwrap();
        for _ in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let address = format!("127.0.0.1:{port}");
            let config = json!({
                "version": 0.1, "log": { "level": "error" },
                "storage": { "filesystem": { "rootdirectory": folder.join("data") } },
                "http": { "addr": address },
                "auth": { "htpasswd": { "realm": "tests", "path": folder.join("users") } },
            });
            fs::write(folder.join("config.yml"), config.to_string()).unwrap();
            let mut child = Command::new(&program)
                .args(["serve", &folder.join("config.yml").display().to_string()])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("the registry starts");
            let listens = until("the registry", async || {
                if child.try_wait().expect("it is ours").is_some() {
                    return Some(false);
                }
                TcpStream::connect(&address).await.is_ok().then_some(true)
            });
            if listens.await {
                return Some(Self {
                    address,
                    _child: child,
                });
            }
        }
        panic!("no port for the registry");
    }

    /// Puts the image of the tests there, and takes it from the engine.
    fn push(&self, image: &str, folder: &Path) -> Pushed {
        let name = format!("{}/team/delegate:1", self.address);
        docker(&["tag", image, &name]);
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("config.json"), self.user_config()).unwrap();
        docker(&[
            "--config",
            &folder.display().to_string(),
            "push",
            "--quiet",
            &name,
        ]);
        docker(&["image", "rm", &name]);
        Pushed { name }
    }

    /// What `docker login` would have written.
    fn user_config(&self) -> String {
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
        json!({ "auths": { &self.address: { "auth": auth } } }).to_string()
    }
}

/// An image that a registry has; the engine's copy goes at the end.
struct Pushed {
    name: String,
}

impl Pushed {
    fn forget(&self) {
        let _ = std::process::Command::new("docker")
            .args(["image", "rm", "--force", &self.name])
            .output();
    }
}

impl Drop for Pushed {
    fn drop(&mut self) {
        self.forget();
    }
}

#[tokio::test]
async fn an_image_is_pulled_with_the_login_of_its_registry() {
    let Some(mut case) = Case::new("pull").await else {
        return;
    };
    let Some(registry) = Registry::start(&case.terraform.path("registry")).await else {
        return;
    };
    let pushed = registry.push(&case.engine.image, &case.terraform.path("login"));
    case.terraform.set_env("TF_LOG", "TRACE");
    case.terraform.set_env("TF_VAR_password", PASSWORD);
    case.terraform
        .set_env("DOCKER_CONFIG", case.terraform.path("no-login"));
    let variable = "variable \"password\" {\n  type = string\n  ephemeral = true\n  sensitive = true\n}\n";
    let config = case
        .config()
        .set("image", format!("{:?}", pushed.name))
        .more(variable);
    let error = case.apply(&config).await.fails();
    assert!(
        error.contains("cannot be pulled") && error.contains("docker.registry"),
        "{error}"
    );

    let lines = CommandLines::watch();
    let mut texts = Vec::new();
    let of_provider = format!(
        "{{ registries = [{{ address = {:?}, username = {USER:?}, password = var.password }}] }}",
        registry.address
    );
    let of_resource = format!("{{ username = {USER:?}, password_wo = var.password }}");
    for config in [
        config.clone().provider("docker", of_provider),
        config.clone().docker("registry", of_resource),
    ] {
        let apply = case.apply(&config).await.succeeds();
        texts.push(("the log of the apply", apply.stderr));
        texts.push(("the state", case.terraform.state_file()));
        let digest = case.attribute("image_digest").await;
        let digests = docker(&[
            "image",
            "inspect",
            &pushed.name,
            "--format",
            "{{json .RepoDigests}}",
        ]);
        assert!(
            digests.contains(digest.as_str().expect("a digest")),
            "{digest}: {digests}"
        );
        case.terraform.assert_settled().await;
        case.assert_removed().await;
        pushed.forget();
    }
    // That of `docker login`.
    case.terraform
        .set_env("DOCKER_CONFIG", case.terraform.path("login"));
    let apply = case.apply(&config).await.succeeds();
    texts.push(("the log of the apply", apply.stderr));
    texts.push(("the state", case.terraform.state_file()));
    // It is there now, and nobody asks the registry again.
    drop(registry);
    case.apply(&config.clone().set("tags", r#"["a"]"#))
        .await
        .succeeds();
    case.assert_removed().await;
    texts.push(("a command line", lines.seen()));
    let mut secrets = Secrets::new();
    secrets.add("the registry's password", PASSWORD);
    for (what, text) in &texts {
        secrets.absent_from(what, text);
    }
}

/// The static program of a release build, if the tests are given one.
fn static_program() -> Option<PathBuf> {
    let program =
        std::env::var_os("HARNESS_TEST_BIN_DIR").map(|folder| Path::new(&folder).join("harness-delegate"));
    let program = program.filter(|program| program.is_file());
    if program.is_none() {
        eprintln!("SKIPPED: HARNESS_TEST_BIN_DIR has no harness-delegate");
    }
    program
}

#[tokio::test]
async fn without_an_image_one_is_made_of_the_program() {
    let (Some(program), Some(case)) = (static_program(), Case::new("built").await) else {
        return;
    };
    if !std::process::Command::new("busybox")
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        eprintln!("SKIPPED: there is no busybox");
        return;
    }
    // A program of its own, so that its image is not another test's or somebody's.
    let own = case.terraform.path("harness-delegate");
    let mut bytes = fs::read(&program).unwrap();
    bytes.extend_from_slice(case.name.as_bytes());
    fs::write(&own, bytes).unwrap();
    let config = |case: &Case| -> Config {
        case.config()
            .unset("image")
            .docker("binary", format!("{:?}", own.display()))
    };
    case.apply(&config(&case)).await.succeeds();
    let image = case.container()["Config"]["Image"]
        .as_str()
        .expect("an image")
        .to_owned();
    let _image = Pushed { name: image.clone() };
    assert!(image.starts_with("harness-delegate:"), "{image}");
    case.assert_well().await;
    let result = case
        .manager
        .run_task(
            "echo $BASH_VERSION; id -u; ls /etc/ssl/certs; wget --help 2>&1 | head -1",
            &case.name,
        )
        .await;
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    // Another program is another image.
    let id = docker(&["image", "inspect", &image, "--format", "{{.Id}}"]);
    let mut bytes = fs::read(&own).unwrap();
    bytes.push(b'2');
    fs::write(&own, bytes).unwrap();
    let drift = case.drift().await;
    assert!(
        drift.len() == 1 && drift[0].starts_with("the image is \"harness-delegate:"),
        "{drift:?}"
    );
    case.assert_heals().await;
    let second = case.container()["Config"]["Image"]
        .as_str()
        .expect("an image")
        .to_owned();
    let _second = Pushed { name: second.clone() };
    assert_ne!(docker(&["image", "inspect", &second, "--format", "{{.Id}}"]), id);
    case.assert_removed().await;
}

#[tokio::test]
async fn a_program_that_no_image_can_be_made_of_is_refused() {
    let Some(case) = Case::new("unbuilt").await else {
        return;
    };
    // Itself: it needs shared libraries, which the image would not have.
    let dynamic = case.terraform.path("dynamic");
    fs::copy("/bin/true", &dynamic).unwrap();
    let text = case.terraform.path("text");
    fs::write(&text, "no program").unwrap();
    for (file, part) in [
        (&dynamic, "needs shared libraries"),
        (&text, "64-bit Linux program"),
    ] {
        let config = case
            .config()
            .unset("image")
            .docker("binary", format!("{:?}", file.display()));
        let error = case.apply(&config).await.fails();
        assert!(
            error.contains(part) && error.contains("Set image")
                || error.contains(part) && error.contains("set image"),
            "{error}"
        );
        assert_eq!(case.containers(), Vec::<String>::new());
    }
}
