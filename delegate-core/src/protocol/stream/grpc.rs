//! gRPC over the one HTTP client of this crate, so that its certificates and proxies hold for the stream, too.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, HeaderValue};
use http_body_util::BodyDataStream;
use tonic::body::Body;
use tonic::codegen::Service;

use super::ACCOUNT_HEADER;

/// Sends the requests of a generated client, as a delegate.
#[derive(Debug, Clone)]
pub(super) struct AsDelegate {
    pub(super) client: reqwest::Client,
    pub(super) bearer: HeaderValue,
    pub(super) account: HeaderValue,
}

type Reply = http::Response<reqwest::Body>;

impl Service<http::Request<Body>> for AsDelegate {
    type Response = Reply;
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, reqwest::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), reqwest::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut request = request.map(|body| reqwest::Body::wrap_stream(BodyDataStream::new(body)));
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.bearer.clone());
        headers.insert(ACCOUNT_HEADER, self.account.clone());
        let client = self.client.clone();
        Box::pin(async move {
            let reply = client.execute(request.try_into()?).await?;
            Ok(reply.into())
        })
    }
}
