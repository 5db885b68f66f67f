//! `IMAGE_PUSH`: brings an image from a Docker engine into registries.
//!
//! Data: `{image, to, logins?, ecr?, engine?}`. Result: the common fields, `image_id` and `pushed`, a list of `{reference,
//! digest}`; output variables `image_id`, `digest` and `image`, which is the first target by its digest.
//!
//! The work is done by the `docker` program and its engine, which is what talks to the registries: it decides whom to trust,
//! and reaches them by its own network. The image gets the names of its targets in the engine, and keeps them. One target
//! after another is pushed; the first that fails ends the task, which says what was pushed and what was not. A push that
//! fails by the way is tried again.
//!
//! Amazon ECR is logged in to by its token, which is got as whoever `ecr.aws` names; its repositories are created on request.

mod data;
mod ecr;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::allowance::Allowance;
use super::docker::{self, Docker, Reference};
use super::halt::Halt;
use super::{About, Level, Secrets, TaskContext, TaskError, TaskKind, TaskOutput, validate};
use crate::process::Environment;
use data::Data;

/// So often a push is tried that fails by the way. The engine itself tries each layer five times.
const ATTEMPTS: u32 = 3;

/// Before the second try; doubled for the third.
const PAUSE: Duration = Duration::from_secs(1);

/// What an engine says when a registry or the way to it had a bad moment.
const TRANSIENT: [&str; 11] = [
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Time",
    "connection reset by peer",
    "unexpected EOF",
    ": EOF",
    "i/o timeout",
    "TLS handshake timeout",
    "toomanyrequests",
    "connection refused",
];

/// The kind `IMAGE_PUSH`.
pub struct ImagePush;

#[derive(Default, Serialize, JsonSchema)]
struct Fields {
    /// The image's id in the engine, `sha256:…`; null when it was not found.
    image_id: Option<String>,
    /// What was pushed, in the order of `to`.
    pushed: Vec<Pushed>,
}

#[derive(Serialize, JsonSchema)]
struct Pushed {
    /// The target, as it was given.
    reference: String,
    /// The digest of the manifest there, `sha256:…`.
    digest: String,
}

impl Fields {
    fn vars(&self) -> BTreeMap<String, String> {
        let mut vars = BTreeMap::new();
        if let Some(id) = &self.image_id {
            vars.insert("image_id".to_owned(), id.clone());
        }
        if let Some(Pushed { reference, digest }) = self.pushed.first() {
            let name = Reference::read("to[0]", reference).map_or(reference.as_str(), |read| read.name());
            vars.insert("image".to_owned(), format!("{name}@{digest}"));
            vars.insert("digest".to_owned(), digest.clone());
        }
        vars
    }
}

