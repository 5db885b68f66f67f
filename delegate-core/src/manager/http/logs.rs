//! A task's log on its way out: whole, as NDJSON, or followed, as server-sent events.
//!
//! The store is the only source. A follower reads from it what it has not seen, then sleeps until the task has news,
//! so it needs no buffer of its own, however far it is behind.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::App;
use crate::manager::engine::EngineError;
use crate::manager::ids::TaskId;
use crate::protocol::api::{LogEnd, TaskStatus};

/// A log that its writer never closed counts as closed this long after the end of the task.
const UNCLOSED: Duration = Duration::from_secs(2);

/// Keeps proxies from ending a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The whole log as it is now.
pub(super) async fn whole(engine: App, task: TaskId) -> Result<Response, EngineError> {
    let source = match engine.log(&task).await? {
        Some(row) => row.source,
        // No log; but is there such a task?
        None => engine
            .store()
            .task(task.as_str())
            .await?
            .map(|_| 0)
            .ok_or(EngineError::UnknownTask)?,
    };
    let pieces = stream::try_unfold(0, move |from| {
        let (engine, task) = (engine.clone(), task.clone());
        async move {
            let piece = engine.read_log(&task, source, from).await?;
            let next = piece.chunks.last().map(|(chunk, _)| chunk + 1);
            let text: String = piece.chunks.into_iter().map(|(_, lines)| lines).collect();
            Ok::<_, EngineError>(next.map(|next| (Bytes::from(text), next)))
        }
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Where a follower goes on: a chunk, and how many lines of it were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    source: i64,
    chunk: i64,
    line: usize,
}

impl Place {
    /// The identity of an event, with which a follower that lost its connection goes on.
    fn id(self) -> String {
        format!("{}.{}.{}", self.source, self.chunk, self.line)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        Some(Self {
            source: parts.next()?.parse().ok()?,
            chunk: parts.next()?.parse().ok()?,
            line: parts.next()?.parse().ok()?,
        })
    }
}

struct Follower {
    engine: App,
    task: TaskId,
    news: watch::Receiver<()>,
    place: Place,
    /// When the task was first seen to be over while its log was open.
    over_since: Option<Instant>,
    done: bool,
}

/// The log as it grows, until the task is over.
pub(super) async fn follow(engine: App, task: TaskId, headers: &HeaderMap) -> Result<Response, EngineError> {
    let news = engine.follow(&task);
    engine.ended(&task).await?;
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(Place::parse);
    let place = match seen {
        Some(place) => place,
        None => Place {
            source: engine.log(&task).await?.map_or(0, |row| row.source),
            chunk: 0,
            line: 0,
        },
    };
    let follower = Follower {
        engine,
        task,
        news,
        place,
        over_since: None,
        done: false,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let events = follower.next().await?;
        Some((stream::iter(events), follower))
    })
    .flatten();
    Ok(sse(events))
}

fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

impl Follower {
    /// The next events; nothing when the stream is over. Without `end` as its last event the log may go on: the
    /// manager stopped, or the database failed, and the follower should come back.
    async fn next(&mut self) -> Option<Vec<Result<Event, Infallible>>> {
        if self.done {
            return None;
        }
        loop {
            // First the news, then whether it is over, then the lines: whatever comes later wakes us again.
            self.news.borrow_and_update();
            let ended = self.ended().await.ok()?;
            let events = self.lines().await.ok()?;
            if !events.is_empty() {
                return Some(events);
            }
            if let Some(status) = ended {
                self.done = true;
                let data = serde_json::to_string(&LogEnd { status }).ok()?;
                return Some(vec![Ok(Event::default().event("end").data(data))]);
            }
            let unclosed = self.over_since.map(|since| since + UNCLOSED);
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = sleep_until(unclosed) => {}
                () = self.engine.stopping().cancelled() => return None,
            }
        }
    }

    /// How the task ended, when its log is complete too.
    async fn ended(&mut self) -> Result<Option<TaskStatus>, EngineError> {
        let Some(status) = self.engine.ended(&self.task).await? else {
            return Ok(None);
        };
        let open = self.engine.log(&self.task).await?.is_some_and(|row| row.open);
        let since = *self.over_since.get_or_insert_with(Instant::now);
        Ok((!open || since.elapsed() >= UNCLOSED).then_some(status))
    }

    async fn lines(&mut self) -> Result<Vec<Result<Event, Infallible>>, EngineError> {
        let piece = self
            .engine
            .read_log(&self.task, self.place.source, self.place.chunk)
            .await?;
        let mut events = Vec::new();
        for (chunk, lines) in piece.chunks {
            let seen = if chunk == self.place.chunk {
                self.place.line
            } else {
                0
            };
            for (line, text) in lines.lines().enumerate().skip(seen) {
                let seen = Place {
                    source: self.place.source,
                    chunk,
                    line: line + 1,
                };
                events.push(Ok(Event::default().id(seen.id()).data(text)));
            }
            // A chunk never grows, so the next one is what to read next.
            self.place.chunk = chunk + 1;
            self.place.line = 0;
        }
        Ok(events)
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
