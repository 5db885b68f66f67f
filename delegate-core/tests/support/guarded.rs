//! A server that a test starts, and that ends with whoever started it, whatever way that ends.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Until it listens. Only a failing test takes it.
const PATIENCE: Duration = Duration::from_mins(2);

/// Starts the server, and ends it and itself when the standard input ends: it is held by whoever waits for no more.
const GUARD: &str = r#"exec 3<&0; "$@" </dev/null 2>&1 3<&- & cat <&3 >/dev/null; kill -s KILL 0"#;

/// Ended when dropped.
pub(crate) struct Guarded {
    server: Child,
    pub(crate) url: url::Url,
}

/// A program of the `PATH`, or one that `scripts/setup` has put aside; `None`, and said so, where it is not installed.
pub(crate) fn program(name: &str, part: &str) -> Option<PathBuf> {
    let found = delegate_core::process::Environment::of_this_process(&[]).find_program(name);
    let cached =
        std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/harness-delegate/bin").join(name));
    let program = found.or(cached.filter(|path| path.exists()));
    if program.is_none() {
        eprintln!("SKIPPED: {name} is not there; scripts/setup {part} installs it");
    }
    program
}

impl Guarded {
    /// Starts a server that tells its address after these words, in a line of either output.
    pub(crate) fn start(program: &Path, args: &[&str], env: &[(&str, &str)], words: &'static str) -> Self {
        // A group of its own: what is on the PATH may be a script that starts the server.
        let mut command = Command::new("sh");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut server = command
            .args(["-c", GUARD, "sh"])
            .arg(program)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let (told, address) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to its end, or the server would be stuck one day.
            for line in lines.map_while(Result::ok) {
                if let Some((_, url)) = line.split_once(words) {
                    let _ = told.send(url.trim().to_owned());
                }
            }
        });
        let url = address
            .recv_timeout(PATIENCE)
            .expect("the server says where it listens");
        Self {
            server,
            url: url.parse().unwrap(),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.server.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.server.wait();
    }
}
