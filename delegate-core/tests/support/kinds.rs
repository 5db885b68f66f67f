//! Task kinds that do what a test needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use delegate_core::protocol::wire::CommandStatus;
use delegate_core::task::{Level, Registry, TaskContext, TaskError, TaskKind, TaskOutput};
use tokio::sync::watch;

/// How often kinds of a test were run.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<AtomicUsize>);

impl Runs {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// `AT_ONCE`: ends at once, and says `data.say` when it is there, `data.times` times.
struct AtOnce(Runs);

#[async_trait]
impl TaskKind for AtOnce {
    fn type_name(&self) -> &'static str {
        "AT_ONCE"
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        if let Some(text) = context.data["say"].as_str() {
            for n in 0..context.data["times"].as_u64().unwrap_or(1) {
                context.log.line(Level::Info, &format!("{text} {n}")).await;
            }
        }
        Ok(TaskOutput::success())
    }
}

/// `UNTIL_TOLD`: runs until the test opens its gate, or it is cancelled.
struct UntilTold(Runs, watch::Receiver<bool>);

#[async_trait]
impl TaskKind for UntilTold {
    fn type_name(&self) -> &'static str {
        "UNTIL_TOLD"
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        context.log.line(Level::Info, "waiting").await;
        let mut gate = self.1.clone();
        tokio::select! {
            Ok(_) = gate.wait_for(|open| *open) => Ok(TaskOutput::success()),
            () = context.cancel.cancelled() => Ok(TaskOutput::not(CommandStatus::Aborted, "aborted")),
        }
    }
}

/// `PANICS`.
struct Panics;

#[async_trait]
impl TaskKind for Panics {
    fn type_name(&self) -> &'static str {
        "PANICS"
    }

    async fn run(&self, _context: TaskContext) -> Result<TaskOutput, TaskError> {
        panic!("as scripted")
    }
}

/// The kinds above, how often they ran, and the gate.
pub(crate) fn registry() -> (Registry, Runs, watch::Sender<bool>) {
    let runs = Runs::default();
    let (gate, closed) = watch::channel(false);
    let registry = Registry::empty()
        .with(AtOnce(runs.clone()))
        .with(UntilTold(runs.clone(), closed))
        .with(Panics);
    (registry, runs, gate)
}
