//! The manager without its transport: decides in the queue, keeps in the store, wakes who waits.
//!
//! Every call decides under one lock, hands what it decided to the writer under the same lock, and answers only when
//! the writer has committed it. Whatever a caller was told is therefore kept, in the order in which it was decided.
//! HTTP is one way to call it; another transport would call the same functions.

mod agents;
mod at_hand;
mod logs;
mod runs;
mod tasks;
mod tokens;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use at_hand::AtHand;
pub use logs::{LogKey, LogPiece};
pub use runs::{RunError, Started};
pub use tasks::{Found, timestamp};

use runs::{News, Runs, Step, Teller};

use super::identity::Identity;
use super::ids::{DelegateId, Millis, TaskId};
use super::log_state::LogState;
use super::queue::{AcquireError, Changed, Effects, Queue, QueueFull, RespondError, Task};
use super::store::{Change, Commit, Room, Store, StoreError, Writer};
use super::tokens::{Refused, TokenChangeError, Tokens};
use crate::protocol::api::TaskStatus;

/// Time between two rounds of housekeeping at most; deadlines of tasks are met exactly.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// Time between two looks for what is old enough to forget.
const PURGE_EVERY_MS: Millis = 10 * 60 * 1000;

/// How long ended tasks and their logs are kept.
pub const KEEP_ENDED_MS: Millis = 30 * 24 * 60 * 60 * 1000;

