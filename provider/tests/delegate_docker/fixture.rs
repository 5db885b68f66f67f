//! What every test starts from: an engine, a manager that containers reach, and a configuration with one delegate.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::manager::{Manager, unique};
use crate::terraform::{Run, Terraform};

/// The program Terraform starts.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-harness");

pub(crate) const SOURCE: &str = "terraform.local/harness/harness";

/// Address of the one delegate.
pub(crate) const DELEGATE: &str = "harness_delegate.this";

/// Label of the containers, by which they are found and removed.
pub(crate) const OWNED: &str = "io.harness-delegate.name";

/// Cases at a time: containers, managers and Terraform share the machine with other tests.
static TURNS: Semaphore = Semaphore::const_new(4);

/// The engine that was named for tests.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) image: String,
    /// Address of this machine, as containers see it.
    pub(crate) gateway: String,
}

impl Engine {
    /// The engine, if it is there and has the image; says so if not.
    pub(crate) fn here() -> Option<Self> {
        let Some(image) = std::env::var("HARNESS_TEST_IMAGE")
            .ok()
            .filter(|image| !image.is_empty())
        else {
            eprintln!("SKIPPED: HARNESS_TEST_IMAGE is not set");
            return None;
        };
        let answers = try_docker(&["image", "inspect", &image]).is_ok_and(|output| output.status.success());
        if !answers {
            eprintln!("SKIPPED: no Docker engine answers that has the image {image}");
            return None;
        }
        let gateway = docker(&[
            "network",
            "inspect",
            "bridge",
            "--format",
            "{{(index .IPAM.Config 0).Gateway}}",
        ]);
        Some(Self { image, gateway })
    }
}

fn try_docker(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
}

/// What the `docker` program answers, without white space around it. Fails the test when it complains.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = try_docker(arguments).expect("docker runs");
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A container as the engine tells it; `None` when there is none.
pub(crate) fn inspect(name: &str) -> Option<Json> {
    let output = try_docker(&["container", "inspect", name]).expect("docker runs");
    let found: Json = serde_json::from_slice(&output.stdout).ok()?;
    found.get(0).cloned()
}

/// What a container has said so far.
pub(crate) fn logs(name: &str) -> String {
    let output = try_docker(&["logs", name]).expect("docker runs");
    [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat()
}

/// Removes what a case may have left, at the end.
struct Cleanup {
    name: String,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let label = format!("label={OWNED}={}", self.name);
        let all = try_docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]);
        let ids = all
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        // By name, too: those of strangers, which carry no label of ours.
        let mut names: Vec<&str> = ids.lines().collect();
        names.push(&self.name);
        for name in names {
            let _ = try_docker(&["rm", "--force", "--volumes", name]);
        }
        for kind in ["network", "volume"] {
            let list = try_docker(&[kind, "ls", "--quiet", "--filter", &format!("name={}", self.name)]);
            let names = list
                .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
                .unwrap_or_default();
            for name in names.lines() {
                let _ = try_docker(&[kind, "rm", name]);
            }
        }
    }
}

pub(crate) struct Case {
    pub(crate) terraform: Terraform,
    pub(crate) manager: Manager,
    pub(crate) engine: Engine,
    /// Name of the delegate, and of its container.
    pub(crate) name: String,
    _cleanup: Cleanup,
    _turn: SemaphorePermit<'static>,
}

impl Case {
    /// Nothing is installed yet. Gives nothing when there is no Terraform or no engine.
    pub(crate) async fn new(stem: &str) -> Option<Self> {
        let engine = Engine::here()?;
        let terraform = Terraform::here().await?.installed(SOURCE, PROGRAM.as_ref());
        let turn = TURNS.acquire().await.expect("never closed");
        let manager = Manager::start_at(&engine.gateway).await;
        let terraform = terraform.env("TF_VAR_delegate_token", &manager.token);
        let name = unique(stem);
        Some(Self {
            terraform,
            manager,
            engine,
            _cleanup: Cleanup { name: name.clone() },
            name,
            _turn: turn,
        })
    }

    /// Applies a configuration of one delegate, which connects.
    pub(crate) async fn installed(stem: &str) -> Option<Self> {
        let case = Self::new(stem).await?;
        case.apply(&case.config()).await.succeeds();
        Some(case)
    }

