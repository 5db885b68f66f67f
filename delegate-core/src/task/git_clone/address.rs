//! Where a repository is, and how it is reached.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::task::TaskError;

/// Longest URL that is read; no server takes longer ones.
const MAX_URL_BYTES: usize = 2048;

// Transports that are used only when the task names them: they are in the clear, or read this machine's own files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Further {
    /// `http://`, without any login.
    Http,
    /// `git://`
    Git,
    /// `file:///`
    File,
}

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Https,
    Ssh,
    Further(Further),
}

/// A URL that git may be given: no option, no helper program, no login in it.
#[derive(Debug)]
pub(super) struct Address {
    text: String,
    transport: Transport,
    /// Scheme, host and port of an `https` URL: where its login belongs, and nowhere else.
    site: Option<String>,
}

impl Address {
    pub(super) fn read(text: &str, asked: &[Further]) -> Result<Self, TaskError> {
        let wrong = |problem: &str| TaskError::data("url", problem);
        if text.is_empty() {
            return Err(wrong("is empty; give the URL of a repository"));
        }
        if text.len() > MAX_URL_BYTES {
            return Err(wrong(&format!("is longer than {MAX_URL_BYTES} bytes")));
        }
        if text.starts_with('-') {
            return Err(wrong("begins with `-`, as an option of git does"));
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(wrong("contains a space or a control character; write it as %20"));
        }
        if text.contains('\\') {
            // Some readers of URLs take it for `/`, others do not.
            return Err(wrong("contains a backslash; write `/`"));
        }
        let transport = match text.split_once("://") {
            Some(("https", _)) => Transport::Https,
            Some(("ssh", _)) => Transport::Ssh,
            Some(("http", _)) => Transport::Further(Further::Http),
            Some(("git", _)) => Transport::Further(Further::Git),
            Some(("file", _)) => Transport::Further(Further::File),
            Some(_) => return Err(wrong("must begin with https:// or ssh://")),
            None if text.contains("::") => {
                return Err(wrong(
                    "asks for a transport helper of git; use https:// or ssh://",
                ));
            }
            None => {
                short_ssh(text).map_err(|problem| wrong(&problem))?;
                return Ok(Self {
                    text: text.to_owned(),
                    transport: Transport::Ssh,
                    site: None,
                });
            }
        };
        if let Transport::Further(further) = transport
            && !asked.contains(&further)
        {
            let name = scheme(transport);
            return Err(wrong(&format!(
                "uses {name}, which is used only on request; use https or ssh, or name it in `protocols`"
            )));
        }
        // Some readers of URLs find a host further on.
        let no_host = text
            .split_once("://")
            .is_some_and(|(_, rest)| rest.starts_with('/'));
        if no_host && transport != Transport::Further(Further::File) {
            return Err(wrong("names no host"));
        }
        let url = Url::parse(text).map_err(|error| wrong(&format!("is no URL: {error}")))?;
        let host = url.host_str().unwrap_or_default();
        let is_file = transport == Transport::Further(Further::File);
        if is_file && !host.is_empty() {
            return Err(wrong("names a host before the path; write file:///path"));
        }
        if !is_file && host.is_empty() {
            return Err(wrong("names no host"));
        }
        // A pattern would give the login to every host that matches.
        if host.starts_with('-') || host.contains('*') || url.username().starts_with('-') {
            return Err(wrong("has a host or a user that is none"));
        }
        let may_have_user = transport == Transport::Ssh;
        if url.password().is_some() || (!may_have_user && !url.username().is_empty()) {
            return Err(wrong("holds a login; leave it out and give it in `credentials`"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a query or a fragment; a repository's URL has none"));
        }
        if url.path().trim_matches('/').is_empty() {
            return Err(wrong("names no repository behind the host"));
        }
        let site = (transport == Transport::Https).then(|| match url.port() {
            Some(port) => format!("https://{host}:{port}"),
            None => format!("https://{host}"),
        });
        Ok(Self {
            text: text.to_owned(),
            transport,
            site,
        })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    pub(super) fn site(&self) -> Option<&str> {
        self.site.as_deref()
    }

    /// Whether `other`, as git tells it, is this repository: servers take a URL with and without its ending.
    pub(super) fn is(&self, other: &str) -> bool {
        fn bare(url: &str) -> &str {
            let url = url.trim_end_matches('/');
            url.strip_suffix(".git").unwrap_or(url)
        }
        bare(&self.text) == bare(other)
    }
}

/// The name of a transport in URLs, and in `GIT_ALLOW_PROTOCOL`.
pub(super) fn scheme(transport: Transport) -> &'static str {
    match transport {
        Transport::Https => "https",
        Transport::Ssh => "ssh",
        Transport::Further(Further::Http) => "http",
        Transport::Further(Further::Git) => "git",
        Transport::Further(Further::File) => "file",
    }
}

/// `[user@]host:path`.
fn short_ssh(text: &str) -> Result<(), String> {
    let form = "must be https://HOST/PATH, ssh://HOST/PATH or USER@HOST:PATH";
    let (place, path) = text.split_once(':').ok_or(form)?;
    let (user, host) = match place.split_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, place),
    };
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if !is_name(host) || user.is_some_and(|user| !is_name(user)) || path.is_empty() || path.starts_with('-') {
        return Err(form.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Address::read(text, &[Further::File]).unwrap_err().to_string()
    }

    #[test]
    fn what_git_would_take_as_something_else_is_refused() {
        for (text, words) in [
            ("", "is empty"),
            ("--upload-pack=touch /tmp/x", "begins with `-`"),
            ("ext::sh -c touch% /tmp/x", "control character"),
            ("ext::sh", "transport helper"),
            ("https::sh", "transport helper"),
            ("ftp://host/x", "https:// or ssh://"),
            ("HTTPS://host/x", "https:// or ssh://"),
            ("git://host/x", "name it in `protocols`"),
            ("http://host/x", "name it in `protocols`"),
            ("https:///x", "names no host"),
            (r"https:\\host/x", "a backslash"),
            (r"https://a\@host/x", "a backslash"),
            ("https://host", "names no repository"),
            ("https://*/x", "that is none"),
            ("https://user:hunter2@host/x", "holds a login"),
            ("https://user@host/x", "holds a login"),
            ("ssh://git:hunter2@host/x", "holds a login"),
            ("ssh://-oProxyCommand=x/y", "that is none"),
            ("https://host/x?token=hunter2", "query"),
            ("-oProxyCommand=x:y", "begins with `-`"),
            ("git@-oProxyCommand=x:y", "USER@HOST:PATH"),
            ("git@host:--upload-pack=x", "USER@HOST:PATH"),
            ("/srv/x", "USER@HOST:PATH"),
            ("./x:y", "USER@HOST:PATH"),
            ("file://host/x", "write file:///path"),
            ("https://host/a\nb", "control character"),
        ] {
            let problem = problem(text);
            assert!(problem.contains(words), "{text}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn a_login_belongs_to_the_very_site() {
        let site = |text| Address::read(text, &[]).unwrap().site.unwrap_or_default();
        assert_eq!(site("https://host/team/app.git"), "https://host");
        assert_eq!(site("https://[::1]:8443/app"), "https://[::1]:8443");
        assert_eq!(site("git@host:team/app.git"), "");
        assert_eq!(site("ssh://git@host:2222/app"), "");
    }

    #[test]
    fn an_ending_makes_no_other_repository() {
        let address = Address::read("https://host/app.git", &[]).unwrap();
        assert!(address.is("https://host/app") && address.is("https://host/app.git/"));
        assert!(!address.is("https://host/app2") && !address.is("https://other/app"));
    }
}
