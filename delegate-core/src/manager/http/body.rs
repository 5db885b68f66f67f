//! Bodies of requests: bounded, and refused without being read into memory when they are larger.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// Largest body taken.
pub(super) const MAX_BODY: usize = 16 * 1024 * 1024;

/// What is read and thrown away of a larger one, so that the sender gets to read why; then the connection is closed.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;

/// Memory taken before anything has come.
const FIRST_BUFFER: usize = 64 * 1024;

/// How long a sender may pause.
const FRAME_WAIT: Duration = Duration::from_secs(30);

/// A body that was read.
pub(super) struct Read(pub(super) Bytes);

/// Why a body was not taken.
#[derive(Debug)]
pub(super) enum BodyError {
    /// Larger than [`MAX_BODY`].
    TooLarge,
    /// The connection broke.
    Broken,
    /// Not the JSON that was expected; what is wrong with it.
    Malformed(String),
}

impl BodyError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken | Self::Malformed(_) => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "BODY_TOO_LARGE",
            Self::Broken | Self::Malformed(_) => "INVALID_REQUEST",
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::TooLarge => format!(
                "The body is larger than {} MiB; send less, or put the data where the delegate can fetch it.",
                MAX_BODY / 1024 / 1024
            ),
            Self::Broken => "The body ended early, or stopped coming; send it again.".to_owned(),
            Self::Malformed(what) => format!("The body is not as expected: {what}."),
        }
    }
}

/// Handlers take the error and answer in their family's shape; this is for one that does not.
impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        (self.status(), self.message()).into_response()
    }
}

impl<S: Sync> FromRequest<S> for Read {
    type Rejection = BodyError;

    async fn from_request(request: Request, _: &S) -> Result<Self, BodyError> {
        let (parts, body) = request.into_parts();
        let announced = announced(&parts.headers);
        if announced.is_some_and(|length| length > MAX_BODY) {
            // One who asks before sending needs no more than the answer.
            if !parts.headers.contains_key(EXPECT) {
                discard(body, 0).await;
            }
            return Err(BodyError::TooLarge);
        }
        // What is announced is not there yet.
        let mut kept = BytesMut::with_capacity(announced.unwrap_or(0).min(FIRST_BUFFER));
        let mut frames = body.into_data_stream();
        while let Some(frame) = timeout(FRAME_WAIT, frames.next())
            .await
            .map_err(|_| BodyError::Broken)?
        {
            let frame = frame.map_err(|_| BodyError::Broken)?;
            if kept.len() + frame.len() > MAX_BODY {
                let read = kept.len() + frame.len();
                drop(kept);
                discard(Body::from_stream(frames), read).await;
                return Err(BodyError::TooLarge);
            }
            kept.extend_from_slice(&frame);
        }
        Ok(Self(kept.freeze()))
    }
}

impl Read {
    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, BodyError> {
        // The error of serde_json names place and reason, and does not repeat more than a wrong word of the body.
        serde_json::from_slice(&self.0).map_err(|error| BodyError::Malformed(error.to_string()))
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn discard(body: Body, mut read: usize) {
    let mut frames = body.into_data_stream();
    while let Ok(Some(Ok(frame))) = timeout(FRAME_WAIT, frames.next()).await {
        read += frame.len();
        if read > MAX_DISCARDED {
            return;
        }
    }
}
