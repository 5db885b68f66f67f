//! Saying that we are alive, every ten seconds, whatever else happens.
//!
//! Also while draining and while the token is refused: the manager must not give running tasks up for lost, and an
//! accepted heartbeat is how a refusal ends. A failed one is not repeated; the next is near.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::identity;
use super::link::Link;
use crate::protocol::wire::DelegateParams;

/// Time between two heartbeats; the contract's number.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// Beats for ever. The first beat is one interval away: the registration was one.
pub(super) async fn beat(link: &Link, params: &DelegateParams) {
    let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let id = link.registered().await;
        // Whatever came back was observed by the link.
        let _ = link.heartbeat(&identity::as_of_now(params, &id)).await;
    }
}
