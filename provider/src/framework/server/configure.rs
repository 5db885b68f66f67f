//! The provider's own configuration.

use std::sync::{Arc, PoisonError};

use super::{ProviderServer, write_only_gate};
use crate::framework::convert;
use crate::framework::diagnostics::Diagnostics;
use crate::framework::traits::{ConfigureRequest, Configured, Provider};
use crate::plugin::proto::tfplugin6 as pb;

impl<P: Provider> ProviderServer<P> {
    pub(super) async fn validate_provider(
        &self,
        request: &pb::validate_provider_config::Request,
    ) -> Result<pb::validate_provider_config::Response, Diagnostics> {
        let (schema, ty) = self.provider_schema();
        let config = convert::value(request.config.as_ref(), ty)?;
        let mut diagnostics = schema.validate(&config);
        if !diagnostics.has_errors() {
            diagnostics.extend(self.provider.validate(&config).await);
        }
        Ok(pb::validate_provider_config::Response {
            diagnostics: convert::diagnostics(diagnostics),
        })
    }

    pub(super) async fn configure(
        &self,
        request: pb::configure_provider::Request,
    ) -> Result<pb::configure_provider::Response, Diagnostics> {
        let (schema, ty) = self.provider_schema();
        let client = convert::client(request.client_capabilities.as_ref());
        let config = convert::value(request.config.as_ref(), ty)?;
        let diagnostics = write_only_gate(schema, &config, client);
        if diagnostics.has_errors() {
            return Err(diagnostics);
        }
        let known = config.is_wholly_known();
        // What an earlier Configure left must not serve calls that follow a failed one.
        self.set(Configured::Absent);
        let request = ConfigureRequest {
            config,
            terraform_version: request.terraform_version,
            client,
        };
        let data = Arc::new(self.provider.configure(request).await?);
        self.set(if known {
            Configured::Ready(data)
        } else {
            Configured::Partial(data)
        });
        Ok(pb::configure_provider::Response {
            diagnostics: convert::diagnostics(diagnostics),
        })
    }

    fn set(&self, configured: Configured<P::Data>) {
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = configured;
    }
}
