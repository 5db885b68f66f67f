//! A server of moto's, which plays AWS, and what a test keeps in it.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::sync::OnceLock;

use delegate_core::protocol::http::Http;
use serde_json::Value;

use crate::guarded::{Guarded, program};

pub(crate) const REGION: &str = "eu-central-1";

/// Ended when dropped, and with the process that started it, whatever way that ends.
pub(crate) struct Moto {
    _server: Guarded,
    pub(crate) url: url::Url,
}

static SHARED: OnceLock<Option<Moto>> = OnceLock::new();

impl Moto {
    /// One for all tests of this process. Its services of ECS have one running task from the beginning, and it never changes
    /// that by itself.
    pub(crate) fn shared() -> Option<&'static Self> {
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// `None`, and said so, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let program = program("moto_server", "aws")?;
        let args = ["--host", "127.0.0.1", "--port", "0"];
        let env = [("MOTO_ECS_SERVICE_RUNNING", "1")];
        let server = Guarded::start(&program, &args, &env, "Running on ");
        let url = server.url.clone();
        Some(Self { _server: server, url })
    }

    /// A call of Secrets Manager's.
    pub(crate) async fn call(&self, action: &str, body: Value) -> Value {
        self.call_of("secretsmanager", "secretsmanager", action, body)
            .await
    }

    /// A call of a service that speaks JSON, in [`REGION`].
    pub(crate) async fn call_of(&self, service: &str, interface: &str, action: &str, body: Value) -> Value {
        let client = Http::default().for_url(&self.url).unwrap();
        let scope = format!(
            "Credential=AKIA/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let reply = client
            .post(self.url.clone())
            .header("x-amz-target", format!("{interface}.{action}"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}"))
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let status = reply.status();
        let text = reply.text().await.unwrap();
        assert!(status.is_success(), "{action}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A request on an object of S3, or on a bucket.
    pub(crate) async fn object(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> reqwest::Response {
        let client = Http::default().for_url(&self.url).unwrap();
        let scope =
            format!("Credential=AKIA/20260101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0");
        let mut request = client
            .request(method.parse().unwrap(), self.url.join(path).unwrap())
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}"))
            .body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}
