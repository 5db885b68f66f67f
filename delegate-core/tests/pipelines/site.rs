//! A manager and two delegates with different tags.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use delegate_core::protocol::http::Http;
use delegate_core::task::Registry;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::program::program;
use crate::support::real_manager::{API_KEY, RealManager};
use crate::support::{PATIENCE, Running, TOKEN};

/// Whoever talks to a manager.
pub(crate) struct Caller {
    pub(crate) url: String,
    client: Client,
}

/// A manager in the test, and two delegates: `one` has the tag `linux`, `two` has `linux` and `prod`.
pub(crate) struct Site {
    pub(crate) caller: Caller,
    _manager: RealManager,
    _agents: [Running; 2],
}

impl Site {
    pub(crate) async fn start() -> Self {
        let manager = RealManager::start().await;
        Self {
            caller: Caller::new(&manager.url),
            _agents: [
                agent(&manager.url, "one", &["linux"]),
                agent(&manager.url, "two", &["linux", "prod"]),
            ],
            _manager: manager,
        }
    }
}

/// A delegate that runs inside the test.
pub(crate) fn agent(manager: &str, name: &str, tags: &[&str]) -> Running {
    Running::start(manager, Registry::standard(), |config| {
        config.name = name.parse().unwrap();
        config.tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    })
}

/// A manager as a process of its own, killed when dropped.
pub(crate) struct ManagerProgram {
    child: std::process::Child,
    pub(crate) address: SocketAddr,
}

impl ManagerProgram {
    pub(crate) fn start(dir: &Path, listen: &str) -> Self {
        use std::io::BufRead as _;
        let mut command = program(&[
            ("MANAGER_ACCOUNT_ID", "acc"),
            ("MANAGER_DELEGATE_TOKEN", TOKEN),
            ("MANAGER_API_KEY", API_KEY),
        ]);
        command
            .args(["manager", "--listen", listen, "--data-dir"])
            .arg(dir);
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .find_map(|line| Some(line.unwrap().strip_prefix("MANAGER_URL=http://")?.to_owned()))
            .unwrap();
        let address = url.parse().unwrap();
        Self { child, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for ManagerProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Caller {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: Http::default().for_url(&url.parse().unwrap()).unwrap(),
        }
    }

    /// Asks; the reply may say no. The path is below `/api/v1`.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self
            .client
            .request(method, format!("{}/api/v1{path}", self.url))
            .header("x-api-key", API_KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Asks, and gets what it asks for.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, reply) = self.ask(method, path, body).await;
        assert!(status < 300, "{path}: {status} {reply}");
        reply
    }

    /// Starts a run; gives its id.
    pub(crate) async fn start(&self, file: &str, variables: Value) -> String {
        let body = json!({"file": file, "variables": variables});
        let (status, run) = self.ask(Method::POST, "/pipelines", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED.as_u16(), "{run}");
        run["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn run(&self, id: &str) -> Value {
        self.call(Method::GET, &format!("/pipelines/{id}"), None).await
    }

    /// The run once something holds of it; waits as the API lets one wait.
    pub(crate) async fn until(&self, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut run = self.run(id).await;
        let look = async {
            while !holds(&run) {
                assert_ne!(run["cursor"], "over", "it never came to that: {run:#}");
                let after = run["cursor"].as_str().unwrap();
                let path = format!("/pipelines/{id}?wait_ms=25000&after={after}");
                run = self.call(Method::GET, &path, None).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, look).await;
        assert!(came.is_ok(), "it does not come to that: {:#}", self.run(id).await);
        run
    }

    /// The run once it is over.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        self.until(id, |run| run["status"] != "RUNNING").await
    }

    /// Says something to a step, and gets the run.
    pub(crate) async fn say(&self, id: &str, step: &str, what: &str, body: Value) -> (u16, Value) {
        let path = format!("/pipelines/{id}/steps/{step}/{what}");
        self.ask(Method::POST, &path, Some(body)).await
    }
}

/// The node at a path of a run.
pub(crate) fn node<'r>(run: &'r Value, path: &str) -> &'r Value {
    fn find<'n>(node: &'n Value, path: &str) -> Option<&'n Value> {
        if node["path"] == path {
            return Some(node);
        }
        node["children"]
            .as_array()?
            .iter()
            .find_map(|child| find(child, path))
    }
    find(&run["tree"], path).unwrap_or_else(|| panic!("no {path} in {run:#}"))
}

/// Whether there is a node at a path, with this status.
pub(crate) fn is(run: &Value, path: &str, status: &str) -> bool {
    let text = run.to_string();
    text.contains(&format!("\"path\":\"{path}\"")) && node(run, path)["status"] == status
}

/// Paths and statuses of every node, in order.
pub(crate) fn statuses(run: &Value) -> Vec<String> {
    fn add(node: &Value, into: &mut Vec<String>) {
        let (path, status) = (&node["path"], &node["status"]);
        into.push(format!("{} {}", path.as_str().unwrap(), status.as_str().unwrap()));
        for child in node["children"].as_array().unwrap() {
            add(child, into);
        }
    }
    let mut all = Vec::new();
    add(&run["tree"], &mut all);
    all
}

/// Waits until a file has so many lines.
pub(crate) async fn lines(file: &Path, count: usize) {
    let look = async {
        while std::fs::read_to_string(file).unwrap_or_default().lines().count() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .unwrap_or_else(|_| panic!("{} never has {count} lines", file.display()));
}
