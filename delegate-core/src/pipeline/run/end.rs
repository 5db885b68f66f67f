//! What ends, and what an end leads to.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::begin::after;
use super::state::{Doing, Fault, NodeId, Outcome, Status};
use super::{Command, Decision, MAX_KEPT_BYTES, MAX_KEPT_NESTING, Millis, Run, TaskRef};
use crate::pipeline::plan::{Action, Body, Errors, Level, Outputs};

impl Run {
    /// Ends a node. What it is part of is looked at again.
    pub(super) fn end(&mut self, now: Millis, id: NodeId, outcome: Outcome, message: Option<String>) {
        let node = &mut self.state.nodes[id];
        if node.outcome().is_some() {
            return;
        }
        node.status = Status::Ended(outcome);
        node.ended_at = Some(now);
        node.deadline = None;
        node.message = message;
        let parent = node.parent;
        self.changed(id);
        if outcome.is_failure()
            && let Some(scope) = self.scope_of(id)
        {
            self.state.nodes[scope].failed = true;
            self.changed(scope);
        }
        match parent {
            Some(parent) => self.todo.push_back(parent),
            None => self.effects.commands.push(Command::Finished(outcome)),
        }
    }

    /// Goes on with what is in a node, and ends it when all of that is over.
    pub(super) fn advance(&mut self, now: Millis, id: NodeId) {
        if self.state.nodes[id].status != Status::Running(Doing::Children) {
            return;
        }
        let at_once = if self.is_fan(id) {
            let wanted = self
                .element(id)
                .strategy
                .as_ref()
                .and_then(|strategy| strategy.max_concurrency);
            wanted.map_or(usize::MAX, |wanted| wanted as usize)
        } else {
            match self.element(id).body {
                Body::Parallel(_) => usize::MAX,
                _ => 1,
            }
        };
        // Beginning one may end it, and so make room for the next.
        let children = self.state.nodes[id].children.clone();
        let running = |run: &Self| {
            let is_running = |child: &&NodeId| matches!(run.state.nodes[**child].status, Status::Running(_));
            children.iter().filter(is_running).count()
        };
        let mut under_way = running(self);
        for child in &children {
            if under_way >= at_once {
                break;
            }
            if self.state.nodes[*child].status == Status::Pending {
                self.begin(now, *child);
                under_way += usize::from(matches!(self.state.nodes[*child].status, Status::Running(_)));
            }
        }
        let open = children
            .iter()
            .any(|child| self.state.nodes[*child].outcome().is_none());
        // What began may also have ended the run, or the stage.
        if open || self.state.nodes[id].outcome().is_some() {
            return;
        }
        if self.begin_rollback(id) {
            self.todo.push_back(id);
            return;
        }
        let failed = children.iter().any(|child| {
            self.state.nodes[*child]
                .outcome()
                .is_some_and(Outcome::is_failure)
        });
        let outcome = self.stopped(id).unwrap_or(if failed {
            Outcome::Failed
        } else {
            Outcome::Succeeded
        });
        let message = self.state.nodes[id].message.clone();
        self.end(now, id, outcome, message);
    }

    /// Adds the rollback of a stage whose steps are over, when it is to be rolled back and was not.
    fn begin_rollback(&mut self, id: NodeId) -> bool {
        let node = &self.state.nodes[id];
        let Some(rollback) = self.element(id).rollback.filter(|_| node.rolling_back) else {
            return false;
        };
        let began = node
            .children
            .iter()
            .any(|child| self.state.nodes[*child].element == rollback);
        let ended_from_outside = node.parent.is_some_and(|parent| self.stopped(parent).is_some());
        if began || ended_from_outside || self.is_fan(id) {
            return false;
        }
        self.new_node(rollback, Some(id), None);
        true
    }

