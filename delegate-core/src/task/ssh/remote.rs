//! Running something on another machine.
//!
//! What runs there is sent through the standard input, never as an argument: it may hold secrets. The input then stays
//! open; when it ends, because the task was aborted, its time was over or the delegate died, what was started there is
//! asked to end (SIGTERM to its process group) and ended after a grace (SIGKILL). As long as the connection lives, what is
//! said there until then still arrives. A process that began a session of its own is not found.

use std::path::Path;

use crate::process::{Command, Exit};
use crate::task::allowance::Allowance;
use crate::task::said::quoted as quote;
use crate::task::{TaskContext, TaskError};

use super::{Client, quoted};

/// The program.
pub(in crate::task) const PROGRAM: &str = "ssh";

/// How `ssh` ends when it is itself that failed.
const OWN_FAILURE: i32 = 255;

/// Seconds to a connection: a machine on the other side of the world answers within some.
const CONNECT_SECONDS: u32 = 30;

/// A peer that does not answer three times within these seconds each is gone.
const ALIVE_SECONDS: u32 = 15;

/// For the last words of a host to arrive: what runs there is ended so much before its connection would be.
const LAST_WORDS_SECONDS: u64 = 2;

/// Longest name of a host, by DNS.
const MAX_HOST: usize = 253;

/// Longest name of a user: that of most systems is 32.
const MAX_USER: usize = 64;

/// Reads a script of `$1` bytes from its input into a new folder `$4`, runs it by `$2`, and ends it `$3` seconds after
/// asking it to when the input ends first. A script that did not arrive whole is not run. What the script left running is
/// ended in the same way when `$5` is `end`.
const RUN: &str = include_str!("run.sh");

/// A machine, and who we are there.
pub(in crate::task) struct Remote<'t> {
    pub(in crate::task) host: &'t str,
    pub(in crate::task) port: Option<u16>,
    pub(in crate::task) user: Option<&'t str>,
    pub(in crate::task) client: &'t Client,
}

/// What becomes of what a script leaves running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::task) enum Leftovers {
    /// It runs on.
    Stay,
    /// It is ended, as far as it is in the script's process group.
    End,
}

/// A script to run on a host.
pub(in crate::task) struct Run<'t> {
    /// The program that gets it as its only argument.
    pub(in crate::task) interpreter: &'t str,
    pub(in crate::task) text: &'t str,
    /// A folder there that is made for it, for nobody else to read, and goes with it: of [`new_folder`].
    pub(in crate::task) folder: &'t str,
    pub(in crate::task) leftovers: Leftovers,
}

/// The path of a folder on a host that is not there yet. Nobody can guess it, and one that is there already is not taken.
pub(in crate::task) fn new_folder() -> String {
    format!("/tmp/task-{:032x}", fastrand::u128(..))
}

