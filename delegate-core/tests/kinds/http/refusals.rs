//! Data that makes no request.

use serde_json::{Value, json};

use crate::bench::refused;

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let ok = "http://127.0.0.1:1/";
    let with = |field: &str, value: Value| {
        let mut data = json!({"url": ok});
        data[field] = value;
        data
    };
    refused(
        "HTTP",
        &[
            (json!({}), "data", "missing field `url`"),
            (json!({"url": 1}), "url", "expected a string"),
            (json!({"url": "shop.example.com"}), "url", "is not an address"),
            (
                json!({"url": "ftp://shop.example.com/"}),
                "url",
                "http:// or https://",
            ),
            (
                json!({"url": "https://anna:hunter2@shop.example.com/"}),
                "url",
                "give it in `basic`",
            ),
            (with("method", json!("FETCH")), "method", "unknown variant"),
            (with("headers", json!({"a b": "x"})), "headers", "not a name"),
            (
                with("headers", json!({"x-a": "1\r\nx-b: 2"})),
                "headers.x-a",
                "line end",
            ),
            (
                with("headers", json!({"Content-Length": "3"})),
                "headers.Content-Length",
                "set by the delegate",
            ),
            (
                with("headers", json!({"x-a": "1", "X-A": "2"})),
                "headers.x-a",
                "is there twice",
            ),
            (
                with("secret_headers", json!({"x-a": "\u{7}"})),
                "secret_headers.x-a",
                "cannot hold",
            ),
            (with("bearer", json!("a\nb")), "bearer", "line end"),
            (
                with("basic", json!({"user": "a"})),
                "basic",
                "missing field `password`",
            ),
            (
                with("basic", json!({"user": "a:b", "password": ""})),
                "basic.user",
                "colon",
            ),
            (
                json!({"url": ok, "bearer": "x", "headers": {"Authorization": "x"}}),
                "bearer",
                "a second login besides a header `authorization`",
            ),
            (
                json!({"url": ok, "bearer": "x", "basic": {"user": "a", "password": "b"}}),
                "bearer",
                "a second login besides `basic`",
            ),
            (
                json!({"url": ok, "body": "a", "json": {}}),
                "json",
                "together with `body`",
            ),
            (with("timeout", json!("fast")), "timeout", "a number and a unit"),
            (with("timeout", json!("0s")), "timeout", "longer than nothing"),
            (
                with("retries", json!({"times": 0, "every": "1s"})),
                "retries.times",
                "from 1 to 1000",
            ),
            (
                with("retries", json!({"times": 3})),
                "retries",
                "missing field `every`",
            ),
            (with("expect", json!({"status": []})), "expect.status", "is empty"),
            (
                with("expect", json!({"status": [200, "6xx"]})),
                "expect.status[1]",
                "2xx",
            ),
            (
                with("expect", json!({"status": [99]})),
                "expect.status[0]",
                "is not a status",
            ),
            (
                with("expect", json!({"json": {"a": 1}})),
                "expect.json",
                "begins with a slash",
            ),
            (
                with("expect", json!({"contains": ""})),
                "expect.contains",
                "is empty",
            ),
            (
                with("expect", json!({"max_millis": 0})),
                "expect.max_millis",
                "at least 1",
            ),
            (
                with("expect", json!({"stauts": [200]})),
                "expect.stauts",
                "unknown field",
            ),
            (
                with("output_vars", json!({"a-b": "/a"})),
                "output_vars",
                "not a name",
            ),
            (
                with("output_vars", json!({"A": "a"})),
                "output_vars.A",
                "begins with a slash",
            ),
            (
                with("return_headers", json!(["a b"])),
                "return_headers",
                "not a name",
            ),
            (with("tls", json!({"ca": ""})), "tls", "is for https"),
            (
                json!({"url": "https://a/", "tls": {"ca": "x"}}),
                "tls.ca",
                "no PEM certificate",
            ),
            (
                json!({"url": "https://a/", "tls": {"key": "x"}}),
                "tls.certificate",
                "`key` needs it",
            ),
        ],
    )
    .await;
}