/// The longest a call waits for news; the clients of the protocol give up after 30 s.
pub const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The bearer token was refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The delegate has to register anew.
    #[error("the delegate is not registered")]
    NotRegistered,
    /// There is no such task.
    #[error("there is no such task")]
    UnknownTask,
    /// The task is not to be had.
    #[error(transparent)]
    NotAcquired(AcquireError),
    /// The answer was not taken.
    #[error(transparent)]
    NotTaken(RespondError),
    /// Too many tasks wait.
    #[error(transparent)]
    Full(#[from] QueueFull),
    /// The delegate token cannot be changed so.
    #[error(transparent)]
    Token(#[from] TokenChangeError),
    /// A run of a pipeline cannot be started, or does not take that.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<super::queue::NotRegistered> for EngineError {
    fn from(_: super::queue::NotRegistered) -> Self {
        Self::NotRegistered
    }
}

/// What is decided under the lock.
struct Core {
    queue: Queue,
    tokens: Tokens,
    logs: HashMap<TaskId, LogState>,
    at_hand: AtHand,
    /// Wakes the waiting calls of a delegate.
    bells: HashMap<DelegateId, Arc<Notify>>,
    /// Tell who follows a task that it has news.
    followers: HashMap<TaskId, watch::Sender<()>>,
    /// Tasks that are steps of runs, until their ends are committed.
    steps: HashMap<TaskId, Step>,
    /// Tells who drives the runs.
    news: Teller,
}

/// Shared with the writing task, which reports commits.
struct Shared {
    core: Mutex<Core>,
    /// Wakes housekeeping when a deadline comes nearer.
    timer: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock is a bug; the state machine itself is changed by plain assignments at its ends.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs in the writing task after each commit.
    fn committed(&self, changes: &[Change]) {
        let mut core = self.lock();
        for change in changes {
            let id = match change {
                Change::Queue(Changed::Task(task)) => {
                    if task.status().is_final() {
                        core.queue.forget(task.id.as_str());
                        core.at_hand.drop(&task.id);
                    }
                    core.tell_run(task);
                    &task.id
                }
                Change::Log(row, _) => {
                    if let Some(log) = core.logs.get_mut(&row.task) {
                        log.pending = log.pending.saturating_sub(1);
                    }
                    &row.task
                }
                _ => continue,
            };
            let id = id.clone();
            core.drop_log_if_over(&id);
            if let Some(follower) = core.followers.get(&id) {
                follower.send_replace(());
            }
        }
    }
}

impl Core {
    /// A log nobody writes any more is in the store; memory need not hold it.
    fn drop_log_if_over(&mut self, id: &TaskId) {
        let over = self.queue.task(id.as_str()).is_none()
            && self
                .logs
                .get(id)
                .is_some_and(|log| log.pending == 0 && !log.is_open());
        if over {
            self.logs.remove(id);
        }
    }

    /// A step of a run has news, which are committed. The receiver is gone only when the manager is stopping.
    fn tell_run(&mut self, task: &Task) {
        let _ = if task.status().is_final() {
            let step = self.steps.remove(&task.id);
            step.map(|step| self.news.send(News::Ended(task.id.clone(), step)))
        } else {
            let step = self.steps.get(&task.id);
            step.map(|step| self.news.send(News::Moved(step.run.clone())))
        };
    }

    fn ring(&self, delegates: &[DelegateId]) {
        for id in delegates {
            if let Some(bell) = self.bells.get(id) {
                bell.notify_waiters();
            }
        }
    }
}

/// The manager without its transport.
pub struct Engine {
    /// Who this manager is.
    pub identity: Identity,
    shared: Arc<Shared>,
    store: Store,
    writer: Writer,
    runs: Arc<Runs>,
    stopping: CancellationToken,
}

/// The tasks that keep an engine going.
pub struct Running {
    writer: JoinHandle<()>,
    housekeeping: JoinHandle<()>,
    driver: JoinHandle<()>,
    closing: CancellationToken,
}

impl Running {
    /// Takes no more changes, and waits until everything decided is written.
    pub async fn end(self) {
        self.closing.cancel();
        let _ = self.housekeeping.await;
        let _ = self.driver.await;
        let _ = self.writer.await;
    }
}

impl Engine {
    /// Starts from what the store kept.
    pub async fn start(
        identity: Identity,
        tokens: Tokens,
        store: Store,
        mut connection: sqlx::AnyConnection,
        stopping: CancellationToken,
    ) -> Result<(Arc<Self>, Running), StoreError> {
        let now = now();
        let queue = Queue::restore(
            now,
            store.open_tasks().await?,
            store.delegates().await?,
            &tokens.active_names(now),
        );
        let (runs, steps, lost) = runs::restore(&store, &queue).await?;
        store.write_first(&mut connection, &lost).await?;
        tracing::info!(
            waiting = queue.waiting(),
            running = queue.running(),
            runs = runs.count(),
            "state restored"
        );
        let bells = queue
            .delegates()
            .map(|delegate| (delegate.id.clone(), Arc::default()))
            .collect();
        let (news, told) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            core: Mutex::new(Core {
                queue,
                tokens,
                logs: HashMap::new(),
                at_hand: AtHand::default(),
                bells,
                followers: HashMap::new(),
                steps,
                news,
            }),
            timer: Notify::new(),
        });
        let on_commit = {
            let shared = Arc::clone(&shared);
            Box::new(move |changes: &[Change]| shared.committed(changes))
        };
        let closing = CancellationToken::new();
        let (writer, writing) = Writer::start(store.clone(), connection, on_commit, closing.clone());
        let engine = Arc::new(Self {
            identity,
            shared,
            store,
            writer,
            runs: Arc::new(runs),
            stopping,
        });
        let driver = tokio::spawn(runs::drive(
            Arc::downgrade(&engine),
            Arc::clone(&engine.runs),
            told,
            engine.stopping.clone(),
        ));
        let housekeeping = tokio::spawn(keep_house(Arc::downgrade(&engine), engine.stopping.clone()));
        let running = Running {
            writer: writing,
            housekeeping,
            driver,
            closing,
        };
        Ok((engine, running))
    }

    /// Cancelled when the manager stops: waiting calls answer at once then.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Reads what is committed.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs of pipelines that go on.
    pub fn active_runs(&self) -> usize {
        self.runs.count()
    }

    /// Figures for the metrics: waiting, running, connected, registered.
    pub fn figures(&self) -> [usize; 4] {
        let now = now();
        let core = self.shared.lock();
        let connected = core
            .queue
            .delegates()
            .filter(|delegate| delegate.is_connected(now))
            .count();
        [
            core.queue.waiting(),
            core.queue.running(),
            connected,
            core.queue.delegates().count(),
        ]
    }

    /// Rings the bells and hands the changes to the writer, under the lock under which they were decided.
    fn hand_over(&self, core: &mut Core, room: Room, mut changes: Vec<Change>, effects: Effects) -> Commit {
        core.ring(&effects.wake);
        changes.extend(effects.changes.into_iter().map(Change::from));
        let commit = self.writer.write(room, changes);
        if core.queue.next_deadline().is_some() {
            self.shared.timer.notify_one();
        }
        commit
    }

    /// A follower of a task's news, and the news seen so far counted as seen.
    pub fn follow(&self, id: &TaskId) -> watch::Receiver<()> {
        let mut core = self.shared.lock();
        core.followers.retain(|_, sender| sender.receiver_count() > 0);
        core.followers
            .entry(id.clone())
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe()
    }

    /// How a task ended, once that is committed.
    pub async fn ended(&self, id: &TaskId) -> Result<Option<TaskStatus>, EngineError> {
        if self.shared.lock().queue.task(id.as_str()).is_some() {
            return Ok(None);
        }
        let task = self
            .store
            .task(id.as_str())
            .await?
            .ok_or(EngineError::UnknownTask)?;
        Ok(Some(task.status()).filter(|status| status.is_final()))
    }

    /// What time alone asks for.
    async fn tick(&self, purge: bool) -> Result<(), StoreError> {
        let room = self.writer.room(0).await?;
        let now = now();
        let mut core = self.shared.lock();
        let mut effects = core.queue.tick(now);
        let mut changes: Vec<Change> = Vec::new();
        for row in core.tokens.revoke_due(now) {
            effects.wake.extend(core.queue.revoke(&row.name).wake);
            tracing::info!(token = row.name, "delegate token revoked, its time has come");
            changes.push(Change::Token(row));
        }
        for change in &effects.changes {
            match change {
                Changed::Task(task) => {
                    tracing::info!(task = %task.id, status = %task.status(), "task ended by the manager");
                }
                Changed::DelegateGone(id) => {
                    core.bells.remove(id);
                }
                Changed::Delegate(_) | Changed::DelegateSeen(..) => {}
            }
        }
        if purge {
            changes.push(Change::Purge(now - KEEP_ENDED_MS));
            let over: Vec<TaskId> = core.logs.keys().cloned().collect();
            for id in over {
                // A log left open by a delegate that never came back.
                if core.queue.task(id.as_str()).is_none()
                    && core.logs.get(&id).is_some_and(|log| log.pending == 0)
                {
                    core.logs.remove(&id);
                }
            }
        }
        if changes.is_empty() && effects.changes.is_empty() {
            core.ring(&effects.wake);
            return Ok(());
        }
        // Nobody waits for these.
        drop(self.hand_over(&mut core, room, changes, effects));
        Ok(())
    }
}

