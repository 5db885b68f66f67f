//! Whether a delegate says of itself that it is connected.
//!
//! Both our agent and the official image publish the gauge `io_harness_custom_metric_delegate_connected` in the
//! Prometheus text of `/api/metrics`; that is the only thing asked of an image.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Path of the metrics on the delegate's own port.
pub const METRICS_PATH: &str = "/api/metrics";

/// The gauge, 0 or 1.
const GAUGE: &str = "io_harness_custom_metric_delegate_connected";

/// Longest wait for an answer over loopback.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Most metrics read, bytes; an agent has about 20 KiB of them.
const METRICS_LIMIT: usize = 4 * 1024 * 1024;

/// Asks the delegate at this address of this machine. No answer is a no.
pub async fn is_connected(address: SocketAddr) -> bool {
    let answer = tokio::time::timeout(ANSWER_LIMIT, metrics(address)).await;
    answer
        .ok()
        .flatten()
        .and_then(|text| connected(&text))
        .unwrap_or(false)
}

async fn metrics(address: SocketAddr) -> Option<String> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .ok()?;
    let request = http::Request::get(METRICS_PATH)
        .header(http::header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .ok()?;
    let answer = async {
        let body = sender.send_request(request).await.ok()?.into_body();
        let body = Limited::new(body, METRICS_LIMIT).collect().await.ok()?;
        Some(String::from_utf8_lossy(&body.to_bytes()).into_owned())
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        // The whole answer may have been read by the time the other side closes.
        _ = &mut connection => answer.await,
    }
}

/// Reads the gauge. `None` when the text does not have it yet, which is so while the official image starts.
pub fn connected(metrics: &str) -> Option<bool> {
    metrics.lines().find_map(|line| {
        let rest = line.trim().strip_prefix(GAUGE)?;
        // Labels, if any, end with the last brace; a value and perhaps a time stamp follow.
        let value = if rest.starts_with('{') {
            rest.rsplit_once('}')?.1
        } else {
            rest
        };
        if !value.starts_with(char::is_whitespace) {
            return None;
        }
        let value: f64 = value.split_whitespace().next()?.parse().ok()?;
        Some(value >= 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::connected;

    #[test]
    fn the_gauge_is_read_in_every_form_an_image_writes() {
        for (text, expected) in [
            ("", None),
            (
                "# HELP io_harness_custom_metric_delegate_connected x\nio_harness_custom_metric_delegate_connected 1\n",
                Some(true),
            ),
            ("io_harness_custom_metric_delegate_connected 0.0\n", Some(false)),
            (
                "io_harness_custom_metric_delegate_connected{delegate_name=\"a}b\",x=\"y\"} 1.0 1700000000\n",
                Some(true),
            ),
            ("io_harness_custom_metric_delegate_connected_total 5\n", None),
            ("io_harness_custom_metric_delegate_connected NaN\n", Some(false)),
            ("io_harness_custom_metric_delegate_connected\n", None),
        ] {
            assert_eq!(connected(text), expected, "{text:?}");
        }
    }
}
