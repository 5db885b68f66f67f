//! The real program: its settings, its exit codes, its last words, and what a `kill -9` leaves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

mod support;

use std::process::Output;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::manager_double::{Fault, ManagerDouble, Route};
use support::program::{Running, eventually, output, program, run};
use support::{TOKEN, Watchdog};

const REQUIRED: [(&str, &str); 4] = [
    ("ACCOUNT_ID", "acc"),
    ("DELEGATE_NAME", "tested"),
    ("DELEGATE_TOKEN", TOKEN),
    ("MANAGER_HOST_AND_PORT", "http://127.0.0.1:9"),
];

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Exit 2, nothing on stdout, and one line that names the variable and not the token.
fn assert_one_line(output: &Output, variable: &str) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    let complaints: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("harness-delegate: "))
        .collect();
    assert_eq!(complaints.len(), 1, "{text}");
    assert!(complaints[0].contains(variable), "{variable}: {text}");
    assert!(output.stdout.is_empty() && !text.contains("0102030405"), "{text}");
}

#[tokio::test]
async fn a_bad_setting_is_one_line_that_names_it() {
    let _watchdog = Watchdog::start("bad settings");
    for (name, value) in [
        ("ACCOUNT_ID", ""),
        ("DELEGATE_NAME", "-a-"),
        ("DELEGATE_TOKEN", ""),
        ("DELEGATE_TOKEN", "00010203040506070809"),
        ("MANAGER_HOST_AND_PORT", "not a url"),
        ("DELEGATE_TAGS", &"x".repeat(500)),
        ("DELEGATE_HTTP_PORT", "70000"),
        ("DELEGATE_TASK_CAPACITY", "many"),
        ("PROXY_HOST", "proxy.example"),
    ] {
        let mut command = program(&REQUIRED);
        command.env(name, value).arg("run");
        let named = if name == "PROXY_HOST" { "PROXY_PORT" } else { name };
        assert_one_line(&output(command).await, named);
    }
    let nothing = output({
        let mut command = program(&[]);
        command.arg("run");
        command
    })
    .await;
    for variable in [
        "ACCOUNT_ID",
        "DELEGATE_NAME",
        "DELEGATE_TOKEN",
        "MANAGER_HOST_AND_PORT",
    ] {
        assert_one_line(&nothing, variable);
    }
}

#[tokio::test]
async fn what_only_the_machine_can_tell_is_one_line_too() {
    let _watchdog = Watchdog::start("machine");
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = run("http://127.0.0.1:9", dir.path());
    command.env("DELEGATE_HTTP_PORT", port);
    assert_one_line(&output(command).await, "DELEGATE_HTTP_PORT");

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_one_line(&output(run("http://127.0.0.1:9", &file)).await, "WORKING_DIR");

    let mut command = run("http://127.0.0.1:9", dir.path());
    command
        .env_remove("DELEGATE_TOKEN")
        .args(["--token-file", "/nowhere/token"]);
    assert_one_line(&output(command).await, "DELEGATE_TOKEN_FILE");

    let mut command = run("https://127.0.0.1:9", dir.path());
    command
        .env("DELEGATE_CLIENT_CERTIFICATE_PATH", &file)
        .env("DELEGATE_CLIENT_CERTIFICATE_KEY_PATH", &file);
    assert_one_line(&output(command).await, "DELEGATE_CLIENT_CERTIFICATE_PATH");

    std::fs::write(&file, "DELEGATE_TOKEN\n").unwrap();
    let mut command = run("http://127.0.0.1:9", dir.path());
    command.arg("--env-file").arg(&file);
    assert_one_line(&output(command).await, "line 1");
}

