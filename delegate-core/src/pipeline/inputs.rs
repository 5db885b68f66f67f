//! What whoever starts a run gives: values of variables that ask for one.

use std::collections::BTreeMap;

use super::expression::{Value, reference_to, regex};
use super::plan::{Input, Level, Plan, Variable, VariableType};
use super::read::nearest;

/// Longest value that is taken, bytes.
const MAX_INPUT_BYTES: usize = 64 * 1024;

/// Why inputs are not taken. Values are not shown: they may be secrets in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// There is no such variable.
    #[error("there is no variable `{name}`{hint}")]
    Unknown {
        /// What was given.
        name: String,
        /// What there is.
        hint: String,
    },
    /// The file has its value.
    #[error(
        "the variable `{name}` has its value in the file; write `value: <+input>.default(…)` there to have it asked for"
    )]
    Fixed {
        /// The variable.
        name: String,
    },
    /// It must be given.
    #[error("the variable `{name}` needs a value: give {name}=…")]
    Missing {
        /// The variable.
        name: String,
    },
    /// The value is none that the variable takes.
    #[error("the variable `{name}` {expected}")]
    Refused {
        /// The variable.
        name: String,
        /// What it takes.
        expected: String,
    },
}

impl Plan {
    /// Every variable by the name that inputs have for it: `NAME` for one of the pipeline, `STAGE.NAME` for one of a stage.
    pub fn variables(&self) -> impl Iterator<Item = (String, &Variable)> {
        self.elements.iter().flat_map(|element| {
            element.variables.iter().map(move |variable| {
                let name = if element.level == Level::Stage {
                    format!("{}.{}", element.identifier, variable.name)
                } else {
                    variable.name.clone()
                };
                (name, variable)
            })
        })
    }

    /// The values of all variables that ask for one, from what was given and from defaults; or everything that is wrong
    /// with it.
    pub fn inputs(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Value>, Vec<InputError>> {
        let mut errors = Vec::new();
        let mut values = BTreeMap::new();
        for (name, variable) in self.variables() {
            match (&variable.value, given.get(&name)) {
                (Input::Fixed(_), Some(_)) => errors.push(InputError::Fixed { name }),
                (Input::Fixed(_), None) => {}
                (Input::Asked { default, .. }, given) => match given.or(default.as_ref()) {
                    None => errors.push(InputError::Missing { name }),
                    Some(text) => match taken(variable, text) {
                        Ok(value) => {
                            values.insert(name, value);
                        }
                        Err(expected) => errors.push(InputError::Refused { name, expected }),
                    },
                },
            }
        }
        let known: Vec<String> = self.variables().map(|(name, _)| name).collect();
        for name in given.keys().filter(|name| !known.contains(name)) {
            let hint = match nearest(name, known.iter().map(String::as_str)) {
                Some(meant) => format!("; did you mean `{meant}`?"),
                None if known.is_empty() => "; the pipeline has none".to_owned(),
                None => format!("; there are {}", known.join(", ")),
            };
            errors.push(InputError::Unknown {
                name: name.clone(),
                hint,
            });
        }
        if errors.is_empty() {
            Ok(values)
        } else {
            Err(errors)
        }
    }
}

/// A text as the value of a variable. The error says what is taken.
fn taken(variable: &Variable, text: &str) -> Result<Value, String> {
    if text.len() > MAX_INPUT_BYTES {
        return Err(format!("takes at most {MAX_INPUT_BYTES} bytes"));
    }
    if variable.required && text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if let Input::Asked { allowed, pattern, .. } = &variable.value {
        if !allowed.is_empty() && !allowed.iter().any(|allowed| allowed == text) {
            return Err(format!("takes one of {}", allowed.join(", ")));
        }
        if let Some(pattern) = pattern
            && !regex(&format!("^(?:{pattern})$")).is_some_and(|regex| regex.is_match(text))
        {
            return Err(format!("must match {pattern}"));
        }
    }
    typed(variable, Value::Text(text.to_owned()))
}

/// A value as the variable's type has it. The error says what is taken.
pub(super) fn typed(variable: &Variable, value: Value) -> Result<Value, String> {
    match (variable.of, value) {
        (_, secret @ Value::Secret(_)) if variable.of != VariableType::Number => Ok(secret),
        (VariableType::Secret, Value::Text(name)) => {
            reference_to(&name).map_err(|_| "takes the name of a secret".to_owned())
        }
        (VariableType::Secret, _) => Err("takes a reference to a secret".to_owned()),
        (VariableType::Number, value) => value
            .as_number()
            .map(Value::Number)
            .ok_or_else(|| "takes a number".to_owned()),
        (VariableType::Text, value) if value.brings_reference() => {
            Err("takes no reference to a secret; make it a variable of type Secret".to_owned())
        }
        (VariableType::Text, value) => Ok(value),
    }
}
