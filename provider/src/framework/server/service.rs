//! The generated service, call by call: each names its function and the answer that keeps what is stored.

use std::future::Future;

use tonic::codegen::{BoxStream, async_trait};
use tonic::{Request, Response, Status};
use tracing::Instrument;

use super::ProviderServer;
use super::resource;
use crate::framework::convert;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::traits::{FunctionError, Provider};
use crate::plugin::guard;
use crate::plugin::proto::tfplugin6 as pb;
use crate::plugin::proto::tfplugin6::provider_server::Provider as Service;

/// Runs one call in its span and behind its guard. When it has no answer, `kept` makes one of what went
/// wrong.
async fn answer<T>(
    rpc: &'static str,
    subject: &str,
    call: impl Future<Output = Result<T, Diagnostics>>,
    kept: impl FnOnce(Vec<pb::Diagnostic>, Failure) -> T,
) -> Result<Response<T>, Status> {
    let span = tracing::debug_span!("rpc", rpc, subject);
    let answer = match guard(rpc, call).instrument(span.clone()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(diagnostics)) => {
            span.in_scope(|| tracing::debug!(problems = diagnostics.iter().count(), "the call failed"));
            kept(convert::diagnostics(diagnostics), Failure::Refused)
        }
        Err(panic) => {
            span.in_scope(|| tracing::error!("the call panicked"));
            kept(
                convert::diagnostics(Diagnostic::panic(&panic).into()),
                Failure::Panicked,
            )
        }
    };
    Ok(Response::new(answer))
}

/// Why a call has no answer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It said what is wrong, and that it changed nothing.
    Refused,
    /// It panicked, anywhere.
    Panicked,
}

/// A call whose answer to a failure consists of the diagnostics and nothing else.
macro_rules! call {
    ($self:ident, $rpc:literal, $subject:expr, $call:expr, $module:ident) => {
        answer($rpc, $subject, $call, |diagnostics, _| {
            #[allow(
                clippy::needless_update,
                reason = "some responses are nothing but diagnostics"
            )]
            pb::$module::Response {
                diagnostics,
                ..Default::default()
            }
        })
        .await
    };
}

#[async_trait]
impl<P: Provider> Service for ProviderServer<P> {
    // === schemas ===

    async fn get_metadata(
        &self,
        _: Request<pb::get_metadata::Request>,
    ) -> Result<Response<pb::get_metadata::Response>, Status> {
        call!(
            self,
            "GetMetadata",
            "",
            async { Ok(self.metadata()) },
            get_metadata
        )
    }

    async fn get_provider_schema(
        &self,
        _: Request<pb::get_provider_schema::Request>,
    ) -> Result<Response<pb::get_provider_schema::Response>, Status> {
        call!(
            self,
            "GetProviderSchema",
            "",
            async { self.schemas() },
            get_provider_schema
        )
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<pb::get_resource_identity_schemas::Request>,
    ) -> Result<Response<pb::get_resource_identity_schemas::Response>, Status> {
        let call = async { Ok(self.identity_schemas()) };
        call!(
            self,
            "GetResourceIdentitySchemas",
            "",
            call,
            get_resource_identity_schemas
        )
    }

    // === provider ===

    async fn validate_provider_config(
        &self,
        request: Request<pb::validate_provider_config::Request>,
    ) -> Result<Response<pb::validate_provider_config::Response>, Status> {
        let request = request.into_inner();
        call!(
            self,
            "ValidateProviderConfig",
            "",
            self.validate_provider(&request),
            validate_provider_config
        )
    }

    async fn configure_provider(
        &self,
        request: Request<pb::configure_provider::Request>,
    ) -> Result<Response<pb::configure_provider::Response>, Status> {
        let request = request.into_inner();
        call!(
            self,
            "ConfigureProvider",
            "",
            self.configure(request),
            configure_provider
        )
    }

    async fn stop_provider(
        &self,
        _: Request<pb::stop_provider::Request>,
    ) -> Result<Response<pb::stop_provider::Response>, Status> {
        // Ends the waiting, not the server: the calls in flight still have to deliver what they reached.
        tracing::debug!("StopProvider");
        self.stop.stop();
        Ok(Response::new(pb::stop_provider::Response::default()))
    }

    // === managed resources ===

