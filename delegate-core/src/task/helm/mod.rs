//! What is done by `helm`, 3 or 4: deploying releases, and publishing charts.
//!
//! `program` runs it, with nothing of a user's own configuration: repositories, logins and caches are in the task's
//! directory. `source` is where a chart comes from. `deploy` and `push` are the kinds.

mod deploy;
mod program;
mod push;
mod source;

pub use deploy::HelmDeploy;
pub use push::HelmPush;

use crate::process::Environment;

/// The program.
const PROGRAM: &str = "helm";

fn check(environment: &Environment) -> Result<(), String> {
    match environment.find_program(PROGRAM) {
        Some(_) => Ok(()),
        None => Err("the program helm is not in PATH".to_owned()),
    }
}