    /// As what a node ends because something around it was told to end. A stage's own end does not reach its rollback.
    pub(super) fn stopped(&self, id: NodeId) -> Option<Outcome> {
        let mut from_rollback = false;
        for outer in self.ancestors(id) {
            if let Some(stop) = self.state.nodes[outer].stop.filter(|_| !from_rollback) {
                return Some(stop);
            }
            from_rollback = self.element(outer).level == Level::Rollback;
        }
        None
    }

    /// Whether nothing new is to begin around a node.
    fn is_closing(&self, id: NodeId) -> bool {
        let mut from_rollback = false;
        self.ancestors(id).any(|outer| {
            let node = &self.state.nodes[outer];
            let closing = (node.stop.is_some() || node.rolling_back) && !from_rollback;
            from_rollback = self.element(outer).level == Level::Rollback;
            closing
        })
    }

    /// A step failed: what follows is as its strategies say.
    pub(super) fn failed(&mut self, now: Millis, id: NodeId, fault: Fault) {
        self.state.nodes[id].message = Some(fault.message.clone());
        self.changed(id);
        if self.is_closing(id) {
            self.end(now, id, fault.outcome, Some(fault.message));
            return;
        }
        let action = self.action(id, fault.errors);
        self.follow(now, id, &action, fault);
    }

    /// What the nearest strategy for such a failure says: of the step, its groups, its stage.
    fn action(&self, id: NodeId, errors: Errors) -> Action {
        for outer in self.ancestors(id) {
            let strategies = &self.element(outer).failure;
            let exact = strategies
                .iter()
                .find(|strategy| strategy.errors.contains(&errors));
            let any = strategies
                .iter()
                .find(|strategy| strategy.errors.contains(&Errors::All));
            if let Some(strategy) = exact.or(any) {
                return strategy.action.clone();
            }
        }
        let stage = self.stage_of(id);
        if stage.is_some_and(|stage| self.element(stage).rollback.is_some()) {
            Action::StageRollback
        } else {
            Action::MarkAsFailure
        }
    }

    /// The stage that a node is in, or is.
    pub(super) fn stage_of(&self, id: NodeId) -> Option<NodeId> {
        self.ancestors(id)
            .find(|outer| !self.is_fan(*outer) && self.element(*outer).level == Level::Stage)
    }

    fn follow(&mut self, now: Millis, id: NodeId, action: &Action, fault: Fault) {
        match action {
            Action::MarkAsFailure => self.decide(now, id, Decision::MarkAsFailure, fault),
            Action::Ignore => self.decide(now, id, Decision::Ignore, fault),
            Action::MarkAsSuccess => self.decide(now, id, Decision::MarkAsSuccess, fault),
            Action::Abort => self.decide(now, id, Decision::Abort, fault),
            Action::StageRollback => self.decide(now, id, Decision::StageRollback, fault),
            Action::Retry {
                times,
                intervals_ms,
                then,
            } => {
                let node = &mut self.state.nodes[id];
                if node.retries >= *times {
                    self.follow(now, id, then, fault);
                    return;
                }
                let at = (node.retries as usize).min(intervals_ms.len().saturating_sub(1));
                let wait = intervals_ms.get(at).copied().unwrap_or(0);
                node.retries += 1;
                node.deadline = Some(after(now, wait));
                node.status = Status::Running(Doing::Retrying { fault });
            }
            Action::ManualIntervention { timeout_ms, .. } => {
                let message = fault.message.clone();
                let node = &mut self.state.nodes[id];
                node.deadline = Some(after(now, *timeout_ms));
                node.status = Status::Running(Doing::Intervention { fault });
                self.effects.commands.push(Command::Ask(super::Question {
                    node: id,
                    message,
                    approvers: None,
                }));
            }
        }
    }

