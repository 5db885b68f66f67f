//! Whether there are such task kinds, and whether they take the data.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Check;
use crate::pipeline::expression::{Scope, Segment, Template, Value};
use crate::pipeline::plan::{Body, ElementId};
use crate::pipeline::read::kind_meant;
use crate::task::{NoProvider, Registry, Secrets, TaskError};

/// Types of steps that are no task kinds.
const OWN_TYPES: [&str; 5] = ["ShellScript", "Run", "Http", "HarnessApproval", "Wait"];

/// What is wrong with data whatever its values are: it is told of data with open expressions, too.
const WHATEVER_THE_VALUES: [&str; 2] = ["unknown field", "missing field"];

/// Evaluates nothing: an open expression stands for itself, as a text.
struct Nothing;

impl Scope for Nothing {
    fn look_up(&self, _: &[Segment<'_>]) -> Result<Value, String> {
        Ok(Value::Text(String::new()))
    }
}

impl Check<'_> {
    pub(super) fn task(&mut self, id: ElementId, kinds: &Registry, of_delegates: &BTreeSet<String>) {
        let Body::Task(task) = &self.plan.elements[id].body else {
            return;
        };
        let Some(kind) = kinds.get(&task.kind).filter(|kind| kind.offered()) else {
            if of_delegates.contains(&task.kind) {
                return;
            }
            let elsewhere = of_delegates.iter().map(String::as_str);
            let known = kinds.offered().map(|(name, _)| name).chain(elsewhere);
            let known: Vec<&str> = known.chain(OWN_TYPES).collect();
            let hint = kind_meant(&task.kind, &known).map_or_else(
                || format!("there are {}", known.join(", ")),
                |meant| format!("did you mean {meant}?"),
            );
            let problem = format!("there is no step type `{}`; {hint}", task.kind);
            self.faults.push(self.plan.elements[id].at, problem);
            return;
        };
        let open = task.data.is_open();
        let data = if open {
            written(&task.data)
        } else {
            match task.data.data(&Nothing) {
                Ok(data) => data,
                Err((at, error)) => return self.faults.push(at, error.problem),
            }
        };
        let secrets = Secrets::new(Arc::new(NoProvider), Vec::new());
        let Err(error) = kind.validate(&data, &secrets) else {
            return;
        };
        let TaskError::Data { path, problem } = error else {
            return self.faults.push(task.at, error.to_string());
        };
        let part = task.data.nearest(&path);
        let certain = WHATEVER_THE_VALUES.iter().any(|known| problem.starts_with(known));
        // What a secret or an expression stands for may be right.
        let unknown = matches!(part, Template::Text(text) | Template::Words(text) if text.expressions().next().is_some());
        if certain || !(open || unknown) {
            let at = match part {
                Template::Text(text) | Template::Words(text) => text.at(),
                _ => task.at,
            };
            self.faults
                .push(at, format!("data of {}: `{path}`: {problem}", task.kind));
        }
    }
}

/// The data as it is written, expressions and all.
fn written(data: &Template) -> serde_json::Value {
    match data {
        Template::Plain(value) => value.clone(),
        Template::Text(text) | Template::Words(text) => text.source().into(),
        Template::List(items) => items.iter().map(written).collect(),
        Template::Map(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), written(value)))
            .collect(),
    }
}
