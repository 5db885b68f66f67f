//! The `docker` program, as one task runs it: which engine it talks to, what the two can do, and what its complaints mean.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::engine::Engine;
use super::login::{self, Login};
use crate::process::{Command, Environment};
use crate::task::allowance::Allowance;
use crate::task::halt::Halt;
use crate::task::tool::{Answer, Tool, quote};
use crate::task::{Level, TaskContext, TaskError};

const PROGRAM: &str = "docker";

/// How long the delegate's own engine may take to answer at all: one that runs beside the delegate begins with it, and is
/// up in two or three seconds. Another one that does not answer does not become an answer by waiting.
const ENGINE_WAIT: Duration = Duration::from_secs(10);

/// Between two tries.
const ENGINE_PAUSE: Duration = Duration::from_millis(250);

/// The first client that has no BuildKit of its own, but leaves it to the plugin buildx.
const WITHOUT_BUILDKIT: u64 = 23;

/// The first client that had one.
const WITH_BUILDKIT: u64 = 19;

/// Whether a kind that needs the program can be offered here.
///
/// The engine is not asked: one beside the delegate may start after it, and a task may name another. A task that finds
/// none goes to another delegate.
pub(in crate::task) fn offered(environment: &Environment) -> Result<(), String> {
    match environment.find_program(PROGRAM) {
        Some(_) => Ok(()),
        None => Err("the program docker is not in PATH".to_owned()),
    }
}

/// The program, and the engine that it found.
pub(in crate::task) struct Docker<'t> {
    pub(in crate::task) tool: Tool<'t>,
    engine: Option<&'t Engine>,
}

/// What builds images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::task) enum Builder {
    /// BuildKit, by the client itself or its plugin.
    BuildKit,
    /// What engines had before it.
    Classic,
}

#[derive(Deserialize)]
struct Versions {
    #[serde(rename = "Client")]
    client: Version,
    #[serde(rename = "Server")]
    server: Option<Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "Version")]
    version: String,
}

/// What the engine says of an image.
#[derive(Deserialize)]
pub(in crate::task) struct Image {
    #[serde(rename = "Id")]
    pub(in crate::task) id: String,
    /// `NAME@sha256:…` of what was pulled or pushed; none or null when it never was.
    #[serde(rename = "RepoDigests", default)]
    repo_digests: Option<Vec<String>>,
    /// In bytes.
    #[serde(rename = "Size")]
    pub(in crate::task) size: u64,
}

impl Image {
    /// The digest of its manifest in a repository, as far as the engine knows it. `name` has the registry unless that is
    /// Docker's own.
    pub(in crate::task) fn digest_in(&self, name: &str) -> Option<&str> {
        self.repo_digests.iter().flatten().find_map(|known| {
            let (repository, digest) = known.split_once('@')?;
            (repository == name).then_some(digest)
        })
    }
}

impl<'t> Docker<'t> {
    /// Lays out the logins, and makes sure that an engine answers: `engine`, or else the delegate's own.
    pub(in crate::task) async fn connect(
        engine: Option<&'t Engine>,
        logins: &[Login],
        context: &'t TaskContext,
        allowance: &'t Allowance,
    ) -> Result<(Self, Builder), Halt> {
        login::lay_out(logins, context).await?;
        if let Some(engine) = engine {
            engine.lay_out(context).await?;
        }
        let docker = Self {
            tool: Tool::new(PROGRAM, context, allowance),
            engine,
        };
        let versions = docker.reach().await?;
        let server = versions.server.map(|server| server.version).unwrap_or_default();
        let builder = docker.builder(&versions.client.version).await?;
        let say = format!("docker {} with engine {server}", versions.client.version);
        context.log.line(Level::Info, &say).await;
        Ok((docker, builder))
    }

    /// Asks the engine for its version until it answers or there is no more hope.
    async fn reach(&self) -> Result<Versions, Halt> {
        let doing = "asking the engine for its version";
        let end = Instant::now() + ENGINE_WAIT;
        let mut said = false;
        loop {
            let command = self.command(&["version", "--format", "{{json .}}"]);
            let complaint = match self.tool.ask(command, doing).await? {
                Ok(answer) => match serde_json::from_str::<Versions>(&answer) {
                    Ok(versions) if versions.server.is_some() => return Ok(versions),
                    _ => "the program docker does not say which engine it talks to".to_owned(),
                },
                Err(complaint) => complaint,
            };
            let words = quote(&complaint, |_| false);
            if let Some(engine) = self.engine {
                return Err(TaskError::data(
                    "engine.host",
                    format!("is not answered by an engine ({words}); check that {} is right, that the engine runs, and the certificates", engine.host()),
                )
                .into());
            }
            if Instant::now() >= end {
                return Err(TaskError::Elsewhere(format!(
                    "no Docker engine answers on this delegate: {words}; start one, set DOCKER_HOST of the delegate, or give `engine`"
                ))
                .into());
            }
            if !said {
                let log = &self.tool.context.log;
                log.line(Level::Warn, &format!("the engine does not answer yet: {words}"))
                    .await;
                said = true;
            }
            self.tool
                .allowance
                .within("waiting for the engine", sleep(ENGINE_PAUSE))
                .await?;
        }
    }

