//! The real `harness-delegate` program, run by a test.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::{PATIENCE, TOKEN};

/// The program that was built with the tests.
pub(crate) const BUILT_HERE: &str = env!("CARGO_BIN_EXE_harness-delegate");

/// The program with an empty environment, and this many settings.
pub(crate) fn program(vars: &[(&str, &str)]) -> Command {
    program_of(Path::new(BUILT_HERE), vars)
}

/// The same of a program that was built elsewhere.
pub(crate) fn program_of(program: &Path, vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.envs(vars.iter().copied());
    command
}

/// A command that runs the agent for a manager, in a directory.
pub(crate) fn run(manager: &str, dir: &Path) -> Command {
    run_of(Path::new(BUILT_HERE), manager, dir)
}

/// The same of a program that was built elsewhere.
pub(crate) fn run_of(program: &Path, manager: &str, dir: &Path) -> Command {
    let mut command = program_of(
        program,
        &[
            ("ACCOUNT_ID", "acc"),
            ("DELEGATE_NAME", "tested"),
            ("DELEGATE_TOKEN", TOKEN),
            ("MANAGER_HOST_AND_PORT", manager),
            ("DELEGATE_HTTP_HOST", "127.0.0.1"),
            ("DELEGATE_HTTP_PORT", "0"),
        ],
    );
    command.env("WORKING_DIR", dir).arg("run");
    command
}

/// What it printed and how it ended.
pub(crate) async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap())
        .await
        .unwrap()
}

/// A running program; killed when dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// What it prints, where that was piped.
    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.0.stdout.take()
    }

    /// What it says, where that was piped.
    pub(crate) fn stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.0.stderr.take()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> ExitStatus {
        let waited = tokio::task::spawn_blocking(move || {
            let status = self.0.wait().unwrap();
            drop(self);
            status
        });
        tokio::time::timeout(PATIENCE, waited)
            .await
            .expect("the program did not end")
            .unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is true that nobody announces, looking at it often.
pub(crate) async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let look = async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
