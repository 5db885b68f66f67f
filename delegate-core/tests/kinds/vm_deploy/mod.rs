//! `VM_DEPLOY` with the real ssh, to several real sshd on this machine.

mod refusals;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::PATIENCE;
use crate::delegate::Delegate;
use crate::sshd::Sshd;

const KIND: &str = "VM_DEPLOY";

/// Hosts that one key opens; and a delegate with a folder of its own on each of them, which are all this machine.
struct Fleet {
    delegate: Delegate,
    hosts: Vec<Sshd>,
}

impl Fleet {
    async fn of(many: usize) -> Option<Self> {
        let mut hosts: Vec<Sshd> = Vec::new();
        for _ in 0..many {
            let host = Sshd::start().await?;
            if let Some(first) = hosts.first() {
                host.trusts(first);
            }
            hosts.push(host);
        }
        let mut delegate = Delegate::new();
        delegate.watch(&["ssh"]);
        Some(Self { delegate, hosts })
    }

    /// A task for all of them. Scripts find out where they are by `$HERE`.
    fn task(&self, more: Value) -> Value {
        let known: String = self
            .hosts
            .iter()
            .map(|host| host.known_hosts("host_key"))
            .collect();
        let mut data = json!({
            "hosts": self.hosts.iter().map(|host| json!({"host": "127.0.0.1", "port": host.port})).collect::<Vec<_>>(),
            "user": nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name,
            "login": {"key": self.hosts[0].key("user_key"), "known_hosts": known},
            "env": {"TARGET": self.target()},
        });
        data.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        data
    }

    /// Where files go.
    fn target(&self) -> PathBuf {
        self.delegate.path("target")
    }

