//! Scripts in real shells, through the same door as the agent's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::process::Environment;
use crate::process::mask::MASK;
use crate::protocol::wire::{LogLine, ResponseCode, TaskResponse};
use crate::task::{LogSink, Registry, Runner, Settings, ShellScript};

/// Keeps the log, and tells when there is something new in it.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<LogLine>>,
    grown: Notify,
}

#[async_trait]
impl LogSink for Log {
    async fn write(&self, mut lines: Vec<LogLine>) {
        self.lines.lock().unwrap().append(&mut lines);
        self.grown.notify_one();
    }
}

impl Log {
    fn text(&self) -> String {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .map(|line| line.out.as_str())
            .collect()
    }

    async fn until(&self, wanted: &str) {
        while !self.text().contains(wanted) {
            self.grown.notified().await;
        }
    }
}

struct Outcome {
    response: TaskResponse,
    log: Arc<Log>,
}

impl Outcome {
    fn status(&self) -> &str {
        assert_eq!(self.response.code, ResponseCode::Ok, "{}", self.response.data);
        self.response.data["command_execution_status"].as_str().unwrap()
    }

    fn error(&self) -> &str {
        self.response.data["error_message"].as_str().unwrap()
    }

    /// What a delegate says that could not do its part.
    fn refusal(&self) -> &str {
        assert_eq!(self.response.code, ResponseCode::Failed, "{}", self.response.data);
        self.error()
    }

    fn vars(&self) -> &Value {
        &self.response.data["output_vars"]
    }
}

struct Bench {
    root: tempfile::TempDir,
    runner: Runner,
    log: Arc<Log>,
    cancel: CancellationToken,
    timeout: Duration,
}

fn bench() -> Bench {
    let root = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(Environment::of_this_process(&[]), root.path().join("tasks"));
    settings.grace = Duration::from_secs(5);
    Bench {
        root,
        runner: Runner::new(Registry::empty().with(ShellScript), settings),
        log: Arc::default(),
        cancel: CancellationToken::new(),
        // A bound for tests that hang; none ends by it unless it says so.
        timeout: Duration::from_mins(1),
    }
}

impl Bench {
    async fn run(self, data: Value) -> Outcome {
        let millis = u64::try_from(self.timeout.as_millis()).unwrap();
        let task = json!({"id": format!("t{}", fastrand::u64(..)), "type": "SHELL_SCRIPT", "data": data, "timeout": millis});
        let task = serde_json::from_value(task).unwrap();
        let response = self.runner.run(task, self.cancel, self.log.clone()).await;
        drop(self.root);
        Outcome {
            response,
            log: self.log,
        }
    }
}

async fn run(data: Value) -> Outcome {
    bench().run(data).await
}

#[tokio::test]
async fn a_script_runs_in_each_shell_and_its_lines_are_logged() {
    for shell in ["bash", "sh", "/bin/bash", "/bin/sh"] {
        let outcome = run(json!({"script": "echo out; echo err >&2", "shell": shell})).await;
        assert_eq!(outcome.status(), "SUCCESS");
        assert_eq!(outcome.response.data["exit_code"], 0);
        assert_eq!(outcome.response.data["error_message"], Value::Null);
        let mut lines: Vec<_> = outcome
            .log
            .lines
            .lock()
            .unwrap()
            .iter()
            .map(|line| (line.level.clone(), line.out.clone()))
            .collect();
        lines.sort();
        assert_eq!(
            lines,
            [("error".into(), "err\n".into()), ("info".into(), "out\n".into())]
        );
    }
}

#[tokio::test]
async fn the_default_shell_is_the_delegates() {
    let mut bench = bench();
    let mut settings = Settings::new(Environment::of_this_process(&[]), bench.root.path());
    settings.shell = Some("/bin/sh".into());
    bench.runner = Runner::new(Registry::standard(), settings);
    let outcome = bench
        .run(json!({"script": "echo ${BASH_VERSION:-no bash}"}))
        .await;
    assert_eq!(outcome.log.text(), "no bash\n");
    assert_ne!(
        run(json!({"script": "echo ${BASH_VERSION:-no bash}"}))
            .await
            .log
            .text(),
        "no bash\n"
    );
}

