//! One turn of a run: what happened is applied, and everything that it leads to is committed together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::result::not_submitted;
use super::{Active, NEVER, RUNNING, Step};
use crate::config::Tag;
use crate::manager::engine::{Engine, EngineError, now};
use crate::manager::ids::TaskId;
use crate::manager::queue::{self, Submission};
use crate::manager::store::{Change, Data, NodeRow, Room, RunEnded, StoreError};
use crate::pipeline::run::{Command, Effects, Event, Outcome, Run, TaskEnd, TaskRef};

/// What the changes of a turn come to, at most, but for a few: it is had before anything is decided.
pub(super) const ROOM: usize = 256 * 1024;

/// What a turn asks of the queue, in its order.
enum Order {
    Submit(TaskRef, Submission, Arc<str>),
    Abort(TaskId),
}

impl Engine {
    /// Takes one event.
    pub(super) async fn take(&self, active: &Arc<Active>, event: Event) -> Result<(), EngineError> {
        let mut run = active.run.lock().await;
        let room = self.writer.room(ROOM).await?;
        self.take_with(active, &mut run, room, vec![event]).await
    }

    /// Takes events, in their order, with the run locked and room for the changes at hand. Those that the run refuses change
    /// nothing; the last refusal is the error.
    pub(super) async fn take_with(
        &self,
        active: &Arc<Active>,
        run: &mut Run,
        room: Room,
        events: Vec<Event>,
    ) -> Result<(), EngineError> {
        let mut effects = Effects::default();
        let mut refused = None;
        for event in events {
            match run.apply(now(), event) {
                Ok(more) => {
                    effects.commands.extend(more.commands);
                    effects.changed.extend(more.changed);
                }
                Err(refusal) => refused = Some(refusal),
            }
        }
        self.keep(active, run, room, Vec::new(), effects).await?;
        refused.map_or(Ok(()), |refusal| Err(super::RunError::from(refusal).into()))
    }

    /// Commits what a turn leads to. Tasks that the queue does not take have failed, and what that leads to is a further turn.
    pub(super) async fn keep(
        &self,
        active: &Arc<Active>,
        run: &mut Run,
        room: Room,
        first: Vec<Change>,
        effects: Effects,
    ) -> Result<(), EngineError> {
        let mut next = Some((room, first, effects));
        let mut failed: VecDeque<(TaskRef, TaskEnd)> = VecDeque::new();
        while let Some((room, first, effects)) = next.take() {
            failed.extend(self.commit(active, run, room, first, effects).await?);
            if let Some((task, end)) = failed.pop_front() {
                let room = self.writer.room(ROOM).await?;
                let effects = run.apply(now(), Event::TaskEnded(task, end)).unwrap_or_default();
                next = Some((room, Vec::new(), effects));
            }
        }
        Ok(())
    }

    /// One transaction: the nodes that changed, the tasks that follow, the aborts, the end.
    async fn commit(
        &self,
        active: &Arc<Active>,
        run: &mut Run,
        room: Room,
        first: Vec<Change>,
        effects: Effects,
    ) -> Result<Vec<(TaskRef, TaskEnd)>, EngineError> {
        let due = run.next_deadline().unwrap_or(NEVER);
        active.deadline.store(due, Ordering::Relaxed);
        self.runs.timer.notify_one();
        if first.is_empty() && effects == Effects::default() {
            return Ok(Vec::new());
        }
        let mut changes = first;
        let mut orders = Vec::new();
        let mut failed = Vec::new();
        let mut outcome = None;
        for command in effects.commands {
            match command {
                Command::Submit(asked) => match submission(active.task_id(asked.task), &asked) {
                    Ok(new) => orders.push(Order::Submit(asked.task, new, asked.data.to_string().into())),
                    Err(problem) => failed.push((asked.task, not_submitted(problem))),
                },
                Command::Cancel(task) => orders.push(Order::Abort(active.task_id(task))),
                // Whoever looks at the run sees what it asks.
                Command::Ask(_) | Command::Withdraw(_) => {}
                Command::Finished(ended) => outcome = Some(ended),
            }
        }
        match outcome {
            Some(outcome) => changes.push(self.end_of(active, run, outcome)?),
            None => changes.push(nodes_of(active, run, effects.changed)?),
        }
        let commit = {
            let mut core = self.shared.lock();
            let mut of_queue = queue::Effects::default();
            for order in &orders {
                match order {
                    Order::Submit(task, new, data) => match core.queue.submit(now(), new.clone()) {
                        Ok(effects) => {
                            of_queue.wake.extend(effects.wake);
                            // The new row says it all.
                            if let Some(row) = core.queue.task(new.id.as_str()).cloned() {
                                changes.push(Change::NewTask(Box::new(row), Data(Arc::clone(data))));
                            }
                            core.at_hand.hold(&new.id, data);
                            let step = Step {
                                run: active.row.id.clone(),
                                task: *task,
                            };
                            core.steps.insert(new.id.clone(), step);
                        }
                        Err(full) => failed.push((*task, not_submitted(full.to_string()))),
                    },
                    // One that is over is told to the run by its end.
                    Order::Abort(id) => {
                        if let Ok((_, effects)) = core.queue.abort(now(), id.as_str()) {
                            of_queue.wake.extend(effects.wake);
                            of_queue.changes.extend(effects.changes);
                        }
                    }
                }
            }
            self.hand_over(&mut core, room, changes, of_queue)
        };
        match commit.settled().await {
            Ok(()) => {}
            Err(StoreError::Refused) => {
                self.take_back(&orders);
                self.give_up(active, run).await;
                return Err(StoreError::Refused.into());
            }
            // The manager stops; the next one goes on from what is committed.
            Err(error) => return Err(error.into()),
        }
        if outcome.is_some() {
            self.runs.lock().remove(&active.row.id);
            tracing::info!(run = %active.row.id, pipeline = active.row.pipeline, status = outcome.map_or(RUNNING, Outcome::as_str), "run ended");
        }
        active.tell();
        Ok(failed)
    }

