//! Identities, each of its own type so that they cannot be exchanged, cheap to clone.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::pipeline::run::TaskRef;

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// A fresh random identity.
            pub fn random() -> Self {
                Self(uuid::Uuid::new_v4().to_string().into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

identity!(
    /// Identity of a task.
    TaskId
);
identity!(
    /// Identity of a registered delegate.
    DelegateId
);

identity!(
    /// Identity of a run of a pipeline.
    RunId
);

impl TaskId {
    /// The task of one attempt of a step. It is always the same, so that submitting it twice is submitting it once.
    pub fn of_step(run: &RunId, task: TaskRef) -> Self {
        let digest = Sha256::digest(format!("{run}/{}/{}", task.node, task.attempt));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self::from(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
    }
}

impl RunId {
    /// The run that is started with this key. It is always the same, so that starting it twice is starting it once.
    pub fn of_key(key: &str) -> Self {
        let digest = Sha256::digest(format!("key/{key}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self::from(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
    }
}

/// Milliseconds since the epoch. The clock is read at the edge and passed in.
pub type Millis = i64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_of_each_step_of_each_run_is_a_task_of_its_own() {
        let (one, other) = (RunId::random(), RunId::random());
        let mut ids: Vec<TaskId> = [
            (&one, 1, 1),
            (&one, 1, 2),
            (&one, 2, 1),
            (&one, 11, 1),
            (&other, 1, 1),
        ]
        .into_iter()
        .map(|(run, node, attempt)| TaskId::of_step(run, TaskRef { node, attempt }))
        .collect();
        assert_eq!(ids[0], TaskId::of_step(&one, TaskRef { node: 1, attempt: 1 }));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5);
        assert!(ids.iter().all(|id| uuid::Uuid::parse_str(id.as_str()).is_ok()));
    }
}