#[tokio::test]
async fn a_failing_script_is_a_failure_with_its_code() {
    let outcome = run(json!({"script": "exit 3"})).await;
    assert_eq!(
        (outcome.status(), &outcome.response.data["exit_code"]),
        ("FAILURE", &json!(3))
    );
    assert_eq!(outcome.error(), "the script exited with code 3");
    let outcome = run(json!({"script": "kill -9 $$"})).await;
    assert_eq!(
        (outcome.status(), &outcome.response.data["exit_code"]),
        ("FAILURE", &json!(137))
    );
}

#[tokio::test]
async fn the_environment_is_the_allowlist_and_what_the_task_brings() {
    let mut bench = bench();
    let own = [
        ("PATH", "/usr/bin:/bin"),
        ("DELEGATE_TOKEN", "t0ken"),
        ("FOO", "bar"),
    ];
    let settings = Settings::new(Environment::allowed(own, &[]), bench.root.path());
    bench.runner = Runner::new(Registry::standard(), settings);
    let data = json!({
        "script": "env | cut -d= -f1 | grep -vx -e PWD -e _ -e SHLVL | sort; printf '%s|%s\\n' \"$PLAIN\" \"${#SECRET}\"",
        "env": {"PLAIN": "a b", "BOTH": "env"},
        "secrets": {"SECRET": "hunter2", "BOTH": "from secrets"},
        "shell": "sh",
    });
    let outcome = bench.run(data).await;
    assert_eq!(
        outcome.log.text(),
        "BOTH\nHARNESS_DELEGATE_TASK\nPATH\nPLAIN\nSECRET\na b|7\n"
    );
}

#[tokio::test]
async fn a_secret_is_seen_nowhere() {
    let outcome = run(json!({
        "script": "set -x; echo \"$S\"; echo \"$S\" | base64; printf '%s' \"$S\" >&2; A=\"x $S\"; exit 4",
        "secrets": {"S": "it's a \"secret\""},
        "output_vars": ["A", "S"],
    }))
    .await;
    assert_eq!(outcome.status(), "FAILURE");
    let everything = outcome.log.text() + &outcome.response.data.to_string();
    assert!(!everything.contains("it's a \"secret\""), "{everything}");
    assert!(
        !everything.contains(r"it'\''s"),
        "as the trace quotes it: {everything}"
    );
    assert!(!everything.contains("aXQncyBh"), "in base64: {everything}");
    assert_eq!(outcome.vars()["A"], format!("x {MASK}"));
}

const UNSPECIFIED: i64 = -1;

/// Each ends differently; after each, the variables are there.
const ENDS: &[(&str, i64)] = &[
    ("", 0),
    ("exit 3", 3),
    ("set -e; false; A=no", 1),
    ("set -eu; echo \"$NOT_SET\"; A=no", UNSPECIFIED),
    ("set -euxC; IFS=x; PATH=; exit 5", 5),
    ("trap 'A=changed; B=trapped' EXIT; exit 6", 6),
    ("trap -- 'exit 7' 0", 7),
    ("trap 'echo bye' EXIT; trap - EXIT; exit 8", 8),
    ("trap 0; exit 9", 9),
    ("f() { exit 10; }; f", 10),
    ("printf() { echo mine; }; exit 11", 11),
    ("( A=sub; trap 'echo sub' EXIT; exit 3 ); exit 12", 12),
    ("kill -TERM $$; sleep 10", 143),
    ("return 13", 13),
];