#[tokio::test]
async fn two_agents_never_share_a_working_directory() {
    let _watchdog = Watchdog::start("shared directory");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let first = Running::start(run(&manager.url, dir.path()));
    manager.called(Route::Register, 1).await;
    let second = output(run(&manager.url, dir.path())).await;
    assert_one_line(&second, "WORKING_DIR");
    assert!(
        stderr(&second).contains(&format!("process {}", first.id())),
        "{}",
        stderr(&second)
    );
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let _watchdog = Watchdog::start("precedence");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let (file, token) = (dir.path().join("env"), dir.path().join("token"));
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::write(
        &file,
        "DELEGATE_NAME=of-file\nDELEGATE_TAGS='of file'\nDELEGATE_DESCRIPTION=of-file\n",
    )
    .unwrap();
    let mut command = run(&manager.url, dir.path());
    command
        .env("DELEGATE_NAME", "of-env")
        .env("DELEGATE_TAGS", "of-env")
        .env("DELEGATE_TOKEN", "no token at all");
    command
        .args(["--name", "of-flag", "--env-file"])
        .arg(&file)
        .arg("--token-file")
        .arg(&token);
    let _agent = Running::start(command);
    let body = manager.called(Route::Register, 1).await[0].body.clone();
    assert_eq!(body["delegateName"], "of-flag");
    assert_eq!(body["tags"], json!(["of-env"]));
    assert_eq!(body["description"], "of-file");
}

#[tokio::test]
async fn no_flag_takes_the_token() {
    let _watchdog = Watchdog::start("no flag");
    for flag in ["--token", "--delegate-token"] {
        let mut command = program(&REQUIRED);
        command.args(["run", flag, TOKEN]);
        let output = output(command).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr(&output).contains("unexpected argument"),
            "{}",
            stderr(&output)
        );
    }
}

#[tokio::test]
async fn a_refused_token_is_exit_3_with_the_reason_last() {
    let _watchdog = Watchdog::start("exit 3");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    manager.refuse_all(Some(&Fault::Status(401, "INVALID_TOKEN")));
    let output = output(run(&manager.url, dir.path())).await;
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    let last = text.lines().last().unwrap();
    assert!(
        last.contains("INVALID_TOKEN") && last.contains("DELEGATE_TOKEN"),
        "{text}"
    );
    assert!(!text.contains("ey"), "the bearer token does not print: {text}");
}

#[tokio::test]
async fn a_delegate_that_the_manager_sends_away_is_exit_3_with_the_reason_last() {
    let _watchdog = Watchdog::start("sent away");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let reply = json!({"metaData": {}, "resource": {"action": "SELF_DESTRUCT"}});
    manager.fail_always(Route::Register, Some(Fault::Other(reply)));
    let output = output(run(&manager.url, dir.path())).await;
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    let last = text.lines().last().unwrap();
    assert!(
        last.contains("SELF_DESTRUCT") && last.contains("DELEGATE_NAME"),
        "{text}"
    );
}

#[tokio::test]
async fn a_signal_drains_and_ends_with_0() {
    let _watchdog = Watchdog::start("signals");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
        let agent = Running::start(run(&manager.url, dir.path()));
        manager.called(Route::TaskEvents, 1).await;
        manager.offer(
            "drained",
            "SHELL_SCRIPT",
            json!({"script": "echo begun; sleep 1; echo done"}),
        );
        manager.called(Route::LogAppend, 1).await;
        agent.signal(signal);
        assert_eq!(agent.end().await.code(), Some(0), "{signal}");
        assert_eq!(
            manager.answers("drained")[0]["data"]["command_execution_status"],
            "SUCCESS"
        );
    }
}

#[tokio::test]
async fn a_second_signal_ends_running_tasks_and_answers_them() {
    let _watchdog = Watchdog::start("second signal");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let agent = Running::start(run(&manager.url, dir.path()));
    manager.offer(
        "second-signal",
        "SHELL_SCRIPT",
        json!({"script": "echo begun; sleep 600"}),
    );
    manager.called(Route::LogAppend, 1).await;
    agent.signal(Signal::SIGTERM);
    let polls = manager.calls(Route::Heartbeat).len();
    manager.called(Route::Heartbeat, polls + 1).await;
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end().await.code(), Some(5));
    assert_eq!(
        manager.answers("second-signal")[0]["data"]["command_execution_status"],
        "ABORTED"
    );
}

#[tokio::test]
async fn the_init_script_runs_before_registration_and_its_failure_stops_the_start() {
    let _watchdog = Watchdog::start("init script");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let proof = dir.path().join("proof");
    let mut command = run(&manager.url, dir.path());
    command.env(
        "INIT_SCRIPT",
        format!("echo said by init; env > '{}'; exit 7", proof.display()),
    );
    let output = output(command).await;
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(
        text.contains("said by init") && text.contains("exit code 7"),
        "{text}"
    );
    assert!(!std::fs::read_to_string(&proof).unwrap().contains(TOKEN));
    assert_eq!(manager.calls(Route::Register).len(), 0);

    let mut command = run(&manager.url, dir.path());
    command.env("INIT_SCRIPT", format!("echo ran > '{}'", proof.display()));
    let _agent = Running::start(command);
    manager.called(Route::Register, 1).await;
    assert_eq!(std::fs::read_to_string(&proof).unwrap(), "ran\n");
}

