//! Stages, and what stages, groups and steps have in common.

use super::fields::Fields;
use super::{Reader, WITHOUT_MEANING};
use crate::pipeline::plan::{Body, ElementId, Level, WhenStatus};
use crate::pipeline::source::Node;

/// Types of stages. They differ in what Harness's editor offers, not in what they do here.
const TYPES: [(&str, ()); 4] = [("Custom", ()), ("Deployment", ()), ("CI", ()), ("Approval", ())];

/// `stageStatus` and `pipelineStatus`.
const STATUS: [(&str, WhenStatus); 3] = [
    ("Success", WhenStatus::Success),
    ("Failure", WhenStatus::Failure),
    ("All", WhenStatus::All),
];

impl Reader<'_> {
    /// A list of stages, some of them parallel.
    pub(super) fn stages(&mut self, node: &Node, parent: ElementId) -> Vec<ElementId> {
        let mut children = Vec::new();
        for item in self.items(node, "stages") {
            let Some(mut fields) = self.fields(item, "an item of stages") else {
                continue;
            };
            let (stage, parallel) = (fields.take("stage"), fields.take("parallel"));
            match (stage, parallel) {
                (Some(stage), None) => children.extend(self.stage(stage, parent)),
                (None, Some(branches)) => {
                    let id = self.element(Level::Parallel, item.at(), Some(parent));
                    let branches = self.stages(branches, id);
                    let nested = branches
                        .iter()
                        .any(|id| self.elements[*id].level == Level::Parallel);
                    if nested {
                        self.faults.push(
                            item.at(),
                            "parallel stages have no parallel stages in them; list them side by side",
                        );
                    }
                    self.elements[id].body = Body::Parallel(branches);
                    children.push(id);
                }
                _ => self
                    .faults
                    .push(item.at(), "an item of stages is one `stage` or one `parallel`"),
            }
            fields.end(self);
        }
        if children.is_empty() {
            self.faults.push(node.at(), "there is no stage in it");
        }
        children
    }

    fn stage(&mut self, node: &Node, parent: ElementId) -> Option<ElementId> {
        let mut fields = self.fields(node, "the stage")?;
        fields.ignore(&WITHOUT_MEANING);
        let id = self.element(Level::Stage, node.at(), Some(parent));
        self.common(&mut fields, id, "pipelineStatus");
        if let Some(kind) = fields.take("type") {
            self.one_of(kind, "the type of a stage", &TYPES);
        }
        self.elements[id].variables = fields
            .take("variables")
            .map(|node| self.variables(node))
            .unwrap_or_default();
        let instead =
            "the delegates of a stage are chosen by delegateSelectors, and its steps name what they work on";
        for name in ["infrastructure", "platform", "runtime", "service", "environment"] {
            fields.refuse(name, instead, self);
        }
        let spec = fields.need("spec", self);
        fields.end(self);
        let mut spec = self.fields(spec?, "the spec of the stage")?;
        for name in [
            "infrastructure",
            "platform",
            "runtime",
            "service",
            "environment",
            "serviceConfig",
        ] {
            spec.refuse(name, instead, self);
        }
        spec.refuse("cloneCodebase", "write a step of type GIT_CLONE", self);
        if let Some(node) = spec.take("delegateSelectors") {
            self.elements[id].selectors = self.selectors(node);
        }
        let execution = spec.need("execution", self);
        spec.end(self);
        let mut execution = self.fields(execution?, "the execution of the stage")?;
        let steps = execution.need("steps", self);
        let rollback = execution.take("rollbackSteps");
        execution.end(self);
        let children = steps.map(|steps| self.steps(steps, id, 0)).unwrap_or_default();
        self.elements[id].body = Body::Serial(children);
        if let Some(node) = rollback.filter(|node| !self.items(node, "rollbackSteps").is_empty()) {
            let rollback = self.element(Level::Rollback, node.at(), Some(id));
            let steps = self.steps(node, rollback, 0);
            self.elements[rollback].body = Body::Serial(steps);
            self.elements[id].rollback = Some(rollback);
        }
        Some(id)
    }

    /// What stages, groups and steps may say alike.
    pub(super) fn common(&mut self, fields: &mut Fields<'_>, id: ElementId, status: &'static str) {
        let (identifier, name) = self.named(fields);
        self.elements[id].identifier = identifier;
        self.elements[id].name = name;
        if let Some(node) = fields.take("timeout") {
            self.elements[id].timeout_ms = self.duration(node);
        }
        if let Some(node) = fields.take("delegateSelectors") {
            self.elements[id].selectors = self.selectors(node);
        }
        if let Some(node) = fields.take("failureStrategies") {
            self.elements[id].failure = self.failure_strategies(node);
        }
        if let Some(node) = fields.take("strategy") {
            self.elements[id].strategy = self.strategy(node);
        }
        if let Some(mut when) = fields.take("when").and_then(|node| self.fields(node, "`when`")) {
            if let Some(node) = when.take(status)
                && let Some(asked) = self.one_of(node, status, &STATUS)
            {
                self.elements[id].when = asked;
            }
            if let Some(node) = when.take("condition") {
                self.elements[id].condition = self.condition(node);
            }
            when.end(self);
        }
    }
}
