//! Functions: pure computations on values.

use async_trait::async_trait;

use crate::framework::value::{Type, Value, ValueError};

/// A function. It may be called before the provider is configured, and must not depend on anything but its
/// arguments.
#[async_trait]
pub trait Function: Send + Sync + 'static {
    /// The name, as in `provider::harness::name(…)`.
    fn name(&self) -> &'static str;

    /// Parameters and result.
    fn signature(&self) -> Signature;

    /// Computes. Arguments fit the parameters; those of the variadic parameter come last, one each. The
    /// result is brought into the type of the signature.
    async fn call(&self, arguments: Vec<Value>) -> Result<Value, FunctionError>;
}

/// What a function takes and gives.
#[derive(Debug, Clone)]
pub struct Signature {
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) variadic: Option<Parameter>,
    pub(crate) returns: Type,
    pub(crate) summary: String,
    pub(crate) description: String,
}

impl Signature {
    /// Without parameters.
    pub fn returning(returns: Type) -> Self {
        Self {
            parameters: Vec::new(),
            variadic: None,
            returns,
            summary: String::new(),
            description: String::new(),
        }
    }

    /// Adds a parameter.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Takes any number of further arguments.
    #[must_use]
    pub fn variadic(mut self, parameter: Parameter) -> Self {
        self.variadic = Some(parameter);
        self
    }

    /// One line, and the whole in Markdown.
    #[must_use]
    pub fn describe(mut self, summary: &str, markdown: &str) -> Self {
        (self.summary, self.description) = (summary.to_owned(), markdown.to_owned());
        self
    }

    /// The parameters that a call must give, in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// What any number of further arguments is.
    pub fn variadic_parameter(&self) -> Option<&Parameter> {
        self.variadic.as_ref()
    }

    /// The type of the result.
    pub fn returns(&self) -> &Type {
        &self.returns
    }

    /// What it does, in one line.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// What it does, in Markdown.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The parameter of the argument at `index`.
    pub(crate) fn parameter_at(&self, index: usize) -> Option<&Parameter> {
        self.parameters.get(index).or(self.variadic.as_ref())
    }
}

/// One parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) allow_null: bool,
    pub(crate) allow_unknown: bool,
    pub(crate) description: String,
}

impl Parameter {
    /// A parameter that is neither null nor unknown.
    pub fn new(name: &str, ty: Type, markdown: &str) -> Self {
        Self {
            name: name.to_owned(),
            ty,
            allow_null: false,
            allow_unknown: false,
            description: markdown.to_owned(),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its arguments.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// What it is, in Markdown.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Whether null is an argument, too.
    pub fn allows_null(&self) -> bool {
        self.allow_null
    }

    /// Null is an argument, too. Without this Terraform refuses it.
    #[must_use]
    pub fn allow_null(mut self) -> Self {
        self.allow_null = true;
        self
    }

    /// Unknown is an argument, too. Without this Terraform does not call, and the result is unknown.
    #[must_use]
    pub fn allow_unknown(mut self) -> Self {
        self.allow_unknown = true;
        self
    }
}

/// Why a function has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FunctionError {
    /// A full sentence.
    pub text: String,
    /// The argument at fault, from 0.
    pub argument: Option<usize>,
}

impl FunctionError {
    /// The call as a whole failed.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            argument: None,
        }
    }

    /// This argument, from 0, is at fault.
    pub fn argument(argument: usize, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            argument: Some(argument),
        }
    }
}

impl From<ValueError> for FunctionError {
    fn from(error: ValueError) -> Self {
        Self::new(error.to_string())
    }
}
