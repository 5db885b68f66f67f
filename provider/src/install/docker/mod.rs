//! A delegate as a container of a Docker engine.
//!
//! [`Engine`] is the connection; [`DockerSpec`] what is to be installed; [`body`](container) what the engine is asked for;
//! [`differences`](drift) what is otherwise. Secrets go into a file that is copied into the container and never into what
//! the engine shows of it, unless the image can only read its environment.
//!
//! An update makes the next container beside the current one, drains and sets aside the current one, and puts the next in
//! its place: whatever fails or is cut off in between, the next install goes on from what it finds, and the name always
//! leads back to a delegate. May touch: containers that carry our label, images that are missing.

mod build;
mod connector;
mod container;
mod drift;
mod endpoint;
mod engine;
mod files;
mod image;
mod install;
mod listing;
mod lock;
mod look;
mod registry;
mod spec;

pub use container::{NOTE, OWNED, SECRET_VARIABLES};
pub use endpoint::{Target, host_of_place, is_host, place_of};
pub use engine::{Engine, Engines};
pub use image::check;
pub use install::{Prepared, complete, install, prepare, remove};
pub use listing::list;
pub use lock::Lock;
pub use look::{Observed, observe, wait};
pub use registry::{Login, registry_of};
pub use spec::{DockerSpec, Health, Image, Restart, TokenAs, capability, is_volume, memory};

/// What went wrong with an engine or a container.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The target or an argument is not usable; nothing was contacted.
    #[error("{0}")]
    Target(String),
    /// The engine did not answer.
    #[error(
        "cannot reach the Docker engine {engine}: {reason}; check that it runs, docker.host, and that you may use it"
    )]
    Unreachable {
        /// Address that was tried.
        engine: String,
        /// What came back.
        reason: String,
    },
    /// The engine said no.
    #[error("the Docker engine {engine} refused to {action}: {message}")]
    Refused {
        /// Address that was asked.
        engine: String,
        /// What was asked.
        action: String,
        /// What it said.
        message: String,
        /// HTTP status, 0 when there was none.
        code: u16,
    },
    /// The image is not there and cannot be had.
    #[error(
        "the image {image} is not on the Docker engine {engine} and cannot be pulled: {reason}; check its name, the network and docker.registry or the provider's docker.registries"
    )]
    Image {
        /// Image that was asked for.
        image: String,
        /// Address of the engine.
        engine: String,
        /// What came back.
        reason: String,
    },
    /// No image is named, and none can be built.
    #[error("no image is named, and none can be built from the delegate's program: {0}; set image")]
    Build(String),
    /// A container of that name is somebody else's, or another resource's.
    #[error(
        "the container {container} exists already on {engine} and {whose}; choose another docker.container, remove that one, or import it: terraform import ADDRESS {import_id}"
    )]
    Foreign {
        /// The container.
        container: String,
        /// Address of the engine.
        engine: String,
        /// What is known of its owner.
        whose: &'static str,
        /// The id to import it by.
        import_id: String,
    },
    /// Another apply works on it.
    #[error(
        "another apply is at work on the container {0}; two resources may not name the same container of one engine"
    )]
    Busy(String),
    /// It was asked to stop.
    #[error("interrupted during {0}; what was done is kept, and the next apply goes on from there")]
    Stopped(&'static str),
    /// It did not become what was awaited.
    #[error("{0}")]
    Late(String),
}

impl DockerError {
    /// Whether the engine answered that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }
}
