//! What is submitted and what is killed, drawn from a seed before anything begins.

use std::time::Duration;

use super::fleet::work::Work;

/// Longest time from the first submission of a round to its kill: long enough for a start to complete, short enough
/// that many kills hit one that has not.
const LONGEST_PAUSE_MS: u64 = 250;

/// One in so many kills is the manager's: it costs every agent a reconnect.
const MANAGER_EVERY: usize = 5;

/// Draws what a task does.
fn draw(rng: &mut fastrand::Rng) -> Work {
    match rng.u8(0..20) {
        0..12 => Work::Quick,
        12..16 => Work::Takes(rng.u64(20..400)),
        16 => Work::Fails,
        17..19 => Work::Prints(rng.u64(1..200)),
        _ => Work::Aborted,
    }
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Manager,
    Agent(usize),
}

/// Some tasks and a kill among them.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) tasks: Vec<(usize, Work)>,
    pub(crate) pause: Duration,
    pub(crate) victim: Victim,
}

/// All rounds.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: Vec<Round>,
}

impl Plan {
    pub(crate) fn new(seed: u64, tasks: usize, kills: usize, agents: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let rounds = (0..kills)
            .map(|round| Round {
                tasks: (tasks * round / kills..tasks * (round + 1) / kills)
                    .map(|number| (number, draw(&mut rng)))
                    .collect(),
                pause: Duration::from_micros(rng.u64(0..LONGEST_PAUSE_MS * 1000)),
                victim: if rng.usize(0..MANAGER_EVERY) == 0 {
                    Victim::Manager
                } else {
                    Victim::Agent(rng.usize(0..agents))
                },
            })
            .collect();
        Self { rounds }
    }

    pub(crate) fn kills_of_manager(&self) -> usize {
        self.rounds
            .iter()
            .filter(|round| round.victim == Victim::Manager)
            .count()
    }

    pub(crate) fn kills_of_agents(&self) -> usize {
        self.rounds.len() - self.kills_of_manager()
    }
}
