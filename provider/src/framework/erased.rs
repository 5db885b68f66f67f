//! Handlers without their types: what the server calls, in values only. One wrapper a trait; the conversions
//! of models are here and nowhere else.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::plan::Plan;
use super::schema::{IdentitySchema, Schema};
use super::traits::{
    Action, Context, CreateRequest, DataOutcome, DataSource, DeferReason, DeleteRequest, EphemeralResource,
    ImportRequest, Imported, ListRequest, ListResource, ListSink, MoveRequest, Opened, Outcome, Private,
    Progress, ReadOutcome, ReadRequest, Renewed, Resource, UpdateRequest, Upgrade,
};
use super::value::{Type, Value, from_value, to_value};

/// A registered handler, with its schema made at first use.
pub(crate) struct Entry<H: ?Sized> {
    pub(crate) name: &'static str,
    pub(crate) handler: Arc<H>,
    schema: OnceLock<(Schema, Type)>,
}

impl<H: HasSchema + ?Sized> Entry<H> {
    pub(crate) fn new(name: &'static str, handler: Arc<H>) -> Self {
        Self {
            name,
            handler,
            schema: OnceLock::new(),
        }
    }

    fn made(&self) -> &(Schema, Type) {
        self.schema.get_or_init(|| {
            let schema = self.handler.schema();
            let ty = schema.ty();
            (schema, ty)
        })
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.made().0
    }

    pub(crate) fn ty(&self) -> &Type {
        &self.made().1
    }
}

pub(crate) trait HasSchema: Send + Sync {
    fn schema(&self) -> Schema;
}

/// A resource whose types are to be forgotten. One wrapper for each trait, because one type might have
/// several of them.
pub(crate) struct Typed<H>(pub(crate) H);

