//! `HTTP`: sends a request and judges the answer.
//!
//! `data` says what it takes, `expect` what is expected of an answer, `send` how one request becomes one answer. The
//! proxy and the authorities of the delegate are used; its client certificate is not, for it is meant for the manager.
//!
//! An answer that is not as expected, or none, is tried again as often as the data says, and is then a `FAILURE` of the
//! task. It is never a fault of the delegate: that is only data that makes no request.

mod data;
mod expect;
mod send;

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{About, Level, Secrets, TaskContext, TaskError, TaskKind, TaskOutput, validate};
use crate::protocol::http::shown;
use crate::protocol::wire::CommandStatus;
use data::Data;
pub(super) use send::redirect;
use send::{Answer, Request};

/// Of a body so much is returned, in bytes: a result is kept by the manager, and shown to people.
const RETURNED_BODY: usize = 64 * 1024;

/// Of the body of an answer that is not as expected, so much goes to the log, in bytes: what a server says of a fault.
const LOGGED_BODY: usize = 2 * 1024;

/// The kind `HTTP`.
pub struct HttpRequest;

/// Of the last answer; nothing but `took_millis` and `attempts` when there was none.
#[derive(Default, Serialize, JsonSchema)]
struct Fields {
    /// Status of the last answer; null when there was none.
    status: Option<u16>,
    /// Headers that `return_headers` names and the answer has, by their names in lower case.
    headers: BTreeMap<String, String>,
    /// Its body as text, at most 64 KiB.
    body: String,
    /// Whether there was more.
    body_truncated: bool,
    /// Where it came from, when redirects were followed; without its query.
    url: String,
    /// Milliseconds from the last try's start to the end of its answer.
    took_millis: u64,
    /// How often it was tried.
    attempts: u32,
}

#[async_trait]
impl TaskKind for HttpRequest {
    fn type_name(&self) -> &'static str {
        "HTTP"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Sends an HTTP request and judges the answer by its status, its body and its time.",
            "Sends the request again, which is as safe as the server makes it: by HTTP's rules GET, HEAD, OPTIONS, PUT and DELETE \
             may be repeated, POST and PATCH not always. Think of that before setting `retries`, too.",
            json!({
                "method": "GET",
                "url": "https://shop.example.com/health",
                "bearer": "<+secrets.getValue(\"account.shop-token\")>",
                "expect": {"status": ["2xx"], "json": {"/status": "UP"}, "max_millis": 2000},
                "retries": {"times": 10, "every": "3s"},
                "output_vars": {"VERSION": "/build/version"},
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn needs_directory(&self) -> bool {
        false
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let data: Data = context.data()?;
        let request = Request::new(&data, &context.http)?;
        let tried = context
            .within_bounds(try_until_met(&context, &data, &request))
            .await;
        Ok(tried.unwrap_or_else(|ended| ended))
    }
}

/// Tries until the answer is as expected, or nobody wants to try any more.
async fn try_until_met(context: &TaskContext, data: &Data, request: &Request) -> TaskOutput {
    let (attempts, pause) = data.attempts();
    let mut attempt = 1;
    loop {
        let counted = if attempts > 1 {
            format!(" (attempt {attempt} of {attempts})")
        } else {
            String::new()
        };
        let line = format!("{} {}{counted}", request.method(), shown(request.url()));
        context.log.line(Level::Info, &line).await;
        let (output, problem) = judged(context, data, request, attempt).await;
        let Some(problem) = problem else { return output };
        let again = attempt < attempts;
        let level = if again { Level::Warn } else { Level::Error };
        context.log.line(level, &problem).await;
        if !again {
            return output;
        }
        context
            .log
            .line(Level::Info, &format!("trying again in {pause:?}"))
            .await;
        tokio::time::sleep(pause).await;
        attempt += 1;
    }
}

/// One request, and what is wrong with its answer.
async fn judged(
    context: &TaskContext,
    data: &Data,
    request: &Request,
    attempts: u32,
) -> (TaskOutput, Option<String>) {
    let failed = |problem: String, fields: &Fields| {
        let output = TaskOutput::not(CommandStatus::Failure, problem.clone()).with_fields(fields);
        (output, Some(problem))
    };
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(silence) => {
            let fields = Fields {
                took_millis: millis(silence.took),
                attempts,
                ..Fields::default()
            };
            return failed(silence.problem, &fields);
        }
    };
    let line = format!(
        "{} from {} after {} ms, {} bytes",
        answer.status,
        shown(&answer.url),
        millis(answer.took),
        answer.body.len()
    );
    context.log.line(Level::Info, &line).await;
    let fields = fields(data, &answer, attempts);
    let judgement = data.expectations().judge(&answer);
    if !judgement.unmet.is_empty() {
        let body = cut(&answer.text(), LOGGED_BODY).to_owned();
        context.log.line(Level::Info, &body).await;
        let (output, problem) = failed(judgement.unmet.join("; "), &fields);
        return (output.with_vars(judgement.found), problem);
    }
    (
        TaskOutput::success()
            .with_fields(&fields)
            .with_vars(judgement.found),
        None,
    )
}

fn fields(data: &Data, answer: &Answer, attempts: u32) -> Fields {
    let text = answer.text();
    let body = cut(&text, RETURNED_BODY);
    Fields {
        status: Some(answer.status.as_u16()),
        headers: answer.chosen_headers(data.return_headers.as_deref().unwrap_or_default()),
        body: body.to_owned(),
        body_truncated: answer.truncated || body.len() < text.len(),
        url: shown(&answer.url),
        took_millis: millis(answer.took),
        attempts,
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
