//! `terraform plan` where nothing is to be changed, of delegates on this host, which are installed for it and removed
//! again.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Instant;

use tokio::process::{Child, Command};

use crate::Outcome;
use crate::report::{Figure, Report, Unit};
use crate::site::Site;

/// How many delegates, the target in seconds, and what others need.
const SIZES: [(usize, &str, f64, &str); 2] = [
    (
        1,
        "plan_1",
        0.12,
        "helm provider 3.1.2: 0.47 s without seeing drift",
    ),
    (
        50,
        "plan_50",
        0.5,
        "helm provider 3.1.2: 1.90 s without seeing drift, 19 s seeing it",
    ),
];

pub(crate) async fn measure(site: &Site, runs: usize, report: &mut Report) -> Outcome<()> {
    let empty = Workspace::new(site, "plan-empty", "output \"nothing\" {\n  value = 1\n}\n")?;
    empty.run(&["init"]).await?;
    empty.run(&["apply", "-auto-approve"]).await?;
    for (count, id, target, beside) in SIZES {
        let workspace = Workspace::new(site, id, &configuration(site, count)?)?;
        workspace.run(&["init"]).await?;
        let applied = workspace.run(&["apply", "-auto-approve"]).await;
        let planned = match applied {
            Ok(_) => workspace.plans(runs).await,
            Err(problem) => Err(problem),
        };
        // Whatever happened, no delegate stays.
        workspace.run(&["destroy", "-auto-approve"]).await?;
        report.add(Figure {
            id,
            what: format!("terraform plan, nothing to change, {count} host delegates"),
            unit: Unit::Seconds,
            samples: planned?,
            target: Some(target),
            beside,
        });
    }
    report.add(Figure {
        id: "floor_plan",
        what: "  floor: terraform plan, no provider".to_owned(),
        unit: Unit::Seconds,
        samples: empty.plans(runs).await?,
        target: None,
        beside: "what Terraform itself costs",
    });
    Ok(())
}

fn configuration(site: &Site, count: usize) -> Outcome<String> {
    let directory = site.subfolder(&format!("delegates-{count}"))?;
    Ok(format!(
        r#"
terraform {{
  required_providers {{
    harness = {{
      source = "terraform.local/harness/harness"
    }}
  }}
}}

variable "token" {{
  type      = string
  ephemeral = true
}}

provider "harness" {{
  endpoint   = "{url}"
  account_id = "{account}"
}}

resource "harness_delegate" "this" {{
  count            = {count}
  name             = "plan-{count}-${{count.index}}"
  token_wo         = var.token
  token_wo_version = 1
  host = {{
    directory = "{directory}/${{count.index}}"
    service   = "process"
  }}
}}
"#,
        url = site.url,
        account = site.account_id,
        directory = directory.display(),
    ))
}

/// A folder with a configuration.
pub(crate) struct Workspace {
    folder: PathBuf,
    token: String,
}

impl Workspace {
    pub(crate) fn new(site: &Site, name: &str, configuration: &str) -> Outcome<Self> {
        let folder = site.subfolder(name)?;
        let workspace = Self {
            folder,
            token: site.token.clone(),
        };
        workspace.configure(configuration)?;
        let folder = &workspace.folder;
        // The mirror holds copies, as an installation does.
        let mirror = folder.join("mirror");
        let version = env!("CARGO_PKG_VERSION");
        let platform = if cfg!(target_arch = "aarch64") {
            "linux_arm64"
        } else {
            "linux_amd64"
        };
        let programs = mirror
            .join("terraform.local/harness/harness")
            .join(version)
            .join(platform);
        std::fs::create_dir_all(&programs)?;
        let link = |from: &str, to: &str| std::fs::hard_link(site.programs.join(from), programs.join(to));
        link(
            "terraform-provider-harness",
            &format!("terraform-provider-harness_v{version}"),
        )?;
        link("harness-delegate", "harness-delegate")?;
        std::fs::write(
            folder.join("cli.tfrc"),
            format!(
                "provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
                mirror.display()
            ),
        )?;
        Ok(workspace)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts another configuration into its place.
    pub(crate) fn configure(&self, configuration: &str) -> Outcome<()> {
        Ok(std::fs::write(self.folder.join("main.tf"), configuration)?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = terraform(&self.folder);
        command
            .args(arguments)
            .args(["-input=false", "-no-color"])
            .env("TF_VAR_token", &self.token);
        command
    }

    /// Starts Terraform, to be interrupted.
    pub(crate) fn start(&self, arguments: &[&str]) -> Outcome<Child> {
        let mut command = self.command(arguments);
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    /// Runs Terraform; an error says what it said.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Outcome<Output> {
        let output = self.command(arguments).output().await?;
        if !output.status.success() {
            let (out, err) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            return Err(format!("terraform {arguments:?}: {}\n{out}\n{err}", output.status).into());
        }
        Ok(output)
    }

    /// The addresses in the state.
    pub(crate) async fn state(&self) -> Outcome<String> {
        let output = terraform(&self.folder).args(["state", "list"]).output().await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// How long each of several plans took. With `-detailed-exitcode`, one that would change something fails.
    pub(crate) async fn plans(&self, runs: usize) -> Outcome<Vec<f64>> {
        let mut samples = Vec::new();
        for _ in 0..runs {
            let started = Instant::now();
            self.run(&["plan", "-detailed-exitcode"]).await?;
            samples.push(Unit::Seconds.of(started.elapsed()));
        }
        Ok(samples)
    }
}

/// Terraform, or OpenTofu in its place, with none of the user's settings.
fn terraform(folder: &Path) -> Command {
    let on_path = |name: &str| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
    };
    let mut command = Command::new(if on_path("terraform") { "terraform" } else { "tofu" });
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TF_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .env("TF_CLI_CONFIG_FILE", folder.join("cli.tfrc"))
        .env("CHECKPOINT_DISABLE", "1")
        .stdin(Stdio::null());
    command
}