    /// A configuration of one delegate with the image of the tests.
    pub(crate) fn config(&self) -> Config {
        Config::default()
            .provider("endpoint", format!("{:?}", self.manager.url))
            .provider("account_id", format!("{:?}", self.manager.account))
            .set("name", format!("{:?}", self.name))
            .set("image", format!("{:?}", self.engine.image))
            .set("token_wo", "var.delegate_token")
            .set("token_wo_version", "1")
    }

    pub(crate) fn write(&self, config: &Config) {
        self.terraform.write("main.tf", &config.text());
    }

    pub(crate) async fn apply(&self, config: &Config) -> Run {
        self.write(config);
        self.terraform.apply().await
    }

    /// An attribute of the delegate in the state.
    pub(crate) async fn attribute(&self, name: &str) -> Json {
        self.terraform.state().await.attribute(DELEGATE, name).clone()
    }

    /// The delegate's container.
    pub(crate) fn container(&self) -> Json {
        inspect(&self.name).expect("there is a container")
    }

    pub(crate) fn container_id(&self) -> String {
        self.container()["Id"].as_str().expect("an id").to_owned()
    }

    /// The names of every container that was made for this delegate.
    pub(crate) fn containers(&self) -> Vec<String> {
        let label = format!("label={OWNED}={}", self.name);
        let names = docker(&["ps", "--all", "--filter", &label, "--format", "{{.Names}}"]);
        names.lines().map(str::to_owned).collect()
    }

    /// What `drift` says after looking, without changing the state.
    pub(crate) async fn drift(&self) -> Vec<String> {
        let plan = self.terraform.plan(&[]).await;
        assert_eq!(plan.actions(DELEGATE), ["update"], "{}", plan.text);
        let lines = plan.change(DELEGATE)["before"]["drift"].clone();
        serde_json::from_value(lines).expect("lines")
    }

    /// That an apply makes all well: it succeeds, nothing is left to do, one delegate runs, and it takes tasks.
    pub(crate) async fn assert_heals(&self) {
        self.terraform.apply().await.succeeds();
        self.assert_well().await;
    }

    pub(crate) async fn assert_well(&self) {
        self.terraform.assert_settled().await;
        assert_eq!(self.containers(), std::slice::from_ref(&self.name));
        let result = self.manager.run_task("echo well", &self.name).await;
        assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    }

    /// That a destroy leaves nothing.
    pub(crate) async fn assert_removed(&self) {
        self.terraform.destroy().await.succeeds();
        assert_eq!(self.containers(), Vec::<String>::new());
    }
}

/// A configuration of one delegate. Values are HCL expressions.
#[derive(Clone, Default)]
pub(crate) struct Config {
    provider: BTreeMap<String, String>,
    arguments: BTreeMap<String, String>,
    docker: BTreeMap<String, String>,
    more: String,
}

impl Config {
    #[must_use]
    pub(crate) fn provider(mut self, name: &str, value: impl Into<String>) -> Self {
        self.provider.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.arguments.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.arguments.remove(name);
        self.provider.remove(name);
        self
    }

    /// An argument of `docker`.
    #[must_use]
    pub(crate) fn docker(mut self, name: &str, value: impl Into<String>) -> Self {
        self.docker.insert(name.to_owned(), value.into());
        self
    }

    /// Further blocks.
    #[must_use]
    pub(crate) fn more(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self
    }

    pub(crate) fn text(&self) -> String {
        let lines = |map: &BTreeMap<String, String>, indent: &str| {
            map.iter()
                .map(|(name, value)| format!("{indent}{name} = {value}\n"))
                .collect::<String>()
        };
        format!(
            "variable \"delegate_token\" {{\n  type      = string\n  ephemeral = true\n  sensitive = true\n}}\n\n\
             provider \"harness\" {{\n{}}}\n\n\
             resource \"harness_delegate\" \"this\" {{\n{}  docker = {{\n{}  }}\n}}\n{}",
            lines(&self.provider, "  "),
            lines(&self.arguments, "  "),
            lines(&self.docker, "    "),
            self.more,
        )
    }
}
