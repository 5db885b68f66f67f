//! Data sources: read, never changed.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Context, DeferReason};
use crate::framework::diagnostics::Diagnostics;
use crate::framework::schema::Schema;
use crate::framework::value::Value;

/// A data source. See the module's head for the rules of all handlers.
#[async_trait]
pub trait DataSource: Send + Sync + 'static {
    /// The provider's data.
    type Data: Send + Sync + 'static;
    /// One field an attribute, as for a resource. In the configuration every value is known, computed ones
    /// are null.
    type Model: Serialize + DeserializeOwned + Send + Sync;

    /// The full type name, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// The schema. Asked for once.
    fn schema(&self) -> Schema;

    /// Checks a configuration beyond the schema's validators and rules. Values may be unknown.
    async fn validate(&self, cx: &Context<Self::Data>, config: &Value) -> Diagnostics {
        let _ = (cx, config);
        Diagnostics::new()
    }

    /// Reads. What is configured must come back as it is.
    async fn read(
        &self,
        cx: &Context<Self::Data>,
        config: Self::Model,
    ) -> Result<DataOutcome<Self::Model>, Diagnostics>;
}

/// What a data source read.
#[derive(Debug, Clone)]
#[must_use]
pub enum DataOutcome<M> {
    /// The configuration, completed.
    Read(M),
    /// It cannot be read yet. Only for hosts that allow it.
    Deferred(DeferReason),
}