    /// What follows a failure, decided by a strategy or by somebody.
    pub(super) fn decide(&mut self, now: Millis, id: NodeId, decision: Decision, fault: Fault) {
        if decision == Decision::Retry {
            self.state.nodes[id].deadline = Some(now);
            self.state.nodes[id].status = Status::Running(Doing::Retrying { fault });
            self.changed(id);
            return;
        }
        let message = Some(fault.message);
        match decision {
            Decision::Retry => {}
            Decision::MarkAsFailure => self.end(now, id, fault.outcome, message),
            Decision::Ignore => self.end(now, id, Outcome::IgnoreFailed, message),
            Decision::MarkAsSuccess => self.end(now, id, Outcome::Succeeded, message),
            Decision::Abort => {
                self.end(now, id, fault.outcome, message);
                self.stop(now, 0, Outcome::Aborted, "Aborted because a step failed.");
            }
            Decision::StageRollback => {
                let in_rollback = self
                    .ancestors(id)
                    .any(|outer| self.element(outer).level == Level::Rollback);
                self.end(now, id, fault.outcome, message);
                if let Some(stage) = self.stage_of(id).filter(|_| !in_rollback) {
                    self.roll_back(now, stage);
                }
            }
        }
    }

    /// Ends a node and everything in it: tasks are told to, and awaited; the rest at once.
    pub(super) fn stop(&mut self, now: Millis, id: NodeId, outcome: Outcome, why: &str) {
        if self.state.nodes[id].outcome().is_some() || self.state.nodes[id].stop == Some(Outcome::Aborted) {
            return;
        }
        self.state.nodes[id].stop = Some(outcome);
        self.state.nodes[id].message = Some(why.to_owned());
        self.state.nodes[id].deadline = None;
        self.changed(id);
        for inner in self.subtree(id) {
            self.close(now, inner, Some(outcome), why);
        }
        self.todo.push_back(id);
    }

    /// No further step of a stage begins; tasks that run go on to their ends, and then the rollback follows.
    fn roll_back(&mut self, now: Millis, stage: NodeId) {
        let node = &mut self.state.nodes[stage];
        if node.rolling_back || node.outcome().is_some() {
            return;
        }
        node.rolling_back = true;
        // The bound was one of the steps; each rollback step has its own.
        node.deadline = None;
        self.changed(stage);
        for inner in self.subtree(stage) {
            self.close(now, inner, None, "The stage is rolled back.");
        }
        self.todo.push_back(stage);
    }