    async fn validate_resource_config(
        &self,
        request: Request<pb::validate_resource_config::Request>,
    ) -> Result<Response<pb::validate_resource_config::Response>, Status> {
        let request = request.into_inner();
        let call = resource::validate::call(self, &request);
        call!(
            self,
            "ValidateResourceConfig",
            &request.type_name,
            call,
            validate_resource_config
        )
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<pb::upgrade_resource_state::Request>,
    ) -> Result<Response<pb::upgrade_resource_state::Response>, Status> {
        let request = request.into_inner();
        let call = async { resource::upgrade::state(self, &request) };
        call!(
            self,
            "UpgradeResourceState",
            &request.type_name,
            call,
            upgrade_resource_state
        )
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<pb::upgrade_resource_identity::Request>,
    ) -> Result<Response<pb::upgrade_resource_identity::Response>, Status> {
        let request = request.into_inner();
        let call = async { resource::upgrade::identity(self, &request) };
        call!(
            self,
            "UpgradeResourceIdentity",
            &request.type_name,
            call,
            upgrade_resource_identity
        )
    }

    async fn read_resource(
        &self,
        request: Request<pb::read_resource::Request>,
    ) -> Result<Response<pb::read_resource::Response>, Status> {
        let request = request.into_inner();
        let call = resource::read::call(self, &request);
        answer("ReadResource", &request.type_name, call, |diagnostics, _| {
            resource::read::kept(&request, diagnostics)
        })
        .await
    }

    async fn plan_resource_change(
        &self,
        request: Request<pb::plan_resource_change::Request>,
    ) -> Result<Response<pb::plan_resource_change::Response>, Status> {
        let request = request.into_inner();
        let call = resource::plan::call(self, &request);
        answer(
            "PlanResourceChange",
            &request.type_name,
            call,
            |diagnostics, _| resource::plan::kept(&request, diagnostics),
        )
        .await
    }

    async fn apply_resource_change(
        &self,
        request: Request<pb::apply_resource_change::Request>,
    ) -> Result<Response<pb::apply_resource_change::Response>, Status> {
        let request = request.into_inner();
        let call = resource::apply::call(self, &request);
        answer(
            "ApplyResourceChange",
            &request.type_name,
            call,
            |diagnostics, failure| resource::apply::kept(self, &request, diagnostics, failure),
        )
        .await
    }

    async fn import_resource_state(
        &self,
        request: Request<pb::import_resource_state::Request>,
    ) -> Result<Response<pb::import_resource_state::Response>, Status> {
        let request = request.into_inner();
        let call = resource::import::call(self, &request);
        call!(
            self,
            "ImportResourceState",
            &request.type_name,
            call,
            import_resource_state
        )
    }

    async fn move_resource_state(
        &self,
        request: Request<pb::move_resource_state::Request>,
    ) -> Result<Response<pb::move_resource_state::Response>, Status> {
        let request = request.into_inner();
        let call = async { resource::moved::call(self, &request) };
        call!(
            self,
            "MoveResourceState",
            &request.target_type_name,
            call,
            move_resource_state
        )
    }

    async fn generate_resource_config(
        &self,
        request: Request<pb::generate_resource_config::Request>,
    ) -> Result<Response<pb::generate_resource_config::Response>, Status> {
        let request = request.into_inner();
        let call = async { resource::generate::call(self, &request) };
        call!(
            self,
            "GenerateResourceConfig",
            &request.type_name,
            call,
            generate_resource_config
        )
    }

    // === data sources ===

    async fn validate_data_resource_config(
        &self,
        request: Request<pb::validate_data_resource_config::Request>,
    ) -> Result<Response<pb::validate_data_resource_config::Response>, Status> {
        let request = request.into_inner();
        let call = self.validate_data_source(&request);
        call!(
            self,
            "ValidateDataResourceConfig",
            &request.type_name,
            call,
            validate_data_resource_config
        )
    }

    async fn read_data_source(
        &self,
        request: Request<pb::read_data_source::Request>,
    ) -> Result<Response<pb::read_data_source::Response>, Status> {
        let request = request.into_inner();
        call!(
            self,
            "ReadDataSource",
            &request.type_name,
            self.read_data(&request),
            read_data_source
        )
    }

    // === ephemeral resources ===

