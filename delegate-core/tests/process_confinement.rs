//! Children within bounds, and as another user: what they can no longer do, and that we go on.
//!
//! Control groups are the machine's own, so a test whose ground is missing says so.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is the test's")]

mod zoo;

use std::time::Duration;

use delegate_core::process::{Confinement, Limits, Reason, Status, Stream, User};
use zoo::{Keeper, animal};

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether children get control groups here: a child with a bound on processes is in one.
async fn control_groups() -> bool {
    let keeper = Keeper::default();
    animal("cat /proc/self/cgroup")
        .confine(Confinement {
            processes: Some(100),
            ..Confinement::default()
        })
        .run(&keeper)
        .await
        .unwrap();
    let there = keeper
        .texts(Stream::Stdout)
        .iter()
        .any(|line| line.contains("/harness-task-"));
    if !there {
        eprintln!("SKIPPED: no control group can be made here");
    }
    there
}

/// Those of this program that are there now.
fn groups_left() -> Vec<std::path::PathBuf> {
    let ours = format!("harness-task-{}-", std::process::id());
    let mut left = Vec::new();
    for line in std::fs::read_to_string("/proc/self/cgroup").unwrap().lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (name, path) = (fields.next().unwrap(), fields.next().unwrap());
        let base = std::path::Path::new("/sys/fs/cgroup")
            .join(name)
            .join(path.trim_start_matches('/'));
        let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
        left.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| path.to_string_lossy().contains(&ours)),
        );
    }
    left
}

#[tokio::test]
async fn a_fork_bomb_does_not_leave_its_cage_and_nothing_of_it_stays() {
    if !control_groups().await {
        return;
    }
    let keeper = Keeper::counting();
    let bomb = animal("bomb() { bomb | bomb & wait; }; echo begun; bomb; sleep 60")
        .confine(Confinement {
            processes: Some(50),
            ..Confinement::default()
        })
        .limits(Limits {
            timeout: Some(Duration::from_secs(2)),
            grace: Duration::from_millis(200),
        });
    let others = async {
        // Meanwhile everybody else can still start something.
        for _ in 0..5 {
            let exit = animal("true | true; exit 0")
                .run(&Keeper::default())
                .await
                .unwrap();
            assert!(exit.success(), "{exit:?}");
        }
    };
    let (exit, ()) = tokio::join!(bomb.run(&keeper), others);
    let exit = exit.unwrap();
    assert!(
        matches!(exit.reason, Reason::TimedOut | Reason::Exited),
        "{exit:?}"
    );
    // "Cannot fork", again and again: the bound was met.
    assert!(keeper.lines() > 1, "{exit:?}");
}

#[tokio::test]
async fn who_takes_more_memory_than_allowed_is_killed_and_the_group_is_removed() {
    if !control_groups().await {
        return;
    }
    let keeper = Keeper::default();
    let confinement = Confinement {
        memory: Some(48 << 20),
        millicpus: Some(1500),
        ..Confinement::default()
    };
    // One line without an end, which the program has to hold.
    let exit = animal("echo begun; head -c 300000000 /dev/zero | tail -n 1 | wc -c; echo after")
        .confine(confinement)
        .run(&keeper)
        .await
        .unwrap();
    assert_eq!(exit.reason, Reason::Exited);
    assert!(
        !keeper.texts(Stream::Stdout).contains(&"300000000".to_owned()),
        "{:?}",
        keeper.texts(Stream::Stdout)
    );
    // Those of the other tests may be there; ours, with memory in it, is not.
    let left = groups_left();
    assert!(
        !left
            .iter()
            .any(|path| path.to_string_lossy().contains("/memory/")),
        "{left:?}"
    );
}

#[tokio::test]
async fn as_another_user_a_child_has_that_users_rights_and_no_more() {
    if !is_root() {
        eprintln!("SKIPPED: only root can be another user");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "of root").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let user = User::find("65534:65534").unwrap();
    let keeper = Keeper::default();
    let script = format!(
        "id -u; id -g; id -G; cat {} 2>/dev/null || echo refused; cut -d' ' -f3- /proc/self/oom_score_adj; \
         kill -0 {} 2>/dev/null || echo no signals; sh -c 'kill -9 $$' || echo $?",
        secret.display(),
        std::process::id()
    );
    let exit = animal(&script)
        .confine(Confinement {
            user: Some(user),
            ..Confinement::default()
        })
        .run(&keeper)
        .await
        .unwrap();
    assert_eq!(exit.status, Status::Code(0));
    assert_eq!(
        keeper.texts(Stream::Stdout),
        ["65534", "65534", "65534", "refused", "500", "no signals", "137"]
    );
}

#[tokio::test]
async fn another_users_child_can_be_ended_by_us() {
    if !is_root() {
        eprintln!("SKIPPED: only root can be another user");
        return;
    }
    let keeper = Keeper::default();
    let child = animal("trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' & echo ready; while :; do sleep 0.05; done")
        .confine(Confinement {
            user: Some(User::find("65534").unwrap()),
            ..Confinement::default()
        })
        .limits(Limits {
            timeout: None,
            grace: Duration::from_millis(200),
        });
    let (exit, ()) = tokio::join!(child.run(&keeper), async {
        keeper.until("ready").await;
        keeper.cancel.cancel();
    });
    let exit = exit.unwrap();
    assert_eq!((exit.status, exit.reason), (Status::Signal(9), Reason::Aborted));
}