    fn states(outcome: &crate::bench::Outcome) -> Vec<String> {
        let hosts = outcome.field("hosts").as_array().unwrap();
        hosts
            .iter()
            .map(|host| host["state"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// On which host a script is: its port.
const HERE: &str = "set -- $SSH_CONNECTION; HERE=$4\n";

/// Waits until a file is there.
async fn until_there(file: &Path) {
    let there = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, there).await;
    assert!(waited.is_ok(), "{} does not come", file.display());
}

#[tokio::test]
async fn files_and_scripts_reach_every_host_wave_after_wave_and_again() {
    let Some(fleet) = Fleet::of(3).await else { return };
    let artifact = fleet.delegate.path("workspace/app.bin");
    fs::create_dir(fleet.delegate.path("workspace")).unwrap();
    fs::write(&artifact, [0, 159, 146, 150, 10]).unwrap();
    let (binary, settings) = (
        fleet.target().join("it's here/app.bin"),
        fleet.target().join("settings"),
    );
    let data = fleet.task(json!({
        "files": [
            {"from": {"path": "app.bin"}, "to": binary, "mode": "0755"},
            {"from": {"secret": "password=hunter-of-hosts\n"}, "to": settings, "mode": "600"},
        ],
        "secrets": {"TOKEN": "it's-a-token"},
        "script": format!("{HERE}[ \"$TOKEN\" = \"it's-a-token\" ] || exit 9\necho \"token $TOKEN\"\numask >$TARGET/ran-$HERE"),
        "wave": {"hosts": 2},
    }));
    let outcome = fleet.delegate.run(KIND, data.clone()).await.well();
    assert_eq!(Fleet::states(&outcome), ["done"; 3]);
    assert_eq!(
        (outcome.var("hosts_done"), outcome.var("hosts_failed")),
        ("3", "0")
    );
    assert!(outcome.log.contains("wave 2 of 2: 1 hosts"), "{}", outcome.log);
    assert_eq!(fs::read(&binary).unwrap(), fs::read(&artifact).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&binary), mode(&settings)), (0o755, 0o600));
    for host in &fleet.hosts {
        // With the permissions that the host gives, and not with ours.
        let umask = fs::read_to_string(fleet.target().join(format!("ran-{}", host.port))).unwrap();
        assert_ne!(umask.trim(), "0077");
        assert!(
            outcome
                .log
                .contains(&format!("127.0.0.1:{}: token **", host.port)),
            "{}",
            outcome.log
        );
    }
    // Nothing of it is left but what was asked for, and no secret anywhere else.
    let left: Vec<_> = fs::read_dir(fleet.target()).unwrap().collect();
    assert_eq!(left.len(), 5, "{left:?}");
    fs::remove_file(&settings).unwrap();
    for secret in ["hunter-of-hosts", "it's-a-token"] {
        fleet.delegate.keeps_no(&outcome, secret);
    }
    let key = fleet.hosts[0].key("user_key");
    fleet.delegate.keeps_no(&outcome, key.lines().nth(1).unwrap());

    // The hosts are one machine: what one of them has, all have.
    let again = fleet.delegate.run(KIND, data).await.well();
    let last = &again.field("hosts")[2];
    assert_eq!(last["copied"], json!([]));
    assert_eq!(last["unchanged"], json!([binary, settings]));
    assert_eq!(last["exit_code"], 0);
}

#[tokio::test]
async fn after_too_many_failures_no_further_wave_begins_and_each_host_is_told_of() {
    let Some(fleet) = Fleet::of(3).await else { return };
    let script = format!(
        "{HERE}[ $HERE != {} ] || {{ echo the disk is full >&2; exit 3; }}",
        fleet.hosts[1].port
    );
    let data = fleet.task(json!({"script": script, "wave": {"percent": 34}, "shell": "bash"}));
    let outcome = fleet.delegate.run(KIND, data.clone()).await;
    outcome
        .says("1 of 3 hosts failed")
        .says("the script exited with 3: the disk is full")
        .says(&format!("done: 127.0.0.1:{}", fleet.hosts[0].port))
        .says(&format!("not begun: 127.0.0.1:{}", fleet.hosts[2].port));
    assert_eq!(Fleet::states(&outcome), ["done", "failed", "not_begun"]);
    assert_eq!(outcome.field("hosts")[1]["exit_code"], 3);
    let mut patient = data;
    patient["max_failures"] = json!(1);
    let outcome = fleet.delegate.run(KIND, patient).await;
    assert_eq!(Fleet::states(&outcome), ["done", "failed", "done"]);
    outcome.says("not begun: none");
}

#[tokio::test]
async fn a_host_that_is_another_or_not_there_is_named_and_the_others_go_on() {
    let Some(fleet) = Fleet::of(2).await else { return };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let mut data = fleet.task(json!({"script": "exit 0", "max_failures": 5}));
    data["hosts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"host": "127.0.0.1", "port": port}));
    let strange = fleet.hosts[0].known_hosts("stranger_key") + &fleet.hosts[1].known_hosts("host_key");
    data["login"]["known_hosts"] = strange.into();
    let outcome = fleet.delegate.run(KIND, data.clone()).await;
    let states = Fleet::states(&outcome);
    assert_eq!(states, ["failed", "done", "failed"], "{}", outcome.everything());
    let error = |at: usize| outcome.field("hosts")[at]["error"].as_str().unwrap();
    assert!(error(0).contains("login.known_hosts"), "{}", error(0));
    assert!(error(2).contains("does not reach the host"), "{}", error(2));
    data["login"]["key"] = fleet.hosts[0].key("stranger_key").into();
    let outcome = fleet.delegate.run(KIND, data).await;
    outcome.says("login.key");

    // What is missing here is found before any host is touched.
    let data = fleet.task(json!({
        "files": [{"from": {"path": "none"}, "to": "/none/none"}], "script": "true"
    }));
    let outcome = fleet.delegate.run(KIND, data).await;
    outcome.says("no host was touched");
    assert_eq!(Fleet::states(&outcome), ["not_begun"; 2]);
}

#[tokio::test]
async fn an_abort_ends_what_runs_on_the_hosts() {
    let Some(fleet) = Fleet::of(2).await else { return };
    fs::create_dir(fleet.target()).unwrap();
    let script = format!(
        // Nobody reads what it says once the connection is gone, and who writes then is ended by that.
        "{HERE}exec >/dev/null 2>&1\ntrap 'echo >$TARGET/ended-$HERE; exit 1' TERM\necho >$TARGET/began-$HERE\nwhile :; do sleep 0.1; done"
    );
    let data = fleet.task(json!({"script": script, "wave": {"hosts": 1}}));
    let started = fleet.delegate.start(KIND, &data);
    let first = fleet.hosts[0].port;
    until_there(&fleet.target().join(format!("began-{first}"))).await;
    started.cancel.cancel();
    let outcome = started.end().await.ended("ABORTED");
    assert_eq!(Fleet::states(&outcome), ["cut_off", "not_begun"]);
    assert!(
        outcome.error().contains("the task was aborted"),
        "{}",
        outcome.everything()
    );
    until_there(&fleet.target().join(format!("ended-{first}"))).await;
}
