//! Data sources.

use super::{ProviderServer, completes, deferral, validate, with_warnings};
use crate::framework::convert;
use crate::framework::diagnostics::Diagnostics;
use crate::framework::traits::{DataOutcome, Provider};
use crate::framework::value::Value;
use crate::plugin::proto::tfplugin6 as pb;

const KIND: &str = "data source";

impl<P: Provider> ProviderServer<P> {
    pub(super) async fn validate_data_source(
        &self,
        request: &pb::validate_data_resource_config::Request,
    ) -> Result<pb::validate_data_resource_config::Response, Diagnostics> {
        let entry = self.parts.find_data_source(KIND, &request.type_name)?;
        let config = convert::value(request.config.as_ref(), entry.ty())?;
        let cx = self.context(None, None)?;
        let diagnostics = validate(entry.schema(), &config, &cx, entry.handler.validate(&cx, &config)).await;
        Ok(pb::validate_data_resource_config::Response {
            diagnostics: convert::diagnostics(diagnostics),
        })
    }

    pub(super) async fn read_data(
        &self,
        request: &pb::read_data_source::Request,
    ) -> Result<pb::read_data_source::Response, Diagnostics> {
        let entry = self.parts.find_data_source(KIND, &request.type_name)?;
        let ty = entry.ty();
        let config = convert::value(request.config.as_ref(), ty)?;
        let cx = self.context(
            request.client_capabilities.as_ref(),
            request.provider_meta.as_ref(),
        )?;
        let (outcome, warnings) = with_warnings(&cx, entry.handler.read(&cx, &config, ty).await)?;
        let (state, deferred) = match outcome {
            DataOutcome::Read(state) => {
                completes(entry.schema(), &config, &state)?;
                (state, None)
            }
            DataOutcome::Deferred(reason) => (Value::Null, Some(deferral(cx.client, reason)?)),
        };
        Ok(pb::read_data_source::Response {
            state: Some(convert::dynamic(&state, ty)?),
            diagnostics: convert::diagnostics(warnings),
            deferred,
        })
    }
}
