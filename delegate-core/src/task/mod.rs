//! Task kinds: what a delegate can be asked to do.
//!
//! A kind is one file with a type that implements [`TaskKind`], one line in [`Registry::standard`], and one test. It
//! gets a [`TaskContext`] and knows nothing of agents, managers or connections. [`Runner`] does for every kind what all
//! of them need: a private directory, resolved secrets, masking of whatever leaves, and an answer in every case, a
//! panic included. It asks the kind to validate the data before anything else happens.
//!
//! Three things are kept apart. A kind that ran returns a [`TaskOutput`], whether what it ran did well or not (`OK`). A
//! delegate that cannot do its part returns a [`TaskError`] (`FAILED`). And [`TaskError::Elsewhere`] asks for another
//! delegate (`RETRY_ON_OTHER_DELEGATE`).

mod about;
mod allowance;
mod artifact;
mod ask;
mod aws;
mod bounds;
mod cluster;
mod connect;
mod context;
mod data;
mod docker;
mod ecs;
mod error;
mod files;
mod git_clone;
mod google;
mod halt;
mod helm;
mod http_request;
mod image_build;
mod image_push;
mod jwt;
mod kubernetes_apply;
mod log;
mod login;
mod output;
mod plug_in;
mod reference;
mod refusal;
mod registry;
mod request;
mod runner;
mod said;
mod secrets;
mod shell_script;
mod span;
#[cfg(feature = "sql")]
mod sql;
mod ssh;
mod terraform;
mod tool;
mod version;
mod vm_deploy;
mod workspace;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

pub use about::About;
pub use artifact::{ArtifactDownload, ArtifactUpload, NexusUpload};
pub use connect::Connect;
pub use context::TaskContext;
pub use data::{TaskData, validate};
pub use ecs::{EcsDeploy, EcsRestart};
pub use error::TaskError;
pub use git_clone::GitClone;
pub use helm::{HelmDeploy, HelmPush};
pub use http_request::HttpRequest;
pub use image_build::ImageBuild;
pub use image_push::ImagePush;
pub use kubernetes_apply::KubernetesApply;
pub use log::{Level, LogSink, LogWriter};
pub use output::TaskOutput;
pub use plug_in::PlugInFault;
pub use registry::Registry;
pub use request::StaticSecret;
pub use runner::{Runner, Settings};
pub use secrets::{NoProvider, SecretResolver, Secrets};
pub use shell_script::{PowerShellScript, ShellScript};
pub use span::Span;
#[cfg(feature = "sql")]
pub use sql::Sql;
pub use terraform::Terraform;
pub use version::NextVersion;
pub use vm_deploy::VmDeploy;

use crate::process::Environment;

/// Something a delegate can do.
#[async_trait]
pub trait TaskKind: Send + Sync {
    /// The name managers use: upper-case words with underscores.
    fn type_name(&self) -> &str;

    /// What it does, what it takes and what it returns: for `harness-delegate task kinds` and the reference.
    fn about(&self) -> About {
        About::nothing()
    }

    /// Says what is wrong with the data, beyond what needs a look outside: whether it can be read, and whether its
    /// values make sense, with the path of the field. Secrets that the data spells out are made known to `secrets`.
    /// Called before anything is done for a task, and by whoever wants to know beforehand. Usually [`validate`].
    fn validate(&self, _data: &Value, _secrets: &Secrets) -> Result<(), TaskError> {
        Ok(())
    }

    /// Looks for what the kind needs on this machine, usually a program. An error says in a sentence what is missing;
    /// the kind is then not offered to managers.
    fn check(&self, _environment: &Environment) -> Result<(), String> {
        Ok(())
    }

    /// How long a task may run that asks for so long, or for nothing. `None`: as long as the delegate lets any task run.
    fn timeout(&self, asked: Option<Duration>) -> Option<Duration> {
        asked
    }

    /// Whether it works with files. A kind that does not is spared the directory, which costs more than a quick task.
    fn needs_directory(&self) -> bool {
        true
    }

    /// Whether managers are told of it. One that only serves other tasks need not be.
    fn offered(&self) -> bool {
        true
    }

    /// Does it, with data that was validated. Must end soon when `context.cancel` is cancelled or `context.timeout` is over, and say so in its
    /// status. May be dropped at any await.
    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError>;
}
