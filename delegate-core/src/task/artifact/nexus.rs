//! Files of repositories of Nexus. Nexus tells the SHA-1 of each of its files with the file, at once.

use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::http::read_url;
use super::store::{Before, Incoming};
use super::web::Web;
use crate::Secret;
use crate::protocol::file_body::Whole;
use crate::task::halt::Halt;
use crate::task::login::Basic;
use crate::task::{TaskContext, TaskError};

/// A file of a repository.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NexusStore {
    /// Address of Nexus.
    url: String,
    /// Name of the repository.
    repository: String,
    /// Path of the file in it.
    path: String,
    /// Login by name and password. Default: what everybody may do.
    basic: Option<Basic>,
}

/// A repository, and a way to it.
pub(super) struct Repository<'t> {
    web: Web<'t>,
    base: Url,
}

impl<'t> Repository<'t> {
    /// `url` and `name` are checked by [`check_repository`].
    pub(super) fn new(
        url: &str,
        name: &str,
        basic: Option<&Basic>,
        context: &'t TaskContext,
    ) -> Result<Self, Halt> {
        let mut base = read_url("url", url)?;
        if let Ok(mut segments) = base.path_segments_mut() {
            segments.pop_if_empty().push("repository").push(name);
        }
        let authorization = basic.map(|basic| basic.header("basic")).transpose()?;
        let web = Web {
            http: &context.http,
            authorization,
        };
        Ok(Self { web, base })
    }

    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path.split('/'));
        }
        url
    }

    pub(super) async fn look(&self, path: &str, file: &Whole) -> Result<Before, Halt> {
        Ok(match self.web.head(&self.url(path)).await? {
            None => Before::Nothing,
            Some(headers) => match sha1(&headers) {
                None => Before::Unknown,
                Some(sha1) if sha1 == file.sha1 => Before::Same,
                Some(_) => Before::Other,
            },
        })
    }

    /// Sends a file, and looks whether Nexus has it as it was sent.
    pub(super) async fn put(&self, path: &str, file: &Whole) -> Result<(), Halt> {
        let url = self.url(path);
        self.web.put(&url, file).await?;
        match self.look(path, file).await? {
            Before::Same | Before::Unknown => Ok(()),
            Before::Nothing | Before::Other => Err(Halt::failed(format!(
                "Nexus took {path}, and has something else there; upload it again, and look who else writes there"
            ))),
        }
    }
}

/// It is the tag of a file: `"…"`, or `"{SHA1{…}}"` as older versions write it.
fn sha1(headers: &HeaderMap) -> Option<&str> {
    let tag = headers.get(http::header::ETAG)?.to_str().ok()?.trim_matches('"');
    let older = tag.strip_prefix("{SHA1{").and_then(|tag| tag.strip_suffix("}}"));
    let tag = older.unwrap_or(tag);
    (tag.len() == 40 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(tag)
}

pub(super) fn check_repository(
    field: &str,
    url: &str,
    name: &str,
    basic: Option<&Basic>,
) -> Result<(), TaskError> {
    let at = |name: &str| {
        if field.is_empty() {
            name.to_owned()
        } else {
            format!("{field}.{name}")
        }
    };
    read_url(&at("url"), url)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.starts_with(['.', '_']) || !name.bytes().all(fits) {
        return Err(TaskError::data(
            at("repository"),
            "is no name of a repository: letters, digits, hyphens, underscores and points",
        ));
    }
    basic.map_or(Ok(()), |basic| basic.header(&at("basic")).map(drop))
}

/// Names with slashes between them.
pub(super) fn check_path(field: &str, path: &str) -> Result<(), TaskError> {
    let bad = |part: &str| matches!(part, "" | "." | "..") || part.contains(char::is_control);
    if path.split('/').any(bad) {
        return Err(TaskError::data(
            field,
            "is no path in a repository: names with one slash between them",
        ));
    }
    Ok(())
}

impl NexusStore {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.basic.iter().map(|basic| basic.password.clone()).collect()
    }

    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        check_repository(field, &self.url, &self.repository, self.basic.as_ref())?;
        check_path(&format!("{field}.path"), &self.path)
    }

    pub(super) fn shown(&self) -> String {
        format!("{} of the repository {}", self.path, self.repository)
    }

    fn open<'t>(&self, context: &'t TaskContext) -> Result<Repository<'t>, Halt> {
        Repository::new(&self.url, &self.repository, self.basic.as_ref(), context)
    }

    pub(super) async fn fetch(&self, context: &TaskContext) -> Result<Incoming, Halt> {
        let repository = self.open(context)?;
        let response = repository.web.get(&repository.url(&self.path)).await?;
        Ok(Incoming {
            response,
            sha256: None,
            md5: None,
        })
    }

    pub(super) async fn look(&self, context: &TaskContext, file: &Whole) -> Result<Before, Halt> {
        self.open(context)?.look(&self.path, file).await
    }

    pub(super) async fn put(&self, context: &TaskContext, file: &Whole) -> Result<(), Halt> {
        self.open(context)?.put(&self.path, file).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nexus_tells_the_checksum_in_the_tag() {
        let mut headers = HeaderMap::new();
        assert_eq!(sha1(&headers), None);
        let digest = "a9993e364706816aba3e25717850c26c9cd0d89d";
        for (tag, wanted) in [
            (format!("\"{digest}\""), Some(digest)),
            (format!("\"{{SHA1{{{digest}}}}}\""), Some(digest)),
            ("\"5d41402abc4b2a76\"".to_owned(), None),
        ] {
            headers.insert("etag", tag.parse().unwrap());
            assert_eq!(sha1(&headers), wanted);
        }
    }
}
