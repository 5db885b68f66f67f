//! Connections that fail or are ended: nothing is lost, nothing is there twice.

use std::time::{Duration, Instant};

use super::Remote;
use crate::fixture::{DELEGATE, TOKEN};
use crate::manager::until;

const APPLY: &[&str] = &["apply", "-no-color", "-auto-approve"];

/// Far below any timeout, far above what stopping takes.
const PROMPTLY: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_machine_that_is_away_fails_plan_and_destroy_and_keeps_the_state() {
    let Some(mut remote) = Remote::installed("remote-away").await else {
        return;
    };
    let agent = remote.case.host.agent();
    remote.machine.go_away().await;
    let said = format!("port {}: Connection refused", remote.machine.port);
    for arguments in [
        &["plan", "-no-color"][..],
        &["apply", "-refresh-only", "-no-color", "-auto-approve"],
        &["destroy", "-no-color", "-auto-approve", "-refresh=false"],
    ] {
        let error = remote.case.terraform.run(arguments).await.fails();
        assert!(
            error.contains(&said) && error.contains(&remote.machine.name("root")),
            "{error}"
        );
        assert!(
            !remote.case.terraform.state().await.resource(DELEGATE).is_null(),
            "it is kept"
        );
    }
    assert_eq!(remote.case.host.agent(), agent, "it outlives every connection");
    remote.machine.come_back().await;
    remote.case.terraform.assert_settled().await;
    remote.case.assert_removed().await;
}

#[tokio::test]
async fn a_copy_that_is_cut_off_is_done_again_and_one_that_is_given_up_leaves_nothing() {
    let Some(remote) = Remote::new("remote-cut").await else {
        return;
    };
    let case = &remote.case;
    remote.configure(TOKEN);
    for _ in 0..2 {
        remote.machine.received();
        let apply = case.terraform.start(APPLY);
        remote.machine.has_received(super::NO_PROGRAM).await;
        remote.machine.cut();
        let error = apply.end().await.fails();
        assert!(error.contains("cannot be reached over ssh"), "{error}");
        assert_eq!(case.host.processes(), [], "nothing runs there");
    }
    case.assert_heals().await;
    case.assert_removed().await;

    remote.machine.received();
    let apply = case.terraform.start(APPLY);
    remote.machine.has_received(super::NO_PROGRAM).await;
    apply.kill();
    apply.end().await;
    case.assert_heals().await;
    case.assert_removed().await;
    remote.assert_disconnected();
}

#[tokio::test]
async fn an_interrupt_ends_a_connection_a_drain_and_a_wait_at_once() {
    let Some(mut remote) = Remote::new("remote-interrupt").await else {
        return;
    };
    // While it connects to somebody who says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let ssh = remote.machine.arguments("root");
    remote.configure_by(
        &ssh.replace(
            &format!("port = {}", remote.machine.port),
            &format!("port = {port}"),
        ),
        TOKEN,
    );
    let apply = remote.case.terraform.start(APPLY);
    let (_connection, _) = silent.accept().await.expect("ssh comes");
    let began = Instant::now();
    apply.interrupt();
    let error = apply.end().await.fails();
    assert!(
        began.elapsed() < PROMPTLY && error.contains("was interrupted"),
        "{error}"
    );
    remote.assert_untouched().await;

    // While the delegate is waited for.
    remote.case.manager.stop().await;
    remote.configure(&format!("{TOKEN}\n  wait = {{ timeout = \"10m\" }}"));
    let apply = remote.case.terraform.start(APPLY);
    let announced = remote.case.host.file("work/http-address");
    until("the agent", async || announced.exists().then_some(())).await;
    let began = Instant::now();
    apply.interrupt();
    let error = apply.end().await.fails();
    assert!(
        began.elapsed() < PROMPTLY && error.contains("was interrupted"),
        "{error}"
    );
    assert!(remote.case.terraform.state().await.is_tainted(DELEGATE));
    remote.case.host.assert_one_delegate();
    remote.assert_disconnected();
    remote.case.manager.resume().await;
    remote.case.assert_heals().await;

    // While it drains: what works on it there ends too, so that the next one is alone.
    let started = remote.case.terraform.path("started");
    let release = remote.case.terraform.path("release");
    let script = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.05; done",
        started.display(),
        release.display()
    );
    let task = remote.case.manager.start_task(&script, &remote.case.name);
    until("the task to start", async || started.exists().then_some(())).await;
    remote.configure(&format!("{TOKEN}\n  tags = [\"new\"]"));
    let apply = remote.case.terraform.start(APPLY);
    until("the drain", async || {
        let log = std::fs::read_to_string(remote.case.host.file("delegate.log")).unwrap_or_default();
        log.contains(crate::fixture::DRAINS).then_some(())
    })
    .await;
    apply.interrupt();
    let error = apply.end().await.fails();
    assert!(error.contains("was interrupted"), "{error}");
    until("the work there to end", async || {
        remote.case.host.running("carry-out").is_empty().then_some(())
    })
    .await;
    std::fs::write(&release, "").expect("written");
    let output = task.wait_with_output().await.expect("it ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    remote.case.assert_heals().await;
    remote.case.assert_removed().await;
}

#[tokio::test]
async fn a_delegate_that_does_not_connect_is_told_with_its_last_words() {
    let Some(mut remote) = Remote::new("remote-wait").await else {
        return;
    };
    remote.case.hand_over(&crate::manager::any_token());
    remote.configure(&format!("{TOKEN}\n  wait = {{ timeout = \"2m\" }}"));
    let error = remote.case.terraform.apply().await.fails();
    for part in ["ended by itself", "log: ", &remote.machine.name("root")] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let token = remote.case.manager.token.clone();
    remote.case.hand_over(&token);
    remote.case.assert_heals().await;
    remote.case.assert_removed().await;
}
