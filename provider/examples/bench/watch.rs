//! What the provider holds in memory while Terraform works with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Outcome;
use crate::plan::Workspace;
use crate::report::mebibytes;
use crate::site::peak;

/// Between two looks. The kernel keeps the highest mark of a process, so only its last moments can be missed.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Runs Terraform; the most that one of the providers it started had resident, in mebibytes.
pub(crate) async fn resident(workspace: &Workspace, arguments: &[&str]) -> Outcome<f64> {
    let folder = workspace.folder().canonicalize()?;
    let mut running = std::pin::pin!(workspace.run(arguments));
    let mut most = 0;
    loop {
        tokio::select! {
            ended = &mut running => {
                ended?;
                break;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {
                for pid in programs_below(&folder) {
                    // One that has just ended has none.
                    most = most.max(peak(pid).unwrap_or_default());
                }
            }
        }
    }
    if most == 0 {
        return Err(format!("terraform {arguments:?} started no provider that was seen").into());
    }
    Ok(mebibytes(most))
}

/// The processes whose program lies below a folder.
fn programs_below(folder: &Path) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| program(*pid).is_some_and(|program| program.starts_with(folder)))
        .collect()
}

fn program(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}
