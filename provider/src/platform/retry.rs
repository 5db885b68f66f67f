//! What may be attempted again, and when.

use std::time::Duration;

use http::StatusCode;

/// Attempts of one call. With the pauses below a manager that restarts is waited for, and one that is gone is told within
/// some ten seconds.
pub(super) const ATTEMPTS: u32 = 5;

/// Longest first pause; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause of our own choice.
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// Longest pause that a manager gets by asking for it (`Retry-After`). Rate limits of the product are per minute.
pub(super) const MAX_ASKED: Duration = Duration::from_secs(60);

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// There was no connection: nothing was sent.
    Unsent,
    /// Something was sent and no whole answer came.
    Unanswered,
    /// This status came.
    Status(StatusCode),
}

/// Whether a call may be attempted again: the only place where that is decided.
pub(super) fn may_repeat(failed: Failed, idempotent: bool) -> bool {
    match failed {
        Failed::Unsent => true,
        Failed::Unanswered => idempotent,
        Failed::Status(status) => match status.as_u16() {
            // Refused before anything was done.
            429 => true,
            // The manager, or something before it, had no time or was broken: it may have been done.
            408 | 425 | 500 | 502 | 503 | 504 => idempotent,
            _ => false,
        },
    }
}

/// How long to wait after this many failed attempts: what the manager asked for, up to [`MAX_ASKED`], else a random time
/// below a ceiling that doubles, so that many runs do not come back at the same instant.
pub(super) fn pause(failures: u32, asked: Option<Duration>) -> Duration {
    if let Some(asked) = asked {
        return asked.min(MAX_ASKED);
    }
    let ceiling = FIRST_PAUSE
        .saturating_mul(1 << failures.saturating_sub(1).min(8))
        .min(MAX_PAUSE);
    ceiling.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_may_have_been_done_is_repeated_only_when_that_does_no_harm() {
        let status = |code| Failed::Status(StatusCode::from_u16(code).unwrap());
        for (failed, idempotent, otherwise) in [
            (Failed::Unsent, true, true),
            (Failed::Unanswered, true, false),
            (status(429), true, true),
            (status(503), true, false),
            (status(500), true, false),
            (status(400), false, false),
            (status(401), false, false),
            (status(404), false, false),
            (status(501), false, false),
        ] {
            assert_eq!(may_repeat(failed, true), idempotent, "{failed:?}");
            assert_eq!(may_repeat(failed, false), otherwise, "{failed:?}, not idempotent");
        }
    }

    proptest! {
        #[test]
        fn every_pause_is_bounded(failures in 1u32..1000, asked in proptest::option::of(0u64..1_000_000)) {
            let asked = asked.map(Duration::from_secs);
            let pause = pause(failures, asked);
            match asked {
                Some(asked) => prop_assert_eq!(pause, asked.min(MAX_ASKED)),
                None => prop_assert!(pause <= MAX_PAUSE && pause <= FIRST_PAUSE * 2u32.pow(failures.min(20) - 1)),
            }
        }
    }
}
