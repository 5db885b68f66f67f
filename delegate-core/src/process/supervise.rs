//! Watching a child to its end, and what it started to theirs.
//!
//! "The child has ended" and "its output is closed" are two events. The first is awaited with a timeout and a
//! cancellation; the second may never come, when something the child started holds on to its output, so it is bounded
//! by the grace and one second. The consumer of the output runs beside all this and can delay none of it.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::command::Request;
use super::output::{Consumer, Output, pump};
use super::platform::Child;
use super::{Exit, Limits, Reason};

/// For what was left behind between being asked to end and being ended, and then for its output to close: together the
/// one second after the grace.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// For a slow consumer to take what a child has written before its end.
const CONSUMER_PATIENCE: Duration = Duration::from_secs(30);

/// Sees a child through. Returns when nothing of it is left.
pub(super) async fn supervise(
    child: Child,
    limits: Limits,
    request: Request,
    cancel: &CancellationToken,
    mut output: Output,
    consumer: &mut impl Consumer,
) -> io::Result<Exit> {
    let chunks = output
        .chunks()
        .ok_or_else(|| io::Error::other("the output is already being read"))?;
    let consumed = pump(chunks, consumer);
    tokio::pin!(consumed);
    let (ended, taken) = {
        let ending = async {
            let (reason, kill_at) = watch(&child, limits, request, cancel, &output).await?;
            let (leaked, closed) = settle(&child, limits, kill_at, &output).await;
            io::Result::Ok((reason, leaked, closed))
        };
        tokio::pin!(ending);
        tokio::select! {
            ended = &mut ending => (ended, false),
            () = &mut consumed => (ending.await, true),
        }
    };
    let (reason, leaked, closed) = ended?;
    let status = child.reap()?;
    let taken = taken || timeout(CONSUMER_PATIENCE, consumed).await.is_ok();
    Ok(Exit {
        status,
        reason,
        leaked,
        output_complete: taken && closed,
    })
}

/// Waits for the end of the child itself, and brings it about when it is time. Returns the reason, and, if it was we
/// who ended it, when its grace is over.
async fn watch(
    child: &Child,
    limits: Limits,
    request: Request,
    cancel: &CancellationToken,
    output: &Output,
) -> io::Result<(Reason, Option<Instant>)> {
    // A timeout beyond what a clock can hold is none.
    let deadline = limits
        .timeout
        .and_then(|timeout| Instant::now().checked_add(timeout));
    let mut reason = Reason::Exited;
    let mut kill_at = None;
    let mut killed = false;
    loop {
        let wanted = tokio::select! {
            // An end that is already there wins over a reason to end it.
            biased;
            ended = child.ended() => return ended.map(|()| (reason, kill_at)),
            () = cancel.cancelled(), if reason < Reason::Aborted => Reason::Aborted,
            () = at(deadline), if reason < Reason::TimedOut => Reason::TimedOut,
            () = at(kill_at), if !killed => {
                child.kill();
                killed = true;
                continue;
            }
        };
        reason = reason.max(wanted);
        if kill_at.is_none() {
            match request {
                Request::Terminate => child.terminate(),
                Request::Interrupt => child.interrupt(),
                Request::EndInput => output.end_input(),
            }
            kill_at = Some(Instant::now() + limits.grace);
        }
    }
}

/// Lets what outlives the child finish within the grace, then ends it. Returns whether there was such a thing, and
/// whether the output was closed.
async fn settle(child: &Child, limits: Limits, kill_at: Option<Instant>, output: &Output) -> (bool, bool) {
    let now = Instant::now();
    // Whoever was killed along with the child needs a moment to be gone, too.
    let until = kill_at.map_or(now + limits.grace, |kill_at| kill_at.max(now + LAST_WORDS));
    let mut closed = timeout_at(until, output.closed()).await.is_ok();
    let left = child.leftovers().await;
    let leaked = !left.is_empty();
    if leaked {
        let patience = match kill_at {
            // The group knows since its leader was asked to end; those outside do not.
            Some(_) if Instant::now() < until => until,
            _ => Instant::now() + LAST_WORDS,
        };
        left.terminate();
        if timeout_at(patience, left.ended()).await.is_err() || !child.leftovers().await.is_empty() {
            child.kill_leftovers().await;
        }
    }
    closed = closed || wait_for_rest(output).await;
    output.stop();
    // Open, and nobody of ours to hold it: a process that took off its mark and left the session.
    (leaked || !closed, closed)
}

/// Nobody should hold the output any more. What keeps it open is a consumer with a backlog, who gets time, or a process
/// that we cannot find, which gets none.
async fn wait_for_rest(output: &Output) -> bool {
    let patience = Instant::now() + CONSUMER_PATIENCE;
    loop {
        let until = (Instant::now() + LAST_WORDS).min(patience);
        if timeout_at(until, output.closed()).await.is_ok() {
            return true;
        }
        if !output.is_backed_up() || Instant::now() >= patience {
            return false;
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
