//! Where versions come from, how they follow each other, and what becomes of the next one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use regex::Regex;
use schemars::JsonSchema;
use semver::{BuildMetadata, Prerelease, Version};
use serde::Deserialize;
use url::Url;

use super::pattern::Pattern;
use super::semantic::Level;
use crate::Secret;
use crate::task::{TaskData, TaskError};

/// The longest pattern or format: nobody writes one, and a regular expression may cost its square.
const LONGEST_FORMAT: usize = 200;

/// The data of the kind.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// Where the versions are that there are already.
    pub(super) from: Source,
    /// How versions follow each other.
    pub(super) scheme: Scheme,
    /// What stands before a version in tags, values and files, such as `v`. Others are no versions. Default: nothing.
    prefix: Option<String>,
    /// Write the version to a file. Default: not.
    pub(super) write: Option<Write>,
    /// Tag the commit that is checked out in the folder `from.tags.repository`, unless it has a version's tag. Default: false.
    pub(super) tag: Option<bool>,
    /// Push that tag to the remote `origin`. Default: false.
    pub(super) push: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// The version itself, such as a pipeline variable; empty when there is none yet.
    Value(String),
    /// The tags of a git repository.
    Tags(Tags),
    /// A file on the delegate.
    File(File),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tags {
    /// Absolute path of a folder, or an address: `https://`, `http://`, `ssh://`, `git@host:path`.
    pub(super) repository: String,
    /// Login for `https://` and `http://`.
    pub(super) login: Option<Login>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// Name; what git hosts want beside a token differs.
    pub(super) user: String,
    /// Password or token.
    pub(super) password: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Absolute path.
    pub(super) path: PathBuf,
    /// Regular expression with one group, which is the version: `version = "([^"]+)"`. Default: the whole file.
    pub(super) pattern: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Write {
    /// Absolute path. When it is the file the version comes from, only the version in it is replaced; otherwise the file is the
    /// version and a line end.
    pub(super) file: PathBuf,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scheme {
    /// MAJOR.MINOR.PATCH of semver.org.
    Semantic(Semantic),
    /// By the date, as calver.org has it.
    Calendar(Calendar),
    /// By a format of one's own.
    Template(Template),
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Semantic {
    /// What grows. It counts from the last release; prereleases only count their own number on. Default: `patch`.
    pub(super) bump: Option<Bump>,
    /// Makes a prerelease of this name: `rc` gives 1.3.0-rc.1, then 1.3.0-rc.2.
    pub(super) prerelease: Option<String>,
    /// Build metadata, which is no part of the order: `5.sha.1a2b3c` gives 1.3.0+5.sha.1a2b3c.
    pub(super) build: Option<String>,
    /// The first version, where there is none. Default: `0.1.0`.
    pub(super) initial: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bump {
    Major,
    Minor,
    Patch,
    None,
    /// What the commits since the last release call for, by conventionalcommits.org: major for a breaking change, minor for
    /// `feat`, patch for `fix` and `perf`, else nothing. Needs a folder in `from.tags`.
    Commits,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Calendar {
    /// `YYYY`, `YY`, `0Y`, `MM`, `0M`, `WW`, `0W`, `DD`, `0D` by the date, and `MICRO`, which counts from 0 within it; all else
    /// stands for itself: `YYYY.0M.MICRO`.
    format: String,
    /// The date, as `2026-11-23`. Default: today, UTC.
    date: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Template {
    /// Text with `{n}`, which counts on, names of `values`, and `{YYYY}` and its like by the date: `{branch}-{n}`.
    format: String,
    /// Texts for the names in the format.
    values: Option<BTreeMap<String, String>>,
    /// What `{n}` begins with. Default: 1.
    pub(super) start: Option<u64>,
    /// The date, as `2026-11-23`. Default: today, UTC.
    date: Option<String>,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        match &self.from {
            Source::Tags(Tags {
                login: Some(login), ..
            }) => vec![login.password.clone()],
            _ => Vec::new(),
        }
    }

    fn check(&self) -> Result<(), TaskError> {
        match &self.from {
            Source::Value(_) => {}
            Source::Tags(tags) => tags.check()?,
            Source::File(file) => file.check()?,
        }
        if let Some(prefix) = &self.prefix
            && prefix
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c))
        {
            return Err(TaskError::data("prefix", "has characters that a tag cannot have"));
        }
        self.check_scheme()?;
        if let Some(write) = &self.write {
            absolute("write.file", &write.file)?;
        }
        if self.tag == Some(true) && self.folder().is_none() {
            return Err(TaskError::data(
                "tag",
                "needs the path of a folder in `from.tags.repository`",
            ));
        }
        if self.push == Some(true) && self.tag != Some(true) {
            return Err(TaskError::data("push", "needs `tag`"));
        }
        Ok(())
    }
}

impl Data {
    pub(super) fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// The folder whose tags count.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.from {
            Source::Tags(tags) => Some(Path::new(&tags.repository)).filter(|path| path.is_absolute()),
            _ => None,
        }
    }

    /// Whether the delegate itself reads or writes a file.
    pub(super) fn touches_files(&self) -> bool {
        matches!(self.from, Source::File(_)) || self.write.is_some()
    }

    fn check_scheme(&self) -> Result<(), TaskError> {
        match &self.scheme {
            Scheme::Semantic(rules) => {
                rules.check()?;
                if rules.bump == Some(Bump::Commits) && self.folder().is_none() {
                    return Err(TaskError::data(
                        "scheme.semantic.bump",
                        "commits needs the path of a folder in `from.tags.repository`",
                    ));
                }
                if let Source::Value(value) = &self.from
                    && !value.is_empty()
                {
                    let version = value.strip_prefix(self.prefix()).unwrap_or_default();
                    Version::parse(version).map_err(|_| {
                        TaskError::data(
                            "from.value",
                            "is not the prefix and a semantic version, such as 1.2.3",
                        )
                    })?;
                }
                Ok(())
            }
            Scheme::Calendar(calendar) => calendar.pattern().map(drop),
            Scheme::Template(template) => template.pattern().map(drop),
        }
    }
}

impl Tags {
    fn check(&self) -> Result<(), TaskError> {
        let bad = |problem: &str| Err(TaskError::data("from.tags.repository", problem));
        if Path::new(&self.repository).is_absolute() {
            if self.login.is_some() {
                return Err(TaskError::data(
                    "from.tags.login",
                    "is for an https address, not for a folder",
                ));
            }
            return Ok(());
        }
        if self.repository.starts_with('-') || self.repository.chars().any(char::is_control) {
            return bad("is neither a folder's absolute path nor an address");
        }
        let url = Url::parse(&self.repository).ok().filter(Url::has_host);
        match url.as_ref().map(Url::scheme) {
            Some("http" | "https") => {
                let url = url.as_ref();
                if url.is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
                    return bad("has a login, which would be shown; give it in `from.tags.login`");
                }
                Ok(())
            }
            Some("ssh") if self.login.is_none() => Ok(()),
            None if self.login.is_none() && is_scp_like(&self.repository) => Ok(()),
            Some("ssh") | None if self.login.is_some() => Err(TaskError::data(
                "from.tags.login",
                "is for an https address; ssh uses the keys of the delegate's user",
            )),
            _ => bad(
                "is neither a folder's absolute path nor an address: https://, http://, ssh:// or git@host:path",
            ),
        }
    }
}

