//! What begins: conditions, strategies, variables, and what a node then does.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::state::{Doing, Fault, Iteration, Node, NodeId, Outcome, Status};
use super::{Command, MAX_ITERATIONS, MAX_NODES, Millis, Question, Run, Submission, TaskRef};
use crate::pipeline::expression::{EvaluationError, Template, Text, Value};
use crate::pipeline::inputs;
use crate::pipeline::plan::{Body, Element, ElementId, Errors, Input, Level, Repetition, Source, WhenStatus};
use crate::pipeline::source::Mark;
use crate::protocol::api::DEFAULT_TIMEOUT_MS;

/// What a strategy makes an iteration of: values of the axes of a matrix, and the item of a repetition.
type Made = (IndexMap<String, Value>, Option<Value>);

impl Run {
    pub(super) fn element(&self, id: NodeId) -> &Element {
        &self.plan.elements[self.state.nodes[id].element]
    }

    pub(super) fn changed(&mut self, id: NodeId) {
        self.effects.changed.push(id);
    }

    pub(super) fn new_node(
        &mut self,
        element: ElementId,
        parent: Option<NodeId>,
        iteration: Option<Iteration>,
    ) -> NodeId {
        let id = self.state.nodes.len();
        self.state.nodes.push(Node {
            element,
            parent,
            iteration,
            children: Vec::new(),
            status: Status::Pending,
            started_at: None,
            ended_at: None,
            deadline: None,
            message: None,
            attempts: 0,
            submitted: None,
            retries: 0,
            delegate: None,
            variables: IndexMap::new(),
            outputs: std::collections::BTreeMap::new(),
            fields: serde_json::Map::new(),
            failed: false,
            stop: None,
            rolling_back: false,
        });
        if let Some(parent) = parent {
            self.state.nodes[parent].children.push(id);
        }
        self.changed(id);
        id
    }

    /// Whether the node holds the iterations of a strategy together.
    pub(super) fn is_fan(&self, id: NodeId) -> bool {
        self.state.nodes[id].iteration.is_none() && self.element(id).strategy.is_some()
    }

    /// Begins a pending node, which may be over at once.
    pub(super) fn begin(&mut self, now: Millis, id: NodeId) {
        let plan = std::sync::Arc::clone(&self.plan);
        let element = &plan.elements[self.state.nodes[id].element];
        if self.state.nodes[id].iteration.is_none() && !self.is_wanted(id, element) {
            let so_far = if element.when == WhenStatus::Failure {
                "nothing failed"
            } else {
                "something failed before"
            };
            self.end(now, id, Outcome::Skipped, Some(format!("Not begun: {so_far}.")));
            return;
        }
        let fan = self.is_fan(id);
        if !fan && let Some(condition) = &element.condition {
            match condition.holds(&self.scope(id)) {
                Ok(true) => {}
                Ok(false) => {
                    self.end(
                        now,
                        id,
                        Outcome::Skipped,
                        Some("Not begun: its condition does not hold.".to_owned()),
                    );
                    return;
                }
                Err(error) => {
                    self.cannot_begin(now, id, "its condition", condition.place().at, &error);
                    return;
                }
            }
        }
        self.state.nodes[id].started_at = Some(now);
        self.changed(id);
        if fan {
            self.spread(now, id, element);
            return;
        }
        if !self.set_variables(now, id, element) {
            return;
        }
        match &element.body {
            Body::Serial(children) | Body::Parallel(children) => {
                if !self.has_room(children.len()) {
                    self.too_large(now, id);
                    return;
                }
                self.state.nodes[id].deadline = element.timeout_ms.map(|ms| after(now, ms));
                self.state.nodes[id].status = Status::Running(Doing::Children);
                for child in children {
                    self.new_node(*child, Some(id), None);
                }
                self.todo.push_back(id);
            }
            Body::Task(_) | Body::Approval(_) | Body::Wait(_) => self.attempt(now, id),
        }
    }

    /// Whether a node is to run by how things went so far.
    fn is_wanted(&self, id: NodeId, element: &Element) -> bool {
        if matches!(element.level, Level::Pipeline | Level::Parallel | Level::Rollback) {
            return true;
        }
        let failed = self
            .scope_of(id)
            .is_some_and(|scope| self.state.nodes[scope].failed);
        match element.when {
            WhenStatus::Success => !failed,
            WhenStatus::Failure => failed,
            WhenStatus::All => true,
        }
    }

    /// What a failure of the node is a failure of: the stage or rollback around a step, the pipeline around a stage.
    pub(super) fn scope_of(&self, id: NodeId) -> Option<NodeId> {
        self.ancestors(id).skip(1).find(|outer| {
            !self.is_fan(*outer)
                && matches!(
                    self.element(*outer).level,
                    Level::Pipeline | Level::Stage | Level::Rollback
                )
        })
    }

