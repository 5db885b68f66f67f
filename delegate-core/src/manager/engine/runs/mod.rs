//! Runs of pipelines: started, kept going, looked at.
//!
//! ```text
//!   http ──► start, answer, decide, abort ──┐
//!   ends of tasks ──► drive ────────────────┼──► turn: Run::apply, then one commit of the nodes that changed,
//!   deadlines ──────► drive ────────────────┘          the tasks that follow and the aborts
//! ```
//!
//! What a run is and what follows on what is decided in `pipeline::run`. Here its decisions are kept: the nodes that an event
//! changed and the tasks that it asks for are in one transaction, so a kill finds both or neither. The end of a task is
//! committed by itself and told to the run afterwards; what a kill lets fall in between is found again by
//! [`drive`] at the next start, because a task is named by its run, step and attempt ([`TaskId::of_step`]). No event is
//! therefore lost, and none taken twice.
//!
//! A run is locked while its turn is being committed, so what is shown of it is committed. A database that is gone is waited
//! for, whoever stops waiting for an answer. It fails with [`EngineError`];
//! a run that the database refuses to keep is ended, with that reason.

mod drive;
mod result;
mod show;
mod turn;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, watch};

pub(super) use drive::{drive, restore};

use super::{Engine, EngineError, now};
use crate::manager::ids::{Millis, RunId, TaskId};
use crate::manager::store::{COMMIT_WAIT, Change, Data, NewRun, RunRow, StoreError};
use crate::pipeline::run::{Event, Refusal, Run, TaskRef};
use crate::pipeline::{Faults, InputError, Plan};
use crate::task::Registry;

/// Most runs that go on at once. Each is held in memory: some kilobytes, and what its tasks returned.
pub(super) const MAX_ACTIVE: usize = 1000;

/// Status of a run that goes on.
pub(super) const RUNNING: &str = "RUNNING";

/// No deadline.
const NEVER: Millis = Millis::MAX;

/// Why a run cannot be started or asked.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The file is no pipeline.
    #[error("the pipeline file is not valid")]
    Faults(Faults),
    /// The values are not what the pipeline asks for.
    #[error("the values given for variables are not what the pipeline asks for")]
    Inputs(Vec<InputError>),
    /// There is no such run.
    #[error("there is no such run")]
    Unknown,
    /// There is no such step.
    #[error("there is no step {0:?} in the run")]
    UnknownStep(String),
    /// As many runs go on as may.
    #[error("{MAX_ACTIVE} runs go on already")]
    TooMany,
    /// The run does not take that now.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Runs that go on.
pub(super) struct Runs {
    active: Mutex<HashMap<RunId, Arc<Active>>>,
    /// When this manager started: tells its cursors from those of its predecessor.
    life: Millis,
    /// Wakes the driver when a deadline comes nearer.
    timer: Notify,
    /// Held while a run with a key is looked for and started.
    keyed: Arc<tokio::sync::Mutex<()>>,
}

/// A run that somebody asked for.
#[derive(Debug)]
pub struct Started {
    /// Its identity.
    pub id: RunId,
    /// Whether it was started now, and not by an earlier call with the same key.
    pub anew: bool,
}

/// A run that goes on.
pub(super) struct Active {
    row: RunRow,
    /// Locked while a turn of it is decided and committed.
    run: tokio::sync::Mutex<Run>,
    /// Counts what is new to be seen of it.
    changes: watch::Sender<u64>,
    /// When time alone asks for something.
    deadline: AtomicI64,
}

/// A task that is the attempt of a step.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) run: RunId,
    pub(super) task: TaskRef,
}

/// What the driver is told by the writer, after a commit.
#[derive(Debug)]
pub(super) enum News {
    /// A task is over.
    Ended(TaskId, Step),
    /// A delegate took a task, or passed it on.
    Moved(RunId),
}

/// Tells the driver.
pub(super) type Teller = mpsc::UnboundedSender<News>;

