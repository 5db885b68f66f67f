//! What the subjects share: a folder, a manager that runs in it, and looks at a process's memory.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use delegate_core::protocol::http::{Http, HttpSettings};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use crate::{Outcome, Programs};

/// Longer than anything takes; reached only by a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A manager on the loopback, and a folder for everything else.
pub(crate) struct Site {
    folder: TempDir,
    /// Both programs, by links of their own names: beside them, a build leaves files that Terraform takes for providers.
    pub(crate) programs: PathBuf,
    pub(crate) url: Url,
    pub(crate) account_id: String,
    pub(crate) token: String,
    api_key: String,
    http: Http,
    manager: Child,
}

impl Site {
    pub(crate) async fn start(programs: &Programs) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("bench").tempdir()?;
        let links = folder.path().join("programs");
        std::fs::create_dir(&links)?;
        std::fs::copy(&programs.provider, links.join("terraform-provider-harness"))?;
        std::fs::copy(&programs.delegate, links.join("harness-delegate"))?;
        let log = std::fs::File::create(folder.path().join("manager.log"))?;
        let mut manager = Command::new(&programs.delegate)
            .args(["manager", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("manager"))
            .envs(std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(manager.stdout.take().ok_or("no pipe")?).lines();
        let (mut account_id, mut token, mut api_key) = (None, None, None);
        let url = loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line())
                .await?
                .map_err(|error| format!("the manager: {error}"))?
                .ok_or_else(|| format!("the manager did not start: {}", log_of(folder.path())))?;
            match line.split_once('=') {
                Some(("MANAGER_ACCOUNT_ID", value)) => account_id = Some(value.to_owned()),
                Some(("MANAGER_DELEGATE_TOKEN", value)) => token = Some(value.to_owned()),
                Some(("MANAGER_API_KEY", value)) => api_key = Some(value.to_owned()),
                Some(("MANAGER_URL", value)) => break value.parse()?,
                _ => {}
            }
        };
        Ok(Self {
            programs: links,
            folder,
            url,
            account_id: account_id.ok_or("the manager named no account")?,
            token: token.ok_or("the manager named no token")?,
            api_key: api_key.ok_or("the manager named no API key")?,
            http: Http::new(HttpSettings::default()),
            manager,
        })
    }

    /// A new folder.
    pub(crate) fn subfolder(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// `GET` of the manager's own API; `path` begins with a slash.
    pub(crate) async fn get(&self, path: &str) -> Outcome<Value> {
        let url = self.api(path)?;
        let request = self
            .http
            .for_url(&url)?
            .get(url)
            .header("x-api-key", &self.api_key);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// `POST` of the manager's own API.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        let url = self.api(path)?;
        let request = self
            .http
            .for_url(&url)?
            .post(url)
            .header("x-api-key", &self.api_key);
        Ok(request
            .json(body)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }

    /// Reads a stream of events to its end.
    pub(crate) async fn follow(&self, path: &str) -> Outcome<()> {
        let url = self.api(path)?;
        let request = self
            .http
            .for_url(&url)?
            .get(url)
            .header("x-api-key", &self.api_key);
        request.send().await?.error_for_status()?.bytes().await?;
        Ok(())
    }

    fn api(&self, path: &str) -> Outcome<Url> {
        Ok(self.url.join(&format!("/api/v1{path}"))?)
    }

    /// The command of an agent that registers at `manager`, in a folder of its own.
    pub(crate) fn agent(&self, name: &str, manager: &Url) -> Outcome<Command> {
        let folder = self.subfolder(name)?;
        let log = std::fs::File::create(folder.join("agent.log"))?;
        let mut command = Command::new(self.programs.join("harness-delegate"));
        command
            .arg("run")
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"))
            .env("DELEGATE_NAME", name)
            .env("DELEGATE_TYPE", "DOCKER")
            .env("NEXT_GEN", "true")
            .env("ACCOUNT_ID", &self.account_id)
            .env("DELEGATE_TOKEN", &self.token)
            .env("MANAGER_HOST_AND_PORT", manager.as_str())
            .env("WORKING_DIR", folder.join("work"))
            .env("DELEGATE_HTTP_HOST", "127.0.0.1")
            .env("DELEGATE_HTTP_PORT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }

    /// Waits until the manager sees these delegates connected.
    pub(crate) async fn connected(&self, names: &[String]) -> Outcome<()> {
        let all = async {
            loop {
                let list = self.get("/delegates").await?;
                let is_connected = |name: &String| {
                    list["delegates"].as_array().is_some_and(|delegates| {
                        delegates
                            .iter()
                            .any(|delegate| delegate["name"] == **name && delegate["connected"] == true)
                    })
                };
                if names.iter().all(is_connected) {
                    return Outcome::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all)
            .await
            .map_err(|_| format!("not connected in time: {names:?}"))?
    }

    pub(crate) async fn stop(mut self) -> Outcome<()> {
        terminate(&mut self.manager).await
    }
}

fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("manager.log")).unwrap_or_default()
}

/// Asks a process to end, and waits for it.
pub(crate) async fn terminate(child: &mut Child) -> Outcome<()> {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .ok_or("it ended by itself")?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
    tokio::time::timeout(PATIENCE, child.wait()).await??;
    Ok(())
}

/// The most that a process has held so far, in bytes.
pub(crate) fn peak(pid: u32) -> Outcome<u64> {
    status(pid, "VmHWM:")
}

/// What a process holds, in bytes.
pub(crate) struct Memory {
    pub(crate) rss: u64,
    pub(crate) anon: u64,
}

pub(crate) fn memory(pid: u32) -> Outcome<Memory> {
    Ok(Memory {
        rss: status(pid, "VmRSS:")?,
        anon: status(pid, "RssAnon:")?,
    })
}

/// An amount that the kernel tells of a process, in bytes.
fn status(pid: u32, name: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .ok_or("no such field")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}
