//! Adopting and reaping orphans, which concerns the whole process: a test program of its own, with one test.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod zoo;

use std::time::Duration;

use delegate_core::process::{Limits, become_subreaper, kill_marked};
use zoo::{Keeper, animal, gone};

/// Every child of this process, with its state.
fn children() -> Vec<(u32, char)> {
    let us = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat[stat.rfind(')')? + 2..].split(' ');
        let state = fields.next()?.chars().next()?;
        (fields.next()? == us).then_some((pid, state))
    })
    .collect()
}

async fn until_childless() {
    let bound = tokio::time::timeout(Duration::from_secs(20), async {
        while !children().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(bound.await.is_ok(), "left: {:?}", children());
}

#[tokio::test]
async fn orphans_are_adopted_ended_and_reaped_and_nobody_elses_child_is() {
    become_subreaper().unwrap();

    // A child that a library started by its own means keeps its status, also while orphans are reaped around it.
    let mut foreign = std::process::Command::new("sh")
        .args(["-c", "exit 42"])
        .spawn()
        .unwrap();

    // Orphans that end by themselves; nobody but us can reap them. They take off their mark, so nobody ends them either.
    let short = "for i in 1 2 3; do env -u HARNESS_DELEGATE_TASK setsid sh -c '(sleep 0.05 &)' >/dev/null 2>&1 & done; wait";
    let exit = animal(short).run(&Keeper::default()).await.unwrap();
    assert!(exit.success(), "{exit:?}");

    // A daemon that forks twice: its own parent is gone, we adopt it, and it is ended with its run.
    let keeper = Keeper::default();
    let limits = Limits {
        timeout: None,
        grace: Duration::from_millis(200),
    };
    let daemon = "(setsid sh -c '(sleep 300 & echo $!)' &) ; sleep 0.1";
    let exit = animal(daemon).limits(limits).run(&keeper).await.unwrap();
    assert!(exit.leaked, "{exit:?}");
    gone(keeper.first_number()).await;

    // Many runs at once, statuses not mixed up by the reaping.
    let runs = (0..40).map(|code| async move {
        let exit = animal(&format!("(true &); exit {code}"))
            .run(&Keeper::default())
            .await
            .unwrap();
        assert_eq!(exit.code(), code);
    });
    futures_util::future::join_all(runs).await;

    assert_eq!(foreign.wait().unwrap().code(), Some(42));
    until_childless().await;

    // What a crash left behind is found by its mark alone.
    let keeper = Keeper::default();
    let run = animal("echo $$; exec sleep 300")
        .mark("crashed-task")
        .run(&keeper);
    let (exit, ()) = tokio::join!(run, async {
        keeper.until_number().await;
        assert_eq!(kill_marked("crashed-task").await, 1);
        assert_eq!(kill_marked("crashed-task").await, 0);
    });
    assert_eq!(exit.unwrap().code(), 137);
    until_childless().await;
}
