//! A task's log as it grows: the manager's server-sent events, read to the end across lost connections.

use std::time::Duration;

use futures_util::StreamExt as _;

use crate::cli::api::{Api, Failure, say, segment};
use crate::protocol::api::{LogEnd, TaskStatus};
use crate::protocol::wire::LogLine;

/// Pauses between attempts to get a lost connection back.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a manager that is gone is waited for.
const PATIENCE: Duration = Duration::from_mins(2);

/// Longest line of the stream; a log line is far shorter.
const MAX_LINE: usize = 4 * 1024 * 1024;

/// Follows a log to the end of the task, giving each line once, and says how the task ended.
pub(super) async fn follow(
    api: &Api,
    id: &str,
    mut each: impl FnMut(&str, LogLine),
) -> Result<TaskStatus, Failure> {
    let mut seen: Option<String> = None;
    let mut pause = FIRST_PAUSE;
    let mut lost_since: Option<tokio::time::Instant> = None;
    loop {
        let before = seen.clone();
        let failure = match once(api, id, &mut seen, &mut each).await {
            Ok(Some(status)) => return Ok(status),
            // The manager ended the stream but not the log: it is stopping, and its successor knows more.
            Ok(None) => None,
            Err(failure) if failure.is_passing() => Some(failure),
            Err(failure) => return Err(failure),
        };
        if seen != before {
            lost_since = None;
            pause = FIRST_PAUSE;
        }
        let since = *lost_since.get_or_insert_with(|| {
            say(&"The connection to the manager is lost; trying again. The task goes on.");
            tokio::time::Instant::now()
        });
        if let Some(failure) = failure.filter(|_| since.elapsed() >= PATIENCE) {
            return Err(failure);
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One connection. `None` when it ended before the log did.
async fn once(
    api: &Api,
    id: &str,
    seen: &mut Option<String>,
    each: &mut impl FnMut(&str, LogLine),
) -> Result<Option<TaskStatus>, Failure> {
    let path = format!("/tasks/{}/logs", segment(id));
    let query = [("follow", "true".to_owned())];
    let mut pieces = Box::pin(api.stream(&path, &query, seen.as_deref()).await?);
    let mut events = Events::default();
    while let Some(piece) = pieces.next().await {
        for event in events.push(&piece?) {
            if event.name == "end" {
                let end: Option<LogEnd> = serde_json::from_str(&event.data).ok();
                return Ok(end.map(|end| end.status));
            }
            if let Ok(line) = serde_json::from_str::<LogLine>(&event.data) {
                each(&event.data, line);
            }
            if let Some(id) = event.id {
                *seen = Some(id);
            }
        }
    }
    Ok(None)
}

/// One server-sent event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

/// Puts server-sent events together from pieces cut anywhere.
#[derive(Default)]
struct Events {
    rest: Vec<u8>,
    event: Event,
}

impl Events {
    fn push(&mut self, piece: &[u8]) -> Vec<Event> {
        let mut whole = Vec::new();
        self.rest.extend_from_slice(piece);
        let mut from = 0;
        while let Some(length) = self.rest[from..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[from..from + length]).into_owned();
            from += length + 1;
            whole.extend(self.line(line.trim_end_matches('\r')));
        }
        self.rest.drain(..from);
        if self.rest.len() > MAX_LINE {
            // Not a stream of ours; better a gap than all the memory.
            self.rest.clear();
        }
        whole
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Some(event).filter(|event| !event.data.is_empty());
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.name),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments keep the connection alive.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = ": hello\n\nid: 0.0.1\ndata: {\"out\":\"ä\"}\n\nevent: end\r\ndata: {}\r\n\r\n";

    proptest! {
        #[test]
        fn events_are_the_same_however_the_stream_is_cut(cuts in proptest::collection::vec(0..STREAM.len(), 0..6)) {
            let whole = Events::default().push(STREAM.as_bytes());
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut events = Events::default();
            let pieces: Vec<Event> = cuts
                .windows(2)
                .flat_map(|cut| events.push(&STREAM.as_bytes()[cut[0]..cut[1]]))
                .collect();
            prop_assert_eq!(&pieces, &whole);
            prop_assert_eq!(whole.len(), 2);
            prop_assert_eq!(&whole[1].name, "end");
        }
    }
}
