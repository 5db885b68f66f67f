//! Delegates that are services of this machine: those in the folder where installations are put that name none.

use std::path::Path;

use delegate_core::install::host;

use super::Found;
use crate::delegate::place::told_of_machine;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::host::Facts;

pub(super) async fn find() -> Result<Vec<Found>, Diagnostics> {
    tokio::task::spawn_blocking(look)
        .await
        .map_err(|panic| Diagnostics::error("The listing failed", panic.to_string()))?
}

fn look() -> Result<Vec<Found>, Diagnostics> {
    let here = Facts::of_this_machine().map_err(|error| told_of_machine(&error))?;
    let any = here.default_directory("any");
    let base = any.parent().unwrap_or(Path::new("/"));
    let entries = match std::fs::read_dir(base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let summary = format!("Cannot look into {}", base.display());
            return Err(Diagnostic::from_error(summary, &error, "Run Terraform as a user who may.").into());
        }
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let directory = entry.path();
        match host::observe(&directory) {
            // A folder of another name cannot be found again by the delegate's.
            Ok(Some(seen)) if here.default_directory(&seen.record.name) == directory => found.push(Found {
                id: format!("host/localhost/{}", seen.record.name),
                display_name: seen.record.name,
            }),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, directory = %directory.display(), "a folder was left out of the listing");
            }
        }
    }
    Ok(found)
}
