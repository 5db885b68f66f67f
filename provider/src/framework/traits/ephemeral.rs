//! Ephemeral resources: values that exist during a run and are stored nowhere.

use std::time::SystemTime;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Context, DeferReason, Private};
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::schema::Schema;
use crate::framework::value::Value;

/// An ephemeral resource. See the module's head for the rules of all handlers.
#[async_trait]
pub trait EphemeralResource: Send + Sync + 'static {
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

    /// Makes the value.
    async fn open(
        &self,
        cx: &Context<Self::Data>,
        config: Self::Model,
    ) -> Result<Opened<Self::Model>, Diagnostics>;

    /// Keeps the value alive, at the time asked for by [`Opened::renew_at`].
    async fn renew(&self, cx: &Context<Self::Data>, private: Private) -> Result<Renewed, Diagnostics> {
        let _ = (cx, private);
        Err(Diagnostic::bug(format_args!(
            "{} asked to be renewed and cannot be",
            self.type_name()
        ))
        .into())
    }

    /// Lets the value go at the end of the run.
    async fn close(&self, cx: &Context<Self::Data>, private: Private) -> Result<(), Diagnostics> {
        let _ = (cx, private);
        Ok(())
    }
}

/// An open ephemeral resource.
#[derive(Debug, Clone)]
pub struct Opened<M> {
    /// The configuration, completed.
    pub result: M,
    /// When to be asked to renew it.
    pub renew_at: Option<SystemTime>,
    /// What renew and close need to know. Held in memory by the host, stored nowhere.
    pub private: Private,
    /// It cannot be opened yet. Only for hosts that allow it.
    pub deferred: Option<DeferReason>,
}

impl<M> Opened<M> {
    /// Open, never to be renewed.
    pub const fn new(result: M) -> Self {
        Self {
            result,
            renew_at: None,
            private: Private::new(),
            deferred: None,
        }
    }
}

/// A renewed ephemeral resource.
#[derive(Debug, Clone, Default)]
pub struct Renewed {
    /// When to be asked again.
    pub renew_at: Option<SystemTime>,
    /// What the next renew and close need to know.
    pub private: Private,
}
