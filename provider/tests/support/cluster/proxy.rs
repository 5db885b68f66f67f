//! A way to the API server that counts.

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::Cluster;
use crate::terraform::PATIENCE;

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
