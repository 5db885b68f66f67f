//! The provider `harness`: its configuration and its parts.

use async_trait::async_trait;

use crate::data::{self, ProviderData};
use crate::delegate::{Delegate, DelegateList, DelegateManifest};
use crate::framework::diagnostics::Diagnostics;
use crate::framework::schema::Schema;
use crate::framework::traits::{ConfigureRequest, Parts, Provider};
use crate::functions::{DecodeTokenHint, Tags};
use crate::listing::{DelegateVersion, Delegates};
use crate::token::{EphemeralToken, TokenResource};

/// The provider.
#[derive(Debug, Default)]
pub struct HarnessProvider;

#[async_trait]
impl Provider for HarnessProvider {
    type Data = ProviderData;

    fn schema(&self) -> Schema {
        data::schema()
    }

    fn register(&self, parts: &mut Parts<ProviderData>) {
        parts
            .resource(Delegate)
            .list_resource(DelegateList)
            .resource(TokenResource)
            .ephemeral_resource(EphemeralToken)
            .data_source(DelegateManifest)
            .data_source(Delegates)
            .data_source(DelegateVersion)
            .function(DecodeTokenHint)
            .function(Tags);
    }

    async fn configure(&self, request: ConfigureRequest) -> Result<ProviderData, Diagnostics> {
        ProviderData::of(&request.config)
    }
}

#[cfg(test)]
mod tests {
    use super::HarnessProvider;
    use crate::framework::server::ProviderServer;
    use crate::plugin::StopSignal;

    #[test]
    fn every_part_obeys_terraforms_rules() {
        let faults = ProviderServer::new(HarnessProvider, StopSignal::new()).check();
        assert_eq!(faults, Vec::<String>::new());
    }
}
