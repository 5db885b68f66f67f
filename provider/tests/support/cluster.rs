//! A real Kubernetes cluster for a test: a namespace of its own, a manager that pods can reach, Helm, and what a crash
//! or a stranger would do to them.
//!
//! ```ignore
//! let Some(site) = Site::new("create").await else { return };     // prints "SKIPPED: …" without a cluster
//! site.config().set("replicas", "2").write(&site);
//! site.terraform.apply().await.succeeds();
//! ```
//!
//! The cluster is the one of `HARNESS_TEST_KUBECONFIG` and no other; `HARNESS_TEST_IMAGE` names an image of the delegate that
//! its nodes have. A [`Site`] removes its namespace when it is dropped, also when the test failed.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::terraform::{PATIENCE, Run, Terraform};

pub const SOURCE: &str = "terraform.local/harness/harness";
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-harness");
/// The resource of [`Config`].
pub const THIS: &str = "harness_delegate.this";
const ACCOUNT: &str = "acceptance";

/// Sites at a time: the cluster, its pods and Terraform share the machine with the build of other tests.
static TURNS: Semaphore = Semaphore::const_new(4);

/// The cluster that was named for tests.
#[derive(Clone)]
pub struct Cluster {
    pub kubeconfig: PathBuf,
    pub image: String,
}

impl Cluster {
    fn here() -> Option<Self> {
        let variable = |name: &str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            if value.is_none() {
                eprintln!("SKIPPED: {name} is not set");
            }
            value
        };
        Some(Self {
            kubeconfig: variable("HARNESS_TEST_KUBECONFIG")?.into(),
            image: variable("HARNESS_TEST_IMAGE")?,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .kill_on_drop(true);
        command
    }

    /// What `kubectl` answers, or what it complains about.
    pub async fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self
            .command(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("kubectl runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr))
        }
    }

    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        let answer = self.try_kubectl(arguments).await;
        answer.unwrap_or_else(|problem| panic!("kubectl {arguments:?}: {problem}"))
    }

    pub async fn get(&self, arguments: &[&str]) -> Json {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.kubectl(&all).await).expect("kubectl writes JSON")
    }

    /// Creates or replaces an object.
    pub async fn put(&self, object: &Json) {
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=somebody",
            "-f",
            "-",
        ];
        let mut child = self
            .command(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin
            .write_all(object.to_string().as_bytes())
            .await
            .expect("kubectl reads");
        drop(stdin);
        let output = child.wait_with_output().await.expect("kubectl ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub async fn has_namespace(&self, name: &str) -> bool {
        !self
            .kubectl(&["get", "namespace", name, "--ignore-not-found", "-o", "name"])
            .await
            .is_empty()
    }
}

/// Removes a namespace, and whatever of the cluster was made for it, at the end.
struct Cleanup {
    cluster: Cluster,
    namespaces: Vec<String>,
    name: String,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let kubectl = |arguments: &[&str]| {
            let _ = std::process::Command::new("kubectl")
                .arg("--kubeconfig")
                .arg(&self.cluster.kubeconfig)
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        };
        for namespace in &self.namespaces {
            // The manager is gone by now: a delegate with something left to report would wait for it until its time is over.
            kubectl(&[
                "delete",
                "pods",
                "--namespace",
                namespace,
                "--all",
                "--force",
                "--grace-period=0",
                "--wait=false",
            ]);
            kubectl(&[
                "delete",
                "namespace",
                namespace,
                "--ignore-not-found",
                "--wait=false",
            ]);
        }
        kubectl(&[
            "delete",
            "clusterrolebinding",
            &format!("{}-cluster-admin", self.name),
            &format!("{}-cluster-viewer", self.name),
            "--ignore-not-found",
            "--wait=false",
        ]);
    }
}

/// Everything one test needs.
pub struct Site {
    pub terraform: Terraform,
    pub manager: Manager,
    pub cluster: Cluster,
    /// Name of the delegate, and of the release.
    pub name: String,
    /// Namespace of the release; not there yet.
    pub namespace: String,
    pub helm: PathBuf,
    cleanup: Cleanup,
    _turn: SemaphorePermit<'static>,
}

impl Site {
    /// A site with Helm 3.
    pub async fn new(label: &str) -> Option<Self> {
        Self::with_helm(label, 3).await
    }

