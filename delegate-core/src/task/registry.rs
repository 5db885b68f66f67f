//! The kinds a delegate knows, by name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{
    ArtifactDownload, ArtifactUpload, Connect, EcsDeploy, EcsRestart, GitClone, HelmDeploy, HelmPush,
    HttpRequest, ImageBuild, ImagePush, KubernetesApply, NextVersion, NexusUpload, PlugInFault,
    PowerShellScript, ShellScript, StaticSecret, TaskKind, Terraform, VmDeploy, plug_in,
};
use crate::process::Environment;

/// Task kinds by their type name.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<String, Arc<dyn TaskKind>>,
}

impl Registry {
    /// No kind at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every kind of this program.
    pub fn standard() -> Self {
        let standard = Self::empty()
            .with(ShellScript)
            .with(StaticSecret)
            .with(HttpRequest)
            .with(NextVersion)
            .with(GitClone)
            .with(EcsDeploy)
            .with(EcsRestart)
            .with(ImageBuild)
            .with(ImagePush)
            .with(KubernetesApply)
            .with(Terraform)
            .with(HelmDeploy)
            .with(HelmPush)
            .with(VmDeploy)
            .with(ArtifactDownload)
            .with(ArtifactUpload)
            .with(NexusUpload)
            .with(Connect)
            .with(PowerShellScript);
        #[cfg(feature = "sql")]
        let standard = standard.with(super::Sql);
        standard
    }

    /// Adds a kind, replacing one of the same name.
    #[must_use]
    pub fn with(mut self, kind: impl TaskKind + 'static) -> Self {
        self.kinds.insert(kind.type_name().to_owned(), Arc::new(kind));
        self
    }

    /// Adds the kinds that the manifests of a folder describe, but for those that are not usable, which are returned: what
    /// is wrong with each, and what to do. Reads every program once. See [`super::PlugInFault`].
    #[must_use]
    pub fn with_plug_ins(mut self, folder: &Path) -> (Self, Vec<PlugInFault>) {
        let (plug_ins, faults) = plug_in::load(folder);
        for plug_in in plug_ins {
            self = self.with(plug_in);
        }
        (self, faults)
    }

    /// Takes a kind away (`BLOCK_SHELL_TASK`).
    #[must_use]
    pub fn without(mut self, type_name: &str) -> Self {
        self.kinds.remove(type_name);
        self
    }

    /// The kind of this name.
    pub fn get(&self, type_name: &str) -> Option<Arc<dyn TaskKind>> {
        self.kinds.get(type_name).cloned()
    }

    /// All names, sorted.
    pub fn type_names(&self) -> Vec<&str> {
        self.kinds.keys().map(String::as_str).collect()
    }

    /// The kinds that managers are told of, by their names.
    pub fn offered(&self) -> impl Iterator<Item = (&str, &dyn TaskKind)> {
        let kinds = self.kinds.iter().filter(|(_, kind)| kind.offered());
        kinds.map(|(name, kind)| (name.as_str(), &**kind))
    }

    /// The names of the kinds that find what they need on this machine, for `supportedTaskTypes`; and of the others,
    /// what is missing.
    pub fn check(&self, environment: &Environment) -> (Vec<String>, Vec<(String, String)>) {
        let mut offered = Vec::new();
        let mut missing = Vec::new();
        for (name, kind) in self.offered() {
            match kind.check(environment) {
                Ok(()) => offered.push(name.to_owned()),
                Err(what) => missing.push((name.to_owned(), what)),
            }
        }
        (offered, missing)
    }
}
