//! Keeping the persistent connection open, where the manager offers it.
//!
//! Calls go over it while it lasts. When it breaks, those that had no reply fail and are repeated by whoever made them;
//! everything goes by polling until it is open again, which is tried for ever. A network that does not let it through
//! costs nothing but the attempts.

use tokio::time::{Duration, Instant};
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::link::Link;

/// A connection that lasted this long was a good one: the next attempt is soon.
const HEALTHY: Duration = Duration::from_secs(60);

/// Failed attempts between two lines about them: at a minute each, one line in an hour.
const REPORT_EVERY: u32 = 60;

/// Keeps it open. Never returns.
pub(super) async fn keep_open(link: &Link) {
    let mut backoff = Backoff::default();
    loop {
        link.stream_is_offered().await;
        let asked = match link.open_stream().await {
            Ok(stream) => {
                let opened = Instant::now();
                info!("the persistent connection to the manager is open");
                link.use_stream(std::sync::Arc::clone(&stream));
                let reason = stream.ended().await;
                link.use_polling();
                if opened.elapsed() >= HEALTHY {
                    backoff.reset();
                }
                warn!(
                    reason,
                    "the persistent connection has ended; polling until it is open again"
                );
                None
            }
            Err(failed) => {
                if backoff.attempts().is_multiple_of(REPORT_EVERY) {
                    warn!(error = %failed, "the persistent connection cannot be opened; polling until it can");
                } else {
                    debug!(error = %failed, "the persistent connection still cannot be opened");
                }
                failed.retry_after()
            }
        };
        tokio::time::sleep(backoff.pause(asked)).await;
    }
}
