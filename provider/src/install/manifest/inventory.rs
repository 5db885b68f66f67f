//! What was applied for a delegate, written down beside it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::install::cluster::{kind_of, name_of};
use crate::install::kubernetes::secret::Held;
use crate::install::kubernetes::short_digest;

/// Annotation with everything that was applied and not yet removed, before it is applied.
const INVENTORY: &str = "harness-delegate/inventory";

/// Annotation with a digest of the objects that were last applied.
const RENDERED: &str = "harness-delegate/rendered";

/// Names one object of the delegate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectId {
    api_version: String,
    /// Its kind.
    pub(super) kind: String,
    name: String,
}

impl ObjectId {
    fn of(object: &Value) -> Self {
        let (api_version, kind) = kind_of(object);
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name_of(object).to_owned(),
        }
    }

    /// `apiVersion/Kind/name`; the version may have a slash of its own.
    fn parse(text: &str) -> Option<Self> {
        let (rest, name) = text.rsplit_once('/')?;
        let (api_version, kind) = rest.rsplit_once('/')?;
        Some(Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        })
    }

    /// An object that has the name and nothing else.
    pub(super) fn object(&self) -> Value {
        json!({ "apiVersion": self.api_version, "kind": self.kind, "metadata": { "name": self.name } })
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.api_version, self.kind, self.name)
    }
}

/// A set of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inventory(BTreeSet<ObjectId>);

impl Inventory {
    /// What the Secret says.
    pub(super) fn of(held: &Held) -> Self {
        let text = held.annotations.get(INVENTORY).map_or("", String::as_str);
        Self(text.split_whitespace().filter_map(ObjectId::parse).collect())
    }

    pub(super) fn of_objects(objects: &[Value]) -> Self {
        Self(objects.iter().map(ObjectId::of).collect())
    }

    pub(super) fn with(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ObjectId> {
        self.0.iter()
    }

    pub(super) fn annotation(&self) -> (&'static str, String) {
        let ids: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        (INVENTORY, ids.join(" "))
    }
}

/// What tells one set of rendered objects from another. Quantities are left out: `1000m` and `1` are the same, and a comparison
/// with the live object knows that.
pub(super) fn digest(rendered: &[Value]) -> (&'static str, String) {
    let mut rendered = rendered.to_vec();
    for object in &mut rendered {
        let containers = object.pointer_mut("/spec/template/spec/containers");
        for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
            container["resources"] = Value::Null;
        }
    }
    (RENDERED, short_digest(json!(rendered).to_string().as_bytes()))
}

/// Whether the last apply that came to its end applied these objects; true when none has said so.
pub(super) fn is_as_rendered(held: &Held, rendered: &[Value]) -> bool {
    let (annotation, digest) = digest(rendered);
    held.annotations
        .get(annotation)
        .is_none_or(|written| *written == digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_what_is_read_back() {
        let objects = [
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } }),
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "a-b" } }),
        ];
        let inventory = Inventory::of_objects(&objects);
        let (annotation, text) = inventory.annotation();
        let held = Held {
            annotations: [(annotation.to_owned(), text)].into(),
            ..Held::default()
        };
        let read = Inventory::of(&held);
        assert_eq!(read, inventory);
        assert_eq!(
            read.iter().map(ObjectId::object).collect::<Vec<_>>(),
            [objects[1].clone(), objects[0].clone()]
        );
        let less = Inventory::of_objects(&objects[..1]);
        assert_eq!(inventory.without(&less), Inventory::of_objects(&objects[1..]));
        assert_eq!(Inventory::of(&Held::default()), Inventory::default());
    }
}
