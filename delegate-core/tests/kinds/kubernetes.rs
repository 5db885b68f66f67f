//! The cluster that tests may use, and a namespace of a test's own in it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::delegate::Delegate;

/// Removed when dropped.
pub(crate) struct Namespace {
    pub(crate) name: String,
    kubeconfig: PathBuf,
    /// An image that the cluster has, with `/bin/bash` in it.
    pub(crate) image: String,
}

impl Namespace {
    /// Says so and gives nothing where there is no cluster.
    pub(crate) fn make() -> Option<Self> {
        let (Some(kubeconfig), Ok(image)) = (
            std::env::var_os("HARNESS_TEST_KUBECONFIG"),
            std::env::var("HARNESS_TEST_IMAGE"),
        ) else {
            eprintln!(
                "SKIPPED: HARNESS_TEST_KUBECONFIG and HARNESS_TEST_IMAGE do not name a cluster for tests (scripts/cluster up)"
            );
            return None;
        };
        let namespace = Self {
            name: format!("kind-{:016x}", fastrand::u64(..)),
            kubeconfig: kubeconfig.into(),
            image,
        };
        let created = namespace.kubectl(&["create", "namespace", &namespace.name]);
        assert!(created.is_some(), "the namespace cannot be made");
        Some(namespace)
    }

    /// What kubectl prints, or nothing when it fails.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Option<String> {
        let output = Command::new("kubectl")
            .env("KUBECONFIG", &self.kubeconfig)
            .args(["--namespace", &self.name])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// An object, or null.
    pub(crate) fn get(&self, what: &str) -> Value {
        let args = ["get", "--output=json", "--show-managed-fields", what];
        self.kubectl(&args)
            .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
    }

    /// A delegate whose cluster it is.
    pub(crate) fn delegate(&self) -> Delegate {
        let mut delegate = Delegate::new();
        delegate.settings.environment.set("KUBECONFIG", &self.kubeconfig);
        delegate
    }

    pub(crate) fn kubeconfig(&self) -> String {
        std::fs::read_to_string(&self.kubeconfig).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.kubectl(&["delete", "namespace", "--wait=false", &self.name]);
    }
}
