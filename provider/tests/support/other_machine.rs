//! Another machine for acceptance tests: a real `sshd`, in a mount namespace with a machine id and users of its own.
//!
//! ```ignore
//! let Some(machine) = OtherMachine::start().await else { return };   // prints "SKIPPED: …" where it cannot be had
//! machine.arguments("root")                                          // host.ssh, as HCL
//! ```
//!
//! Every connection goes through this process, which counts its bytes and can cut it; for each there is a `sshd` of its
//! own. Files and processes are those of this machine, so a test sees what was done. Nothing outlives the test.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A user of the machine who is not root.
pub const USER: &str = "deploy";

/// His id, which nobody else should have.
const USER_ID: u32 = 54_321;

const SSHD: &str = "/usr/sbin/sshd";

/// Makes it another machine, and lets it have the one connection that is its input and output.
const ENTER: &str = r#"
mount -t tmpfs none /run && mkdir -p /run/sshd
for file in machine-id passwd shadow sudoers; do
  if [ -e "/etc/$file" ] && [ -e "$1/$file" ]; then mount --bind "$1/$file" "/etc/$file" || exit; fi
done
exec "$2" -i -f "$1/sshd_config" -E "$1/log"
"#;

/// What this machine has for it.
pub struct OtherMachine {
    folder: TempDir,
    home: TempDir,
    pub port: u16,
    pub id: String,
    received: Arc<AtomicU64>,
    cut: watch::Sender<u64>,
    server: Option<JoinHandle<()>>,
}

impl OtherMachine {
    /// Starts one. Says so and gives nothing where that cannot be done.
    pub async fn start() -> Option<Self> {
        if let Some(reason) = missing().await {
            eprintln!("SKIPPED: {reason}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a directory");
        let home = tempfile::tempdir().expect("a directory");
        chown(home.path(), Some(USER_ID), Some(USER_ID)).expect("we are root");
        let id = uuid::Uuid::new_v4().simple().to_string();
        let mut machine = Self {
            folder,
            home,
            port: 0,
            id: id.clone(),
            received: Arc::default(),
            cut: watch::Sender::new(0),
            server: None,
        };
        machine.write("machine-id", &format!("{id}\n"));
        let users = fs::read_to_string("/etc/passwd").expect("readable");
        let home = machine.home.path().display();
        machine.write(
            "passwd",
            &format!("{users}{USER}:x:{USER_ID}:{USER_ID}::{home}:/bin/sh\n"),
        );
        machine.write(
            "shadow",
            &format!("root:*:19000:0:99999:7:::\n{USER}:*:19000:0:99999:7:::\n"),
        );
        machine.write(
            "sudoers",
            &format!("root ALL=(ALL) ALL\n{USER} ALL=(ALL) NOPASSWD: ALL\n"),
        );
        fs::set_permissions(machine.path("sudoers"), fs::Permissions::from_mode(0o440)).expect("ours");
        for key in ["host_key", "user_key"] {
            machine.make_key(key).await;
        }
        fs::copy(machine.path("user_key.pub"), machine.path("authorized_keys")).expect("a copy");
        let at = |name: &str| machine.path(name).display().to_string();
        machine.write(
            "sshd_config",
            &format!(
                "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
                 KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel VERBOSE\nPidFile none\n",
                at("host_key"),
                at("authorized_keys")
            ),
        );
        machine.listen("127.0.0.1:0").await;
        machine.know_host_key("host_key");
        Some(machine)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Home folder of [`USER`].
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a writable directory");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o644)).expect("ours");
    }

    /// Makes a pair of keys of this name.
    pub async fn make_key(&self, name: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(self.path(name))
            .stdin(Stdio::null())
            .status()
            .await;
        assert!(made.expect("ssh-keygen runs").success());
    }

    /// Writes the file of known hosts: this machine has the key of this name.
    pub fn know_host_key(&self, name: &str) {
        let key = fs::read_to_string(self.path(&format!("{name}.pub"))).expect("a key");
        self.write("known_hosts", &format!("[127.0.0.1]:{} {key}", self.port));
    }

    /// The object `ssh`, as HCL.
    pub fn arguments(&self, user: &str) -> String {
        self.arguments_with(user, "user_key", "known_hosts", "")
    }

    pub fn arguments_with(&self, user: &str, key: &str, known_hosts: &str, more: &str) -> String {
        format!(
            "{{ host = \"127.0.0.1\", port = {}, user = \"{user}\", identity_file = \"{}\", known_hosts_file = \"{}\"{more} }}",
            self.port,
            self.path(key).display(),
            self.path(known_hosts).display()
        )
    }

    /// What it is called in an id.
    pub fn name(&self, user: &str) -> String {
        format!("{user}@127.0.0.1:{}", self.port)
    }

    /// Bytes that have arrived since the last time this was asked.
    pub fn received(&self) -> u64 {
        self.received.swap(0, Ordering::Relaxed)
    }

    /// Waits until this many bytes have arrived.
    pub async fn has_received(&self, bytes: u64) {
        crate::manager::until("the bytes", async || {
            (self.received.load(Ordering::Relaxed) >= bytes).then_some(())
        })
        .await;
    }

    /// Breaks every connection off, as a network does.
    pub fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// Goes off the network. What runs there goes on.
    pub async fn go_away(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
        self.cut();
    }

    /// Comes back at the same address.
    pub async fn come_back(&mut self) {
        let address = format!("127.0.0.1:{}", self.port);
        self.listen(&address).await;
    }

    async fn listen(&mut self, address: &str) {
        let listener = TcpListener::bind(address).await.expect("a port");
        self.port = listener.local_addr().expect("bound").port();
        let (folder, received, cut) = (
            self.folder.path().to_owned(),
            Arc::clone(&self.received),
            self.cut.clone(),
        );
        self.server = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(
                    stream,
                    folder.clone(),
                    Arc::clone(&received),
                    cut.subscribe(),
                ));
            }
        }));
    }
}

impl Drop for OtherMachine {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
        self.cut();
    }
}

async fn serve(stream: TcpStream, folder: PathBuf, received: Arc<AtomicU64>, mut cut: watch::Receiver<u64>) {
    cut.mark_unchanged();
    let mut sshd = Command::new("unshare")
        .args(["--mount", "sh", "-c", ENTER, "sh"])
        .arg(&folder)
        .arg(SSHD)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("unshare runs");
    let (input, output) = (
        sshd.stdin.take().expect("piped"),
        sshd.stdout.take().expect("piped"),
    );
    let (from, to) = stream.into_split();
    let sent = AtomicU64::new(0);
    tokio::select! {
        () = pass(from, input, &received) => {}
        () = pass(output, to, &sent) => {}
        _ = cut.changed() => {}
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, count: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        count.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Why there cannot be another machine here.
async fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root can make a namespace that is another machine".to_owned());
    }
    for program in [SSHD, "ssh", "ssh-keygen"] {
        let found = Command::new(program)
            .arg("-?")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
        if found.is_err() {
            return Some(format!("there is no {program} (scripts/setup ssh installs it)"));
        }
    }
    let entered = Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs none /run"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    match entered {
        Ok(status) if status.success() => None,
        _ => Some("no mount namespace can be made here".to_owned()),
    }
}
