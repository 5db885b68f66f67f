//! What keeps runs going: the ends of their tasks, and their deadlines; and where a run is taken up again after a start.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::result::{end_of, not_submitted};
use super::{Active, NEVER, News, RUNNING, Runs, Step, turn};
use crate::manager::engine::{Engine, EngineError, now};
use crate::manager::ids::{RunId, TaskId};
use crate::manager::queue::Queue;
use crate::manager::store::{Change, OpenRun, RunEnded, Store, StoreError};
use crate::pipeline::run::{Command, Effects, Event, NodeView, Outcome, Run, State, TaskEnd, TaskRef};
use crate::pipeline::{Level, Plan};

/// A task that is over, and what it was for.
type EndedTask = (TaskId, TaskRef);

/// News taken together.
const MAX_NEWS: usize = 512;

/// Pause before a database that is gone is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest sleep: a clock that was set is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The runs that the store has open, and the tasks of theirs that the queue has; and what is to be written of those that
/// cannot go on.
pub(in crate::manager::engine) async fn restore(
    store: &Store,
    queue: &Queue,
) -> Result<(Runs, HashMap<TaskId, Step>, Vec<Change>), StoreError> {
    let mut steps = HashMap::new();
    let mut active = Vec::new();
    let mut lost = Vec::new();
    for kept in store.open_runs().await? {
        let id = kept.row.id.clone();
        let Some(run) = read(&kept) else {
            tracing::error!(run = %id, "a run that was kept does not read, so it cannot go on; it is ended as failed");
            lost.extend(unreadable(&kept).map(|ended| Change::RunEnded(Box::new(ended))));
            continue;
        };
        let run = Active::new(kept.row, run);
        active.push(run);
    }
    for active in &mut active {
        let run = active.row.id.clone();
        for (task, _) in active.run.get_mut().open_tasks() {
            let id = TaskId::of_step(&run, task);
            if queue.task(id.as_str()).is_some() {
                let run = run.clone();
                steps.insert(id, Step { run, task });
            }
        }
    }
    Ok((Runs::new(active), steps, lost))
}

fn read(kept: &OpenRun) -> Option<Run> {
    let plan: Plan = serde_json::from_str(&kept.plan).ok()?;
    let nodes = kept.nodes.iter().map(|node| serde_json::from_str(node));
    let state = State {
        id: kept.row.id.to_string(),
        inputs: serde_json::from_str(&kept.inputs).ok()?,
        started_at: kept.row.created_at,
        nodes: nodes.collect::<Result<_, _>>().ok()?,
    };
    Run::restore(Arc::new(plan), state).ok()
}

/// What is left of a run that does not read.
fn unreadable(kept: &OpenRun) -> Option<RunEnded> {
    let view = NodeView {
        node: 0,
        path: String::new(),
        name: kept.row.name.clone(),
        level: Level::Pipeline,
        status: Outcome::Failed.as_str().to_owned(),
        started_at: jiff::Timestamp::from_millisecond(kept.row.created_at).ok(),
        ended_at: jiff::Timestamp::from_millisecond(now()).ok(),
        attempts: 1,
        message: Some(
            "What the manager had kept of this run does not read, so it was ended: another version of the manager wrote it, \
             or the database was changed from outside. Its tasks may have gone on."
                .to_owned(),
        ),
        kind: None,
        task_id: None,
        delegate: None,
        waiting_for: None,
        asked: None,
        outputs: std::collections::BTreeMap::new(),
        children: Vec::new(),
    };
    Some(RunEnded {
        id: kept.row.id.clone(),
        status: Outcome::Failed.as_str(),
        at: now(),
        view: serde_json::to_string(&view).ok()?,
    })
}

/// Drives runs until the manager stops.
pub(in crate::manager::engine) async fn drive(
    engine: Weak<Engine>,
    runs: Arc<Runs>,
    mut news: mpsc::UnboundedReceiver<News>,
    stopping: CancellationToken,
) {
    // Turns under way. They end with this: what is not committed by then is found again by the next start.
    let mut turns = JoinSet::new();
    if let Some(engine) = engine.upgrade() {
        for active in engine.runs.all() {
            let engine = Arc::clone(&engine);
            turns.spawn(async move { engine.take_up(&active).await });
        }
    }
    let mut batch = Vec::with_capacity(MAX_NEWS);
    loop {
        tokio::select! {
            received = news.recv_many(&mut batch, MAX_NEWS) => {
                let Some(strong) = engine.upgrade().filter(|_| received > 0) else {
                    return;
                };
                for (active, ended) in strong.sorted(batch.drain(..)) {
                    let engine = Arc::clone(&strong);
                    turns.spawn(async move { engine.tasks_ended(&active, ended).await });
                }
            }
            () = tokio::time::sleep(runs.next_is_due_in()) => {
                let Some(strong) = engine.upgrade() else { return };
                for active in runs.due() {
                    let engine = Arc::clone(&strong);
                    turns.spawn(async move { engine.insist(&active, || vec![Event::Tick]).await });
                }
            }
            () = runs.timer.notified() => {}
            Some(_) = turns.join_next() => {}
            () = stopping.cancelled() => return,
        }
    }
}

