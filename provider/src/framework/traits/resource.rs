//! Managed resources: created, read, updated and deleted by Terraform.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::{Context, DeferReason, Private};
use crate::framework::diagnostics::Diagnostics;
use crate::framework::plan::Plan;
use crate::framework::schema::{IdentitySchema, Schema};
use crate::framework::value::Value;

/// A managed resource. See the module's head for the rules of all handlers.
#[async_trait]
pub trait Resource: Send + Sync + 'static {
    /// The provider's data.
    type Data: Send + Sync + 'static;
    /// One field an attribute, by the attribute's name. `Field<T>` where a plan may hold an unknown
    /// (everything computed); `Option<T>` where a value may be absent, and where a default fills in, because
    /// the configuration is without it; `T` where it is always there. Used for config, plan and state; in a
    /// plan and a state write-only attributes are null.
    type Model: Serialize + DeserializeOwned + Send + Sync;

    /// The full type name, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// The schema. Asked for once.
    fn schema(&self) -> Schema;

    /// The schema of the identity, if the resource has one.
    fn identity_schema(&self) -> Option<IdentitySchema> {
        None
    }

    /// The identity of what `state` describes: a pure function of the state, so that every answer can carry
    /// it, also for states older than the identity. `None` while the state does not say enough.
    fn identity(&self, state: &Self::Model) -> Option<Value> {
        let _ = state;
        None
    }

    /// Checks a configuration beyond the schema's validators and rules. Values may be unknown; use
    /// [`Value::field`].
    async fn validate(&self, cx: &Context<Self::Data>, config: &Value) -> Diagnostics {
        let _ = (cx, config);
        Diagnostics::new()
    }

    /// Looks at a plan before the user sees it, also at that of a destroy: refuse it, warn, change computed
    /// values, ask for replacement.
    async fn modify_plan(&self, cx: &Context<Self::Data>, plan: &mut Plan) -> Result<(), Diagnostics> {
        let _ = (cx, plan);
        Ok(())
    }

    /// Makes the object. `Err`: nothing was made. [`Outcome::partial`]: something was; Terraform keeps it and
    /// replaces it next time.
    async fn create(
        &self,
        cx: &Context<Self::Data>,
        request: CreateRequest<Self::Model>,
    ) -> Result<Outcome<Self::Model>, Diagnostics>;

    /// Looks at the object. `Err`: cannot say, the state stays.
    async fn read(
        &self,
        cx: &Context<Self::Data>,
        request: ReadRequest<Self::Model>,
    ) -> Result<ReadOutcome<Self::Model>, Diagnostics>;

    /// Changes the object. `Err`: nothing was changed. [`Outcome::partial`]: some of it was.
    async fn update(
        &self,
        cx: &Context<Self::Data>,
        request: UpdateRequest<Self::Model>,
    ) -> Result<Outcome<Self::Model>, Diagnostics>;

    /// Removes the object; one that is gone already is a success. `Err`: it is still there.
    async fn delete(
        &self,
        cx: &Context<Self::Data>,
        request: DeleteRequest<Self::Model>,
    ) -> Result<Outcome<Self::Model>, Diagnostics>;

    /// Finds what is to be imported. Terraform reads it right after, so a state that says where it is
    /// suffices.
    async fn import(
        &self,
        cx: &Context<Self::Data>,
        request: ImportRequest,
    ) -> Result<Imported<Self::Model>, Diagnostics> {
        let _ = (cx, request);
        Err(Diagnostics::error(
            "Import is not supported",
            format!("{} cannot be imported.", self.type_name()),
        ))
    }

    /// The steps from older schema versions to the present one. Attributes that vanished or appeared need
    /// none.
    fn upgrades(&self) -> Vec<Upgrade> {
        Vec::new()
    }

    /// The state of this resource made from that of another type, for `moved` blocks. `None`: not from there.
    fn move_state(&self, request: &MoveRequest) -> Option<Result<Self::Model, Diagnostics>> {
        let _ = request;
        None
    }
}

