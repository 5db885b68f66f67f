//! List resources: what exists of a resource type, for `terraform query`.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::Context;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::schema::Schema;
use crate::framework::value::Value;

/// The listing of a resource type, which must be registered under the same name and have an identity.
#[async_trait]
pub trait ListResource: Send + Sync + 'static {
    /// The provider's data.
    type Data: Send + Sync + 'static;

    /// The full name of the resource type that is listed.
    fn type_name(&self) -> &'static str;

    /// The schema of the list block. Asked for once.
    fn schema(&self) -> Schema;

    /// Checks a configuration beyond the schema's validators and rules. Values may be unknown.
    async fn validate(&self, cx: &Context<Self::Data>, config: &Value) -> Diagnostics {
        let _ = (cx, config);
        Diagnostics::new()
    }

    /// Sends what there is, one by one. Ends early when [`ListSink::push`] says that nothing more is wanted.
    async fn list(
        &self,
        cx: &Context<Self::Data>,
        request: ListRequest,
        out: &ListSink,
    ) -> Result<(), Diagnostics>;
}

/// What is to be listed.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// The list block.
    pub config: Value,
    /// Whether each item is wanted with its whole state.
    pub include_resource: bool,
    /// At most this many; 0 for all.
    pub limit: usize,
}

/// One object that exists.
#[derive(Debug, Clone)]
pub struct ListItem {
    /// Its identity.
    pub identity: Value,
    /// What people call it.
    pub display_name: String,
    /// Its state, if it was asked for.
    pub resource: Option<Value>,
    /// What is to be said about it.
    pub diagnostics: Diagnostics,
}

impl ListItem {
    /// An object without its state.
    pub fn new(identity: Value, display_name: impl Into<String>) -> Self {
        Self {
            identity,
            display_name: display_name.into(),
            resource: None,
            diagnostics: Diagnostics::new(),
        }
    }

    /// Says something about the object.
    #[must_use]
    pub fn note(mut self, diagnostic: Diagnostic) -> Self {
        self.diagnostics.push(diagnostic);
        self
    }
}

/// Where a listing goes. Holds few items: a fast listing waits for a slow reader.
#[derive(Debug)]
pub struct ListSink {
    pub(crate) items: mpsc::Sender<ListItem>,
}

impl ListSink {
    /// Sends one item. `false`: nobody wants more.
    pub async fn push(&self, item: ListItem) -> bool {
        self.items.send(item).await.is_ok()
    }
}
