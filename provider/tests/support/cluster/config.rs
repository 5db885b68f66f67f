//! The configuration of one delegate.

use std::collections::BTreeMap;

use serde_json::json;

use super::{ACCOUNT, Site};

impl Site {
    /// A release with the arguments that every test needs.
    pub fn config(&self) -> Config {
        let quoted = |text: &str| json!(text).to_string();
        let config = self
            .config_of("helm")
            .provider("helm_binary", quoted(&self.helm.display().to_string()))
            .helm("namespace", quoted(&self.namespace));
        config.values("minReadySeconds: 0")
    }

    /// The same as plain objects.
    pub fn manifest_config(&self) -> Config {
        self.config_of("manifest")
            .manifest("namespace", json!(self.namespace).to_string())
    }

    fn config_of(&self, mode: &'static str) -> Config {
        let quoted = |text: &str| json!(text).to_string();
        let config = Config {
            provider: BTreeMap::new(),
            arguments: BTreeMap::new(),
            mode: (mode, BTreeMap::new()),
            more: String::new(),
        };
        config
            .provider("endpoint", quoted(&self.manager.url))
            .provider("account_id", quoted(ACCOUNT))
            .provider(
                "kubernetes",
                format!(
                    "{{ config_path = {} }}",
                    quoted(&self.cluster.kubeconfig.display().to_string())
                ),
            )
            .set("name", quoted(&self.name))
            .set("image", quoted(&self.cluster.image))
            .set("token_wo", "var.token")
            .set("token_wo_version", "1")
            .set("wait", r#"{ timeout = "90s" }"#)
    }
}

/// A configuration of one delegate. Values are HCL expressions.
#[derive(Clone)]
pub struct Config {
    provider: BTreeMap<String, String>,
    arguments: BTreeMap<String, String>,
    /// The argument that says how it is installed, and its arguments.
    mode: (&'static str, BTreeMap<String, String>),
    more: String,
}

impl Config {
    #[must_use]
    pub fn provider(mut self, name: &str, value: impl Into<String>) -> Self {
        self.provider.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.arguments.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn unset(mut self, name: &str) -> Self {
        self.arguments.remove(name);
        self.provider.remove(name);
        self
    }

    #[must_use]
    pub fn helm(self, name: &str, value: impl Into<String>) -> Self {
        self.place("helm", name, value)
    }

    #[must_use]
    pub fn manifest(self, name: &str, value: impl Into<String>) -> Self {
        self.place("manifest", name, value)
    }

    fn place(mut self, mode: &'static str, name: &str, value: impl Into<String>) -> Self {
        assert_eq!(self.mode.0, mode, "a configuration has one mode");
        self.mode.1.insert(name.to_owned(), value.into());
        self
    }

    /// The one document of `helm.values`.
    #[must_use]
    pub fn values(self, yaml: &str) -> Self {
        self.helm("values", format!("[{}]", json!(yaml)))
    }

    /// Without this argument of `helm`.
    #[must_use]
    pub fn unset_helm(mut self, name: &str) -> Self {
        self.mode.1.remove(name);
        self
    }

    /// Further blocks.
    #[must_use]
    pub fn more(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self
    }

    pub fn write(&self, site: &Site) {
        let lines = |map: &BTreeMap<String, String>, indent: &str| {
            map.iter()
                .map(|(name, value)| format!("{indent}{name} = {value}\n"))
                .collect::<String>()
        };
        let text = format!(
            "variable \"token\" {{\n  type      = string\n  ephemeral = true\n  sensitive = true\n}}\n\n\
             provider \"harness\" {{\n{}}}\n\n\
             resource \"harness_delegate\" \"this\" {{\n{}  {} = {{\n{}  }}\n}}\n{}",
            lines(&self.provider, "  "),
            lines(&self.arguments, "  "),
            self.mode.0,
            lines(&self.mode.1, "    "),
            self.more,
        );
        site.terraform.write("main.tf", &text);
    }
}
