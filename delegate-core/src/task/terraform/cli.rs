//! The program: how it is started, what it is told by files, and what its complaints mean.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::data::{Action, Data, Mirror, PROGRAMS, Refresh};
use crate::process::mask::Masker;
use crate::process::{Command, Exit, Limits, Line, LineSink};
use crate::task::allowance::Allowance;
use crate::task::files::write_private;
use crate::task::halt::Halt;
use crate::task::said::{LastWords, quoted};
use crate::task::workspace::{self, Place};
use crate::task::{LogWriter, TaskContext, TaskError};

/// Between asking it to stop and ending it: what it is at, such as making a machine, should come to an end, since what is
/// made and not in the state is lost. Within what a task may take beyond its time.
const GRACE: Duration = Duration::from_secs(60);

/// Largest answer that is read: a plan of some ten thousand resources.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Makes the folder and brings files into it, as the user of tasks: removes those that an earlier task brought.
const BRING: &str = include_str!("bring.sh");

/// What `BRING` keeps the names in of what it brought.
const BROUGHT: &str = ".delegate-files";

/// The program for one task.
pub(super) struct Cli<'t> {
    context: &'t TaskContext,
    allowance: &'t Allowance,
    program: PathBuf,
    folder: &'t Path,
    environment: Vec<(OsString, OsString)>,
    /// Files that are only there when there is something in them.
    backend: Option<PathBuf>,
    variables: Option<PathBuf>,
    data: &'t Data,
}

