//! `GIT_CLONE`: brings a folder to a branch, a tag or a commit of a git repository.
//!
//! Data: `{url, ref?: {branch | tag | commit}, depth?, submodules?, lfs?, directory, protocols?, credentials?: {https: {user,
//! password} | ssh: {key, passphrase?, known_hosts}}}`. Result: the common fields, `commit`, `ref` and `directory`, which are
//! output variables too.
//!
//! The work is done by the `git` program, in steps that can each be repeated: the server is asked for what it has, so
//! that a refused login leaves nothing behind; then the folder is made a repository, unless it is one; then what is
//! missing is fetched and checked out. Running it again brings the folder to the same name's newest commit: changes to
//! files that git knows are undone, other files stay, and nothing is deleted but by git.
//!
//! A relative `directory` is in the delegate's workspace, a folder beside those of its tasks that stays: later tasks find
//! the clone at the path in the result. Tasks that share a workspace trust each other. A folder with anything else in
//! it than a clone of the same URL is refused, and left as it is.
//!
//! No configuration of the machine or of a user is read, no hook is run, and only `https` and `ssh` are spoken, also by
//! submodules, unless the task names others.

mod address;
mod git;
mod login;
mod look;
mod reference;
mod target;

use std::num::NonZeroU32;
use std::path::Path;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::allowance::Allowance;
use super::halt::Halt;
use super::{About, Level, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate};
use crate::Secret;
use crate::process::Environment;
use address::{Address, Further};
use git::Git;
use login::{Credentials, Login};
pub(super) use look::Repository;
use reference::{Found, Reference};
use target::{State, Target};

/// The program of Git LFS, which git itself does not bring.
const LFS: &str = "git-lfs";

/// The kind `GIT_CLONE`.
pub struct GitClone;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// The repository: `https://HOST/PATH`, `ssh://[USER@]HOST/PATH` or `USER@HOST:PATH`, without a login in it.
    url: String,
    /// What to check out; without, the server's default branch.
    #[serde(rename = "ref")]
    reference: Option<Reference>,
    /// How many commits of history to fetch; without, all of it.
    depth: Option<NonZeroU32>,
    /// Whether to bring submodules to their commits too, and theirs.
    #[serde(default)]
    submodules: bool,
    /// Whether to fetch the files that are kept by Git LFS; without, their pointers are checked out.
    #[serde(default)]
    lfs: bool,
    /// The folder: relative to the delegate's workspace, or absolute. It is made when it is missing.
    directory: String,
    /// Further transports that this repository or its submodules may use.
    #[serde(default)]
    protocols: Vec<Further>,
    /// Who reads it; without, nobody in particular, or whom the ssh configuration of the delegate's user names.
    credentials: Option<Credentials>,
}

#[derive(Serialize, JsonSchema)]
struct Fields {
    /// The commit that the folder was brought to; null when it was not.
    commit: Option<String>,
    /// The whole name of what was asked for: `refs/heads/…`, `refs/tags/…`, or the commit itself; null as that is.
    #[serde(rename = "ref")]
    reference: Option<String>,
    /// The folder, as an absolute path.
    directory: String,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        self.credentials
            .as_ref()
            .map(Credentials::secrets)
            .unwrap_or_default()
    }

    fn check(&self) -> Result<(), TaskError> {
        let address = Address::read(&self.url, &self.protocols)?;
        if let Some(reference) = &self.reference {
            reference.check()?;
        }
        if let Some(credentials) = &self.credentials {
            credentials.check(&address)?;
        }
        target::read(&self.directory).map(drop)
    }
}

