//! What a crash or a stranger does.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Site;

/// The processes of this machine whose command line contains all of `parts`, with their command lines.
pub fn processes(parts: &[&str]) -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let command_line = |pid: i32| {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(|pid| (pid, command_line(pid)))
        .filter(|(_, line)| parts.iter().all(|part| line.contains(part)))
        .collect()
}

/// Kills the Terraform of this site and all its descendants in one go, as a machine that loses its power does.
pub fn kill_tree(site: &Site) {
    let folder = site.terraform.path("");
    let ours =
        |pid: &i32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| folder.starts_with(cwd));
    let mut tree: Vec<i32> = processes(&["terraform", "-auto-approve"])
        .into_iter()
        .map(|(pid, _)| pid)
        .filter(ours)
        .collect();
    for at in 0.. {
        let Some(parent) = tree.get(at).copied() else {
            break;
        };
        // Stopped first, so that none gets to tidy up or to make another while the others are looked for.
        let _ = kill(Pid::from_raw(parent), Signal::SIGSTOP);
        for task in std::fs::read_dir(format!("/proc/{parent}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
            for child in children {
                if !tree.contains(&child) {
                    tree.push(child);
                }
            }
        }
    }
    for pid in tree {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

impl Site {
    /// Changes the token in the delegate's Secret by hand, and that this is seen without a word of it.
    pub async fn tamper_with_token(&self) {
        let patch = r#"{"stringData":{"DELEGATE_TOKEN":"ffffffffffffffffffffffffffffffff"}}"#;
        self.kubectl(&[
            "patch",
            "secret",
            &self.secret(),
            "--type=merge",
            "--patch",
            patch,
        ])
        .await;
        let drift = self.drift().await;
        assert!(
            drift.contains(&"the Secret of the token was changed".to_owned()),
            "{drift:?}"
        );
        assert!(!drift.concat().contains("ffff"), "{drift:?}");
    }

    /// The Secret that we keep the token in.
    pub fn secret(&self) -> String {
        format!("{}-delegate-token", self.name)
    }

    /// Has the state say that the delegate is in another cluster, as it is when the one at this address was made anew. The
    /// id that it says, and the true one.
    pub async fn pretend_another_cluster(&self) -> (&'static str, String) {
        const OTHER: &str = "11111111-2222-3333-4444-555555555555";
        let uid = self.attribute("target_id").await;
        let uid = uid.as_str().expect("an id").to_owned();
        let state = self.terraform.state_file().replace(&uid, OTHER);
        self.terraform.write("terraform.tfstate", &state);
        (OTHER, uid)
    }
}
