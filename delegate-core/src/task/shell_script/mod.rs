//! `SHELL_SCRIPT`: runs a script. `POWERSHELL_SCRIPT`: the same in PowerShell.
//!
//! Data: `{script, shell?: "bash" | "sh" | "pwsh" | path, interpreter?, env?: {}, working_dir?, output_vars?: [NAME…],
//! secrets?: {NAME: value or reference}, ssh?: {host, port?, user?, login}}`. Result: the common fields and `exit_code`.
//!
//! The script starts in `working_dir`, or in the task's own directory. `secrets` become environment variables, like
//! `env`, and are masked in whatever the script prints; where both have a name, the secret wins. A variable of `output_vars` that the script has set, exported or
//! not, is returned whatever way the script ends, unless the shell is killed outright or replaced (`exec`); one that it
//! has not set is absent. Values are text: bytes that are not UTF-8 become U+FFFD.
//!
//! An interpreter that is no shell has no variables that could be read from outside. Its script writes them, a line `NAME=value` each,
//! to the end of the file that the variable `HARNESS_DELEGATE_OUTPUT` names.
//!
//! What the script leaves running is ended a grace after it. A process that shall stay takes off its mark and starts its
//! own session: `env -u HARNESS_DELEGATE_TASK setsid program </dev/null >log 2>&1 &`.
//!
//! With `ssh` the same script runs on another machine ([`host`]), with the same fields and the same result.

mod capture;
mod host;
mod powershell;
mod shell;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::files::write_private;
use super::ssh::SshHost;
use super::{About, Level, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate};
use crate::Secret;
use crate::process::{Exit, InvalidName, MARK, Reason, Status, is_valid_name};
use crate::protocol::wire::CommandStatus;
pub use powershell::PowerShellScript;
use shell::{Program, Shell};

/// Names the file for output variables of scripts that no shell runs.
const OUTPUT: &str = "HARNESS_DELEGATE_OUTPUT";

/// The kind `SHELL_SCRIPT`.
pub struct ShellScript;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// What to run.
    script: String,
    /// `bash`, `sh`, `pwsh`, or the path of a shell. Default: the delegate's `DELEGATE_SHELL`, else bash where it is there, else sh.
    shell: Option<String>,
    /// A program that runs the script instead of a shell, and gets its file as the only argument: `python3`, `node`, or a path.
    /// Output variables are lines `NAME=value` that the script appends to the file in `$HARNESS_DELEGATE_OUTPUT`.
    interpreter: Option<String>,
    /// Environment variables of the script.
    env: Option<BTreeMap<String, String>>,
    /// Where the script starts. Default: an empty directory of the task's own, which goes with it. On a host of `ssh` it is an absolute
    /// path there.
    working_dir: Option<PathBuf>,
    /// Variables of the script whose values are returned as output variables.
    output_vars: Option<Vec<String>>,
    /// Environment variables of the script whose values are secret. Where `env` has the same name, this one counts.
    secrets: Option<BTreeMap<String, Secret>>,
    /// A host where the script runs, instead of the delegate. Its default shell is bash where the host has it, else sh. Script and
    /// variables get there by the connection, and lie in a folder that nobody else there may read until the script ends. When the task
    /// is aborted or its time is over, the process group of the script is asked to end (SIGTERM) and ended before the delegate's grace
    /// is over; the same happens, without a report, when the connection breaks. A process that began a session of its own (`setsid`)
    /// is not ended. On a host that has no `setsid`, only the script's own process is.
    ssh: Option<SshHost>,
}

#[derive(Serialize, JsonSchema)]
struct Fields {
    /// The script's exit code; 128 + N when signal N ended it.
    exit_code: i32,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        let login = self.ssh.iter().flat_map(|host| host.login.secrets());
        let variables = self.secrets.iter().flat_map(BTreeMap::values).cloned();
        variables.chain(login).collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        check_variables(
            self.env.as_ref(),
            self.output_vars.as_ref(),
            self.secrets.as_ref(),
        )?;
        if let Some(host) = &self.ssh {
            host.check("ssh")?;
            host::check(&self.script, self.shell.as_deref(), self.working_dir.as_deref())?;
        }
        match (&self.shell, &self.interpreter) {
            (Some(_), Some(_)) => Err(TaskError::data(
                "interpreter",
                "cannot be there together with `shell`; give one of them",
            )),
            (None, Some(interpreter)) => shell::check_interpreter(interpreter),
            (shell, None) => shell.as_deref().map_or(Ok(()), shell::check_name),
        }
    }
}

