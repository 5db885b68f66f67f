//! A plan as a resource sees it in its own hook.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::traits::{DeferReason, Private};
use crate::framework::value::typed::to_untyped_value;
use crate::framework::value::{AttributePath, Field, Type, Value, ValueError};

/// A plan that may still be changed, within Terraform's rules: what the user configured stays, what is
/// computed is free.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) config: Value,
    pub(crate) prior: Value,
    pub(crate) planned: Value,
    pub(crate) ty: Type,
    pub(crate) requires_replace: Vec<AttributePath>,
    pub(crate) deferred: Option<DeferReason>,
    /// What to remember with the plan. A change of it alone never causes an update.
    pub private: Private,
}

impl Plan {
    /// The configuration, write-only values included; null in a destroy.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// What is stored; null in a create.
    pub fn prior(&self) -> &Value {
        &self.prior
    }

    /// What is planned so far; null in a destroy.
    pub fn planned(&self) -> &Value {
        &self.planned
    }

    /// Whether the object is to be made. Terraform plans a replacement twice: as an update, and then as a
    /// create.
    pub fn is_create(&self) -> bool {
        self.prior.is_null()
    }

    /// Whether the object is to be removed.
    pub fn is_destroy(&self) -> bool {
        self.planned.is_null()
    }

    /// Whether the object stays, changed or not.
    pub fn is_update(&self) -> bool {
        !self.is_create() && !self.is_destroy()
    }

    /// Whether anything changes.
    pub fn has_changes(&self) -> bool {
        self.planned != self.prior
    }

    /// Whether the planned value at `path` differs from the stored one.
    pub fn changes(&self, path: impl Into<AttributePath>) -> bool {
        let path = path.into();
        self.planned.at(&path) != self.prior.at(&path)
    }

    /// The planned value at `path`.
    pub fn field<T: DeserializeOwned>(&self, path: impl Into<AttributePath>) -> Result<Field<T>, ValueError> {
        self.planned.field(path)
    }

    /// Plans `value` at `path`. For attributes that are computed and not configured.
    pub fn set(
        &mut self,
        path: impl Into<AttributePath>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), Diagnostics> {
        let path = path.into();
        let Some(ty) = self.ty.at(&path) else {
            return Err(no_place(&path));
        };
        let value = to_untyped_value(value)
            .and_then(|value| value.conform(ty))
            .map_err(|error| error.under(&path))?;
        match self.planned.at_mut(&path) {
            Some(place) => *place = value,
            None => return Err(no_place(&path)),
        }
        Ok(())
    }

    /// Plans the value at `path` to be known after apply.
    pub fn set_unknown(&mut self, path: impl Into<AttributePath>) -> Result<(), Diagnostics> {
        self.set(path, &Field::<()>::Unknown)
    }

    /// Asks for the object to be replaced because of what changes at `path`. Counts only where something does
    /// change.
    pub fn require_replace(&mut self, path: impl Into<AttributePath>) {
        self.requires_replace.push(path.into());
    }

    /// Whether the object is to be replaced, as far as is known here.
    pub fn is_replace(&self) -> bool {
        self.is_update()
            && self
                .requires_replace
                .iter()
                .any(|path| self.planned.at(path) != self.prior.at(path))
    }

    /// Puts the resource off. Only for hosts that allow it.
    pub fn defer(&mut self, reason: DeferReason) {
        self.deferred = Some(reason);
    }
}

fn no_place(path: &AttributePath) -> Diagnostics {
    Diagnostic::bug(format_args!("a plan has no place {path}"))
        .at(path)
        .into()
}
