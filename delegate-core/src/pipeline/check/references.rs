//! Whether what an expression refers to is there, and is known by then.

use super::{Check, View, iteration_of};
use crate::pipeline::expression::Segment;
use crate::pipeline::plan::{Body, Element, ElementId, Level, Outputs, Repetition};
use crate::pipeline::read::nearest;
use crate::pipeline::reference::{self, Reference, StageField, StepField};

impl Check<'_> {
    /// The error is a sentence.
    pub(super) fn reference(&self, path: &[Segment<'_>], view: View) -> Result<(), String> {
        let plan = self.plan;
        let own_stage = plan.stage_of(view.element);
        match reference::read(path)? {
            Reference::Pipeline(_) => Ok(()),
            Reference::PipelineVariable(name) => self.variable(0, name, view, "the pipeline"),
            Reference::Stage(None, _) => own_stage
                .map(drop)
                .ok_or_else(|| "`stage` stands for the stage that one is in, and this is in none".to_owned()),
            Reference::Stage(Some(id), StageField::Status) => self.stage(id, view, true).map(drop),
            Reference::Stage(Some(id), _) => self.stage(id, view, false).map(drop),
            Reference::StageVariable(None, name) => {
                let stage =
                    own_stage.ok_or("`stage` stands for the stage that one is in, and this is in none")?;
                self.variable(stage, name, view, "the stage")
            }
            Reference::StageVariable(Some(id), name) => {
                let stage = self.stage(id, view, true)?;
                self.variable(stage, name, view, "that stage")
            }
            Reference::Step { stage, path, what } => {
                let stage = match stage {
                    Some(id) => self.stage(id, view, true)?,
                    None => own_stage.ok_or_else(|| {
                        "`steps` are those of the stage that one is in, and this is in none; write \
                         pipeline.stages.ID.spec.execution.steps.…"
                            .to_owned()
                    })?,
                };
                let step = self.step(stage, &path, view)?;
                Self::field(&plan.elements[step], &what)
            }
            Reference::Own(_) => {
                let level = plan.elements[view.element].level;
                if matches!(level, Level::Step | Level::Group) {
                    Ok(())
                } else {
                    Err("`step` stands for the step that one is in, and this is in none".to_owned())
                }
            }
            Reference::Matrix(axis) => self
                .repeated(view)
                .any(|over| matches!(over, Repetition::Matrix { axes, .. } if axes.contains_key(axis)))
                .then_some(())
                .ok_or_else(|| format!("there is no matrix with an axis `{axis}` around this")),
            Reference::RepeatItem => self
                .repeated(view)
                .any(|over| matches!(over, Repetition::Items(_)))
                .then_some(())
                .ok_or_else(|| "there is no `repeat` with items around this".to_owned()),
            Reference::Iteration | Reference::Iterations => self
                .repeated(view)
                .next()
                .map(drop)
                .ok_or_else(|| "there is no strategy around this".to_owned()),
        }
    }

    /// The strategies around an expression.
    fn repeated(&self, view: View) -> impl Iterator<Item = &Repetition> {
        self.plan
            .ancestors(view.element)
            .skip(usize::from(!view.inside))
            .filter_map(|id| self.plan.elements[id].strategy.as_ref())
            .map(|strategy| &strategy.over)
    }

    fn variable(&self, of: ElementId, name: &str, view: View, what: &str) -> Result<(), String> {
        let variables = &self.plan.elements[of].variables;
        let Some(at) = variables.iter().position(|variable| variable.name == name) else {
            let hint = nearest(name, variables.iter().map(|variable| variable.name.as_str()))
                .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            return Err(format!("{what} has no variable `{name}`{hint}"));
        };
        let known = if of == view.element { view.variables } else { None };
        if known.is_some_and(|known| at >= known) {
            return Err(format!(
                "the variable `{name}` has no value yet; a variable uses those above it"
            ));
        }
        Ok(())
    }

    /// A stage by its identifier, or by that of one of its iterations.
    fn stage(&self, key: &str, view: View, needs_end: bool) -> Result<ElementId, String> {
        let plan = self.plan;
        let stages = || (0..plan.elements.len()).filter(|id| plan.elements[*id].level == Level::Stage);
        let Some(stage) = stages().find(|id| is_called(&plan.elements[*id], key)) else {
            let hint = nearest(key, stages().map(|id| plan.elements[id].identifier.as_str()))
                .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            return Err(format!("there is no stage `{key}`{hint}"));
        };
        let own = plan.stage_of(view.element);
        if own == Some(stage) || !needs_end {
            return Ok(stage);
        }
        let element = &plan.elements[stage];
        if element.strategy.is_some() && element.identifier == key {
            return Err(format!(
                "the stage `{key}` runs several times; write which, `{key}_0`"
            ));
        }
        let before = own.is_some_and(|own| self.before(own, Level::Pipeline).contains(&stage));
        if before {
            Ok(stage)
        } else {
            Err(format!(
                "the stage `{key}` is not over by then; refer to stages that come before"
            ))
        }
    }

    /// A step or group of a stage, by its path.
    fn step(&self, stage: ElementId, path: &[&str], view: View) -> Result<ElementId, String> {
        let plan = self.plan;
        let own = plan.stage_of(view.element) == Some(stage);
        let all = plan.subtree(stage);
        let mut within = all.clone();
        let mut found = stage;
        for key in path {
            let called = within
                .iter()
                .find(|id| **id != found && is_called(&plan.elements[**id], key));
            let Some(step) = called else {
                let names = within.iter().map(|id| plan.elements[*id].identifier.as_str());
                let hint = nearest(key, names.filter(|name| !name.is_empty()))
                    .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                let place = if found == stage { "stage" } else { "group" };
                return Err(format!("there is no step `{key}` in the {place}{hint}"));
            };
            found = *step;
            within = plan.subtree(found);
        }
        let name = path.last().copied().unwrap_or_default();
        if own && !self.before(view.element, Level::Stage).contains(&found) {
            return Err(format!(
                "the step `{name}` is not over by then; refer to steps that come before"
            ));
        }
        let around: Vec<_> = plan.ancestors(view.element).collect();
        let unnamed = plan
            .ancestors(found)
            .take_while(|id| plan.elements[*id].level != Level::Stage)
            .filter(|id| plan.elements[*id].strategy.is_some() && !around.contains(id))
            .find(|id| {
                let identifier = &plan.elements[*id].identifier;
                !path
                    .iter()
                    .any(|key| iteration_of(key).is_some_and(|(base, _)| base == identifier))
            });
        match unnamed.map(|id| &plan.elements[id].identifier) {
            None => Ok(found),
            Some(many) if many == name => Err(format!(
                "the step `{name}` runs several times; write which, `{name}_0`"
            )),
            Some(many) => Err(format!(
                "the step `{name}` is in `{many}`, which runs several times; write which, steps.{many}_0.steps.{name}"
            )),
        }
    }

    /// What is over when an element begins, up to a level: everything in what comes before it, and before what it is in.
    fn before(&self, from: ElementId, up_to: Level) -> Vec<ElementId> {
        let plan = self.plan;
        let mut found = Vec::new();
        let mut inner = from;
        for outer in plan.ancestors(from).skip(1) {
            let element = &plan.elements[outer];
            if plan.elements[inner].level == Level::Rollback {
                for child in plan.children(outer) {
                    found.extend(plan.subtree(*child));
                }
            } else if let Body::Serial(children) = &element.body {
                for child in children.iter().take_while(|child| **child != inner) {
                    found.extend(plan.subtree(*child));
                }
            }
            if element.level == up_to {
                break;
            }
            inner = outer;
        }
        found
    }

    fn field(step: &Element, what: &StepField<'_>) -> Result<(), String> {
        let name = &step.identifier;
        match (what, &step.body) {
            (StepField::Status | StepField::Name | StepField::Identifier, _)
            | (StepField::Output(_), Body::Task(_)) => Ok(()),
            (StepField::Variable(wanted), Body::Task(task)) => match &task.outputs {
                Outputs::Named(named) if !named.contains_key(*wanted) => {
                    let hint = nearest(wanted, named.keys().map(String::as_str))
                        .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                    Err(format!(
                        "the step `{name}` declares no output variable `{wanted}`{hint}"
                    ))
                }
                Outputs::Named(_) | Outputs::Any => Ok(()),
            },
            (StepField::Variable(_) | StepField::Output(_), _) => {
                Err(format!("`{name}` is no task, and has no output"))
            }
        }
    }
}

/// Whether an element, or an iteration of it, is called so.
fn is_called(element: &Element, key: &str) -> bool {
    !element.identifier.is_empty()
        && matches!(element.level, Level::Stage | Level::Group | Level::Step)
        && (element.identifier == key
            || (element.strategy.is_some()
                && iteration_of(key).is_some_and(|(base, _)| base == element.identifier)))
}
