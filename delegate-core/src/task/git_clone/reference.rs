//! Which commit is asked for, and which one the server has under that name.

use schemars::JsonSchema;
use serde::Deserialize;

use super::address::Address;
use super::git::Git;
use crate::task::TaskError;
use crate::task::halt::Halt;

/// Longest name of a branch or tag: that of a file.
const MAX_NAME_BYTES: usize = 255;

// Its description is that of the field.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reference {
    /// The newest commit of this branch; the folder is then on the branch.
    Branch(String),
    /// The commit of this tag.
    Tag(String),
    /// This commit: all 40 (SHA-1) or 64 (SHA-256) hexadecimal digits.
    Commit(String),
}

impl Reference {
    pub(super) fn check(&self) -> Result<(), TaskError> {
        match self {
            Self::Branch(name) => check_name(name).map_err(|problem| TaskError::data("ref.branch", problem)),
            Self::Tag(name) => check_name(name).map_err(|problem| TaskError::data("ref.tag", problem)),
            Self::Commit(id) if is_commit_id(id) => Ok(()),
            Self::Commit(_) => Err(TaskError::data(
                "ref.commit",
                "must be a whole commit id of 40 or 64 lower-case hexadecimal digits; a part of one may mean another commit tomorrow",
            )),
        }
    }
}

fn is_commit_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The rules of `git check-ref-format`, as far as they keep a name from being anything else.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.len() > MAX_NAME_BYTES {
        return Err("is longer than 255 bytes");
    }
    if name.starts_with('-') {
        return Err("begins with `-`, as an option of git does");
    }
    if name.starts_with("refs/") {
        return Err("must be the short name, without `refs/heads/` or `refs/tags/`");
    }
    let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let parts_are_good = name
        .split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none());
    if name.contains(forbidden)
        || name.contains("..")
        || name.contains("@{")
        || name == "@"
        || name.ends_with('.')
        || !parts_are_good
    {
        return Err("is no name that git gives");
    }
    Ok(())
}

/// What the server has.
#[derive(Debug)]
pub(super) enum Found {
    Branch(String),
    Tag(String),
    /// A commit that need not be the newest of anything.
    Commit(String),
}

impl Found {
    /// The whole name, as it is in the result.
    pub(super) fn full_name(&self) -> String {
        match self {
            Self::Branch(name) => format!("refs/heads/{name}"),
            Self::Tag(name) => format!("refs/tags/{name}"),
            Self::Commit(id) => id.clone(),
        }
    }
}

/// Asks the server. Nothing is written, so a refused login leaves nothing behind.
pub(super) async fn find(
    git: &Git<'_>,
    address: &Address,
    wanted: Option<&Reference>,
) -> Result<Found, Halt> {
    let name = match wanted {
        // Servers list no commits; whether one is there shows when it is fetched.
        None | Some(Reference::Commit(_)) => "HEAD".to_owned(),
        Some(Reference::Branch(name)) => format!("refs/heads/{name}"),
        Some(Reference::Tag(name)) => format!("refs/tags/{name}"),
    };
    let listed = git
        .ask(
            &["ls-remote", "--symref", "--", address.as_str(), &name],
            "asking the server for its branches and tags",
        )
        .await?;
    match wanted {
        Some(Reference::Commit(id)) => Ok(Found::Commit(id.clone())),
        None => default_of(&listed).ok_or_else(|| {
            Halt::failed(format!(
                "{} has no commit yet; push one, or name another repository",
                address.as_str()
            ))
        }),
        Some(reference) if !lists(&listed, &name) => {
            let (kind, short) = match reference {
                Reference::Branch(name) => ("branch", name),
                Reference::Tag(name) | Reference::Commit(name) => ("tag", name),
            };
            Err(Halt::failed(format!(
                "{} has no {kind} `{short}`; look at its name, or push it",
                address.as_str()
            )))
        }
        Some(Reference::Branch(name)) => Ok(Found::Branch(name.clone())),
        Some(Reference::Tag(name)) => Ok(Found::Tag(name.clone())),
    }
}

/// Whether a listing has this very name: the server lists whatever ends in it.
fn lists(listed: &str, name: &str) -> bool {
    listed
        .lines()
        .any(|line| line.split_once('\t').is_some_and(|(_, listed)| listed == name))
}

/// `ref: refs/heads/main\tHEAD`, then `<commit>\tHEAD`; a HEAD that is on no branch has only the second.
fn default_of(listed: &str) -> Option<Found> {
    let mut lines = listed
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(_, name)| *name == "HEAD")
        .map(|(value, _)| value);
    let first = lines.next()?;
    match first.strip_prefix("ref: refs/heads/") {
        // Without a second line the branch has no commit.
        Some(branch) => lines
            .next()
            .filter(|_| check_name(branch).is_ok())
            .map(|_| Found::Branch(branch.to_owned())),
        None => is_commit_id(first).then(|| Found::Commit(first.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_git_gives() {
        for good in ["main", "feature/x-1", "v1.0.0", "ü", "@a"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a b",
            "a:b",
            "a*",
            "refs/heads/a",
            "a//b",
            "/a",
            "a/",
            ".a",
            "a.lock",
            "a@{1}",
            "@",
            "a.",
            "a\nb",
            "a\\b",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_default_is_what_head_stands_on() {
        let id = "0123456789012345678901234567890123456789";
        let branch = default_of(&format!("ref: refs/heads/main\tHEAD\n{id}\tHEAD\n"));
        assert_eq!(
            branch.map(|found| found.full_name()),
            Some("refs/heads/main".to_owned())
        );
        let detached = default_of(&format!("{id}\tHEAD\n{id}\trefs/remotes/x/HEAD\n"));
        assert_eq!(detached.map(|found| found.full_name()), Some(id.to_owned()));
        assert!(default_of("").is_none());
    }
}
