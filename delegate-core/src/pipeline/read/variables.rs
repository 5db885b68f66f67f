//! Variables of the pipeline and of stages.

use super::Reader;
use crate::pipeline::expression::regex;
use crate::pipeline::plan::{Input, Variable, VariableType};
use crate::pipeline::source::{Mark, Node, Yaml};

const TYPES: [(&str, VariableType); 3] = [
    ("String", VariableType::Text),
    ("Number", VariableType::Number),
    ("Secret", VariableType::Secret),
];

/// How a value begins that is asked for.
const INPUT: &str = "<+input>";

impl Reader<'_> {
    pub(super) fn variables(&mut self, node: &Node) -> Vec<Variable> {
        let mut variables: Vec<Variable> = Vec::new();
        for item in self.items(node, "variables") {
            let Some(variable) = self.variable(item) else {
                continue;
            };
            if variables.iter().any(|other| other.name == variable.name) {
                self.faults.push(
                    item.at(),
                    format!("the variable `{}` is there a second time", variable.name),
                );
            }
            variables.push(variable);
        }
        variables
    }

    fn variable(&mut self, node: &Node) -> Option<Variable> {
        let mut fields = self.fields(node, "the variable")?;
        let name_node = fields.need("name", self);
        let of = fields
            .take("type")
            .and_then(|node| self.one_of(node, "the type of a variable", &TYPES));
        let required = fields
            .take("required")
            .and_then(|node| self.truth(node, "required"));
        let description = fields
            .take("description")
            .and_then(|node| self.word(node, "a description"));
        let default = fields
            .take("default")
            .and_then(|node| self.word(node, "a default"));
        let value_node = fields.take("value");
        fields.end(self);
        let name_node = name_node?;
        let name = self.word(name_node, "the name of a variable")?;
        self.check_name(name, "the name of a variable", name_node.at());
        let value = match value_node {
            None => Input::Asked {
                default: default.map(ToOwned::to_owned),
                allowed: Vec::new(),
                pattern: None,
            },
            Some(node) => self.value(node, default)?,
        };
        Some(Variable {
            name: name.to_owned(),
            at: node.at(),
            of: of.unwrap_or(VariableType::Text),
            required: required.unwrap_or(false),
            description: description.map(ToOwned::to_owned),
            value,
        })
    }

    fn value(&mut self, node: &Node, default: Option<&str>) -> Option<Input> {
        let written = match &node.value {
            Yaml::Scalar { text, .. } => text.trim(),
            _ => "",
        };
        let Some(modifiers) = written.strip_prefix(INPUT) else {
            if default.is_some() {
                self.faults.push(
                    node.at(),
                    format!("a default is for a value that is asked for; write value: {INPUT}"),
                );
            }
            return self.text(node).map(Input::Fixed);
        };
        self.asked(modifiers, default, node.at())
    }

    /// `.default(x).allowedValues(a,b).regex(^v)`
    fn asked(&mut self, modifiers: &str, default: Option<&str>, at: Mark) -> Option<Input> {
        let mut rest = modifiers;
        let (mut default, mut allowed, mut pattern) = (default.map(ToOwned::to_owned), Vec::new(), None);
        while !rest.is_empty() {
            let Some((name, argument, after)) = modifier(rest) else {
                self.faults.push(
                    at,
                    format!("after {INPUT} there may be .default(…), .allowedValues(…,…) and .regex(…), and nothing else"),
                );
                return None;
            };
            match name {
                "default" => default = Some(unquoted(argument).to_owned()),
                "allowedValues" => {
                    allowed = argument
                        .split(',')
                        .map(|item| unquoted(item).to_owned())
                        .collect();
                }
                _ => pattern = Some(argument.to_owned()),
            }
            rest = after;
        }
        if pattern.as_deref().is_some_and(|pattern| regex(pattern).is_none()) {
            self.faults
                .push(at, "regex(…) holds no regular expression that reads");
        }
        Some(Input::Asked {
            default,
            allowed,
            pattern,
        })
    }
}

/// `.name(argument)` at the beginning of a text, and what follows.
fn modifier(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.strip_prefix('.')?.split_once('(')?;
    if !["default", "allowedValues", "regex"].contains(&name) {
        return None;
    }
    let mut depth = 1;
    for (at, letter) in rest.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((name, &rest[..at], &rest[at + 1..]));
        }
    }
    None
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(text)
}