    pub async fn with_helm(label: &str, major: u32) -> Option<Self> {
        let Some(helm) = helm(major) else {
            eprintln!(
                "SKIPPED: there is no Helm {major}, neither on the PATH nor in the cache of scripts/setup"
            );
            return None;
        };
        Self::with_program(label, helm).await
    }

    /// A site with no Helm at all.
    pub async fn without_helm(label: &str) -> Option<Self> {
        Self::with_program(label, "/nonexistent/helm".into()).await
    }

    async fn with_program(label: &str, helm: PathBuf) -> Option<Self> {
        let cluster = Cluster::here()?;
        let terraform = Terraform::here().await?;
        let turn = TURNS.acquire().await.expect("never closed");
        let name = format!("{label}-{:08x}", fastrand::u32(..));
        let namespace = format!("test-{name}");
        let manager = Manager::start().await;
        let terraform = terraform
            .installed(SOURCE, Path::new(PROGRAM))
            .env("TF_VAR_token", &manager.token)
            // Helm keeps its caches apart from the user's.
            .env("HELM_CACHE_HOME", std::env::temp_dir().join("helm-cache"));
        let cleanup = Cleanup {
            cluster: cluster.clone(),
            namespaces: vec![namespace.clone()],
            name: name.clone(),
        };
        Some(Self {
            terraform,
            manager,
            cluster,
            name,
            namespace,
            helm,
            cleanup,
            _turn: turn,
        })
    }

    /// A release with the arguments that every test needs.
    pub fn config(&self) -> Config {
        let quoted = |text: &str| json!(text).to_string();
        let config = self
            .config_of("helm")
            .provider("helm_binary", quoted(&self.helm.display().to_string()))
            .helm("namespace", quoted(&self.namespace));
        config.values("minReadySeconds: 0")
    }

    /// The same as plain objects.
    pub fn manifest_config(&self) -> Config {
        self.config_of("manifest")
            .manifest("namespace", json!(self.namespace).to_string())
    }

    fn config_of(&self, mode: &'static str) -> Config {
        let quoted = |text: &str| json!(text).to_string();
        let config = Config {
            provider: BTreeMap::new(),
            arguments: BTreeMap::new(),
            mode: (mode, BTreeMap::new()),
            more: String::new(),
        };
        config
            .provider("endpoint", quoted(&self.manager.url))
            .provider("account_id", quoted(ACCOUNT))
            .provider(
                "kubernetes",
                format!(
                    "{{ config_path = {} }}",
                    quoted(&self.cluster.kubeconfig.display().to_string())
                ),
            )
            .set("name", quoted(&self.name))
            .set("image", quoted(&self.cluster.image))
            .set("token_wo", "var.token")
            .set("token_wo_version", "1")
            .set("wait", r#"{ timeout = "90s" }"#)
    }

    /// Writes the configuration and applies it.
    pub async fn apply(&self, config: &Config) -> Run {
        config.write(self);
        self.terraform.apply().await
    }

    /// Also removes this namespace at the end.
    pub fn also_remove(&mut self, namespace: &str) {
        self.cleanup.namespaces.push(namespace.to_owned());
    }

    /// An attribute of the delegate in the state.
    pub async fn attribute(&self, name: &str) -> Json {
        self.terraform.state().await.attribute(THIS, name).clone()
    }

    /// `kubectl` in the namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(arguments);
        self.cluster.kubectl(&all).await
    }

    pub async fn get(&self, arguments: &[&str]) -> Json {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(arguments);
        self.cluster.get(&all).await
    }

    /// What people and programs wrote of the objects, without what the cluster's own controllers add in their time.
    pub async fn written(&self, kinds: &str) -> Json {
        let mut list = self.get(&[kinds]).await;
        let items = list["items"].as_array_mut().expect("a list");
        let theirs = |item: &Json| {
            item["metadata"]["name"] == "kube-root-ca.crt" || item["metadata"]["name"] == "default"
        };
        items.retain(|item| !theirs(item));
        for item in items {
            let object = item.as_object_mut().expect("an object");
            object.remove("status");
            let metadata = object["metadata"].as_object_mut().expect("an object");
            metadata.remove("resourceVersion");
            if let Some(notes) = metadata.get_mut("annotations").and_then(Json::as_object_mut) {
                notes.remove("deployment.kubernetes.io/revision");
                if notes.is_empty() {
                    metadata.remove("annotations");
                }
            }
        }
        list
    }

