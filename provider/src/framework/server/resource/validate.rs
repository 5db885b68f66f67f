//! ValidateResourceConfig.

use super::KIND;
use crate::framework::convert;
use crate::framework::diagnostics::Diagnostics;
use crate::framework::server::{ProviderServer, validate, write_only_gate};
use crate::framework::traits::Provider;
use crate::plugin::proto::tfplugin6::validate_resource_config::{Request, Response};

pub(in crate::framework::server) async fn call<P: Provider>(
    server: &ProviderServer<P>,
    request: &Request,
) -> Result<Response, Diagnostics> {
    let entry = server.parts.find_resource(KIND, &request.type_name)?;
    let config = convert::value(request.config.as_ref(), entry.ty())?;
    let cx = server.context(request.client_capabilities.as_ref(), None)?;
    let mut diagnostics = write_only_gate(entry.schema(), &config, cx.client);
    diagnostics.extend(validate(entry.schema(), &config, &cx, entry.handler.validate(&cx, &config)).await);
    Ok(Response {
        diagnostics: convert::diagnostics(diagnostics),
    })
}