#[async_trait]
impl TaskKind for ImagePush {
    fn type_name(&self) -> &'static str {
        "IMAGE_PUSH"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Pushes an image of a Docker engine to registries, Amazon ECR among them.",
            "Safe: what a registry has already is not sent again, and the tag stays or moves to the same image. One that failed \
             half way goes on from there.",
            json!({
                "image": "team/app:1.4.0",
                "to": [
                    "registry.example.com/team/app:1.4.0",
                    "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/app:1.4.0"
                ],
                "logins": [{
                    "registry": "registry.example.com",
                    "user": "builder",
                    "password": "<+secrets.getValue(\"account.registry\")>"
                }],
                "ecr": {"aws": {"region": "eu-central-1"}, "create_repositories": true},
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn check(&self, environment: &Environment) -> Result<(), String> {
        docker::offered(environment)
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let mut fields = Fields::default();
        match push(&data, &context, &allowance, &mut fields).await {
            Ok(()) => Ok(TaskOutput::success()
                .with_vars(fields.vars())
                .with_fields(&fields)),
            Err(Halt::Output(mut output)) => {
                if let Some(reason) = output.error_message.take() {
                    output.error_message = Some(format!("{reason}{}", what_was_done(&data, &fields)));
                }
                Ok(output.with_fields(&fields))
            }
            Err(Halt::Error(error)) => Err(error),
        }
    }
}

async fn push(
    data: &Data,
    context: &TaskContext,
    allowance: &Allowance,
    fields: &mut Fields,
) -> Result<(), Halt> {
    let mut logins = data.logins.clone();
    if let Some(ecr) = &data.ecr {
        logins.extend(ecr::prepare(ecr, &data.to, context, allowance).await?);
    }
    let (docker, _) = Docker::connect(data.engine.as_ref(), &logins, context, allowance).await?;
    let image = docker.inspect(&data.image).await?.map_err(|complaint| {
        let failed = format!("looking for the image {} in the engine", data.image);
        if complaint.to_ascii_lowercase().contains("no such image") {
            return Halt::failed(format!(
                "{failed} failed: it has none of that name; build it on the same delegate first, or correct `image`"
            ));
        }
        docker::failure(&failed, &complaint)
    })?;
    let id = fields.image_id.insert(image.id).clone();
    for target in &data.to {
        let reference = Reference::read("to", target)?;
        if let Err(complaint) = docker.name(&id, reference.text).await? {
            return Err(docker::failure(&format!("naming the image {target}"), &complaint));
        }
        let digest = push_one(&docker, &reference, context).await?;
        let say = format!("pushed {}@{digest}", reference.name());
        context.log.line(Level::Info, &say).await;
        fields.pushed.push(Pushed {
            reference: target.clone(),
            digest,
        });
    }
    Ok(())
}

/// Returns the digest.
async fn push_one(
    docker: &Docker<'_>,
    target: &Reference<'_>,
    context: &TaskContext,
) -> Result<String, Halt> {
    let doing = format!("pushing {}", target.text);
    let mut pause = PAUSE;
    let mut attempt = 1;
    loop {
        let mut digest = None;
        let command = docker.command(&["push", "--", target.text]);
        let pushed = docker
            .tool
            .run_seeing(command, &doing, &mut |line| {
                if let Some(found) = digest_in(line) {
                    digest = Some(found.to_owned());
                }
            })
            .await?;
        let complaint = match (pushed, digest) {
            (Ok(()), Some(digest)) => return Ok(digest),
            (Ok(()), None) => {
                return Err(Halt::failed(format!(
                    "{doing} went well, and docker does not say the digest"
                )));
            }
            (Err(complaint), _) => complaint,
        };
        let transient = TRANSIENT.iter().any(|words| complaint.contains(words));
        if !transient || attempt == ATTEMPTS {
            return Err(docker::failure(&doing, &complaint));
        }
        let say = format!("{doing} failed by the way, and is tried again in {pause:?}");
        context.log.line(Level::Warn, &say).await;
        docker.tool.allowance.within(&doing, sleep(pause)).await?;
        attempt += 1;
        pause *= 2;
    }
}

/// The digest in a line such as `1.4.0: digest: sha256:… size: 528`.
fn digest_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("digest: ")?;
    let digest = rest.split_whitespace().next()?;
    digest.starts_with("sha256:").then_some(digest)
}

/// What a task says that ended early.
fn what_was_done(data: &Data, fields: &Fields) -> String {
    let done = fields.pushed.len();
    if done == 0 {
        return String::new();
    }
    let (pushed, left) = data.to.split_at(done.min(data.to.len()));
    format!(
        "; pushed before: {}; not pushed: {}",
        pushed.join(", "),
        left.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_read_from_what_docker_prints() {
        let line = "1.4.0: digest: sha256:00ff size: 528";
        assert_eq!(digest_in(line), Some("sha256:00ff"));
        assert_eq!(digest_in("1.4.0: digest: none"), None);
        assert_eq!(digest_in("5f70bf18a086: Pushed"), None);
    }
}
