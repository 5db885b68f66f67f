//! Steps that have an equal among the task kinds: Harness's `ShellScript`, `Run` and `Http`.

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::fields::Fields;
use super::{Reader, fields::nearest};
use crate::pipeline::expression::{Template, Text};
use crate::pipeline::plan::{Body, Outputs, Task};
use crate::pipeline::source::{Mark, Node};

/// A step's body, and the selectors that its spec names.
type Mapped = (Body, Option<Vec<Text>>);

/// What runs a script: the task kind, and the field of its data that chooses the program.
#[derive(Clone, Copy)]
struct Interpreter {
    kind: &'static str,
    chosen_by: Option<(&'static str, &'static str)>,
}

/// What runs a script where nothing is said: the delegate's shell.
const DEFAULT: Interpreter = Interpreter {
    kind: "SHELL_SCRIPT",
    chosen_by: None,
};

const fn chosen(field: &'static str, program: &'static str) -> Interpreter {
    Interpreter {
        kind: "SHELL_SCRIPT",
        chosen_by: Some((field, program)),
    }
}

const fn powershell(edition: &'static str) -> Interpreter {
    Interpreter {
        kind: "POWERSHELL_SCRIPT",
        chosen_by: Some(("edition", edition)),
    }
}

/// Shells of `ShellScript`.
const SCRIPT_SHELLS: [(&str, Interpreter); 3] = [
    ("Bash", chosen("shell", "bash")),
    ("Sh", chosen("shell", "sh")),
    ("PowerShell", powershell("core")),
];

/// Shells of `Run`.
const RUN_SHELLS: [(&str, Interpreter); 5] = [
    ("Bash", chosen("shell", "bash")),
    ("Sh", chosen("shell", "sh")),
    ("Pwsh", powershell("core")),
    ("Powershell", powershell("windows")),
    ("Python", chosen("interpreter", "python3")),
];

