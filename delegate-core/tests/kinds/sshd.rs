//! A real `sshd` for the user who runs the tests: one for each connection, by its standard input and output.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;

const PROGRAM: &str = "/usr/sbin/sshd";

/// It wants a folder in `/run` when it is root, which is made where nobody else sees it.
const ENTER: &str = "mount -t tmpfs none /run && mkdir -p /run/sshd && exec \"$@\"";

pub(crate) struct Sshd {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    _serving: AbortOnDropHandle<()>,
}

impl Sshd {
    /// Starts one. Says so and gives nothing where that cannot be done.
    pub(crate) async fn start() -> Option<Self> {
        if let Some(reason) = missing().await {
            eprintln!("SKIPPED: {reason}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        make_key(&at("host_key"), "").await;
        make_key(&at("user_key"), "").await;
        make_key(&at("locked_key"), "the-passphrase").await;
        make_key(&at("stranger_key"), "").await;
        let keys = ["user_key.pub", "locked_key.pub"].map(|name| fs::read_to_string(at(name)).unwrap());
        fs::write(at("authorized_keys"), keys.concat()).unwrap();
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n",
            at("host_key").display(),
            at("authorized_keys").display()
        );
        fs::write(at("sshd_config"), config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = at("sshd_config");
        let serving = tokio::spawn(async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let stream = stream.into_std().unwrap();
                stream.set_nonblocking(false).unwrap();
                let output = std::os::fd::OwnedFd::from(stream.try_clone().unwrap());
                let server = server(&config)
                    .stdin(std::os::fd::OwnedFd::from(stream))
                    .stdout(output)
                    .stderr(Stdio::null())
                    .kill_on_drop(true)
                    .spawn();
                connections.push(server.unwrap());
            }
        });
        Some(Self {
            folder,
            port,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// A private key: `user_key` and `locked_key` (with a passphrase) may log in, `stranger_key` may not.
    pub(crate) fn key(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Where a file of it is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lets the keys of another one in, too.
    pub(crate) fn trusts(&self, other: &Self) {
        let file = self.folder.path().join("authorized_keys");
        let keys = fs::read_to_string(&file).unwrap();
        let others = fs::read_to_string(other.folder.path().join("authorized_keys")).unwrap();
        fs::write(file, keys + &others).unwrap();
    }

    /// A line of known hosts with the key of this name.
    pub(crate) fn known_hosts(&self, key: &str) -> String {
        let key = self.key(&format!("{key}.pub"));
        format!("[127.0.0.1]:{} {key}", self.port)
    }

    /// The URL of a folder, for the user who runs the tests.
    pub(crate) fn url(&self, path: &Path) -> String {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
            .unwrap()
            .unwrap();
        format!("ssh://{}@127.0.0.1:{}{}", user.name, self.port, path.display())
    }
}

fn server(config: &Path) -> Command {
    let mut command;
    if nix::unistd::geteuid().is_root() {
        command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", ENTER, "sh", PROGRAM]);
    } else {
        command = Command::new(PROGRAM);
    }
    command.arg("-i").arg("-f").arg(config);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

async fn make_key(path: &PathBuf, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .await;
    assert!(made.unwrap().success());
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Why there cannot be one here.
async fn missing() -> Option<String> {
    if !Path::new(PROGRAM).exists() {
        return Some(format!("there is no {PROGRAM} (scripts/setup ssh installs it)"));
    }
    if !nix::unistd::geteuid().is_root() {
        return None;
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
