//! A real PostgreSQL of a test's own.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where Debian keeps the programs of its versions.
const PROGRAMS: &str = "/usr/lib/postgresql";

/// A private PostgreSQL, reachable by a socket in its own directory, ended when dropped.
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    programs: PathBuf,
}

fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir(PROGRAMS)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    versions.sort();
    versions
        .pop()
        .map(|version| version.join("bin"))
        .filter(|bin| bin.join("initdb").exists())
}

impl Cluster {
    /// Says so and gives nothing when the machine has no PostgreSQL.
    pub(crate) fn start() -> Option<Self> {
        let cluster = Self::make()?;
        assert!(cluster.up(), "{}", cluster.log());
        Some(cluster)
    }

    /// One that is not up yet.
    pub(crate) fn make() -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("SKIPPED: there is no PostgreSQL below {PROGRAMS}");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let cluster = Self { directory, programs };
        if nix::unistd::geteuid().is_root() {
            // PostgreSQL does not run as root.
            let user = nix::unistd::User::from_name("postgres")
                .unwrap()
                .expect("the package makes this user");
            nix::unistd::chown(cluster.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let data = cluster.path().join("data");
        cluster.run(
            "initdb",
            &[
                "--no-sync",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--username=postgres",
                "-D",
                data.to_str().unwrap(),
            ],
        );
        Some(cluster)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let Output { status, stderr, .. } = self.command(program, arguments).output().unwrap();
        assert!(
            status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&stderr)
        );
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let program = self.programs.join(program);
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir("/").stdin(Stdio::null());
        command
    }

    /// Starts it, for its socket only.
    pub(crate) fn up(&self) -> bool {
        self.up_with("-c listen_addresses=''")
    }

    /// Starts it with further options. False when that fails; the log says why.
    pub(crate) fn up_with(&self, options: &str) -> bool {
        let data = self.path().join("data");
        let sockets = self.path().display();
        let options = format!("{options} -c unix_socket_directories='{sockets}'");
        let log = self.path().join("log");
        let (data, log) = (data.to_str().unwrap(), log.to_str().unwrap());
        // Its output goes to the log: a pipe of ours would be held open by the server.
        let mut command = self.command("pg_ctl", &["-w", "-D", data, "-l", log, "-o", &options, "start"]);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Gives a file to the user it runs as, who alone may read it.
    pub(crate) fn give(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        if nix::unistd::geteuid().is_root() {
            let user = nix::unistd::User::from_name("postgres").unwrap().unwrap();
            nix::unistd::chown(&path, Some(user.uid), Some(user.gid)).unwrap();
        }
        path
    }

    pub(crate) fn down(&self, how: &str) {
        let data = self.path().join("data");
        let arguments = ["-w", "-D", data.to_str().unwrap(), "-m", how, "stop"];
        let _ = self.command("pg_ctl", &arguments).stdout(Stdio::null()).status();
    }

    /// By its socket, as its superuser.
    pub(crate) fn url(&self) -> String {
        let socket: String =
            url::form_urlencoded::byte_serialize(self.path().to_str().unwrap().as_bytes()).collect();
        format!("postgres://postgres@{socket}/postgres")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.down("immediate");
    }
}
