//! The protocol's service for any provider.
