//! The provider `harness`: its configuration and its parts.

use async_trait::async_trait;

use crate::data::{self, ProviderData};
use crate::delegate::Delegate;
use crate::framework::diagnostics::Diagnostics;
use crate::framework::schema::Schema;
use crate::framework::traits::{ConfigureRequest, Parts, Provider};

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
        parts.resource(Delegate);
    }

    async fn configure(&self, request: ConfigureRequest) -> Result<ProviderData, Diagnostics> {
        ProviderData::of(&request.config)
    }
}
