//! `ECS_DEPLOY` and `ECS_RESTART`: services of Amazon ECS.
//!
//! Deploying makes a revision of a task definition, or takes one that is there, gives it to the service, and waits until the
//! service runs it and nothing else. A service that does not come there is given back what it ran before. Restarting
//! replaces the tasks of a service by new ones of the same definition.
//!
//! Everything is done by calls of ECS, none of which waits there: an abort, or the end of the task's time, ends only our
//! watching. Then the service stays as it was told last, and the outcome says so.
//!
//! `call` speaks to ECS, `definition` makes task definitions, `steady` watches a service.

mod call;
mod definition;
mod deploy;
mod restart;
mod steady;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

pub use deploy::EcsDeploy;
pub use restart::EcsRestart;

use super::{Span, TaskError};

/// Until a service must be steady, where the data says nothing. AWS's own programs wait for as long.
const DEFAULT_PATIENCE: Duration = Duration::from_mins(10);

/// The cluster that every account has.
const DEFAULT_CLUSTER: &str = "default";

/// How long it is waited for a service to be steady: it has as many running tasks as it should, all of them of the newest
/// deployment, and ECS calls that deployment completed.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// How long at most. Default: `10m`.
    timeout: Option<Span>,
}

impl Wait {
    fn patience(self) -> Duration {
        self.timeout.map_or(DEFAULT_PATIENCE, |Span(timeout)| timeout)
    }

    fn check(self) -> Result<(), TaskError> {
        if self.timeout == Some(Span(Duration::ZERO)) {
            return Err(TaskError::data("wait.timeout", "must be longer than nothing"));
        }
        Ok(())
    }
}

/// A name of a cluster or service, or its ARN.
fn check_name(field: &str, name: &str) -> Result<(), TaskError> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let fits = if name.starts_with("arn:") {
        name.bytes().all(|byte| letters(byte) || b":/".contains(&byte))
    } else {
        (1..=255).contains(&name.len()) && name.bytes().all(letters)
    };
    if fits {
        return Ok(());
    }
    Err(TaskError::data(
        field,
        "is neither a name, of at most 255 letters, digits, hyphens and underscores, nor an ARN",
    ))
}
