//! Runs as callers see them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Active, RunError};
use crate::manager::engine::{Core, Engine, EngineError, now, timestamp};
use crate::manager::queue::State;
use crate::manager::store::{RunFilter, RunRow, StoreError};
use crate::pipeline::api::{RunPage, RunSummary, RunView};
use crate::pipeline::run::{NodeView, Outcome, Run};

/// The cursor of a run that is over: nothing follows.
const OVER: &str = "over";

impl Engine {
    /// A run as it is committed. With `after`, the cursor of an earlier look, it waits up to `wait` until there is something
    /// new to be seen.
    pub async fn run_view(
        &self,
        id: &str,
        after: Option<&str>,
        wait: Duration,
    ) -> Result<RunView, EngineError> {
        if let Some(active) = self.runs.get(id) {
            self.wait_for_news(&active, after, wait).await;
            let run = active.locked().await?;
            return Ok(self.view_of(&active, &run));
        }
        let (row, view) = self.store.run(id).await?.ok_or(RunError::Unknown)?;
        let tree = serde_json::from_str(&view).map_err(|_| StoreError::Unreadable {
            what: format!("view of run {id}"),
        })?;
        Ok(RunView {
            summary: summary(row),
            cursor: OVER.to_owned(),
            tree,
        })
    }

    async fn wait_for_news(&self, active: &Arc<Active>, after: Option<&str>, wait: Duration) {
        let until = Instant::now() + wait;
        let mut changes = active.changes.subscribe();
        loop {
            let seen = self.cursor(*changes.borrow_and_update());
            if after != Some(seen.as_str()) {
                return;
            }
            tokio::select! {
                // The sender is ours.
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(until) => return,
                () = self.stopping.cancelled() => return,
            }
        }
    }

    fn cursor(&self, count: u64) -> String {
        format!("{:x}-{count}", self.runs.life)
    }

    /// What there is to be seen of a run, which is locked by the caller.
    pub(super) fn view_of(&self, active: &Active, run: &Run) -> RunView {
        let mut tree = run.view(&|task| active.task_id(task).to_string());
        let mut shown = summary(active.row.clone());
        let cursor = if let Some(outcome) = run.outcome() {
            outcome.as_str().clone_into(&mut shown.status);
            shown.finished_at = tree.ended_at;
            OVER.to_owned()
        } else {
            add_delegates(&self.shared.lock(), &mut tree);
            self.cursor(*active.changes.borrow())
        };
        RunView {
            summary: shown,
            cursor,
            tree,
        }
    }

    /// A page of runs, newest first.
    pub async fn list_runs(&self, filter: &RunFilter) -> Result<RunPage, EngineError> {
        let page = self.store.runs(filter).await?;
        let last = page.runs.last().filter(|_| page.more);
        Ok(RunPage {
            next_cursor: last.map(|row| format!("{}.{}", row.created_at, row.id)),
            runs: page.runs.into_iter().map(summary).collect(),
        })
    }
}

/// Says of tasks that go on who has them, or what they wait for.
fn add_delegates(core: &Core, node: &mut NodeView) {
    let goes_on = Outcome::parse(&node.status).is_none();
    if let Some(task) = node.task_id.as_deref().filter(|_| goes_on)
        && let Some(task) = core.queue.task(task)
    {
        match &task.state {
            State::Queued { .. } => node.waiting_for = core.queue.hindrance(now(), task),
            State::Running { name, .. } => node.delegate = Some(name.clone()),
            State::Ended(_) => {}
        }
    }
    for child in &mut node.children {
        add_delegates(core, child);
    }
}

fn summary(row: RunRow) -> RunSummary {
    RunSummary {
        id: row.id.to_string(),
        pipeline: row.pipeline,
        name: row.name,
        status: row.status,
        created_at: timestamp(row.created_at),
        finished_at: row.finished_at.map(timestamp),
    }
}
