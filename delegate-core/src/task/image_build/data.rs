//! The data of the kind, and what its shape cannot tell.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Secret;
use crate::process::is_valid_name;
use crate::task::docker::{self, Engine, Login, Reference};
use crate::task::{Secrets, TaskData, TaskError, workspace};

/// What is read where none is named.
const DOCKERFILE: &str = "Dockerfile";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The folder with the files: relative to the delegate's workspace, or absolute. What its `.dockerignore` names stays out.
    pub(super) context: String,
    /// The Dockerfile, as a path in the folder. Default: `Dockerfile`.
    dockerfile: Option<String>,
    /// What to call the image: `[HOST[:PORT]/]NAME[:TAG]`. Without, it is known by its id.
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// Values of `ARG`. They stay in the image's history; one that holds a secret is refused.
    #[serde(default)]
    pub(super) build_args: BTreeMap<String, String>,
    /// Secrets for steps that mount them: `RUN --mount=type=secret,id=NAME`. They need BuildKit.
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, Secret>,
    /// Labels of the image.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    /// The stage of the Dockerfile to build; without, the last one.
    pub(super) target: Option<String>,
    /// Images whose layers may be used for steps with the same input.
    #[serde(default)]
    pub(super) cache_from: Vec<String>,
    /// What the image is to run on, such as `linux/arm64`; without, what the engine runs on.
    pub(super) platform: Option<String>,
    /// Whether to look for newer base images, also where the engine has them.
    #[serde(default)]
    pub(super) pull: bool,
    /// Whether to run every step, also where the engine has its result.
    #[serde(default)]
    pub(super) no_cache: bool,
    /// The engine; without, the delegate's own.
    pub(super) engine: Option<Engine>,
    /// Logins at the registries that base images come from.
    #[serde(default)]
    pub(super) logins: Vec<Login>,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        let of_engine = self.engine.iter().flat_map(Engine::secrets);
        let of_logins = docker::secrets_of(&self.logins);
        self.secrets
            .values()
            .cloned()
            .chain(of_engine)
            .chain(of_logins)
            .collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        self.paths()?;
        for (field, images) in [("tags", &self.tags), ("cache_from", &self.cache_from)] {
            for (at, image) in images.iter().enumerate() {
                Reference::read(&format!("{field}[{at}]"), image)?;
            }
        }
        for (name, value) in &self.build_args {
            let field = format!("build_args.{name}");
            if !is_valid_name(name) {
                return Err(TaskError::data(
                    field,
                    "is no name of an ARG; use letters, digits and `_`",
                ));
            }
            check_text(field, value)?;
        }
        for (name, value) in &self.labels {
            let field = format!("labels.{name}");
            if name.is_empty() || name.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control()) {
                return Err(TaskError::data(
                    field,
                    "is no name of a label; use letters, digits, `.`, `-` and `/`",
                ));
            }
            check_text(field, value)?;
        }
        for (id, secret) in &self.secrets {
            let field = format!("secrets.{id}");
            if !is_word(id) {
                return Err(TaskError::data(
                    field,
                    "is no id of a secret; use letters, digits, `.`, `-` and `_`",
                ));
            }
            if secret.is_empty() {
                return Err(TaskError::data(field, "is empty"));
            }
        }
        if self.target.as_ref().is_some_and(|target| !is_word(target)) {
            return Err(TaskError::data(
                "target",
                "is no name of a stage; use letters, digits, `.`, `-` and `_`",
            ));
        }
        if self
            .platform
            .as_ref()
            .is_some_and(|platform| !is_platform(platform))
        {
            return Err(TaskError::data(
                "platform",
                "is no platform; give OS/PROCESSOR[/VARIANT], such as linux/arm64",
            ));
        }
        if let Some(engine) = &self.engine {
            engine.check()?;
        }
        docker::check_logins("logins", &self.logins)
    }
}

impl Data {
    /// The folder, and the Dockerfile in it. Looks at nothing.
    pub(super) fn paths(&self) -> Result<(PathBuf, PathBuf), TaskError> {
        let folder = workspace::read("context", &self.context)?;
        let file = workspace::read("dockerfile", self.dockerfile.as_deref().unwrap_or(DOCKERFILE))?;
        if file.is_absolute() {
            return Err(TaskError::data(
                "dockerfile",
                "must be a path in the folder of `context`",
            ));
        }
        Ok((folder, file))
    }

    /// Whether something holds a secret that everybody would see.
    pub(super) fn check_public(&self, secrets: &Secrets) -> Result<(), TaskError> {
        for (field, pairs) in [("build_args", &self.build_args), ("labels", &self.labels)] {
            for (name, value) in pairs {
                docker::check_public(
                    format!("{field}.{name}"),
                    value,
                    secrets,
                    "use `secrets`, and mount it in the step",
                )?;
            }
        }
        Ok(())
    }
}

fn check_text(field: String, text: &str) -> Result<(), TaskError> {
    if text.contains('\0') {
        return Err(TaskError::data(
            field,
            "contains a zero character, which no argument can",
        ));
    }
    Ok(())
}

fn is_word(text: &str) -> bool {
    text.bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_platform(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    (2..=3).contains(&parts.len()) && parts.iter().all(|part| is_word(part))
}
