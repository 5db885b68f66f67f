//! Soak: hours of work that leave nothing behind, neither memory nor descriptors nor files, and lose no task.
//!
//! The real programs, as processes: a manager, an agent on the persistent connection and one that polls. Rounds of the same
//! tasks (some succeed, fail, print, run out of time, are aborted) go through them. In the first half the manager is restarted
//! now and then, in the second its connections are cut instead, so that it has a long life to be judged over. Between two
//! rounds, when nothing runs, each process is looked at; at the end the look of its last quarter is held against that of its second.
//!
//! As a test it is [`ROUNDS`] rounds. `SOAK_MINUTES` makes it as long as wanted, `SOAK_PROGRAM` names the program to look
//! at, `SOAK_KEEP` keeps logs and data; `scripts/soak` sets them.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failure here is the test's, and its figures are printed"
)]

#[path = "../support/fleet/mod.rs"]
mod fleet;
mod sample;
#[path = "../support/mod.rs"]
mod support;
mod verdict;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fleet::books::Outcome;
use fleet::client::{Client, Sent};
use fleet::number;
use fleet::site::Site;
use fleet::work::Work;
use sample::Watched;
use support::PATIENCE;
use tokio::task::JoinSet;
use verdict::Allowed;

/// The first keeps the persistent connection, the second polls.
const AGENTS: usize = 2;

/// Rounds of the short form: enough for quarters of several looks, in half a minute.
const ROUNDS: u32 = 20;

/// Time between the beginnings of two rounds in the long form: steady work, with time to be idle in.
const PACE: Duration = Duration::from_secs(2);

/// Restarts of the manager in the first half of the short form, and cuts of its connections in the second.
const DISTURBANCES: u32 = 3;

/// Minutes between two in the long form: over a night, one descriptor lost in each would be seen.
const MINUTES_BETWEEN: u64 = 5;

/// What takes this long is judged more strictly.
const LONG: Duration = Duration::from_hours(1);

/// What one round does: as many tasks as the agents take at once.
const ROUND: [Work; 16] = [
    Work::Quick,
    Work::Quick,
    Work::Quick,
    Work::Quick,
    Work::Quick,
    Work::Quick,
    Work::Takes(50),
    Work::Takes(100),
    Work::Fails,
    Work::Fails,
    Work::Prints(100),
    Work::Prints(20),
    Work::Floods(2_000),
    Work::TimesOut(300),
    Work::Aborted,
    Work::Aborted,
];

/// How long it goes on.
enum Length {
    Rounds(u32),
    Time(Duration),
}

impl Length {
    fn chosen() -> Self {
        number("SOAK_MINUTES").map_or(Self::Rounds(ROUNDS), |minutes| {
            Self::Time(Duration::from_mins(minutes))
        })
    }

    /// The part of it that is over.
    fn over(&self, rounds: u32, elapsed: Duration) -> f64 {
        match self {
            Self::Rounds(all) => f64::from(rounds) / f64::from(*all),
            Self::Time(all) => elapsed.as_secs_f64() / all.as_secs_f64(),
        }
    }

    /// Restarts in the first half; as many cuts follow in the second.
    fn disturbances(&self) -> u32 {
        match self {
            Self::Rounds(_) => DISTURBANCES,
            Self::Time(all) => {
                let half = u32::try_from(all.as_secs() / 60 / 2 / MINUTES_BETWEEN).unwrap();
                half.max(DISTURBANCES)
            }
        }
    }

    /// What memory may grow by.
    fn memory(&self) -> Allowed {
        match self {
            Self::Time(all) if *all >= LONG => verdict::MEMORY,
            Self::Time(_) | Self::Rounds(_) => verdict::MEMORY_WHILE_CACHES_FILL,
        }
    }

    /// Waits until the next round is due.
    async fn pause(&self, since: Instant) {
        if matches!(self, Self::Time(_)) {
            tokio::time::sleep(PACE.saturating_sub(since.elapsed())).await;
        }
    }
}

/// What breaks connections during a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    Restart,
    Cut,
}

