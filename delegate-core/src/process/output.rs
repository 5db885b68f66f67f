//! Draining the output of a child.
//!
//! One task a stream reads while the child runs, and queues what it read; the consumer takes it from there at its own
//! pace. When the queue is full, reading stops, and then the child: memory is bounded by the queue.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{Receiver, Sender, WeakSender, channel};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use super::command::Input;
use super::lines::LineSplitter;
use super::mask::{MaskStream, Masker};
use super::platform::Pipes;
use super::{Line, LineSink, Stream};

/// One read: a quarter of a pipe's buffer. Large enough that reading is not most of the work, small enough for a hundred
/// children that print faster than their logs are taken.
const CHUNK_BYTES: usize = 16 * 1024;

/// Chunks waiting for the consumer: with two readers holding one each, 6 × 16 KiB is the most a child's output takes.
const QUEUED_CHUNKS: usize = 4;

type Chunk = (Stream, Bytes);

/// The running readers of a child.
pub(super) struct Output {
    /// Stopped when dropped.
    readers: Vec<AbortOnDropHandle<()>>,
    /// Cancelled when both readers are done.
    closed: CancellationToken,
    queue: WeakSender<Chunk>,
    chunks: Option<Receiver<Chunk>>,
    writer: Option<AbortOnDropHandle<()>>,
}

impl Output {
    /// Starts reading both outputs and writing the input.
    pub(super) fn drain(pipes: Pipes, input: Input) -> Self {
        let (queue, chunks) = channel(QUEUED_CHUNKS);
        let weak = queue.downgrade();
        let closed = CancellationToken::new();
        // Each reader holds one end; when both are gone, by end of file or by abort, the output is closed.
        let ends = Arc::new(closed.clone().drop_guard());
        let end = ends.clone();
        let stdout = read(Stream::Stdout, pipes.stdout, queue.clone(), end);
        let stderr = read(Stream::Stderr, pipes.stderr, queue, ends);
        let readers = vec![
            AbortOnDropHandle::new(tokio::spawn(stdout)),
            AbortOnDropHandle::new(tokio::spawn(stderr)),
        ];
        let writer = match (pipes.stdin, input) {
            (Some(mut pipe), Input::Bytes { bytes, stays_open }) => {
                Some(AbortOnDropHandle::new(tokio::spawn(async move {
                    // A child that does not read its input, or not all of it, is within its rights.
                    drop(pipe.write_all(&bytes).await);
                    if stays_open {
                        // This task ends with the child, and with it the pipe is closed.
                        std::future::pending::<()>().await;
                    }
                })))
            }
            _ => None,
        };
        Self {
            readers,
            closed,
            queue: weak,
            chunks: Some(chunks),
            writer,
        }
    }

    /// The other end of the queue; `None` the second time.
    pub(super) fn chunks(&mut self) -> Option<Receiver<Chunk>> {
        self.chunks.take()
    }

    /// Waits until both outputs are closed by everybody who could write to them.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Whether it is the consumer that keeps us from reading on.
    pub(super) fn is_backed_up(&self) -> bool {
        self.queue.upgrade().is_some_and(|queue| queue.capacity() == 0)
    }

    /// Closes the input, also one that was to stay open.
    pub(super) fn end_input(&self) {
        self.writer.iter().for_each(AbortOnDropHandle::abort);
    }

    /// Stops reading. What is queued stays queued.
    pub(super) fn stop(&self) {
        self.readers.iter().for_each(AbortOnDropHandle::abort);
    }
}

async fn read(
    stream: Stream,
    mut pipe: impl AsyncRead + Unpin + Send + 'static,
    queue: Sender<Chunk>,
    _end: Arc<DropGuard>,
) {
    let mut buffer = BytesMut::new();
    loop {
        // Room before reading: what is not queued yet shall stay in the pipe.
        let Ok(permit) = queue.reserve().await else { return };
        buffer.reserve(CHUNK_BYTES);
        match pipe.read_buf(&mut buffer).await {
            Ok(0) => return,
            Ok(_) => permit.send((stream, buffer.split().freeze())),
            Err(error) => {
                tracing::debug!(?stream, %error, "cannot read the output of a child");
                return;
            }
        }
    }
}

/// Takes the output of a child as it comes.
#[async_trait]
pub(super) trait Consumer: Send {
    /// The next bytes of a stream.
    async fn take(&mut self, stream: Stream, bytes: &[u8]);
    /// There are no more; what was held back goes out.
    async fn end(&mut self);
}