impl Remote<'_> {
    /// `ssh`, which runs a script there. The script's exit code is its own. Its input is empty.
    pub(in crate::task) fn script(
        &self,
        context: &TaskContext,
        allowance: &Allowance,
        run: &Run<'_>,
    ) -> Command {
        let size = run.text.len().to_string();
        let grace = context.grace.as_secs().saturating_sub(LAST_WORDS_SECONDS);
        let grace = grace.max(1).to_string();
        let leftovers = match run.leftovers {
            Leftovers::Stay => "stay",
            Leftovers::End => "end",
        };
        let args = [&*size, run.interpreter, &grace, run.folder, leftovers];
        self.program(context, allowance, RUN, &args)
            .stdin_left_open(run.text.as_bytes())
            .asked_by_end_of_input()
    }

    /// `ssh`, which runs a program text of ours there by `sh`, with arguments, which are public.
    pub(in crate::task) fn program(
        &self,
        context: &TaskContext,
        allowance: &Allowance,
        text: &str,
        args: &[&str],
    ) -> Command {
        let words = self.words(text, args);
        self.finish(
            context,
            context.command(PROGRAM).limits(allowance.limits()).args(words),
        )
    }

    /// The same with a file of this machine as the input of what runs there: it is opened by the user of tasks.
    pub(in crate::task) fn program_with(
        &self,
        context: &TaskContext,
        allowance: &Allowance,
        file: &Path,
        text: &str,
        args: &[&str],
    ) -> Command {
        let command = context
            .command("sh")
            .limits(allowance.limits())
            .args(["-c", "file=$1; shift; exec \"$@\" <\"$file\"", "sh"])
            .arg(file)
            .arg(PROGRAM)
            .args(self.words(text, args));
        self.finish(context, command)
    }

    /// With a mark of its own: several of them run for one task, and the end of one is not that of the others. They start
    /// nothing that would outlive them here.
    fn finish(&self, context: &TaskContext, command: Command) -> Command {
        let mark = format!("{}-{:08x}", context.task_id, fastrand::u32(..));
        let mut command = command.mark(mark);
        for (name, value) in &self.client.variables {
            command = command.env(name, value);
        }
        command
    }

    /// The arguments of `ssh`.
    fn words(&self, text: &str, args: &[&str]) -> Vec<String> {
        let mut client = self.client.clone();
        client.set(&format!("ConnectTimeout={CONNECT_SECONDS}"));
        client.set(&format!("ServerAliveInterval={ALIVE_SECONDS}"));
        // A connection of its own: another one's end is not its end.
        client.set("ControlMaster=no");
        client.set("ControlPath=none");
        client.set("ForwardAgent=no");
        client.set("ForwardX11=no");
        client.set("RequestTTY=no");
        let mut remote = format!("exec sh -c {} sh", quoted(text));
        for arg in args {
            remote.push(' ');
            remote.push_str(&quoted(arg));
        }
        let mut words = client.options;
        words.extend(
            self.port
                .into_iter()
                .flat_map(|port| ["-p".to_owned(), port.to_string()]),
        );
        words.extend(
            self.user
                .into_iter()
                .flat_map(|user| ["-l".to_owned(), user.to_owned()]),
        );
        words.extend(["--".to_owned(), self.host.to_owned(), remote]);
        words
    }
}

/// What went wrong when it was `ssh` itself that failed, and not what it ran: its words, and what to do. `field` is the
/// path of the login in the data.
pub(in crate::task) fn failure_of(exit: &Exit, complaint: &str, field: &str) -> Option<String> {
    if exit.code() != OWN_FAILURE {
        return None;
    }
    let said = complaint.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let has = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    let remedy = if has(&["Host key verification failed", "REMOTE HOST IDENTIFICATION"]) {
        format!(
            "the host's key is not, or not as it is, in {field}.known_hosts; compare it with the one its owner tells, then add it"
        )
    } else if has(&["Permission denied (", "incorrect passphrase", "Load key"]) {
        format!(
            "the host did not take the key; check {field}.key and its passphrase, the user, and the user's authorized keys there"
        )
    } else if has(&["Could not resolve hostname"]) {
        "this delegate cannot resolve the host; check its name and DNS".to_owned()
    } else if has(&[
        "Connection refused",
        "timed out",
        "No route to host",
        "Network is unreachable",
    ]) {
        "this delegate does not reach the host; check the address, the port and the network".to_owned()
    } else if has(&["closed by", "reset by", "Broken pipe", "not responding"]) {
        "the connection broke; look at the host, and run the task again".to_owned()
    } else {
        return None;
    };
    Some(format!("{}; {remedy}", quote(said)))
}

/// That a host is one, and nothing that `ssh` takes as more.
pub(in crate::task) fn check_host(field: &str, host: &str) -> Result<(), TaskError> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_:%".contains(letter);
    let problem = if host.is_empty() || host.len() > MAX_HOST {
        "must be a host's name or address, of up to 253 characters"
    } else if host.starts_with('-') {
        "must not begin with a hyphen"
    } else if !host.chars().all(fits) {
        "must be a host's name or address; the user and the port are fields of their own"
    } else {
        return Ok(());
    };
    Err(TaskError::data(field, problem))
}

/// That a user is one.
pub(in crate::task) fn check_user(field: &str, user: &str) -> Result<(), TaskError> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_@\\+".contains(letter);
    let problem = if user.is_empty() || user.len() > MAX_USER {
        "must be a user's name, of up to 64 characters"
    } else if user.starts_with('-') {
        "must not begin with a hyphen"
    } else if !user.chars().all(fits) {
        "must be a user's name"
    } else {
        return Ok(());
    };
    Err(TaskError::data(field, problem))
}
