//! Running git: its settings, its progress in the log, and what its complaints mean.

use std::path::Path;

use super::address::{Address, Further, Transport, scheme};
use super::login::Login;
use crate::process::Command;
use crate::task::TaskContext;
use crate::task::allowance::Allowance;
use crate::task::halt::Halt;
use crate::task::said;
use crate::task::tool::{Answer, Tool};

/// Settings that hold whatever a repository's own configuration says.
const SETTINGS: [&str; 6] = [
    // A repository's hooks are programs that nobody asked for.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
    // Housekeeping belongs to the task, and ends with it.
    "gc.autoDetach=false",
    "submodule.recurse=false",
];

/// What makes files of Git LFS whole as they are checked out, in submodules too.
const LFS_SETTINGS: [&str; 4] = [
    "filter.lfs.process=git-lfs filter-process",
    "filter.lfs.smudge=git-lfs smudge -- %f",
    "filter.lfs.clean=git-lfs clean -- %f",
    "filter.lfs.required=true",
];

/// Nothing of the machine's or a user's own configuration, nobody to ask, and messages in the language that is read.
const SURROUNDINGS: [(&str, &str); 5] = [
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("LC_ALL", "C"),
    ("LANGUAGE", "C"),
];

/// The git program, as one task runs it.
pub(super) struct Git<'t> {
    tool: Tool<'t>,
    address: &'t Address,
    /// The value of `GIT_ALLOW_PROTOCOL`: submodules are held to it, too.
    transports: String,
    login: Login,
    lfs: bool,
}

impl<'t> Git<'t> {
    pub(super) fn new(
        context: &'t TaskContext,
        allowance: &'t Allowance,
        address: &'t Address,
        further: &[Further],
        login: Login,
        lfs: bool,
    ) -> Self {
        let transports: Vec<&str> = [Transport::Https, Transport::Ssh]
            .into_iter()
            .chain(further.iter().copied().map(Transport::Further))
            .map(scheme)
            .collect();
        Self {
            tool: Tool::new("git", context, allowance),
            address,
            transports: transports.join(":"),
            login,
            lfs,
        }
    }

    /// Runs it in the task's own directory and returns what it prints; nothing goes to the log. `doing` reads well after
    /// "while" and "failed".
    pub(super) async fn ask(&self, args: &[&str], doing: &str) -> Result<String, Halt> {
        match self.try_ask(None, args, doing).await? {
            Ok(answer) => Ok(answer),
            Err(complaint) => Err(self.failure(doing, &complaint)),
        }
    }

    /// Runs it in a folder and returns what it prints, or what it complains of.
    pub(super) async fn try_ask(
        &self,
        folder: Option<&Path>,
        args: &[&str],
        doing: &str,
    ) -> Result<Answer<String>, Halt> {
        self.tool.ask(self.command(folder, args), doing).await
    }

    /// Runs it in a folder, its progress in the log.
    pub(super) async fn run(&self, folder: &Path, args: &[&str], doing: &str) -> Result<(), Halt> {
        match self.try_run(folder, args, doing).await? {
            Ok(()) => Ok(()),
            Err(complaint) => Err(self.failure(doing, &complaint)),
        }
    }

    /// The same, and what it complains of is for the caller to judge.
    pub(super) async fn try_run(
        &self,
        folder: &Path,
        args: &[&str],
        doing: &str,
    ) -> Result<Answer<()>, Halt> {
        self.tool.run(self.command(Some(folder), args), doing).await
    }

    fn command(&self, folder: Option<&Path>, args: &[&str]) -> Command {
        let lfs: &[&str] = if self.lfs { &LFS_SETTINGS } else { &[] };
        let settings = SETTINGS
            .iter()
            .chain(lfs)
            .copied()
            .chain(self.login.settings.iter().map(String::as_str));
        let home = &self.tool.context.work_dir;
        let mut command = self.tool.command().env("HOME", home).env("XDG_CONFIG_HOME", home);
        for (name, value) in SURROUNDINGS {
            command = command.env(name, value);
        }
        for (name, value) in &self.login.variables {
            command = command.env(name, value);
        }
        command = command.env("GIT_ALLOW_PROTOCOL", &self.transports);
        if let Some(folder) = folder {
            command = command.current_dir(folder);
            if let Some(parent) = folder.parent() {
                // A folder that is no repository does not become part of the one around it.
                command = command.env("GIT_CEILING_DIRECTORIES", parent);
            }
        }
        for setting in settings {
            command = command.arg("-c").arg(setting);
        }
        command.args(args.iter().copied())
    }

