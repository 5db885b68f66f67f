//! `IMAGE_BUILD`: builds a container image from a folder, with a Docker engine.
//!
//! Data: `{context, dockerfile?, tags?, build_args?, secrets?, labels?, target?, cache_from?, platform?, pull?, no_cache?,
//! engine?, logins?}`. Result: the common fields, `image_id`, `digest`, `tags`, `size` and `builder`; the first four are
//! output variables too.
//!
//! The work is done by the `docker` program: by BuildKit where the program can (it has the plugin buildx, or is of before
//! 23), else by the classic builder. The engine is that of `engine`, or the delegate's own (`DOCKER_HOST`, or the usual
//! socket), which may be one that runs beside the delegate. The image stays in the engine; `IMAGE_PUSH` brings it on.
//!
//! Secrets are mounted while a step runs that asks for them (`RUN --mount=type=secret,id=NAME`), and are in no layer. The
//! classic builder cannot do that, and a task with secrets is refused there. A build argument stays in the image's history:
//! one that holds a secret is refused.

mod data;

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::allowance::Allowance;
use super::docker::{self, Builder, Docker, Image};
use super::files::write_private;
use super::halt::Halt;
use super::workspace::Place;
use super::{About, Level, Secrets, TaskContext, TaskError, TaskKind, TaskOutput, validate};
use crate::process::{Command, Environment};
use data::Data;

/// The kind `IMAGE_BUILD`.
pub struct ImageBuild;

#[derive(Default, Serialize, JsonSchema)]
struct Fields {
    /// The image's id in the engine, `sha256:…`, which depends on the content; null when it was not built.
    image_id: Option<String>,
    /// The digest of the image's manifest, `sha256:…`; null where the engine knows none before the image is pushed.
    digest: Option<String>,
    /// What the image is called.
    tags: Vec<String>,
    /// Its size in bytes, base image included; null when it was not built.
    size: Option<u64>,
    /// What built it: `buildkit` or `classic`; null when nothing began to.
    builder: Option<&'static str>,
}

