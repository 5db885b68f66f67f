//! Objects of a cluster, and what they are known by.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What an object is known by. Of a kind in several versions, those are one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Id {
    /// `GROUP/VERSION`, or `v1`.
    #[serde(rename = "apiVersion")]
    api_version: String,
    pub(super) kind: String,
    /// Of objects that are in one.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// One object of the result.
#[derive(Serialize, JsonSchema)]
pub(super) struct Told {
    /// Its kind.
    kind: String,
    /// Its namespace; null of an object that is in none.
    namespace: Option<String>,
    /// Its name.
    name: String,
    /// What was done: `applied` or `pruned`.
    action: &'static str,
}

impl Id {
    fn of(object: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Self {
            api_version: text(&object["apiVersion"])?,
            kind: text(&object["kind"])?,
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"])?,
        })
    }

    fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether both mean one object.
    fn is(&self, other: &Self) -> bool {
        let key = |id: &Self| (id.kind.clone(), id.namespace.clone(), id.name.clone());
        self.group() == other.group() && key(self) == key(other)
    }

    /// As much of the object as it takes to find it.
    pub(super) fn stub(&self) -> Value {
        json!({
            "apiVersion": self.api_version, "kind": self.kind,
            "metadata": {"name": self.name, "namespace": self.namespace}
        })
    }

    pub(super) fn told(&self, action: &'static str) -> Told {
        Told {
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            action,
        }
    }

    /// What `kubectl` calls it when it was applied: `deployment.apps/web`.
    pub(super) fn said(&self) -> String {
        let dot = if self.group().is_empty() { "" } else { "." };
        format!(
            "{}{dot}{}/{}",
            self.kind.to_ascii_lowercase(),
            self.group(),
            self.name
        )
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)?;
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// Objects as manifests have them, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    all: Vec<(Id, Value)>,
}

impl Objects {
    /// Takes the items of a list apart. The error says which object is none.
    pub(super) fn of(values: impl IntoIterator<Item = Value>) -> Result<Self, String> {
        let mut objects = Self::default();
        for value in values {
            let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
            if let (true, Some(items)) = (is_list, value["items"].as_array()) {
                objects.all.extend(Self::of(items.clone())?.all);
                continue;
            }
            let at = objects.all.len() + 1;
            let Some(id) = Id::of(&value) else {
                return Err(format!(
                    "object {at} has no `apiVersion`, `kind` or `metadata.name`; a name cannot be generated here"
                ));
            };
            if objects.has(&id) {
                return Err(format!("{id} is there twice"));
            }
            objects.all.push((id, value));
        }
        Ok(objects)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &Id> {
        self.all.iter().map(|(id, _)| id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Id, &Value)> {
        self.all.iter().map(|(id, value)| (id, value))
    }

    pub(super) fn has(&self, id: &Id) -> bool {
        self.ids().any(|known| known.is(id))
    }

    /// Those that `others` do not have.
    pub(super) fn ids_without(&self, others: &Self) -> Vec<Id> {
        self.ids().filter(|id| !others.has(id)).cloned().collect()
    }

    /// All of them as one, which is how they are applied and kept.
    pub(super) fn list(&self) -> Value {
        let items: Vec<&Value> = self.all.iter().map(|(_, value)| value).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }
}

/// Whether one of them means the same object.
pub(super) fn among(ids: &[Id], id: &Id) -> bool {
    ids.iter().any(|known| known.is(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(version: &str, kind: &str, name: &str) -> Value {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "n"}})
    }

    #[test]
    fn lists_are_taken_apart_and_versions_of_a_kind_are_one() {
        let list =
            json!({"apiVersion": "v1", "kind": "List", "items": [object("apps/v1", "Deployment", "a")]});
        let objects = Objects::of([list, object("v1", "Secret", "a")]).unwrap();
        let said: Vec<String> = objects.ids().map(Id::said).collect();
        assert_eq!(said, ["deployment.apps/a", "secret/a"]);
        let older = Objects::of([object("apps/v1beta1", "Deployment", "a")]).unwrap();
        assert!(older.ids_without(&objects).is_empty());
        let other = Objects::of([object("v1", "Deployment", "a")]).unwrap();
        assert_eq!(other.ids_without(&objects).len(), 1);
        let twice = Objects::of([object("v1", "Secret", "a"), object("v1", "Secret", "a")]).unwrap_err();
        assert_eq!(twice, "Secret a in n is there twice");
        let unnamed = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}});
        assert!(Objects::of([unnamed]).unwrap_err().contains("object 1"));
    }
}
