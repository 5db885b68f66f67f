//! Networks of a test's own: namespaces of the kernel, joined by wires that can be cut in either direction.
//!
//! The test's thread has one network, each agent's machine another. A cut wire drops what is sent, and nobody is told: the
//! frames are addressed to a card that is not there. The link stays up, connections stay open, nothing is reset. A network ends with
//! the last process in it, and its wires with it, so nothing is left however a test ends.

use std::io::Write as _;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};

use super::support::program::{Running, eventually};

/// Which way packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    ToManager,
    ToAgent,
    BothWays,
}

/// Nobody's card.
const NOBODY: &str = "02:00:00:00:ff:ff";

/// Does work in a thread with a network of its own, in which there is only a loopback. Says why where that cannot be.
pub(crate) fn in_own_network<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    if let Some(reason) = missing() {
        println!("SKIPPED: {reason}");
        return;
    }
    // Not the test's thread, which may go on to other tests. What it starts, threads and processes, is in its network.
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip(Command::new("ip"), &["link set lo up"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(work());
    });
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}

/// Why there can be no networks here.
fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root can make a network namespace".to_owned());
    }
    let works = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    };
    if !works("ip", &["-V"]) {
        return Some("there is no ip (scripts/setup base installs it)".to_owned());
    }
    if !works("nsenter", &["--version"]) {
        return Some("there is no nsenter (the package util-linux has it)".to_owned());
    }
    let probe = "ip link add probe0 type veth peer name probe1";
    (!works("unshare", &["--net", "sh", "-c", probe]))
        .then(|| "no network namespace with a wire can be made here".to_owned())
}

/// Another machine, and the wire to it.
pub(crate) struct Machine {
    number: u8,
    /// Keeps the network there.
    keeper: Running,
}

impl Machine {
    /// One with a number that is its own in this network.
    pub(crate) async fn start(number: u8) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "1200"]);
        let keeper = Running::start(command);
        let network = format!("/proc/{}/ns/net", keeper.id());
        let of = |path: &str| std::fs::read_link(path).ok();
        let ours = of("/proc/thread-self/ns/net");
        eventually("another network", || {
            of(&network).is_some_and(|theirs| Some(theirs) != ours)
        })
        .await;
        let machine = Self { number, keeper };
        let (near, far) = (machine.card(1), machine.card(2));
        let pid = machine.keeper.id();
        ip(
            Command::new("ip"),
            &[
                &format!(
                    "link add wire{number} address {near} type veth peer name wire address {far} netns {pid}"
                ),
                &format!("addr add {}/30 dev wire{number}", machine.address(1)),
                &format!("link set wire{number} up"),
            ],
        );
        ip(
            machine.command("ip"),
            &[
                "link set lo up",
                &format!("addr add {}/30 dev wire", machine.address(2)),
                "link set wire up",
            ],
        );
        machine.heal();
        machine
    }

    /// A command that runs there.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.keeper.id()));
        command.arg(program);
        command
    }

    /// Where the test is, seen from there.
    pub(crate) fn manager_address(&self) -> String {
        self.address(1)
    }

    /// Drops what goes over the wire this way, from now on.
    pub(crate) fn cut(&self, lost: Lost) {
        let (near, far) = (self.card(1), self.card(2));
        let to_agent = if lost == Lost::ToManager { &far } else { NOBODY };
        let to_manager = if lost == Lost::ToAgent { &near } else { NOBODY };
        self.aim(to_agent, to_manager);
    }

    /// All is well again.
    pub(crate) fn heal(&self) {
        self.aim(&self.card(2), &self.card(1));
    }

    /// Whose cards frames are addressed to, either way.
    fn aim(&self, to_agent: &str, to_manager: &str) {
        let (number, agent, manager) = (self.number, self.address(2), self.address(1));
        ip(
            Command::new("ip"),
            &[&format!(
                "neigh replace {agent} lladdr {to_agent} dev wire{number} nud permanent"
            )],
        );
        ip(
            self.command("ip"),
            &[&format!(
                "neigh replace {manager} lladdr {to_manager} dev wire nud permanent"
            )],
        );
    }

    fn address(&self, end: u8) -> String {
        format!("10.99.{}.{end}", self.number)
    }

    fn card(&self, end: u8) -> String {
        format!("02:00:00:00:{:02x}:{end:02x}", self.number)
    }
}

/// Carries out lines of `ip`.
fn ip(mut command: Command, lines: &[&str]) {
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = lines.join("\n") + "\n";
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "ip: {script}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
