//! From a tree of values to a plan.
//!
//! Every reader takes what it can and goes on: a fault is noted, and what it stood for is left out, so that one look at a
//! file tells all of its faults. Unknown fields are faults, with the nearest name that there is. A plan comes out only
//! where there was none.

mod failure;
mod fields;
mod harness;
mod scalars;
mod stage;
mod step;
mod strategy;
mod variables;

use super::MAX_ELEMENTS;
use super::plan::{Body, Element, ElementId, Level, Plan, WhenStatus};
use super::source::{self, Faults, Mark, Node};

pub(super) use fields::nearest;
pub(super) use harness::kind_meant;

/// Fields that Harness writes and that mean nothing here.
const WITHOUT_MEANING: [&str; 4] = ["description", "tags", "projectIdentifier", "orgIdentifier"];

/// Reads a file.
pub(super) fn file(file: &str) -> Result<Plan, Faults> {
    let root = source::parse(file)?;
    let mut reader = Reader {
        file,
        faults: Faults::default(),
        elements: Vec::new(),
    };
    reader.root(&root);
    if reader.elements.len() > MAX_ELEMENTS {
        reader.faults.push(
            root.at(),
            format!(
                "the pipeline has {} stages, groups and steps, at most {MAX_ELEMENTS} are taken; use a strategy, or split it",
                reader.elements.len()
            ),
        );
    }
    reader.faults.none()?;
    Ok(Plan {
        elements: reader.elements,
    })
}

struct Reader<'f> {
    file: &'f str,
    faults: Faults,
    elements: Vec<Element>,
}

impl Reader<'_> {
    fn root(&mut self, root: &Node) {
        let Some(mut fields) = self.fields(root, "the file") else {
            return;
        };
        if let Some(pipeline) = fields.need("pipeline", self) {
            self.pipeline(pipeline);
        }
        fields.end(self);
    }

    fn pipeline(&mut self, node: &Node) {
        let Some(mut fields) = self.fields(node, "the pipeline") else {
            return;
        };
        fields.ignore(&WITHOUT_MEANING);
        let (identifier, name) = self.named(&mut fields);
        let id = self.element(Level::Pipeline, node.at(), None);
        let variables = fields
            .take("variables")
            .map(|node| self.variables(node))
            .unwrap_or_default();
        let selectors = fields
            .take("delegateSelectors")
            .and_then(|node| self.selectors(node));
        let timeout_ms = fields.take("timeout").and_then(|node| self.duration(node));
        let stages = fields.need("stages", self);
        fields.end(self);
        let children = stages.map(|node| self.stages(node, id)).unwrap_or_default();
        let element = &mut self.elements[id];
        element.identifier = identifier;
        element.name = name;
        element.variables = variables;
        element.selectors = selectors;
        element.timeout_ms = timeout_ms;
        element.body = Body::Serial(children);
    }

    /// A new element, to be filled in: parents come before their children.
    fn element(&mut self, level: Level, at: Mark, parent: Option<ElementId>) -> ElementId {
        self.elements.push(Element {
            level,
            identifier: String::new(),
            name: String::new(),
            at,
            parent,
            body: Body::Serial(Vec::new()),
            when: WhenStatus::default(),
            condition: None,
            strategy: None,
            failure: Vec::new(),
            timeout_ms: None,
            selectors: None,
            variables: Vec::new(),
            rollback: None,
        });
        self.elements.len() - 1
    }
}
