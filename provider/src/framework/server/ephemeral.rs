//! Ephemeral resources.

use bytes::Bytes;

use super::{ProviderServer, completes, deferral, validate, with_warnings};
use crate::framework::convert;
use crate::framework::diagnostics::Diagnostics;
use crate::framework::traits::{Private, Provider, Renewed};
use crate::plugin::proto::tfplugin6 as pb;

const KIND: &str = "ephemeral resource";

impl<P: Provider> ProviderServer<P> {
    pub(super) async fn validate_ephemeral(
        &self,
        request: &pb::validate_ephemeral_resource_config::Request,
    ) -> Result<pb::validate_ephemeral_resource_config::Response, Diagnostics> {
        let entry = self.parts.find_ephemeral(KIND, &request.type_name)?;
        let config = convert::value(request.config.as_ref(), entry.ty())?;
        let cx = self.context(None, None)?;
        let diagnostics = validate(entry.schema(), &config, &cx, entry.handler.validate(&cx, &config)).await;
        Ok(pb::validate_ephemeral_resource_config::Response {
            diagnostics: convert::diagnostics(diagnostics),
        })
    }

    pub(super) async fn open_ephemeral(
        &self,
        request: &pb::open_ephemeral_resource::Request,
    ) -> Result<pb::open_ephemeral_resource::Response, Diagnostics> {
        let entry = self.parts.find_ephemeral(KIND, &request.type_name)?;
        let ty = entry.ty();
        let config = convert::value(request.config.as_ref(), ty)?;
        let cx = self.context(request.client_capabilities.as_ref(), None)?;
        let (opened, warnings) = with_warnings(&cx, entry.handler.open(&cx, &config, ty).await)?;
        let deferred = opened
            .deferred
            .map(|reason| deferral(cx.client, reason))
            .transpose()?;
        if deferred.is_none() {
            completes(entry.schema(), &config, &opened.result)?;
        }
        Ok(pb::open_ephemeral_resource::Response {
            diagnostics: convert::diagnostics(warnings),
            renew_at: opened.renew_at.map(convert::timestamp),
            result: Some(convert::dynamic(&opened.result, ty)?),
            private: Some(opened.private.to_wire()?),
            deferred,
        })
    }

    pub(super) async fn renew_ephemeral(
        &self,
        request: &pb::renew_ephemeral_resource::Request,
    ) -> Result<pb::renew_ephemeral_resource::Response, Diagnostics> {
        let entry = self.parts.find_ephemeral(KIND, &request.type_name)?;
        let cx = self.context(None, None)?;
        let renewal = entry.handler.renew(&cx, private(request.private.as_ref())).await;
        let (Renewed { renew_at, private }, warnings) = with_warnings(&cx, renewal)?;
        Ok(pb::renew_ephemeral_resource::Response {
            diagnostics: convert::diagnostics(warnings),
            renew_at: renew_at.map(convert::timestamp),
            private: Some(private.to_wire()?),
        })
    }

    pub(super) async fn close_ephemeral(
        &self,
        request: &pb::close_ephemeral_resource::Request,
    ) -> Result<pb::close_ephemeral_resource::Response, Diagnostics> {
        let entry = self.parts.find_ephemeral(KIND, &request.type_name)?;
        let cx = self.context(None, None)?;
        let closing = entry.handler.close(&cx, private(request.private.as_ref())).await;
        let ((), warnings) = with_warnings(&cx, closing)?;
        Ok(pb::close_ephemeral_resource::Response {
            diagnostics: convert::diagnostics(warnings),
        })
    }
}

fn private(bytes: Option<&Bytes>) -> Private {
    bytes.map(|bytes| Private::from_wire(bytes)).unwrap_or_default()
}