#[tokio::test]
async fn a_task_sees_neither_the_token_nor_the_agents_environment() {
    let _watchdog = Watchdog::start("environment");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let mut command = run(&manager.url, dir.path());
    command.env("SOMETHING_ELSE", "not for tasks");
    let agent = Running::start(command);
    // As another user, since root may read anything; of the same user's processes, reading is what is prevented.
    manager.offer(
        "sees",
        "SHELL_SCRIPT",
        json!({"script": "env", "env": {"GIVEN": "yes"}}),
    );
    manager.answered("sees").await;
    manager
        .until("the log is closed", |m| {
            (!m.calls(Route::LogClose).is_empty()).then_some(())
        })
        .await;
    let log = manager.log_text();
    assert!(log.contains("GIVEN=yes") && log.contains("PATH="), "{log}");
    assert!(
        !log.contains(TOKEN) && !log.contains("SOMETHING_ELSE") && !log.contains("DELEGATE_TOKEN"),
        "{log}"
    );
    let environ = std::fs::metadata(format!("/proc/{}/environ", agent.id())).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&environ), 0);
}

#[tokio::test]
async fn a_task_that_ran_at_a_kill_9_is_answered_once_as_failed_and_its_processes_end() {
    let _watchdog = Watchdog::start("kill while running");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let trace = dir.path().join("trace");
    let script = format!("echo $$ >> '{}'; echo begun; sleep 600", trace.display());
    let pids = || std::fs::read_to_string(&trace).unwrap_or_default();
    let mut agent = Running::start(run(&manager.url, dir.path()));
    manager.offer("ran-at-kill", "SHELL_SCRIPT", json!({"script": script}));
    manager.called(Route::LogAppend, 1).await;
    agent.kill();
    let script_pid: i32 = pids().trim().parse().unwrap();
    // It may even be offered again.
    manager.repeat_events();
    manager.offer("ran-at-kill", "SHELL_SCRIPT", json!({"script": script}));
    let agent = Running::start(run(&manager.url, dir.path()));
    let answer = manager.answered("ran-at-kill").await;
    assert_eq!(answer["code"], "FAILED");
    assert!(
        answer["data"]["error_message"]
            .as_str()
            .unwrap()
            .contains("restarted while the task ran"),
        "{answer}"
    );
    let path = &manager.calls(Route::Respond)[0].path;
    assert!(
        path.ends_with("/delegates/delegate-1"),
        "answered as the one that took it: {path}"
    );
    eventually("the script ends", || !is_alive(script_pid)).await;
    let polls = manager.calls(Route::TaskEvents).len();
    manager.called(Route::TaskEvents, polls + 3).await;
    assert_eq!(
        (manager.answers("ran-at-kill").len(), pids().lines().count()),
        (1, 1),
        "answered once, run once"
    );
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end().await.code(), Some(0));
}

/// A zombie that nobody reaps counts as ended.
fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with(['Z', 'X'])
    })
}

#[tokio::test]
async fn a_task_that_had_ended_before_a_kill_9_is_answered_with_its_result() {
    let _watchdog = Watchdog::start("kill before delivery");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    manager.fail_always(Route::Respond, Some(Fault::Status(503, "AWAY")));
    let mut agent = Running::start(run(&manager.url, dir.path()));
    let data = json!({"script": "RESULT='two\nlines'; exit 3", "output_vars": ["RESULT"]});
    manager.offer("ended-before-kill", "SHELL_SCRIPT", data);
    let tried = |m: &ManagerDouble| {
        m.calls(Route::Other)
            .into_iter()
            .find(|c| c.path.contains("/v2/tasks/ended-before-kill/"))
    };
    let first: Value = manager.until("an attempt to answer", tried).await.body;
    agent.kill();
    manager.fail_always(Route::Respond, None);
    for life in 0..2 {
        let polls = manager.calls(Route::TaskEvents).len();
        let agent = Running::start(run(&manager.url, dir.path()));
        manager.called(Route::TaskEvents, polls + 1).await;
        let answer = manager.answered("ended-before-kill").await;
        assert_eq!(answer, first, "life {life}");
        assert_eq!(answer["data"]["output_vars"]["RESULT"], "two\nlines");
        assert_eq!(
            (&answer["data"]["exit_code"], &answer["code"]),
            (&json!(3), &json!("OK"))
        );
        agent.signal(Signal::SIGTERM);
        assert_eq!(agent.end().await.code(), Some(0));
    }
    assert_eq!(
        manager.answers("ended-before-kill").len(),
        1,
        "and not again in the next life"
    );
}