    /// The outcome when git says no: what was tried, what it said, what to do.
    pub(super) fn failure(&self, doing: &str, complaint: &str) -> Halt {
        Halt::failed(self.complaint_of(doing, complaint))
    }

    /// The same as a sentence.
    pub(super) fn complaint_of(&self, doing: &str, complaint: &str) -> String {
        let quote = quote(complaint);
        let address = self.address.as_str();
        match remedy(complaint) {
            Some(remedy) => format!("{doing} of {address} failed: {quote}; {remedy}"),
            None => format!("{doing} of {address} failed: {quote}"),
        }
    }
}

/// The line that says what went wrong, which is not always the last: after what ssh complains of, git adds that it could
/// not read.
fn quote(complaint: &str) -> String {
    let lines: Vec<&str> = complaint
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let last = match lines
        .iter()
        .position(|line| line.starts_with("fatal:") || line.starts_with("error:"))
    {
        Some(at) if at > 0 && lines[at].contains("Could not read from remote repository") => lines[at - 1],
        Some(at) => lines[at],
        None => lines.last().copied().unwrap_or_default(),
    };
    said::quoted(last)
}

/// What to do about what git, ssh or curl complain of.
fn remedy(complaint: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    Some(
        if has(&["Host key verification failed", "REMOTE HOST IDENTIFICATION"]) {
            "the host's key is not, or not as it is, in credentials.ssh.known_hosts; compare it with the one its owner tells, then add it"
        } else if has(&["Permission denied (publickey", "incorrect passphrase", "Load key"]) {
            "the server did not take the key; check credentials.ssh.key and its passphrase, the user in the URL, and that the key may read the repository"
        } else if has(&[
            "terminal prompts disabled",
            "could not read Username",
            "could not read Password",
        ]) {
            "the server asks for a login; give credentials.https"
        } else if has(&["Authentication failed", "error: 401", "error: 403"]) {
            "the server refused the login; check credentials.https.user and credentials.https.password, and that this user may read the repository"
        } else if has(&[
            "Could not resolve host",
            "Could not resolve hostname",
            "Name or service not known",
        ]) {
            "this delegate cannot resolve the host; check the URL, DNS and the proxy"
        } else if has(&["certificate problem", "certificate verif", "SSL certificate"]) {
            "the delegate does not trust the server's certificate; put its authority into HARNESS_CERTS_DIR"
        } else if has(&[
            "Failed to connect",
            "Connection refused",
            "Connection timed out",
            "No route to host",
        ]) {
            "this delegate does not reach the server; check the URL, the network and the proxy"
        } else if has(&[
            "not found",
            "does not appear to be a git repository",
            "does not exist",
        ]) {
            "there is no such repository, or the login may not see it; check `url` and `credentials`"
        } else if has(&["dubious ownership"]) {
            "the folder belongs to another user; choose another `directory`, or change its owner to the user of the delegate's tasks"
        } else if has(&[".lock': File exists", ".lock: File exists"]) {
            "another git works in the folder, or one was killed there; when none does, remove that file and run the task again"
        } else if has(&["No space left on device"]) {
            "make room on the delegate's disk, or give a `depth`"
        } else if has(&["Permission denied", "Read-only file system"]) {
            "the user of the delegate's tasks may not write there; choose another `directory`"
        } else if has(&["fatal: transport '"]) {
            "a submodule uses a transport that is used only on request; name it in `protocols`"
        } else {
            return None;
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complaint_is_found_among_what_is_said_around_it() {
        let said = "remote: denied\nfatal: Authentication failed for 'https://host/x'\nhint: more";
        assert_eq!(quote(said), "fatal: Authentication failed for 'https://host/x'");
        assert!(remedy(said).unwrap().contains("credentials.https.password"));
        assert_eq!(quote("one\ntwo\n"), "two");
        let said = "Host key verification failed.\r\nfatal: Could not read from remote repository.\n\nPlease make sure";
        assert_eq!(quote(said), "Host key verification failed.");
    }
}
