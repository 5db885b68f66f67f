//! A run, followed to its end across lost connections.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Shown;
use super::screen::Screen;
use crate::cli::api::{Api, Failure, print, say, segment};
use crate::pipeline::api::RunView;
use crate::pipeline::report::junit;
use crate::pipeline::run::{Millis, NodeView, Outcome};

/// Exit code of a run that ran out of time: that of `timeout`.
const TIMED_OUT: u8 = 124;

/// Exit code of whoever stops looking: that of an interrupted program.
const INTERRUPTED: u8 = 130;

/// How long the manager is asked to wait for news.
const WAIT: Duration = Duration::from_secs(20);

/// Pause between two looks at a run in which much happens.
const BREATH: Duration = Duration::from_millis(50);

/// Pauses between attempts to get a lost connection back.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a manager that is gone is waited for.
const PATIENCE: Duration = Duration::from_mins(2);

/// What interrupts.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn new() -> Result<Self, Failure> {
        let listen = |kind: SignalKind| signal(kind).map_err(|error| Failure::Machine(error.to_string()));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Follows a run, writes what is asked for, and says how it ended.
pub(super) async fn follow(
    api: &Api,
    mut run: RunView,
    shown: &Shown,
    abort_on_interrupt: bool,
) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::new()?;
    let mut screen = Screen::new(shown.plain);
    let mut aborting = !abort_on_interrupt;
    let mut interrupted = false;
    while run.outcome().is_none() {
        screen.show(&run, now());
        let news = next(api, &run, &mut screen, &mut interrupts).await;
        match news.inspect_err(|_| goes_on(&run))? {
            Some(news) => run = news,
            None if aborting => {
                interrupted = true;
                break;
            }
            None => {
                aborting = true;
                screen.leave();
                say(&"Aborting the run; interrupt again to leave that to the manager.");
                let path = format!("/pipelines/{}/abort", segment(&run.summary.id));
                match api.post::<RunView>(&path, &json!({})).await {
                    Ok(news) => run = news,
                    // It was over in between.
                    Err(Failure::Refused { status, .. }) if status == reqwest::StatusCode::CONFLICT => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
    }
    screen.show(&run, now());
    write(&run, shown)?;
    if interrupted {
        goes_on(&run);
        return Ok(ExitCode::from(INTERRUPTED));
    }
    tell_failures(&run.tree);
    Ok(exit_of(&run))
}

/// Says that nobody ended the run.
fn goes_on(run: &RunView) {
    let id = &run.summary.id;
    say(&format_args!(
        "The run goes on. `pipeline show --follow {id}` looks at it again, `pipeline abort {id}` ends it."
    ));
}

/// How a run ended, as an exit code.
pub(super) fn exit_of(run: &RunView) -> ExitCode {
    match run.outcome() {
        Some(outcome) if !outcome.is_failure() => ExitCode::SUCCESS,
        Some(Outcome::TimedOut) => ExitCode::from(TIMED_OUT),
        _ => ExitCode::FAILURE,
    }
}

/// The run when there is something new to be seen; nothing when interrupted.
async fn next(
    api: &Api,
    run: &RunView,
    screen: &mut Screen,
    interrupts: &mut Interrupts,
) -> Result<Option<RunView>, Failure> {
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    let mut look = Box::pin(look(api, run));
    loop {
        tokio::select! {
            news = &mut look => return news.map(Some),
            () = interrupts.next() => return Ok(None),
            _ = clock.tick(), if screen.is_live() => screen.show(run, now()),
        }
    }
}

async fn look(api: &Api, run: &RunView) -> Result<RunView, Failure> {
    let path = format!("/pipelines/{}", segment(&run.summary.id));
    let query = [
        ("after", run.cursor.clone()),
        ("wait_ms", WAIT.as_millis().to_string()),
    ];
    let mut pause = FIRST_PAUSE;
    let mut lost_since: Option<tokio::time::Instant> = None;
    tokio::time::sleep(BREATH).await;
    loop {
        match api.get::<RunView>(&path, &query).await {
            Ok(news) => return Ok(news),
            Err(failure) if failure.is_passing() => {
                let since = *lost_since.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() >= PATIENCE {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Writes the reports that are asked for.
pub(super) fn write(run: &RunView, shown: &Shown) -> Result<(), Failure> {
    let to = |file: &std::path::Path, text: &str| {
        if file.as_os_str() == "-" {
            return print(text);
        }
        std::fs::write(file, text)
            .map_err(|error| Failure::Machine(format!("cannot write {}: {error}", file.display())))
    };
    if let Some(file) = &shown.junit {
        to(file, &junit(&run.tree, now()))?;
    }
    if let Some(file) = &shown.json {
        to(file, &format!("{}\n", as_json(run)?))?;
    }
    Ok(())
}

fn as_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Machine(format!("cannot write JSON: {error}")))
}

/// Says where more is to be read of the steps that failed.
fn tell_failures(node: &NodeView) {
    if let Some(task) = node.task_id.as_ref().filter(|_| node.is_failure()) {
        say(&format_args!(
            "{} is {}; `task logs {task}` shows its log.",
            node.path, node.status
        ));
    }
    for child in &node.children {
        tell_failures(child);
    }
}

pub(super) fn now() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}
