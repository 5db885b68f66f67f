//! What a task asks for.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::Secret;
use crate::process::MARK;
use crate::task::data::check_environment;
use crate::task::{Span, TaskData, TaskError, workspace};

/// The programs that can do it, the one that is taken first when both are there first.
pub(super) const PROGRAMS: [(Program, &str); 2] =
    [(Program::Terraform, "terraform"), (Program::Tofu, "tofu")];

/// Longest name of a workspace: that of backends which take the shortest ones.
const MAX_WORKSPACE: usize = 90;

/// Variables of the program that the kind sets, or that would change what it runs.
const RESERVED: [&str; 8] = [
    MARK,
    "TF_CLI_CONFIG_FILE",
    "TERRAFORM_CONFIG",
    "TF_DATA_DIR",
    "TF_WORKSPACE",
    "TF_IN_AUTOMATION",
    "TF_INPUT",
    "TF_PLUGIN_CACHE_DIR",
];

/// What begins the names of variables that are arguments.
const RESERVED_BEGINNING: &str = "TF_CLI_ARGS";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// What to do: `plan` saves a plan, `apply` and `destroy` make one and apply it, unless `plan` names one that is saved, and
    /// `output` returns the outputs of the state.
    pub(super) command: Action,
    /// The folder of the configuration: relative to the delegate's workspace, or absolute. It is made when it is missing.
    pub(super) directory: String,
    /// Files that are written into the folder before: names, which may have folders, and texts. Those that an earlier task
    /// wrote so, and this one does not name, are removed.
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    /// `terraform` or `tofu`. Default: the first of them that is there.
    pub(super) program: Option<Program>,
    /// Configuration of the backend.
    #[serde(default)]
    pub(super) backend: BTreeMap<String, Value>,
    /// The same of values that are secret. A saved plan holds them, as it holds secret variables.
    #[serde(default)]
    pub(super) secret_backend: BTreeMap<String, Secret>,
    /// Tokens of hosts, such as `app.terraform.io`. With them, or a `mirror`, the configuration file of the delegate's user is not
    /// read.
    #[serde(default)]
    pub(super) hosts: BTreeMap<String, Secret>,
    /// Where providers come from instead of their registries.
    pub(super) mirror: Option<Mirror>,
    /// A folder that keeps providers for later tasks: relative to the delegate's workspace, or absolute.
    pub(super) plugin_cache: Option<String>,
    /// The workspace, which is made when it is missing. Default: the backend's default one.
    pub(super) workspace: Option<String>,
    /// Variables of the configuration, as JSON.
    #[serde(default)]
    pub(super) variables: BTreeMap<String, Value>,
    /// The same of values that are secret.
    #[serde(default)]
    pub(super) secret_variables: BTreeMap<String, Secret>,
    /// Files of variables: relative to the delegate's workspace, or absolute. A later one counts, and those above count
    /// before all of them.
    #[serde(default)]
    pub(super) var_files: Vec<String>,
    /// Of `plan`: where to save it. Of `apply`: the saved plan to apply. Relative to the delegate's workspace, or absolute.
    /// Default: `delegate.tfplan` in the folder; and a plan that is applied at once.
    pub(super) plan: Option<String>,
    /// Only these resources or modules, and what they need.
    #[serde(default)]
    pub(super) targets: Vec<String>,
    /// Resources to make anew.
    #[serde(default)]
    pub(super) replace: Vec<String>,
    /// `skip` does not look at what there is, `only` takes what there is into the state and changes nothing. Default: looks, and
    /// plans.
    pub(super) refresh: Option<Refresh>,
    /// How many operations at a time. Default: the program's, 10.
    pub(super) parallelism: Option<NonZeroU16>,
    /// How long to wait for the state's lock. Default: not at all.
    pub(super) lock_timeout: Option<Span>,
    /// Environment variables of the program, of its providers and of what they start.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// The same of values that are secret, such as those by which a provider logs in.
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Plan,
    Apply,
    Destroy,
    Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Program {
    Terraform,
    Tofu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Refresh {
    Skip,
    Only,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mirror {
    /// An absolute folder, laid out as `terraform providers mirror` does it.
    Directory(String),
    /// An `https` URL that speaks the protocol of provider mirrors.
    Url(String),
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        [
            &self.secret_backend,
            &self.hosts,
            &self.secret_variables,
            &self.secrets,
        ]
        .into_iter()
        .flat_map(BTreeMap::values)
        .cloned()
        .collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        workspace::read("directory", &self.directory)?;
        self.check_files()?;
        self.check_command()?;
        self.check_logins()?;
        for (field, names) in [
            ("variables", self.variables.keys().collect::<Vec<_>>()),
            ("secret_variables", self.secret_variables.keys().collect()),
            ("backend", self.backend.keys().collect()),
            ("secret_backend", self.secret_backend.keys().collect()),
        ] {
            if !names.into_iter().all(|name| is_identifier(name)) {
                return wrong(
                    field,
                    "has a name that is none of a variable; use letters, digits, `_` and `-`",
                );
            }
        }
        for (field, plain, secret) in [
            ("secret_variables", &self.variables, &self.secret_variables),
            ("secret_backend", &self.backend, &self.secret_backend),
        ] {
            if secret.keys().any(|name| plain.contains_key(name)) {
                return wrong(field, "has a name that is given without being secret, too");
            }
        }
        check_environment(&self.env, &self.secrets, |name| {
            RESERVED.contains(&name) || name.starts_with(RESERVED_BEGINNING)
        })
    }
}

impl Data {
    fn check_files(&self) -> Result<(), TaskError> {
        for name in self.files.keys() {
            if workspace::read("files", name)?.is_absolute() {
                return wrong("files", "has an absolute name; names are relative to `directory`");
            }
        }
        for file in &self.var_files {
            workspace::read("var_files", file)?;
        }
        for (field, path) in [("plan", &self.plan), ("plugin_cache", &self.plugin_cache)] {
            if let Some(path) = path {
                workspace::read(field, path)?;
            }
        }
        Ok(())
    }

    /// What goes with the command, and with a saved plan.
    fn check_command(&self) -> Result<(), TaskError> {
        let of_plans = [
            ("variables", !self.variables.is_empty()),
            ("secret_variables", !self.secret_variables.is_empty()),
            ("var_files", !self.var_files.is_empty()),
            ("targets", !self.targets.is_empty()),
            ("replace", !self.replace.is_empty()),
            ("refresh", self.refresh.is_some()),
        ];
        let given = of_plans.iter().find(|(_, given)| *given);
        match (self.command, &self.plan, given) {
            (Action::Apply, Some(_), Some((field, _))) => {
                return wrong(
                    field,
                    "is in the saved plan already; leave it out, or leave `plan` out",
                );
            }
            (Action::Destroy, Some(_), _) => {
                return wrong(
                    "plan",
                    "is not for `destroy`, which applies a plan of its own; leave it out",
                );
            }
            (Action::Output, Some(_), _) => return wrong("plan", "is not for `output`; leave it out"),
            (Action::Output, None, Some((field, _))) => {
                return wrong(field, "is not for `output`, which plans nothing; leave it out");
            }
            _ => {}
        }
        if self.refresh == Some(Refresh::Only) {
            if self.command == Action::Destroy {
                return wrong("refresh", "must not be `only` where everything is destroyed");
            }
            if !self.replace.is_empty() {
                return wrong("replace", "is not for `refresh: only`, which changes nothing");
            }
        }
        if self.command == Action::Destroy && !self.replace.is_empty() {
            return wrong("replace", "is not for `destroy`");
        }
        for (field, addresses) in [("targets", &self.targets), ("replace", &self.replace)] {
            for address in addresses {
                if address.is_empty() || address.contains(char::is_control) {
                    return wrong(
                        field,
                        "must hold addresses such as `module.a` or `aws_instance.b[0]`",
                    );
                }
            }
        }
        match &self.workspace {
            Some(name) if !is_workspace(name) => wrong(
                "workspace",
                "must be a name of up to 90 letters, digits, `_`, `-` and `.`, not beginning with a hyphen",
            ),
            _ => Ok(()),
        }
    }

    fn check_logins(&self) -> Result<(), TaskError> {
        for (host, token) in &self.hosts {
            let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-:".contains(letter);
            if host.is_empty() || !host.chars().all(fits) {
                return wrong("hosts", "has a name that is no host; leave scheme and path out");
            }
            let text = token.expose();
            if text.is_empty() || !text.chars().all(|letter| letter.is_ascii_graphic()) {
                return wrong(
                    &format!("hosts.{host}"),
                    "is no token: it is empty, or has spaces or line ends",
                );
            }
        }
        match &self.mirror {
            Some(Mirror::Directory(path)) if !workspace::read("mirror.directory", path)?.is_absolute() => {
                wrong("mirror.directory", "must be absolute")
            }
            Some(Mirror::Url(url)) => match url::Url::parse(url) {
                Ok(url) if url.scheme() == "https" && url.path().ends_with('/') => Ok(()),
                _ => wrong("mirror.url", "must be an https URL that ends with a slash"),
            },
            _ => Ok(()),
        }
    }
}

fn wrong(field: &str, problem: &str) -> Result<(), TaskError> {
    Err(TaskError::data(field, problem))
}

fn is_identifier(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|first| first == '_' || first.is_alphabetic())
        && letters.all(|letter| letter.is_alphanumeric() || "_-".contains(letter))
}

fn is_workspace(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    !name.is_empty() && name.len() <= MAX_WORKSPACE && !name.starts_with(['-', '.']) && name.chars().all(fits)
}
