//! Driving the real `terraform` in a test: a directory of its own, a provider to use, and typed answers.
//!
//! ```ignore
//! let Some(terraform) = Terraform::here().await else { return };        // prints "SKIPPED: …" when there is none
//! let terraform = terraform.attached(SOURCE, server.reattach());        // or .installed(SOURCE, Path::new(PROGRAM))
//! terraform.write("main.tf", r#"resource "thing" "a" {}"#);
//! terraform.apply().await.succeeds();
//! terraform.assert_settled().await;                                     // the plan is empty, with and without refresh
//! assert_eq!(terraform.state().await.attribute("thing.a", "name"), "x");
//! terraform.destroy().await.succeeds();
//! ```
//!
//! Every run is bounded by [`PATIENCE`] and killed when the test ends. Runs do not share anything: tests may
//! be parallel.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long one run of Terraform may take. Far above what any takes; below what a person waits.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// A directory with a configuration, and how Terraform is run in it.
pub struct Terraform {
    program: PathBuf,
    directory: TempDir,
    environment: BTreeMap<OsString, OsString>,
}

impl Terraform {
    /// An empty directory, if there is a `terraform` on the PATH; says so and gives nothing if there is none.
    pub async fn here() -> Option<Self> {
        Self::of("terraform").await
    }

    /// The same with another program that speaks its language: `tofu`. It is looked for on the PATH, and where
    /// scripts/setup puts tools.
    pub async fn of(name: &str) -> Option<Self> {
        let program = tool(name)?;
        let version = Command::new(&program)
            .arg("version")
            .env("CHECKPOINT_DISABLE", "1")
            .output()
            .await;
        if !version.is_ok_and(|version| version.status.success()) {
            eprintln!("SKIPPED: {} does not run", program.display());
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let mut terraform = Self {
            program,
            directory,
            environment: BTreeMap::new(),
        };
        terraform.write("cli.tfrc", "disable_checkpoint = true\n");
        for (name, value) in [
            ("CHECKPOINT_DISABLE", "1"),
            ("TF_IN_AUTOMATION", "1"),
            ("TF_INPUT", "0"),
        ] {
            terraform = terraform.env(name, value);
        }
        let configuration = terraform.path("cli.tfrc");
        let temporary = terraform.directory.path().to_owned();
        Some(
            terraform
                .env("TF_CLI_CONFIG_FILE", configuration)
                .env("TMPDIR", temporary),
        )
    }

    /// Uses a provider that is already being served, by the value it gave for `TF_REATTACH_PROVIDERS`, and
    /// names it in the configuration.
    #[must_use]
    pub fn attached(self, source: &str, reattach: &str) -> Self {
        self.write("providers.tf", &required(source));
        self.env("TF_REATTACH_PROVIDERS", reattach)
    }

    /// Uses the program at `program` as the provider, started by Terraform as in real life, and names it in
    /// the configuration.
    #[must_use]
    pub fn installed(self, source: &str, program: &Path) -> Self {
        self.write("providers.tf", &required(source));
        // A directory with nothing else in it: Terraform takes the first file with a fitting name.
        let programs = self.path("programs");
        fs::create_dir_all(&programs).expect("a directory");
        let file = format!("terraform-provider-{}", local_name(source));
        std::os::unix::fs::symlink(program, programs.join(file)).expect("a link");
        self.write(
            "cli.tfrc",
            &format!(
                "disable_checkpoint = true\nprovider_installation {{\n  dev_overrides {{\n    \"{source}\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
                programs.display()
            ),
        );
        self
    }

    /// Sets a variable of the environment for every run.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.set_env(name, value);
        self
    }

