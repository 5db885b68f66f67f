//! The msgpack form of values, in which Terraform and a provider exchange nearly everything.
//!
//! Decoding is directed by a type and takes any bytes: what does not fit is an error with a path. Encoding
//! writes the forms that Terraform writes itself, so that a value which passed through unchanged has
//! unchanged bytes (up to the order of attributes).

mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::values as test_values;
