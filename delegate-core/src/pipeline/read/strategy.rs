//! Strategies: an element that runs several times.

use indexmap::IndexMap;

use super::Reader;
use crate::pipeline::plan::{Repetition, Source, Strategy};
use crate::pipeline::run::MAX_ITERATIONS;
use crate::pipeline::source::{Node, Yaml};

impl Reader<'_> {
    pub(super) fn strategy(&mut self, node: &Node) -> Option<Strategy> {
        let mut fields = self.fields(node, "`strategy`")?;
        let (matrix, repeat, parallelism) = (
            fields.take("matrix"),
            fields.take("repeat"),
            fields.take("parallelism"),
        );
        let beside = fields.take("maxConcurrency");
        fields.end(self);
        let (over, within) = match (matrix, repeat, parallelism) {
            (Some(node), None, None) => self.matrix(node)?,
            (None, Some(node), None) => self.repeat(node)?,
            (None, None, Some(node)) => {
                let times = self.count(node, "parallelism", 1..=MAX_ITERATIONS)?;
                (Repetition::Times(times), None)
            }
            _ => {
                self.faults
                    .push(node.at(), "a strategy is one of matrix, repeat and parallelism");
                return None;
            }
        };
        let max_concurrency = match within.or(beside) {
            Some(node) => Some(self.count(node, "maxConcurrency", 1..=MAX_ITERATIONS)?),
            None => None,
        };
        Some(Strategy {
            over,
            max_concurrency,
            at: node.at(),
        })
    }

    fn matrix<'n>(&mut self, node: &'n Node) -> Option<(Repetition, Option<&'n Node>)> {
        let mut fields = self.fields(node, "`matrix`")?;
        let max_concurrency = fields.take("maxConcurrency");
        let exclude_node = fields.take("exclude");
        fields.refuse("nodeName", "a combination is shown with its values", self);
        let mut axes = IndexMap::new();
        for (key, node) in fields.rest() {
            self.check_name(&key.name, "the name of an axis", key.at);
            if let Some(source) = self.source(node) {
                axes.insert(key.name.clone(), source);
            }
        }
        if axes.is_empty() {
            self.faults
                .push(node.at(), "a matrix has at least one axis: a name and its values");
        }
        let mut exclude = Vec::new();
        if let Some(node) = exclude_node {
            for item in self.items(node, "exclude") {
                let mut fields = self.fields(item, "a combination that is excluded")?;
                let mut combination = IndexMap::new();
                for (key, node) in fields.rest() {
                    if !axes.contains_key(&key.name) {
                        self.faults
                            .push(key.at, format!("the matrix has no axis `{}`", key.name));
                    }
                    combination.insert(key.name.clone(), self.text(node)?);
                }
                exclude.push(combination);
            }
        }
        Some((Repetition::Matrix { axes, exclude }, max_concurrency))
    }

    fn repeat<'n>(&mut self, node: &'n Node) -> Option<(Repetition, Option<&'n Node>)> {
        let mut fields = self.fields(node, "`repeat`")?;
        let max_concurrency = fields.take("maxConcurrency");
        let (items, times) = (fields.take("items"), fields.take("times"));
        fields.end(self);
        let over = match (items, times) {
            (Some(node), None) => Repetition::Items(self.source(node)?),
            (None, Some(node)) => Repetition::Times(self.count(node, "times", 1..=MAX_ITERATIONS)?),
            _ => {
                self.faults
                    .push(node.at(), "a repetition has one of items and times");
                return None;
            }
        };
        Some((over, max_concurrency))
    }

    /// A list of values, or an expression that makes one.
    fn source(&mut self, node: &Node) -> Option<Source> {
        match &node.value {
            Yaml::List(items) if items.is_empty() => {
                self.faults.push(node.at(), "the list has no value");
                None
            }
            Yaml::List(items) => Some(Source::Listed(
                items.iter().map(|item| self.template(item)).collect(),
            )),
            Yaml::Scalar { text, .. } if text.contains("<+") => self.text(node).map(Source::Computed),
            _ => {
                self.faults
                    .push(node.at(), "expected a list, or an expression that makes one");
                None
            }
        }
    }
}