impl Runs {
    pub(super) fn new(active: Vec<Active>) -> Self {
        let active = active
            .into_iter()
            .map(|active| (active.row.id.clone(), Arc::new(active)));
        Self {
            active: Mutex::new(active.collect()),
            life: now(),
            timer: Notify::new(),
            keyed: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Active>>> {
        // Changed by single insertions and removals.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Option<Arc<Active>> {
        self.lock().get(id).cloned()
    }

    fn all(&self) -> Vec<Arc<Active>> {
        self.lock().values().cloned().collect()
    }

    /// How many go on.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// When time alone asks for something next.
    fn next_deadline(&self) -> Millis {
        let active = self.lock();
        let deadlines = active
            .values()
            .map(|active| active.deadline.load(Ordering::Relaxed));
        deadlines.min().unwrap_or(NEVER)
    }
}

impl Active {
    pub(super) fn new(row: RunRow, run: Run) -> Self {
        Self {
            deadline: AtomicI64::new(run.next_deadline().unwrap_or(NEVER)),
            run: tokio::sync::Mutex::new(run),
            changes: watch::Sender::new(0),
            row,
        }
    }

    /// The task of an attempt of a step of it.
    fn task_id(&self, task: TaskRef) -> TaskId {
        TaskId::of_step(&self.row.id, task)
    }

    /// The run, between two turns.
    async fn locked(&self) -> Result<tokio::sync::MutexGuard<'_, Run>, StoreError> {
        let locked = tokio::time::timeout(COMMIT_WAIT, self.run.lock()).await;
        locked.map_err(|_| StoreError::Slow)
    }

    /// Tells whoever waits that there is something new to be seen.
    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Engine {
    /// Reads and checks a file, and starts a run of it. Once this answers, the run goes on whatever happens here. A key that a
    /// run was started with before means that run, and starts none; it is forgotten with the run.
    pub async fn start_run(
        self: &Arc<Self>,
        file: String,
        given: BTreeMap<String, String>,
        key: Option<&str>,
    ) -> Result<Started, EngineError> {
        // A large file takes a while to read, and calls are not to wait for that.
        let of_delegates = self.shared.lock().queue.kinds(now());
        let read = tokio::task::spawn_blocking(move || {
            let plan =
                Plan::read_with(&file, &Registry::standard(), &of_delegates).map_err(RunError::Faults)?;
            let inputs = plan.inputs(&given).map_err(RunError::Inputs)?;
            Ok::<_, RunError>((plan, inputs))
        });
        let (plan, inputs) = read.await.map_err(|_| StoreError::Stopping)??;
        let kept = |json: Result<String, serde_json::Error>| {
            json.map(|text| Data(text.into()))
                .map_err(|_| StoreError::Refused)
        };
        let (plan_kept, inputs_kept) = (
            kept(serde_json::to_string(&plan))?,
            kept(serde_json::to_string(&inputs))?,
        );
        // Two calls with one key at a time would both find no run of it.
        let (id, alone) = match key {
            Some(key) => {
                let id = RunId::of_key(key);
                let alone = tokio::time::timeout(COMMIT_WAIT, Arc::clone(&self.runs.keyed).lock_owned());
                let alone = alone.await.map_err(|_| StoreError::Slow)?;
                if self.runs.get(id.as_str()).is_some() || self.store.run(id.as_str()).await?.is_some() {
                    return Ok(Started { id, anew: false });
                }
                (id, Some(alone))
            }
            None => (RunId::random(), None),
        };
        let room = self.writer.room(plan_kept.0.len() + turn::ROOM).await?;
        let now = now();
        let root = plan.pipeline();
        let row = RunRow {
            id: id.clone(),
            pipeline: root.map(|root| root.identifier.clone()).unwrap_or_default(),
            name: root.map(|root| root.name.clone()).unwrap_or_default(),
            status: RUNNING.to_owned(),
            created_at: now,
            finished_at: None,
        };
        let (run, effects) = Run::start(Arc::new(plan), id.to_string(), inputs, now);
        let first = vec![Change::NewRun(Box::new(NewRun {
            row: row.clone(),
            plan: plan_kept,
            inputs: inputs_kept,
        }))];
        let active = Arc::new(Active::new(row, run));
        let engine = Arc::clone(self);
        self.to_its_end(async move {
            let _alone = alone;
            let mut run = active.run.lock().await;
            {
                let mut all = engine.runs.lock();
                if all.len() >= MAX_ACTIVE {
                    return Err(RunError::TooMany.into());
                }
                // Its tasks may end before its beginning is answered.
                all.insert(active.row.id.clone(), Arc::clone(&active));
            }
            engine.keep(&active, &mut run, room, first, effects).await
        })
        .await?;
        Ok(Started { id, anew: true })
    }

    /// Ends a run.
    pub async fn abort_run(self: &Arc<Self>, id: &str, by: String) -> Result<(), EngineError> {
        let active = self.active_run(id).await?;
        self.take_whole(active, Event::Abort { by }).await
    }

    /// Takes somebody's answer or decision about a step, which is given by its number or by its path. `event` makes an event of
    /// the step.
    pub async fn answer_run(
        self: &Arc<Self>,
        id: &str,
        step: &str,
        event: impl FnOnce(usize) -> Event,
    ) -> Result<(), EngineError> {
        let active = self.active_run(id).await?;
        let node = {
            let run = active.locked().await?;
            match step.parse() {
                Ok(node) => node,
                Err(_) => run
                    .find(step)
                    .ok_or_else(|| RunError::UnknownStep(step.to_owned()))?,
            }
        };
        self.take_whole(active, event(node)).await
    }

    /// Takes an event to the end of its turn, whoever stops waiting for it.
    async fn take_whole(self: &Arc<Self>, active: Arc<Active>, event: Event) -> Result<(), EngineError> {
        let engine = Arc::clone(self);
        self.to_its_end(async move { engine.take(&active, event).await })
            .await
    }

    /// A turn is not to be left in its middle when its caller is gone: a connection that closes drops the call.
    async fn to_its_end(
        &self,
        turn: impl Future<Output = Result<(), EngineError>> + Send + 'static,
    ) -> Result<(), EngineError> {
        match tokio::time::timeout(COMMIT_WAIT, tokio::spawn(turn)).await {
            Ok(done) => done.unwrap_or_else(|_| Err(StoreError::Stopping.into())),
            Err(_) => Err(StoreError::Slow.into()),
        }
    }

    /// A run that goes on.
    async fn active_run(&self, id: &str) -> Result<Arc<Active>, EngineError> {
        if let Some(active) = self.runs.get(id) {
            return Ok(active);
        }
        let known = self.store.run(id).await?.is_some();
        Err(if known {
            RunError::Refused(Refusal::Over).into()
        } else {
            RunError::Unknown.into()
        })
    }
}
