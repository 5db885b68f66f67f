//! What has to be known of a machine before anything is done on it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use delegate_core::install::host::ServiceKind;

use super::MachineError;

/// Where a machine's identity is, in the order of preference.
const IDENTITIES: [&str; 3] = ["/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/hostname"];

/// Asks for the same on another machine: `NAME=value` lines, the last of them [`END`].
pub(super) const QUESTION: &str = r#"echo "system=$(uname -sm)"; echo "user=$(id -u)"; echo "home=$HOME"; for f in /etc/machine-id /var/lib/dbus/machine-id /etc/hostname; do if [ -s "$f" ]; then echo "id=$(cat "$f")"; break; fi; done; if [ -d /run/systemd/system ]; then echo "systemd=yes"; fi; echo "end=yes""#;

/// The name in the last line of the answer.
const END: &str = "end";

/// A machine, and what the user who works on it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Identity of the machine.
    pub id: String,
    /// Kind of processor, as `uname -m` names it.
    pub processor: String,
    /// Whether we are root there.
    pub root: bool,
    /// Our home folder.
    pub home: PathBuf,
    /// Whether systemd runs.
    pub systemd: bool,
}

impl Facts {
    /// Those of this machine.
    ///
    /// # Errors
    /// When it has no identity.
    pub fn of_this_machine() -> Result<Self, MachineError> {
        let read = |path: &&str| {
            let text = std::fs::read_to_string(path).ok()?;
            Some(text.trim().to_owned()).filter(|id| !id.is_empty())
        };
        Ok(Self {
            id: IDENTITIES
                .iter()
                .find_map(read)
                .ok_or_else(|| no_identity("this machine"))?,
            processor: std::env::consts::ARCH.to_owned(),
            root: nix::unistd::geteuid().is_root(),
            home: std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default(),
            systemd: Path::new("/run/systemd/system").is_dir(),
        })
    }

    /// Those in the answer to [`QUESTION`].
    ///
    /// # Errors
    /// When the answer is no answer, or the machine is none that a delegate runs on.
    pub(super) fn of_answer(machine: &str, text: &str, last_words: &str) -> Result<Self, MachineError> {
        let lines: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let line = |name: &str| lines.get(name).copied().unwrap_or_default().trim();
        if line(END).is_empty() {
            return Err(MachineError::Shell {
                machine: machine.to_owned(),
                said: last_words.to_owned(),
            });
        }
        let Some(("Linux", processor)) = line("system").split_once(' ') else {
            return Err(MachineError::System {
                machine: machine.to_owned(),
                system: line("system").to_owned(),
            });
        };
        if line("id").is_empty() {
            return Err(no_identity(machine));
        }
        Ok(Self {
            id: line("id").to_owned(),
            processor: processor.to_owned(),
            root: line("user") == "0",
            home: line("home").into(),
            systemd: !line("systemd").is_empty(),
        })
    }

    /// What keeps services running there: systemd when it runs and we may write its units.
    pub fn service(&self) -> ServiceKind {
        if self.systemd && self.root {
            ServiceKind::Systemd
        } else {
            ServiceKind::Process
        }
    }

    /// Folder of the installations that name none.
    pub(super) fn default_base(&self) -> PathBuf {
        let base = if self.root {
            PathBuf::from("/var/lib")
        } else {
            self.home.join(".local/share")
        };
        base.join("harness-delegate")
    }

    /// Folder of an installation when none is named.
    pub fn default_directory(&self, name: &str) -> PathBuf {
        self.default_base().join(name)
    }
}

fn no_identity(machine: &str) -> MachineError {
    MachineError::NoIdentity {
        machine: machine.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_what_is_none_is_told() {
        let text =
            "Welcome!\nsystem=Linux aarch64\nuser=1000\nhome=/home/a b\nid=0123\nsystemd=yes\nend=yes\n";
        let facts = Facts::of_answer("web", text, "").unwrap();
        assert_eq!((facts.processor.as_str(), facts.id.as_str()), ("aarch64", "0123"));
        assert_eq!(
            facts.service(),
            ServiceKind::Process,
            "its user may not write units"
        );
        let folder = Path::new("/home/a b/.local/share/harness-delegate/team-a");
        assert_eq!(facts.default_directory("team-a"), folder);
        for (text, part) in [
            (text.replace("end=yes", ""), "a password is required"),
            (text.replace("Linux aarch64", "Darwin arm64"), "Darwin arm64"),
            (text.replace("id=0123", ""), "machine-id"),
        ] {
            let error = Facts::of_answer("web", &text, "a password is required")
                .unwrap_err()
                .to_string();
            assert!(error.contains("web") && error.contains(part), "{error}");
        }
    }
}
