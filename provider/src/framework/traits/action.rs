//! Actions: something done once, without state.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::{Context, DeferReason};
use crate::framework::diagnostics::Diagnostics;
use crate::framework::schema::Schema;
use crate::framework::value::Value;

/// An action. See the module's head for the rules of all handlers.
#[async_trait]
pub trait Action: Send + Sync + 'static {
    /// The provider's data.
    type Data: Send + Sync + 'static;
    /// One field an attribute of the configuration.
    type Model: DeserializeOwned + Send + Sync;

    /// The full type name, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// The schema of the configuration. Nothing in it is computed. Asked for once.
    fn schema(&self) -> Schema;

    /// Checks a configuration beyond the schema's validators and rules. Values may be unknown.
    async fn validate(&self, cx: &Context<Self::Data>, config: &Value) -> Diagnostics {
        let _ = (cx, config);
        Diagnostics::new()
    }

    /// Looks at the action before it is done: refuse it, or put it off. Values may be unknown.
    async fn plan(
        &self,
        cx: &Context<Self::Data>,
        config: &Value,
    ) -> Result<Option<DeferReason>, Diagnostics> {
        let _ = (cx, config);
        Ok(None)
    }

    /// Does it.
    async fn invoke(
        &self,
        cx: &Context<Self::Data>,
        config: Self::Model,
        progress: &Progress,
    ) -> Result<(), Diagnostics>;
}

/// Tells the user what an action is at.
#[derive(Debug, Clone)]
pub struct Progress {
    pub(crate) messages: mpsc::Sender<String>,
}

impl Progress {
    /// Says one thing. Never waits: a message that nobody takes in time is dropped, because the work matters
    /// more than its story.
    pub fn say(&self, message: impl Into<String>) {
        let _ = self.messages.try_send(message.into());
    }
}
