//! Fifty delegates of no pods in one namespace of a cluster, as plain objects: made, planned without change, removed. And one
//! that never comes up, until its wait is interrupted.
//!
//! The cluster is the one of `HARNESS_TEST_KUBECONFIG`; without it the figures are left out.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;

use crate::Outcome;
use crate::plan::Workspace;
use crate::report::{Figure, Report, Unit};
use crate::requests::CountingProxy;
use crate::site::{PATIENCE, Site};
use crate::watch::resident;

const COUNT: usize = 50;

/// What is measured of them, in the order of [`FIGURES`].
type Samples = [Vec<f64>; FIGURES.len()];

/// Each figure: its name, what it is, its unit, the target, and what others need.
const FIGURES: [(&str, &str, Unit, f64, &str); 7] = [
    (
        "create_50",
        "terraform apply, 50 delegates in Kubernetes made",
        Unit::Seconds,
        5.0,
        "helm provider 3.1.2: 13.6 s",
    ),
    (
        "plan_50_kubernetes",
        "terraform plan, nothing to change, 50 delegates in Kubernetes",
        Unit::Seconds,
        0.5,
        "helm provider 3.1.2: 1.90 s without seeing drift, 19 s seeing it",
    ),
    (
        "plan_50_requests",
        "  requests to the API server of that plan",
        Unit::Requests,
        // A list a kind: Secrets, Deployments, Pods, ConfigMaps, ServiceAccounts, Roles, RoleBindings; and who the cluster is.
        8.0,
        "helm provider 3.1.2: 200 without seeing drift, 3 050 seeing it",
    ),
    (
        "provider_resident_plan_50",
        "  most memory of the provider in that plan",
        Unit::Mebibytes,
        15.0,
        "helm provider 3.1.2: 86 MiB",
    ),
    (
        "provider_resident_apply_50",
        "  most memory of the provider in the apply",
        Unit::Mebibytes,
        15.0,
        "helm provider 3.1.2: 168 MiB",
    ),
    (
        "destroy_50",
        "terraform destroy, 50 delegates in Kubernetes removed",
        Unit::Seconds,
        2.0,
        "helm provider 3.1.2: 4.0 s",
    ),
    (
        "interrupt",
        "Ctrl-C while a delegate in Kubernetes is waited for → exit, state kept",
        Unit::Seconds,
        2.0,
        "helm provider 3.1.2: 41 s, with an empty state",
    ),
];

pub(crate) async fn measure(site: &Site, runs: usize, report: &mut Report) -> Outcome<()> {
    let Some(kubeconfig) = std::env::var_os("HARNESS_TEST_KUBECONFIG").filter(|path| !path.is_empty()) else {
        eprintln!("SKIPPED: HARNESS_TEST_KUBECONFIG is not set, so nothing is measured in a cluster");
        return Ok(());
    };
    let namespace = format!("bench-{:08x}", fastrand::u32(..));
    let here = Here {
        site,
        kubeconfig: &kubeconfig,
        namespace: &namespace,
    };
    // Made before, and so left by the delegates: Kubernetes takes seconds to remove one.
    here.kubectl(&["create", "namespace", &namespace]).await?;
    let measured = here.samples(runs).await;
    // Whatever happened, nothing stays.
    here.kubectl(&["delete", "namespace", &namespace, "--wait=false"])
        .await?;
    for ((id, what, unit, target, beside), samples) in FIGURES.into_iter().zip(measured?) {
        report.add(Figure {
            id,
            what: what.to_owned(),
            unit,
            samples,
            target: Some(target),
            beside,
        });
    }
    Ok(())
}

/// A namespace of a cluster.
struct Here<'a> {
    site: &'a Site,
    kubeconfig: &'a OsStr,
    namespace: &'a str,
}

