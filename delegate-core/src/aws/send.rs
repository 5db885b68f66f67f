//! One signed request.

use http::Method;
use url::Url;
use url::form_urlencoded::Serializer;

use super::sign::{Payload, Scope, Signable};
use super::{Credentials, Service};
use crate::protocol::call::{Call, CallError, Reply};
use crate::protocol::http::Http;

pub(super) const JSON: &str = "application/x-amz-json-1.1";
pub(super) const QUERY: &str = "application/x-www-form-urlencoded";

/// A call: its body, posted to the root of a service.
pub(super) struct Post<'a> {
    pub(super) url: &'a Url,
    pub(super) region: &'a str,
    pub(super) service: &'static Service,
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: &'a str,
}

impl Post<'_> {
    /// Sends it, signed when there are credentials. Any answer is one.
    pub(super) async fn send(
        &self,
        http: &Http,
        credentials: Option<&Credentials>,
    ) -> Result<Reply, CallError> {
        let mut call = Call::new(Method::POST, self.url.clone());
        for (name, value) in self.headers {
            call = call.header(name, value)?;
        }
        if let Some(credentials) = credentials {
            let scope = Scope {
                region: self.region,
                service: self.service.signed_as,
            };
            let signed = Signable {
                method: Method::POST.as_str(),
                url: self.url,
                headers: self.headers,
                body: Payload::Bytes(self.body.as_bytes()),
            }
            .sign(credentials, scope, jiff::Timestamp::now());
            call = call
                .header("x-amz-date", &signed.date)?
                .header("authorization", &signed.authorization)?;
            if let Some(token) = &credentials.session_token {
                call = call.header("x-amz-security-token", token.expose())?;
            }
        }
        call.body(self.body).send(http).await
    }
}

/// The body of a call of the query protocol.
pub(super) fn query_body(service: &Service, operation: &str, parameters: &[(&str, &str)]) -> String {
    Serializer::new(String::new())
        .append_pair("Action", operation)
        .append_pair("Version", service.interface)
        .extend_pairs(parameters)
        .finish()
}
