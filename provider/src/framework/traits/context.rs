//! What every handler is given besides its request.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::value::Value;
use crate::plugin::AtEnd;

/// What the host can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientCapabilities {
    /// It takes "not yet" for an answer.
    pub deferral_allowed: bool,
    /// It keeps write-only values out of plans and states.
    pub write_only_attributes_allowed: bool,
}

/// Why something cannot be planned or read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeferReason {
    /// The resource's configuration has unknown values.
    ResourceConfigUnknown,
    /// The provider's configuration has unknown values.
    ProviderConfigUnknown,
    /// Something it needs is not there yet.
    AbsentPrerequisite,
}

/// The provider's configured data, and how sure it is.
#[derive(Debug)]
pub enum Configured<D> {
    /// Nobody has configured the provider: the call came before, or Configure failed.
    Absent,
    /// Some argument of the provider is known only after apply.
    Partial(Arc<D>),
    /// Everything is known.
    Ready(Arc<D>),
}

impl<D> Configured<D> {
    /// The data, complete or not.
    pub fn data(&self) -> Option<&Arc<D>> {
        match self {
            Self::Absent => None,
            Self::Partial(data) | Self::Ready(data) => Some(data),
        }
    }

    /// Whether some argument of the provider is not known yet.
    pub const fn is_partial(&self) -> bool {
        matches!(self, Self::Partial(_))
    }
}

impl<D> Clone for Configured<D> {
    fn clone(&self) -> Self {
        match self {
            Self::Absent => Self::Absent,
            Self::Partial(data) => Self::Partial(Arc::clone(data)),
            Self::Ready(data) => Self::Ready(Arc::clone(data)),
        }
    }
}

/// The surroundings of one call.
#[derive(Debug)]
pub struct Context<D> {
    /// The provider's data.
    pub provider: Configured<D>,
    /// What the host can do.
    pub client: ClientCapabilities,
    /// Cancelled when the user pressed Ctrl-C: stop waiting, and return what was reached. It says nothing
    /// about the process, which lives on.
    pub stop: CancellationToken,
    /// The module's `provider_meta`; null unless the provider has a schema for it and the module sets it.
    pub meta: Value,
    warnings: Mutex<Diagnostics>,
    at_end: AtEnd,
}

impl<D> Context<D> {
    /// The surroundings of a call.
    pub fn new(
        provider: Configured<D>,
        client: ClientCapabilities,
        stop: CancellationToken,
        meta: Value,
        at_end: AtEnd,
    ) -> Self {
        Self {
            provider,
            client,
            stop,
            meta,
            warnings: Mutex::default(),
            at_end,
        }
    }

    /// Leaves work to be done once the host has asked this process to end, by when it has stored every answer. It has to be
    /// short, and nothing may depend on it: a host that is killed never asks.
    pub fn at_end(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.at_end.leave(work);
    }

    /// The provider's data, or why there is none.
    pub fn data(&self) -> Result<&Arc<D>, Diagnostics> {
        self.provider.data().ok_or_else(|| {
            Diagnostics::error(
                "The provider is not configured",
                "This needs the provider's configuration, which was not given or was refused. Correct the provider block \
                 and try again.",
            )
        })
    }

    /// Tells the user something that does not fail the call.
    pub fn warn(&self, warning: Diagnostic) {
        self.warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(warning);
    }

    /// What was said so far.
    pub(crate) fn take_warnings(&self) -> Diagnostics {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
