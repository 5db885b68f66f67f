//! Delegate tokens: the resource `harness_delegate_token`, which makes and revokes one, and the ephemeral resource of the
//! same name, which hands the value of one over without storing it.
//!
//! Both ask the manager through [`crate::platform`] and translate. The value of a token is in a state only when its owner
//! asks for that (`store_value`). Nothing but a destroy revokes a token, because its delegates end with it.

mod ephemeral;
mod place;
mod resource;
mod schema;

pub use ephemeral::EphemeralToken;
pub use resource::TokenResource;
