//! What the host, Terraform or OpenTofu, says to us through the environment.
//!
//! Read once, at the start; everything else gets the values passed in. A malformed optional value is ignored
//! like an absent one, as the host's own library does, except where ignoring it would weaken something.

use std::{env, fmt, ops::RangeInclusive, path::PathBuf};

/// The variables of the plugin contract.
#[derive(Clone, Default)]
pub struct HostEnv {
    /// The fixed value by which a host shows that it is one.
    pub cookie: Option<String>,
    /// The provider protocol majors the host speaks.
    pub protocol_versions: Vec<u32>,
    /// The host's client certificate as PEM. Absent when the user switched plugin TLS off.
    pub client_certificate: Option<String>,
    /// Where the socket shall live.
    pub socket_dir: Option<PathBuf>,
    /// Group, by name or number, that may also connect to the socket.
    pub socket_group: Option<String>,
    /// Ports to choose from when there are no unix sockets.
    pub ports: Option<RangeInclusive<u16>>,
    /// The host asks whether we multiplex broker connections; the handshake line must answer.
    pub asks_multiplexing: bool,
}

impl HostEnv {
    /// Reads the process environment.
    pub fn from_process() -> Self {
        Self::from_lookup(|name| env::var(name).ok())
    }

    /// Reads the variables through `lookup`; an empty value counts as absent.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let port = |name: &str| get(name).and_then(|value| value.parse::<u16>().ok());
        Self {
            cookie: get("TF_PLUGIN_MAGIC_COOKIE"),
            protocol_versions: get("PLUGIN_PROTOCOL_VERSIONS")
                .unwrap_or_default()
                .split(',')
                .filter_map(|version| version.trim().parse().ok())
                .collect(),
            client_certificate: get("PLUGIN_CLIENT_CERT"),
            socket_dir: get("PLUGIN_UNIX_SOCKET_DIR").map(PathBuf::from),
            socket_group: get("PLUGIN_UNIX_SOCKET_GROUP"),
            ports: port("PLUGIN_MIN_PORT")
                .zip(port("PLUGIN_MAX_PORT"))
                .map(|(min, max)| min..=max)
                .filter(|range| !range.is_empty()),
            asks_multiplexing: get("PLUGIN_MULTIPLEX_GRPC").is_some(),
        }
    }
}

impl fmt::Debug for HostEnv {
    /// The certificate is long and of no use in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostEnv")
            .field("protocol_versions", &self.protocol_versions)
            .field("client_certificate", &self.client_certificate.is_some())
            .field("socket_dir", &self.socket_dir)
            .field("socket_group", &self.socket_group)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> HostEnv {
        HostEnv::from_lookup(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_terraform_gives_is_understood() {
        let env = env(&[
            ("TF_PLUGIN_MAGIC_COOKIE", "cookie"),
            ("PLUGIN_PROTOCOL_VERSIONS", "5,6"),
            ("PLUGIN_MIN_PORT", "10000"),
            ("PLUGIN_MAX_PORT", "25000"),
            ("PLUGIN_CLIENT_CERT", "pem"),
        ]);
        assert_eq!(env.cookie.as_deref(), Some("cookie"));
        assert_eq!(env.protocol_versions, [5, 6]);
        assert_eq!(env.ports, Some(10000..=25000));
        assert_eq!(env.client_certificate.as_deref(), Some("pem"));
        assert_eq!(
            (env.socket_dir, env.socket_group, env.asks_multiplexing),
            (None, None, false)
        );
    }

    #[test]
    fn empty_and_malformed_values_count_as_absent() {
        let env = env(&[
            ("PLUGIN_CLIENT_CERT", ""),
            ("PLUGIN_UNIX_SOCKET_DIR", ""),
            ("PLUGIN_PROTOCOL_VERSIONS", "six, 7,,"),
            ("PLUGIN_MIN_PORT", "25000"),
            ("PLUGIN_MAX_PORT", "10000"),
        ]);
        assert_eq!(env.client_certificate, None);
        assert_eq!(env.socket_dir, None);
        assert_eq!(env.protocol_versions, [7]);
        assert_eq!(env.ports, None);
    }
}
