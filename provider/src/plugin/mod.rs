//! Being a Terraform plugin.

mod handshake;
mod host;
pub mod proto;
mod stop;
mod tls;

pub use handshake::HandshakeError;
pub use host::HostEnv;
pub use stop::StopSignal;
pub use tls::TlsError;
