//! Measures the way of a task that costs nothing: how many a second from a full queue, and how long one takes.
//!
//! `throughput [--tasks N] [--runs N]`: a real manager on SQLite and a real agent, each on a runtime of its own in this
//! process, over the loopback, by the persistent connection and by polling. One line a figure, as JSON. Nothing is
//! asserted of a time.

#![allow(clippy::print_stdout, reason = "figures are printed")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use delegate_core::Secret;
use delegate_core::agent::{Agent, ShutdownHandle, Stop, shutdown};
use delegate_core::config::{DelegateConfig, DelegateToken, TokenSource};
use delegate_core::manager::identity::Wanted;
use delegate_core::manager::store::Target;
use delegate_core::manager::{Manager, Settings};
use delegate_core::protocol::http::Http;
use delegate_core::task::{Registry, TaskContext, TaskError, TaskKind, TaskOutput};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const API_KEY: &str = "the-key-of-the-measurement";

/// A kind that does nothing.
struct Noop(Arc<AtomicUsize>);

#[async_trait]
impl TaskKind for Noop {
    fn type_name(&self) -> &'static str {
        "NOOP"
    }

    fn needs_directory(&self) -> bool {
        false
    }

    async fn run(&self, _: TaskContext) -> Result<TaskOutput, TaskError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(TaskOutput::success())
    }
}

/// The manager's side, and who submits.
struct Site {
    url: String,
    client: reqwest::Client,
    token: DelegateToken,
    _dir: tempfile::TempDir,
}

impl Site {
    async fn start() -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let token = DelegateToken::generate()?;
        let manager = Manager::start(Settings {
            listen: "127.0.0.1:0".parse()?,
            target: Target::Directory(dir.path().to_owned()),
            wanted: Wanted {
                account_id: Some("acc".parse()?),
                delegate_token: Some(token.clone()),
                api_key: Some(Secret::new(API_KEY)),
            },
        })
        .await?;
        let url = format!("http://{}", manager.address());
        tokio::spawn(manager.run(std::future::pending()));
        let client = Http::default().for_url(&url.parse()?)?;
        Ok(Self {
            url,
            client,
            token,
            _dir: dir,
        })
    }

    async fn submit(&self) -> Outcome<String> {
        let reply = self
            .client
            .post(format!("{}/api/v1/tasks", self.url))
            .header("x-api-key", API_KEY)
            .json(&json!({"type": "NOOP"}))
            .send()
            .await?;
        let reply: Value = reply.json().await?;
        Ok(reply["id"].as_str().ok_or("no id")?.to_owned())
    }

    /// Waits for the end of a task, which ends its log.
    async fn follow(&self, id: &str) -> Outcome<()> {
        let url = format!("{}/api/v1/tasks/{id}/logs?follow=true", self.url);
        let log = self.client.get(url).header("x-api-key", API_KEY).send().await?;
        log.text().await?;
        Ok(())
    }
}

/// An agent on a runtime of its own.
struct Worker {
    ran: Arc<AtomicUsize>,
    http: std::net::SocketAddr,
    stop: ShutdownHandle,
    runtime: Runtime,
    _dir: tempfile::TempDir,
}

impl Worker {
    fn start(site: &Site, polling: bool) -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let token = TokenSource::Inline(site.token.clone());
        let mut config = DelegateConfig::new("acc".parse()?, "bench".parse()?, token, site.url.parse()?);
        config.working_dir = dir.path().into();
        config.http_host = "127.0.0.1".parse()?;
        config.http_port = 0;
        config.poll_for_tasks = polling;
        let ran = Arc::<AtomicUsize>::default();
        // As the program has it.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let agent = Agent::builder(config)
            .registry(Registry::empty().with(Noop(Arc::clone(&ran))))
            .build()?;
        let http = agent.http_address();
        let (stop, order) = shutdown();
        runtime.spawn(agent.run(order));
        Ok(Self {
            ran,
            http,
            stop,
            runtime,
            _dir: dir,
        })
    }

    async fn health(&self, site: &Site) -> Outcome<Value> {
        let url = format!("http://{}/api/health", self.http);
        Ok(site.client.get(url).send().await?.json().await?)
    }

    /// Waits until it has run and answered so many.
    async fn done(&self, site: &Site, tasks: usize) -> Outcome<()> {
        loop {
            if self.ran.load(Ordering::Relaxed) >= tasks {
                let health = self.health(site).await?;
                if health["tasks_executing"] == 0 && health["responses_undelivered"] == 0 {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn end(self) {
        self.stop.stop(Stop::Drain);
        tokio::task::spawn_blocking(move || self.runtime.shutdown_timeout(Duration::from_secs(1)))
            .await
            .ok();
    }
}

fn print(figure: &str, transport: &str, mut samples: Vec<f64>, unit: &str) {
    samples.sort_by(f64::total_cmp);
    let at = |part: usize| samples[(samples.len() - 1) * part / 100];
    println!(
        "{}",
        json!({"figure": figure, "transport": transport, "unit": unit, "median": at(50), "p99": at(99),
               "least": at(0), "most": at(100), "samples": samples})
    );
}

async fn throughput(tasks: usize, runs: usize, polling: bool) -> Outcome<()> {
    let mut samples = Vec::new();
    for _ in 0..runs {
        let site = Site::start().await?;
        futures_util::future::try_join_all((0..tasks).map(|_| site.submit())).await?;
        let began = Instant::now();
        let worker = Worker::start(&site, polling)?;
        worker.done(&site, tasks).await?;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        samples.push(tasks as f64 / began.elapsed().as_secs_f64());
        worker.end().await;
    }
    print("queued no-op tasks", name(polling), samples, "per second");
    Ok(())
}

async fn latency(runs: usize, polling: bool) -> Outcome<()> {
    let site = Site::start().await?;
    let worker = Worker::start(&site, polling)?;
    let mut samples = Vec::new();
    // The first ones warm the connections.
    while worker.health(&site).await?["transport"] != name(polling) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for run in 0..runs + 20 {
        let began = Instant::now();
        let id = site.submit().await?;
        site.follow(&id).await?;
        if run >= 20 {
            samples.push(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    worker.end().await;
    print("enqueue to result", name(polling), samples, "ms");
    Ok(())
}

fn name(polling: bool) -> &'static str {
    if polling { "polling" } else { "stream" }
}

fn argument(name: &str, default: usize) -> usize {
    let words: Vec<String> = std::env::args().collect();
    let at = words.iter().position(|word| word == name);
    at.and_then(|at| words.get(at + 1)?.parse().ok())
        .unwrap_or(default)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let (tasks, runs) = (argument("--tasks", 2000), argument("--runs", 5));
    for polling in [false, true] {
        throughput(tasks, runs, polling).await?;
        latency(runs * 40, polling).await?;
    }
    Ok(())
}
