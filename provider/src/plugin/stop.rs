//! Cancellation of the work in flight, again and again.
//!
//! Terraform turns the first Ctrl-C into `StopProvider`: whatever waits should stop waiting and hand back the
//! state it has. The server lives on, because those answers are still to be delivered and more calls may follow.
//! So a stop ends the generation of work that was running when it came, and the next call starts a fresh one.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use tokio_util::sync::CancellationToken;

/// A cancellation that can be fired more than once. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StopSignal {
    current: Arc<Mutex<CancellationToken>>,
    at_end: AtEnd,
}

/// Work that is left until the host has asked for the end, which it does after it has stored every answer. Clones share it.
#[derive(Clone, Default)]
pub struct AtEnd(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl AtEnd {
    /// Leaves work; it is dropped when the process ends in any other way.
    pub fn leave(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(work.boxed());
    }

    /// Does what was left so far, all of it at once.
    pub(super) async fn work(&self) {
        let left = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(left).await;
    }
}

impl fmt::Debug for AtEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtEnd")
    }
}

impl StopSignal {
    /// A signal that has not fired.
    pub fn new() -> Self {
        Self::default()
    }

    /// The token for work that starts now. It is cancelled by the next [`stop`](Self::stop), and stays so.
    pub fn token(&self) -> CancellationToken {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Where work is left for the end.
    pub fn at_end(&self) -> AtEnd {
        self.at_end.clone()
    }

    /// Cancels every token handed out so far; tokens asked for from now on are live.
    pub fn stop(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *current).cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_cancels_running_work_and_leaves_later_work_alone() {
        let signal = StopSignal::new();
        let running = signal.token();
        let also_running = signal.clone().token();

        signal.stop();

        assert!(running.is_cancelled() && also_running.is_cancelled());
        let later = signal.token();
        assert!(!later.is_cancelled());
        signal.clone().stop();
        assert!(later.is_cancelled());
    }

    #[tokio::test]
    async fn what_is_left_for_the_end_is_done_once() {
        let (signal, done) = (StopSignal::new(), Arc::new(Mutex::new(0)));
        for _ in 0..2 {
            let done = Arc::clone(&done);
            signal
                .clone()
                .at_end()
                .leave(async move { *done.lock().expect("nobody panics") += 1 });
        }
        assert_eq!(*done.lock().expect("nobody panics"), 0);
        signal.at_end().work().await;
        signal.at_end().work().await;
        assert_eq!(*done.lock().expect("nobody panics"), 2);
    }

    #[tokio::test]
    async fn a_stop_wakes_whoever_waits() {
        let signal = StopSignal::new();
        let token = signal.token();
        let waiter = tokio::spawn(async move { token.cancelled().await });
        signal.stop();
        waiter.await.expect("the waiter ends");
    }
}
