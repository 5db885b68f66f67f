//! What can be known of a plan before it runs: names, what expressions refer to, and the data of tasks.
//!
//! A pipeline that passes can still fail on what only a run knows: values, machines, people. One that would certainly
//! fail does not begin.

mod references;
mod tasks;

use std::collections::{BTreeSet, HashMap};

use super::expression::{Condition, Expr, Kind, Template, Text, function_names, path, secret};
use super::plan::{Body, ElementId, Input, Level, Plan, Repetition, Source};
use super::read::nearest;
use super::source::{Faults, Mark, Place};
use crate::task::Registry;

/// Checks a plan. Of kinds `of_delegates`, only the name is known.
pub(super) fn plan(
    plan: &Plan,
    file: &str,
    kinds: &Registry,
    of_delegates: &BTreeSet<String>,
) -> Result<(), Faults> {
    let mut check = Check {
        plan,
        file,
        faults: Faults::default(),
    };
    check.identifiers();
    for id in 0..plan.elements.len() {
        check.element(id);
        check.task(id, kinds, of_delegates);
    }
    check.faults.none()
}

struct Check<'p> {
    plan: &'p Plan,
    file: &'p str,
    faults: Faults,
}

/// From where an expression looks.
#[derive(Clone, Copy)]
struct View {
    element: ElementId,
    /// Whether the element's own strategy has begun, so that there is an iteration to speak of.
    inside: bool,
    /// So many of the element's own variables have a value already; all, when nothing is said.
    variables: Option<usize>,
}

impl Check<'_> {
    /// Stages, and the steps and groups of a stage, are told apart by their identifiers; also when a strategy makes several
    /// of one.
    fn identifiers(&mut self) {
        let mut taken: HashMap<(Option<ElementId>, &str), Mark> = HashMap::new();
        let plan = self.plan;
        let scope = |id: ElementId| match plan.elements[id].level {
            Level::Stage => None,
            _ => plan.stage_of(id),
        };
        for (id, element) in plan.elements.iter().enumerate() {
            if !matches!(element.level, Level::Stage | Level::Group | Level::Step) {
                continue;
            }
            let key = (scope(id), element.identifier.as_str());
            if let Some(first) = taken.insert(key, element.at) {
                self.faults.push(
                    element.at,
                    format!(
                        "the identifier `{}` is taken by line {}; identifiers are unique {}",
                        element.identifier,
                        first.line,
                        if element.level == Level::Stage {
                            "among stages"
                        } else {
                            "in a stage"
                        }
                    ),
                );
            }
        }
        for (id, element) in plan.elements.iter().enumerate() {
            if element.strategy.is_none() {
                continue;
            }
            let clash = taken.keys().find(|(of, name)| {
                *of == scope(id) && iteration_of(name).is_some_and(|(base, _)| base == element.identifier)
            });
            if let Some((_, name)) = clash {
                self.faults.push(
                    element.at,
                    format!(
                        "`{}` runs several times, and one of them is called `{name}`, which is taken",
                        element.identifier
                    ),
                );
            }
        }
    }

    fn element(&mut self, id: ElementId) {
        let element = &self.plan.elements[id];
        let inside = View {
            element: id,
            inside: true,
            variables: None,
        };
        for (at, variable) in element.variables.iter().enumerate() {
            if let Input::Fixed(text) = &variable.value {
                let view = View {
                    variables: Some(at),
                    ..inside
                };
                self.text(text, view);
            }
        }
        if let Some(condition) = &element.condition {
            self.condition(condition, inside);
        }
        for selector in element.selectors.iter().flatten() {
            self.text(selector, inside);
        }
        if let Some(strategy) = &element.strategy {
            let view = View {
                inside: false,
                ..inside
            };
            match &strategy.over {
                Repetition::Matrix { axes, exclude } => {
                    axes.values().for_each(|source| self.source(source, view));
                    exclude
                        .iter()
                        .flat_map(|combination| combination.values())
                        .for_each(|text| self.text(text, view));
                }
                Repetition::Items(source) => self.source(source, view),
                Repetition::Times(_) => {}
            }
        }
        match &element.body {
            Body::Task(task) => self.template(&task.data, inside),
            Body::Approval(approval) => self.text(&approval.message, inside),
            Body::Serial(_) | Body::Parallel(_) | Body::Wait(_) => {}
        }
    }

    fn source(&mut self, source: &Source, view: View) {
        match source {
            Source::Listed(items) => items.iter().for_each(|item| self.template(item, view)),
            Source::Computed(text) => self.text(text, view),
        }
    }

    fn template(&mut self, template: &Template, view: View) {
        let mut texts = Vec::new();
        template.texts(&mut texts);
        for text in texts {
            self.text(text, view);
        }
    }

    fn text(&mut self, text: &Text, view: View) {
        for expression in text.expressions() {
            self.expression(expression, text.source(), text.place(), view);
        }
    }

    fn condition(&mut self, condition: &Condition, view: View) {
        self.expression(
            condition.expression(),
            condition.source(),
            condition.place(),
            view,
        );
    }

    fn expression(&mut self, expression: &Expr, written: &str, place: Place, view: View) {
        let fault = |check: &mut Self, problem: String| {
            check
                .faults
                .push(place.within(check.file, written, expression.at), problem);
        };
        if let Some(path) = path(expression) {
            if let Err(problem) = self.reference(&path, view) {
                fault(self, problem);
            }
            return;
        }
        if let Some(arguments) = secret(expression) {
            if arguments.len() != 1 {
                fault(self, "secrets.getValue takes one name".to_owned());
            }
            for argument in arguments {
                self.expression(argument, written, place, view);
            }
            return;
        }
        let mut inner = |inner: &Expr| self.expression(inner, written, place, view);
        match &expression.kind {
            Kind::Null | Kind::Truth(_) | Kind::Number(_) | Kind::Text(_) | Kind::Name(_) => {}
            Kind::Member(of, _) | Kind::Not(of) | Kind::Negate(of) => inner(of),
            Kind::Index(left, right) | Kind::Binary(_, left, right) => {
                inner(left);
                inner(right);
            }
            Kind::Choose(condition, then, otherwise) => {
                inner(condition);
                inner(then);
                inner(otherwise);
            }
            Kind::Call(of, function, arguments) => {
                inner(of);
                arguments.iter().for_each(&mut inner);
                if !function_names().any(|known| known == function) {
                    let hint = nearest(function, function_names())
                        .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                    fault(self, format!("there is no function `{function}`{hint}"));
                }
            }
        }
    }
}

/// `build_3` is the third iteration, counted from 0, of `build`.
pub(super) fn iteration_of(name: &str) -> Option<(&str, u32)> {
    let (base, number) = name.rsplit_once('_')?;
    let plain = number == "0" || !number.starts_with('0');
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (plain && digits).then(|| Some((base, number.parse().ok()?)))?
}
