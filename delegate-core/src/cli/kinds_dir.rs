//! The folder of task kinds of one's own, for verbs that ask no manager.

use std::ffi::OsString;
use std::path::Path;

use super::complain;
use crate::task::Registry;

#[derive(clap::Args)]
pub(super) struct KindsDir {
    /// Folder with the manifests of further kinds.
    #[arg(long, value_name = "DIR", env = "DELEGATE_TASK_KINDS_DIR")]
    kinds_dir: Option<OsString>,
}

impl KindsDir {
    /// The kinds of this program, and those of the folder. What is wrong with a manifest is told on the standard error.
    pub(super) fn registry(&self) -> Registry {
        let registry = Registry::standard();
        // An empty variable is none, as it is to the delegate.
        let folder = self.kinds_dir.as_ref().filter(|folder| !folder.is_empty());
        let Some(folder) = folder else {
            return registry;
        };
        let (registry, faults) = registry.with_plug_ins(Path::new(folder));
        faults.iter().for_each(complain);
        registry
    }
}