impl<'t> Cli<'t> {
    /// Writes its settings.
    pub(super) async fn lay_out(
        data: &'t Data,
        place: &'t Place,
        context: &'t TaskContext,
        allowance: &'t Allowance,
    ) -> Result<Self, TaskError> {
        let wanted = PROGRAMS
            .iter()
            .filter(|(program, _)| data.program.is_none_or(|asked| asked == *program));
        let found = wanted
            .clone()
            .find_map(|(_, name)| context.environment.find_program(name));
        let Some(program) = found else {
            let names: Vec<_> = wanted.map(|(_, name)| *name).collect();
            return Err(TaskError::Elsewhere(format!(
                "{} is not on this delegate; install it, or name a delegate that has it",
                names.join(" or ")
            )));
        };
        let file = |name: &str| context.work_dir.join(name);
        let mut environment: Vec<(OsString, OsString)> = [
            ("TF_IN_AUTOMATION", "1"),
            ("TF_INPUT", "0"),
            ("CHECKPOINT_DISABLE", "1"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        environment.push(("TF_DATA_DIR".into(), file("data").into()));
        let user = context.confinement.user.as_ref();
        if !data.hosts.is_empty() || data.mirror.is_some() {
            let settings = file("settings.tfrc");
            write_private(&settings, &settings_text(data), user).await?;
            environment.push(("TF_CLI_CONFIG_FILE".into(), settings.into()));
        }
        if let Some(cache) = &data.plugin_cache {
            let field = "plugin_cache";
            let cache = Place::of(
                field,
                workspace::read(field, cache)?,
                context.workspace.as_deref(),
            )?;
            cache.enter(user).await?;
            environment.push(("TF_PLUGIN_CACHE_DIR".into(), cache.path().into()));
        }
        let file = file("backend.json");
        let backend = values(&file, &data.backend, &data.secret_backend, context).await?;
        let file = context.work_dir.join("task.tfvars.json");
        let variables = values(&file, &data.variables, &data.secret_variables, context).await?;
        Ok(Self {
            context,
            allowance,
            program,
            folder: place.path(),
            environment,
            backend,
            variables,
            data,
        })
    }

    /// Makes the folder, and brings the files of the task into it.
    pub(super) async fn write_configuration(&self, files: &BTreeMap<String, String>) -> Result<(), Halt> {
        let from = self.context.work_dir.join("files");
        let user = self.context.confinement.user.as_ref();
        let names: String = files
            .keys()
            .fold(String::new(), |names, name| names + name + "\n");
        for (name, text) in files
            .iter()
            .map(|(name, text)| (name.as_str(), text))
            .chain([(BROUGHT, &names)])
        {
            let path = from.join(name);
            if let Some(parent) = path.parent() {
                let action = format!("make {}", parent.display());
                tokio::fs::create_dir_all(parent)
                    .await
                    .map_err(TaskError::io(action))?;
            }
            write_private(&path, text, user).await?;
        }
        #[cfg(unix)]
        if let Some(user) = user {
            open_to(&from, user.uid, user.gid).map_err(TaskError::io("give the files to the tasks' user"))?;
        }
        let doing = "writing the configuration";
        let command = self
            .context
            .command("sh")
            .limits(self.allowance.limits())
            .args(["-c", BRING, "sh"])
            .arg(self.folder)
            .arg(&from)
            .arg(BROUGHT)
            .args(self.environment_folder());
        let captured = self.allowance.capture(command, MAX_ANSWER_BYTES, doing).await?;
        if captured.exit.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&captured.stderr);
        Err(Halt::failed(format!(
            "{doing} into {} failed: {}; check `directory`, and that the user of the delegate's tasks may write there",
            self.folder.display(),
            quoted(said.trim())
        )))
    }

    /// The folder of the plugin cache, which must be there.
    fn environment_folder(&self) -> Option<&OsString> {
        let found = self
            .environment
            .iter()
            .find(|(name, _)| name == "TF_PLUGIN_CACHE_DIR");
        found.map(|(_, folder)| folder)
    }

    /// Fetches providers and modules, and meets the backend.
    pub(super) async fn init(&self) -> Result<(), Halt> {
        let mut args = words(&["init", "-input=false", "-no-color"]);
        if let Some(backend) = &self.backend {
            args.push(assign("-backend-config", backend));
        }
        args.extend(lock_timeout(self.data));
        self.run(args, "initializing").await
    }

    /// Selects a workspace, and makes it when it is missing.
    pub(super) async fn select(&self, workspace: &str) -> Result<(), Halt> {
        let args = words(&["workspace", "select", "-no-color", "-or-create", "--", workspace]);
        self.run(args, "selecting the workspace").await
    }

    /// Makes a plan and saves it.
    pub(super) async fn plan(&self, var_files: &[PathBuf], plan: &Path) -> Result<(), Halt> {
        let mut args = words(&["plan", "-input=false", "-no-color"]);
        args.push(assign("-out", plan));
        args.extend(lock_timeout(self.data));
        args.extend(parallelism(self.data));
        args.extend((self.data.command == Action::Destroy).then(|| "-destroy".into()));
        args.extend(self.data.refresh.map(|refresh| match refresh {
            Refresh::Skip => "-refresh=false".into(),
            Refresh::Only => "-refresh-only".into(),
        }));
        for (option, addresses) in [("-target", &self.data.targets), ("-replace", &self.data.replace)] {
            args.extend(addresses.iter().map(|address| assign(option, address)));
        }
        args.extend(
            var_files
                .iter()
                .chain(&self.variables)
                .map(|file| assign("-var-file", file)),
        );
        self.run(args, "planning").await
    }

    /// The command that applies a plan, and tells what it does in JSON.
    pub(super) fn apply(&self, plan: &Path) -> Command {
        let mut args = words(&["apply", "-input=false", "-json"]);
        args.extend(lock_timeout(self.data));
        args.extend(parallelism(self.data));
        args.push(plan.into());
        self.command(args)
    }

    /// Runs it and returns what it prints, which is not masked and must not go on as it is.
    pub(super) async fn ask(&self, args: Vec<OsString>, doing: &str) -> Result<Vec<u8>, Halt> {
        let command = self.command(args).masker(Masker::none());
        let captured = self.allowance.capture(command, MAX_ANSWER_BYTES, doing).await?;
        if !captured.exit.success() {
            return Err(self.failure(doing, &captured.exit, &String::from_utf8_lossy(&captured.stderr)));
        }
        if captured.truncated {
            return Err(Halt::failed(format!(
                "{doing} failed: there is more than {} MiB to it; divide the configuration, or use `targets`",
                MAX_ANSWER_BYTES >> 20
            )));
        }
        Ok(captured.stdout)
    }

    async fn run(&self, args: Vec<OsString>, doing: &str) -> Result<(), Halt> {
        let mut said = Said {
            log: self.context.log.clone(),
            kept: LastWords::default(),
        };
        let exit = self.allowance.run(self.command(args), &mut said, doing).await?;
        if exit.success() {
            return Ok(());
        }
        Err(self.failure(doing, &exit, &said.kept.text()))
    }

    pub(super) fn context(&self) -> &TaskContext {
        self.context
    }

    pub(super) fn allowance(&self) -> &Allowance {
        self.allowance
    }

    fn command(&self, args: Vec<OsString>) -> Command {
        let limits = self.allowance.limits();
        let mut command = self
            .context
            .command(&self.program)
            .limits(Limits {
                grace: limits.grace.max(GRACE),
                ..limits
            })
            .interrupted()
            .current_dir(self.folder)
            .args(args);
        for (name, value) in &self.data.env {
            command = command.env(name, value);
        }
        for (name, value) in &self.data.secrets {
            command = command.secret_env(name, value);
        }
        for (name, value) in &self.environment {
            command = command.env(name, value);
        }
        command
    }

    /// The outcome when it says no: what was tried, what it said, what to do.
    pub(super) fn failure(&self, doing: &str, exit: &Exit, complaint: &str) -> Halt {
        let complaint = complaint_in(complaint);
        let said = if complaint.is_empty() {
            format!("the program ended with {}", exit.code())
        } else {
            quoted(&complaint)
        };
        Halt::failed(match remedy(&complaint) {
            Some(remedy) => format!(
                "{doing} the configuration in {} failed: {said}; {remedy}",
                self.folder.display()
            ),
            None => format!(
                "{doing} the configuration in {} failed: {said}",
                self.folder.display()
            ),
        })
    }
}

/// Files and folders below `root`, to the user who is to read them.
#[cfg(unix)]
fn open_to(root: &Path, uid: u32, gid: u32) -> std::io::Result<()> {
    std::os::unix::fs::chown(root, Some(uid), Some(gid))?;
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_to(&entry.path(), uid, gid)?;
        }
    }
    Ok(())
}

