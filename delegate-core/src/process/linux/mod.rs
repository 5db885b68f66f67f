//! Linux: sessions, pidfds, `/proc` and the subreaper.
//!
//! A child is watched through a pidfd and reaped only when everything it started is gone: until then its process id,
//! and with it the id of its group, cannot be taken by a stranger that we would then kill.

mod adopt;
mod cage;
mod child;
mod footprint;
mod handle;
mod procfs;
mod sealed;
mod spawn;

pub use adopt::become_subreaper;
pub(super) use cage::Cage;
pub use child::kill_marked;
pub(super) use child::{Child, Pipes};
pub use footprint::let_go_of_startup_pages;
pub use sealed::Sealed;