    /// Everything in a node, and itself, in the order in which it was made.
    fn subtree(&self, id: NodeId) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            found.push(id);
            open.extend(&self.state.nodes[id].children);
        }
        found.sort_unstable();
        found
    }

    /// Ends one node that has nothing in it. `tasks`: as what tasks are told to end; they go on where nothing is said.
    fn close(&mut self, now: Millis, id: NodeId, tasks: Option<Outcome>, why: &str) {
        let because = Some(why.to_owned());
        let waited = tasks.unwrap_or(Outcome::Aborted);
        match self.state.nodes[id].status.clone() {
            Status::Pending => self.end(now, id, Outcome::Skipped, because),
            Status::Running(Doing::Task { cancelled: None }) => {
                if let Some(outcome) = tasks {
                    self.state.nodes[id].status = Status::Running(Doing::Task {
                        cancelled: Some(outcome),
                    });
                    self.changed(id);
                    self.effects.commands.push(Command::Cancel(TaskRef {
                        node: id,
                        attempt: self.state.nodes[id].attempts,
                    }));
                }
            }
            Status::Running(Doing::Approval { .. }) => {
                self.effects.commands.push(Command::Withdraw(id));
                self.end(now, id, waited, because);
            }
            Status::Running(Doing::Waiting) => self.end(now, id, waited, because),
            Status::Running(Doing::Retrying { fault }) => {
                self.end(now, id, fault.outcome, Some(fault.message));
            }
            Status::Running(Doing::Intervention { fault }) => {
                self.effects.commands.push(Command::Withdraw(id));
                self.end(now, id, fault.outcome, Some(fault.message));
            }
            Status::Running(Doing::Children | Doing::Task { cancelled: Some(_) }) | Status::Ended(_) => {}
        }
    }

    /// Does what time alone asks for.
    pub(super) fn overdue(&mut self, now: Millis, id: NodeId) {
        match self.state.nodes[id].status.clone() {
            Status::Running(Doing::Waiting) => self.end(now, id, Outcome::Succeeded, None),
            Status::Running(Doing::Retrying { .. }) => self.attempt(now, id),
            Status::Running(Doing::Approval { .. }) => {
                self.effects.commands.push(Command::Withdraw(id));
                let fault = Fault {
                    errors: Errors::Timeout,
                    outcome: Outcome::TimedOut,
                    message: "Nobody answered in time.".to_owned(),
                };
                self.failed(now, id, fault);
            }
            Status::Running(Doing::Intervention { fault }) => {
                self.effects.commands.push(Command::Withdraw(id));
                let then = match self.action(id, fault.errors) {
                    Action::ManualIntervention { then, .. } => *then,
                    // It followed on retries.
                    Action::Retry { then, .. } => match *then {
                        Action::ManualIntervention { then, .. } => *then,
                        _ => Action::MarkAsFailure,
                    },
                    _ => Action::MarkAsFailure,
                };
                self.follow(now, id, &then, fault);
            }
            Status::Running(Doing::Children) => self.out_of_time(now, id),
            Status::Pending | Status::Running(Doing::Task { .. }) | Status::Ended(_) => {}
        }
    }

    /// A group, a stage or the whole took too long. Of its strategies those count that concern more than a step.
    fn out_of_time(&mut self, now: Millis, id: NodeId) {
        self.stop(now, id, Outcome::TimedOut, "It took longer than its timeout.");
        match self.action(id, Errors::Timeout) {
            Action::StageRollback => {
                let in_rollback = self
                    .ancestors(id)
                    .any(|outer| self.element(outer).level == Level::Rollback);
                if let Some(stage) = self.stage_of(id).filter(|_| !in_rollback) {
                    self.roll_back(now, stage);
                }
            }
            Action::Abort => self.stop(now, 0, Outcome::Aborted, "Aborted because its time was over."),
            _ => {}
        }
    }

    /// Keeps what a task returned, within bounds.
    pub(super) fn keep(
        &mut self,
        id: NodeId,
        output_vars: BTreeMap<String, String>,
        fields: serde_json::Map<String, Json>,
    ) {
        let named = match &self.element(id).body {
            Body::Task(task) => task.outputs.clone(),
            _ => Outputs::Any,
        };
        let outputs: BTreeMap<String, String> = match named {
            Outputs::Any => output_vars,
            Outputs::Named(named) => named
                .into_iter()
                .filter_map(|(name, of_task)| {
                    // Two names may stand for one variable of the task.
                    Some((name, output_vars.get(&of_task)?.clone()))
                })
                .collect(),
        };
        let mut fits = up_to(MAX_KEPT_BYTES);
        let outputs = outputs
            .into_iter()
            .filter(|(name, value)| fits(name.len() + value.len()))
            .collect();
        let mut fits = up_to(MAX_KEPT_BYTES);
        let fields = fields
            .into_iter()
            .filter(|(_, value)| is_flat(value, MAX_KEPT_NESTING))
            .filter(|(name, value)| fits(name.len() + value.to_string().len()))
            .collect();
        let node = &mut self.state.nodes[id];
        node.outputs = outputs;
        node.fields = fields;
        self.changed(id);
    }
}

/// Whether lists and maps in a value are at most so many within each other.
fn is_flat(value: &Json, depth: usize) -> bool {
    let within = |inner: &Json| depth > 0 && is_flat(inner, depth - 1);
    match value {
        Json::Array(items) => items.iter().all(within),
        Json::Object(fields) => fields.values().all(within),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    }
}

/// Whether one more of so many bytes fits beside those that did.
fn up_to(room: usize) -> impl FnMut(usize) -> bool {
    let mut room = room;
    move |bytes| {
        let fits = bytes <= room;
        room -= if fits { bytes } else { 0 };
        fits
    }
}
