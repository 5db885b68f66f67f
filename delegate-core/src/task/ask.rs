//! Asking a server one thing: at which address, what came back, or how far it came.

use http::StatusCode;
use url::Url;

use super::TaskError;
use super::refusal::{Met, Refusal, Stage};
use crate::protocol::call::{Call, Reply, quoted};
use crate::protocol::http::Http;

/// The address of a server in task data, without a login, query or fragment.
pub(super) fn check_address(field: &str, text: &str) -> Result<Url, TaskError> {
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let url = Url::parse(text).ok().filter(usable);
    url.ok_or_else(|| {
        TaskError::data(
            field,
            "is no address without a login; expected https://host[:port]",
        )
    })
}

/// An answer of any status.
pub(super) async fn ask(http: &Http, call: Call) -> Met<Reply> {
    let asked = call.send(http).await;
    asked.map_err(|error| {
        let said = error.to_string();
        // It was made by us, and what came back is at its end.
        Refusal::new(Stage::of(&said).unwrap_or(Stage::Connection), &said).into()
    })
}

/// That the answer is a success. `asked` names what was asked; `login` says what to do when the login is not taken.
pub(super) fn expect_success(reply: Reply, asked: &str, login: &str) -> Met<Reply> {
    if reply.status.is_success() {
        return Ok(reply);
    }
    let said = format!("{asked} answers {}{}", reply.status, words(&reply));
    Err(match reply.status {
        StatusCode::UNAUTHORIZED => Refusal::with(Stage::Login, &said, login),
        StatusCode::FORBIDDEN => Refusal::new(Stage::Permission, &said),
        _ => Refusal::new(Stage::Answer, &said),
    }
    .into())
}

/// A refusal of a service that gives tokens. Such services answer 400 to most of what is wrong with a login.
pub(super) fn expect_token(reply: &Reply, asked: &str, login: &str) -> Met<()> {
    if reply.status.is_success() {
        return Ok(());
    }
    let said = format!("{asked} answers {}{}", reply.status, words(reply));
    Err(match reply.status {
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => Refusal::with(Stage::Login, &said, login),
        StatusCode::FORBIDDEN => Refusal::new(Stage::Permission, &said),
        _ => Refusal::new(Stage::Answer, &said),
    }
    .into())
}

/// What a server says of a refusal: by the fields that such answers have, or its first words.
fn words(reply: &Reply) -> String {
    let json = reply.json();
    let text = |value: &serde_json::Value| value.as_str().map(quoted);
    let code = text(&json["error"]).or_else(|| text(&json["error"]["status"]));
    let said = text(&json["error_description"])
        .or_else(|| text(&json["error"]["message"]))
        .or_else(|| text(&json["errors"][0]["message"]))
        .or_else(|| text(&json["message"]));
    match (code, said) {
        (None, None) => match quoted(&String::from_utf8_lossy(&reply.body)) {
            empty if empty.is_empty() => String::new(),
            // A page for people says nothing in its first words.
            page if page.starts_with('<') => String::new(),
            said => format!(": {said}"),
        },
        (code, said) => {
            let said: Vec<String> = [code, said].into_iter().flatten().collect();
            format!(": {}", said.join(": "))
        }
    }
}