#[async_trait]
impl TaskKind for GitClone {
    fn type_name(&self) -> &'static str {
        "GIT_CLONE"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Brings a folder of the delegate to a branch, a tag or a commit of a git repository.",
            "Safe: a folder that is a clone already is brought to the newest commit of the same name; one that is cut off \
             anywhere goes on from there.",
            json!({
                "url": "https://git.example.com/team/app.git",
                "ref": {"branch": "main"},
                "depth": 1,
                "directory": "team/app",
                "credentials": {
                    "https": {"user": "x-access-token", "password": "<+secrets.getValue(\"account.git-token\")>"}
                },
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn check(&self, environment: &Environment) -> Result<(), String> {
        match environment.find_program("git") {
            Some(_) => Ok(()),
            None => Err("the program git is not in PATH".to_owned()),
        }
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let target = Target::of(target::read(&data.directory)?, context.workspace.as_deref())?;
        let directory = target.path().to_string_lossy().into_owned();
        match bring(&data, &target, &context, &allowance).await {
            Ok((commit, reference)) => {
                let vars = [
                    ("commit", &commit),
                    ("ref", &reference),
                    ("directory", &directory),
                ];
                let vars = vars.map(|(name, value)| (name.to_owned(), value.clone()));
                Ok(TaskOutput::success().with_vars(vars.into()).with_fields(&Fields {
                    commit: Some(commit),
                    reference: Some(reference),
                    directory,
                }))
            }
            Err(Halt::Output(output)) => Ok(output.with_fields(&Fields {
                commit: None,
                reference: None,
                directory,
            })),
            Err(Halt::Error(error)) => Err(error),
        }
    }
}

/// Returns the commit, and the whole name of what it is.
async fn bring(
    data: &Data,
    target: &Target,
    context: &TaskContext,
    allowance: &Allowance,
) -> Result<(String, String), Halt> {
    let address = Address::read(&data.url, &data.protocols)?;
    if data.lfs && context.environment.find_program(LFS).is_none() {
        return Err(TaskError::Refused(format!(
            "task data field `lfs` asks for Git LFS, and the program {LFS} is not on this delegate; install it, or leave `lfs` out"
        ))
        .into());
    }

    let login = Login::lay_out(&address, data.credentials.as_ref(), context).await?;
    let git = Git::new(context, allowance, &address, &data.protocols, login, data.lfs);
    let _alone = allowance
        .within("waiting for another task in the same folder", target.alone())
        .await?;
    let state = target.look(&git, &address, context).await?;
    let found = reference::find(&git, &address, data.reference.as_ref()).await?;
    let folder = target.path();
    let say = format!(
        "{} of {} to {}",
        found.full_name(),
        address.as_str(),
        folder.display()
    );
    context.log.line(Level::Info, &say).await;
    if state == State::Fresh {
        begin(&git, target, &address).await?;
    }
    fetch(&git, target, data.depth, &found).await?;
    check_out(&git, target, data, &found).await?;

    let commit = git
        .try_ask(Some(folder), &["rev-parse", "HEAD"], "reading the commit")
        .await?
        .map_err(|complaint| git.failure("reading the commit", &complaint))?;
    let commit = commit.trim();
    context
        .log
        .line(Level::Info, &format!("{} is at {commit}", folder.display()))
        .await;
    Ok((commit.to_owned(), found.full_name()))
}

/// Makes the folder a repository that knows where it comes from. The URL is written last: with it, the folder counts as
/// a clone.
async fn begin(git: &Git<'_>, target: &Target, address: &Address) -> Result<(), Halt> {
    let doing = "making the folder a repository";
    let folder = target.path();
    let path = folder.to_string_lossy();
    // Without a template there are no hooks.
    git.ask(&["init", "--quiet", "--template=", "--", &path], doing)
        .await?;
    for (name, value) in [
        ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
        ("remote.origin.url", address.as_str()),
    ] {
        git.run(folder, &["config", "--replace-all", name, value], doing)
            .await?;
    }
    Ok(())
}

/// Fetches what is missing of the commit.
async fn fetch(git: &Git<'_>, target: &Target, depth: Option<NonZeroU32>, found: &Found) -> Result<(), Halt> {
    let folder = target.path();
    let doing = "fetching";
    let mut args = vec!["fetch", "--progress", "--force", "--no-recurse-submodules"];
    let depth = depth.map(|depth| format!("--depth={depth}"));
    if let Some(depth) = &depth {
        args.push(depth);
    } else if is_shallow(git, folder).await? {
        args.push("--unshallow");
    }
    args.push("origin");
    let name = found.full_name();
    let refspec = match found {
        Found::Branch(branch) => format!("+{name}:refs/remotes/origin/{branch}"),
        Found::Tag(_) => format!("+{name}:{name}"),
        Found::Commit(id) => {
            if args.contains(&"--unshallow") || !has_commit(git, folder, id).await? {
                return fetch_commit(git, target, args, id).await;
            }
            return Ok(());
        }
    };
    args.push(&refspec);
    git.run(folder, &args, doing).await
}

/// A server need not give out a commit by its id alone. Then everything is fetched, and the commit is among it or is
/// not there.
async fn fetch_commit(git: &Git<'_>, target: &Target, mut args: Vec<&str>, id: &str) -> Result<(), Halt> {
    let folder = target.path();
    let doing = "fetching";
    args.push(id);
    if let Err(complaint) = git.try_run(folder, &args, doing).await? {
        let unlisted = ["not our ref", "unadvertised object", "couldn't find remote ref"];
        if !unlisted.iter().any(|words| complaint.contains(words)) {
            return Err(git.failure(doing, &complaint));
        }
        args.pop();
        args.retain(|arg| !arg.starts_with("--depth"));
        args.extend(["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]);
        git.run(folder, &args, doing).await?;
        if !has_commit(git, folder, id).await? {
            return Err(Halt::failed(format!(
                "the repository has no commit {id} on any branch or tag; look at its id, or push it"
            )));
        }
    }
    Ok(())
}

async fn is_shallow(git: &Git<'_>, folder: &Path) -> Result<bool, Halt> {
    let asked = ["rev-parse", "--is-shallow-repository"];
    let answer = git.try_ask(Some(folder), &asked, "looking at the folder").await?;
    Ok(answer.is_ok_and(|answer| answer.trim() == "true"))
}

async fn has_commit(git: &Git<'_>, folder: &Path, id: &str) -> Result<bool, Halt> {
    let object = format!("{id}^{{commit}}");
    let asked = ["cat-file", "-e", &object];
    Ok(git
        .try_ask(Some(folder), &asked, "looking at the folder")
        .await?
        .is_ok())
}

/// Brings the files to the commit, and those of submodules and of LFS.
async fn check_out(git: &Git<'_>, target: &Target, data: &Data, found: &Found) -> Result<(), Halt> {
    let folder = target.path();
    let mut args = vec!["checkout", "--force", "--progress"];
    let name = found.full_name();
    let commit = format!("{name}^{{commit}}");
    let remote;
    match found {
        Found::Branch(branch) => {
            remote = format!("refs/remotes/origin/{branch}");
            args.extend(["--track", "-B", branch, &remote]);
        }
        Found::Tag(_) | Found::Commit(_) => args.extend(["--detach", &commit]),
    }
    args.push("--");
    git.run(folder, &args, "checking out").await?;
    if data.submodules {
        let doing = "fetching the submodules";
        git.run(folder, &["submodule", "--quiet", "sync", "--recursive"], doing)
            .await?;
        let mut args = vec![
            "submodule",
            "update",
            "--init",
            "--recursive",
            "--force",
            "--progress",
        ];
        let depth = data.depth.map(|depth| format!("--depth={depth}"));
        args.extend(depth.as_deref());
        git.run(folder, &args, doing).await?;
    }
    if data.lfs {
        let doing = "fetching the files of LFS";
        // Those that an earlier run left as pointers.
        git.run(folder, &["lfs", "pull"], doing).await?;
        if data.submodules {
            let each = ["submodule", "--quiet", "foreach", "--recursive", "git lfs pull"];
            git.run(folder, &each, doing).await?;
        }
    }
    Ok(())
}
