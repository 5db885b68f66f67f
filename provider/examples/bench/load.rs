//! The agent under load: scripts a second, its memory while children print without end, and how soon it drains.

use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use serde_json::json;
use tokio::process::{Child, Command};

use crate::Outcome;
use crate::report::{Figure, Report, Unit, mebibytes};
use crate::site::{PATIENCE, Site, memory, terminate};

/// Scripts that run at the same time.
const AT_ONCE: usize = 100;

/// Scripts of one sample.
const SCRIPTS: usize = 1000;

/// What each noisy child prints, in MB.
const MEGABYTES: usize = 100;

/// Time between two looks at the agent's memory.
const LOOK: Duration = Duration::from_millis(50);

/// How long the noise is listened to. Ten thousand megabytes of lines take many minutes, and what is held shows at once.
const NOISE: Duration = Duration::from_secs(60);

pub(crate) async fn measure(site: &Site, runs: usize, report: &mut Report) -> Outcome<()> {
    scripts(site, report).await?;
    noise(site, report).await?;
    drain(site, runs, report).await
}

async fn started(site: &Site, name: &str) -> Outcome<Child> {
    let mut command = site.agent(name, &site.url)?;
    let agent = command
        .env("DELEGATE_TASK_CAPACITY", AT_ONCE.to_string())
        .spawn()?;
    site.connected(&[name.to_owned()]).await?;
    Ok(agent)
}

async fn submit(site: &Site, agent: &str, script: &str) -> Outcome<String> {
    let body = json!({ "type": "SHELL_SCRIPT", "data": { "script": script }, "selectors": [agent] });
    let task = site.post("/tasks", &body).await?;
    Ok(task["id"].as_str().ok_or("the manager gave no id")?.to_owned())
}

/// Waits until so many tasks have ended well, of those an agent was given.
async fn succeeded(site: &Site, ids: &[String], within: Duration) -> Outcome<()> {
    let all = async {
        for id in ids {
            site.follow(&format!("/tasks/{id}/logs?follow=true")).await?;
            let task = site.get(&format!("/tasks/{id}")).await?;
            if task["status"] != "SUCCEEDED" {
                return Err(format!("the task did not succeed: {task}").into());
            }
        }
        Ok(())
    };
    tokio::time::timeout(within, all)
        .await
        .map_err(|_| "the tasks did not end in time")?
}

/// From a full queue: the agent starts when all scripts wait, and the last result ends the sample.
async fn scripts(site: &Site, report: &mut Report) -> Outcome<()> {
    let name = "scripts";
    let mut agent = started(site, name).await?;
    let warm = submit(site, name, "true").await?;
    succeeded(site, &[warm], PATIENCE).await?;
    let began = Instant::now();
    let ids = try_join_all((0..SCRIPTS).map(|_| submit(site, name, "true"))).await?;
    // The order of their ends does not matter: whichever is looked at late has ended long ago.
    let last = ids.last().cloned().ok_or("no scripts")?;
    site.follow(&format!("/tasks/{last}/logs?follow=true")).await?;
    while site.get("/tasks?status=RUNNING&limit=1").await?["tasks"] != json!([])
        || site.get("/tasks?status=QUEUED&limit=1").await?["tasks"] != json!([])
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.elapsed();
    succeeded(site, &ids, PATIENCE).await?;
    terminate(&mut agent).await?;
    report.add(Figure {
        id: "scripts_per_second",
        what: format!("`true` scripts a second, {AT_ONCE} at once, submission included"),
        unit: Unit::PerSecond,
        samples: vec![per_second(SCRIPTS, took)],
        target: Some(500.0),
        beside: "bounded by the floor below",
    });
    let began = Instant::now();
    for _ in 0..SCRIPTS / AT_ONCE {
        let shells = (0..AT_ONCE).map(async |_| {
            let mut shell = Command::new("bash");
            shell
                .args(["-c", "true"])
                .stdin(Stdio::null())
                .spawn()?
                .wait()
                .await
        });
        join_all(shells)
            .await
            .into_iter()
            .collect::<std::io::Result<Vec<_>>>()?;
    }
    report.add(Figure {
        id: "floor_scripts_per_second",
        what: format!("  floor: fork, exec and end of `bash -c true`, {AT_ONCE} at once"),
        unit: Unit::PerSecond,
        samples: vec![per_second(SCRIPTS, began.elapsed())],
        target: None,
        beside: "what the scripts themselves cost",
    });
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// The most that the agent holds while a hundred children print.
async fn noise(site: &Site, report: &mut Report) -> Outcome<()> {
    let name = "noise";
    let mut agent = started(site, name).await?;
    let pid = agent.id().ok_or("the agent ended")?;
    // Lines of 100 bytes, as quickly as they are taken.
    let line = "x".repeat(99);
    let script = format!("yes {line} | head -c {MEGABYTES}000000");
    let ids = try_join_all((0..AT_ONCE).map(|_| submit(site, name, &script))).await?;
    let mut most = 0.0f64;
    let looking = async {
        loop {
            most = most.max(mebibytes(memory(pid)?.rss));
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        failed = looking => return failed,
        ended = succeeded(site, &ids, PATIENCE * 2) => ended?,
        () = tokio::time::sleep(NOISE) => {}
    }
    for id in &ids {
        // One that is over needs no abort.
        drop(site.post(&format!("/tasks/{id}/abort"), &json!({})).await);
    }
    let quiet = async {
        while site.get("/tasks?status=RUNNING&limit=1").await?["tasks"] != json!([]) {
            tokio::time::sleep(LOOK).await;
        }
        Outcome::Ok(())
    };
    tokio::time::timeout(PATIENCE, quiet).await??;
    // The ends of their logs would be sent for minutes.
    agent.kill().await?;
    report.add(Figure {
        id: "agent_rss_noise",
        what: format!(
            "agent: resident at most, {AT_ONCE} children print {MEGABYTES} MB each, in the first {} s",
            NOISE.as_secs()
        ),
        unit: Unit::Mebibytes,
        samples: vec![most],
        target: Some(64.0),
        beside: "",
    });
    Ok(())
}

/// From the signal to the end of the process.
async fn drain(site: &Site, runs: usize, report: &mut Report) -> Outcome<()> {
    let mut samples = Vec::new();
    for run in 0..runs {
        let mut agent = started(site, &format!("drain-{run}")).await?;
        let began = Instant::now();
        terminate(&mut agent).await?;
        samples.push(Unit::Milliseconds.of(began.elapsed()));
    }
    report.add(Figure {
        id: "agent_drain",
        what: "agent: drain when idle, from SIGTERM".to_owned(),
        unit: Unit::Milliseconds,
        samples,
        target: Some(100.0),
        beside: "",
    });
    Ok(())
}
