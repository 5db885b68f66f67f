//! `INIT_SCRIPT`: run by a shell before the delegate registers. Its failure stops the start; its output goes to the
//! delegate's own log, and nowhere else.

use std::io::Write as _;
use std::path::Path;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::process::{Command, Environment, Exit, Line, LineSink, Reason, Stream};

/// What runs a script that is not told otherwise, best first.
const SHELLS: [&str; 2] = ["bash", "sh"];

/// Runs the script to its end.
///
/// # Errors
/// A sentence fragment that reads well after "INIT_SCRIPT".
pub(super) async fn run(
    script: &str,
    shell: Option<&Path>,
    working_dir: &Path,
    cancel: &CancellationToken,
) -> Result<(), String> {
    let environment = Environment::of_this_process(&[]);
    let shell = shell
        .map(Path::to_path_buf)
        .or_else(|| SHELLS.iter().find_map(|shell| environment.find_program(shell)))
        .ok_or_else(|| {
            format!(
                "needs a shell: install one of {}, or set DELEGATE_SHELL",
                SHELLS.join(", ")
            )
        })?;
    let unwritable =
        |error: std::io::Error| format!("could not be written to {}: {error}", working_dir.display());
    // A file, so that commands of the script that read their standard input do not eat the script.
    let mut file = tempfile::Builder::new()
        .prefix("init-script-")
        .tempfile_in(working_dir)
        .map_err(unwritable)?;
    file.write_all(script.as_bytes()).map_err(unwritable)?;
    info!("INIT_SCRIPT runs");
    let exit = Command::new(shell, environment)
        .arg(file.path())
        .current_dir(working_dir)
        .run(cancel, &mut OwnLog)
        .await
        .map_err(|error| format!("could not be run: {}", crate::protocol::http::chain(&error)))?;
    match exit {
        exit if exit.success() => Ok(()),
        Exit {
            reason: Reason::Aborted,
            ..
        } => Err("was ended because the delegate was stopped".to_owned()),
        exit => Err(format!(
            "failed with exit code {}; its output is above. Correct it, or remove it, and start again",
            exit.code()
        )),
    }
}

/// The delegate's own log.
struct OwnLog;

#[async_trait]
impl LineSink for OwnLog {
    async fn write(&mut self, lines: Vec<Line>) {
        for line in lines {
            match line.stream {
                Stream::Stdout => info!(target: "delegate_core::init_script", "{}", line.text),
                Stream::Stderr => warn!(target: "delegate_core::init_script", "{}", line.text),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn outcome(script: &str) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        run(script, None, dir.path(), &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn a_script_that_fails_says_how() {
        outcome("test -w .").await.unwrap();
        let reason = outcome("echo no; exit 7").await.unwrap_err();
        assert!(reason.contains("exit code 7"), "{reason}");
    }

    #[tokio::test]
    async fn a_stop_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        cancel.cancel();
        let reason = run("sleep 600", None, dir.path(), &cancel).await.unwrap_err();
        assert!(reason.contains("stopped"), "{reason}");
    }

    /// What ends the processes of a script must not find those of the delegate next to it.
    #[tokio::test]
    async fn a_stop_leaves_the_script_of_another_delegate_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (started, go_on) = (dir.path().join("started"), dir.path().join("go-on"));
        let script = format!(
            "touch {}; until [ -e {} ]; do sleep 0.01; done",
            started.display(),
            go_on.display()
        );
        let never = CancellationToken::new();
        let neighbour = run(&script, None, dir.path(), &never);
        let stopped = async {
            while !started.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            let cancel = CancellationToken::new();
            cancel.cancel();
            run("sleep 600", None, dir.path(), &cancel).await.unwrap_err();
            std::fs::write(&go_on, "").unwrap();
        };
        let (neighbour, ()) = tokio::join!(neighbour, stopped);
        neighbour.unwrap();
    }
}