    async fn validate_ephemeral_resource_config(
        &self,
        request: Request<pb::validate_ephemeral_resource_config::Request>,
    ) -> Result<Response<pb::validate_ephemeral_resource_config::Response>, Status> {
        let request = request.into_inner();
        let call = self.validate_ephemeral(&request);
        call!(
            self,
            "ValidateEphemeralResourceConfig",
            &request.type_name,
            call,
            validate_ephemeral_resource_config
        )
    }

    async fn open_ephemeral_resource(
        &self,
        request: Request<pb::open_ephemeral_resource::Request>,
    ) -> Result<Response<pb::open_ephemeral_resource::Response>, Status> {
        let request = request.into_inner();
        let call = self.open_ephemeral(&request);
        call!(
            self,
            "OpenEphemeralResource",
            &request.type_name,
            call,
            open_ephemeral_resource
        )
    }

    async fn renew_ephemeral_resource(
        &self,
        request: Request<pb::renew_ephemeral_resource::Request>,
    ) -> Result<Response<pb::renew_ephemeral_resource::Response>, Status> {
        let request = request.into_inner();
        let call = self.renew_ephemeral(&request);
        call!(
            self,
            "RenewEphemeralResource",
            &request.type_name,
            call,
            renew_ephemeral_resource
        )
    }

    async fn close_ephemeral_resource(
        &self,
        request: Request<pb::close_ephemeral_resource::Request>,
    ) -> Result<Response<pb::close_ephemeral_resource::Response>, Status> {
        let request = request.into_inner();
        let call = self.close_ephemeral(&request);
        call!(
            self,
            "CloseEphemeralResource",
            &request.type_name,
            call,
            close_ephemeral_resource
        )
    }

    // === lists ===

    async fn validate_list_resource_config(
        &self,
        request: Request<pb::validate_list_resource_config::Request>,
    ) -> Result<Response<pb::validate_list_resource_config::Response>, Status> {
        let request = request.into_inner();
        let call = self.validate_list(&request);
        call!(
            self,
            "ValidateListResourceConfig",
            &request.type_name,
            call,
            validate_list_resource_config
        )
    }

    async fn list_resource(
        &self,
        request: Request<pb::list_resource::Request>,
    ) -> Result<Response<BoxStream<pb::list_resource::Event>>, Status> {
        Ok(Response::new(self.list(&request.into_inner())))
    }

    // === functions ===

    async fn get_functions(
        &self,
        _: Request<pb::get_functions::Request>,
    ) -> Result<Response<pb::get_functions::Response>, Status> {
        let call = async {
            Ok(pb::get_functions::Response {
                functions: self.functions(),
                diagnostics: Vec::new(),
            })
        };
        call!(self, "GetFunctions", "", call, get_functions)
    }

    async fn call_function(
        &self,
        request: Request<pb::call_function::Request>,
    ) -> Result<Response<pb::call_function::Response>, Status> {
        let request = request.into_inner();
        let call = async { Ok(self.call_one(&request).await) };
        answer("CallFunction", &request.name, call, |diagnostics, _| {
            let text = diagnostics
                .into_iter()
                .map(|diagnostic| diagnostic.detail)
                .collect::<Vec<_>>()
                .join("\n");
            let error = Some(convert::function_error(FunctionError::new(text)));
            pb::call_function::Response { result: None, error }
        })
        .await
    }

    // === actions ===

    async fn validate_action_config(
        &self,
        request: Request<pb::validate_action_config::Request>,
    ) -> Result<Response<pb::validate_action_config::Response>, Status> {
        let request = request.into_inner();
        let call = self.validate_action(&request);
        call!(
            self,
            "ValidateActionConfig",
            &request.type_name,
            call,
            validate_action_config
        )
    }

    async fn plan_action(
        &self,
        request: Request<pb::plan_action::Request>,
    ) -> Result<Response<pb::plan_action::Response>, Status> {
        let request = request.into_inner();
        call!(
            self,
            "PlanAction",
            &request.action_type,
            self.plan_one_action(&request),
            plan_action
        )
    }

    async fn invoke_action(
        &self,
        request: Request<pb::invoke_action::Request>,
    ) -> Result<Response<BoxStream<pb::invoke_action::Event>>, Status> {
        Ok(Response::new(self.invoke(&request.into_inner())))
    }

    // State stores keep the generated answer: unimplemented.
}
