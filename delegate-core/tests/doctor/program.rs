//! The program `harness-delegate doctor`: its output, its exit codes, and faults of the process it runs in.

use std::process::Command;

use serde_json::Value;

use super::support::program::{Running, eventually, output};
use super::support::real_manager::RealManager;
use super::support::{TOKEN, Watchdog};
use super::{Patient, site};

/// The program with a patient's settings, started by a shell line that ends with `exec "$0" …`.
fn doctor(patient: &Patient, before: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    let line = format!("{before} exec \"$0\" doctor --json");
    command
        .args(["-c", &line, env!("CARGO_BIN_EXE_harness-delegate")])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(&patient.vars);
    command
}

/// Its exit code, and what it complains about.
async fn verdict(command: Command) -> (Option<i32>, Vec<String>) {
    let output = output(command).await;
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let findings = report["findings"].as_array().unwrap();
    let complains = |finding: &&Value| matches!(finding["level"].as_str(), Some("problem" | "warning"));
    let line = |finding: &Value| {
        format!(
            "{} {}",
            finding["check"].as_str().unwrap(),
            finding["found"].as_str().unwrap()
        )
    };
    (
        output.status.code(),
        findings.iter().filter(complains).map(line).collect(),
    )
}

#[tokio::test]
async fn text_json_and_exit_codes_are_what_scripts_rely_on() {
    let _watchdog = Watchdog::start("the program");
    let manager = RealManager::start().await;
    let healthy = Patient::of(&manager.url);
    assert_eq!(verdict(doctor(&healthy, "")).await, (Some(0), vec![]));
    let warned = Patient::of(&manager.url).with("POLL_FOR_TASK", "true");
    assert_eq!(
        verdict(doctor(&warned, "")).await.0,
        Some(0),
        "warnings do not fail"
    );

    let (socket, port) = site::refusing();
    let ill = Patient::of(&format!("http://127.0.0.1:{port}"))
        .with("DELEGATE_TOKEN", "secret-of-the-test")
        .keeping(socket);
    let mut command = super::support::program::program(&[]);
    command.envs(&ill.vars).arg("doctor");
    let shown = output(command).await;
    assert_eq!(shown.status.code(), Some(1));
    let text = String::from_utf8(shown.stdout).unwrap();
    let complaints: Vec<_> = text
        .lines()
        .skip_while(|line| !line.starts_with("PROBLEM"))
        .take(5)
        .collect();
    let complaints = complaints.join("\n").replace(&port.to_string(), "PORT");
    insta::assert_snapshot!(complaints);
    assert!(text.ends_with("\n2 problems, 0 warnings\n"), "{text}");
    assert!(
        !text.contains("secret-of-the-test") && !text.contains(TOKEN),
        "{text}"
    );
}

#[tokio::test]
async fn limits_of_its_process_and_a_path_without_a_shell_are_found() {
    let _watchdog = Watchdog::start("limits");
    let manager = RealManager::start().await;
    let patient = Patient::of(&manager.url);
    let (code, found) = verdict(doctor(&patient, "ulimit -n 100;")).await;
    assert_eq!(
        (code, &*found),
        (
            Some(1),
            &["machine.capacity only 100 files may be open at once".to_owned()][..]
        )
    );
    let (code, found) = verdict(doctor(&patient, "PATH=/nowhere;")).await;
    assert_eq!(code, Some(1));
    assert!(
        matches!(&*found, [shell] if shell.starts_with("tools.shell there is neither bash nor sh")),
        "{found:?}"
    );
}

/// File systems of a mount namespace of its own, which ends with the program.
#[tokio::test]
async fn full_and_read_only_disks_are_found() {
    let _watchdog = Watchdog::start("disks");
    let can = Command::new("unshare").args(["--mount", "true"]).output();
    if !can.is_ok_and(|done| done.status.success()) {
        println!("SKIPPED: no mount namespace can be made here");
        return;
    }
    let manager = RealManager::start().await;
    for (mount, check, says) in [
        ("size=1m", "disk.space", "disk.space 1 MiB are free in"),
        ("size=20m", "disk.space", "MiB are free in"),
        ("ro", "disk.working_dir", "cannot be written"),
    ] {
        let patient = Patient::of(&manager.url);
        let dir = patient.path("work");
        std::fs::create_dir(&dir).unwrap();
        let inner = format!("mount -t tmpfs -o {mount} tmpfs '{dir}' && exec \"$0\" doctor --json");
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "/bin/sh",
                "-c",
                &inner,
                env!("CARGO_BIN_EXE_harness-delegate"),
            ])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(&patient.vars);
        let (code, found) = verdict(command).await;
        assert_eq!(code, Some(1), "{mount}: {found:?}");
        assert!(
            matches!(&*found, [one] if one.starts_with(check) && one.contains(says)),
            "{mount}: {found:?}"
        );
    }
}

/// A doctor beside the delegate it looks at must not take it for a stranger.
#[tokio::test]
async fn the_delegate_itself_is_not_in_its_own_way() {
    let _watchdog = Watchdog::start("beside");
    let manager = RealManager::start().await;
    let patient = Patient::of(&manager.url);
    let mut command = super::support::program::program(&[]);
    command.envs(&patient.vars).arg("run");
    let _running = Running::start(command);
    let file = std::path::Path::new(&patient.vars["WORKING_DIR"]).join("http-address");
    eventually("the delegate announces its address", || file.exists()).await;
    let address = std::fs::read_to_string(&file).unwrap();
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    let patient = patient.with("DELEGATE_HTTP_PORT", port);
    assert_eq!(verdict(doctor(&patient, "")).await, (Some(0), vec![]));
}