    /// Names of the pods that stay, with their images and readiness.
    pub async fn pods(&self) -> Vec<(String, bool)> {
        let pods = self.get(&["pods"]).await;
        let staying = pods["items"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let ready = |pod: &Json| {
            let conditions = pod["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            conditions
                .iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        staying
            .map(|pod| {
                (
                    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                    ready(pod),
                )
            })
            .collect()
    }

    /// Everything in the namespace that somebody made, as `kind/name`.
    pub async fn objects(&self) -> BTreeSet<String> {
        const KINDS: &str =
            "deployment,replicaset,pod,configmap,secret,serviceaccount,role,rolebinding,service,cronjob,job";
        let found = self
            .kubectl(&["get", KINDS, "-o", "name", "--ignore-not-found"])
            .await;
        let made = |line: &&str| !matches!(*line, "configmap/kube-root-ca.crt" | "serviceaccount/default");
        found.lines().filter(made).map(str::to_owned).collect()
    }

    /// The drift that a plan sees.
    pub async fn drift(&self) -> Vec<String> {
        let plan = self.terraform.plan(&[]).await;
        let lines = plan.change(THIS)["before"]["drift"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert_eq!(plan.changes, !lines.is_empty(), "{}", plan.text);
        lines
            .iter()
            .filter_map(|line| line.as_str().map(str::to_owned))
            .collect()
    }

    /// Runs the `helm` of this site.
    pub async fn helm(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.helm)
            .args(arguments)
            .args(["--namespace", &self.namespace, "--kubeconfig"])
            .arg(&self.cluster.kubeconfig)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("helm runs");
        assert!(
            output.status.success(),
            "helm {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The revisions that Helm has of the release, with their status.
    pub async fn revisions(&self) -> Vec<(u64, String)> {
        let secrets = self
            .get(&["secrets", "-l", &format!("owner=helm,name={}", self.name)])
            .await;
        let mut revisions: Vec<(u64, String)> = secrets["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|secret| {
                let record = unpack(secret);
                let status = record["info"]["status"].as_str().unwrap_or_default().to_owned();
                (record["version"].as_u64().unwrap_or_default(), status)
            })
            .collect();
        revisions.sort_unstable();
        revisions
    }

    /// Writes the record `to` as a copy of the record `from` with another status, as a crash of Helm leaves it.
    pub async fn forge_revision(&self, from: u64, to: u64, status: &str, since: jiff::Timestamp) {
        let name = |revision: u64| format!("sh.helm.release.v1.{}.v{revision}", self.name);
        let secret = self.get(&["secret", &name(from)]).await;
        let mut record = unpack(&secret);
        record["version"] = json!(to);
        record["info"]["status"] = json!(status);
        record["info"]["last_deployed"] = json!(since.to_string());
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(record.to_string().as_bytes()).expect("memory");
        let inner = BASE64.encode(packed.finish().expect("memory"));
        let mut labels = secret["metadata"]["labels"].clone();
        labels["status"] = json!(status);
        labels["version"] = json!(to.to_string());
        self.cluster
            .put(&json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": name(to), "namespace": self.namespace, "labels": labels },
                "type": "helm.sh/release.v1",
                "data": { "release": BASE64.encode(inner) },
            }))
            .await;
    }

    /// All that Helm has kept of the release, unpacked.
    pub async fn records(&self) -> Vec<Json> {
        let secrets = self
            .get(&["secrets", "-l", &format!("owner=helm,name={}", self.name)])
            .await;
        secrets["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(unpack)
            .collect()
    }

    /// Runs a script as a task on the delegate; its result.
    pub async fn task(&self, script: &str) -> Json {
        self.manager.task(&self.name, script).await
    }
}

fn unpack(secret: &Json) -> Json {
    let outer = BASE64
        .decode(secret["data"]["release"].as_str().expect("a record"))
        .expect("base64");
    let packed = BASE64.decode(outer).expect("base64");
    let mut text = String::new();
    GzDecoder::new(packed.as_slice())
        .read_to_string(&mut text)
        .expect("gzip");
    serde_json::from_str(&text).expect("JSON")
}

/// A way to the API server on which every request is written down: the proxy of `kubectl`.
pub struct CountingProxy {
    pub url: String,
    log: PathBuf,
    child: Child,
    _directory: TempDir,
}

impl CountingProxy {
    pub async fn start(cluster: &Cluster) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let file = std::fs::File::create(&log).expect("a file");
        let mut child = cluster
            .command(&["proxy", "--port=0", "-v=6"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .expect("kubectl starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .expect("in time")
            .expect("readable")
            .expect("kubectl says where it serves");
        let address = line.rsplit(' ').next().expect("an address");
        Self {
            url: format!("http://{address}"),
            log,
            child,
            _directory: directory,
        }
    }

    /// The requests since the last call, as `VERB /path?query`.
    pub fn requests(&mut self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).expect("a log");
        std::fs::File::options()
            .write(true)
            .open(&self.log)
            .and_then(|file| file.set_len(0))
            .expect("a log");
        text.lines()
            .filter_map(|line| {
                let (_, request) = line.split_once("round_trippers.go:")?.1.split_once("] ")?;
                let (verb, url) = request.split_once(" https://")?;
                let (_, path) = url.split_once('/')?;
                Some(format!("{verb} /{}", path.split(' ').next()?))
            })
            .collect()
    }

    pub async fn stop(mut self) {
        self.child.kill().await.expect("it runs");
    }
}

/// A configuration of one delegate. Values are HCL expressions.
#[derive(Clone)]
pub struct Config {
    provider: BTreeMap<String, String>,
    arguments: BTreeMap<String, String>,
    /// The argument that says how it is installed, and its arguments.
    mode: (&'static str, BTreeMap<String, String>),
    more: String,
}

impl Config {
    #[must_use]
    pub fn provider(mut self, name: &str, value: impl Into<String>) -> Self {
        self.provider.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.arguments.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn unset(mut self, name: &str) -> Self {
        self.arguments.remove(name);
        self.provider.remove(name);
        self
    }

    #[must_use]
    pub fn helm(self, name: &str, value: impl Into<String>) -> Self {
        self.place("helm", name, value)
    }

    #[must_use]
    pub fn manifest(self, name: &str, value: impl Into<String>) -> Self {
        self.place("manifest", name, value)
    }

    fn place(mut self, mode: &'static str, name: &str, value: impl Into<String>) -> Self {
        assert_eq!(self.mode.0, mode, "a configuration has one mode");
        self.mode.1.insert(name.to_owned(), value.into());
        self
    }

    /// The one document of `helm.values`.
    #[must_use]
    pub fn values(self, yaml: &str) -> Self {
        self.helm("values", format!("[{}]", json!(yaml)))
    }

    /// Without this argument of `helm`.
    #[must_use]
    pub fn unset_helm(mut self, name: &str) -> Self {
        self.mode.1.remove(name);
        self
    }

    /// Further blocks.
    #[must_use]
    pub fn more(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self
    }

    pub fn write(&self, site: &Site) {
        let lines = |map: &BTreeMap<String, String>, indent: &str| {
            map.iter()
                .map(|(name, value)| format!("{indent}{name} = {value}\n"))
                .collect::<String>()
        };
        let text = format!(
            "variable \"token\" {{\n  type      = string\n  ephemeral = true\n  sensitive = true\n}}\n\n\
             provider \"harness\" {{\n{}}}\n\n\
             resource \"harness_delegate\" \"this\" {{\n{}  {} = {{\n{}  }}\n}}\n{}",
            lines(&self.provider, "  "),
            lines(&self.arguments, "  "),
            self.mode.0,
            lines(&self.mode.1, "    "),
            self.more,
        );
        site.terraform.write("main.tf", &text);
    }
}

/// A `helm` of this major version: `helm3` and `helm4` on the PATH, or as scripts/setup has put them.
pub fn helm(major: u32) -> Option<PathBuf> {
    let name = format!("helm{major}");
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = variable("HARNESS_DELEGATE_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("harness-delegate")))
        .or_else(|| Some(variable("HOME")?.join(".cache/harness-delegate")));
    let path = variable("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(cache.map(|cache| cache.join("bin")));
    folders
        .into_iter()
        .map(|folder| folder.join(&name))
        .find(|file| file.is_file())
}

/// A manager that the pods of the cluster can reach.
pub struct Manager {
    pub url: String,
    pub token: String,
    child: Child,
    api_key: String,
    program: PathBuf,
    _directory: TempDir,
}

impl Manager {
    pub async fn start() -> Self {
        let program = agent();
        let directory = tempfile::tempdir().expect("a directory");
        let hex = |digits: usize| (0..digits).map(|_| fastrand::digit(16)).collect::<String>();
        // As people have it: base64 of 32 hexadecimal characters.
        let token = BASE64.encode(hex(32));
        let api_key = format!("key-{}", hex(32));
        let address = std::env::var("HARNESS_TEST_HOST_ADDRESS").unwrap_or_else(|_| "10.244.0.1".to_owned());
        let mut child = Command::new(&program)
            .args(["manager", "--listen", &format!("{address}:0"), "--data-dir"])
            .arg(directory.path())
            .env("MANAGER_ACCOUNT_ID", ACCOUNT)
            .env("MANAGER_DELEGATE_TOKEN", &token)
            .env("MANAGER_API_KEY", &api_key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the manager starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let url = loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line())
                .await
                .expect("in time")
                .expect("readable");
            let line = line.expect("the manager says where it listens");
            if let Some(url) = line.strip_prefix("MANAGER_URL=") {
                break url.to_owned();
            }
        };
        Self {
            url,
            token,
            child,
            api_key,
            program,
            _directory: directory,
        }
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("HARNESS_ENDPOINT", &self.url)
            .env("HARNESS_PLATFORM_API_KEY", &self.api_key)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a verb of the manager's command line; what it printed.
    pub async fn say(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments).output().await.expect("the client runs");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out.into_owned()
    }

    /// Submits a script as a task to a delegate with this tag; the child ends with the task, and prints its result.
    pub fn submit(&self, selector: &str, script: &str) -> Child {
        let arguments = ["task", "run", "--selector", selector, "--script", script];
        let mut client = self.client(&arguments);
        client.stdout(Stdio::piped()).stderr(Stdio::piped());
        client.spawn().expect("the client runs")
    }

    /// Runs a script as a task on a delegate with this tag; its result.
    pub async fn task(&self, selector: &str, script: &str) -> Json {
        let arguments = [
            "task",
            "run",
            "--type",
            "SHELL_SCRIPT",
            "--selector",
            selector,
            "--timeout",
            "60s",
            "--script",
            script,
        ];
        serde_json::from_str(&self.say(&arguments).await).expect("a result")
    }

    /// Ends it without warning.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it runs");
    }
}

/// The program `harness-delegate`: of the release build when that is tested, else beside the provider.
pub fn agent() -> PathBuf {
    let beside = || Path::new(PROGRAM).parent().expect("a folder").to_owned();
    let folder = std::env::var_os("HARNESS_TEST_BIN_DIR").map_or_else(beside, PathBuf::from);
    let program = folder.join("harness-delegate");
    assert!(
        program.is_file(),
        "{} is missing; build it with: cargo build -p delegate-core",
        program.display()
    );
    program
}

/// Looks until it is so.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The processes of this machine whose command line contains all of `parts`, with their command lines.
pub fn processes(parts: &[&str]) -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let command_line = |pid: i32| {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(|pid| (pid, command_line(pid)))
        .filter(|(_, line)| parts.iter().all(|part| line.contains(part)))
        .collect()
}

/// Kills the Terraform of this site and all its descendants in one go, as a machine that loses its power does.
pub fn kill_tree(site: &Site) {
    let folder = site.terraform.path("");
    let ours =
        |pid: &i32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| folder.starts_with(cwd));
    let mut tree: Vec<i32> = processes(&["terraform", "-auto-approve"])
        .into_iter()
        .map(|(pid, _)| pid)
        .filter(ours)
        .collect();
    for at in 0.. {
        let Some(parent) = tree.get(at).copied() else {
            break;
        };
        // Stopped first, so that none gets to tidy up or to make another while the others are looked for.
        let _ = kill(Pid::from_raw(parent), Signal::SIGSTOP);
        for task in std::fs::read_dir(format!("/proc/{parent}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
            for child in children {
                if !tree.contains(&child) {
                    tree.push(child);
                }
            }
        }
    }
    for pid in tree {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}