impl Here<'_> {
    /// Making and removing takes longer than planning, so there are fewer samples of those.
    async fn samples(&self, runs: usize) -> Outcome<Samples> {
        let rounds = runs.div_ceil(4);
        let direct = format!("{{ config_path = \"{}\" }}", Path::new(self.kubeconfig).display());
        let workspace = Workspace::new(self.site, "cluster", &self.fifty(&direct))?;
        workspace.run(&["init"]).await?;
        let mut samples = Samples::default();
        let [
            created,
            planned,
            requests,
            in_plan,
            in_apply,
            destroyed,
            interrupted,
        ] = &mut samples;
        for _ in 0..rounds {
            created.push(timed(&workspace, &["apply", "-auto-approve"]).await?);
            // The first plan tells the cluster that a state has them; that is part of making them.
            workspace.run(&["plan"]).await?;
            planned.extend(workspace.plans(runs.div_ceil(rounds)).await?);
            destroyed.push(timed(&workspace, &["destroy", "-auto-approve"]).await?);
        }
        // Counting and watching cost time of their own.
        in_apply.push(resident(&workspace, &["apply", "-auto-approve"]).await?);
        workspace.run(&["plan"]).await?;
        in_plan.push(resident(&workspace, &["plan"]).await?);
        let proxy = CountingProxy::start(self.site, self.kubeconfig).await?;
        workspace.configure(&self.fifty(&format!("{{ host = \"{}\" }}", proxy.url)))?;
        let before = proxy.count()?;
        workspace.plans(1).await?;
        requests.push(Unit::count(proxy.count()? - before));
        workspace.configure(&self.fifty(&direct))?;
        workspace.run(&["destroy", "-auto-approve"]).await?;
        proxy.stop().await?;
        *interrupted = self.interrupted(&direct, rounds).await?;
        Ok(samples)
    }

    /// How long Terraform goes on after Ctrl-C, when it waits for a delegate whose image nobody has.
    async fn interrupted(&self, cluster: &str, rounds: usize) -> Outcome<Vec<f64>> {
        let arguments = "image = \"nowhere.invalid/none:1\"\n  wait = { timeout = \"10m\" }";
        let configuration = self.configuration(cluster, "bench-waiting", arguments);
        let workspace = Workspace::new(self.site, "interrupted", &configuration)?;
        workspace.run(&["init"]).await?;
        let mut samples = Vec::new();
        for _ in 0..rounds {
            let mut apply = workspace.start(&["apply", "-auto-approve"])?;
            let pods = ["get", "pods", "--namespace", self.namespace, "--output", "name"];
            while self.kubectl(&pods).await?.is_empty() {
                if let Some(status) = apply.try_wait()? {
                    return Err(format!("the apply did not wait: {status}").into());
                }
            }
            let pid = apply
                .id()
                .and_then(|pid| i32::try_from(pid).ok())
                .ok_or("it has ended")?;
            let pressed = Instant::now();
            kill(Pid::from_raw(pid), Signal::SIGINT)?;
            tokio::time::timeout(PATIENCE, apply.wait()).await??;
            samples.push(Unit::Seconds.of(pressed.elapsed()));
            let kept = workspace.state().await?;
            if !kept.contains("harness_delegate.this") {
                return Err("the interrupted apply has not kept its state".into());
            }
            workspace.run(&["destroy", "-auto-approve"]).await?;
            // The next round waits for a pod of its own.
            let gone = async {
                while !self.kubectl(&pods).await?.is_empty() {}
                Outcome::Ok(())
            };
            tokio::time::timeout(PATIENCE, gone).await??;
        }
        Ok(samples)
    }

    async fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.kubeconfig).args(arguments);
        let output = command.stdin(Stdio::null()).output().await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("kubectl {arguments:?}: {said}").into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn fifty(&self, cluster: &str) -> String {
        let arguments = format!("count = {COUNT}\n  replicas = 0\n  wait = {{ until = \"installed\" }}");
        self.configuration(cluster, "bench-${count.index}", &arguments)
    }

    fn configuration(&self, cluster: &str, name: &str, arguments: &str) -> String {
        format!(
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
  kubernetes = {cluster}
}}

resource "harness_delegate" "this" {{
  name             = "{name}"
  token_wo         = var.token
  token_wo_version = 1
  manifest         = {{ namespace = "{namespace}" }}
  {arguments}
}}
"#,
            url = self.site.url,
            account = self.site.account_id,
            namespace = self.namespace,
        )
    }
}

async fn timed(workspace: &Workspace, arguments: &[&str]) -> Outcome<f64> {
    let started = Instant::now();
    workspace.run(arguments).await?;
    Ok(Unit::Seconds.of(started.elapsed()))
}
