//! Becoming a delegate, and becoming one again.
//!
//! Registration is tried for ever, since a manager that is away comes back. Only a refused token ends the first one:
//! whoever started the agent is still there to correct it. Later, when a manager has forgotten us, a refused token is
//! the auth watch's matter.

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::auth_watch::PATIENCE;
use super::backoff::Backoff;
use super::heartbeat;
use super::identity;
use super::link::Link;
use crate::protocol::client::{CallError, Dismissal, Verdict};
use crate::protocol::wire::DelegateParams;

/// Failed attempts between two lines about them: at a minute each, one line in ten minutes.
const REPORT_EVERY: u32 = 10;

/// The first registration.
///
/// # Errors
/// The manager refuses the token, or will not have this delegate. A duplicate may be an earlier life that is still ending,
/// and is waited for.
pub(super) async fn register(link: &Link, params: &DelegateParams) -> Result<(), CallError> {
    let mut backoff = Backoff::default();
    let mut duplicate_since = None;
    loop {
        let Err(failed) = attempt(link, params).await else {
            return Ok(());
        };
        match failed.verdict() {
            Verdict::Dismissed(Dismissal::Duplicate)
                if duplicate_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE => {}
            Verdict::TokenRefused(_) | Verdict::Dismissed(_) => return Err(failed),
            _ => duplicate_since = None,
        }
        pause(&mut backoff, &failed).await;
    }
}

/// Registers anew whenever the manager has forgotten us. Never returns.
pub(super) async fn keep_registered(link: &Link, params: &DelegateParams) {
    loop {
        link.unregistered().await;
        let mut backoff = Backoff::default();
        while let Err(failed) = attempt(link, params).await {
            match failed.verdict() {
                Verdict::TokenRefused(how) => link.auth.refused(how),
                Verdict::Dismissed(why) => link.auth.dismissed(why),
                _ => {
                    pause(&mut backoff, &failed).await;
                    continue;
                }
            }
            // The auth watch counts the seconds; it needs an observation as often as heartbeats give one.
            tokio::time::sleep(heartbeat::INTERVAL).await;
        }
    }
}

async fn attempt(link: &Link, params: &DelegateParams) -> Result<(), CallError> {
    let registered = link.register(&identity::as_of_now(params, "")).await?;
    info!(delegate_id = registered.delegate_id, "registered");
    link.adopt(registered);
    Ok(())
}

async fn pause(backoff: &mut Backoff, failed: &CallError) {
    let pause = backoff.pause(failed.retry_after());
    let attempt = backoff.attempts();
    if attempt == 1 || attempt.is_multiple_of(REPORT_EVERY) {
        if failed.verdict() == Verdict::Final {
            // Trying on is right all the same: a wrong route is often repaired on the manager's side.
            error!(error = %failed, attempt, next_in = ?pause, "the manager refuses to register this delegate; check MANAGER_HOST_AND_PORT and ACCOUNT_ID; trying again");
        } else {
            warn!(error = %failed, attempt, next_in = ?pause, "registration failed; trying again");
        }
    }
    tokio::time::sleep(pause).await;
}