    /// The node, what it is part of, and so on.
    pub(super) fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(Some(id), |id| self.state.nodes.get(*id)?.parent)
    }

    fn has_room(&self, more: usize) -> bool {
        self.state.nodes.len() + more <= MAX_NODES
    }

    fn too_large(&mut self, now: Millis, id: NodeId) {
        let message =
            format!("The run has more than {MAX_NODES} steps, with all iterations; split the pipeline.");
        self.end(now, id, Outcome::Failed, Some(message));
    }

    /// Something that was to be evaluated has no value.
    fn cannot_begin(&mut self, now: Millis, id: NodeId, what: &str, at: Mark, error: &EvaluationError) {
        let message = format!("Cannot evaluate {what} ({at}): {}.", error.problem);
        let step = matches!(
            self.element(id).body,
            Body::Task(_) | Body::Approval(_) | Body::Wait(_)
        );
        if step && !self.is_fan(id) {
            let fault = Fault {
                errors: Errors::Unknown,
                outcome: Outcome::Failed,
                message,
            };
            self.failed(now, id, fault);
        } else {
            self.end(now, id, Outcome::Failed, Some(message));
        }
    }

    /// Gives variables their values, each of which may use those above it. False when one has none; the node is then over.
    fn set_variables(&mut self, now: Millis, id: NodeId, element: &Element) -> bool {
        for variable in &element.variables {
            let value = match &variable.value {
                Input::Fixed(text) => match text.value(&self.scope(id)) {
                    Ok(value) => inputs::typed(variable, value).map_err(|expected| EvaluationError {
                        at: 0,
                        problem: format!("it {expected}"),
                    }),
                    Err(error) => Err(error),
                },
                Input::Asked { .. } => {
                    let name = match element.level {
                        Level::Stage => format!("{}.{}", element.identifier, variable.name),
                        _ => variable.name.clone(),
                    };
                    Ok(self.state.inputs.get(&name).cloned().unwrap_or(Value::Null))
                }
            };
            match value {
                Ok(value) => {
                    let variables = &mut self.state.nodes[id].variables;
                    variables.insert(variable.name.clone(), value);
                }
                Err(error) => {
                    let what = format!("the variable {}", variable.name);
                    self.cannot_begin(now, id, &what, variable.at, &error);
                    return false;
                }
            }
        }
        true
    }

    /// Makes the iterations of a strategy.
    fn spread(&mut self, now: Millis, id: NodeId, element: &Element) {
        let Some(strategy) = &element.strategy else {
            return;
        };
        let made = self.iterations(id, &strategy.over);
        let iterations = match made {
            Ok(iterations) => iterations,
            Err(problem) => {
                let error = EvaluationError { at: 0, problem };
                self.cannot_begin(now, id, "its strategy", strategy.at, &error);
                return;
            }
        };
        let of = u32::try_from(iterations.len()).unwrap_or(u32::MAX);
        if iterations.is_empty() {
            self.end(
                now,
                id,
                Outcome::Skipped,
                Some("Its strategy makes no iteration.".to_owned()),
            );
            return;
        }
        if !self.has_room(iterations.len()) {
            self.too_large(now, id);
            return;
        }
        self.state.nodes[id].status = Status::Running(Doing::Children);
        for (index, (axes, item)) in (0..).zip(iterations) {
            let iteration = Iteration {
                index,
                of,
                axes,
                item,
            };
            self.new_node(self.state.nodes[id].element, Some(id), Some(iteration));
        }
        self.todo.push_back(id);
    }

    fn iterations(&self, id: NodeId, over: &Repetition) -> Result<Vec<Made>, String> {
        let too_many = || format!("it makes more than {MAX_ITERATIONS} iterations");
        let iterations: Vec<_> = match over {
            Repetition::Times(times) => (0..*times).map(|_| (IndexMap::new(), None)).collect(),
            Repetition::Items(source) => {
                let items = self.values(id, source)?;
                items
                    .into_iter()
                    .map(|item| (IndexMap::new(), Some(item)))
                    .collect()
            }
            Repetition::Matrix { axes, exclude } => {
                let mut combinations: Vec<IndexMap<String, Value>> = vec![IndexMap::new()];
                for (axis, source) in axes {
                    let values = self.values(id, source)?;
                    if combinations.len().saturating_mul(values.len()) > MAX_ITERATIONS as usize {
                        return Err(too_many());
                    }
                    combinations = combinations
                        .iter()
                        .flat_map(|combination| {
                            values.iter().map(|value| {
                                let mut combination = combination.clone();
                                combination.insert(axis.clone(), value.clone());
                                combination
                            })
                        })
                        .collect();
                }
                let mut excluded = Vec::new();
                for combination in exclude {
                    let values = combination.iter().map(|(axis, text)| {
                        let value = text.value(&self.scope(id)).map_err(|error| error.problem)?;
                        Ok((axis, value.to_text()))
                    });
                    excluded.push(values.collect::<Result<Vec<_>, String>>()?);
                }
                combinations.retain(|combination| {
                    !excluded.iter().any(|excluded| {
                        excluded.iter().all(|(axis, text)| {
                            combination
                                .get(*axis)
                                .is_some_and(|value| value.to_text() == *text)
                        })
                    })
                });
                combinations.into_iter().map(|axes| (axes, None)).collect()
            }
        };
        if iterations.len() > MAX_ITERATIONS as usize {
            return Err(too_many());
        }
        Ok(iterations)
    }

    fn values(&self, id: NodeId, source: &Source) -> Result<Vec<Value>, String> {
        match source {
            Source::Listed(items) => items
                .iter()
                .map(|item| match item {
                    // Its own value rather than JSON's, which knows no secrets.
                    Template::Text(text) => text.value(&self.scope(id)).map_err(|error| error.problem),
                    item => item
                        .data(&self.scope(id))
                        .map(|json| Value::from_json(&json))
                        .map_err(|(_, error)| error.problem),
                })
                .collect(),
            Source::Computed(text) => match text.value(&self.scope(id)).map_err(|error| error.problem)? {
                Value::List(items) => Ok(items),
                other => Err(format!(
                    "its values are a list, not {}; a text is split by .split(\",\")",
                    other.what()
                )),
            },
        }
    }

    /// Does what a step does, once more.
    pub(super) fn attempt(&mut self, now: Millis, id: NodeId) {
        let plan = std::sync::Arc::clone(&self.plan);
        let element = &plan.elements[self.state.nodes[id].element];
        let started = &mut self.state.nodes[id];
        started.started_at.get_or_insert(now);
        started.attempts += 1;
        started.deadline = None;
        started.delegate = None;
        self.changed(id);
        match &element.body {
            Body::Task(task) => match self.submission(id) {
                Ok(submission) => {
                    self.state.nodes[id].submitted = Some(submission.task.attempt);
                    self.state.nodes[id].status = Status::Running(Doing::Task { cancelled: None });
                    self.effects.commands.push(Command::Submit(submission));
                }
                Err((at, error)) => {
                    self.cannot_begin(now, id, &format!("the data of {}", task.kind), at, &error);
                }
            },
            Body::Approval(approval) => match self.approval(id) {
                Ok(question) => {
                    self.state.nodes[id].status = Status::Running(Doing::Approval { by: Vec::new() });
                    self.state.nodes[id].deadline = element.timeout_ms.map(|ms| after(now, ms));
                    self.effects.commands.push(Command::Ask(question));
                }
                Err(error) => self.cannot_begin(now, id, "its message", approval.message.at(), &error),
            },
            Body::Wait(ms) => {
                self.state.nodes[id].status = Status::Running(Doing::Waiting);
                self.state.nodes[id].deadline = Some(after(now, *ms));
            }
            Body::Serial(_) | Body::Parallel(_) => {}
        }
    }

    /// The task of a step, as it is now.
    pub(super) fn submission(&self, id: NodeId) -> Result<Submission, (Mark, EvaluationError)> {
        let element = self.element(id);
        let scope = self.scope(id);
        let (kind, data) = match &element.body {
            Body::Task(task) => (task.kind.clone(), task.data.data(&scope)?),
            _ => (String::new(), Json::Null),
        };
        let chosen = self
            .ancestors(id)
            .find_map(|outer| self.element(outer).selectors.as_ref());
        let selectors = chosen
            .into_iter()
            .flatten()
            .map(|text: &Text| text.plain(&scope).map_err(|error| (text.at(), error)));
        Ok(Submission {
            task: TaskRef {
                node: id,
                attempt: self.state.nodes[id].attempts,
            },
            kind,
            data,
            selectors: selectors.collect::<Result<_, _>>()?,
            timeout_ms: element.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS),
        })
    }

    /// What people are asked at an approval.
    pub(super) fn approval(&self, id: NodeId) -> Result<Question, EvaluationError> {
        let (message, approvers) = match &self.element(id).body {
            Body::Approval(approval) => (approval.message.plain(&self.scope(id))?, approval.approvers),
            _ => (String::new(), 1),
        };
        Ok(Question {
            node: id,
            message,
            approvers: Some(approvers),
        })
    }

    /// How many must say yes.
    pub(super) fn approvers(&self, id: NodeId) -> usize {
        match self
            .state
            .nodes
            .get(id)
            .map(|node| &self.plan.elements[node.element].body)
        {
            Some(Body::Approval(approval)) => approval.approvers as usize,
            _ => 1,
        }
    }
}

/// A time so many milliseconds later.
pub(super) fn after(now: Millis, ms: u64) -> Millis {
    now.saturating_add(Millis::try_from(ms).unwrap_or(Millis::MAX))
}
