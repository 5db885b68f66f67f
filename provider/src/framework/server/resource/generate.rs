//! GenerateResourceConfig: the configuration that would lead to a state, for `plan -generate-config-out`.

use super::KIND;
use crate::framework::convert;
use crate::framework::diagnostics::Diagnostics;
use crate::framework::plan::configuration_of;
use crate::framework::server::ProviderServer;
use crate::framework::traits::Provider;
use crate::plugin::proto::tfplugin6::generate_resource_config::{Request, Response};

pub(in crate::framework::server) fn call<P: Provider>(
    server: &ProviderServer<P>,
    request: &Request,
) -> Result<Response, Diagnostics> {
    let entry = server.parts.find_resource(KIND, &request.type_name)?;
    let state = convert::value(request.state.as_ref(), entry.ty())?;
    let config = configuration_of(entry.schema(), state);
    Ok(Response {
        config: Some(convert::dynamic(&config, entry.ty())?),
        diagnostics: Vec::new(),
    })
}