/// `git@host:path`.
fn is_scp_like(text: &str) -> bool {
    let plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    text.split_once(':').is_some_and(|(place, path)| {
        let (user, host) = place.split_once('@').unwrap_or(("git", place));
        !host.is_empty()
            && !host.starts_with('-')
            && plain(user)
            && plain(host)
            && !path.is_empty()
            && !path.starts_with(':')
    })
}

impl File {
    fn check(&self) -> Result<(), TaskError> {
        absolute("from.file.path", &self.path)?;
        self.regex().map(drop)
    }

    /// The expression with its one group; that of the whole file where there is none.
    pub(super) fn regex(&self) -> Result<Regex, TaskError> {
        const WHOLE: &str = r"(?s)\A\s*(.*?)\s*\z";
        let bad = |problem: &str| TaskError::data("from.file.pattern", problem);
        let pattern = self.pattern.as_deref().unwrap_or(WHOLE);
        if pattern.len() > LONGEST_FORMAT {
            return Err(bad("is longer than 200 bytes"));
        }
        let regex = Regex::new(pattern).map_err(|_| bad("is not a regular expression"))?;
        // The whole match counts as one.
        if regex.captures_len() != 2 {
            return Err(bad("must have one group in parentheses, which is the version"));
        }
        Ok(regex)
    }
}

impl Semantic {
    fn check(&self) -> Result<(), TaskError> {
        let bad =
            |field: &str, problem: &str| Err(TaskError::data(format!("scheme.semantic.{field}"), problem));
        if let Some(name) = &self.prerelease
            && (name.is_empty() || Prerelease::new(&format!("{name}.1")).is_err())
        {
            return bad(
                "prerelease",
                "must be letters, digits and hyphens, with dots between",
            );
        }
        if let Some(build) = &self.build
            && (build.is_empty() || BuildMetadata::new(build).is_err())
        {
            return bad("build", "must be letters, digits and hyphens, with dots between");
        }
        if let Some(initial) = &self.initial
            && !Version::parse(initial).is_ok_and(|first| first.pre.is_empty() && first.build.is_empty())
        {
            return bad("initial", "must be a release such as 0.1.0");
        }
        Ok(())
    }
}

impl Bump {
    /// What it always is; commits, which were not looked at, call for nothing.
    pub(super) fn level(self) -> Level {
        match self {
            Self::Major => Level::Major,
            Self::Minor => Level::Minor,
            Self::Patch => Level::Patch,
            Self::None | Self::Commits => Level::None,
        }
    }
}

impl Calendar {
    pub(super) fn pattern(&self) -> Result<Pattern, TaskError> {
        short("scheme.calendar.format", &self.format)?;
        let date = date("scheme.calendar.date", self.date.as_deref())?;
        Pattern::calendar(&self.format, date)
            .map_err(|problem| TaskError::data("scheme.calendar.format", problem))
    }
}

impl Template {
    pub(super) fn pattern(&self) -> Result<Pattern, TaskError> {
        short("scheme.template.format", &self.format)?;
        let date = date("scheme.template.date", self.date.as_deref())?;
        let nothing = BTreeMap::new();
        Pattern::template(&self.format, self.values.as_ref().unwrap_or(&nothing), date)
            .map_err(|problem| TaskError::data("scheme.template.format", problem))
    }
}

fn short(path: &str, format: &str) -> Result<(), TaskError> {
    if format.is_empty() || format.len() > LONGEST_FORMAT {
        return Err(TaskError::data(path, "must have 1 to 200 bytes"));
    }
    Ok(())
}

fn date(path: &str, given: Option<&str>) -> Result<Date, TaskError> {
    match given {
        None => Ok(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()),
        Some(text) => text
            .parse()
            .map_err(|_| TaskError::data(path, "is not a date such as 2026-11-23")),
    }
}

fn absolute(path: &str, file: &Path) -> Result<(), TaskError> {
    if file.is_absolute() && file.file_name().is_some() {
        return Ok(());
    }
    Err(TaskError::data(
        path,
        "must be the absolute path of a file: a task has no folder that stays",
    ))
}