    /// Sets a variable of the environment for every run from now on.
    pub fn set_env(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.insert(name.into(), value.into());
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of the configuration, anew if it is there.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a writable directory");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        // What the caller's shell has set for its own Terraform is none of ours.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TF_") {
                command.env_remove(name);
            }
        }
        command.envs(&self.environment);
        command
    }

    /// Runs `terraform` with these arguments.
    pub async fn run(&self, arguments: &[&str]) -> Run {
        let what = arguments.join(" ");
        let output = timeout(PATIENCE, self.command(arguments).output()).await;
        let output = output
            .unwrap_or_else(|_| panic!("terraform {what}: no end after {PATIENCE:?}"))
            .expect("terraform runs");
        Run {
            what,
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts `terraform` with these arguments, to be interrupted.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("terraform starts");
        Running {
            what: arguments.join(" "),
            child,
        }
    }

    /// `terraform init`. Needed only with providers that have to be installed.
    pub async fn init(&self) -> Run {
        self.run(&["init", "-no-color"]).await
    }

    /// `terraform validate`.
    pub async fn validate(&self) -> Run {
        self.run(&["validate", "-no-color"]).await
    }

    /// `terraform apply`, approved.
    pub async fn apply(&self) -> Run {
        self.run(&["apply", "-no-color", "-auto-approve"]).await
    }

    /// `terraform destroy`, approved.
    pub async fn destroy(&self) -> Run {
        self.run(&["destroy", "-no-color", "-auto-approve"]).await
    }

    /// `terraform import`.
    pub async fn import(&self, address: &str, id: &str) -> Run {
        self.run(&["import", "-no-color", address, id]).await
    }

    /// `terraform plan` with these further arguments. Fails the test if Terraform cannot plan.
    pub async fn plan(&self, arguments: &[&str]) -> Plan {
        let mut all = vec!["plan", "-no-color", "-detailed-exitcode", "-out=test.tfplan"];
        all.extend(arguments);
        let run = self.run(&all).await;
        assert!(matches!(run.status.code(), Some(0 | 2)), "{run}");
        let json = self
            .run(&["show", "-json", "-no-color", "test.tfplan"])
            .await
            .succeeds()
            .json();
        Plan {
            json,
            text: run.stdout,
            changes: run.status.code() == Some(2),
        }
    }

    /// That a plan is empty twice: against the state alone, and after looking at the world.
    pub async fn assert_settled(&self) {
        for arguments in [&["-refresh=false"][..], &[]] {
            let mut all = vec!["plan", "-no-color", "-detailed-exitcode"];
            all.extend(arguments);
            let run = self.run(&all).await;
            assert_eq!(
                run.status.code(),
                Some(0),
                "the plan {arguments:?} is not empty: {run}"
            );
        }
    }

    /// The state, as `terraform show -json` has it.
    pub async fn state(&self) -> State {
        State {
            json: self.run(&["show", "-json", "-no-color"]).await.succeeds().json(),
        }
    }

    /// The state file as it is on disk; empty if there is none.
    pub fn state_file(&self) -> String {
        fs::read_to_string(self.path("terraform.tfstate")).unwrap_or_default()
    }
}

/// The tool of this name, if there is one; says so if there is none.
fn tool(name: &str) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = variable("HARNESS_DELEGATE_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("XDG_CACHE_HOME")?).join("harness-delegate")))
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache/harness-delegate")));
    let mut folders: Vec<PathBuf> = std::env::split_paths(&variable("PATH").unwrap_or_default()).collect();
    folders.extend(cache.map(|cache| cache.join("bin")));
    let found = folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: `{name}` is neither on the PATH nor in the cache of scripts/setup");
    }
    found
}

/// What chance is seeded with in a test that kills: `HARNESS_TEST_SEED`, or a new one each time. It is printed, so that a run
/// that failed can be had again, as far as a machine repeats itself.
pub fn crash_seed(label: &str) -> u64 {
    let given = std::env::var("HARNESS_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{label}: HARNESS_TEST_SEED={seed}");
    seed
}

fn local_name(source: &str) -> &str {
    source.rsplit('/').next().unwrap_or(source)
}

fn required(source: &str) -> String {
    let name = local_name(source);
    format!("terraform {{\n  required_providers {{\n    {name} = {{ source = \"{source}\" }}\n  }}\n}}\n")
}

/// A run of Terraform that has ended.
#[derive(Debug)]
pub struct Run {
    what: String,
    /// With what it ended.
    pub status: ExitStatus,
    /// What it said.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "terraform {}: {}\n{}\n{}",
            self.what, self.status, self.stdout, self.stderr
        )
    }
}

impl Run {
    /// That it succeeded.
    pub fn succeeds(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// That it failed; its errors on one line, without the box Terraform draws around them.
    pub fn fails(self) -> String {
        assert!(!self.status.success(), "expected a failure: {self}");
        let lines = self
            .stderr
            .lines()
            .map(|line| line.trim_start_matches(['│', '╷', '╵', ' ']).trim());
        lines
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Its output as JSON.
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self}"))
    }
}

