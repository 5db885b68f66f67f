//! What expressions mean in the middle of a run, at one node of it.

use super::Run;
use super::state::{Iteration, NodeId};
use crate::pipeline::expression::{Scope, Segment, Value};
use crate::pipeline::plan::Level;
use crate::pipeline::reference::{self, OwnField, PipelineField, Reference, StageField, StepField};

/// A run, as seen from a node.
pub(super) struct View<'r> {
    run: &'r Run,
    node: NodeId,
}

impl Run {
    pub(super) fn scope(&self, node: NodeId) -> View<'_> {
        View { run: self, node }
    }

    /// What a node is called among others: its identifier, and its number where there are several.
    pub fn key(&self, id: NodeId) -> String {
        let identifier = &self.element(id).identifier;
        match &self.state.nodes[id].iteration {
            Some(iteration) => format!("{identifier}_{}", iteration.index),
            None => identifier.clone(),
        }
    }

    /// The node of a name within another, without looking into iterations: those have names of their own.
    fn within(&self, id: NodeId, key: &str) -> Option<NodeId> {
        let mut open = vec![id];
        while let Some(outer) = open.pop() {
            for child in &self.state.nodes[outer].children {
                if self.key(*child) == key {
                    return Some(*child);
                }
                if self.state.nodes[*child].iteration.is_none() {
                    open.push(*child);
                }
            }
        }
        None
    }
}

impl View<'_> {
    fn stage(&self, id: Option<&str>) -> Result<NodeId, String> {
        let own = self.run.stage_of(self.node);
        let Some(id) = id else {
            return own.ok_or_else(|| "there is no stage around this".to_owned());
        };
        if let Some(own) =
            own.filter(|own| self.run.key(*own) == id || self.run.element(*own).identifier == id)
        {
            return Ok(own);
        }
        let is_called =
            |node: &NodeId| self.run.element(*node).level == Level::Stage && self.run.key(*node) == id;
        (0..self.run.state.nodes.len())
            .find(is_called)
            .ok_or_else(|| format!("the stage `{id}` has not begun"))
    }

    /// The step of a path. Looked for from the inside out, so that an iteration finds its own.
    fn step(&self, stage: NodeId, path: &[&str]) -> Option<NodeId> {
        let (first, rest) = path.split_first()?;
        let own = self.run.stage_of(self.node) == Some(stage);
        let from = if own { self.node } else { stage };
        let found = self
            .run
            .ancestors(from)
            .take_while(|outer| *outer >= stage)
            .find_map(|outer| self.run.within(outer, first))?;
        rest.iter()
            .try_fold(found, |found, key| self.run.within(found, key))
    }

    fn step_field(&self, stage: NodeId, path: &[&str], what: &StepField<'_>) -> Result<Value, String> {
        let name = path.last().copied().unwrap_or_default();
        let found = self.step(stage, path);
        if matches!(what, StepField::Identifier) {
            return Ok(Value::Text(name.to_owned()));
        }
        let Some(id) = found else {
            return match what {
                // In a group that was not begun.
                StepField::Status => Ok(Value::Text("SKIPPED".to_owned())),
                _ => Err(format!("the step `{name}` was not begun")),
            };
        };
        let node = &self.run.state.nodes[id];
        let status = node.status_name();
        match what {
            StepField::Status => Ok(Value::Text(status.to_owned())),
            StepField::Name => Ok(Value::Text(self.run.element(id).name.clone())),
            StepField::Identifier => Ok(Value::Text(name.to_owned())),
            StepField::Variable(variable) => node.outputs.get(*variable).cloned().map(Value::Text).ok_or_else(|| {
                let known: Vec<_> = node.outputs.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                format!("the step `{name}` ({status}) returned no output variable `{variable}`; it returned {known}")
            }),
            StepField::Output(fields) => {
                let mut value = fields.first().and_then(|field| node.fields.get(*field));
                for field in fields.iter().skip(1) {
                    value = value.and_then(|value| value.get(field));
                }
                value
                    .map(Value::from_json)
                    .ok_or_else(|| format!("the result of `{name}` ({status}) has no `{}`", fields.join(".")))
            }
        }
    }

    /// The nearest iteration that has something.
    fn iteration<T>(&self, of: impl Fn(&Iteration) -> Option<T>, what: &str) -> Result<T, String> {
        self.run
            .ancestors(self.node)
            .filter_map(|outer| self.run.state.nodes[outer].iteration.as_ref())
            .find_map(of)
            .ok_or_else(|| format!("there is no {what} around this"))
    }

    fn variable(&self, of: NodeId, name: &str) -> Result<Value, String> {
        self.run.state.nodes[of]
            .variables
            .get(name)
            .cloned()
            .ok_or_else(|| format!("the variable `{name}` has no value"))
    }
}

impl Scope for View<'_> {
    fn look_up(&self, path: &[Segment<'_>]) -> Result<Value, String> {
        let run = self.run;
        let text = |text: &str| Ok(Value::Text(text.to_owned()));
        match reference::read(path)? {
            Reference::Pipeline(PipelineField::Name) => text(&run.element(0).name),
            Reference::Pipeline(PipelineField::Identifier) => text(&run.element(0).identifier),
            Reference::Pipeline(PipelineField::ExecutionId) => text(&run.state.id),
            Reference::Pipeline(PipelineField::StartTs) => Ok(Value::from_json(&run.state.started_at.into())),
            Reference::PipelineVariable(name) => self.variable(0, name),
            Reference::Stage(id, field) => {
                let stage = self.stage(id)?;
                match field {
                    StageField::Name => text(&run.element(stage).name),
                    StageField::Identifier => text(&run.key(stage)),
                    // One that is under way says how it goes so far.
                    StageField::Status if run.state.nodes[stage].failed => text("FAILED"),
                    StageField::Status => text(run.state.nodes[stage].status_name()),
                }
            }
            Reference::StageVariable(id, name) => self.variable(self.stage(id)?, name),
            Reference::Step { stage, path, what } => self.step_field(self.stage(stage)?, &path, &what),
            Reference::Own(OwnField::Name) => text(&run.element(self.node).name),
            Reference::Own(OwnField::Identifier) => text(&run.key(self.node)),
            Reference::Matrix(axis) => {
                self.iteration(|iteration| iteration.axes.get(axis).cloned(), "matrix")
            }
            Reference::Iteration => self.iteration(
                |iteration| Some(Value::Number(iteration.index.into())),
                "strategy",
            ),
            Reference::Iterations => {
                self.iteration(|iteration| Some(Value::Number(iteration.of.into())), "strategy")
            }
            Reference::RepeatItem => self.iteration(|iteration| iteration.item.clone(), "repetition"),
        }
    }
}

impl Run {
    /// The path of a node, by which people find it: `build.tests.unit_0`.
    pub fn path(&self, id: NodeId) -> String {
        let mut names: Vec<String> = self
            .ancestors(id)
            .filter(|outer| {
                matches!(
                    self.element(*outer).level,
                    Level::Stage | Level::Group | Level::Step
                ) && !self.is_fan_around(*outer, id)
            })
            .map(|outer| self.key(outer))
            .collect();
        names.reverse();
        names.join(".")
    }

    /// The stage, group or step of a path.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        (0..self.state.nodes.len()).find(|id| {
            matches!(self.element(*id).level, Level::Stage | Level::Group | Level::Step)
                && self.path(*id) == path
        })
    }

    /// Whether a node only holds the iterations together of which one is on the way to another node.
    fn is_fan_around(&self, id: NodeId, inner: NodeId) -> bool {
        id != inner && self.is_fan(id)
    }
}
