//! What every test starts from: a manager, a folder, and a configuration with one delegate.

use crate::host::Host;
use crate::manager::{Manager, unique};
use crate::terraform::{Run, Terraform};

/// The program Terraform starts.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-harness");

pub(crate) const SOURCE: &str = "terraform.local/harness/harness";

/// Address of the one delegate.
pub(crate) const DELEGATE: &str = "harness_delegate.this";

/// The variable that carries the token, as the documentation recommends it.
pub(crate) const TOKEN_VARIABLE: &str =
    "variable \"delegate_token\" {\n  type      = string\n  sensitive = true\n  ephemeral = true\n}\n";

/// The argument that hands it over.
pub(crate) const TOKEN: &str = "token_wo = var.delegate_token\n  token_wo_version = 1";

/// What a delegate's log says when it has been asked to stop.
pub(crate) const DRAINS: &str = "SIGTERM: finishing";

pub(crate) struct Case {
    pub(crate) terraform: Terraform,
    pub(crate) manager: Manager,
    pub(crate) host: Host,
    pub(crate) name: String,
}

impl Case {
    /// Nothing is installed yet. Gives nothing when there is no Terraform.
    pub(crate) async fn new(stem: &str) -> Option<Self> {
        let terraform = Terraform::here().await?.installed(SOURCE, PROGRAM.as_ref());
        let manager = Manager::start().await;
        let terraform = terraform.env("TF_VAR_delegate_token", &manager.token);
        Some(Self {
            terraform,
            manager,
            host: Host::new(),
            name: unique(stem),
        })
    }

    /// The provider block for this case's manager.
    pub(crate) fn provider(&self) -> String {
        format!(
            "provider \"harness\" {{\n  endpoint   = \"{}\"\n  account_id = \"{}\"\n}}\n",
            self.manager.url, self.manager.account
        )
    }

    /// Writes a configuration of one delegate in this case's folder, with these further arguments. A token has to be
    /// among them.
    pub(crate) fn configure(&self, arguments: &str) {
        self.configure_in(&self.host, &self.name, arguments);
    }

    pub(crate) fn configure_in(&self, host: &Host, name: &str, arguments: &str) {
        let place = format!(
            "host = {{ directory = \"{}\", service = \"process\" }}",
            host.path()
        );
        self.write(&resource(name, &format!("{place}\n  {arguments}")));
    }

    /// Writes a configuration: provider, token, and what is given.
    pub(crate) fn write(&self, text: &str) {
        let text = format!("{}{TOKEN_VARIABLE}{text}", self.provider());
        self.terraform.write("main.tf", &text);
    }

    /// Applies a configuration of one delegate, which connects.
    pub(crate) async fn installed(stem: &str) -> Option<Self> {
        let case = Self::new(stem).await?;
        case.configure(TOKEN);
        case.terraform.apply().await.succeeds();
        case.host.assert_one_delegate();
        Some(case)
    }

    /// Gives another token from now on.
    pub(crate) fn hand_over(&mut self, token: &str) {
        self.terraform.set_env("TF_VAR_delegate_token", token);
    }

    /// An attribute of the delegate in the state.
    pub(crate) async fn attribute(&self, name: &str) -> serde_json::Value {
        self.terraform.state().await.attribute(DELEGATE, name).clone()
    }

    /// What `drift` says after looking, without changing the state.
    pub(crate) async fn drift(&self) -> Vec<String> {
        let plan = self.terraform.plan(&[]).await;
        assert_eq!(plan.actions(DELEGATE), ["update"], "{}", plan.text);
        let lines = plan.change(DELEGATE)["before"]["drift"].clone();
        serde_json::from_value(lines).expect("lines")
    }

    /// The delegate of this case as the manager knows it: the last one that has registered.
    pub(crate) async fn registered(&self) -> serde_json::Value {
        let known = self.manager.delegates(&self.name).await;
        let last = known
            .into_iter()
            .max_by_key(|delegate| delegate["registered_at"].as_str().map(str::to_owned));
        last.expect("one has registered")
    }

    /// That an apply makes all well: it succeeds, nothing is left to do, one delegate runs, and it takes tasks.
    pub(crate) async fn assert_heals(&self) -> Run {
        let run = self.terraform.apply().await.succeeds();
        self.assert_well(&self.host, &self.name).await;
        run
    }

    pub(crate) async fn assert_well(&self, host: &Host, name: &str) {
        self.terraform.assert_settled().await;
        host.assert_one_delegate();
        let result = self.manager.run_task("echo well", name).await;
        assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    }

    /// That a destroy leaves nothing.
    pub(crate) async fn assert_removed(&self) {
        self.terraform.destroy().await.succeeds();
        self.host.assert_gone();
    }
}

/// A resource `harness_delegate.this`.
pub(crate) fn resource(name: &str, arguments: &str) -> String {
    resource_as("this", name, arguments)
}

pub(crate) fn resource_as(label: &str, name: &str, arguments: &str) -> String {
    format!("resource \"harness_delegate\" \"{label}\" {{\n  name = \"{name}\"\n  {arguments}\n}}\n")
}