/// Meets the deadlines of tasks, and looks after everything else every few seconds.
async fn keep_house(engine: Weak<Engine>, stopping: CancellationToken) {
    let mut purged = now();
    loop {
        let Some(strong) = engine.upgrade() else { return };
        let purge = now() - purged >= PURGE_EVERY_MS;
        if purge {
            purged = now();
        }
        if let Err(error) = strong.tick(purge).await {
            tracing::warn!(%error, "housekeeping waits for the database");
        }
        let shared = Arc::clone(&strong.shared);
        let next = shared.lock().queue.next_deadline();
        drop(strong);
        let pause = next.map_or(HOUSEKEEPING, |at| {
            Duration::from_millis(u64::try_from(at - now()).unwrap_or(0)).min(HOUSEKEEPING)
        });
        tokio::select! {
            () = tokio::time::sleep(pause.max(Duration::from_millis(1))) => {}
            () = nearer(&shared, next) => {}
            () = stopping.cancelled() => return,
        }
    }
}

/// Resolves when a deadline comes nearer than the one that is slept for.
async fn nearer(shared: &Shared, than: Option<Millis>) {
    loop {
        shared.timer.notified().await;
        let next = shared.lock().queue.next_deadline();
        if next.is_some_and(|next| than.is_none_or(|than| next < than)) {
            return;
        }
    }
}

/// Now, in milliseconds since the epoch.
pub fn now() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}
