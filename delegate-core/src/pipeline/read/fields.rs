//! The fields of a map, each taken once; what is left over is a fault.

use super::Reader;
use crate::pipeline::source::{Key, Mark, Node, Yaml};

/// The fields of a map that are not taken yet.
pub(super) struct Fields<'n> {
    pub(super) at: Mark,
    /// What the map is, for errors: `the step`.
    what: &'static str,
    left: Vec<(&'n Key, &'n Node)>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// A field; nothing when it is missing or empty.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.push(name);
        let at = self.left.iter().position(|(key, _)| key.name == name)?;
        let (_, node) = self.left.remove(at);
        (!node.is_null()).then_some(node)
    }

    /// A field that must be there.
    pub(super) fn need(&mut self, name: &'static str, reader: &mut Reader<'_>) -> Option<&'n Node> {
        let taken = self.take(name);
        if taken.is_none() {
            reader
                .faults
                .push(self.at, format!("{} needs `{name}`", self.what));
        }
        taken
    }

    /// Takes fields that have no meaning here.
    pub(super) fn ignore(&mut self, names: &[&'static str]) {
        for name in names {
            self.take(name);
        }
    }

    /// Refuses a field that Harness has and that is not supported, with what to do instead.
    pub(super) fn refuse(&mut self, name: &str, remedy: &str, reader: &mut Reader<'_>) {
        if let Some(at) = self.left.iter().position(|(key, _)| key.name == name) {
            let (key, _) = self.left.remove(at);
            reader
                .faults
                .push(key.at, format!("`{name}` is not supported; {remedy}"));
        }
    }

    /// Every field that is left, as it is.
    pub(super) fn rest(&mut self) -> Vec<(&'n Key, &'n Node)> {
        std::mem::take(&mut self.left)
    }

    /// Refuses what was not taken.
    pub(super) fn end(mut self, reader: &mut Reader<'_>) {
        self.known.retain(|name| !super::WITHOUT_MEANING.contains(name));
        for (key, _) in self.left {
            let meant = nearest(&key.name, self.known.iter().copied());
            let hint = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if self.known.is_empty() => "it has none".to_owned(),
                None => format!("it has {}", self.known.join(", ")),
            };
            reader.faults.push(
                key.at,
                format!("{} has no field `{}`; {hint}", self.what, key.name),
            );
        }
    }
}

impl Reader<'_> {
    /// The fields of a map. `what` reads well before "is a map".
    pub(super) fn fields<'n>(&mut self, node: &'n Node, what: &'static str) -> Option<Fields<'n>> {
        let Yaml::Map(fields) = &node.value else {
            self.faults
                .push(node.at(), format!("{what} is a map, not {}", node.what()));
            return None;
        };
        Some(Fields {
            at: node.at(),
            what,
            left: fields.iter().map(|(key, node)| (key, node)).collect(),
            known: Vec::new(),
        })
    }

    /// The items of a list.
    pub(super) fn items<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        if let Yaml::List(items) = &node.value {
            return items;
        }
        self.faults
            .push(node.at(), format!("{what} is a list, not {}", node.what()));
        &[]
    }
}

/// The name that a misspelt one was meant to be.
pub(in crate::pipeline) fn nearest<'k>(
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    /// A third of a name may be wrong; less is a slip, more is another name.
    const TOLERANCE: usize = 3;
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::osa_distance(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| distance * TOLERANCE <= known.chars().count().min(name.chars().count()))
        .min()
        .map(|(_, known)| known)
}
