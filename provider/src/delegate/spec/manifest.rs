//! The installation of plain objects.

use delegate_core::config::DelegateConfig;

use super::super::model::{self, Model};
use super::{kubernetes, notes};
use crate::framework::diagnostics::Diagnostics;
use crate::install::manifest::ManifestSpec;

pub(super) fn spec(
    model: &Model,
    manifest: &model::Manifest,
    config: DelegateConfig,
) -> Result<ManifestSpec, Diagnostics> {
    Ok(ManifestSpec {
        delegate: kubernetes::delegate(model, manifest.namespace.as_ref(), config)?,
        create_namespace: manifest.create_namespace.unwrap_or(true),
        force_conflicts: manifest.force_conflicts.unwrap_or_default(),
        notes: notes(model),
    })
}