    /// Tasks that the database refused were never accepted.
    fn take_back(&self, orders: &[Order]) {
        let mut core = self.shared.lock();
        for order in orders {
            if let Order::Submit(_, new, _) = order {
                core.queue.retract(new.id.as_str());
                core.at_hand.drop(&new.id);
                core.steps.remove(&new.id);
            }
        }
    }

    /// Ends a run that the database refuses to keep: its tasks are aborted, and it is left as it is seen now.
    async fn give_up(&self, active: &Arc<Active>, run: &Run) {
        const WHY: &str =
            "The database refused a change of this run, so the manager ended it; its log says more.";
        self.runs.lock().remove(&active.row.id);
        let mut left = self.view_of(active, run);
        Outcome::Failed.as_str().clone_into(&mut left.summary.status);
        left.tree.status.clone_from(&left.summary.status);
        left.tree.message = Some(WHY.to_owned());
        let ended = serde_json::to_string(&left.tree).map(|view| {
            Change::RunEnded(Box::new(RunEnded {
                id: active.row.id.clone(),
                status: Outcome::Failed.as_str(),
                at: now(),
                view,
            }))
        });
        tracing::error!(run = %active.row.id, "the database refuses a change of this run; it is ended");
        let Ok(room) = self.writer.room(ROOM).await else {
            return;
        };
        let commit = {
            let mut core = self.shared.lock();
            let mut effects = queue::Effects::default();
            for (task, _) in run.open_tasks() {
                let id = active.task_id(task);
                core.steps.remove(&id);
                if let Ok((_, more)) = core.queue.abort(now(), id.as_str()) {
                    effects.wake.extend(more.wake);
                    effects.changes.extend(more.changes);
                }
            }
            self.hand_over(&mut core, room, ended.into_iter().collect(), effects)
        };
        // Whether that is kept or not, nothing more can be done here.
        let _ = commit.kept().await;
        active.tell();
    }

    fn end_of(&self, active: &Active, run: &Run, outcome: Outcome) -> Result<Change, StoreError> {
        let view = serde_json::to_string(&self.view_of(active, run).tree).map_err(|_| StoreError::Refused)?;
        Ok(Change::RunEnded(Box::new(RunEnded {
            id: active.row.id.clone(),
            status: outcome.as_str(),
            at: now(),
            view,
        })))
    }
}

/// The rows of nodes that changed.
fn nodes_of(active: &Active, run: &Run, mut changed: Vec<usize>) -> Result<Change, StoreError> {
    changed.sort_unstable();
    changed.dedup();
    let nodes = &run.state().nodes;
    let row = |node: usize| {
        let state = nodes.get(node).map(serde_json::to_string);
        let state = state.and_then(Result::ok).ok_or(StoreError::Refused)?;
        Ok(NodeRow {
            node,
            state: Data(state.into()),
        })
    };
    let rows = changed.into_iter().map(row).collect::<Result<_, StoreError>>()?;
    Ok(Change::RunNodes(active.row.id.clone(), rows))
}

/// A task as the queue takes it, or why it does not.
fn submission(id: TaskId, asked: &crate::pipeline::run::Submission) -> Result<Submission, String> {
    let selector = |text: &String| {
        let tag = text
            .trim()
            .parse::<Tag>()
            .map_err(|error| format!("The delegate selector {text:?} {error}."))?;
        Ok(tag.as_str().to_owned())
    };
    Ok(Submission {
        id,
        kind: asked.kind.clone(),
        selectors: asked
            .selectors
            .iter()
            .map(selector)
            .collect::<Result<_, String>>()?,
        timeout_ms: asked.timeout_ms,
        queue_timeout_ms: asked.timeout_ms,
    })
}