    async fn builder(&self, client: &str) -> Result<Builder, Halt> {
        let major = client
            .split('.')
            .next()
            .and_then(|major| major.parse::<u64>().ok());
        if major.is_some_and(|major| (WITH_BUILDKIT..WITHOUT_BUILDKIT).contains(&major)) {
            return Ok(Builder::BuildKit);
        }
        let command = self.command(&["buildx", "version"]);
        Ok(match self.tool.ask(command, "looking for buildx").await? {
            Ok(_) => Builder::BuildKit,
            Err(_) => Builder::Classic,
        })
    }

    /// A run of the program with these arguments.
    pub(in crate::task) fn command(&self, args: &[&str]) -> Command {
        let context = self.tool.context;
        let command = self
            .tool
            .command()
            .env("DOCKER_CONFIG", &context.work_dir)
            .env("LC_ALL", "C")
            .args(args.iter().copied());
        match self.engine {
            Some(engine) => engine.address(command, context),
            None => command,
        }
    }

    /// Gives an image of the engine a further name.
    pub(in crate::task) async fn name(&self, id: &str, name: &str) -> Result<Answer<()>, Halt> {
        let command = self.command(&["tag", "--", id, name]);
        let said = self.tool.ask(command, "naming the image").await?;
        Ok(said.map(drop))
    }

    /// What the engine says of an image, by a name or an id that was checked; what it complains of when it has none.
    pub(in crate::task) async fn inspect(&self, image: &str) -> Result<Answer<Image>, Halt> {
        let command = self.command(&["image", "inspect", "--format", "{{json .}}", "--", image]);
        let said = self.tool.ask(command, "looking at the image").await?;
        Ok(said.and_then(|answer| {
            serde_json::from_str(&answer)
                .map_err(|_| "the engine's answer is not what docker prints".to_owned())
        }))
    }
}

/// The outcome when docker says no: what was tried, what it said, what to do.
pub(in crate::task) fn failure(doing: &str, complaint: &str) -> Halt {
    let words = quote(complaint, |line| line.starts_with("ERROR:"));
    Halt::failed(match remedy(complaint) {
        Some(remedy) => format!("{doing} failed: {words}; {remedy}"),
        None => format!("{doing} failed: {words}"),
    })
}

/// What to do about what docker or an engine complains of.
fn remedy(complaint: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    Some(
        if has(&[
            "no basic auth credentials",
            "authentication required",
            "authorization failed",
            "401 Unauthorized",
            "unauthorized:",
        ]) {
            "the registry wants a login, or did not take it; check user and password for it, and that this user may do that"
        } else if has(&[
            "denied:",
            "403 Forbidden",
            "pull access denied",
            "requested access to the resource is denied",
        ]) {
            "there is no such repository, or the login may not use it; check its name and the login"
        } else if has(&["server gave HTTP response to HTTPS client"]) {
            "the registry speaks no TLS; give it a certificate, or name it in the engine's `insecure-registries`"
        } else if has(&["certificate signed by unknown authority", "x509:"]) {
            "the engine does not trust the registry's certificate; put its authority into /etc/docker/certs.d of the engine's machine"
        } else if has(&[
            "manifest unknown",
            "not found: manifest",
            "repository does not exist",
        ]) {
            "there is no such image; check its name and tag"
        } else if has(&[
            "no such host",
            "connection refused",
            "i/o timeout",
            "network is unreachable",
            "Client.Timeout",
        ]) {
            "the engine does not reach the registry; check its name, and the network and the proxy of the engine's machine"
        } else if has(&["no space left on device"]) {
            "make room on the disk of the engine's machine, for example with `docker system prune`"
        } else if has(&[
            "failed to read dockerfile",
            "Cannot locate specified Dockerfile",
            "unable to evaluate symlinks in Dockerfile path",
        ]) {
            "there is no such Dockerfile; check `context` and `dockerfile`, which is a path in it"
        } else if has(&["toomanyrequests", "too many requests"]) {
            "the registry wants fewer pulls; log in, or take the base image from a mirror"
        } else if has(&["exec format error", "no match for platform"]) {
            "the image is for another processor; check `platform` and the base image"
        } else {
            return None;
        },
    )
}
