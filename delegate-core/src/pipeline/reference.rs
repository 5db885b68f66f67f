//! What a path in an expression refers to: one table, for the check before a run and for the run.

use super::expression::Segment;

/// Where paths begin, for errors.
const ROOTS: &str =
    "pipeline, stage, execution, steps, step, matrix, strategy, repeat and secrets.getValue(…)";

/// What a path refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference<'e> {
    /// `pipeline.name` and its like.
    Pipeline(PipelineField),
    /// `pipeline.variables.NAME`.
    PipelineVariable(&'e str),
    /// `stage.status`, `pipeline.stages.ID.status`.
    Stage(Option<&'e str>, StageField),
    /// `stage.variables.NAME`, `pipeline.stages.ID.variables.NAME`.
    StageVariable(Option<&'e str>, &'e str),
    /// `steps.ID.…`, also of another stage; the path is that of groups and the step.
    Step {
        stage: Option<&'e str>,
        path: Vec<&'e str>,
        what: StepField<'e>,
    },
    /// `step.name`, `step.identifier`.
    Own(OwnField),
    /// `matrix.AXIS`.
    Matrix(&'e str),
    /// `strategy.iteration`, from 0.
    Iteration,
    /// `strategy.iterations`.
    Iterations,
    /// `repeat.item`.
    RepeatItem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PipelineField {
    Name,
    Identifier,
    ExecutionId,
    StartTs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StageField {
    Name,
    Identifier,
    Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnField {
    Name,
    Identifier,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StepField<'e> {
    /// `output.outputVariables.NAME`.
    Variable(&'e str),
    /// `output.FIELD…`: a field of the result of the step's task.
    Output(Vec<&'e str>),
    Status,
    Name,
    Identifier,
}

/// Reads a path. The error is a sentence.
pub(super) fn read<'e>(path: &[Segment<'e>]) -> Result<Reference<'e>, String> {
    let names: Vec<&'e str> = path.iter().map(|segment| segment.name).collect();
    let whole = || names.join(".");
    let expected = |what: &str| Err(format!("`{}` is not known; write {what}", whole()));
    match names.as_slice() {
        ["pipeline", "name"] => Ok(Reference::Pipeline(PipelineField::Name)),
        ["pipeline", "identifier"] => Ok(Reference::Pipeline(PipelineField::Identifier)),
        ["pipeline", "executionId"] => Ok(Reference::Pipeline(PipelineField::ExecutionId)),
        ["pipeline", "startTs"] => Ok(Reference::Pipeline(PipelineField::StartTs)),
        ["pipeline", "variables", name] => Ok(Reference::PipelineVariable(name)),
        ["pipeline", "stages", id, rest @ ..] if !rest.is_empty() => stage(Some(id), rest, &whole()),
        ["pipeline", ..] => expected(
            "pipeline.variables.NAME, pipeline.stages.ID.…, pipeline.name, pipeline.identifier, pipeline.executionId or \
             pipeline.startTs",
        ),
        ["stage", rest @ ..] if !rest.is_empty() => stage(None, rest, &whole()),
        ["execution", "steps" | "rollbackSteps", rest @ ..] | ["steps", rest @ ..] => {
            step(None, rest, &whole())
        }
        ["step", "name"] => Ok(Reference::Own(OwnField::Name)),
        ["step", "identifier"] => Ok(Reference::Own(OwnField::Identifier)),
        ["step", ..] => expected("step.name or step.identifier"),
        ["matrix", axis] => Ok(Reference::Matrix(axis)),
        ["strategy", "iteration"] => Ok(Reference::Iteration),
        ["strategy", "iterations"] => Ok(Reference::Iterations),
        ["strategy", ..] => expected("strategy.iteration or strategy.iterations"),
        ["repeat", "item"] => Ok(Reference::RepeatItem),
        ["input"] => {
            Err("`<+input>` stands only for the value of a variable; make this a variable".to_owned())
        }
        ["secrets", ..] => expected("secrets.getValue(\"name\")"),
        _ => expected(&format!(
            "a path that begins with {ROOTS}; a text stands in quotes"
        )),
    }
}

fn stage<'e>(id: Option<&'e str>, rest: &[&'e str], whole: &str) -> Result<Reference<'e>, String> {
    match rest {
        ["name"] => Ok(Reference::Stage(id, StageField::Name)),
        ["identifier"] => Ok(Reference::Stage(id, StageField::Identifier)),
        ["status"] => Ok(Reference::Stage(id, StageField::Status)),
        ["variables", name] => Ok(Reference::StageVariable(id, name)),
        ["spec", "execution", "steps" | "rollbackSteps", rest @ ..] => step(id, rest, whole),
        _ => Err(format!(
            "`{whole}` is not known; of a stage there are name, identifier, status, variables.NAME and \
             spec.execution.steps.ID.…"
        )),
    }
}

fn step<'e>(stage: Option<&'e str>, rest: &[&'e str], whole: &str) -> Result<Reference<'e>, String> {
    let mut rest = rest;
    let mut path = Vec::new();
    loop {
        let [id, after @ ..] = rest else {
            return Err(format!(
                "`{whole}` names no step; write steps.ID.output.outputVariables.NAME"
            ));
        };
        path.push(*id);
        match after {
            ["steps", within @ ..] => rest = within,
            after => {
                rest = after;
                break;
            }
        }
    }
    let what = match rest {
        ["output", "outputVariables", name] => StepField::Variable(name),
        ["output", fields @ ..] if !fields.is_empty() && fields[0] != "outputVariables" => {
            StepField::Output(fields.to_vec())
        }
        ["status"] => StepField::Status,
        ["name"] => StepField::Name,
        ["identifier"] => StepField::Identifier,
        _ => {
            return Err(format!(
                "`{whole}` is not known; of a step there are output.outputVariables.NAME, output.FIELD, status, name and \
                 identifier"
            ));
        }
    };
    Ok(Reference::Step { stage, path, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Result<Reference<'_>, String> {
        let segments: Vec<_> = path.split('.').map(|name| Segment { name, at: 0 }).collect();
        read(&segments)
    }

    #[test]
    fn paths_refer_to_what_the_guide_says() {
        assert_eq!(of("pipeline.variables.x"), Ok(Reference::PipelineVariable("x")));
        assert_eq!(
            of("execution.steps.group.steps.a.output.outputVariables.X"),
            Ok(Reference::Step {
                stage: None,
                path: vec!["group", "a"],
                what: StepField::Variable("X")
            })
        );
        assert_eq!(
            of("pipeline.stages.s.spec.execution.steps.a.output.a.b"),
            Ok(Reference::Step {
                stage: Some("s"),
                path: vec!["a"],
                what: StepField::Output(vec!["a", "b"])
            })
        );
        assert_eq!(of("stage.variables.v"), Ok(Reference::StageVariable(None, "v")));
        assert_eq!(of("repeat.item"), Ok(Reference::RepeatItem));
    }

    #[test]
    fn other_paths_are_refused_with_what_there_is() {
        for (path, said) in [
            ("x", "begins with pipeline, stage"),
            ("input", "make this a variable"),
            ("pipeline", "pipeline.variables.NAME"),
            ("pipeline.stages.s", "pipeline.stages.ID.…"),
            ("stage.spec.x", "of a stage there are"),
            ("steps", "names no step"),
            ("steps.a", "of a step there are"),
            ("steps.a.output", "of a step there are"),
            ("steps.a.output.outputVariables", "of a step there are"),
            ("steps.a.steps", "names no step"),
            ("secrets.x", "secrets.getValue(\"name\")"),
            ("strategy.x", "strategy.iteration"),
        ] {
            let told = of(path).unwrap_err();
            assert!(told.contains(said), "{path}: {told}");
        }
    }
}
