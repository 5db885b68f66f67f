//! Children that misbehave, and a keeper who watches them.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "each test program uses a part"
)]

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use delegate_core::process::{
    Captured, Command, Confinement, Environment, Exit, Limits, Line, LineSink, ProcessError, Stream,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A shell script to let loose.
pub struct Animal(Command);

/// A child that does what `script` says; it is ended after a minute at the latest.
pub fn animal(script: &str) -> Animal {
    let environment = Environment::of_this_process(&[]);
    let limits = Limits {
        timeout: Some(Duration::from_mins(1)),
        grace: Duration::from_secs(10),
    };
    Animal(
        Command::new("sh", environment)
            .args(["-c", script])
            .limits(limits),
    )
}

impl Animal {
    pub fn limits(self, limits: Limits) -> Self {
        Self(self.0.limits(limits))
    }

    pub fn confine(self, confinement: Confinement) -> Self {
        Self(self.0.confine(confinement))
    }

    pub fn stdin(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self(self.0.stdin(bytes))
    }

    pub fn mark(self, mark: &str) -> Self {
        Self(self.0.mark(mark))
    }

    pub async fn run(self, keeper: &Keeper) -> Result<Exit, ProcessError> {
        self.0.run(&keeper.cancel, &mut &*keeper).await
    }

    pub async fn capture(self, limit: usize) -> Result<Captured, ProcessError> {
        self.0.capture(&CancellationToken::new(), limit).await
    }
}

/// Watches what a child writes.
#[derive(Default)]
pub struct Keeper {
    pub cancel: CancellationToken,
    kept: Mutex<Vec<Line>>,
    grown: Notify,
    count: Option<AtomicUsize>,
    peak: AtomicUsize,
    stuck: bool,
}

impl Keeper {
    /// Counts lines instead of keeping them, and looks at our memory meanwhile.
    pub fn counting() -> Self {
        Self {
            count: Some(AtomicUsize::new(0)),
            ..Self::default()
        }
    }

    /// Takes one batch and never comes back.
    pub fn stuck() -> Self {
        Self {
            stuck: true,
            ..Self::default()
        }
    }

    pub fn texts(&self, stream: Stream) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        kept.iter()
            .filter(|line| line.stream == stream)
            .map(|line| line.text.clone())
            .collect()
    }

    pub fn lines(&self) -> usize {
        self.count.as_ref().unwrap().load(Ordering::Relaxed)
    }

    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Waits for a line of this text.
    pub async fn until(&self, text: &str) {
        self.until_some(|line| (line == text).then_some(())).await;
    }

    /// Waits for a line that is a process id.
    pub async fn until_number(&self) -> u32 {
        self.until_some(|line| line.parse().ok()).await
    }

    async fn until_some<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> T {
        loop {
            let grown = self.grown.notified();
            if let Some(found) = self
                .kept
                .lock()
                .unwrap()
                .iter()
                .find_map(|line| wanted(&line.text))
            {
                return found;
            }
            grown.await;
        }
    }

    /// The first word of a line, a process id.
    pub fn number(&self, index: usize) -> u32 {
        self.texts(Stream::Stdout)[index]
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// The first line that is a process id.
    pub fn first_number(&self) -> u32 {
        self.texts(Stream::Stdout)
            .iter()
            .find_map(|line| line.parse().ok())
            .unwrap()
    }
}

#[async_trait]
impl LineSink for &Keeper {
    async fn write(&mut self, mut lines: Vec<Line>) {
        if let Some(count) = &self.count {
            // Not each time: reading our memory is not free.
            if count.fetch_add(lines.len(), Ordering::Relaxed) % 64 == 0 {
                self.peak.fetch_max(resident_bytes(), Ordering::Relaxed);
            }
            return;
        }
        self.kept.lock().unwrap().append(&mut lines);
        self.grown.notify_waiters();
        self.grown.notify_one();
        if self.stuck {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether a process runs. A zombie does not.
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat")));
    stat.is_ok_and(|stat| !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

/// Waits, boundedly, for the end of a process that is none of our children.
pub async fn gone(pid: u32) {
    let bound = tokio::time::timeout(Duration::from_secs(20), async {
        while alive(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(
        bound.await.is_ok(),
        "process {pid} is still there: {:?}",
        std::fs::read(format!("/proc/{pid}/cmdline"))
    );
}

/// Memory of this program.
pub fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
