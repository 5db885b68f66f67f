//! Looking at a repository without taking anything of it.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::address::{Address, Further, Transport};
use super::git::Git;
use super::login::{Credentials, Login};
use crate::Secret;
use crate::task::allowance::Allowance;
use crate::task::halt::Halt;
use crate::task::{TaskContext, TaskError};

// A repository, and who looks at it. Its description is that of the field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::task) struct Repository {
    /// The repository: `https://HOST/PATH`, `ssh://[USER@]HOST/PATH` or `USER@HOST:PATH`, without a login in it.
    url: String,
    /// Transports besides `https` and `ssh` that may be used.
    #[serde(default)]
    protocols: Vec<Further>,
    /// Who logs in. Default: nobody; for ssh, what the configuration of the delegate's user says.
    credentials: Option<Credentials>,
}

/// What a server says of a repository.
pub(in crate::task) struct Seen {
    pub(in crate::task) default_branch: Option<String>,
    pub(in crate::task) commit: Option<String>,
}

impl Repository {
    pub(in crate::task) fn secrets(&self) -> Vec<Secret> {
        self.credentials.iter().flat_map(Credentials::secrets).collect()
    }

    /// Whether it is what it should be. `field` is its own path.
    pub(in crate::task) fn check(&self, field: &str) -> Result<(), TaskError> {
        let checked = self.address().and_then(|address| match &self.credentials {
            Some(credentials) => credentials.check(&address),
            None => Ok(()),
        });
        checked.map_err(|error| match error {
            TaskError::Data { path, problem } => TaskError::data(format!("{field}.{path}"), problem),
            other => other,
        })
    }

    /// Who logs in, by name; nothing where nobody does.
    pub(in crate::task) fn login(&self) -> Option<String> {
        if let Some(Credentials::Https(login)) = &self.credentials {
            return Some(login.user.clone());
        }
        let address = self.address().ok()?;
        if address.transport() != Transport::Ssh {
            return None;
        }
        let user = match Url::parse(address.as_str()) {
            Ok(url) if !url.username().is_empty() => Some(url.username().to_owned()),
            Ok(_) => None,
            Err(_) => address.as_str().split_once('@').map(|(user, _)| user.to_owned()),
        };
        Some(user.unwrap_or_else(|| "the user of the delegate's tasks".to_owned()))
    }

    /// Asks for the newest commit of the default branch. Returns the address, and what was seen there; or git's complaint, and a
    /// sentence about it with what to do.
    pub(in crate::task) async fn look(
        &self,
        context: &TaskContext,
    ) -> Result<(String, Result<Seen, (String, String)>), Halt> {
        let allowance = Allowance::of(context);
        let address = self.address()?;
        let login = Login::lay_out(&address, self.credentials.as_ref(), context).await?;
        let git = Git::new(context, &allowance, &address, &self.protocols, login, false);
        let doing = "asking the server";
        let args = ["ls-remote", "--symref", "--", address.as_str(), "HEAD"];
        let seen = match git.try_ask(None, &args, doing).await? {
            Ok(answer) => Ok(read(&answer)),
            Err(complaint) => {
                let said = git.complaint_of(doing, &complaint);
                Err((complaint, said))
            }
        };
        Ok((address.as_str().to_owned(), seen))
    }

    fn address(&self) -> Result<Address, TaskError> {
        Address::read(&self.url, &self.protocols)
    }
}

/// `ref: refs/heads/main\tHEAD` and `COMMIT\tHEAD`; an old server does not tell the first.
fn read(answer: &str) -> Seen {
    let value = |line: &str| Some(line.strip_suffix("\tHEAD")?.to_owned());
    let (branches, commits): (Vec<_>, Vec<_>) = answer
        .lines()
        .filter_map(value)
        .partition(|value| value.starts_with("ref: "));
    let branch = branches
        .first()
        .and_then(|name| name.strip_prefix("ref: refs/heads/"));
    Seen {
        default_branch: branch.map(str::to_owned),
        commit: commits.first().cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_branch_and_its_commit_are_read() {
        let seen = read("ref: refs/heads/team/main\tHEAD\n0123abcd\tHEAD\n");
        assert_eq!(seen.default_branch.as_deref(), Some("team/main"));
        assert_eq!(seen.commit.as_deref(), Some("0123abcd"));
        let empty = read("");
        assert_eq!((empty.default_branch, empty.commit), (None, None));
    }

    #[test]
    fn who_logs_in_is_in_the_address_or_the_login() {
        let who = |url: &str| {
            let repository = Repository {
                url: url.to_owned(),
                protocols: Vec::new(),
                credentials: None,
            };
            repository.login()
        };
        assert_eq!(who("git@example.com:team/app.git").as_deref(), Some("git"));
        assert_eq!(who("ssh://robot@example.com/app").as_deref(), Some("robot"));
        assert_eq!(who("https://example.com/app"), None);
    }
}
