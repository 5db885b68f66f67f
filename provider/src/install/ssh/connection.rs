//! A connection: the master that holds it, and sessions through it.

use std::collections::{HashMap, VecDeque};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use delegate_core::Secret;
use delegate_core::process::{Command, Environment, Limits, Line, LineSink, Reason, Stream};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Destination, SshError};

/// Sessions at once: a server allows 10 a connection unless told otherwise.
const SESSIONS: usize = 8;

/// Most output kept of a command, bytes. The largest answer holds an environment file with an init script.
const OUTPUT_LIMIT: usize = 4 * 1024 * 1024;

/// Lines of `ssh` itself that are kept, the last ones: those that say what went wrong.
const LINES_KEPT: usize = 32;

/// Time for `ssh` to end after it was asked to.
const GRACE: Duration = Duration::from_secs(1);

/// Beyond the time that `ssh` gives the connection itself: for the keys, and for a loaded machine to answer.
const LOGIN_TIME: Duration = Duration::from_secs(30);

/// A dead peer is noticed after three of these unanswered, 45 s.
const KEEP_ALIVE: &str = "ServerAliveInterval=15";

/// What the master prints when it is connected and its socket is there.
const CONNECTED: &str = "connected";

/// Longest folder for the socket: a socket's path has at most 107 bytes, and `ssh` adds up to 24 to ours.
const LONGEST_FOLDER: usize = 60;

/// What the user's `ssh` needs beyond the common variables: his agent, and his Kerberos tickets.
const VARIABLES: &[&str] = &["SSH_AUTH_SOCK", "KRB5CCNAME"];

/// The connections of this process, one a destination for as long as anybody uses it.
#[derive(Default)]
pub struct Connections(Mutex<HashMap<Destination, Slot>>);

/// Locked while the connection is being made, so that it is made once.
type Slot = Arc<tokio::sync::Mutex<Weak<Connection>>>;

impl Connections {
    /// The connection to `to`, made now if there is none. It ends with the last of those who asked for it.
    ///
    /// # Errors
    /// When there is no connection to be had.
    pub async fn get(&self, to: &Destination, stop: &CancellationToken) -> Result<Arc<Connection>, SshError> {
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(to.clone()).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.upgrade().filter(|known| !known.ended.is_cancelled()) {
            return Ok(connection);
        }
        let connection = Arc::new(Connection::open(to, stop).await?);
        *slot = Arc::downgrade(&connection);
        Ok(connection)
    }
}

/// What a command reads.
pub enum Input {
    /// Nothing.
    Nothing,
    /// This, and no end of it before the command's own: a command that reads on learns by the end that we are gone.
    LeftOpen(Secret),
    /// A file, to its end.
    File(std::fs::File),
}

/// What came of a command on the other side.
#[derive(Debug)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// What it said.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Output {
    /// The last line it complained with, or how it ended.
    pub fn last_words(&self) -> String {
        let line = self.stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
        line.map_or_else(|| format!("exit code {}", self.code), str::to_owned)
    }
}

/// A connection that is up. Dropping it ends the master and every session.
pub struct Connection {
    to: Destination,
    ssh: Ssh,
    sessions: Semaphore,
    lines: Lines,
    /// Cancelled when the master has ended, asked or not.
    ended: CancellationToken,
    _master: DropGuard,
}

/// The program, and the folder of the master's socket.
struct Ssh {
    program: PathBuf,
    environment: Environment,
    folder: TempDir,
}

type Lines = Arc<Mutex<VecDeque<String>>>;

