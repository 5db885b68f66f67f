//! The protocol's service for any [`Provider`].
//!
//! One file per group of calls. Each call is a function from its request to `Result<Response, Diagnostics>`;
//! what it shares with all others is in [`service`]: a span (never with values in it), a guard against
//! panics, and the answer that keeps what is stored when the call itself has none.
//!
//! Nothing here fails a call on the wire: Terraform shows gRPC errors as a crash of the plugin. The exception
//! is what we do not have (state stores), which is "unimplemented", as the protocol wants.

mod action;
mod configure;
mod data_source;
mod ephemeral;
mod function;
mod list;
mod resource;
mod schemas;
mod service;

use std::sync::{OnceLock, PoisonError, RwLock};

use super::convert;
use super::diagnostics::{Diagnostic, Diagnostics};
use super::plan::checks;
use super::schema::Schema;
use super::traits::{ClientCapabilities, Configured, Context, DeferReason, Parts, Provider};
use super::value::{Type, Value};
use crate::plugin::StopSignal;
use crate::plugin::proto::tfplugin6 as pb;

/// A provider as a service. Give it to the plugin layer:
///
/// ```no_run
/// # use harness_provider::framework::{prelude::*, server::ProviderServer};
/// # struct MyProvider;
/// # #[async_trait]
/// # impl Provider for MyProvider {
/// #     type Data = ();
/// #     fn schema(&self) -> Schema { Schema::new(0) }
/// #     fn register(&self, _: &mut Parts<()>) {}
/// #     async fn configure(&self, _: ConfigureRequest) -> Result<(), Diagnostics> { Ok(()) }
/// # }
/// # use harness_provider::plugin::{self, ServeOptions};
/// # fn main() -> std::process::ExitCode {
/// # let options = ServeOptions { name: "x", version: "0", source: "registry.terraform.io/x/x", log_targets: &[] };
/// plugin::run(options, std::env::args_os().skip(1), |stop| ProviderServer::new(MyProvider, stop))
/// # }
/// ```
pub struct ProviderServer<P: Provider> {
    provider: P,
    parts: Parts<P::Data>,
    schema: OnceLock<(Schema, Type)>,
    meta: OnceLock<Option<(Schema, Type)>>,
    configured: RwLock<Configured<P::Data>>,
    stop: StopSignal,
}

impl<P: Provider> ProviderServer<P> {
    /// Serves `provider`. `stop` is fired by Terraform's `StopProvider`. Schemas are made at first use, so
    /// starting costs nothing.
    pub fn new(provider: P, stop: StopSignal) -> Self {
        let mut parts = Parts::new();
        provider.register(&mut parts);
        Self {
            provider,
            parts,
            schema: OnceLock::new(),
            meta: OnceLock::new(),
            configured: RwLock::new(Configured::Absent),
            stop,
        }
    }

    /// Every fault of every schema. For a test of each provider; builds with debug assertions also refuse to
    /// hand out faulty schemas.
    pub fn check(&self) -> Vec<String> {
        let mut faults = self.provider_schema().0.check("provider");
        if let Some((meta, _)) = self.meta_schema() {
            faults.extend(meta.check("provider_meta"));
        }
        faults.extend(self.parts.check());
        faults
    }

    fn provider_schema(&self) -> &(Schema, Type) {
        self.schema.get_or_init(|| with_type(self.provider.schema()))
    }

    fn meta_schema(&self) -> Option<&(Schema, Type)> {
        self.meta
            .get_or_init(|| self.provider.meta_schema().map(with_type))
            .as_ref()
    }

    /// The surroundings of a call that starts now.
    fn context(
        &self,
        client: Option<&pb::ClientCapabilities>,
        meta: Option<&pb::DynamicValue>,
    ) -> Result<Context<P::Data>, Diagnostics> {
        let meta = match self.meta_schema() {
            Some((_, ty)) => convert::value(meta, ty)?,
            None => Value::Null,
        };
        let configured = self
            .configured
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok(Context::new(
            configured,
            convert::client(client),
            self.stop.token(),
            meta,
            self.stop.at_end(),
        ))
    }
}

fn with_type(schema: Schema) -> (Schema, Type) {
    let ty = schema.ty();
    (schema, ty)
}

/// The message for "not yet", if the host takes it.
fn deferral(client: ClientCapabilities, reason: DeferReason) -> Result<pb::Deferred, Diagnostics> {
    if client.deferral_allowed {
        return Ok(convert::deferred(reason));
    }
    let why = match reason {
        DeferReason::ResourceConfigUnknown => "some of its arguments are known only after apply",
        DeferReason::ProviderConfigUnknown => "some of the provider's arguments are known only after apply",
        DeferReason::AbsentPrerequisite => "something it needs does not exist yet",
    };
    Err(Diagnostics::error(
        "Not possible yet",
        format!(
            "This cannot be done yet, because {why}. Apply what it depends on first, for example with -target, and then again."
        ),
    ))
}

/// Adds what a handler warned about to what it answered, on both ways out.
fn with_warnings<D, T>(
    cx: &Context<D>,
    result: Result<T, Diagnostics>,
) -> Result<(T, Diagnostics), Diagnostics> {
    let mut warnings = cx.take_warnings();
    match result {
        Ok(value) => Ok((value, warnings)),
        Err(errors) => {
            warnings.extend(errors);
            Err(warnings)
        }
    }
}

/// Checks a configuration: the schema's validators and rules, then the handler's own check.
async fn validate<D>(
    schema: &Schema,
    config: &Value,
    cx: &Context<D>,
    own: impl Future<Output = Diagnostics>,
) -> Diagnostics {
    let mut diagnostics = schema.validate(config);
    // A handler sees only what its schema accepts; a second message about the same value would help nobody.
    if !diagnostics.has_errors() {
        diagnostics.extend(own.await);
        diagnostics.extend(cx.take_warnings());
    }
    diagnostics
}

/// Whether `result` is `config` completed: nothing configured changed, nothing unknown left.
fn completes(schema: &Schema, config: &Value, result: &Value) -> Result<(), Diagnostics> {
    let mut violations = checks::state(schema, result);
    if cfg!(debug_assertions) {
        violations.extend(checks::plan(schema, &Value::Null, config, result));
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(violations.into_iter().map(Diagnostic::from).collect())
    }
}

/// A host that does not know write-only attributes would store them.
fn write_only_gate(schema: &Schema, config: &Value, client: ClientCapabilities) -> Diagnostics {
    if client.write_only_attributes_allowed {
        return Diagnostics::new();
    }
    let refused = |path| {
        let detail = format!(
            "{path} is write-only, and this version of Terraform would store it. Use Terraform 1.11 or later (OpenTofu 1.11 or \
             later), or an argument that is not write-only."
        );
        Diagnostic::error("Write-only argument not supported here", detail).at(path)
    };
    schema.write_only_set(config).into_iter().map(refused).collect()
}
