//! The agent: from exec to registered, what it holds when idle, how large it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::sync::mpsc;
use url::Url;

use crate::report::{Figure, Report, Unit, mebibytes};
use crate::site::{Memory, PATIENCE, Site, memory, terminate};
use crate::{Outcome, Programs};

/// How long an agent is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(60);

/// Most agents that idle at once.
const MOST_IDLE: usize = 5;

/// From exec until the manager's reply to the registration is on its way to the agent, watched by a relay between them.
pub(crate) async fn measure_start(site: &Site, runs: usize, report: &mut Report) -> Outcome<()> {
    let (url, mut registered) = relay(&site.url).await?;
    let mut samples = Vec::new();
    for run in 0..runs {
        let mut command = site.agent(&format!("start-{run}"), &url)?;
        let started = Instant::now();
        let mut agent = command.spawn()?;
        let moment = tokio::time::timeout(PATIENCE, registered.recv())
            .await?
            .ok_or("the relay ended")?;
        samples.push(Unit::Milliseconds.of(moment - started));
        terminate(&mut agent).await?;
    }
    report.add(Figure {
        id: "agent_registered",
        what: "agent: exec → registered".to_owned(),
        unit: Unit::Milliseconds,
        samples,
        target: Some(5.0),
        beside: "dlite (Go): 5.4 ms",
    });
    Ok(())
}

/// Passes connections on to the manager, and tells when a reply to a registration passes through.
async fn relay(manager: &Url) -> Outcome<(Url, mpsc::UnboundedReceiver<Instant>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?).parse()?;
    let target = format!(
        "{}:{}",
        manager.host_str().ok_or("no host")?,
        manager.port().ok_or("no port")?
    );
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((agent, _)) = listener.accept().await {
            let (target, sender) = (target.clone(), sender.clone());
            // A connection that breaks is the agent's end.
            tokio::spawn(async move { pass(agent, &target, &sender).await.ok() });
        }
    });
    Ok((url, receiver))
}

async fn pass(
    agent: TcpStream,
    manager: &str,
    registered: &mpsc::UnboundedSender<Instant>,
) -> std::io::Result<()> {
    let manager = TcpStream::connect(manager).await?;
    agent.set_nodelay(true)?;
    manager.set_nodelay(true)?;
    let (mut from_agent, mut to_agent) = agent.into_split();
    let (mut from_manager, mut to_manager) = manager.into_split();
    let asked = AtomicBool::new(false);
    let requests = copy(&mut from_agent, &mut to_manager, |bytes| {
        let head = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let head = String::from_utf8_lossy(head);
        let path = head.split(' ').nth(1).unwrap_or_default();
        if head.starts_with("POST ")
            && path
                .split('?')
                .next()
                .is_some_and(|path| path.ends_with("/register"))
        {
            asked.store(true, Ordering::Relaxed);
        }
    });
    let replies = copy(&mut from_manager, &mut to_agent, |bytes| {
        if bytes.starts_with(b"HTTP/1.1 200") && asked.swap(false, Ordering::Relaxed) {
            let _ = registered.send(Instant::now());
        }
    });
    tokio::try_join!(requests, replies).map(|_| ())
}

/// Copies until the end, showing each piece as it comes, once it was passed on.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut see: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        see(&buffer[..length]);
    }
}

/// Agents that have nothing to do.
pub(crate) struct Idle {
    agents: Vec<Child>,
    since: Instant,
}

impl Idle {
    pub(crate) async fn start(site: &Site, runs: usize) -> Outcome<Self> {
        let names: Vec<String> = (0..runs.min(MOST_IDLE))
            .map(|run| format!("idle-{run}"))
            .collect();
        let agents = names
            .iter()
            .map(|name| Ok(site.agent(name, &site.url)?.spawn()?))
            .collect::<Outcome<_>>()?;
        site.connected(&names).await?;
        Ok(Self {
            agents,
            since: Instant::now(),
        })
    }

    /// Waits for what is left of the minute.
    pub(crate) async fn measure(self, report: &mut Report) -> Outcome<()> {
        tokio::time::sleep(IDLE.saturating_sub(self.since.elapsed())).await;
        let (mut resident, mut anonymous) = (Vec::new(), Vec::new());
        for mut agent in self.agents {
            let Memory { rss, anon } = memory(agent.id().ok_or("an idle agent ended")?)?;
            resident.push(mebibytes(rss));
            anonymous.push(mebibytes(anon));
            terminate(&mut agent).await?;
        }
        report.add(Figure {
            id: "agent_resident",
            what: "agent: resident, idle for 60 s".to_owned(),
            unit: Unit::Mebibytes,
            samples: resident,
            target: Some(8.0),
            beside: "dlite: 9.0 MiB; official manifests ask for 256 MiB and 2 GiB",
        });
        report.add(Figure {
            id: "agent_anonymous",
            what: "  of it anonymous".to_owned(),
            unit: Unit::Mebibytes,
            samples: anonymous,
            target: None,
            beside: "the rest is the program's own pages, which the kernel may drop",
        });
        Ok(())
    }
}

/// The static program, stripped, as it is installed.
pub(crate) fn size(programs: &Programs) -> Outcome<Figure> {
    Ok(Figure {
        id: "agent_size",
        what: "agent: static program, stripped".to_owned(),
        unit: Unit::Mebibytes,
        samples: vec![mebibytes(std::fs::metadata(&programs.delegate)?.len())],
        target: Some(15.0),
        beside: "dlite, which can do nothing but poll: 7.0 MiB",
    })
}
