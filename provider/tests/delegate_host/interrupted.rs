//! Terraform is interrupted or killed: nothing is lost, nothing is there twice.

use std::fs;
use std::time::{Duration, Instant};

use crate::fixture::{Case, DELEGATE, DRAINS, TOKEN};
use crate::manager::until;
use crate::terraform::{INTERRUPTED_WITHIN, ends_within};

const APPLY: &[&str] = &["apply", "-no-color", "-auto-approve"];

/// Far below any timeout of the resource, far above what stopping takes.
const PROMPTLY: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_interrupt_while_waiting_ends_the_apply_at_once_and_keeps_the_state() {
    let Some(mut case) = Case::new("interrupt").await else {
        return;
    };
    case.manager.stop().await;
    case.configure(&format!("{TOKEN}\n  wait = {{ timeout = \"10m\" }}"));
    let announced = case.host.file("work/http-address");
    ends_within(INTERRUPTED_WITHIN, async || {
        case.assert_removed().await;
        let apply = case.terraform.start(APPLY);
        until("the agent", async || announced.exists().then_some(())).await;
        let (took, run) = apply.interrupted().await;
        let error = run.fails();
        assert!(error.contains("was interrupted"), "{error}");
        assert!(case.terraform.state().await.is_tainted(DELEGATE));
        case.host.assert_one_delegate();
        took
    })
    .await;
    case.manager.resume().await;
    case.assert_heals().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn an_interrupt_while_a_delegate_drains_ends_the_apply_at_once_and_loses_no_task() {
    let Some(case) = Case::installed("interrupt-drain").await else {
        return;
    };
    let (started, release) = (case.terraform.path("started"), case.terraform.path("release"));
    let script = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.05; done",
        started.display(),
        release.display()
    );
    let task = case.manager.start_task(&script, &case.name);
    until("the task to start", async || started.exists().then_some(())).await;
    case.configure(&format!("{TOKEN}\n  tags = [\"new\"]"));
    let apply = case.terraform.start(APPLY);
    until("the drain", async || {
        let log = fs::read_to_string(case.host.file("delegate.log")).unwrap_or_default();
        log.contains(DRAINS).then_some(())
    })
    .await;
    let began = Instant::now();
    apply.interrupt();
    let error = apply.end().await.fails();
    assert!(began.elapsed() < PROMPTLY, "{:?}", began.elapsed());
    assert!(error.contains("was interrupted"), "{error}");
    fs::write(&release, "").unwrap();
    let output = task.wait_with_output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    case.assert_heals().await;
    assert_eq!(case.host.variable("DELEGATE_TAGS").as_deref(), Some("new"));
    case.assert_removed().await;
}

/// The traces of a create, in their order. A kill right after each is followed by one at any moment.
const TRACES: &[&str] = &[
    "",
    "installation.json",
    "bin/harness-delegate",
    "delegate.env",
    "delegate.log",
    "supervisor.lock",
    "work/agent.pid",
    "work/http-address",
];

/// Kills at moments that chance picks.
const KILLS_BY_CHANCE: usize = 4;

#[tokio::test]
async fn a_create_killed_at_any_moment_is_completed_by_the_next_one() {
    let Some(case) = Case::new("killed").await else {
        return;
    };
    case.configure(TOKEN);
    let began = Instant::now();
    case.terraform.apply().await.succeeds();
    let whole = began.elapsed();
    case.assert_removed().await;
    for at in 0..TRACES.len() + KILLS_BY_CHANCE {
        let apply = case.terraform.start(APPLY);
        let moment = if let Some(trace) = TRACES.get(at) {
            let path = case.host.directory.join(trace);
            until("a trace of the create", async || path.exists().then_some(())).await;
            format!("after {trace:?}")
        } else {
            let pause = whole.mul_f64(fastrand::f64());
            tokio::time::sleep(pause).await;
            format!("after {pause:?}")
        };
        apply.kill();
        apply.end().await;
        eprintln!("killed {moment}");
        case.assert_heals().await;
        case.assert_removed().await;
    }
}

#[tokio::test]
async fn an_update_killed_while_the_delegate_drains_is_completed_by_the_next_one() {
    let Some(case) = Case::installed("killed-update").await else {
        return;
    };
    let record = case.host.env_file();
    let before = fs::read_to_string(&record).unwrap();
    case.configure(&format!("{TOKEN}\n  tags = [\"new\"]"));
    let apply = case.terraform.start(APPLY);
    until("the new settings", async || {
        (fs::read_to_string(&record).unwrap_or_default() != before).then_some(())
    })
    .await;
    apply.kill();
    apply.end().await;
    case.assert_heals().await;
    let known = case.registered().await;
    assert_eq!(
        known["tags"],
        serde_json::json!(["new"]),
        "it runs with what is written"
    );
    case.assert_removed().await;
}
