//! Rules between attributes of one object, as data.

use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::value::{AttributePath, Value};

/// A rule between attributes of the object it is put on. Paths are dotted names from that object. Unknown
/// values count as whatever would make the rule hold, so that nothing is refused that may turn out right.
#[derive(Debug, Clone)]
pub enum Rule {
    /// Exactly one of them is set.
    ExactlyOneOf(Vec<AttributePath>),
    /// Not more than one of them is set.
    AtMostOneOf(Vec<AttributePath>),
    /// At least one of them is set.
    AtLeastOneOf(Vec<AttributePath>),
    /// Where the first is set, the others must be.
    RequiredWith(AttributePath, Vec<AttributePath>),
    /// Where the first is set, none of the others may be.
    ConflictsWith(AttributePath, Vec<AttributePath>),
}

impl Rule {
    /// Exactly one of these is set.
    pub fn exactly_one_of<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        Self::ExactlyOneOf(collect(paths))
    }

    /// Not more than one of these is set.
    pub fn at_most_one_of<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        Self::AtMostOneOf(collect(paths))
    }

    /// At least one of these is set.
    pub fn at_least_one_of<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        Self::AtLeastOneOf(collect(paths))
    }

    /// Where `path` is set, `others` must be.
    pub fn required_with<'a>(path: &str, others: impl IntoIterator<Item = &'a str>) -> Self {
        Self::RequiredWith(path.into(), collect(others))
    }

    /// Where `path` is set, none of `others` may be.
    pub fn conflicts_with<'a>(path: &str, others: impl IntoIterator<Item = &'a str>) -> Self {
        Self::ConflictsWith(path.into(), collect(others))
    }

    /// Every path the rule names.
    pub(super) fn paths(&self) -> impl Iterator<Item = &AttributePath> {
        let (first, rest) = match self {
            Self::ExactlyOneOf(paths) | Self::AtMostOneOf(paths) | Self::AtLeastOneOf(paths) => (None, paths),
            Self::RequiredWith(first, rest) | Self::ConflictsWith(first, rest) => (Some(first), rest),
        };
        first.into_iter().chain(rest)
    }

    /// What in `object` breaks the rule; paths from the object.
    pub(super) fn check(&self, object: &Value) -> Diagnostics {
        let set = |paths: &[AttributePath]| -> Vec<AttributePath> {
            paths
                .iter()
                .filter(|path| is_set(object.at(path)))
                .cloned()
                .collect()
        };
        let open = |paths: &[AttributePath]| paths.iter().any(|path| object.at(path).is_unknown());
        let mut diagnostics = Diagnostics::new();
        match self {
            Self::ExactlyOneOf(paths) => {
                let set = set(paths);
                if set.len() > 1 {
                    diagnostics.push(too_many(
                        &format!("Exactly one of {} must be set", listed(paths)),
                        &set,
                    ));
                } else if set.is_empty() && !open(paths) {
                    diagnostics.push(too_few(&format!("Exactly one of {} must be set", listed(paths))));
                }
            }
            Self::AtMostOneOf(paths) => {
                let set = set(paths);
                if set.len() > 1 {
                    diagnostics.push(too_many(
                        &format!("At most one of {} may be set", listed(paths)),
                        &set,
                    ));
                }
            }
            Self::AtLeastOneOf(paths) => {
                if set(paths).is_empty() && !open(paths) {
                    diagnostics.push(too_few(&format!("At least one of {} must be set", listed(paths))));
                }
            }
            Self::RequiredWith(path, others) => {
                if is_set(object.at(path)) {
                    let missing = others.iter().filter(|other| object.at(other).is_null());
                    diagnostics.extend(missing.map(|other| {
                        let detail =
                            format!("With {path} set, {other} must be set too. Set it, or remove {path}.");
                        Diagnostic::error("Missing argument", detail).at(path)
                    }));
                }
            }
            Self::ConflictsWith(path, others) => {
                if is_set(object.at(path)) {
                    diagnostics.extend(set(others).iter().map(|other| {
                        let detail = format!("With {other} set, {path} may not be set. Remove one of them.");
                        Diagnostic::error("Conflicting arguments", detail).at(path)
                    }));
                }
            }
        }
        diagnostics
    }
}

fn collect<'a>(paths: impl IntoIterator<Item = &'a str>) -> Vec<AttributePath> {
    paths.into_iter().map(AttributePath::from).collect()
}

fn is_set(value: &Value) -> bool {
    !value.is_null() && !value.is_unknown()
}

fn listed(paths: &[AttributePath]) -> String {
    let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn too_many(rule: &str, set: &[AttributePath]) -> Diagnostic {
    let detail = format!("{rule}, but {} are. Remove all but one.", listed(set));
    let at = set.last().cloned().unwrap_or_default();
    Diagnostic::error("Conflicting arguments", detail).at(at)
}

fn too_few(rule: &str) -> Diagnostic {
    Diagnostic::error("Missing argument", format!("{rule}, but none is."))
}
