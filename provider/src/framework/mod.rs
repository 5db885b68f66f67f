//! Writing a Terraform provider.
//!
//! Wire → convert → server → traits: the plugin layer brings messages, this room turns them into values and calls.
//! Nothing here knows what is being provided; with [`crate::plugin`] it can be lifted out and carry another provider.

pub mod value;