/// What is to be made.
#[derive(Debug, Clone)]
pub struct CreateRequest<M> {
    /// The plan. Known values must come back as they are, unknown ones filled in.
    pub plan: M,
    /// The configuration: the only place of write-only values.
    pub config: M,
    /// What the plan remembered.
    pub private: Private,
}

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct ReadRequest<M> {
    /// What is stored. Keep its form of a value where the object's means the same.
    pub state: M,
    /// What is remembered.
    pub private: Private,
    /// The stored identity; null if there is none.
    pub identity: Value,
}

/// What is to be changed.
#[derive(Debug, Clone)]
pub struct UpdateRequest<M> {
    /// What is stored.
    pub prior: M,
    /// The plan. Known values must come back as they are, unknown ones filled in.
    pub plan: M,
    /// The configuration: the only place of write-only values.
    pub config: M,
    /// What the plan remembered.
    pub private: Private,
}

/// What is to be removed.
#[derive(Debug, Clone)]
pub struct DeleteRequest<M> {
    /// What is stored.
    pub state: M,
    /// What the plan remembered.
    pub private: Private,
}

/// The state after create, update or delete, and what went wrong on the way.
#[derive(Debug, Clone)]
#[must_use]
pub struct Outcome<M> {
    /// What there is now; `None` if nothing is left.
    pub state: Option<M>,
    /// What to remember; `None` keeps what the request held.
    pub private: Option<Private>,
    /// What went wrong. With an error the state is kept as a partial one.
    pub diagnostics: Diagnostics,
}

impl<M> Outcome<M> {
    /// All of it was done.
    pub const fn done(state: M) -> Self {
        Self {
            state: Some(state),
            private: None,
            diagnostics: Diagnostics::new(),
        }
    }

    /// The object is gone.
    pub const fn gone() -> Self {
        Self {
            state: None,
            private: None,
            diagnostics: Diagnostics::new(),
        }
    }

    /// It failed, and this is what there is now. Values still unknown are stored as null.
    pub fn partial(state: M, problem: impl Into<Diagnostics>) -> Self {
        Self {
            state: Some(state),
            private: None,
            diagnostics: problem.into(),
        }
    }

    /// The same, with this to remember.
    pub fn with_private(mut self, private: Private) -> Self {
        self.private = Some(private);
        self
    }
}

/// What a read found. There is no way to take an error for "gone": an error is the `Err` around this.
#[derive(Debug, Clone)]
#[must_use]
pub enum ReadOutcome<M> {
    /// The object is there.
    Present {
        /// What it is like now.
        state: M,
        /// What to remember; `None` keeps what the request held.
        private: Option<Private>,
    },
    /// The object is known to be gone. Terraform plans to create it anew.
    Gone,
    /// It cannot be looked at yet. Only for hosts that allow it
    /// ([`super::ClientCapabilities::deferral_allowed`]).
    Deferred(DeferReason),
}

impl<M> ReadOutcome<M> {
    /// The object is there, and nothing new is to be remembered.
    pub const fn present(state: M) -> Self {
        Self::Present { state, private: None }
    }
}

/// What to import.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// By what it is named.
    pub target: ImportTarget,
}

/// By what an import names its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportTarget {
    /// The id of `terraform import` or of an import block.
    Id(String),
    /// The identity of an import block.
    Identity(Value),
}

/// What an import found.
#[derive(Debug, Clone)]
pub struct Imported<M> {
    /// The state, as far as it is known; the read that follows completes it.
    pub state: M,
    /// What to remember.
    pub private: Private,
    /// It cannot be imported yet. Only for hosts that allow it.
    pub deferred: Option<DeferReason>,
}

impl<M> Imported<M> {
    /// Found.
    pub const fn new(state: M) -> Self {
        Self {
            state,
            private: Private::new(),
            deferred: None,
        }
    }
}

/// One step of a state upgrade: from version `from` to `from + 1`, on the stored JSON.
#[derive(Debug, Clone, Copy)]
pub struct Upgrade {
    /// The schema version of the state that this takes.
    pub from: i64,
    /// Changes the state; the text says what it cannot read.
    pub apply: fn(Json) -> Result<Json, String>,
}

/// The state of another type that is to become one of this.
#[derive(Debug, Clone)]
pub struct MoveRequest {
    /// The address of the provider it was of.
    pub provider_address: String,
    /// The type it was of.
    pub type_name: String,
    /// The schema version it was stored with.
    pub schema_version: i64,
    /// What is stored.
    pub state: Json,
}
