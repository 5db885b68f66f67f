//! Where a token is: its scope and its name, and the ids and identities that spell them out.

use std::borrow::Cow;

use crate::framework::prelude::*;
use crate::platform::Scope;

/// A token's place in its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scope: Scope,
    pub(super) name: String,
}

impl Place {
    /// The place an id names: `name`, `org/name` or `org/project/name`. A slash in a part is written `%2F`.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let parts: Vec<String> = id.split('/').map(decoded).collect();
        if parts.iter().any(String::is_empty) {
            return None;
        }
        let (org, project, name) = match parts.as_slice() {
            [name] => (None, None, name),
            [org, name] => (Some(org), None, name),
            [org, project, name] => (Some(org), Some(project), name),
            _ => return None,
        };
        Some(Self {
            scope: Scope {
                org: org.cloned(),
                project: project.cloned(),
            },
            name: name.clone(),
        })
    }

    /// The id of this place.
    pub(super) fn id(&self) -> String {
        let scope = [&self.scope.org, &self.scope.project];
        let parts: Vec<Cow<'_, str>> = scope
            .into_iter()
            .flatten()
            .chain([&self.name])
            .map(|part| encoded(part))
            .collect();
        parts.join("/")
    }
}

fn encoded(part: &str) -> Cow<'_, str> {
    if part.contains(['/', '%']) {
        part.replace('%', "%25").replace('/', "%2F").into()
    } else {
        part.into()
    }
}

fn decoded(part: &str) -> String {
    part.replace("%2F", "/").replace("%2f", "/").replace("%25", "%")
}

pub(super) fn identity_schema() -> IdentitySchema {
    IdentitySchema::new(0)
        .optional("account_id", Type::String, "Account; the provider's when absent.")
        .optional("org_id", Type::String, "Organization, for a token of one.")
        .optional(
            "project_id",
            Type::String,
            "Project of the organization, for a token of one.",
        )
        .required("name", Type::String, "Name of the token.")
}

/// The identity of a token.
pub(super) fn identity(account: &str, place: &Place) -> Value {
    Value::object([
        ("account_id", Value::from(account)),
        ("org_id", place.scope.org.clone().into()),
        ("project_id", place.scope.project.clone().into()),
        ("name", place.name.clone().into()),
    ])
}

/// What an import names: a place, and an account unless it is the provider's.
///
/// # Errors
/// When it names none.
pub(super) fn locate(target: &ImportTarget) -> Result<(Option<String>, Place), Diagnostics> {
    let found = match target {
        ImportTarget::Id(id) => Place::parse(id).map(|place| (None, place)),
        ImportTarget::Identity(identity) => {
            let text = |name: &str| identity.named(name).as_str().map(str::to_owned);
            let scope = Scope {
                org: text("org_id"),
                project: text("project_id"),
            };
            text("name")
                .filter(|_| scope.project.is_none() || scope.org.is_some())
                .map(|name| (text("account_id"), Place { scope, name }))
        }
    };
    found.ok_or_else(|| {
        Diagnostics::error(
            "Unsuitable import id",
            "Give the name of the token, <organization>/<name>, or <organization>/<project>/<name>, with a slash in a part written \
             as %2F; or the same parts as an identity: org_id, project_id, name.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_place_is_found_by_its_id_and_its_identity(
            org in proptest::option::of("[a-z%/F2]{1,8}"), project in proptest::option::of("[a-z%/]{1,8}"), name in "[a-z %/25F]{1,12}"
        ) {
            let project = project.filter(|_| org.is_some());
            let place = Place { scope: Scope { org, project }, name };
            prop_assert_eq!(Place::parse(&place.id()), Some(place.clone()));
            let (account, found) = locate(&ImportTarget::Identity(identity("acc", &place))).unwrap();
            prop_assert_eq!((account.as_deref(), found), (Some("acc"), place));
        }
    }

    #[test]
    fn an_unsuitable_id_is_answered_with_the_forms() {
        for id in ["", "/a", "a/", "a/b/c/d"] {
            let error = locate(&ImportTarget::Id(id.to_owned())).unwrap_err().to_string();
            assert!(error.contains("<organization>/<project>/<name>"), "{id}: {error}");
        }
        let orphan = Value::object([
            ("account_id", Value::Null),
            ("org_id", Value::Null),
            ("project_id", "p".into()),
            ("name", "n".into()),
        ]);
        assert!(locate(&ImportTarget::Identity(orphan)).is_err());
    }
}
