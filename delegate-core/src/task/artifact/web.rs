//! Files at addresses: what plain servers and Nexus have in common, and of it what the clouds have, too.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Response, Url};

use crate::protocol::file_body::{Content, Whole};
use crate::protocol::http::{Http, chain, shown};
use crate::task::halt::Halt;
use crate::task::http_request::redirect;

/// Asked so often when there is no answer, or one that says "later". Each of the methods may be repeated.
const ATTEMPTS: u32 = 3;

/// Before the second attempt, doubled before the third; up to half of it more by chance.
const PAUSE: Duration = Duration::from_millis(500);

/// A chain of redirects that is longer goes in circles.
const MOST_REDIRECTS: usize = 10;

/// Most characters of a server's own words that an error repeats.
const MAX_QUOTE: usize = 300;

/// A way to a server, with a login.
pub(super) struct Web<'t> {
    pub(super) http: &'t Http,
    pub(super) authorization: Option<HeaderValue>,
}

impl Web<'_> {
    /// The file, about to be read. Redirects are followed; the login goes to the first host only.
    pub(super) async fn get(&self, url: &Url) -> Result<Response, Halt> {
        let mut from = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.ask(&Method::GET, url, &from, None).await?;
            match redirect(&response, &from).map_err(Halt::failed)? {
                None if response.status().is_success() => return Ok(response),
                None => return Err(refused(&Method::GET, &from, response).await),
                Some(next) => from = next,
            }
        }
        Err(Halt::failed(format!(
            "{} redirects more than {MOST_REDIRECTS} times; it goes in circles",
            shown(url)
        )))
    }

    /// The headers of a file; nothing when there is none.
    pub(super) async fn head(&self, url: &Url) -> Result<Option<HeaderMap>, Halt> {
        let response = self.ask(&Method::HEAD, url, url, None).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(response.headers().clone())),
            _ => Err(refused(&Method::HEAD, url, response).await),
        }
    }

    /// Sends a file.
    pub(super) async fn put(&self, url: &Url, file: &Whole) -> Result<(), Halt> {
        let response = self.ask(&Method::PUT, url, url, Some(file)).await?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(refused(&Method::PUT, url, response).await)
    }

    /// `first` is where the login belongs to.
    async fn ask(
        &self,
        method: &Method,
        first: &Url,
        url: &Url,
        file: Option<&Whole>,
    ) -> Result<Response, Halt> {
        let mut headers = HeaderMap::new();
        if let Some(login) = self
            .authorization
            .as_ref()
            .filter(|_| first.origin() == url.origin())
        {
            headers.insert(AUTHORIZATION, login.clone());
        }
        let all = file.map(Whole::as_part);
        let content = match (file, &all) {
            (Some(file), Some(all)) => Content::Part(file, all),
            _ => Content::Nothing,
        };
        let sending = Sending {
            method: method.clone(),
            url,
            headers,
            content,
        };
        send(self.http, &sending).await.map_err(Halt::failed)
    }
}

/// A request that may be repeated.
pub(super) struct Sending<'a> {
    pub(super) method: Method,
    pub(super) url: &'a Url,
    pub(super) headers: HeaderMap,
    pub(super) content: Content<'a>,
}

/// Sends it, and again when there is no answer or one that says "later". Any answer is one; the error says what was tried.
pub(super) async fn send(http: &Http, sending: &Sending<'_>) -> Result<Response, String> {
    let mut pause = PAUSE;
    let mut attempt = 1;
    loop {
        let sent = once(http, sending).await;
        let passing = match &sent {
            Ok(response) => {
                response.status() == StatusCode::TOO_MANY_REQUESTS || response.status().is_server_error()
            }
            Err(_) => true,
        };
        if !passing || attempt == ATTEMPTS {
            return sent.map_err(|problem| format!("{} {}: {problem}", sending.method, shown(sending.url)));
        }
        tokio::time::sleep(pause.mul_f32(1.0 + fastrand::f32() / 2.0)).await;
        pause *= 2;
        attempt += 1;
    }
}

async fn once(http: &Http, sending: &Sending<'_>) -> Result<Response, String> {
    let client = http.for_url(sending.url).map_err(|error| error.to_string())?;
    let mut request = client
        .request(sending.method.clone(), sending.url.clone())
        .headers(sending.headers.clone());
    if let Some(body) = sending.content.body().await? {
        request = request
            .header(CONTENT_LENGTH, sending.content.length())
            .body(body);
    } else if matches!(sending.method, Method::PUT | Method::POST) {
        request = request.header(CONTENT_LENGTH, 0);
    }
    request.send().await.map_err(|error| chain(&error.without_url()))
}

async fn refused(method: &Method, url: &Url, mut response: Response) -> Halt {
    let status = response.status();
    // The first piece says enough.
    let said = response.chunk().await.ok().flatten().unwrap_or_default();
    let mut said = String::from_utf8_lossy(&said).into_owned();
    // Nexus says it in the first line of the answer, where there is room for a few words.
    if let Some(reason) = response.extensions().get::<hyper::ext::ReasonPhrase>() {
        said = format!("{} {said}", String::from_utf8_lossy(reason.as_bytes()));
    }
    let words: Vec<_> = said.split_whitespace().collect();
    let said: String = words.join(" ").chars().take(MAX_QUOTE).collect();
    let advice = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; give a login that may do this",
        StatusCode::NOT_FOUND => "; correct the address",
        _ => "",
    };
    let said = if said.is_empty() {
        said
    } else {
        format!(": {said}")
    };
    Halt::failed(format!("{method} {} answers {status}{said}{advice}", shown(url)))
}
