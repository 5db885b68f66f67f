//! The persistent connection: the calls of a delegate over one gRPC stream.
//!
//! `proto/delegate_stream.proto` says what travels and why a break loses nothing. [`ManagerClient::open_stream`] opens
//! it, [`Stream`] is the delegate's side; the manager's is in `manager::http`. It goes through the same [`Http`] as
//! everything else, so certificates and proxies are the same. It fails with the errors of the calls over HTTP, and never
//! opens itself again: whoever uses it decides when.
//!
//! [`Http`]: super::http::Http
//! [`ManagerClient::open_stream`]: super::client::ManagerClient::open_stream

mod calls;
mod open;

pub use calls::Stream;

/// What [`Registered::stream`](super::wire::Registered::stream) says of a manager that speaks this protocol.
pub const VERSION: &str = "v1";

/// Header with the account, which calls over HTTP have in their query.
pub const ACCOUNT_HEADER: &str = "harness-account-id";

/// Largest message of either side: the largest body the protocol allows, and what it is wrapped in.
pub const MAX_MESSAGE: usize = 17 * 1024 * 1024;

/// Calls, or replies, in one message at most; it saves wake-ups and frames when there are many.
pub const MAX_PACKED: usize = 128;

/// A message takes no more when it has this many bytes, so that a large body does not hold up others for long.
pub const PACKED_BYTES: usize = 256 * 1024;

/// The messages, generated from the protocol file.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the protocol file carries the explanations"
)]
pub mod wire {
    tonic::include_proto!("harness_delegate.stream.v1");
}

/// Takes what waits in a channel and packs it into messages; ends when the channel does.
pub fn packed<T: prost::Message>(
    receiver: tokio::sync::mpsc::Receiver<T>,
) -> impl futures_util::Stream<Item = Vec<T>> {
    futures_util::stream::unfold(receiver, async |mut receiver| {
        let first = receiver.recv().await?;
        let mut bytes = first.encoded_len();
        let mut message = vec![first];
        while message.len() < MAX_PACKED
            && bytes < PACKED_BYTES
            && let Ok(next) = receiver.try_recv()
        {
            bytes += next.encoded_len();
            message.push(next);
        }
        Some((message, receiver))
    })
}
