//! Pauses between attempts: exponential, with full jitter, for ever.
//!
//! Full jitter spreads ten thousand agents of a restarted manager over the whole pause instead of bunching them at its
//! end.

use std::time::Duration;

/// Shortest pause.
pub(super) const MIN_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause: a manager that comes back is noticed within a minute.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Doublings after which the longest pause is reached; more would overflow the shift and change nothing.
const MAX_DOUBLINGS: u32 = 7;

/// A row of failed attempts. A success starts a new one.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Failed attempts so far.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts a failure and says how long to wait before the next attempt: at least what the peer asked for (up to
    /// [`MAX_PAUSE`]; a peer does not get to silence us), else a random time below a ceiling that doubles.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        let ceiling = (MIN_PAUSE * (1 << self.attempts.min(MAX_DOUBLINGS))).min(MAX_PAUSE);
        between(MIN_PAUSE, ceiling).max(asked.unwrap_or_default().min(MAX_PAUSE))
    }

    /// Something worked.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A random time, both ends included.
pub(super) fn between(low: Duration, high: Duration) -> Duration {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(fastrand::u64(millis(low)..=millis(high)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_pause_is_within_its_bounds(failures in 1u32..200, asked in proptest::option::of(0u64..1_000_000)) {
            let asked = asked.map(Duration::from_millis);
            let mut backoff = Backoff::default();
            let mut pause = Duration::ZERO;
            for _ in 0..failures {
                pause = backoff.pause(asked);
                prop_assert!((MIN_PAUSE..=MAX_PAUSE).contains(&pause), "{pause:?}");
            }
            prop_assert!(pause >= asked.unwrap_or_default().min(MAX_PAUSE));
            if asked.is_none() {
                prop_assert!(pause <= MIN_PAUSE * 2u32.saturating_pow(failures.min(20)), "{pause:?} after {failures}");
            }
            backoff.reset();
            prop_assert!(backoff.pause(None) <= MIN_PAUSE * 2);
        }
    }

    #[test]
    fn pauses_of_many_agents_spread_over_the_whole_range() {
        let pauses: Vec<_> = (0..1000)
            .map(|_| {
                let mut backoff = Backoff::default();
                (0..10).map(|_| backoff.pause(None)).last().unwrap()
            })
            .collect();
        let in_third = |n: u32| {
            let third = MAX_PAUSE / 3;
            pauses
                .iter()
                .filter(|pause| (third * n..third * (n + 1)).contains(*pause))
                .count()
        };
        for n in 0..3 {
            assert!(in_third(n) > 200, "third {n} has {} of 1000", in_third(n));
        }
    }

    /// When each of 10 000 agents finds a manager again that was away for so long: seconds after its return.
    fn returns(outage: Duration) -> Vec<Duration> {
        let find = |_| {
            let (mut backoff, mut now) = (Backoff::default(), Duration::ZERO);
            while now < outage {
                now += backoff.pause(None);
            }
            now.saturating_sub(outage)
        };
        (0..10_000).map(find).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        /// The longer a manager was away, the wider its agents are spread; all of them are back within the longest pause.
        #[test]
        fn ten_thousand_agents_do_not_return_together(outage in 5u64..1800) {
            let returns = returns(Duration::from_secs(outage));
            prop_assert!(returns.iter().all(|at| *at <= MAX_PAUSE));
            let mut seconds = [0usize; 61];
            for at in &returns {
                seconds[usize::try_from(at.as_secs()).unwrap()] += 1;
            }
            let busiest = seconds.into_iter().max().unwrap_or_default();
            // An even spread over the ceiling that was reached, which the first half of it exceeds by at most twice.
            let reached = usize::try_from(outage.clamp(4, 60)).unwrap() / 2;
            prop_assert!(busiest <= 2 * returns.len() / reached, "{busiest} in one second after {outage} s");
        }
    }
}
