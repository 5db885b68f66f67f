//! gRPC over the one HTTP client of this crate, so that its certificates and proxies hold for it, too.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use http_body_util::BodyDataStream;
use tonic::body::Body;
use tonic::codegen::Service;

/// Sends the requests of a gRPC client, with these headers.
#[derive(Debug, Clone)]
pub(super) struct OverHttp {
    pub(super) client: reqwest::Client,
    pub(super) headers: HeaderMap,
}

type Reply = http::Response<reqwest::Body>;

impl Service<http::Request<Body>> for OverHttp {
    type Response = Reply;
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, reqwest::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), reqwest::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut request = request.map(|body| reqwest::Body::wrap_stream(BodyDataStream::new(body)));
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        let client = self.client.clone();
        Box::pin(async move {
            // An address may have a key in its query; whoever made the client knows it.
            let sent = client.execute(request.try_into()?).await;
            Ok(sent.map_err(reqwest::Error::without_url)?.into())
        })
    }
}
