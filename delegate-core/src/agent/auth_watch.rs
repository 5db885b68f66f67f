//! What the manager thinks of our token and of us, over time.
//!
//! Every reply is an observation. A refused token (invalid or revoked) stops the intake at once; when refusals have
//! lasted [`PATIENCE`] without one accepted call between, the token is given up and the agent drains. An expired token is
//! no refusal: the client mints another. Evaluated at observations only, which heartbeats make every 10 s, so a silent
//! network never ends an agent.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::protocol::client::{Dismissal, TokenRefusal};

/// A refusal this long is meant: shorter ones happen while a manager is restored or a token is rotated on both sides.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What the manager does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Token(TokenRefusal),
    Delegate(Dismissal),
}

/// What the manager thinks of our token and of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenState {
    /// It takes both, as far as we know.
    Accepted,
    /// It has refused one since then: no work is taken.
    Refused { since: Instant },
    /// It refused one for too long, or sent us away.
    GivenUp(Refusal),
}

/// Keeps the state and tells whoever waits for a change.
#[derive(Debug)]
pub(super) struct AuthWatch(watch::Sender<TokenState>);

impl AuthWatch {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(TokenState::Accepted))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<TokenState> {
        self.0.subscribe()
    }

    pub(super) fn is_accepted(&self) -> bool {
        *self.0.borrow() == TokenState::Accepted
    }

    pub(super) fn is_given_up(&self) -> bool {
        matches!(*self.0.borrow(), TokenState::GivenUp(_))
    }

    /// A call was accepted.
    pub(super) fn accepted(&self) {
        self.0.send_if_modified(|state| {
            let refused = matches!(state, TokenState::Refused { .. });
            if refused {
                info!("the manager accepts the token again; taking work");
                *state = TokenState::Accepted;
            }
            refused
        });
    }

    /// A call was refused for its token.
    pub(super) fn refused(&self, how: TokenRefusal) {
        if how != TokenRefusal::Expired {
            self.refuse(Refusal::Token(how));
        }
    }

    /// The manager sends us away. A duplicate may be an earlier life of this delegate that is still ending, so that is
    /// waited for; the others are orders.
    pub(super) fn dismissed(&self, why: Dismissal) {
        if why == Dismissal::Duplicate {
            return self.refuse(Refusal::Delegate(why));
        }
        self.0.send_if_modified(|state| {
            let first = !matches!(state, TokenState::GivenUp(_));
            if first {
                *state = TokenState::GivenUp(Refusal::Delegate(why));
            }
            first
        });
    }

    fn refuse(&self, how: Refusal) {
        self.0.send_if_modified(|state| match *state {
            TokenState::Accepted => {
                let what = match how {
                    Refusal::Token(how) => format!("the manager refuses the token ({how:?})"),
                    Refusal::Delegate(why) => why.to_string(),
                };
                warn!(
                    "{what}; no work is taken, and after {} s of this the agent ends",
                    PATIENCE.as_secs()
                );
                *state = TokenState::Refused {
                    since: Instant::now(),
                };
                true
            }
            TokenState::Refused { since } if since.elapsed() >= PATIENCE => {
                *state = TokenState::GivenUp(how);
                true
            }
            TokenState::Refused { .. } | TokenState::GivenUp(_) => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_stops_work_at_once_and_is_final_after_its_patience() {
        let watch = AuthWatch::new();
        watch.refused(TokenRefusal::Revoked);
        assert!(!watch.is_accepted());
        tokio::time::advance(PATIENCE.saturating_sub(Duration::from_millis(1))).await;
        watch.refused(TokenRefusal::Revoked);
        assert!(matches!(*watch.subscribe().borrow(), TokenState::Refused { .. }));
        tokio::time::advance(Duration::from_millis(1)).await;
        watch.refused(TokenRefusal::Revoked);
        assert_eq!(
            *watch.subscribe().borrow(),
            TokenState::GivenUp(Refusal::Token(TokenRefusal::Revoked))
        );
        watch.accepted();
        assert!(!watch.is_accepted(), "given up is given up");
    }

    #[tokio::test(start_paused = true)]
    async fn one_accepted_call_starts_the_patience_anew() {
        let watch = AuthWatch::new();
        watch.refused(TokenRefusal::Invalid);
        tokio::time::advance(PATIENCE).await;
        watch.accepted();
        assert!(watch.is_accepted());
        watch.refused(TokenRefusal::Invalid);
        assert!(matches!(*watch.subscribe().borrow(), TokenState::Refused { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_to_end_is_final_at_once_and_a_duplicate_after_its_patience() {
        for order in [Dismissal::SelfDestruct, Dismissal::Deleted] {
            let watch = AuthWatch::new();
            watch.dismissed(order);
            watch.accepted();
            assert_eq!(
                *watch.subscribe().borrow(),
                TokenState::GivenUp(Refusal::Delegate(order))
            );
        }
        let watch = AuthWatch::new();
        watch.dismissed(Dismissal::Duplicate);
        assert!(!watch.is_accepted() && !watch.is_given_up());
        watch.accepted();
        assert!(watch.is_accepted(), "the other one has ended");
        watch.dismissed(Dismissal::Duplicate);
        tokio::time::advance(PATIENCE).await;
        watch.dismissed(Dismissal::Duplicate);
        assert!(watch.is_given_up());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_expiry_are_no_refusals() {
        let watch = AuthWatch::new();
        watch.refused(TokenRefusal::Expired);
        assert!(watch.is_accepted());
        watch.refused(TokenRefusal::Invalid);
        tokio::time::advance(PATIENCE * 100).await;
        assert!(matches!(*watch.subscribe().borrow(), TokenState::Refused { .. }));
    }
}