#[async_trait]
pub(crate) trait ErasedResource<D>: HasSchema {
    fn identity_schema(&self) -> Option<IdentitySchema>;
    fn identity(&self, state: &Value, ty: &Type) -> Result<Option<Value>, Diagnostics>;
    async fn validate(&self, cx: &Context<D>, config: &Value) -> Diagnostics;
    async fn modify_plan(&self, cx: &Context<D>, plan: &mut Plan) -> Result<(), Diagnostics>;
    async fn create(&self, cx: &Context<D>, change: Change<'_>) -> Result<Outcome<Value>, Diagnostics>;
    async fn read(
        &self,
        cx: &Context<D>,
        state: ReadRequest<Value>,
        ty: &Type,
    ) -> Result<ReadOutcome<Value>, Diagnostics>;
    async fn update(&self, cx: &Context<D>, change: Change<'_>) -> Result<Outcome<Value>, Diagnostics>;
    async fn delete(&self, cx: &Context<D>, change: Change<'_>) -> Result<Outcome<Value>, Diagnostics>;
    async fn import(
        &self,
        cx: &Context<D>,
        request: ImportRequest,
        ty: &Type,
    ) -> Result<Imported<Value>, Diagnostics>;
    fn upgrades(&self) -> Vec<Upgrade>;
    fn move_state(&self, request: &MoveRequest, ty: &Type) -> Option<Result<Value, Diagnostics>>;
}

/// What an apply is to do, as values.
#[derive(Clone)]
pub(crate) struct Change<'a> {
    pub(crate) prior: &'a Value,
    pub(crate) planned: &'a Value,
    pub(crate) config: &'a Value,
    pub(crate) private: Private,
    pub(crate) ty: &'a Type,
}

/// The outcome in values. The object exists by now: if the model cannot be written, what was planned is kept
/// in its place.
fn outcome<M: serde::Serialize>(outcome: Outcome<M>, kept: &Value, ty: &Type) -> Outcome<Value> {
    let Outcome {
        state,
        private,
        mut diagnostics,
    } = outcome;
    let state = state.map(|model| {
        to_value(&model, ty).unwrap_or_else(|error| {
            diagnostics.push(
                Diagnostic::bug(format_args!("the new state does not fit the schema: {error}"))
                    .at(&error.path),
            );
            kept.clone().unknown_as_null()
        })
    });
    Outcome {
        state,
        private,
        diagnostics,
    }
}

/// Writes a model that is to be of type `ty`.
fn written<M: serde::Serialize>(model: &M, ty: &Type) -> Result<Value, Diagnostics> {
    to_value(model, ty).map_err(|error| {
        Diagnostic::bug(format_args!("the answer does not fit the schema: {error}"))
            .at(&error.path)
            .into()
    })
}

impl<R: Resource> HasSchema for Typed<R> {
    fn schema(&self) -> Schema {
        self.0.schema()
    }
}

#[async_trait]
impl<R: Resource> ErasedResource<R::Data> for Typed<R> {
    fn identity_schema(&self) -> Option<IdentitySchema> {
        self.0.identity_schema()
    }

    fn identity(&self, state: &Value, ty: &Type) -> Result<Option<Value>, Diagnostics> {
        // A state that is no model yet (unknown values, or an import that knows little) has no identity yet.
        let Ok(model) = from_value::<R::Model>(state) else {
            return Ok(None);
        };
        let Some(identity) = self.0.identity(&model) else {
            return Ok(None);
        };
        let identity = written(&identity, ty)?;
        if identity.is_wholly_known() && !identity.is_null() {
            Ok(Some(identity))
        } else {
            Ok(None)
        }
    }

    async fn validate(&self, cx: &Context<R::Data>, config: &Value) -> Diagnostics {
        self.0.validate(cx, config).await
    }

    async fn modify_plan(&self, cx: &Context<R::Data>, plan: &mut Plan) -> Result<(), Diagnostics> {
        self.0.modify_plan(cx, plan).await
    }

    async fn create(&self, cx: &Context<R::Data>, change: Change<'_>) -> Result<Outcome<Value>, Diagnostics> {
        let request = CreateRequest {
            plan: from_value(change.planned)?,
            config: from_value(change.config)?,
            private: change.private,
        };
        Ok(outcome(
            self.0.create(cx, request).await?,
            change.planned,
            change.ty,
        ))
    }

    async fn read(
        &self,
        cx: &Context<R::Data>,
        request: ReadRequest<Value>,
        ty: &Type,
    ) -> Result<ReadOutcome<Value>, Diagnostics> {
        let ReadRequest {
            state,
            private,
            identity,
        } = request;
        let request = ReadRequest {
            state: from_value(&state)?,
            private,
            identity,
        };
        Ok(match self.0.read(cx, request).await? {
            ReadOutcome::Present { state, private } => ReadOutcome::Present {
                state: written(&state, ty)?,
                private,
            },
            ReadOutcome::Gone => ReadOutcome::Gone,
            ReadOutcome::Deferred(reason) => ReadOutcome::Deferred(reason),
        })
    }

    async fn update(&self, cx: &Context<R::Data>, change: Change<'_>) -> Result<Outcome<Value>, Diagnostics> {
        let request = UpdateRequest {
            prior: from_value(change.prior)?,
            plan: from_value(change.planned)?,
            config: from_value(change.config)?,
            private: change.private,
        };
        Ok(outcome(
            self.0.update(cx, request).await?,
            change.prior,
            change.ty,
        ))
    }

    async fn delete(&self, cx: &Context<R::Data>, change: Change<'_>) -> Result<Outcome<Value>, Diagnostics> {
        let request = DeleteRequest {
            state: from_value(change.prior)?,
            private: change.private,
        };
        Ok(outcome(
            self.0.delete(cx, request).await?,
            change.prior,
            change.ty,
        ))
    }

    async fn import(
        &self,
        cx: &Context<R::Data>,
        request: ImportRequest,
        ty: &Type,
    ) -> Result<Imported<Value>, Diagnostics> {
        let Imported {
            state,
            private,
            deferred,
        } = self.0.import(cx, request).await?;
        Ok(Imported {
            state: written(&state, ty)?,
            private,
            deferred,
        })
    }

    fn upgrades(&self) -> Vec<Upgrade> {
        self.0.upgrades()
    }

    fn move_state(&self, request: &MoveRequest, ty: &Type) -> Option<Result<Value, Diagnostics>> {
        let moved = self.0.move_state(request)?;
        Some(moved.and_then(|model| written(&model, ty)))
    }
}

#[async_trait]
pub(crate) trait ErasedDataSource<D>: HasSchema {
    async fn validate(&self, cx: &Context<D>, config: &Value) -> Diagnostics;
    async fn read(
        &self,
        cx: &Context<D>,
        config: &Value,
        ty: &Type,
    ) -> Result<DataOutcome<Value>, Diagnostics>;
}

impl<S: DataSource> HasSchema for TypedSource<S> {
    fn schema(&self) -> Schema {
        self.0.schema()
    }
}

/// As [`Typed`], for data sources.
pub(crate) struct TypedSource<S>(pub(crate) S);

#[async_trait]
impl<S: DataSource> ErasedDataSource<S::Data> for TypedSource<S> {
    async fn validate(&self, cx: &Context<S::Data>, config: &Value) -> Diagnostics {
        self.0.validate(cx, config).await
    }

    async fn read(
        &self,
        cx: &Context<S::Data>,
        config: &Value,
        ty: &Type,
    ) -> Result<DataOutcome<Value>, Diagnostics> {
        Ok(match self.0.read(cx, from_value(config)?).await? {
            DataOutcome::Read(model) => DataOutcome::Read(written(&model, ty)?),
            DataOutcome::Deferred(reason) => DataOutcome::Deferred(reason),
        })
    }
}

#[async_trait]
pub(crate) trait ErasedEphemeral<D>: HasSchema {
    async fn validate(&self, cx: &Context<D>, config: &Value) -> Diagnostics;
    async fn open(&self, cx: &Context<D>, config: &Value, ty: &Type) -> Result<Opened<Value>, Diagnostics>;
    async fn renew(&self, cx: &Context<D>, private: Private) -> Result<Renewed, Diagnostics>;
    async fn close(&self, cx: &Context<D>, private: Private) -> Result<(), Diagnostics>;
}

/// As [`Typed`], for ephemeral resources.
pub(crate) struct TypedEphemeral<E>(pub(crate) E);

impl<E: EphemeralResource> HasSchema for TypedEphemeral<E> {
    fn schema(&self) -> Schema {
        self.0.schema()
    }
}

#[async_trait]
impl<E: EphemeralResource> ErasedEphemeral<E::Data> for TypedEphemeral<E> {
    async fn validate(&self, cx: &Context<E::Data>, config: &Value) -> Diagnostics {
        self.0.validate(cx, config).await
    }

    async fn open(
        &self,
        cx: &Context<E::Data>,
        config: &Value,
        ty: &Type,
    ) -> Result<Opened<Value>, Diagnostics> {
        let Opened {
            result,
            renew_at,
            private,
            deferred,
        } = self.0.open(cx, from_value(config)?).await?;
        Ok(Opened {
            result: written(&result, ty)?,
            renew_at,
            private,
            deferred,
        })
    }

    async fn renew(&self, cx: &Context<E::Data>, private: Private) -> Result<Renewed, Diagnostics> {
        self.0.renew(cx, private).await
    }

    async fn close(&self, cx: &Context<E::Data>, private: Private) -> Result<(), Diagnostics> {
        self.0.close(cx, private).await
    }
}

#[async_trait]
pub(crate) trait ErasedList<D>: HasSchema {
    async fn validate(&self, cx: &Context<D>, config: &Value) -> Diagnostics;
    async fn list(&self, cx: &Context<D>, request: ListRequest, out: &ListSink) -> Result<(), Diagnostics>;
}

/// As [`Typed`], for list resources.
pub(crate) struct TypedList<L>(pub(crate) L);

impl<L: ListResource> HasSchema for TypedList<L> {
    fn schema(&self) -> Schema {
        self.0.schema()
    }
}

#[async_trait]
impl<L: ListResource> ErasedList<L::Data> for TypedList<L> {
    async fn validate(&self, cx: &Context<L::Data>, config: &Value) -> Diagnostics {
        self.0.validate(cx, config).await
    }

    async fn list(
        &self,
        cx: &Context<L::Data>,
        request: ListRequest,
        out: &ListSink,
    ) -> Result<(), Diagnostics> {
        self.0.list(cx, request, out).await
    }
}

#[async_trait]
pub(crate) trait ErasedAction<D>: HasSchema {
    async fn validate(&self, cx: &Context<D>, config: &Value) -> Diagnostics;
    async fn plan(&self, cx: &Context<D>, config: &Value) -> Result<Option<DeferReason>, Diagnostics>;
    async fn invoke(&self, cx: &Context<D>, config: &Value, progress: &Progress) -> Result<(), Diagnostics>;
}

/// As [`Typed`], for actions.
pub(crate) struct TypedAction<A>(pub(crate) A);

impl<A: Action> HasSchema for TypedAction<A> {
    fn schema(&self) -> Schema {
        self.0.schema()
    }
}

#[async_trait]
impl<A: Action> ErasedAction<A::Data> for TypedAction<A> {
    async fn validate(&self, cx: &Context<A::Data>, config: &Value) -> Diagnostics {
        self.0.validate(cx, config).await
    }

    async fn plan(&self, cx: &Context<A::Data>, config: &Value) -> Result<Option<DeferReason>, Diagnostics> {
        self.0.plan(cx, config).await
    }

    async fn invoke(
        &self,
        cx: &Context<A::Data>,
        config: &Value,
        progress: &Progress,
    ) -> Result<(), Diagnostics> {
        self.0.invoke(cx, from_value(config)?, progress).await
    }
}
