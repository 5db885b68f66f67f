//! How a child ended.

/// What the operating system said about the end of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Why a child ended, as far as we had a part in it. The order is that of precedence: when several reasons meet, the
/// greatest is the one to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// By itself, or by a signal that was not ours.
    Exited,
    /// Its time was over.
    TimedOut,
    /// Somebody cancelled it.
    Aborted,
}

/// The end of a child and of everything it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Code or signal.
    pub status: Status,
    /// By itself, by timeout or by cancellation.
    pub reason: Reason,
    /// Processes that it had started outlived it, or still held its output open; those that could be found were ended.
    pub leaked: bool,
    /// All output that was written before the end has been taken by the sink. False when a leaked process still held a
    /// pipe, or when the sink was so slow that the rest was given up.
    pub output_complete: bool,
}

impl Exit {
    /// The exit code as a shell reports it: 128 + N for a child ended by signal N.
    pub fn code(&self) -> i32 {
        /// The offset shells use to tell a signal from an exit code.
        const SIGNAL_BASE: i32 = 128;
        match self.status {
            Status::Code(code) => code,
            Status::Signal(signal) => SIGNAL_BASE + signal,
        }
    }

    /// It ended by itself with code 0.
    pub fn success(&self) -> bool {
        self.reason == Reason::Exited && self.status == Status::Code(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_reported_as_128_plus_its_number() {
        let exit = Exit {
            status: Status::Signal(9),
            reason: Reason::Exited,
            leaked: false,
            output_complete: true,
        };
        assert_eq!(exit.code(), 137);
        assert!(!exit.success());
    }

    #[test]
    fn an_abort_outranks_a_timeout_and_a_timeout_an_exit() {
        assert!(Reason::Aborted > Reason::TimedOut && Reason::TimedOut > Reason::Exited);
    }
}
