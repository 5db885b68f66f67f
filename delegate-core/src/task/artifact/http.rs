//! Files at any address.

use http::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::store::{Before, Incoming};
use super::web::Web;
use crate::Secret;
use crate::protocol::file_body::Whole;
use crate::protocol::http::shown;
use crate::task::halt::Halt;
use crate::task::login::{Basic, bearer};
use crate::task::{TaskContext, TaskError};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpStore {
    /// Address, `http://` or `https://`, without a login. It is read by GET and written by PUT.
    url: String,
    /// Login by name and password.
    basic: Option<Basic>,
    /// Login by token.
    bearer: Option<Secret>,
}

/// An address of a store in task data.
pub(super) fn read_url(field: &str, text: &str) -> Result<Url, TaskError> {
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
    };
    let url = Url::parse(text).ok().filter(usable);
    url.ok_or_else(|| {
        TaskError::data(
            field,
            "is no address without a login; expected https://host[:port]/path",
        )
    })
}

impl HttpStore {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let password = self.basic.iter().map(|basic| &basic.password);
        password.chain(&self.bearer).cloned().collect()
    }

    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        read_url(&format!("{field}.url"), &self.url)?;
        if self.basic.is_some() && self.bearer.is_some() {
            return Err(TaskError::data(
                format!("{field}.bearer"),
                "is a second login besides `basic`; give one of them",
            ));
        }
        self.authorization(field).map(drop)
    }

    fn authorization(&self, field: &str) -> Result<Option<HeaderValue>, TaskError> {
        match (&self.basic, &self.bearer) {
            (Some(basic), _) => basic.header(&format!("{field}.basic")).map(Some),
            (None, Some(token)) => bearer(&format!("{field}.bearer"), token).map(Some),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn shown(&self) -> String {
        self.url.parse().map_or_else(|_| String::new(), |url| shown(&url))
    }

    fn open<'t>(&self, context: &'t TaskContext) -> Result<(Web<'t>, Url), Halt> {
        let web = Web {
            http: &context.http,
            authorization: self.authorization("http")?,
        };
        Ok((web, read_url("url", &self.url)?))
    }

    pub(super) async fn fetch(&self, context: &TaskContext) -> Result<Incoming, Halt> {
        let (web, url) = self.open(context)?;
        let response = web.get(&url).await?;
        Ok(Incoming {
            response,
            sha256: None,
            md5: None,
        })
    }

    pub(super) async fn look(&self, context: &TaskContext) -> Result<Before, Halt> {
        let (web, url) = self.open(context)?;
        Ok(match web.head(&url).await? {
            None => Before::Nothing,
            Some(_) => Before::Unknown,
        })
    }

    pub(super) async fn put(&self, context: &TaskContext, file: &Whole) -> Result<(), Halt> {
        let (web, url) = self.open(context)?;
        web.put(&url, file).await
    }
}