/// A run of Terraform that goes on.
pub struct Running {
    what: String,
    child: Child,
}

impl Running {
    /// Presses Ctrl-C: Terraform sends `StopProvider` and waits for what the provider reached.
    pub fn interrupt(&self) {
        kill(self.id(), Signal::SIGINT).expect("it is ours");
    }

    /// Presses Ctrl-C and waits for the end; how long that took.
    pub async fn interrupted(self) -> (Duration, Run) {
        let pressed = Instant::now();
        self.interrupt();
        let run = self.end().await;
        (pressed.elapsed(), run)
    }

    /// Kills Terraform and every provider it has started, at once and without warning.
    pub fn kill(&self) {
        // It leads a process group, in which its providers are.
        killpg(self.id(), Signal::SIGKILL).expect("it is ours");
    }

    fn id(&self) -> Pid {
        let id = self.child.id().expect("nobody has waited for its end");
        Pid::from_raw(i32::try_from(id).expect("a process id"))
    }

    /// Waits for its end.
    pub async fn end(self) -> Run {
        let output = timeout(PATIENCE, self.child.wait_with_output()).await;
        let output = output
            .unwrap_or_else(|_| panic!("terraform {}: no end", self.what))
            .expect("terraform ends");
        Run {
            what: self.what,
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// That what `once` interrupts ends within `limit`, in one of three times: a machine that is busy with other tests may be slow
/// once. None may take half a minute.
pub async fn ends_within(limit: Duration, mut once: impl AsyncFnMut() -> Duration) {
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let took = once().await;
        assert!(took < Duration::from_secs(30), "{took:?}");
        fastest = fastest.min(took);
        if fastest <= limit {
            return;
        }
    }
    panic!("the fastest of three took {fastest:?}, more than {limit:?}");
}

/// What is promised of a Ctrl-C during a wait: Terraform's own end included.
pub const INTERRUPTED_WITHIN: Duration = Duration::from_secs(2);

/// A plan.
#[derive(Debug)]
pub struct Plan {
    /// As `terraform show -json` has it.
    pub json: Json,
    /// As people read it.
    pub text: String,
    /// Whether it changes anything.
    pub changes: bool,
}

impl Plan {
    /// What is done to the resource at `address`: `["no-op"]`, `["create"]`, `["update"]`, `["delete",
    /// "create"]`, …
    pub fn actions(&self, address: &str) -> Vec<String> {
        let actions = self.change(address)["actions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        actions
            .iter()
            .filter_map(|action| action.as_str().map(str::to_owned))
            .collect()
    }

    /// The planned change of the resource at `address`: `before`, `after`, `after_unknown`, `replace_paths`
    /// and so on.
    pub fn change(&self, address: &str) -> &Json {
        let changes = self.json["resource_changes"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let found = changes.iter().find(|change| change["address"] == address);
        found.map_or(&Json::Null, |change| &change["change"])
    }

    /// The names of attributes of the resource at `address` that are known only after apply.
    pub fn unknown(&self, address: &str) -> Vec<String> {
        let unknown = self.change(address)["after_unknown"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        unknown
            .into_iter()
            .filter(|(_, unknown)| *unknown == Json::Bool(true))
            .map(|(name, _)| name)
            .collect()
    }
}

/// A state.
#[derive(Debug)]
pub struct State {
    /// As `terraform show -json` has it.
    pub json: Json,
}

impl State {
    /// The resource at `address` in the root module, with `values`, `tainted` and so on; null if there is
    /// none.
    pub fn resource(&self, address: &str) -> &Json {
        let resources = self.json["values"]["root_module"]["resources"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        resources
            .iter()
            .find(|resource| resource["address"] == address)
            .unwrap_or(&Json::Null)
    }

    /// An attribute of the resource at `address`.
    pub fn attribute(&self, address: &str, name: &str) -> &Json {
        &self.resource(address)["values"][name]
    }

    /// Whether the next plan replaces the resource at `address`.
    pub fn is_tainted(&self, address: &str) -> bool {
        self.resource(address)["tainted"] == true
    }

    /// An output of the root module.
    pub fn output(&self, name: &str) -> &Json {
        &self.json["values"]["outputs"][name]["value"]
    }
}