/// Values in a file of our own, if there are any.
async fn values(
    file: &Path,
    plain: &BTreeMap<String, Value>,
    secret: &BTreeMap<String, crate::Secret>,
    context: &TaskContext,
) -> Result<Option<PathBuf>, TaskError> {
    let mut all: Map<String, Value> = plain
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    all.extend(
        secret
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().into())),
    );
    if all.is_empty() {
        return Ok(None);
    }
    let text = Value::Object(all).to_string();
    write_private(file, &text, context.confinement.user.as_ref()).await?;
    Ok(Some(file.to_owned()))
}

/// The program's own configuration: tokens, and where providers come from.
fn settings_text(data: &Data) -> String {
    let mut text = "disable_checkpoint = true\n".to_owned();
    // Writing to a string does not fail.
    for (host, token) in &data.hosts {
        let token = literal(token.expose());
        let _ = writeln!(text, "credentials {} {{\n  token = {token}\n}}", literal(host));
    }
    if let Some(mirror) = &data.mirror {
        let (method, name, value) = match mirror {
            Mirror::Directory(path) => ("filesystem_mirror", "path", path),
            Mirror::Url(url) => ("network_mirror", "url", url),
        };
        let _ = writeln!(
            text,
            "provider_installation {{\n  {method} {{\n    {name} = {}\n  }}\n}}",
            literal(value)
        );
    }
    text
}

/// A text of the configuration language; `${` and `%{` begin something else there.
fn literal(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace("${", "$${").replace("%{", "%%{"))
}

pub(super) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// `-name=value`: one argument, whatever the value begins with.
fn assign(name: &str, value: impl AsRef<std::ffi::OsStr>) -> OsString {
    let mut arg = OsString::from(name);
    arg.push("=");
    arg.push(value);
    arg
}

fn lock_timeout(data: &Data) -> Option<OsString> {
    let time = data.lock_timeout?;
    Some(assign("-lock-timeout", format!("{}ms", time.0.as_millis())))
}

fn parallelism(data: &Data) -> Option<OsString> {
    Some(assign("-parallelism", data.parallelism?.to_string()))
}

/// From the first error on, without the frame around it and without where it is drawn.
fn complaint_in(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(|line| line.trim_start_matches(['│', '╷', '╵', ' ']).trim_end())
        .filter(|line| !line.is_empty())
        .collect();
    let first = lines.iter().position(|line| line.starts_with("Error:"));
    lines[first.unwrap_or_default()..].join(" ")
}

/// What to do about what it complains of.
pub(super) fn remedy(complaint: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    Some(
        if has(&["Error acquiring the state lock", "Error locking state"]) {
            "another run holds the state's lock: give a `lock_timeout`, or, when there is no other run any more, release the lock that is named by `force-unlock`"
        } else if has(&["Saved plan is stale", "saved plan is stale"]) {
            "the state has changed since the plan was made, or the plan was applied before; plan again"
        } else if has(&["No value for required variable"]) {
            "give it in `variables`, `secret_variables` or `var_files`"
        } else if has(&["No configuration files", "Error: No such file"]) {
            "check `directory`, or give `files`"
        } else if has(&[
            "Required token could not be found",
            "Unauthorized",
            "unauthorized",
        ]) {
            "give a valid token of the host in `hosts`, or check the login of the backend or provider"
        } else if has(&[
            "Failed to query available provider packages",
            "could not connect to registry",
        ]) {
            "check the provider's address and the delegate's way to its registry, or name a `mirror`"
        } else if has(&["Failed to read variables file"]) {
            "check `var_files`, which are relative to the delegate's workspace"
        } else if has(&["Invalid plan file", "Failed to load", "failed to read plan"]) {
            "check `plan`: it must be a plan that this version of the program saved"
        } else if has(&["Error refreshing state", "Failed to get existing workspaces"]) {
            "check the backend's configuration and login, and the delegate's way to it"
        } else {
            return None;
        },
    )
}

/// Passes on what it says, and keeps the end of it.
struct Said {
    log: LogWriter,
    kept: LastWords,
}

#[async_trait]
impl LineSink for Said {
    async fn write(&mut self, lines: Vec<Line>) {
        for line in &lines {
            self.kept.push(&line.text);
        }
        LineSink::write(&mut self.log, lines).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_told_without_its_frame() {
        let said = "Reading...\n╷\n│ Error: Saved plan is stale\n│ \n│ The given plan file can no longer be applied\n╵\n";
        let complaint = complaint_in(said);
        assert_eq!(
            complaint,
            "Error: Saved plan is stale The given plan file can no longer be applied"
        );
        assert!(remedy(&complaint).unwrap().contains("plan again"));
        assert_eq!(complaint_in("a\nb\n"), "a b");
        assert_eq!(complaint_in(""), "");
    }

    #[test]
    fn what_is_written_in_the_configuration_language_is_a_text() {
        assert_eq!(literal(r#"a"b\${c}%{d}"#), r#""a\"b\\$${c}%%{d}""#);
    }
}
