//! A delegate on another machine, over a real ssh.

mod access;
mod import;
mod life;
mod listing;
mod lost;
mod users;

use serde_json::json;

use crate::fixture::{Case, DELEGATE, TOKEN, resource};
use crate::other_machine::OtherMachine;

/// More than anything but a program needs, and less than the smallest program has.
pub(crate) const NO_PROGRAM: u64 = 2 * 1024 * 1024;

/// A case with another machine; nothing is installed yet.
pub(crate) struct Remote {
    pub(crate) case: Case,
    pub(crate) machine: OtherMachine,
}

impl Remote {
    pub(crate) async fn new(stem: &str) -> Option<Self> {
        let case = Case::new(stem).await?;
        let machine = OtherMachine::start().await?;
        Some(Self { case, machine })
    }

    /// Writes a configuration of one delegate on that machine, in this case's folder.
    pub(crate) fn configure(&self, arguments: &str) {
        self.configure_by(&self.machine.arguments("root"), arguments);
    }

    pub(crate) fn configure_by(&self, ssh: &str, arguments: &str) {
        let place = format!(
            "host = {{ directory = \"{}\", service = \"process\", ssh = {ssh} }}",
            self.case.host.path()
        );
        self.case
            .write(&resource(&self.case.name, &format!("{place}\n  {arguments}")));
    }

    /// Applies it, and the delegate connects.
    pub(crate) async fn installed(stem: &str) -> Option<Self> {
        let remote = Self::new(stem).await?;
        remote.configure(TOKEN);
        remote.case.terraform.apply().await.succeeds();
        remote.case.host.assert_one_delegate();
        assert_eq!(remote.case.attribute("target_id").await, json!(remote.machine.id));
        Some(remote)
    }

    /// That nothing was made: no state, no file, no process.
    pub(crate) async fn assert_untouched(&self) {
        assert!(self.case.terraform.state().await.resource(DELEGATE).is_null());
        self.case.host.assert_gone();
    }

    /// That no `ssh` of ours is left that leads to this machine.
    pub(crate) fn assert_disconnected(&self) {
        assert_eq!(self.connections(), 0, "an ssh is left");
    }

    /// How many programs `ssh` lead to this machine.
    pub(crate) fn connections(&self) -> usize {
        let port = self.machine.port.to_string();
        let ours = |line: &&Vec<u8>| {
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words
                .windows(2)
                .any(|pair| pair == [b"-p".as_slice(), port.as_bytes()])
        };
        let lines: Vec<Vec<u8>> = std::fs::read_dir("/proc")
            .expect("readable")
            .flatten()
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .collect();
        lines.iter().filter(ours).count()
    }
}
