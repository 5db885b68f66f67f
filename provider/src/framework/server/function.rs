//! Calls of functions. Their failures are function errors, which Terraform shows at the argument, not
//! diagnostics.

use super::ProviderServer;
use crate::framework::convert;
use crate::framework::diagnostics::Diagnostics;
use crate::framework::traits::{FunctionError, Provider};
use crate::plugin::proto::tfplugin6 as pb;

impl<P: Provider> ProviderServer<P> {
    pub(super) async fn call_one(&self, request: &pb::call_function::Request) -> pb::call_function::Response {
        match self.compute(request).await {
            Ok(result) => pb::call_function::Response {
                result: Some(result),
                error: None,
            },
            Err(error) => pb::call_function::Response {
                result: None,
                error: Some(convert::function_error(error)),
            },
        }
    }

    async fn compute(&self, request: &pb::call_function::Request) -> Result<pb::DynamicValue, FunctionError> {
        let function = self
            .parts
            .functions
            .iter()
            .find(|function| function.name() == request.name)
            .ok_or_else(|| {
                FunctionError::new(format!(
                    "This version of the provider has no function {:?}.",
                    request.name
                ))
            })?;
        let signature = function.signature();
        let given = request.arguments.len();
        if given < signature.parameters.len() {
            let wanted = signature.parameters.len();
            return Err(FunctionError::new(format!(
                "{} takes {wanted} arguments, not {given}.",
                request.name
            )));
        }
        let mut arguments = Vec::with_capacity(given);
        for (index, argument) in request.arguments.iter().enumerate() {
            let Some(parameter) = signature.parameter_at(index) else {
                return Err(FunctionError::argument(
                    index,
                    "There is no parameter for this argument.",
                ));
            };
            let argument = convert::value(Some(argument), &parameter.ty)
                .map_err(|problem| FunctionError::argument(index, text(&problem)))?;
            if argument.is_null() && !parameter.allow_null {
                return Err(FunctionError::argument(
                    index,
                    format!("{} may not be null.", parameter.name),
                ));
            }
            arguments.push(argument);
        }
        let result = function.call(arguments).await?;
        let result = result.conform(&signature.returns)?;
        convert::dynamic(&result, &signature.returns).map_err(|problem| FunctionError::new(text(&problem)))
    }
}

fn text(diagnostics: &Diagnostics) -> String {
    diagnostics
        .iter()
        .map(|diagnostic| diagnostic.detail.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}