impl Connection {
    async fn open(to: &Destination, stop: &CancellationToken) -> Result<Self, SshError> {
        let ssh = Ssh::find()?;
        let (end, ended, connected) = (
            CancellationToken::new(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let lines = Lines::default();
        let mut ears = Ears {
            connected: connected.clone(),
            lines: Arc::clone(&lines),
        };
        let command = ssh.master(to);
        let (asked, over) = (end.clone(), ended.clone().drop_guard());
        tokio::spawn(async move {
            let exit = Box::pin(command.run(&asked, &mut ears)).await;
            if let Err(error) = exit {
                ears.keep(error.to_string());
            }
            drop(over);
        });
        let connection = Self {
            to: to.clone(),
            ssh,
            sessions: Semaphore::new(SESSIONS),
            lines,
            ended,
            _master: end.drop_guard(),
        };
        let limit = to.connect_timeout + LOGIN_TIME;
        tokio::select! {
            biased;
            () = connected.cancelled() => Ok(connection),
            () = connection.ended.cancelled() => Err(connection.lost("")),
            () = stop.cancelled() => Err(connection.stopped()),
            () = tokio::time::sleep(limit) => Err(SshError::Slow { to: to.to_string(), limit }),
        }
    }

    /// Where this leads.
    pub fn destination(&self) -> &Destination {
        &self.to
    }

    /// Runs a command line of the other side's shell; in it are no secrets, since anybody there can read it.
    ///
    /// # Errors
    /// When the connection is lost, the time over, or it was interrupted. A command that fails is no error.
    pub async fn run(
        &self,
        line: &str,
        input: Input,
        limit: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<Output, SshError> {
        let Ok(_session) = self.sessions.acquire().await else {
            return Err(self.stopped());
        };
        let command = self.ssh.session(&self.to, line).limits(Limits {
            timeout: limit,
            grace: GRACE,
        });
        let command = match input {
            Input::Nothing => command,
            Input::LeftOpen(text) => command.stdin_left_open(format!("{}\n", text.expose())),
            Input::File(file) => command.stdin_file(file),
        };
        let captured = Box::pin(command.capture(stop, OUTPUT_LIMIT))
            .await
            .map_err(|error| SshError::Local(error.to_string()))?;
        let output = Output {
            code: captured.exit.code(),
            stdout: String::from_utf8_lossy(&captured.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&captured.stderr).into_owned(),
        };
        match (captured.exit.reason, output.code, limit) {
            (Reason::Aborted, _, _) => Err(self.stopped()),
            (Reason::TimedOut, _, Some(limit)) => Err(SshError::Slow {
                to: self.to.to_string(),
                limit,
            }),
            // The code that ssh keeps for itself.
            (_, 255, _) => Err(self.lost(&output.stderr)),
            _ => Ok(output),
        }
    }

    fn lost(&self, said: &str) -> SshError {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // What the master says is why; a session only says that it is gone.
        SshError::of_lines(&self.to, said.lines().chain(lines.iter().map(String::as_str)))
    }

    fn stopped(&self) -> SshError {
        SshError::Stopped {
            to: self.to.to_string(),
        }
    }
}

impl Ssh {
    fn find() -> Result<Self, SshError> {
        let wanted: Vec<String> = VARIABLES.iter().map(|&name| name.to_owned()).collect();
        let environment = Environment::of_this_process(&wanted);
        let program = environment.find_program("ssh").ok_or(SshError::Missing)?;
        let folder = private_folder().map_err(|error| SshError::Local(error.to_string()))?;
        Ok(Self {
            program,
            environment,
            folder,
        })
    }

    /// What is the same for the master and its sessions. The first value that `ssh` meets for an option is the one it
    /// takes, so the user's configuration cannot say otherwise.
    fn command(&self, to: &Destination, options: &[String]) -> Command {
        // In this path ssh replaces what begins with a percent sign.
        let socket = self
            .folder
            .path()
            .join("s")
            .display()
            .to_string()
            .replace('%', "%%");
        let mut command = Command::new(self.program.clone(), self.environment.clone())
            .args(["-S", &socket])
            .args(options.iter().flat_map(|option| ["-o", option]));
        if let Some(port) = to.port {
            command = command.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &to.user {
            command = command.args(["-l", user]);
        }
        if let Some(file) = &to.identity_file {
            command = command.arg("-i").arg(file.clone());
        }
        command
    }

    fn master(&self, to: &Destination) -> Command {
        let mut options: Vec<String> = [
            "BatchMode=yes",
            "ControlMaster=yes",
            "ControlPersist=no",
            "ConnectionAttempts=1",
            KEEP_ALIVE,
            "LogLevel=ERROR",
            // Nothing of this machine is lent to the other one.
            "ForwardAgent=no",
            "ForwardX11=no",
            "ClearAllForwardings=yes",
            // Run here, when the connection is up and sessions are taken.
            "PermitLocalCommand=yes",
        ]
        .map(str::to_owned)
        .into();
        options.push(format!("LocalCommand=echo {CONNECTED}"));
        options.push(format!("ConnectTimeout={}", to.connect_timeout.as_secs().max(1)));
        if to.identity_file.is_some() {
            options.push("IdentitiesOnly=yes".to_owned());
        }
        if let Some(file) = &to.known_hosts_file {
            options.push(format!("UserKnownHostsFile=\"{}\"", file.display()));
        }
        self.command(to, &options)
            .args(["-N", "-T", "--", &to.host])
            .limits(Limits {
                timeout: None,
                grace: GRACE,
            })
    }

    fn session(&self, to: &Destination, line: &str) -> Command {
        let options = [
            "BatchMode=yes",
            "ControlMaster=no",
            "LogLevel=ERROR",
            "RemoteCommand=none",
            // Without the master there is no session: a connection of its own would be made behind our back.
            "ProxyCommand=false",
        ];
        self.command(to, &options.map(str::to_owned))
            .args(["-T", "--", &to.host, line])
    }
}

/// A folder that nobody else can look into, with a path short enough for a socket.
fn private_folder() -> std::io::Result<TempDir> {
    let usual = std::env::temp_dir();
    let short = usual.as_os_str().len() <= LONGEST_FOLDER;
    let base = if short { usual.as_path() } else { Path::new("/tmp") };
    tempfile::Builder::new()
        .prefix("hd-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(base)
}

/// Listens to the master.
struct Ears {
    connected: CancellationToken,
    lines: Lines,
}

impl Ears {
    fn keep(&self, text: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}

#[async_trait]
impl LineSink for Ears {
    async fn write(&mut self, lines: Vec<Line>) {
        for line in lines {
            if line.stream == Stream::Stdout {
                if line.text.trim() == CONNECTED {
                    self.connected.cancel();
                }
            } else {
                self.keep(line.text);
            }
        }
    }
}
