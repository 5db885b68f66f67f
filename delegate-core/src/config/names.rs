//! Texts with rules: account id, delegate name, tag. Each is checked where it is made and nowhere else.

use std::fmt;
use std::str::FromStr;

/// Longest delegate name: a Kubernetes object name of the chart.
const MAX_NAME: usize = 63;

/// Longest account id taken; the product's have 22 characters.
const MAX_ACCOUNT_ID: usize = 64;

/// Longest tag taken.
const MAX_TAG: usize = 128;

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// More characters than the product takes.
    #[error("has {length} characters, at most {max} are allowed")]
    TooLong {
        /// Characters given.
        length: usize,
        /// Characters allowed.
        max: usize,
    },
    /// A character that is not allowed there.
    #[error("{text:?} is not valid: {rule}")]
    Invalid {
        /// What was given.
        text: String,
        /// What is allowed, as a sentence fragment.
        rule: &'static str,
    },
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let text = text.trim();
                if text.is_empty() {
                    return Err(NameError::Empty);
                }
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }
    };
}

checked_text!(
    /// Identity of an account.
    AccountId,
    |text: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        check(text, MAX_ACCOUNT_ID, text.chars().all(fits), "an account id has letters, digits, '-' and '_' only")
    }
);

checked_text!(
    /// Name of a delegate: what its replicas share.
    DelegateName,
    |text: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let valid = edge(text.chars().next()) && edge(text.chars().last()) && text.chars().all(fits);
        check(text, MAX_NAME, valid, "a delegate name has letters, digits, '-', '_' and '.', and begins and ends with a letter or digit")
    }
);

checked_text!(
    /// A tag of a delegate, which selectors name.
    Tag,
    |text: &str| {
        let valid = !text.chars().any(|c| c == ',' || c.is_control());
        check(text, MAX_TAG, valid, "a tag has no comma and no control character")
    }
);

impl DelegateName {
    /// Whether the name can name Kubernetes objects (DNS label: lower-case letters, digits and `-`).
    pub fn is_dns_label(&self) -> bool {
        self.0
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
}

fn check(text: &str, max: usize, valid: bool, rule: &'static str) -> Result<(), NameError> {
    let length = text.chars().count();
    if length > max {
        Err(NameError::TooLong { length, max })
    } else if valid {
        Ok(())
    } else {
        Err(NameError::Invalid {
            text: text.to_owned(),
            rule,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags_say_what_is_wrong_with_them() {
        for (text, part) in [
            ("", "is empty"),
            ("-a", "begins and ends with a letter or digit"),
            ("team a", "begins and ends"),
            (&"x".repeat(64), "has 64 characters, at most 63"),
        ] {
            let error = text.parse::<DelegateName>().unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        assert!("a,b".parse::<Tag>().unwrap_err().to_string().contains("no comma"));
        assert!("ac/count".parse::<AccountId>().is_err());
    }

    #[test]
    fn only_dns_labels_name_kubernetes_objects() {
        assert!("team-a".parse::<DelegateName>().unwrap().is_dns_label());
        assert!(!"Team_A".parse::<DelegateName>().unwrap().is_dns_label());
    }
}