#[tokio::test]
async fn output_variables_are_kept_whatever_the_end() {
    for shell in ["bash", "sh"] {
        for &(end, code) in ENDS {
            let script = format!("A='one\ntwo = \"three\"'\nexport B='it'\\''s'\nE=\n{end}");
            let data = json!({"script": script, "shell": shell, "output_vars": ["A", "B", "E", "MISSING"]});
            let outcome = run(data).await;
            let told = format!("{shell}: {end}: {} {}", outcome.response.data, outcome.log.text());
            match code {
                // How shells end over an unset variable differs.
                UNSPECIFIED => assert_eq!(outcome.status(), "FAILURE", "{told}"),
                code => assert_eq!(outcome.response.data["exit_code"], code, "{told}"),
            }
            let (a, b) = if end.contains("changed") {
                ("changed", "trapped")
            } else {
                ("one\ntwo = \"three\"", "it's")
            };
            assert_eq!(outcome.vars(), &json!({"A": a, "B": b, "E": ""}), "{told}");
            assert!(
                !outcome.log.text().contains("__hd_dump"),
                "a trace does not show it: {told}"
            );
            assert_eq!(
                outcome.log.text().contains("sub"),
                end.contains("echo sub"),
                "{told}"
            );
        }
    }
}

#[tokio::test]
async fn a_script_keeps_its_name_and_its_line_numbers() {
    for shell in ["bash", "sh"] {
        let data = json!({"script": "\n\necho \"${0##*/} $LINENO $#\"\nnot-a-command", "shell": shell, "output_vars": ["A"]});
        let outcome = run(data).await;
        let log = outcome.log.text();
        // Not every sh knows its line.
        assert!(
            log.contains("script.sh 3 0") || shell == "sh" && log.contains("script.sh  0"),
            "{log}"
        );
        assert!(
            log.contains("line 4: ") || log.contains("script.sh: 4: "),
            "{log}"
        );
        assert_eq!(outcome.response.data["exit_code"], 127);
    }
}

#[tokio::test]
async fn a_script_that_is_no_script_fails() {
    for shell in ["bash", "sh"] {
        let outcome =
            run(json!({"script": "A=1\nif true; then", "shell": shell, "output_vars": ["A"]})).await;
        assert_eq!(outcome.status(), "FAILURE", "{shell}");
        assert!(!outcome.log.text().is_empty());
    }
}

#[tokio::test]
async fn a_timeout_ends_the_script_and_keeps_what_it_set() {
    for shell in ["bash", "sh"] {
        let mut bench = bench();
        bench.timeout = Duration::from_millis(500);
        let outcome = bench
            .run(json!({"script": "A=set; sleep 300", "shell": shell, "output_vars": ["A"]}))
            .await;
        assert_eq!(outcome.status(), "TIMEOUT");
        assert_eq!(outcome.response.data["exit_code"], 143);
        assert_eq!(outcome.vars(), &json!({"A": "set"}), "{shell}");
        assert!(outcome.error().contains("500ms"), "{}", outcome.error());
    }
}

#[tokio::test]
async fn an_abort_ends_the_script() {
    let bench = bench();
    let (cancel, log) = (bench.cancel.clone(), bench.log.clone());
    let abort = async {
        log.until("started").await;
        cancel.cancel();
    };
    // No program is started meanwhile: bash loses a SIGTERM that comes between the fork of one and its exec, and is killed
    // after the grace then.
    let script = json!({"script": "A=set; echo started; while :; do :; done", "output_vars": ["A"]});
    let (outcome, ()) = tokio::join!(bench.run(script), abort);
    assert_eq!(outcome.status(), "ABORTED");
    assert_eq!(outcome.vars(), &json!({"A": "set"}));
}

#[tokio::test]
async fn what_a_script_leaves_behind_is_ended_and_told() {
    let outcome = run(json!({"script": "sleep 300 & echo done"})).await;
    assert_eq!(outcome.status(), "SUCCESS");
    assert!(
        outcome.log.text().contains("left behind"),
        "{}",
        outcome.log.text()
    );
}

#[tokio::test]
async fn too_many_bytes_of_output_variables_are_a_failure() {
    let script = "A=$(head -c 5000000 /dev/zero | tr '\\0' x)";
    let outcome = run(json!({"script": script, "output_vars": ["A"]})).await;
    assert_eq!(outcome.status(), "FAILURE");
    assert!(outcome.error().contains("4 MiB"), "{}", outcome.error());
}

