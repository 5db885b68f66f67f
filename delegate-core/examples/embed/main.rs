//! A delegate inside another program, with a task kind, a log and metrics of its own. Settings come from the environment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use delegate_core::agent::{Agent, AgentBuilder, Event, Recorder, Stop, TaskLabels, shutdown};
use delegate_core::config::{DelegateConfig, Env};
use delegate_core::protocol::wire::LogLine;
use delegate_core::task::{Level, LogSink, TaskContext, TaskError, TaskKind, TaskOutput};
use serde::Deserialize;

/// `GREETING`: `{name}` → `{greeting}`.
struct Greeting;

#[derive(Deserialize)]
struct Data {
    name: String,
}

#[async_trait]
impl TaskKind for Greeting {
    fn type_name(&self) -> &'static str {
        "GREETING"
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let Data { name } = context.data()?;
        context.log.line(Level::Info, &format!("greeting {name}")).await;
        Ok(TaskOutput::success().field("greeting", format!("Hello, {name}!")))
    }
}

/// Shows each line here, and passes it on to the log service.
struct Shown(String, Arc<dyn LogSink>);

#[async_trait]
impl LogSink for Shown {
    async fn write(&self, lines: Vec<LogLine>) {
        for line in &lines {
            eprint!("{} {}", self.0, line.out);
        }
        self.1.write(lines).await;
    }
}

/// Counts tasks that ended.
#[derive(Default)]
pub(crate) struct Ended(pub(crate) AtomicU64);

impl Recorder for Ended {
    fn record(&self, event: Event<'_>) {
        if let Event::TaskEnded { .. } = event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The delegate of this program.
pub(crate) fn delegate(config: DelegateConfig, ended: Arc<Ended>) -> AgentBuilder {
    let logs = |task: &TaskLabels, usual| Arc::new(Shown(task.id.clone(), usual)) as Arc<dyn LogSink>;
    let delegate = Agent::builder(config).task(Greeting);
    delegate.log_sink(logs).metrics(ended)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ended = Arc::new(Ended::default());
    let (handle, order) = shutdown();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.stop(Stop::Drain);
        }
    });
    let config = DelegateConfig::from_env(&Env::of_process())?;
    let exit = delegate(config, Arc::clone(&ended)).run(order).await?;
    eprintln!("{exit} after {} tasks", ended.0.load(Ordering::Relaxed));
    Ok(())
}
