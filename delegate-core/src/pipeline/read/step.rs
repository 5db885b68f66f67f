//! Steps and groups of steps.

use indexmap::IndexMap;

use super::{Reader, WITHOUT_MEANING};
use crate::pipeline::MAX_GROUPS;
use crate::pipeline::expression::Template;
use crate::pipeline::plan::{Approval, Body, ElementId, Level, Outputs, Task};
use crate::pipeline::source::{Node, Yaml};
use crate::protocol::api::DEFAULT_TIMEOUT_MS;

/// How long people have for an approval where nothing is said: a day.
const APPROVAL_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;

/// Kinds that return the output variables that their data names.
const SCRIPTS: [&str; 2] = ["SHELL_SCRIPT", "POWERSHELL_SCRIPT"];

/// Approvals that a step may want.
const MAX_APPROVERS: u32 = 100;

impl Reader<'_> {
    /// A list of steps, some of them groups or parallel.
    pub(super) fn steps(&mut self, node: &Node, parent: ElementId, depth: usize) -> Vec<ElementId> {
        let mut children = Vec::new();
        if depth > MAX_GROUPS {
            self.faults.push(
                node.at(),
                format!("more than {MAX_GROUPS} groups within each other"),
            );
            return children;
        }
        for item in self.items(node, "steps") {
            let Some(mut fields) = self.fields(item, "an item of steps") else {
                continue;
            };
            let (step, group, parallel) = (
                fields.take("step"),
                fields.take("stepGroup"),
                fields.take("parallel"),
            );
            match (step, group, parallel) {
                (Some(step), None, None) => children.extend(self.step(step, parent)),
                (None, Some(group), None) => children.extend(self.group(group, parent, depth)),
                (None, None, Some(branches)) => {
                    let id = self.element(Level::Parallel, item.at(), Some(parent));
                    let branches = self.steps(branches, id, depth + 1);
                    self.elements[id].body = Body::Parallel(branches);
                    children.push(id);
                }
                _ => self.faults.push(
                    item.at(),
                    "an item of steps is one `step`, one `stepGroup` or one `parallel`",
                ),
            }
            fields.end(self);
        }
        if children.is_empty() {
            self.faults.push(node.at(), "there is no step in it");
        }
        children
    }

    fn group(&mut self, node: &Node, parent: ElementId, depth: usize) -> Option<ElementId> {
        let mut fields = self.fields(node, "the stepGroup")?;
        fields.ignore(&WITHOUT_MEANING);
        let id = self.element(Level::Group, node.at(), Some(parent));
        self.common(&mut fields, id, "stageStatus");
        fields.refuse("rollbackSteps", "write them in the execution of the stage", self);
        fields.refuse(
            "stepGroupInfra",
            "the steps run on the delegate; choose it by delegateSelectors",
            self,
        );
        let steps = fields.need("steps", self);
        fields.end(self);
        let children = self.steps(steps?, id, depth + 1);
        self.elements[id].body = Body::Serial(children);
        Some(id)
    }

    fn step(&mut self, node: &Node, parent: ElementId) -> Option<ElementId> {
        let mut fields = self.fields(node, "the step")?;
        fields.ignore(&WITHOUT_MEANING);
        let id = self.element(Level::Step, node.at(), Some(parent));
        self.common(&mut fields, id, "stageStatus");
        let kind = fields.need("type", self);
        let spec = fields.take("spec");
        let outputs = fields
            .take("outputVariables")
            .map(|node| self.output_variables(node));
        fields.end(self);
        let kind = kind?;
        let name = self.word(kind, "the type of a step")?;
        let (body, within) = match name {
            "HarnessApproval" => (self.approval(spec, node)?, None),
            "Wait" => (self.wait(spec, node)?, None),
            "ShellScript" => self.shell_script(spec, node)?,
            "Run" => self.run(spec, node)?,
            "Http" => self.http(spec, node)?,
            name => (self.task(name, spec, node), None),
        };
        if outputs.is_some() && matches!(name, "ShellScript" | "Run") {
            self.faults.push(
                node.at(),
                format!("outputVariables of a {name} stand in its spec; write them there"),
            );
        }
        if let Some(within) = within {
            if self.elements[id].selectors.is_some() {
                self.faults.push(
                    node.at(),
                    "delegateSelectors is there twice, in the step and in its spec; keep one",
                );
            }
            self.elements[id].selectors = Some(within);
        }
        self.body(id, body, outputs, node);
        Some(id)
    }

    fn body(&mut self, id: ElementId, body: Body, outputs: Option<IndexMap<String, String>>, node: &Node) {
        let element = &mut self.elements[id];
        let mut body = body;
        match (&mut body, outputs) {
            (Body::Task(task), Some(named)) => task.outputs = Outputs::Named(named),
            (_, Some(_)) => self
                .faults
                .push(node.at(), "a step of this type has no output variables"),
            (_, None) => {}
        }
        let default = match &body {
            Body::Task(_) => Some(DEFAULT_TIMEOUT_MS),
            Body::Approval(_) => Some(APPROVAL_TIMEOUT_MS),
            Body::Wait(_) | Body::Serial(_) | Body::Parallel(_) => None,
        };
        element.timeout_ms = element.timeout_ms.or(default);
        element.body = body;
    }

    /// A step whose type is a task kind: its spec is the data.
    fn task(&mut self, kind: &str, spec: Option<&Node>, node: &Node) -> Body {
        let data = match spec {
            None => Template::empty(),
            Some(spec) if matches!(spec.value, Yaml::Map(_)) => self.template(spec),
            Some(spec) => {
                self.faults.push(
                    spec.at(),
                    format!("the spec of a step is a map, not {}", spec.what()),
                );
                Template::empty()
            }
        };
        let outputs = if SCRIPTS.contains(&kind) {
            script_outputs(&data)
        } else {
            Outputs::Any
        };
        Body::Task(Task {
            kind: kind.to_owned(),
            data,
            at: spec.map_or(node.at(), Node::at),
            outputs,
        })
    }

    fn approval(&mut self, spec: Option<&Node>, node: &Node) -> Option<Body> {
        let mut spec = self.spec(spec, node)?;
        spec.ignore(&["includePipelineExecutionHistory"]);
        let message = spec.need("approvalMessage", self);
        let mut approvers = 1;
        if let Some(mut fields) = spec
            .take("approvers")
            .and_then(|node| self.fields(node, "`approvers`"))
        {
            if let Some(node) = fields.take("minimumCount") {
                approvers = self.count(node, "minimumCount", 1..=MAX_APPROVERS)?;
            }
            fields.refuse(
                "userGroups",
                "whoever has an API key of the manager may approve",
                self,
            );
            fields.refuse(
                "disallowPipelineExecutor",
                "whoever has an API key of the manager may approve",
                self,
            );
            fields.end(self);
        }
        spec.end(self);
        let message = self.text(message?)?;
        Some(Body::Approval(Approval { message, approvers }))
    }

    fn wait(&mut self, spec: Option<&Node>, node: &Node) -> Option<Body> {
        let mut spec = self.spec(spec, node)?;
        let duration = spec.need("duration", self);
        spec.end(self);
        self.duration(duration?).map(Body::Wait)
    }

    /// Output variables: names, or what the task calls them by names.
    pub(super) fn output_variables(&mut self, node: &Node) -> IndexMap<String, String> {
        let mut named = IndexMap::new();
        for item in self.items(node, "outputVariables") {
            let (name, value) = if matches!(item.value, Yaml::Scalar { .. }) {
                let Some(name) = self.word(item, "the name of an output variable") else {
                    continue;
                };
                (name, name)
            } else {
                let Some(mut fields) = self.fields(item, "an output variable") else {
                    continue;
                };
                if let Some(kind) = fields.take("type") {
                    self.one_of(kind, "the type of an output variable", &[("String", ())]);
                }
                let name = fields
                    .need("name", self)
                    .and_then(|node| self.word(node, "a name"));
                let value = fields.take("value").and_then(|node| self.word(node, "a value"));
                fields.end(self);
                let Some(name) = name else {
                    continue;
                };
                (name, value.unwrap_or(name))
            };
            if name.is_empty() || value.is_empty() {
                self.faults.push(item.at(), "an output variable has a name");
            } else if named.insert(name.to_owned(), value.to_owned()).is_some() {
                self.faults.push(
                    item.at(),
                    format!("the output variable `{name}` is there a second time"),
                );
            }
        }
        named
    }
}

/// What a script returns is what its data names.
fn script_outputs(data: &Template) -> Outputs {
    let Template::Map(fields) = data else {
        return Outputs::Any;
    };
    match fields.get("output_vars") {
        None => Outputs::Named(IndexMap::new()),
        Some(Template::List(items)) => {
            let names = items.iter().map(|item| match item {
                Template::Text(text) if !text.is_open() => {
                    Some((text.source().to_owned(), text.source().to_owned()))
                }
                _ => None,
            });
            names.collect::<Option<_>>().map_or(Outputs::Any, Outputs::Named)
        }
        Some(_) => Outputs::Any,
    }
}
