//! A way to the API server on which every request is counted: the proxy of `kubectl`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Outcome;
use crate::site::{PATIENCE, Site};

pub(crate) struct CountingProxy {
    pub(crate) url: String,
    log: PathBuf,
    child: Child,
}

impl CountingProxy {
    pub(crate) async fn start(site: &Site, kubeconfig: &OsStr) -> Outcome<Self> {
        let log = site.subfolder("proxy")?.join("log");
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["proxy", "--port=0", "-v=6"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
        let line = line.ok_or("the proxy ended")?;
        let address = line.rsplit(' ').next().unwrap_or_default();
        Ok(Self {
            url: format!("http://{address}"),
            log,
            child,
        })
    }

    /// How many requests have been answered since it began.
    pub(crate) fn count(&self) -> Outcome<usize> {
        let text = std::fs::read_to_string(&self.log)?;
        let is_request = |line: &&str| line.contains("round_trippers.go:") && line.contains(" https://");
        Ok(text.lines().filter(is_request).count())
    }

    pub(crate) async fn stop(mut self) -> Outcome<()> {
        Ok(self.child.kill().await?)
    }
}
