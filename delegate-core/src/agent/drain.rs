//! Watching over a running agent, and ending it.
//!
//! A stop is asked for from outside, or comes from a manager that refused the token for too long or sent us away. Then nothing new is taken, and
//! what runs is finished and answered; heartbeats and polling go on meanwhile, so that the manager knows us alive and can
//! abort. Shortly before the grace period ends, or at a second order, running tasks are ended as `ABORTED` and answered;
//! at its end, answers that could not be delivered stay in the journal. Every five seconds a line says what is awaited.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tracing::{error, info, warn};

use super::Exit;
use super::auth_watch::{Refusal, TokenState};
use super::execute::Executor;
use super::shutdown::{Shutdown, Stop};

/// Time between two lines about what is awaited.
const NARRATE_EVERY: Duration = Duration::from_secs(5);

/// The last part of the grace period, kept for ending tasks (SIGTERM, then SIGKILL after 10 s) and answering them.
const RESERVE: Duration = Duration::from_secs(15);

/// How long the ends of logs may hold up an agent that has answered everything.
const LOG_ENDS: Duration = Duration::from_secs(10);

/// Why the agent ends.
enum Why {
    Ordered,
    TokenRefused(String),
    Dismissed(String),
    Broken(String),
}

/// Runs until the agent has to end, and ends it.
pub(super) async fn supervise(
    executor: &Arc<Executor>,
    mut shutdown: Shutdown,
    mut loops: JoinSet<()>,
    grace: Duration,
) -> Exit {
    let why = until_the_end(executor, &mut shutdown, &mut loops).await;
    executor.status.drain();
    executor.tasks.close();
    executor.log_ends.close();
    let all_answered = drain(executor, &mut shutdown, Instant::now() + grace).await;
    loops.shutdown().await;
    if !executor.status.link.auth.is_given_up() {
        executor.status.link.unregister().await;
    }
    match why {
        Why::TokenRefused(reason) => Exit::TokenRefused { reason },
        Why::Dismissed(reason) => Exit::Dismissed { reason },
        Why::Broken(reason) => Exit::Broken { reason },
        Why::Ordered if all_answered && !executor.cut_short.is_cancelled() => Exit::Drained,
        Why::Ordered => Exit::CutShort {
            undelivered: executor.postponed() + executor.status.ledger.counts().1,
        },
    }
}

async fn until_the_end(executor: &Executor, shutdown: &mut Shutdown, loops: &mut JoinSet<()>) -> Why {
    let mut token = executor.status.link.auth.subscribe();
    tokio::select! {
        () = shutdown.at_least(Stop::Drain) => {
            info!("stopping: no new task is taken, running ones are finished");
            Why::Ordered
        }
        given_up = token.wait_for(|state| matches!(state, TokenState::GivenUp(_))) => {
            let how = match given_up.as_deref() {
                Ok(TokenState::GivenUp(Refusal::Delegate(why))) => {
                    let reason = why.to_string();
                    error!("{reason}; running tasks are finished, then the agent ends");
                    return Why::Dismissed(reason);
                }
                Ok(TokenState::GivenUp(Refusal::Token(how))) => format!("{how:?}").to_lowercase(),
                _ => "unknown".to_owned(),
            };
            let reason = format!("the manager has refused the token ({how}) for too long");
            error!("{reason}; running tasks are finished, then the agent ends");
            Why::TokenRefused(reason)
        }
        ended = loops.join_next() => {
            // The loops have no end of their own; one that has is our bug, and half an agent is worse than none.
            let reason = match ended {
                Some(Err(failed)) => format!("a part of the agent failed: {failed}"),
                Some(Ok(())) | None => "a part of the agent ended by itself".to_owned(),
            };
            error!("{reason}; running tasks are finished, then the agent ends");
            Why::Broken(reason)
        }
    }
}

/// Waits for running work and its answers. False when answers were left undelivered.
async fn drain(executor: &Executor, shutdown: &mut Shutdown, deadline: Instant) -> bool {
    let grace = deadline - Instant::now();
    let cut_at = deadline - RESERVE.min(grace / 2);
    let mut ticks = interval_at(Instant::now() + NARRATE_EVERY, NARRATE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let cut = |why: &str| {
        let (executing, _) = executor.status.ledger.counts();
        if !executor.cut_short.is_cancelled() && executing > 0 {
            warn!(
                tasks = executing,
                "{why}: running tasks are ended and answered as aborted"
            );
            executor.cut_short.cancel();
            executor.status.ledger.cancel_all();
        }
    };
    let all_answered = loop {
        tokio::select! {
            () = executor.tasks.wait() => break true,
            () = shutdown.at_least(Stop::Cancel), if !executor.cut_short.is_cancelled() && executor.status.ledger.counts().0 > 0 => {
                cut("a second signal came");
            }
            () = sleep_until(cut_at), if Instant::now() < cut_at => cut("the grace period is nearly over"),
            () = sleep_until(deadline) => {
                warn!("the grace period is over; answers that could not be delivered are sent at the next start");
                executor.give_up.cancel();
                break false;
            }
            _ = ticks.tick() => {
                let (executing, undelivered) = executor.status.ledger.counts();
                let left = deadline.saturating_duration_since(Instant::now()).as_secs();
                info!(executing, undelivered, seconds_left = left, "finishing");
            }
        }
    };
    let left = deadline.saturating_duration_since(Instant::now()).min(LOG_ENDS);
    if tokio::time::timeout(left, executor.log_ends.wait())
        .await
        .is_err()
    {
        warn!(
            logs = executor.log_ends.len(),
            "the ends of some logs were not taken by the log service; they are sent at the next start"
        );
    }
    // Postponed answers return as well, so the tracker alone does not tell.
    all_answered && executor.postponed() == 0
}