#[async_trait]
impl TaskKind for ShellScript {
    fn type_name(&self) -> &'static str {
        "SHELL_SCRIPT"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Runs a script in bash, sh, any other shell or any interpreter, on the delegate or on a host over ssh.",
            "As safe as the script: the delegate runs it once a task, and never again by itself.",
            json!({
                "script": "helm list --namespace \"$NAMESPACE\" && RELEASES=$(helm list --short | wc -l)",
                "env": {"NAMESPACE": "team-a"},
                "secrets": {"TOKEN": "<+secrets.getValue(\"account.token\")>"},
                "output_vars": ["RELEASES"],
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let data: Data = context.data()?;
        let script = Script {
            text: data.script,
            env: data.env.unwrap_or_default(),
            working_dir: data.working_dir,
            output_vars: data.output_vars.unwrap_or_default(),
            secrets: data.secrets.unwrap_or_default(),
        };
        if let Some(ssh) = &data.ssh {
            let wanted = match &data.interpreter {
                Some(interpreter) => host::Wanted::Interpreter(interpreter),
                None => host::Wanted::Shell(Shell::wanted_elsewhere(data.shell.as_deref())),
            };
            return script.run_on(ssh, &wanted, &context).await;
        }
        let program = match &data.interpreter {
            Some(interpreter) => Program::interpreter(interpreter, &context.environment)?,
            None => Program::Shell(Shell::choose(
                data.shell.as_deref(),
                context.shell.as_deref(),
                &context.environment,
            )?),
        };
        script.run(&program, &context).await
    }
}

/// A script, whoever runs it.
struct Script {
    text: String,
    env: BTreeMap<String, String>,
    working_dir: Option<PathBuf>,
    output_vars: Vec<String>,
    secrets: BTreeMap<String, Secret>,
}

impl Script {
    async fn run(self, program: &Program, context: &TaskContext) -> Result<TaskOutput, TaskError> {
        let Self {
            text,
            env,
            working_dir,
            output_vars,
            secrets,
        } = self;
        let script = program.file_in(&context.work_dir, "script");
        let user = context.confinement.user.as_ref();
        write_private(&script, &text, user).await?;
        let mut command = context.command(program.path());
        let vars_file = context.work_dir.join("output_vars");
        match program {
            Program::Shell(shell) if !output_vars.is_empty() => {
                let prelude = shell.file_in(&context.work_dir, "prelude");
                let text = capture::prelude(shell, &script, &vars_file, &output_vars);
                write_private(&prelude, &text, user).await?;
                command = command.args(capture::args_to_run(shell, &prelude, &script));
            }
            Program::Shell(shell) => command = command.args(shell.args_to_run(&script)),
            Program::Interpreter(_) => {
                write_private(&vars_file, "", user).await?;
                command = command.arg(&script).env(OUTPUT, &vars_file);
            }
        }
        for (name, value) in &env {
            command = command.env(name, value);
        }
        for (name, value) in &secrets {
            command = command.secret_env(name, value);
        }
        if let Some(dir) = &working_dir {
            check_working_dir(dir)?;
            command = command.current_dir(dir);
        }

        let exit = command.run(&context.cancel, &mut context.log.clone()).await?;
        if exit.leaked {
            let text = "processes that the script left behind were ended; let the script wait for them";
            context.log.line(Level::Warn, text).await;
        }
        if !exit.output_complete {
            context
                .log
                .line(Level::Warn, "the end of the script's output was lost")
                .await;
        }
        let vars = if output_vars.is_empty() {
            Ok(BTreeMap::new())
        } else {
            match program {
                Program::Shell(_) => capture::read(&vars_file).await,
                Program::Interpreter(_) => capture::read_lines(&vars_file, &output_vars).await,
            }
        };
        Ok(ended(exit, vars, &output_vars, context).await)
    }
}

/// What is returned of a script that ended, with the output variables that were wanted and are there.
async fn ended(
    exit: Exit,
    vars: Result<BTreeMap<String, String>, String>,
    wanted: &[String],
    context: &TaskContext,
) -> TaskOutput {
    let fields = Fields {
        exit_code: exit.code(),
    };
    let mut output = outcome(exit, context).with_fields(&fields);
    match vars {
        Ok(vars) => {
            for missing in wanted.iter().filter(|name| !vars.contains_key(*name)) {
                context
                    .log
                    .line(Level::Warn, &format!("output variable {missing} was not set"))
                    .await;
            }
            output.output_vars = vars;
        }
        Err(problem) if output.status == CommandStatus::Success => {
            output = TaskOutput::not(CommandStatus::Failure, problem).with_fields(&fields);
        }
        Err(problem) => context.log.line(Level::Error, &problem).await,
    }
    output
}

fn outcome(exit: Exit, context: &TaskContext) -> TaskOutput {
    match (exit.reason, exit.status) {
        (Reason::Aborted, _) => TaskOutput::not(CommandStatus::Aborted, "the task was aborted"),
        (Reason::TimedOut, _) => {
            let time = context.timeout.unwrap_or_default();
            TaskOutput::not(
                CommandStatus::Timeout,
                format!("the script did not end within {time:?} and was ended"),
            )
        }
        (Reason::Exited, Status::Code(0)) => TaskOutput::success(),
        (Reason::Exited, Status::Code(code)) => TaskOutput::not(
            CommandStatus::Failure,
            format!("the script exited with code {code}"),
        ),
        (Reason::Exited, Status::Signal(signal)) => TaskOutput::not(
            CommandStatus::Failure,
            format!("the script was ended by signal {signal}"),
        ),
    }
}

fn check_variables(
    env: Option<&BTreeMap<String, String>>,
    output_vars: Option<&Vec<String>>,
    secrets: Option<&BTreeMap<String, Secret>>,
) -> Result<(), TaskError> {
    let (no_env, no_secrets) = (BTreeMap::new(), BTreeMap::new());
    let (env, secrets) = (env.unwrap_or(&no_env), secrets.unwrap_or(&no_secrets));
    check_names(env, output_vars.map_or(&[], Vec::as_slice), secrets)?;
    check_values(env, secrets)
}

fn check_names(
    env: &BTreeMap<String, String>,
    output_vars: &[String],
    secrets: &BTreeMap<String, Secret>,
) -> Result<(), TaskError> {
    let env = env.keys().map(|name| ("env", name));
    let secrets = secrets.keys().map(|name| ("secrets", name));
    let output_vars = output_vars.iter().map(|name| ("output_vars", name));
    for (path, name) in env.chain(secrets).chain(output_vars) {
        let problem = if !is_valid_name(name) {
            InvalidName(name.clone()).to_string()
        } else if name == MARK || name == OUTPUT {
            format!("`{name}` is set by the delegate")
        } else {
            continue;
        };
        return Err(TaskError::data(path, problem));
    }
    Ok(())
}

fn check_values(env: &BTreeMap<String, String>, secrets: &BTreeMap<String, Secret>) -> Result<(), TaskError> {
    let env = env.iter().map(|(name, value)| ("env", name, value.as_str()));
    let secrets = secrets
        .iter()
        .map(|(name, value)| ("secrets", name, value.expose()));
    match env.chain(secrets).find(|(_, _, value)| value.contains('\0')) {
        None => Ok(()),
        Some((path, name, _)) => Err(TaskError::data(
            format!("{path}.{name}"),
            "contains a NUL character, which an environment variable cannot hold",
        )),
    }
}

fn check_working_dir(dir: &Path) -> Result<(), TaskError> {
    if dir.is_dir() {
        return Ok(());
    }
    let problem = if dir.exists() {
        "is not a directory"
    } else {
        "does not exist on this delegate"
    };
    Err(TaskError::data(
        "working_dir",
        format!("{} {problem}", dir.display()),
    ))
}

#[cfg(test)]
mod tests;
