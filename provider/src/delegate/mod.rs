//! The resource `harness_delegate`, and the data source that shows what it would apply.
//!
//! Its arguments become one validated [`Spec`](spec::Spec); the place's installer makes it so and says what is there;
//! what differs is the attribute `drift`, and a drift plans an update. This folder translates between Terraform and the
//! installers and touches nothing itself.

mod import;
mod list;
mod model;
mod place;
mod rendered;
mod resource;
mod schema;
mod spec;

pub use list::DelegateList;
pub use rendered::DelegateManifest;
pub use resource::Delegate;