/// Feeds the consumer until the queue is closed and empty.
pub(super) async fn pump(mut chunks: Receiver<Chunk>, consumer: &mut impl Consumer) {
    while let Some((stream, bytes)) = chunks.recv().await {
        consumer.take(stream, &bytes).await;
    }
    consumer.end().await;
}

/// Masks, splits into lines, and hands them to a sink.
pub(super) struct LineConsumer<'a> {
    sink: &'a mut dyn LineSink,
    stdout: LineStream,
    stderr: LineStream,
}

struct LineStream {
    stream: Stream,
    mask: MaskStream,
    splitter: LineSplitter,
    masked: Vec<u8>,
}

impl LineStream {
    fn new(stream: Stream, masker: &Masker) -> Self {
        Self {
            stream,
            mask: masker.stream(),
            splitter: LineSplitter::default(),
            masked: Vec::new(),
        }
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        self.mask.write(bytes, &mut self.masked);
        self.split(lines);
    }

    fn end(&mut self, lines: &mut Vec<Line>) {
        self.mask.finish(&mut self.masked);
        self.split(lines);
        lines.extend(self.splitter.finish().map(|text| Line {
            stream: self.stream,
            text,
        }));
    }

    fn split(&mut self, lines: &mut Vec<Line>) {
        let stream = self.stream;
        self.splitter
            .push(&self.masked, |text| lines.push(Line { stream, text }));
        self.masked.clear();
    }
}

impl<'a> LineConsumer<'a> {
    pub(super) fn new(masker: &Masker, sink: &'a mut dyn LineSink) -> Self {
        Self {
            sink,
            stdout: LineStream::new(Stream::Stdout, masker),
            stderr: LineStream::new(Stream::Stderr, masker),
        }
    }

    async fn pass_on(&mut self, lines: Vec<Line>) {
        if !lines.is_empty() {
            self.sink.write(lines).await;
        }
    }
}

#[async_trait]
impl Consumer for LineConsumer<'_> {
    async fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let mut lines = Vec::new();
        match stream {
            Stream::Stdout => self.stdout.take(bytes, &mut lines),
            Stream::Stderr => self.stderr.take(bytes, &mut lines),
        }
        self.pass_on(lines).await;
    }

    async fn end(&mut self) {
        let mut lines = Vec::new();
        self.stdout.end(&mut lines);
        self.stderr.end(&mut lines);
        self.pass_on(lines).await;
    }
}

/// Keeps the first bytes of the standard output as they are; of the standard error, does what [`LineConsumer`] does.
pub(super) struct Answer<'a> {
    limit: usize,
    stdout: Zeroizing<Vec<u8>>,
    truncated: bool,
    log: LineConsumer<'a>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(masker: &Masker, limit: usize, sink: &'a mut dyn LineSink) -> Self {
        Self {
            limit,
            stdout: Zeroizing::default(),
            truncated: false,
            log: LineConsumer::new(masker, sink),
        }
    }

    /// Standard output, and whether something of it is missing.
    pub(super) fn finish(self) -> (Zeroizing<Vec<u8>>, bool) {
        (self.stdout, self.truncated)
    }
}

#[async_trait]
impl Consumer for Answer<'_> {
    async fn take(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stderr {
            return self.log.take(stream, bytes).await;
        }
        let room = self.limit - self.stdout.len();
        self.truncated |= bytes.len() > room;
        self.stdout.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    async fn end(&mut self) {
        self.log.end().await;
    }
}

/// Masks, and keeps the first bytes.
pub(super) struct Capture {
    limit: usize,
    stdout: (MaskStream, Vec<u8>),
    stderr: (MaskStream, Vec<u8>),
    truncated: bool,
}

impl Capture {
    pub(super) fn new(masker: &Masker, limit: usize) -> Self {
        let stream = || (masker.stream(), Vec::new());
        Self {
            limit,
            stdout: stream(),
            stderr: stream(),
            truncated: false,
        }
    }

    /// Standard output, standard error, and whether something is missing.
    pub(super) fn finish(self) -> (Vec<u8>, Vec<u8>, bool) {
        (self.stdout.1, self.stderr.1, self.truncated)
    }

    fn cut(&mut self) {
        for (_, kept) in [&mut self.stdout, &mut self.stderr] {
            self.truncated |= kept.len() > self.limit;
            kept.truncate(self.limit);
        }
    }
}

#[async_trait]
impl Consumer for Capture {
    async fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let (mask, kept) = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        mask.write(bytes, kept);
        self.cut();
    }

    async fn end(&mut self) {
        for (mask, kept) in [&mut self.stdout, &mut self.stderr] {
            mask.finish(kept);
        }
        self.cut();
    }
}
