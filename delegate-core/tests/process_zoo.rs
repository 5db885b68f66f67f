//! Hostile children: what they may do, and what must be left of them.
//!
//! Every child writes a line when it is ready, and the test acts on that line; the end of a process is awaited, never
//! guessed. Each test has its own mark in the command lines of its children, so that survivors can be named.

#![cfg(target_os = "linux")]

mod zoo;

use std::time::{Duration, Instant};

use delegate_core::process::{
    Command, Environment, Limits, Line, LineSink, ProcessError, Reason, Status, Stream,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;
use zoo::{Keeper, alive, animal, gone};

/// Long enough that no test ends by it.
const NEVER: Duration = Duration::from_mins(10);

fn limits(timeout: Duration, grace: Duration) -> Limits {
    Limits {
        timeout: Some(timeout),
        grace,
    }
}

fn short_grace() -> Limits {
    limits(NEVER, Duration::from_millis(300))
}

#[tokio::test]
async fn both_outputs_arrive_line_by_line() {
    let keeper = Keeper::default();
    let exit = animal("echo one; echo two >&2; printf three; exit 5")
        .run(&keeper)
        .await
        .unwrap();
    assert_eq!(
        (exit.status, exit.reason, exit.leaked),
        (Status::Code(5), Reason::Exited, false)
    );
    assert!(exit.output_complete);
    assert_eq!(keeper.texts(Stream::Stdout), ["one", "three"]);
    assert_eq!(keeper.texts(Stream::Stderr), ["two"]);
}

#[tokio::test]
async fn input_is_written_and_closed_and_need_not_be_read() {
    let keeper = Keeper::default();
    animal("cat; echo end").stdin("a\nb").run(&keeper).await.unwrap();
    assert_eq!(keeper.texts(Stream::Stdout), ["a", "bend"]);
    let exit = animal("exit 0")
        .stdin(vec![b'x'; 1 << 20])
        .run(&Keeper::default())
        .await
        .unwrap();
    assert!(exit.success());
    let keeper = Keeper::default();
    animal("cat; echo none").run(&keeper).await.unwrap();
    assert_eq!(keeper.texts(Stream::Stdout), ["none"]);
}

#[tokio::test]
async fn it_dies_by_each_signal() {
    for signal in (1..=31).filter(|signal| ![17, 18, 19, 20, 21, 22, 23, 28].contains(signal)) {
        let exit = animal(&format!("kill -{signal} $$"))
            .run(&Keeper::default())
            .await
            .unwrap();
        assert_eq!(exit.status, Status::Signal(signal));
        assert_eq!((exit.code(), exit.reason), (128 + signal, Reason::Exited));
    }
}

#[tokio::test]
async fn one_that_ignores_sigterm_is_killed_after_the_grace() {
    let keeper = Keeper::default();
    let child = animal("trap '' TERM; echo ready; while :; do sleep 0.05; done").limits(short_grace());
    let (exit, ()) = tokio::join!(child.run(&keeper), async {
        keeper.until("ready").await;
        keeper.cancel.cancel();
    });
    let exit = exit.unwrap();
    assert_eq!((exit.status, exit.reason), (Status::Signal(9), Reason::Aborted));
}

#[tokio::test]
async fn output_during_the_grace_is_kept() {
    let keeper = Keeper::default();
    let child = animal("trap 'echo cleaning; exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    let (exit, ()) = tokio::join!(child.run(&keeper), async {
        keeper.until("ready").await;
        keeper.cancel.cancel();
    });
    let exit = exit.unwrap();
    assert_eq!((exit.status, exit.reason), (Status::Code(7), Reason::Aborted));
    assert_eq!(keeper.texts(Stream::Stdout), ["ready", "cleaning"]);
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group_and_an_abort_outranks_it() {
    let keeper = Keeper::default();
    let timeout = limits(Duration::from_millis(200), Duration::from_millis(500));
    let exit = animal("sleep 300 & sleep 300")
        .limits(timeout)
        .run(&keeper)
        .await
        .unwrap();
    assert_eq!(exit.reason, Reason::TimedOut);
    assert_eq!(exit.code(), 143);

    let child = animal("trap 'echo asked' TERM; while :; do sleep 0.05; done").limits(timeout);
    let (exit, ()) = tokio::join!(child.run(&keeper), async {
        keeper.until("asked").await;
        keeper.cancel.cancel();
    });
    assert_eq!(exit.unwrap().reason, Reason::Aborted);
}

#[tokio::test]
async fn without_grace_it_is_killed_at_once() {
    let keeper = Keeper::default();
    let child = animal("trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done")
        .limits(limits(NEVER, Duration::ZERO));
    let (exit, ()) = tokio::join!(child.run(&keeper), async {
        keeper.until("ready").await;
        keeper.cancel.cancel();
    });
    assert_eq!(exit.unwrap().status, Status::Signal(9));
}

#[tokio::test]
async fn it_exits_while_it_is_cancelled() {
    for _ in 0..20 {
        let keeper = Keeper::default();
        let child = animal("echo ready; exit 3");
        let (exit, ()) = tokio::join!(child.run(&keeper), async {
            keeper.until("ready").await;
            keeper.cancel.cancel();
        });
        let exit = exit.unwrap();
        match exit.reason {
            Reason::Exited => assert_eq!(exit.status, Status::Code(3)),
            Reason::Aborted => assert!([Status::Code(3), Status::Signal(15)].contains(&exit.status)),
            Reason::TimedOut => unreachable!("{exit:?}"),
        }
    }
}

#[tokio::test]
async fn a_run_cancelled_before_its_start_ends_at_once() {
    let keeper = Keeper::default();
    keeper.cancel.cancel();
    let exit = animal("sleep 300").run(&keeper).await.unwrap();
    assert_eq!(exit.reason, Reason::Aborted);
}

#[tokio::test]
async fn one_that_leaks_its_output_is_done_within_the_grace_and_a_second() {
    let keeper = Keeper::default();
    let began = Instant::now();
    let exit = animal("sleep 300 & echo $! ready")
        .limits(short_grace())
        .run(&keeper)
        .await
        .unwrap();
    assert!(began.elapsed() < Duration::from_mins(1), "not the sleep's end");
    assert_eq!(
        (exit.status, exit.reason, exit.leaked),
        (Status::Code(0), Reason::Exited, true)
    );
    assert!(exit.output_complete, "its output closed when it was ended");
    gone(keeper.number(0)).await;
}

#[tokio::test]
async fn a_leak_that_keeps_writing_is_ended_too() {
    let keeper = Keeper::default();
    let exit = animal("yes & echo $! ready")
        .limits(short_grace())
        .run(&keeper)
        .await
        .unwrap();
    assert_eq!((exit.reason, exit.leaked), (Reason::Exited, true));
    let pid = keeper
        .texts(Stream::Stdout)
        .iter()
        .find_map(|line| line.strip_suffix(" ready")?.parse().ok());
    gone(pid.unwrap()).await;
}

#[tokio::test]
async fn a_late_writer_within_the_grace_is_heard() {
    let keeper = Keeper::default();
    // What `exec > >(tee …)` does: the shell does not wait for it.
    let exit = animal("(sleep 0.1; echo late) & echo early")
        .run(&keeper)
        .await
        .unwrap();
    assert_eq!(keeper.texts(Stream::Stdout), ["early", "late"]);
    assert!(!exit.leaked && exit.output_complete);
}

#[tokio::test]
async fn a_daemon_in_its_own_session_is_found() {
    // Each tells its process id when it has left; the substitution waits for that.
    for daemon in [
        "setsid sh -c 'echo $$; exec sleep 300 >&3' &",
        "setsid sh -c 'trap \"\" TERM; echo $$; exec sleep 300 >&3' &",
        "(setsid sh -c 'sleep 300 >&3 & echo $!' &)",
        "setsid sh -c 'echo $$; exec sleep 300 >/dev/null 2>&1 3>&-' &",
    ] {
        for ending in ["exit 0", "echo ready; sleep 300"] {
            let keeper = Keeper::default();
            let script = format!("exec 3>&1; pid=$( {daemon} ); echo $pid; {ending}");
            let child = animal(&script).limits(short_grace());
            let cancelled = async {
                if ending != "exit 0" {
                    keeper.until("ready").await;
                    keeper.cancel.cancel();
                }
            };
            let (exit, ()) = tokio::join!(child.run(&keeper), cancelled);
            let exit = exit.unwrap();
            assert!(exit.leaked, "{script}: {exit:?}");
            gone(keeper.first_number()).await;
        }
    }
}

#[tokio::test]
async fn one_that_takes_off_its_mark_may_stay() {
    let keeper = Keeper::default();
    let daemon = "setsid sh -c 'echo $$; exec sleep 300 </dev/null >/dev/null 2>&1'";
    let script = format!("pid=$(env -u HARNESS_DELEGATE_TASK {daemon} &); echo $pid");
    let exit = animal(&script).limits(short_grace()).run(&keeper).await.unwrap();
    assert!(exit.success() && !exit.leaked, "{exit:?}");
    let pid = keeper.number(0);
    assert!(alive(pid));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid.cast_signed()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
}

#[tokio::test]
async fn one_that_closes_its_outputs_is_still_awaited() {
    let began = Instant::now();
    let exit = animal("exec >&- 2>&- <&-; sleep 0.2; exit 4")
        .run(&Keeper::default())
        .await
        .unwrap();
    assert_eq!(exit.status, Status::Code(4));
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn binary_garbage_becomes_lines() {
    let keeper = Keeper::default();
    let exit = animal("head -c 300000 /dev/urandom; printf '\\n\\377\\000end'")
        .run(&keeper)
        .await
        .unwrap();
    assert!(exit.success() && exit.output_complete);
    assert_eq!(keeper.texts(Stream::Stdout).last().unwrap(), "\u{fffd}\0end");
}

#[tokio::test]
async fn two_hundred_megabytes_pass_in_bounded_memory() {
    let keeper = Keeper::counting();
    let before = zoo::resident_bytes();
    // Lines, and one that never ends.
    let exit = animal(
        "yes 0123456789012345678901234567890123456789 | head -c 150000000; head -c 50000000 /dev/zero",
    )
    .run(&keeper)
    .await
    .unwrap();
    assert!(exit.success() && exit.output_complete, "{exit:?}");
    let grown = keeper.peak().saturating_sub(before);
    assert_eq!(keeper.lines(), 150_000_000 / 41 + 1);
    assert!(grown < 64 << 20, "grew by {grown} bytes");
}

#[tokio::test]
async fn a_sink_that_never_returns_delays_neither_timeout_nor_kill() {
    let stuck = Keeper::stuck();
    let child = animal("echo $$; yes").limits(limits(NEVER, Duration::from_millis(300)));
    let mut run = Box::pin(child.run(&stuck));
    // The sink blocks with the first batch, which has the process id.
    let pid = tokio::select! {
        _ = &mut run => unreachable!("the sink is stuck"),
        pid = stuck.until_number() => pid,
    };
    stuck.cancel.cancel();
    let ended = async {
        gone(pid).await;
    };
    tokio::select! {
        exit = &mut run => assert_eq!(exit.unwrap().reason, Reason::Aborted),
        () = ended => {}
    }
}

#[tokio::test]
async fn a_dropped_run_leaves_nobody() {
    let keeper = Keeper::default();
    let pid = {
        let run = animal("trap '' TERM; echo $$; while :; do sleep 0.05; done").run(&keeper);
        tokio::select! {
            _ = run => unreachable!(),
            pid = keeper.until_number() => pid,
        }
    };
    gone(pid).await;
}

#[tokio::test]
async fn a_child_has_its_own_session_and_nothing_of_ours() {
    let keeper = Keeper::default();
    // A descriptor that somebody forgot to mark.
    let inherited = std::fs::File::open("/dev/null").unwrap();
    nix::fcntl::fcntl(
        &inherited,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .unwrap();
    let script = "cut -d' ' -f1,5,6 /proc/$$/stat; echo $$; umask; ulimit -c; ls /proc/$$/fd; cat /proc/$$/oom_score_adj";
    animal(script).run(&keeper).await.unwrap();
    let lines = keeper.texts(Stream::Stdout);
    let pid = &lines[1];
    assert_eq!(
        lines[0],
        format!("{pid} {pid} {pid}"),
        "leader of its group and its session"
    );
    assert_eq!(lines[2..], ["0077", "0", "0", "1", "2", "500"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_outlives_the_thread_that_asked_for_it() {
    let keeper = std::sync::Arc::new(Keeper::default());
    let theirs = keeper.clone();
    let runtime = tokio::runtime::Handle::current();
    // The kernel takes the thread that forks for the parent, and ends the child with it.
    let thread = std::thread::spawn(move || {
        // Half run, the future goes on in another thread.
        #[expect(clippy::async_yields_async, reason = "that is the point")]
        runtime.block_on(async move {
            let watcher = theirs.clone();
            let script = "echo ready; sleep 0.3; echo still here";
            let mut run = Box::pin(async move { animal(script).run(&theirs).await });
            tokio::select! {
                exit = &mut run => unreachable!("{exit:?}"),
                () = watcher.until("ready") => run,
            }
        })
    });
    let run = tokio::task::spawn_blocking(|| thread.join().unwrap())
        .await
        .unwrap();
    let exit = run.await.unwrap();
    assert!(exit.success(), "{exit:?}");
    assert_eq!(keeper.texts(Stream::Stdout), ["ready", "still here"]);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let cancel = CancellationToken::new();
    let start = |program: &str| Command::new(program, Environment::of_this_process(&[]));
    let error = start("no-such-program").capture(&cancel, 0).await.unwrap_err();
    assert!(matches!(error, ProcessError::NotFound { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("`no-such-program` not found; looked in PATH /"),
        "{error}"
    );
    let error = start("/etc/passwd").capture(&cancel, 0).await.unwrap_err();
    assert!(matches!(error, ProcessError::NotExecutable { .. }), "{error:?}");
    let error = start("true")
        .current_dir("/not/there")
        .capture(&cancel, 0)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "working directory `/not/there` does not exist");
    let error = start("true")
        .current_dir("/etc/passwd")
        .capture(&cancel, 0)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "working directory `/etc/passwd` is not a directory"
    );
}

#[tokio::test]
async fn capture_keeps_the_first_bytes_and_drains_the_rest() {
    let captured = animal("printf abcdef; head -c 1000000 /dev/zero; printf xyz >&2")
        .capture(4)
        .await
        .unwrap();
    assert!(captured.exit.success() && captured.truncated);
    assert_eq!(
        (&*captured.stdout, &*captured.stderr),
        (&b"abcd"[..], &b"xyz"[..])
    );
}

/// Not a test: a program that is killed while it watches a child, played by this one when a test starts it so.
#[tokio::test]
#[ignore = "started by the test below"]
async fn victim() {
    struct Tell;
    #[async_trait::async_trait]
    impl LineSink for Tell {
        async fn write(&mut self, lines: Vec<Line>) {
            for line in lines {
                println!("pid {}", line.text);
            }
        }
    }
    let command =
        Command::new("sh", Environment::of_this_process(&[])).args(["-c", "echo $$; exec sleep 300"]);
    command.run(&CancellationToken::new(), &mut Tell).await.unwrap();
}

#[tokio::test]
async fn a_child_does_not_outlive_a_watcher_that_is_killed() {
    let mut victim = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim", "--nocapture"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let pid = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some((_, pid)) = line.split_once("pid ") {
            break pid.parse().unwrap();
        }
    };
    assert!(alive(pid));
    victim.kill().await.unwrap();
    gone(pid).await;
}
