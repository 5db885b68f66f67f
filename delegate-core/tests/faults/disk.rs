//! A full disk under the real program: its working directory is a small file system in a mount namespace of its own.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::json;

use super::support::Watchdog;
use super::support::manager_double::{ManagerDouble, Route};
use super::support::program::{Running, run};

/// Why there can be no such namespace, if so.
fn obstacle() -> Option<String> {
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]);
    match probe.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

/// The agent on a disk of 256 KiB; what it says goes to a file.
fn on_small_disk(manager: &str, dir: &Path, said: &Path) -> Running {
    let plain = run(manager, dir);
    let mut command = Command::new("unshare");
    command.env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let script = "mount -t tmpfs -o size=256k tmpfs \"$WORKING_DIR\" && exec \"$0\" run";
    command
        .args(["--mount", "sh", "-c", script])
        .arg(plain.get_program())
        .stderr(File::create(said).unwrap());
    Running::start(command)
}

/// Fills the disk of an agent: the file that does it, by its name in the agent's namespace.
fn fill(agent: &Running, home: &Path) -> String {
    let filler = format!("/proc/{}/root{}/filler", agent.id(), home.display());
    let mut file = File::create(&filler).unwrap();
    let full = std::iter::repeat_with(|| file.write_all(&[0; 4096])).find_map(Result::err);
    assert_eq!(full.unwrap().kind(), std::io::ErrorKind::StorageFull);
    filler
}

#[tokio::test]
async fn on_a_full_disk_no_task_is_taken_and_none_is_lost() {
    if let Some(why) = obstacle() {
        println!("SKIPPED: no file system can be mounted in a namespace: {why}");
        return;
    }
    let _watchdog = Watchdog::start("full disk");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let (home, counter) = (dir.path().join("home"), dir.path().join("counter"));
    std::fs::create_dir(&home).unwrap();
    let agent = on_small_disk(&manager.url, &home, &dir.path().join("said"));
    manager.called(Route::TaskEvents, 1).await;
    let filler = fill(&agent, &home);

    let script = format!("echo ran >> '{}'", counter.display());
    manager.offer("t", "SHELL_SCRIPT", json!({"shell": "sh", "script": script}));
    let polls = manager.calls(Route::TaskEvents).len();
    manager.called(Route::TaskEvents, polls + 4).await;
    assert_eq!(
        manager.calls(Route::Acquire).len(),
        0,
        "what cannot be noted is not taken"
    );
    assert!(!counter.exists() && manager.answers("t").is_empty());

    std::fs::remove_file(&filler).unwrap();
    let answer = manager.answered("t").await;
    assert_eq!(answer["data"]["command_execution_status"], "SUCCESS", "{answer}");
    assert_eq!(std::fs::read_to_string(&counter).unwrap(), "ran\n", "and once");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end().await.code(), Some(0));
}

#[tokio::test]
async fn on_a_full_disk_a_log_waits_in_memory_and_comes_whole() {
    if let Some(why) = obstacle() {
        println!("SKIPPED: no file system can be mounted in a namespace: {why}");
        return;
    }
    let _watchdog = Watchdog::start("log on a full disk");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let (home, gate, said) = (
        dir.path().join("home"),
        dir.path().join("gate"),
        dir.path().join("said"),
    );
    std::fs::create_dir(&home).unwrap();
    let agent = on_small_disk(&manager.url, &home, &said);
    // More than fits into what the file has of the disk already.
    let script = format!(
        "echo begun; until [ -e '{}' ]; do sleep 0.05; done; n=0; \
         while [ $n -lt 200 ]; do echo \"line $n of a log that waits\"; n=$((n+1)); done",
        gate.display()
    );
    manager.offer("t", "SHELL_SCRIPT", json!({"shell": "sh", "script": script}));
    manager.called(Route::LogAppend, 1).await;
    let filler = fill(&agent, &home);
    std::fs::write(&gate, "").unwrap();
    let answer = manager.answered("t").await;
    assert_eq!(answer["data"]["command_execution_status"], "SUCCESS", "{answer}");
    manager.called(Route::LogClose, 1).await;
    let lines: String = (0..200)
        .map(|n| format!("line {n} of a log that waits\n"))
        .collect();
    assert_eq!(manager.log_text(), format!("begun\n{lines}"));
    let said = std::fs::read_to_string(&said).unwrap();
    assert!(said.contains("cannot be kept on disk"), "{said}");
    std::fs::remove_file(&filler).unwrap();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end().await.code(), Some(0));
}
