//! Which Docker engine does the work: the delegate's own, or one that the task names.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Secret;
use crate::process::Command;
use crate::task::{TaskContext, TaskError, files};

// Its description is that of the field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::task) struct Engine {
    /// Where it answers: `unix:///PATH`, or `tcp://HOST:PORT` with `tls`; without `tls` on this machine only.
    host: String,
    /// What each side shows the other.
    tls: Option<Tls>,
}

// Mutual TLS, which is what keeps an engine on a port from being everybody's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tls {
    /// The authority that the engine's certificate comes from, as PEM.
    ca: String,
    /// Our certificate, as PEM.
    certificate: String,
    /// Its private key, as PEM.
    key: Secret,
}

impl Engine {
    pub(in crate::task) fn secrets(&self) -> impl Iterator<Item = Secret> {
        self.tls.iter().map(|tls| tls.key.clone())
    }

    /// The fields are below `engine`.
    pub(in crate::task) fn check(&self) -> Result<(), TaskError> {
        let wrong = |field: &str, problem: &str| Err(TaskError::data(format!("engine.{field}"), problem));
        if self.host.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return wrong("host", "has a space or a control character in it");
        }
        if let Some(path) = self.host.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return wrong("host", "names no socket; give unix:///PATH");
            }
            if self.tls.is_some() {
                return wrong(
                    "tls",
                    "is not spoken on a socket; leave it out, or give a tcp:// host",
                );
            }
            return Ok(());
        }
        let Some(address) = self.host.strip_prefix("tcp://") else {
            return wrong("host", "must begin with unix:// or tcp://");
        };
        let host = match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => host,
            _ => return wrong("host", "must name a host and a port: tcp://HOST:PORT"),
        };
        if host.contains(['/', '@', '?', '#']) {
            return wrong(
                "host",
                "must be a host and a port, and nothing else: tcp://HOST:PORT",
            );
        }
        match &self.tls {
            None if !is_here(host) => wrong(
                "tls",
                "is missing: without it, what is sent to another machine could be read, and the engine would be everybody's",
            ),
            Some(tls) => {
                for (field, text) in [
                    ("tls.ca", &*tls.ca),
                    ("tls.certificate", &*tls.certificate),
                    ("tls.key", tls.key.expose()),
                ] {
                    if !text.contains("-----BEGIN ") {
                        return wrong(field, "is no PEM; give the whole file, from its BEGIN line on");
                    }
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Writes what `docker` reads. To be called once a task.
    pub(super) async fn lay_out(&self, context: &TaskContext) -> Result<(), TaskError> {
        let user = context.confinement.user.as_ref();
        if let Some(tls) = &self.tls {
            for (name, text) in [
                ("ca.pem", &*tls.ca),
                ("cert.pem", &*tls.certificate),
                ("key.pem", tls.key.expose()),
            ] {
                files::write_private(&context.work_dir.join(name), text, user).await?;
            }
        }
        Ok(())
    }

    /// Makes a command use it, and nothing that the delegate has for its own engine.
    pub(super) fn address(&self, command: Command, context: &TaskContext) -> Command {
        let command = command.env("DOCKER_HOST", &self.host);
        match self.tls {
            // Empty is the same as not set.
            None => command.env("DOCKER_TLS_VERIFY", "").env("DOCKER_CERT_PATH", ""),
            Some(_) => command
                .env("DOCKER_TLS_VERIFY", "1")
                .env("DOCKER_CERT_PATH", &context.work_dir),
        }
    }
}

fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_elsewhere_is_reached_by_tls_only() {
        let check = |host: &str| {
            let engine = Engine {
                host: host.to_owned(),
                tls: None,
            };
            engine.check().map_err(|error| error.to_string())
        };
        for host in [
            "unix:///run/docker.sock",
            "tcp://127.0.0.1:2375",
            "tcp://localhost:2375",
            "tcp://[::1]:2375",
        ] {
            assert_eq!(check(host), Ok(()), "{host}");
        }
        for (host, words) in [
            ("tcp://10.0.0.1:2375", "`engine.tls`: is missing"),
            ("tcp://127.0.0.1", "a host and a port"),
            ("tcp://user@127.0.0.1:2375", "nothing else"),
            ("unix://docker.sock", "names no socket"),
            ("ssh://host", "must begin with"),
            ("-H", "must begin with"),
            ("unix:///a b", "a space"),
        ] {
            let problem = check(host).unwrap_err();
            assert!(problem.contains(words), "{host}: {problem}");
        }
    }
}
