//! Failure strategies.

use super::Reader;
use crate::pipeline::plan::{Action, Errors, FailureStrategy};
use crate::pipeline::source::Node;

/// Names of failures.
const ERRORS: [(&str, Errors); 5] = [
    ("AllErrors", Errors::All),
    ("Timeout", Errors::Timeout),
    ("DelegateProvisioning", Errors::DelegateProvisioning),
    ("ApprovalRejection", Errors::ApprovalRejection),
    ("Unknown", Errors::Unknown),
];

/// Retries of one step.
const MAX_RETRIES: u32 = 100;

/// What may stand in an action.
#[derive(Clone, Copy)]
enum Word {
    Simple(Simple),
    Retry,
    ManualIntervention,
}

#[derive(Clone, Copy)]
enum Simple {
    MarkAsFailure,
    Ignore,
    MarkAsSuccess,
    Abort,
    StageRollback,
}

const ACTIONS: [(&str, Word); 7] = [
    ("MarkAsFailure", Word::Simple(Simple::MarkAsFailure)),
    ("Ignore", Word::Simple(Simple::Ignore)),
    ("MarkAsSuccess", Word::Simple(Simple::MarkAsSuccess)),
    ("Abort", Word::Simple(Simple::Abort)),
    ("StageRollback", Word::Simple(Simple::StageRollback)),
    ("ManualIntervention", Word::ManualIntervention),
    ("Retry", Word::Retry),
];

/// Which of them may stand within another one: less with each level, so that it ends.
#[derive(Clone, Copy)]
enum Within {
    Nothing,
    Retry,
    ManualIntervention,
}

impl Reader<'_> {
    pub(super) fn failure_strategies(&mut self, node: &Node) -> Vec<FailureStrategy> {
        let mut strategies: Vec<FailureStrategy> = Vec::new();
        for item in self.items(node, "failureStrategies") {
            let Some(strategy) = self.failure_strategy(item) else {
                continue;
            };
            for error in &strategy.errors {
                if strategies.iter().any(|other| other.errors.contains(error)) {
                    self.faults
                        .push(item.at(), "a second strategy for the same errors; keep one");
                }
            }
            strategies.push(strategy);
        }
        strategies
    }

    fn failure_strategy(&mut self, node: &Node) -> Option<FailureStrategy> {
        let mut outer = self.fields(node, "a failure strategy")?;
        let inner = outer.need("onFailure", self);
        outer.end(self);
        let mut fields = self.fields(inner?, "`onFailure`")?;
        let errors = fields.need("errors", self);
        let action = fields.need("action", self);
        fields.end(self);
        let errors_node = errors?;
        let mut errors = Vec::new();
        for item in self.items(errors_node, "errors") {
            errors.extend(self.one_of(item, "an error", &ERRORS));
        }
        if errors.is_empty() {
            self.faults
                .push(errors_node.at(), "errors names at least one, such as AllErrors");
        }
        let action = self.action(action?, Within::Nothing)?;
        Some(FailureStrategy { errors, action })
    }

    fn action(&mut self, node: &Node, within: Within) -> Option<Action> {
        let mut fields = self.fields(node, "`action`")?;
        let kind = fields.need("type", self);
        let spec = fields.take("spec");
        fields.end(self);
        let allowed = match within {
            Within::Nothing => &ACTIONS[..],
            Within::Retry => &ACTIONS[..6],
            Within::ManualIntervention => &ACTIONS[..5],
        };
        let simple = match self.one_of(kind?, "an action", allowed)? {
            Word::Retry => return self.retry(spec, node),
            Word::ManualIntervention => return self.intervention(spec, node),
            Word::Simple(simple) => simple,
        };
        if let Some(spec) = spec
            && let Some(fields) = self.fields(spec, "the spec of this action")
        {
            fields.end(self);
        }
        Some(match simple {
            Simple::MarkAsFailure => Action::MarkAsFailure,
            Simple::Ignore => Action::Ignore,
            Simple::MarkAsSuccess => Action::MarkAsSuccess,
            Simple::Abort => Action::Abort,
            Simple::StageRollback => Action::StageRollback,
        })
    }

    fn retry(&mut self, spec: Option<&Node>, node: &Node) -> Option<Action> {
        let mut fields = self.action_spec(spec, node)?;
        let times = fields.need("retryCount", self);
        let intervals = fields.take("retryIntervals");
        let then = fields.take("onRetryFailure");
        fields.end(self);
        let times = self.count(times?, "retryCount", 1..=MAX_RETRIES)?;
        let mut intervals_ms = Vec::new();
        if let Some(node) = intervals {
            for item in self.items(node, "retryIntervals") {
                intervals_ms.push(self.duration(item)?);
            }
        }
        let then = match then {
            Some(node) => self.followed_by(node, "`onRetryFailure`", Within::Retry)?,
            None => Action::MarkAsFailure,
        };
        Some(Action::Retry {
            times,
            intervals_ms,
            then: Box::new(then),
        })
    }

    fn intervention(&mut self, spec: Option<&Node>, node: &Node) -> Option<Action> {
        let mut fields = self.action_spec(spec, node)?;
        let timeout = fields.need("timeout", self);
        let then = fields.take("onTimeout");
        fields.end(self);
        let timeout_ms = self.duration(timeout?)?;
        let then = match then {
            Some(node) => self.followed_by(node, "`onTimeout`", Within::ManualIntervention)?,
            None => Action::MarkAsFailure,
        };
        Some(Action::ManualIntervention {
            timeout_ms,
            then: Box::new(then),
        })
    }

    fn action_spec<'n>(&mut self, spec: Option<&'n Node>, node: &Node) -> Option<super::fields::Fields<'n>> {
        if let Some(spec) = spec {
            return self.fields(spec, "the spec of the action");
        }
        self.faults.push(node.at(), "the action needs `spec`");
        None
    }

    fn followed_by(&mut self, node: &Node, what: &'static str, within: Within) -> Option<Action> {
        let mut fields = self.fields(node, what)?;
        let action = fields.need("action", self);
        fields.end(self);
        self.action(action?, within)
    }
}