/// Methods of `Http`.
const METHODS: [(&str, &str); 7] = [
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("OPTIONS", "OPTIONS"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
];

impl Reader<'_> {
    pub(super) fn spec<'n>(&mut self, spec: Option<&'n Node>, node: &Node) -> Option<Fields<'n>> {
        if let Some(spec) = spec {
            return self.fields(spec, "the spec of the step");
        }
        self.faults.push(node.at(), "the step needs `spec`");
        None
    }

    pub(super) fn shell_script(&mut self, spec: Option<&Node>, node: &Node) -> Option<Mapped> {
        let mut fields = self.spec(spec, node)?;
        let at = fields.at;
        let mut data = IndexMap::new();
        let shell = fields.take("shell");
        let by = shell.map_or(Some(DEFAULT), |node| self.one_of(node, "shell", &SCRIPT_SHELLS))?;
        if let Some(node) = fields.take("onDelegate")
            && self.truth(node, "onDelegate") == Some(false)
        {
            self.faults.push(
                node.at(),
                "a script runs on a delegate; choose one by delegateSelectors, or use its ssh in the script",
            );
        }
        fields.refuse(
            "executionTarget",
            "a script runs on a delegate; choose one by delegateSelectors",
            self,
        );
        let source = fields.need("source", self);
        let environment = fields.take("environmentVariables");
        let outputs = fields
            .take("outputVariables")
            .map(|node| self.output_variables(node))
            .unwrap_or_default();
        let selectors = fields
            .take("delegateSelectors")
            .and_then(|node| self.selectors(node));
        fields.end(self);
        if let Some(environment) = environment {
            self.environment_variables(environment, &mut data);
        }
        let mut source = self.fields(source?, "`source`")?;
        if let Some(kind) = source.take("type") {
            self.one_of(kind, "the type of a source", &[("Inline", ())]);
        }
        let inner = source.need("spec", self);
        source.end(self);
        let mut inner = self.fields(inner?, "the spec of `source`")?;
        let script = inner.need("script", self);
        inner.end(self);
        let script = self.text(script?)?;
        data.insert("script".to_owned(), Template::Words(script));
        Some((task(by, data, outputs, at), selectors))
    }

    /// A list of `{name, type, value}`; secret ones become secrets of the script.
    fn environment_variables(&mut self, node: &Node, data: &mut IndexMap<String, Template>) {
        let (mut plain, mut secret) = (IndexMap::new(), IndexMap::new());
        for item in self.items(node, "environmentVariables") {
            let Some(mut fields) = self.fields(item, "an environment variable") else {
                continue;
            };
            let name = fields
                .need("name", self)
                .and_then(|node| self.word(node, "a name"));
            let kinds = [("String", false), ("Number", false), ("Secret", true)];
            let is_secret = fields
                .take("type")
                .and_then(|node| self.one_of(node, "the type of a variable", &kinds));
            let value = fields.need("value", self).and_then(|node| self.text(node));
            fields.end(self);
            let (Some(name), Some(value)) = (name, value) else {
                continue;
            };
            let into = if is_secret == Some(true) {
                &mut secret
            } else {
                &mut plain
            };
            if into.insert(name.to_owned(), Template::Words(value)).is_some() {
                self.faults.push(
                    item.at(),
                    format!("the environment variable `{name}` is there a second time"),
                );
            }
        }
        for (field, variables) in [("env", plain), ("secrets", secret)] {
            if !variables.is_empty() {
                data.insert(field.to_owned(), Template::Map(variables));
            }
        }
    }

    pub(super) fn run(&mut self, spec: Option<&Node>, node: &Node) -> Option<Mapped> {
        let mut fields = self.spec(spec, node)?;
        let at = fields.at;
        let mut data = IndexMap::new();
        for name in [
            "image",
            "connectorRef",
            "privileged",
            "runAsUser",
            "imagePullPolicy",
            "resources",
        ] {
            fields.refuse(
                name,
                "the command runs on the delegate itself, not in a container; choose it by delegateSelectors",
                self,
            );
        }
        fields.refuse("reports", "publish them by a command of the step", self);
        let shell = fields.take("shell");
        let by = shell.map_or(Some(DEFAULT), |node| self.one_of(node, "shell", &RUN_SHELLS))?;
        let command = fields.need("command", self);
        if let Some(mut variables) = fields
            .take("envVariables")
            .and_then(|node| self.fields(node, "`envVariables`"))
        {
            let named = variables
                .rest()
                .into_iter()
                .filter_map(|(key, node)| Some((key.name.clone(), Template::Words(self.text(node)?))));
            let named = named.collect();
            data.insert("env".to_owned(), Template::Map(named));
        }
        let outputs = fields
            .take("outputVariables")
            .map(|node| self.output_variables(node))
            .unwrap_or_default();
        let selectors = fields
            .take("delegateSelectors")
            .and_then(|node| self.selectors(node));
        fields.end(self);
        let command = self.text(command?)?;
        data.insert("script".to_owned(), Template::Words(command));
        Some((task(by, data, outputs, at), selectors))
    }

    pub(super) fn http(&mut self, spec: Option<&Node>, node: &Node) -> Option<Mapped> {
        let mut fields = self.spec(spec, node)?;
        let at = fields.at;
        let mut data = IndexMap::new();
        for name in ["assertion", "outputVariables", "certificate", "certificateKey"] {
            fields.refuse(
                name,
                "write the step with `type: HTTP`, which has expect, output_vars and tls",
                self,
            );
        }
        let url = fields.need("url", self);
        if let Some(node) = fields.take("method") {
            let method = self.one_of(node, "method", &METHODS)?;
            data.insert("method".to_owned(), Template::Plain(method.into()));
        }
        if let Some(node) = fields.take("requestBody") {
            data.insert("body".to_owned(), Template::Words(self.text(node)?));
        }
        if let Some(node) = fields.take("headers") {
            let mut headers = IndexMap::new();
            for item in self.items(node, "headers") {
                let mut header = self.fields(item, "a header")?;
                let key = header.need("key", self).and_then(|node| self.word(node, "a key"));
                let value = header.need("value", self).and_then(|node| self.text(node));
                header.end(self);
                if let (Some(key), Some(value)) = (key, value) {
                    headers.insert(key.to_owned(), Template::Words(value));
                }
            }
            data.insert("headers".to_owned(), Template::Map(headers));
        }
        let selectors = fields
            .take("delegateSelectors")
            .and_then(|node| self.selectors(node));
        fields.end(self);
        let url = self.text(url?)?;
        data.insert("url".to_owned(), Template::Words(url));
        let body = Body::Task(Task {
            kind: "HTTP".to_owned(),
            data: Template::Map(data),
            at,
            outputs: Outputs::Any,
        });
        Some((body, selectors))
    }
}

/// The type of a step that was written as Harness might write it: `GitClone` for `GIT_CLONE`.
pub(in crate::pipeline) fn kind_meant<'k>(written: &str, kinds: &[&'k str]) -> Option<&'k str> {
    let mut upper = String::new();
    for (at, letter) in written.chars().enumerate() {
        if at > 0 && letter.is_ascii_uppercase() {
            upper.push('_');
        }
        upper.push(letter.to_ascii_uppercase());
    }
    nearest(&upper, kinds.iter().copied()).or_else(|| nearest(written, kinds.iter().copied()))
}

fn task(
    by: Interpreter,
    mut data: IndexMap<String, Template>,
    outputs: IndexMap<String, String>,
    at: Mark,
) -> Body {
    if let Some((field, program)) = by.chosen_by {
        data.insert(field.to_owned(), Template::Plain(program.into()));
    }
    if !outputs.is_empty() {
        let names: Vec<Value> = outputs.values().map(|name| json!(name)).collect();
        data.insert("output_vars".to_owned(), Template::Plain(Value::Array(names)));
    }
    Body::Task(Task {
        kind: by.kind.to_owned(),
        data: Template::Map(data),
        at,
        outputs: Outputs::Named(outputs),
    })
}
