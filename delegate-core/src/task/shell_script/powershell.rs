//! `POWERSHELL_SCRIPT`: a script in PowerShell, or in the Windows PowerShell that comes with Windows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::shell::{Program, Shell};
use super::{Fields, Script, check_variables};
use crate::Secret;
use crate::process::Environment;
use crate::task::{About, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate};

/// The kind `POWERSHELL_SCRIPT`.
pub struct PowerShellScript;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// What to run.
    script: String,
    /// Which PowerShell. Default: `core`.
    #[serde(default)]
    edition: Edition,
    /// Environment variables of the script.
    env: Option<BTreeMap<String, String>>,
    /// Where the script starts. Default: an empty directory of the task's own, which goes with it.
    working_dir: Option<PathBuf>,
    /// Variables of the script, or of its environment, whose values are returned as output variables.
    output_vars: Option<Vec<String>>,
    /// Environment variables of the script whose values are secret. Where `env` has the same name, this one counts.
    secrets: Option<BTreeMap<String, Secret>>,
}

/// Which PowerShell.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Edition {
    /// PowerShell 7 and later, the program `pwsh`.
    #[default]
    Core,
    /// Windows PowerShell 5.1, the program `powershell`, which only Windows has.
    Windows,
}

impl Edition {
    fn program(self) -> &'static str {
        match self {
            Self::Core => "pwsh",
            Self::Windows => "powershell",
        }
    }
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        self.secrets.iter().flat_map(BTreeMap::values).cloned().collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        check_variables(
            self.env.as_ref(),
            self.output_vars.as_ref(),
            self.secrets.as_ref(),
        )
    }
}

#[async_trait]
impl TaskKind for PowerShellScript {
    fn type_name(&self) -> &'static str {
        "POWERSHELL_SCRIPT"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Runs a script in PowerShell, or in Windows PowerShell.",
            "As safe as the script: the delegate runs it once a task, and never again by itself.",
            json!({
                "script": "$Count = (Get-ChildItem $env:FOLDER).Count",
                "env": {"FOLDER": "/srv/shop"},
                "secrets": {"TOKEN": "<+secrets.getValue(\"account.token\")>"},
                "output_vars": ["Count"],
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn check(&self, environment: &Environment) -> Result<(), String> {
        let there = |edition: Edition| environment.find_program(edition.program()).is_some();
        if there(Edition::Core) || there(Edition::Windows) {
            return Ok(());
        }
        Err("neither the program pwsh nor powershell is in PATH".to_owned())
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let data: Data = context.data()?;
        let program = Path::new(data.edition.program());
        let shell = Shell::named(program, "task data field `edition`", &context.environment)?;
        let script = Script {
            text: data.script,
            env: data.env.unwrap_or_default(),
            working_dir: data.working_dir,
            output_vars: data.output_vars.unwrap_or_default(),
            secrets: data.secrets.unwrap_or_default(),
        };
        script.run(&Program::Shell(shell), &context).await
    }
}
