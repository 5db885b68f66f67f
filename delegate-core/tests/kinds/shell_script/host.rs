//! Scripts on a host: the real ssh, to a real sshd on this machine.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::PATIENCE;
use crate::delegate::Delegate;
use crate::sshd::Sshd;

const KIND: &str = "SHELL_SCRIPT";

/// A host in task data.
pub(super) fn with(more: Value) -> Value {
    let mut host = json!({
        "host": "h",
        "login": {"key": "-----BEGIN KEY-----", "known_hosts": "h ssh-ed25519 A"},
    });
    host.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    host
}

/// A delegate, and a host that lets it in.
async fn site() -> Option<(Delegate, Sshd)> {
    let host = Sshd::start().await?;
    let mut delegate = Delegate::new();
    delegate.watch(&["ssh"]);
    Some((delegate, host))
}

fn task(host: &Sshd, more: Value) -> Value {
    let mut data = json!({"ssh": {
        "host": "127.0.0.1",
        "port": host.port,
        "user": nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name,
        "login": {"key": host.key("user_key"), "known_hosts": host.known_hosts("host_key")},
    }});
    data.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    data
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} does not happen");
}

#[tokio::test]
async fn a_script_runs_there_as_it_would_here() {
    let Some((delegate, host)) = site().await else {
        return;
    };
    let script = r#"
[ -n "$SSH_CONNECTION" ] || exit 90
[ "$TOKEN" = "it's a-token" ] && [ "$LINES_OF" = "one
two" ] && [ "$BOTH" = secret ] || exit 91
[ -z "$(cat)" ] && [ "$(stat -c %a .)" = 700 ] || exit 92
echo "token $TOKEN in ${BASH_VERSION:+bash} at ${0%/*}"
echo err >&2
A='one
two = "three"'
B="with $TOKEN"
E=
printf 'no end'
exit 3"#;
    let data = json!({
        "script": script,
        "env": {"LINES_OF": "one\ntwo", "BOTH": "env"},
        "secrets": {"TOKEN": "it's a-token", "BOTH": "secret"},
        "output_vars": ["A", "B", "E", "MISSING"],
    });
    for (shell, name) in [(None, "bash"), (Some("sh"), "")] {
        let mut data = task(&host, data.clone());
        if let Some(shell) = shell {
            data["shell"] = shell.into();
        }
        let outcome = delegate.run(KIND, data).await.ended("FAILURE");
        assert_eq!(outcome.error(), "the script exited with code 3");
        assert_eq!(outcome.field("exit_code"), 3);
        assert_eq!(outcome.var("A"), "one\ntwo = \"three\"");
        assert_eq!((outcome.var("B"), outcome.var("E")), ("with **************", ""));
        let log = &outcome.log;
        assert!(log.contains(&format!("in {name} at /tmp/task-")), "{log}");
        assert!(log.contains("err\n") && log.contains("no end\n"), "{log}");
        assert!(log.contains("output variable MISSING was not set"), "{log}");
        let (_, folder) = log.split_once(" at ").unwrap();
        let folder = folder.lines().next().unwrap();
        assert!(!Path::new(folder).exists(), "{folder} is left");
        delegate.keeps_no(&outcome, "it's a-token");
        let key = host.key("user_key");
        delegate.keeps_no(&outcome, key.lines().nth(1).unwrap());
    }
}

#[tokio::test]
async fn an_interpreter_there_runs_a_script_and_sees_no_secret_on_a_command_line() {
    let Some((delegate, host)) = site().await else {
        return;
    };
    let script = r#"
import glob, os
seen = 0
for name in glob.glob("/proc/[0-9]*/cmdline"):
    try:
        seen += os.environ["TOKEN"].encode() in open(name, "rb").read()
    except OSError:
        pass
with open(os.environ["HARNESS_DELEGATE_OUTPUT"], "a") as output:
    output.write("SEEN=%d\nHERE=%s\nOTHER=x\n" % (seen, os.getcwd()))
"#;
    let data = task(
        &host,
        json!({
            "script": script, "interpreter": "python3", "working_dir": "/usr", "output_vars": ["SEEN", "HERE"],
            "secrets": {"TOKEN": "token-of-the-script"},
        }),
    );
    let outcome = delegate.run(KIND, data).await.well();
    assert_eq!((outcome.var("SEEN"), outcome.var("HERE")), ("0", "/usr"));
    assert_eq!(outcome.vars().len(), 2);

    for (wrong, words) in [
        (
            json!({"interpreter": "no-such-program"}),
            "interpreter `no-such-program`",
        ),
        (
            json!({"shell": "/bin/no-such-shell"}),
            "shell `/bin/no-such-shell`",
        ),
        (
            json!({"working_dir": "/no/such/folder"}),
            "`working_dir`: does not exist on host 127.0.0.1",
        ),
    ] {
        let mut data = task(&host, json!({"script": "", "output_vars": ["A"]}));
        data.as_object_mut()
            .unwrap()
            .extend(wrong.as_object().unwrap().clone());
        let outcome = delegate.run(KIND, data).await;
        assert!(outcome.refusal().contains(words), "{}", outcome.refusal());
    }
}

#[tokio::test]
async fn an_abort_ends_the_script_there_and_keeps_what_it_said_and_set() {
    let Some((delegate, host)) = site().await else {
        return;
    };
    let script = "trap 'echo on the way out; exit 4' TERM\nA=set\nsleep 600 &\necho child=$!=\nwait";
    for shell in ["bash", "sh"] {
        let data = task(
            &host,
            json!({"script": script, "shell": shell, "output_vars": ["A"]}),
        );
        let started = delegate.start(KIND, &data);
        started.log.until("child=").await;
        let child = started.log.text();
        let child = child.split('=').nth(1).unwrap().to_owned();
        started.cancel.cancel();
        let outcome = started.end().await.ended("ABORTED");
        assert_eq!(
            (outcome.error(), outcome.field("exit_code")),
            ("the task was aborted", &json!(4))
        );
        assert_eq!(outcome.var("A"), "set", "{shell}");
        assert!(outcome.log.contains("on the way out"), "{}", outcome.log);
        let is_gone = || {
            let stat = fs::read_to_string(format!("/proc/{child}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        until("the end of what the script started", is_gone).await;
    }
}

#[tokio::test]
async fn what_a_script_leaves_there_is_ended_and_its_time_is_bounded() {
    let Some((mut delegate, host)) = site().await else {
        return;
    };
    let data = task(
        &host,
        json!({"script": "sleep 600 & echo done; A=1", "output_vars": ["A"]}),
    );
    let outcome = delegate.run(KIND, data).await.well();
    assert_eq!(outcome.var("A"), "1");
    assert!(outcome.log.contains("left behind were ended"), "{}", outcome.log);
    delegate.timeout = Duration::from_secs(1);
    let outcome = delegate
        .run(KIND, task(&host, json!({"script": "sleep 600"})))
        .await;
    let outcome = outcome.ended("TIMEOUT");
    assert!(outcome.error().contains("within 1s"), "{}", outcome.error());
}

#[tokio::test]
async fn a_host_that_is_another_or_lets_nobody_in_is_named() {
    let Some((delegate, host)) = site().await else {
        return;
    };
    let mut data = task(&host, json!({"script": "exit 0"}));
    data["ssh"]["login"]["known_hosts"] = host.known_hosts("stranger_key").into();
    let outcome = delegate.run(KIND, data.clone()).await;
    outcome.says("ssh.login.known_hosts");
    data["ssh"]["login"]["known_hosts"] = host.known_hosts("host_key").into();
    data["ssh"]["login"]["key"] = host.key("stranger_key").into();
    let outcome = delegate.run(KIND, data.clone()).await;
    outcome.says("ssh.login.key");
    // One that exits as ssh itself does when it fails is a script that exits.
    data["ssh"]["login"]["key"] = host.key("user_key").into();
    data["script"] = "echo 'Permission denied (' >&2; exit 255".into();
    let outcome = delegate.run(KIND, data).await;
    outcome.says("the script exited with code 255");
}