#[tokio::test]
async fn children_find_the_proxy_and_the_certificates_of_the_delegate() {
    let _watchdog = Watchdog::start("surroundings");
    let manager = ManagerDouble::start().await;
    let dir = tempfile::tempdir().unwrap();
    let authority = rcgen::generate_simple_self_signed(vec!["ca.test".to_owned()])
        .unwrap()
        .cert;
    let certificates = dir.path().join("certs");
    std::fs::create_dir(&certificates).unwrap();
    std::fs::write(certificates.join("own.der"), authority.der()).unwrap();
    let file = dir.path().join("proxy.config");
    let port = manager.url.rsplit(':').next().unwrap();
    // The manager itself is reached directly, by a network that holds it.
    let text = format!(
        "# the company's\nexport PROXY_HOST=proxy.example.test\nPROXY_PORT={port}\nPROXY_USER=me\n\
         PROXY_PASSWORD='p%40ss%20word'\nNO_PROXY=127.0.0.0/8,.internal.test\nPATH=/nowhere\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = run(&manager.url, dir.path());
    command
        .env("PROXY_CONFIG_FILE", &file)
        .env("HARNESS_CERTS_DIR", &certificates)
        .env("HARNESS_LOG_STREAMING_STDOUT_ENABLED", "true")
        .stdout(std::process::Stdio::from(
            std::fs::File::create(dir.path().join("stdout")).unwrap(),
        ));
    let agent = Running::start(command);
    let script = "A=$https_proxy; B=$NO_PROXY; C=$(for f in \"$SSL_CERT_FILE\" \"$GIT_SSL_CAINFO\" \"$CURL_CA_BUNDLE\" \
                  \"$REQUESTS_CA_BUNDLE\" \"$NODE_EXTRA_CA_CERTS\"; do grep -c BEGIN \"$f\" >/dev/null && echo ok; done | wc -l); \
                  D=$(head -3 \"$SSL_CERT_FILE\"); E=${https_proxy#*me:}; E=${E%%@*}; F=${#E}; echo \"to stdout\"";
    let data = json!({"script": script, "output_vars": ["A", "B", "C", "D", "F"]});
    manager.offer("t", "SHELL_SCRIPT", data);
    let answer = manager.answered("t").await;
    let said = &answer["data"]["output_vars"];
    assert_eq!(said["B"], "127.0.0.0/8,.internal.test", "{answer}");
    assert_eq!(said["C"], "5", "{answer}");
    let first = said["D"].as_str().unwrap().lines().nth(1).unwrap();
    assert!(authority.pem().replace("\r\n", "\n").contains(first), "{first}");
    // The login is there for the programs, and masked when they tell it.
    assert_eq!(said["F"], "13", "p%40ss%20word: {answer}");
    assert!(!answer.to_string().contains("p%40ss"), "{answer}");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end().await.code(), Some(0));
    let rows = std::fs::read_to_string(dir.path().join("stdout")).unwrap();
    let row: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert_eq!(row["message"], "to stdout");
    assert_eq!(row["logType"], "EXECUTION_LOGS");
    assert_eq!(row["logContext"]["taskId"], "t");
    assert_eq!(row["logKey"], "task:t");
}

#[tokio::test]
async fn a_proxy_file_that_is_named_and_not_there_is_one_line() {
    let _watchdog = Watchdog::start("proxy file");
    let mut command = program(&REQUIRED);
    command.env("PROXY_CONFIG_FILE", "/not/there").arg("run");
    assert_one_line(&output(command).await, "PROXY_CONFIG_FILE");
}
