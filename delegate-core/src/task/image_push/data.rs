//! The data of the kind, and what its shape cannot tell.

use schemars::JsonSchema;
use serde::Deserialize;

use super::ecr::{self, Ecr};
use crate::Secret;
use crate::task::docker::{self, Engine, Login, Reference};
use crate::task::{TaskData, TaskError};

/// So many targets have one image.
const MAX_TARGETS: usize = 50;

/// Length of an id's digits.
const ID_DIGITS: usize = 64;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The image in the engine: a name, as `IMAGE_BUILD` gave it, or an id, `sha256:…`.
    pub(super) image: String,
    /// Where it goes: `[HOST[:PORT]/]NAME[:TAG]`, at least one. Without a tag: `latest`.
    pub(super) to: Vec<String>,
    /// Logins at these registries.
    #[serde(default)]
    pub(super) logins: Vec<Login>,
    /// How those of them are logged in to that are Amazon ECR.
    pub(super) ecr: Option<Ecr>,
    /// The engine; without, the delegate's own.
    pub(super) engine: Option<Engine>,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        let of_engine = self.engine.iter().flat_map(Engine::secrets);
        let of_ecr = self.ecr.iter().flat_map(Ecr::secrets);
        docker::secrets_of(&self.logins)
            .chain(of_engine)
            .chain(of_ecr)
            .collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        match self.image.strip_prefix("sha256:") {
            Some(digits)
                if digits.len() == ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {}
            Some(_) => {
                return Err(TaskError::data(
                    "image",
                    "is no id of an image, which is sha256: and 64 digits",
                ));
            }
            None => drop(Reference::read("image", &self.image)?),
        }
        if self.to.is_empty() {
            return Err(TaskError::data("to", "is empty; give at least one target"));
        }
        if self.to.len() > MAX_TARGETS {
            return Err(TaskError::data(
                "to",
                format!("has more than {MAX_TARGETS} targets; use several tasks"),
            ));
        }
        for (at, target) in self.to.iter().enumerate() {
            let field = format!("to[{at}]");
            Reference::read(&field, target)?;
            if self.to[..at].contains(target) {
                return Err(TaskError::data(field, "is there twice"));
            }
        }
        docker::check_logins("logins", &self.logins)?;
        if let Some(ecr) = &self.ecr {
            ecr.check()?;
            let registries: Vec<_> = ecr::registries(ecr, &self.to)?;
            if registries.is_empty() {
                return Err(TaskError::data(
                    "ecr",
                    "is there, and none of `to` is in ECR; name one as ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME, or give `ecr.registry`",
                ));
            }
            if let Some(at) = self
                .logins
                .iter()
                .position(|login| registries.contains(&&*login.registry))
            {
                let problem = "is Amazon ECR, which `ecr` logs in to; leave one of the two out";
                return Err(TaskError::data(format!("logins[{at}].registry"), problem));
            }
        }
        self.engine.as_ref().map_or(Ok(()), Engine::check)
    }
}
