//! AWS, as much of it as a delegate needs: who one is, and calls of its services.
//!
//! [`Aws`] is one identity in one region. It gets credentials from where a machine, a container, a pod or a task is given
//! them, keeps them until shortly before they expire, signs each call (version 4), and speaks the protocols of the
//! services: JSON 1.1, the query protocol of STS, and S3's REST. By hand, because AWS's own library would double the program.
//!
//! It may use HTTP and the clock, and knows neither tasks nor secrets by reference. Each call is bounded in time and size,
//! and repeated a few times when the service asks for that. What fails is an [`AwsError`]: the service, the operation,
//! AWS's code and words, and what to do.

mod credentials;
mod endpoints;
mod error;
mod s3;
mod send;
mod service;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::protocol::http::Http;
pub(crate) use credentials::{Credentials, Identity, Role, Source};
pub(crate) use endpoints::{Endpoints, is_region, is_usable};
pub(crate) use error::AwsError;
pub(crate) use s3::Ask;
pub(crate) use service::ECR;
pub(crate) use service::{ECS, S3, SECRETS_MANAGER, STS, Service};

use send::{JSON, Post, QUERY, query_body};

/// So often a call is made that the service puts off because there were too many.
const THROTTLED_ATTEMPTS: u32 = 5;

/// Before the second of them; doubled each time, and up to half of it more by chance: 7.5 s to 11 s in all.
const THROTTLED_PAUSE: Duration = Duration::from_millis(500);

/// AWS in one region, as one identity. Contacts nobody until it is called.
pub(crate) struct Aws {
    http: Arc<Http>,
    region: String,
    endpoints: Endpoints,
    source: Source,
}

impl Aws {
    pub(crate) fn new(http: Arc<Http>, region: &str, endpoints: Endpoints, source: Source) -> Self {
        Self {
            http,
            region: region.to_owned(),
            endpoints,
            source,
        }
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// A call of a service that speaks JSON; returns its answer. Cancellation safe, as far as the service is.
    pub(crate) async fn json(
        &self,
        service: &'static Service,
        operation: &'static str,
        body: &Value,
    ) -> Result<Value, AwsError> {
        let target = format!("{}.{operation}", service.interface);
        let headers = [("content-type", JSON), ("x-amz-target", &*target)];
        let reply = self.call(service, operation, &headers, &body.to_string()).await?;
        Ok(reply.json())
    }

    /// A call of a service that speaks the query protocol; returns its answer, which is XML: see [`element`].
    pub(crate) async fn query(
        &self,
        service: &'static Service,
        operation: &'static str,
        parameters: &[(&str, &str)],
    ) -> Result<String, AwsError> {
        let body = query_body(service, operation, parameters);
        let reply = self
            .call(service, operation, &[("content-type", QUERY)], &body)
            .await?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }

    /// Makes the call anew with other credentials when these are stale, and later when there were too many.
    async fn call(
        &self,
        service: &'static Service,
        operation: &'static str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<crate::protocol::call::Reply, AwsError> {
        let failed = |error| AwsError::unanswered(service, operation, &self.region, error);
        let url = self.endpoints.of(service, &self.region).map_err(failed)?;
        let post = Post {
            url: &url,
            region: &self.region,
            service,
            headers,
            body,
        };
        let mut credentials = self.source.get(None).await.map_err(failed)?;
        let mut renewed = false;
        let mut pause = THROTTLED_PAUSE;
        let mut attempt = 1;
        loop {
            let reply = post.send(&self.http, Some(&credentials)).await.map_err(failed)?;
            if reply.status.is_success() {
                return Ok(reply);
            }
            let error = AwsError::refused(service, operation, &self.region, &reply);
            if error.is_stale() && !renewed {
                credentials = self.source.get(Some(&credentials)).await.map_err(failed)?;
                renewed = true;
            } else if error.is_throttled() && attempt < THROTTLED_ATTEMPTS {
                tokio::time::sleep(pause.mul_f32(1.0 + fastrand::f32() / 2.0)).await;
                pause *= 2;
                attempt += 1;
            } else {
                return Err(error);
            }
        }
    }
}

/// The text of the first element of a name. What is read has no attributes, no entities that matter, and no element within
/// one of its own name.
pub(crate) fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, from) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = from.split_once(&format!("</{name}>"))?;
    Some(inner.trim())
}
