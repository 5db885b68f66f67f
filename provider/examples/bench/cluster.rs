//! Fifty delegates of no pods in one namespace of a cluster, as plain objects: made, planned without change, removed.
//!
//! The cluster is the one of `HARNESS_TEST_KUBECONFIG`; without it the figures are left out.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use tokio::process::Command;

use crate::Outcome;
use crate::plan::Workspace;
use crate::report::{Figure, Report, Unit};
use crate::site::Site;

const COUNT: usize = 50;

/// Each figure: its name, what it is, the target in seconds, and what others need.
const FIGURES: [(&str, &str, f64, &str); 3] = [
    (
        "create_50",
        "terraform apply, 50 delegates in Kubernetes made",
        5.0,
        "helm provider 3.1.2: 13.6 s",
    ),
    (
        "plan_50_kubernetes",
        "terraform plan, nothing to change, 50 delegates in Kubernetes",
        0.5,
        "helm provider 3.1.2: 1.90 s without seeing drift, 19 s seeing it",
    ),
    (
        "destroy_50",
        "terraform destroy, 50 delegates in Kubernetes removed",
        2.0,
        "helm provider 3.1.2: 4.0 s",
    ),
];

pub(crate) async fn measure(site: &Site, runs: usize, report: &mut Report) -> Outcome<()> {
    let Some(kubeconfig) = std::env::var_os("HARNESS_TEST_KUBECONFIG").filter(|path| !path.is_empty()) else {
        eprintln!("SKIPPED: HARNESS_TEST_KUBECONFIG is not set, so nothing is measured in a cluster");
        return Ok(());
    };
    let namespace = format!("bench-{:08x}", fastrand::u32(..));
    let configuration = configuration(site, Path::new(&kubeconfig), &namespace);
    let workspace = Workspace::new(site, "cluster", &configuration)?;
    workspace.run(&["init"]).await?;
    // Made before, and so left by the delegates: Kubernetes takes seconds to remove one.
    kubectl(&kubeconfig, &["create", "namespace", &namespace]).await?;
    let measured = rounds(&workspace, runs).await;
    // Whatever happened, nothing stays.
    kubectl(&kubeconfig, &["delete", "namespace", &namespace, "--wait=false"]).await?;
    for ((id, what, target, beside), samples) in FIGURES.into_iter().zip(measured?) {
        report.add(Figure {
            id,
            what: what.to_owned(),
            unit: Unit::Seconds,
            samples,
            target: Some(target),
            beside,
        });
    }
    Ok(())
}

/// Samples of each figure. Making and removing takes longer than planning, so there are fewer of those.
async fn rounds(workspace: &Workspace, runs: usize) -> Outcome<[Vec<f64>; 3]> {
    let (mut created, mut planned, mut destroyed) = (Vec::new(), Vec::new(), Vec::new());
    let rounds = runs.div_ceil(4);
    for _ in 0..rounds {
        created.push(timed(workspace, &["apply", "-auto-approve"]).await?);
        // The first plan tells the cluster that a state has them; that is part of making them.
        workspace.run(&["plan"]).await?;
        planned.extend(workspace.plans(runs.div_ceil(rounds)).await?);
        destroyed.push(timed(workspace, &["destroy", "-auto-approve"]).await?);
    }
    Ok([created, planned, destroyed])
}

async fn kubectl(kubeconfig: &OsStr, arguments: &[&str]) -> Outcome<()> {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(kubeconfig).args(arguments);
    let output = command.stdin(Stdio::null()).output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("kubectl {arguments:?}: {said}").into());
    }
    Ok(())
}

async fn timed(workspace: &Workspace, arguments: &[&str]) -> Outcome<f64> {
    let started = Instant::now();
    workspace.run(arguments).await?;
    Ok(Unit::Seconds.of(started.elapsed()))
}

fn configuration(site: &Site, kubeconfig: &Path, namespace: &str) -> String {
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
  kubernetes = {{ config_path = "{kubeconfig}" }}
}}

resource "harness_delegate" "this" {{
  count            = {COUNT}
  name             = "bench-${{count.index}}"
  token_wo         = var.token
  token_wo_version = 1
  replicas         = 0
  manifest         = {{ namespace = "{namespace}" }}
  wait             = {{ until = "installed" }}
}}
"#,
        url = site.url,
        account = site.account_id,
        kubeconfig = kubeconfig.display(),
    )
}
