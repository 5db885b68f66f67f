//! What is refused, and that nothing is changed by it.

use std::path::Path;

use serde_json::Value as Json;

use super::{Config, PROGRAM, SOURCE, Site, THIS};
use crate::terraform::{Run, Terraform};

/// A cluster that nobody answers for, as the provider's argument; and what is said of it.
const SILENT: (&str, &str) = (
    "{ host = \"https://127.0.0.1:9\", insecure = true }",
    "annot reach the Kubernetes API server https://127.0.0.1:9",
);

/// What is compared to see that nothing was changed.
const WRITTEN: &str = "deployment,secret,configmap";

/// That it failed with one error that has all of `expected`.
pub fn one_error(run: Run, expected: &[&str]) {
    let errors = run.stderr.matches("Error: ").count();
    let error = run.fails();
    assert_eq!(errors, 1, "{error}");
    for part in expected {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

impl Site {
    /// That the apply is refused with one error that has all of `expected`, and that nothing was made.
    pub async fn refuses(&self, config: &Config, expected: &[&str]) {
        one_error(self.apply(config).await, expected);
        assert!(!self.cluster.has_namespace(&self.namespace).await);
        assert_eq!(self.terraform.state().await.resource(THIS), &Json::Null);
    }

    /// That each of these calls of Terraform is refused in a cluster that is not the one in the state, and changes nothing.
    pub async fn refuses_another_cluster(&self, calls: &[&[&str]]) {
        let (stated, found) = self.pretend_another_cluster().await;
        let before = self.written(WRITTEN).await;
        for arguments in calls {
            let error = self.terraform.run(arguments).await.fails();
            for part in ["This is another place", stated, &found, "state rm"] {
                assert!(error.contains(part), "{part:?} is not in: {error}");
            }
        }
        assert_eq!(self.written(WRITTEN).await, before);
        assert_ne!(self.terraform.state().await.resource(THIS), &Json::Null);
    }

    /// That a cluster that does not answer is named by a plan and a destroy, and the state kept.
    pub async fn keeps_its_state_without_an_answer(&self, config: Config) {
        let (cluster, said) = SILENT;
        let state = self.terraform.state_file();
        config.provider("kubernetes", cluster).write(self);
        for arguments in [
            &["plan", "-no-color"][..],
            &["destroy", "-no-color", "-auto-approve"],
        ] {
            let error = self.terraform.run(arguments).await.fails();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(self.terraform.state_file(), state);
    }

    /// That the delegate of this state is refused, with these words, to another one: of somebody who chose the same names.
    pub async fn is_refused_to_another_state(&self, expected: &[&str]) {
        // From the first look on it is this state's; the end of the apply tells the cluster too, unless Terraform loses its
        // patience.
        self.terraform.assert_settled().await;
        let before = self.written(WRITTEN).await;
        let Some(other) = Terraform::here().await else {
            return;
        };
        let other = other
            .installed(SOURCE, Path::new(PROGRAM))
            .env("TF_VAR_token", &self.manager.token);
        std::fs::copy(self.terraform.path("main.tf"), other.path("main.tf")).expect("a copy");
        one_error(other.apply().await, expected);
        assert_eq!(self.written(WRITTEN).await, before);
        self.terraform.assert_settled().await;
    }
}
