//! What follows in semantic versioning.

use std::collections::BTreeMap;

use semver::{BuildMetadata, Prerelease, Version};

use super::Next;
use super::data::Semantic;

/// Where there is no version yet.
const INITIAL: Version = Version::new(0, 1, 0);

/// How far the next version is from the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    None,
    Patch,
    Minor,
    Major,
}

/// Those of some texts that are versions, in their order.
pub(super) fn known(texts: &[String]) -> Vec<Version> {
    let mut versions: Vec<_> = texts
        .iter()
        .filter_map(|text| Version::parse(text).ok())
        .collect();
    versions.sort();
    versions
}

/// The last version that is no prerelease.
pub(super) fn last_release(known: &[Version]) -> Option<&Version> {
    known.iter().rev().find(|version| version.pre.is_empty())
}

/// The greatest as it is.
pub(super) fn kept(known: &[Version]) -> Option<Next> {
    let version = known.last()?;
    Some(described(version, known))
}

/// The next version. `known` is in its order. The error is a sentence.
pub(super) fn next(known: &[Version], rules: &Semantic, level: Level) -> Result<Next, String> {
    let previous = known.last();
    let mut version = match (last_release(known), previous) {
        (Some(release), _) => grown(release, level)?,
        (None, Some(prerelease)) => released(prerelease, level)?,
        (None, None) => match rules.initial.as_deref().map(Version::parse) {
            Some(Ok(initial)) => initial,
            _ => INITIAL,
        },
    };
    let grows = level > Level::None || last_release(known).is_none();
    if let Some(name) = rules.prerelease.as_deref().filter(|_| grows) {
        let count = known
            .iter()
            .filter(|other| same_triple(other, &version))
            .filter_map(|other| counted(&other.pre, name))
            .max()
            .unwrap_or(0);
        let count = count
            .checked_add(1)
            .ok_or("the number of the prerelease is too large to grow")?;
        version.pre = Prerelease::new(&format!("{name}.{count}")).map_err(|error| error.to_string())?;
    }
    if let Some(build) = &rules.build {
        version.build = BuildMetadata::new(build).map_err(|error| error.to_string())?;
    }
    Ok(described(&version, known))
}

fn grown(from: &Version, level: Level) -> Result<Version, String> {
    let more = |number: u64| {
        number
            .checked_add(1)
            .ok_or_else(|| format!("{from} is too large to grow"))
    };
    Ok(match level {
        Level::Major => Version::new(more(from.major)?, 0, 0),
        Level::Minor => Version::new(from.major, more(from.minor)?, 0),
        Level::Patch => Version::new(from.major, from.minor, more(from.patch)?),
        Level::None => Version::new(from.major, from.minor, from.patch),
    })
}

/// A prerelease is on its way to its own version: that one follows, when it is far enough.
fn released(from: &Version, level: Level) -> Result<Version, String> {
    let far_enough = match level {
        Level::Major => from.minor == 0 && from.patch == 0,
        Level::Minor => from.patch == 0,
        Level::Patch | Level::None => true,
    };
    grown(from, if far_enough { Level::None } else { level })
}

fn same_triple(one: &Version, other: &Version) -> bool {
    (one.major, one.minor, one.patch) == (other.major, other.minor, other.patch)
}

/// The number of a prerelease of this name.
fn counted(pre: &Prerelease, name: &str) -> Option<u64> {
    pre.as_str().strip_prefix(name)?.strip_prefix('.')?.parse().ok()
}

fn described(version: &Version, known: &[Version]) -> Next {
    let mut parts = BTreeMap::from([
        ("major".to_owned(), version.major.to_string()),
        ("minor".to_owned(), version.minor.to_string()),
        ("patch".to_owned(), version.patch.to_string()),
    ]);
    if !version.pre.is_empty() {
        parts.insert("prerelease".to_owned(), version.pre.to_string());
    }
    if !version.build.is_empty() {
        parts.insert("build".to_owned(), version.build.to_string());
    }
    Next {
        version: version.to_string(),
        previous: known.last().map(Version::to_string),
        is_new: !known.contains(version),
        parts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known versions, level, name of the prerelease, and what follows.
    type Case = (&'static [&'static str], Level, Option<&'static str>, &'static str);

    fn after(texts: &[&str], level: Level, prerelease: Option<&str>) -> Result<String, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let rules = Semantic {
            prerelease: prerelease.map(str::to_owned),
            ..Semantic::default()
        };
        next(&known(&texts), &rules, level).map(|next| next.version)
    }

    #[test]
    fn what_follows_is_what_people_expect() {
        let cases: &[Case] = &[
            (&[], Level::Patch, None, "0.1.0"),
            (&[], Level::Major, Some("rc"), "0.1.0-rc.1"),
            (&["1.2.3"], Level::Patch, None, "1.2.4"),
            (&["1.2.3"], Level::Minor, None, "1.3.0"),
            (&["1.2.3"], Level::Major, None, "2.0.0"),
            (&["1.2.3"], Level::None, None, "1.2.3"),
            // Numbers, not texts, are ordered; what is no version is left out.
            (
                &["1.9.0", "1.10.0", "latest", "1.2"],
                Level::Patch,
                None,
                "1.10.1",
            ),
            (&["1.2.3"], Level::Minor, Some("rc"), "1.3.0-rc.1"),
            (
                &["1.2.3", "1.3.0-rc.1", "1.3.0-rc.9", "1.3.0-rc.10"],
                Level::Minor,
                Some("rc"),
                "1.3.0-rc.11",
            ),
            (&["1.2.3", "1.3.0-beta.4"], Level::Minor, Some("rc"), "1.3.0-rc.1"),
            (&["1.2.3", "1.3.0-rc.1"], Level::Minor, None, "1.3.0"),
            (&["1.2.3", "1.3.0-rc.1"], Level::Patch, None, "1.2.4"),
            (&["1.2.3", "1.3.0-rc.1"], Level::None, Some("rc"), "1.2.3"),
            // Nothing but a prerelease is known.
            (&["1.3.0-rc.1"], Level::Patch, None, "1.3.0"),
            (&["1.3.0-rc.1"], Level::Minor, Some("rc"), "1.3.0-rc.2"),
            (&["1.3.0-rc.1"], Level::Major, Some("rc"), "2.0.0-rc.1"),
            (&["1.3.1-rc.1"], Level::Minor, None, "1.4.0"),
        ];
        for (texts, level, prerelease, expected) in cases {
            let next = after(texts, *level, *prerelease);
            assert_eq!(
                next.as_deref(),
                Ok(*expected),
                "{texts:?} {level:?} {prerelease:?}"
            );
        }
    }

    #[test]
    fn a_number_that_cannot_grow_is_said() {
        let error = after(&["1.2.18446744073709551615"], Level::Patch, None).unwrap_err();
        assert!(error.contains("too large to grow"), "{error}");
    }
}