impl Runs {
    fn next_is_due_in(&self) -> Duration {
        let next = self.next_deadline();
        let ms = u64::try_from(next.saturating_sub(now())).unwrap_or(0);
        Duration::from_millis(ms.max(1)).min(LONGEST_SLEEP)
    }

    /// Runs whose deadlines have passed; they are asked for only once.
    fn due(&self) -> Vec<Arc<Active>> {
        let now = now();
        let mut due = self.all();
        due.retain(|active| {
            let is_due = active.deadline.load(Ordering::Relaxed) <= now;
            if is_due {
                active.deadline.store(NEVER, Ordering::Relaxed);
            }
            is_due
        });
        due
    }
}

impl Engine {
    /// Ends of tasks by their runs; who waits for other news is told.
    fn sorted(&self, news: impl Iterator<Item = News>) -> Vec<(Arc<Active>, Vec<EndedTask>)> {
        let mut ended: HashMap<RunId, Vec<EndedTask>> = HashMap::new();
        for news in news {
            match news {
                News::Ended(id, step) => ended.entry(step.run).or_default().push((id, step.task)),
                News::Moved(run) => {
                    if let Some(active) = self.runs.get(run.as_str()) {
                        active.tell();
                    }
                }
            }
        }
        let runs = ended
            .into_iter()
            .filter_map(|(run, tasks)| Some((self.runs.get(run.as_str())?, tasks)));
        runs.collect()
    }

    async fn tasks_ended(&self, active: &Arc<Active>, tasks: Vec<EndedTask>) {
        let mut ends = Vec::with_capacity(tasks.len());
        for (id, task) in tasks {
            ends.push((task, self.end_of_task(&id).await));
        }
        self.insist(active, || {
            let event = |(task, end): &(TaskRef, TaskEnd)| Event::TaskEnded(*task, end.clone());
            ends.iter().map(event).collect()
        })
        .await;
    }

    /// How a task ended that is over.
    async fn end_of_task(&self, id: &TaskId) -> TaskEnd {
        loop {
            match self.store.task(id.as_str()).await {
                Ok(task) => {
                    return task.as_ref().and_then(end_of).unwrap_or_else(|| {
                        not_submitted("The manager has no record of the end of this task.".to_owned())
                    });
                }
                Err(error @ StoreError::Unreadable { .. }) => return not_submitted(error.to_string()),
                Err(error) => {
                    tracing::warn!(%error, "a run waits for the database");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes events, waiting for a database that is gone: nobody else would tell them again.
    async fn insist(&self, active: &Arc<Active>, events: impl Fn() -> Vec<Event>) {
        let mut run = active.run.lock().await;
        let room = loop {
            match self.writer.room(turn::ROOM).await {
                Ok(room) => break room,
                Err(StoreError::Stopping) => return,
                Err(error) => {
                    tracing::warn!(%error, "a run waits for the database");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        match self.take_with(active, &mut run, room, events()).await {
            // An end that came after its step was given up.
            Ok(()) | Err(EngineError::Run(_)) => {}
            Err(error) => {
                tracing::warn!(%error, run = %active.row.id, "a change of a run is not confirmed yet");
            }
        }
    }

    /// Takes up a run after a start: ends of tasks that a kill kept from it, and tasks that the queue has to have.
    async fn take_up(&self, active: &Arc<Active>) {
        let mut run = active.run.lock().await;
        let mut ended = Vec::new();
        let mut again = Vec::new();
        let asked_for = run.outstanding();
        for (task, cancelled) in run.open_tasks() {
            let id = active.task_id(task);
            if self.shared.lock().steps.contains_key(&id) {
                if cancelled {
                    again.push(Command::Cancel(task));
                }
                continue;
            }
            let known = loop {
                match self.store.task(id.as_str()).await {
                    Ok(known) => break known,
                    Err(error) => {
                        tracing::warn!(%error, "a run waits for the database");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            };
            let submitted_as = asked_for
                .iter()
                .find(|command| matches!(command, Command::Submit(submission) if submission.task == task));
            match (known.as_ref().and_then(end_of), submitted_as) {
                (Some(end), _) => ended.push((task, end)),
                (None, Some(command)) => again.push(command.clone()),
                (None, None) => ended.push((
                    task,
                    not_submitted("The manager has no record of this task.".to_owned()),
                )),
            }
        }
        tracing::info!(run = %active.row.id, pipeline = active.row.pipeline, status = RUNNING, "run taken up");
        if !again.is_empty()
            && let Ok(room) = self.writer.room(turn::ROOM).await
        {
            let effects = Effects {
                commands: again,
                changed: Vec::new(),
            };
            if let Err(error) = self.keep(active, &mut run, room, Vec::new(), effects).await {
                tracing::warn!(%error, run = %active.row.id, "a change of a run is not confirmed yet");
            }
        }
        drop(run);
        if !ended.is_empty() {
            self.insist(active, || {
                let event = |(task, end): &(TaskRef, TaskEnd)| Event::TaskEnded(*task, end.clone());
                ended.iter().map(event).collect()
            })
            .await;
        }
    }
}