impl Fields {
    fn vars(&self) -> BTreeMap<String, String> {
        [
            ("image_id", self.image_id.clone()),
            ("digest", self.digest.clone()),
            ("image", self.tags.first().cloned()),
            ("size", self.size.map(|size| size.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}

#[async_trait]
impl TaskKind for ImageBuild {
    fn type_name(&self) -> &'static str {
        "IMAGE_BUILD"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Builds a container image from a folder of the delegate with a Docker engine.",
            "Safe: steps whose input is the same come from the engine's cache, and the tags move to the image that was built \
             last. One that fails leaves the tags where they were.",
            json!({
                "context": "team/app",
                "dockerfile": "build/Dockerfile",
                "tags": ["registry.example.com/team/app:1.4.0"],
                "build_args": {"GO_VERSION": "1.24"},
                "secrets": {"npm": "<+secrets.getValue(\"account.npm-token\")>"},
                "labels": {"org.opencontainers.image.version": "1.4.0"},
                "target": "release",
                "cache_from": ["registry.example.com/team/app:latest"],
                "logins": [{
                    "registry": "registry.example.com",
                    "user": "builder",
                    "password": "<+secrets.getValue(\"account.registry\")>"
                }],
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)?;
        let data: Data = super::data::read(data)?;
        data.check_public(secrets)
    }

    fn check(&self, environment: &Environment) -> Result<(), String> {
        docker::offered(environment)
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let mut fields = Fields::default();
        let built = build(&data, &context, &allowance, &mut fields).await;
        let built = built.map(|()| TaskOutput::success().with_vars(fields.vars()));
        Ok(Halt::outcome(built)?.with_fields(&fields))
    }
}

async fn build(
    data: &Data,
    context: &TaskContext,
    allowance: &Allowance,
    fields: &mut Fields,
) -> Result<(), Halt> {
    let folder = Folder::find(data, context).await?;
    let (docker, builder) = Docker::connect(data.engine.as_ref(), &data.logins, context, allowance).await?;
    if builder == Builder::Classic && !data.secrets.is_empty() {
        return Err(TaskError::Elsewhere(
            "the docker program of this delegate has no BuildKit, and without it secrets cannot be kept out of the image; install its plugin buildx, or leave `secrets` out".to_owned(),
        )
        .into());
    }
    fields.builder = Some(match builder {
        Builder::BuildKit => "buildkit",
        Builder::Classic => "classic",
    });
    let id_file = context.work_dir.join("image-id");
    let mut command = arguments(data, &folder, builder, docker.command(&["build"]))
        .arg("--iidfile")
        .arg(&id_file);
    for (id, secret) in &data.secrets {
        let file = context.work_dir.join(format!("secret-{id}"));
        write_private(&file, secret.expose(), context.confinement.user.as_ref()).await?;
        // Its own field separator is a comma, which the name of our directory may have.
        let source = file.to_string_lossy().replace('"', "\"\"");
        command = command.arg(format!("--secret=id={id},\"src={source}\""));
    }
    let command = command.arg("--").arg(&folder.context);
    context
        .log
        .line(Level::Info, &format!("building {}", folder.context.display()))
        .await;
    if let Err(complaint) = docker.tool.run(command, "building the image").await? {
        return Err(docker::failure("building the image", &complaint));
    }
    let id = tokio::fs::read_to_string(&id_file)
        .await
        .map_err(TaskError::io("read the id of the image"))?;
    let image = match docker.inspect(id.trim()).await? {
        Ok(image) => image,
        Err(complaint) => return Err(docker::failure("looking at the image that was built", &complaint)),
    };
    done(data, image, fields);
    let known: Vec<&str> = fields
        .image_id
        .iter()
        .chain(&fields.tags)
        .map(String::as_str)
        .collect();
    context
        .log
        .line(Level::Info, &format!("built {}", known.join(" ")))
        .await;
    Ok(())
}

fn done(data: &Data, image: Image, fields: &mut Fields) {
    fields.digest = data.tags.iter().find_map(|tag| {
        let (name, _) = tag
            .rsplit_once(':')
            .filter(|(_, tag)| !tag.contains('/'))
            .unwrap_or((tag, ""));
        image.digest_in(name).map(str::to_owned)
    });
    fields.size = Some(image.size);
    fields.image_id = Some(image.id);
    fields.tags.clone_from(&data.tags);
}

/// Where the files are.
struct Folder {
    context: PathBuf,
    dockerfile: PathBuf,
}

impl Folder {
    /// Looks whether they are there, and makes sure that none leads out of the workspace by a link.
    async fn find(data: &Data, context: &TaskContext) -> Result<Self, TaskError> {
        let (folder, file) = data.paths()?;
        let workspace = context.workspace.as_deref();
        let dockerfile = Place::of("dockerfile", folder.join(file), workspace)?;
        let folder = Place::of("context", folder, workspace)?;
        let user = context.confinement.user.as_ref();
        for (place, folder) in [(&folder, true), (&dockerfile, false)] {
            place.enter(user).await?;
            match tokio::fs::metadata(place.path()).await {
                Ok(meta) if meta.is_dir() == folder => {}
                Ok(_) if folder => return Err(place.wrong("is no folder")),
                Ok(_) => return Err(place.wrong("is a folder; name the file in it")),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(place.wrong("is not there; bring it by GIT_CLONE first, or correct the path"));
                }
                Err(error) => return Err(place.wrong(format_args!("cannot be read: {error}"))),
            }
        }
        Ok(Self {
            context: folder.path().to_owned(),
            dockerfile: dockerfile.path().to_owned(),
        })
    }
}

/// What both builders take.
fn arguments(data: &Data, folder: &Folder, builder: Builder, command: Command) -> Command {
    let mut command = match builder {
        Builder::BuildKit => command.env("DOCKER_BUILDKIT", "1").arg("--progress=plain"),
        // Containers of steps that failed would stay.
        Builder::Classic => command.env("DOCKER_BUILDKIT", "0").arg("--force-rm"),
    };
    command = command.arg("--file").arg(&folder.dockerfile);
    let pairs = |name: &str, pairs: &BTreeMap<String, String>| -> Vec<String> {
        pairs
            .iter()
            .map(|(key, value)| format!("--{name}={key}={value}"))
            .collect()
    };
    command = command
        .args(data.tags.iter().map(|tag| format!("--tag={tag}")))
        .args(pairs("build-arg", &data.build_args))
        .args(pairs("label", &data.labels))
        .args(
            data.cache_from
                .iter()
                .map(|image| format!("--cache-from={image}")),
        );
    if builder == Builder::BuildKit && !data.cache_from.is_empty() {
        // Without it, the image that is built now could not be named in `cache_from` next time.
        command = command.arg("--build-arg=BUILDKIT_INLINE_CACHE=1");
    }
    for (name, value) in [("target", &data.target), ("platform", &data.platform)] {
        command = command.args(value.iter().map(|value| format!("--{name}={value}")));
    }
    for (name, wanted) in [("--pull", data.pull), ("--no-cache", data.no_cache)] {
        command = command.args(wanted.then_some(name));
    }
    command
}
