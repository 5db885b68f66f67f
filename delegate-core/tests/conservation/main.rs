//! Conservation: whatever is killed, and whenever, every task that was accepted ends exactly once and runs at most once.
//!
//! The real programs, as processes: a manager and several agents that share its tasks. While tasks are submitted,
//! agents and manager are killed with `kill -9` at random moments, the starts that follow included. Each script adds a
//! line to one file, which tells how often it ran; the manager tells how it ended.
//!
//! The plan of kills and tasks comes from a seed, which is printed. `CONSERVATION_SEED` repeats it,
//! `CONSERVATION_TASKS` and `CONSERVATION_KILLS` make it longer, `CONSERVATION_KEEP` keeps the programs' logs and data. How the processes are interleaved is the machine's matter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failure here is the test's, and its seed is printed"
)]

#[path = "../support/fleet/mod.rs"]
mod fleet;
mod plan;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use fleet::books::Outcome;
use fleet::client::Sent;
use fleet::number;
use fleet::site::Site;
use fleet::work::Work;
use plan::{Plan, Victim};
use tokio::task::JoinSet;

/// Agents that share the tasks.
const AGENTS: usize = 3;

/// Tasks and kills of an ordinary run.
const TASKS: usize = 2_000;
const KILLS: usize = 100;

/// Time for everything that is left to end when nothing is killed any more. Only a failing test takes it.
const SETTLING: Duration = Duration::from_secs(120);

fn count(variable: &str, usual: usize) -> usize {
    number(variable).map_or(usual, |count| usize::try_from(count).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_ends_once_and_runs_at_most_once_whatever_is_killed() {
    let seed = number("CONSERVATION_SEED").unwrap_or_else(|| fastrand::u64(..));
    let plan = Plan::new(
        seed,
        count("CONSERVATION_TASKS", TASKS),
        count("CONSERVATION_KILLS", KILLS),
        AGENTS,
    );
    println!("CONSERVATION_SEED={seed}");
    let began = Instant::now();
    let mut site = Site::start(AGENTS).await;
    if std::env::var_os("CONSERVATION_KEEP").is_some() {
        site.keep();
    }
    let sent = chaos(&mut site, &plan).await;
    let killed = began.elapsed();
    let client = site.client();
    client.abort_unheard(&sent).await;
    let ended = tokio::time::timeout(SETTLING, client.all_ended()).await;
    if ended.is_err() {
        let open = client.not_ended().await;
        panic!("seed {seed}: after {SETTLING:?} these tasks have not ended: {open:#?}");
    }
    let tasks = client.tasks().await;
    site.drain_agents().await;
    // What was told is kept: a manager that is killed once more says the same.
    site.kill_manager();
    site.start_manager();
    let again = client.tasks().await;
    assert_eq!(again, tasks, "seed {seed}: a task changed after its end");
    let outcome = Outcome::of(&sent, &tasks, site.runs());
    println!(
        "seed {seed}: {} tasks, {} kills of agents, {} of the manager in {killed:.1?}; all over after {:.1?}: {outcome:?}",
        sent.len(),
        plan.kills_of_agents(),
        plan.kills_of_manager(),
        began.elapsed()
    );
    assert!(outcome.faults.is_empty(), "seed {seed}: {:#?}", outcome.faults);
    site.nothing_is_left();
    // A run in which nothing was interrupted would prove nothing.
    assert!(
        outcome.succeeded > 0 && outcome.interrupted > 0,
        "seed {seed}: {outcome:?}"
    );
}

/// Submits and kills, round by round, as planned. Returns what was submitted, with the answers.
async fn chaos(site: &mut Site, plan: &Plan) -> Vec<Sent> {
    let client = site.client();
    let mut sent = Vec::new();
    for round in &plan.rounds {
        let mut submits = JoinSet::new();
        for (number, work) in &round.tasks {
            let (client, number, work, counter) = (client.clone(), *number, *work, site.counter());
            submits.spawn(async move {
                let sent = client.submit(number, work, &counter).await;
                if work == Work::Aborted {
                    client.abort(&sent.id).await;
                }
                sent
            });
        }
        tokio::time::sleep(round.pause).await;
        match round.victim {
            Victim::Manager => {
                site.kill_manager();
                site.start_manager();
            }
            Victim::Agent(at) => {
                site.kill_agent(at);
                site.start_agent(at);
            }
        }
        // Submitting goes on across the kill; the next round begins when all of this one's tasks were accepted.
        sent.extend(submits.join_all().await);
    }
    sent
}
