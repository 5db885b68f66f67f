//! The module with the inputs of the official one.

use std::fs;

use crate::applied::with_helm;
use crate::cluster::Site;
use crate::files::{copy, examples, prepared};
use crate::terraform::Terraform;

const MODULE: &str = "modules/delegate";

/// The inputs of the official module, each with a value: what a root module that uses it may contain.
const ROOT: &str = r#"
module "delegate" {
  source = "./module"

  account_id       = "an-account"
  delegate_token   = "00000000000000000000000000000000"
  delegate_name    = "terraform-delegate"
  deploy_mode      = "KUBERNETES"
  namespace        = "harness-delegate-ng"
  create_namespace = true
  manager_endpoint = "https://app.harness.io"
  delegate_image   = "harness/delegate:26.02.88404"
  helm_repository  = "https://app.harness.io/storage/harness-download/delegate-helm-chart/"
  init_script      = ""
  mtls_secret_name = ""
  next_gen         = true
  no_proxy         = ""
  proxy_host       = ""
  proxy_port       = ""
  proxy_scheme     = ""
  proxy_user       = ""
  proxy_password   = ""
  replicas         = 1
  upgrader_enabled = true
  values           = yamlencode({ javaOpts = "-Xms64M" })
}

output "values" {
  value     = module.delegate.values
  sensitive = true
}
"#;

/// A copy of the module's tests of one folder.
fn copy_tests(terraform: &Terraform, folder: &str) {
    fs::create_dir_all(terraform.path(folder)).expect("a folder");
    let tests = fs::read_dir(examples().join(MODULE).join(folder)).expect("tests");
    for file in tests.flatten().filter(|entry| entry.path().is_file()) {
        let name = file.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(file.path()).expect("readable");
        terraform.write(&format!("{folder}/{name}"), &text);
    }
}

#[tokio::test]
async fn a_root_of_the_official_module_needs_another_source_and_nothing_else() {
    let Some(terraform) = Terraform::here().await else {
        return;
    };
    let terraform = prepared(terraform, MODULE, &[]);
    fs::create_dir(terraform.path("module")).expect("a folder");
    for name in ["main.tf", "outputs.tf", "variables.tf", "versions.tf"] {
        fs::rename(terraform.path(name), terraform.path(&format!("module/{name}"))).expect("there");
    }
    terraform.write("main.tf", ROOT);
    terraform.run(&["get", "-no-color"]).await.succeeds();
    terraform.validate().await.succeeds();
}

#[tokio::test]
async fn the_module_passes_its_own_tests() {
    let Some(terraform) = Terraform::here().await else {
        return;
    };
    let terraform = prepared(terraform, MODULE, &[]);
    copy_tests(&terraform, "tests");
    let run = terraform.run(&["test", "-no-color"]).await.succeeds();
    // A file that is not found is a success to Terraform.
    assert!(
        run.stdout.contains(" 0 failed") && !run.stdout.contains(" 0 passed"),
        "{run}"
    );
}

#[tokio::test]
async fn the_module_installs_a_delegate_in_a_cluster() {
    let Some(mut site) = Site::new("module").await else {
        return;
    };
    let variables = [
        ("account_id", "acceptance".to_owned()),
        ("delegate_token", site.manager.token.clone()),
        ("delegate_name", site.name.clone()),
        ("manager_endpoint", site.manager.url.clone()),
        ("namespace", site.namespace.clone()),
        ("delegate_image", site.cluster.image.clone()),
    ];
    copy(&site.terraform, MODULE, &[]);
    for (name, value) in variables {
        site.terraform.set_env(format!("TF_VAR_{name}"), value);
    }
    with_helm(&mut site);
    let kubeconfig = site.cluster.kubeconfig.clone();
    site.terraform.set_env("KUBE_CONFIG_PATH", kubeconfig);
    let folder = "tests/cluster";
    copy_tests(&site.terraform, folder);
    let run = site
        .terraform
        .run(&["test", "-no-color", &format!("-test-directory={folder}")])
        .await
        .succeeds();
    assert!(run.stdout.contains("2 passed, 0 failed"), "{run}");
    assert!(site.objects().await.is_empty(), "{:?}", site.objects().await);
}