/// The one that is due when this part is over and so many have been, of so many in each half.
fn due(over: f64, so_far: u32, in_each_half: u32) -> Option<Disturbance> {
    let at = |number: u32| 0.5 * f64::from(number + 1) / f64::from(in_each_half + 1);
    if so_far < in_each_half {
        (over >= at(so_far)).then_some(Disturbance::Restart)
    } else if so_far < 2 * in_each_half {
        (over >= 0.5 + at(so_far - in_each_half)).then_some(Disturbance::Cut)
    } else {
        None
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_descriptors_stay_flat_and_every_task_ends_once() {
    let length = Length::chosen();
    let in_each_half = length.disturbances();
    let mut site = match std::env::var_os("SOAK_PROGRAM") {
        Some(program) => Site::start_of(&PathBuf::from(program), AGENTS).await,
        None => Site::start(AGENTS).await,
    };
    if std::env::var_os("SOAK_KEEP").is_some() {
        site.keep();
    }
    let client = site.client();
    let (mut books, mut accepted, mut watched) = (Outcome::default(), 0, Watched::of(AGENTS));
    let (began, mut rounds, mut disturbances, mut minutes) = (Instant::now(), 0, 0, 0);
    loop {
        let over = length.over(rounds, began.elapsed());
        if over >= 1.0 {
            break;
        }
        let round_began = Instant::now();
        let disturbance = due(over, disturbances, in_each_half);
        disturbances += u32::from(disturbance.is_some());
        let sent = round(&mut site, rounds, disturbance).await;
        rounds += 1;
        accepted += sent.len();
        let tasks = client.whole(sent.iter().map(|sent| sent.id.as_str())).await;
        books.add(Outcome::of(&sent, &tasks, site.take_runs()));
        assert!(books.faults.is_empty(), "round {rounds}: {:#?}", books.faults);
        watched.look(&site);
        let now = began.elapsed().as_secs() / 60;
        if now > minutes {
            minutes = now;
            println!("{minutes:4} min  {accepted:7} tasks  {}", watched.latest());
        }
        length.pause(round_began).await;
    }
    // The manager's own list says the same as what was seen of each.
    let statuses = client.by_status().await;
    let all: usize = statuses.values().sum();
    println!(
        "{accepted} tasks in {rounds} rounds, {in_each_half} restarts of the manager and as many cuts, {:.0?}: {statuses:?}",
        began.elapsed()
    );
    assert_eq!(books.ended(), accepted, "{books:?}");
    assert!(
        (accepted..=accepted + books.unanswered).contains(&all),
        "{all} tasks came of {accepted} that were accepted and {} without an answer",
        books.unanswered
    );
    assert!(
        !statuses
            .keys()
            .any(|status| ["QUEUED", "RUNNING"].contains(&status.as_str())),
        "{statuses:?}"
    );
    let verdict = watched.verdict(&length.memory());
    println!("{verdict}");
    site.drain_agents().await;
    site.nothing_is_left();
    assert_eq!(
        disturbances,
        2 * in_each_half,
        "too short to disturb it as planned"
    );
    assert!(verdict.is_flat(), "{verdict}");
}

/// Submits a round, disturbs it, and waits until everything is over. Returns what was submitted.
async fn round(site: &mut Site, round: u32, disturbance: Option<Disturbance>) -> Vec<Sent> {
    let client = site.client();
    let mut submits = JoinSet::new();
    for (at, work) in ROUND.into_iter().enumerate() {
        let (client, counter) = (client.clone(), site.counter());
        let number = round as usize * ROUND.len() + at;
        submits.spawn(async move {
            let sent = client.submit(number, work, &counter).await;
            if work == Work::Aborted {
                client.begun(&sent.id).await;
                client.abort(&sent.id).await;
            }
            sent
        });
    }
    match disturbance {
        None => {}
        Some(Disturbance::Cut) => site.cut_connections(),
        Some(Disturbance::Restart) => {
            site.stop_manager().await;
            site.start_manager();
        }
    }
    let sent = submits.join_all().await;
    ended(&client, &sent).await;
    sent
}

async fn ended(client: &Client, sent: &[Sent]) {
    if sent.iter().any(|sent| !sent.unanswered.is_empty()) {
        client.abort_unheard(sent).await;
    }
    let over = tokio::time::timeout(PATIENCE, client.all_ended()).await;
    assert!(
        over.is_ok(),
        "these tasks do not end: {:#?}",
        client.not_ended().await
    );
}