#[tokio::test]
async fn the_working_directory_is_the_tasks_own_or_the_one_asked_for() {
    let outcome = run(json!({"script": "pwd; umask; ls -l script.sh | cut -c1-10; stat -c %a ."})).await;
    let log = outcome.log.text();
    assert!(
        log.contains("/tasks/task-") && log.ends_with("0077\n-rw-------\n700\n"),
        "{log}"
    );
    assert_eq!(
        run(json!({"script": "pwd", "working_dir": "/"})).await.log.text(),
        "/\n"
    );
    let outcome = run(json!({"script": "pwd", "working_dir": "/not/there"})).await;
    assert_eq!(
        outcome.refusal(),
        "task data field `working_dir`: /not/there does not exist on this delegate"
    );
}

#[tokio::test]
async fn bad_data_is_refused_by_the_name_of_the_field() {
    for (data, told) in [
        (json!({}), "missing field `script`"),
        (json!({"script": 1}), "`script`: invalid type: integer"),
        (json!({"script": "", "scirpt": ""}), "`scirpt`"),
        (
            json!({"script": "", "env": {"A-B": ""}}),
            "`env`: `A-B` is not a name",
        ),
        (
            json!({"script": "", "env": {"A": "x\u{0}"}}),
            "`env.A`: contains a NUL",
        ),
        (
            json!({"script": "", "output_vars": ["A;B"]}),
            "`output_vars`: `A;B` is not a name",
        ),
        (
            json!({"script": "", "secrets": {"HARNESS_DELEGATE_TASK": "xxxx"}}),
            "set by the delegate",
        ),
        (
            json!({"script": "", "shell": "fish"}),
            "`shell`: must be bash, sh, pwsh",
        ),
        (
            json!({"script": "", "shell": "/bin/not-there"}),
            "shell `/bin/not-there`",
        ),
        (
            json!({"script": "", "secrets": {"A": "<+secrets.getValue(\"db\")>"}}),
            "`<+secrets.getValue(\"db\")>`",
        ),
    ] {
        let outcome = run(data.clone()).await;
        assert!(outcome.refusal().contains(told), "{data}: {}", outcome.refusal());
        assert_eq!(outcome.response.data["command_execution_status"], "FAILURE");
    }
}

#[tokio::test]
async fn null_is_as_good_as_absent() {
    let data = json!({"script": "true", "shell": null, "env": null, "working_dir": null, "output_vars": null, "secrets": null});
    assert_eq!(run(data).await.status(), "SUCCESS");
}

#[tokio::test]
async fn a_link_in_the_place_of_the_output_variables_is_not_followed() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let script = format!(
        "ln -s {} \"${{0%/*}}/output_vars\"; A=1",
        outside.path().display()
    );
    let outcome = run(json!({"script": script, "output_vars": ["A"]})).await;
    assert_eq!(outcome.status(), "FAILURE");
    assert!(
        outcome.error().contains("failed to read the output variables"),
        "{}",
        outcome.error()
    );
    assert_eq!(outcome.vars(), &json!({}));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_script_runs_as_the_user_of_tasks_in_a_directory_of_that_user() {
    use std::os::unix::fs::PermissionsExt as _;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can be another user");
        return;
    }
    let mut bench = bench();
    std::fs::set_permissions(bench.root.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let mut settings = Settings::new(Environment::of_this_process(&[]), bench.root.path().join("tasks"));
    settings.confinement.user = Some(crate::process::User::find("65534:65534").unwrap());
    bench.runner = Runner::new(Registry::standard(), settings);
    let script = r#"
        id -u; cd "$HOME" && echo x >file && stat -c %u:%a . file "$0"
        ls "$HOME/.." 2>/dev/null || echo "sees no other task"
        A="kept $S"
    "#;
    let data = json!({"script": script, "output_vars": ["A"], "secrets": {"S": "hunter2"}});
    let outcome = bench.run(data).await;
    assert_eq!(outcome.status(), "SUCCESS", "{}", outcome.log.text());
    let lines = [
        "65534",
        "65534:700",
        "65534:600",
        "65534:600",
        "sees no other task",
        "",
    ];
    assert_eq!(outcome.log.text(), lines.join("\n"));
    assert_eq!(outcome.vars(), &json!({"A": format!("kept {MASK}")}));
}
