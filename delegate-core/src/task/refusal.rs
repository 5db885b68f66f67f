//! Why there is no connection: how far it came, what was said, and what to do.

use schemars::JsonSchema;
use serde::Serialize;

use super::halt::Halt;
use super::said::quoted;
use super::{TaskError, TaskOutput};

/// What did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// The name of the server is not known here.
    Name,
    /// Nobody answered at the address.
    Connection,
    /// The server's certificate is not trusted, or TLS failed otherwise.
    Tls,
    /// The host has another key than the known one.
    HostKey,
    /// The login was not taken.
    Login,
    /// The login was taken, and may not do what was tried.
    Permission,
    /// Somebody answered, and not as such a server does.
    Answer,
}

/// Words of programs, servers and libraries, in lower case, and what they are about. The first that is found counts.
const WORDS: [(Stage, &[&str]); 6] = [
    (
        Stage::HostKey,
        &["host key verification failed", "remote host identification"],
    ),
    (
        Stage::Login,
        &[
            "permission denied (",
            "incorrect passphrase",
            "load key",
            "authentication failed",
            "terminal prompts disabled",
            "could not read username",
            "could not read password",
            "error: 401",
            "unauthorized",
            "must be logged in",
            "provide credentials",
            "no pg_hba.conf entry",
            "check `user` and `password`",
            "no credentials",
            "invalidclienttokenid",
            "invalidaccesskeyid",
            "signaturedoesnotmatch",
            "unrecognizedclient",
            "invalididentitytoken",
            "expiredtoken",
        ],
    ),
    (
        Stage::Permission,
        &["error: 403", "forbidden", "accessdenied", "not authorized"],
    ),
    (
        Stage::Name,
        &[
            "could not resolve host",
            "name or service not known",
            "no such host",
            "dns error",
            "failed to lookup address",
            "name resolution",
        ],
    ),
    (
        Stage::Tls,
        &["certificate", "x509:", "tls:", "tls failed", "ssl", "handshake"],
    ),
    (
        Stage::Connection,
        &[
            "connection refused",
            "was refused",
            "timed out",
            "timeout",
            "no route to host",
            "unreachable",
            "no answer within",
            "did not answer",
            "connection reset",
            "connection closed",
            "reset by",
            "closed by",
            "failed to connect",
            "unable to connect",
            "check `host` and `port`",
            "error trying to connect",
            "tcp connect error",
            "no metadata service",
            "channel closed",
        ],
    ),
];

impl Stage {
    /// What words are about.
    pub(super) fn of(said: &str) -> Option<Self> {
        let said = said.to_lowercase();
        let about = |(_, words): &&(Self, &[&str])| words.iter().any(|word| said.contains(word));
        WORDS.iter().find(about).map(|(stage, _)| *stage)
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Name => "the name cannot be resolved",
            Self::Connection => "there is no connection",
            Self::Tls => "TLS failed",
            Self::HostKey => "the host has not the key that is known",
            Self::Login => "the login was refused",
            Self::Permission => "the login was taken, and may not do this",
            Self::Answer => "the answer is not the expected one",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Name => "check the address, and the DNS of this delegate",
            Self::Connection => {
                "check the address and the port, that the server runs, the network, and the delegate's proxy"
            }
            Self::Tls => {
                "check for which name the server's certificate is, and put its authority into HARNESS_CERTS_DIR"
            }
            Self::HostKey => {
                "compare the key with the one that its owner tells, then put that into known_hosts"
            }
            Self::Login => "check the login, and that it has not expired",
            Self::Permission => "give this login the right to do it",
            Self::Answer => "check that the address is that of such a server",
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) stage: Stage,
    /// What was tried, what came back, what to do.
    pub(super) reason: String,
}

impl Refusal {
    /// `said` is what came back, and tells with what it came from.
    pub(super) fn new(stage: Stage, said: &str) -> Self {
        Self::with(stage, said, stage.remedy())
    }

    /// The same with another remedy.
    pub(super) fn with(stage: Stage, said: &str, remedy: &str) -> Self {
        let said = quoted(said);
        Self {
            stage,
            reason: format!("{}: {said}; {remedy}", stage.sentence()),
        }
    }

    /// By the words themselves. `login` is what to do when they are about the login.
    pub(super) fn of_words(said: &str, login: &str) -> Self {
        match Stage::of(said).unwrap_or(Stage::Answer) {
            Stage::Login => Self::with(Stage::Login, said, login),
            stage => Self::new(stage, said),
        }
    }
}

/// Why a look at something ends early.
pub(super) enum Stop {
    Refused(Refusal),
    Halt(Halt),
}

impl Stop {
    /// The same with one more thing to do about a refusal.
    pub(super) fn or_do(self, remedy: &str) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(Refusal {
                reason: format!("{}; or {remedy}", refusal.reason),
                ..refusal
            }),
            halt @ Self::Halt(_) => halt,
        }
    }
}

/// What came of a step.
pub(super) type Met<T> = Result<T, Stop>;

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<TaskError> for Stop {
    fn from(error: TaskError) -> Self {
        Self::Halt(error.into())
    }
}

impl From<TaskOutput> for Stop {
    fn from(output: TaskOutput) -> Self {
        Self::Halt(output.into())
    }
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal) => Self::failed(refusal.reason),
            Stop::Halt(halt) => halt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_how_far_it_came() {
        for (said, stage) in [
            ("Host key verification failed.", Stage::HostKey),
            ("git@h: Permission denied (publickey).", Stage::Login),
            ("fatal: Authentication failed for 'https://h/x'", Stage::Login),
            ("FATAL: password authentication failed for user", Stage::Login),
            (
                "error: You must be logged in to the server (Unauthorized)",
                Stage::Login,
            ),
            ("STS AssumeRole: AccessDenied (403)", Stage::Permission),
            (
                "Error from server (Forbidden): namespaces is forbidden",
                Stage::Permission,
            ),
            ("dial tcp: lookup h on 1.1.1.1:53: no such host", Stage::Name),
            ("client error (Connect): dns error: failed to lookup", Stage::Name),
            ("x509: certificate signed by unknown authority", Stage::Tls),
            ("invalid peer certificate: UnknownIssuer", Stage::Tls),
            (
                "dial tcp 127.0.0.1:1: connect: connection refused",
                Stage::Connection,
            ),
            ("GET http://h/: no answer within 10 s", Stage::Connection),
        ] {
            assert_eq!(Stage::of(said), Some(stage), "{said}");
        }
        assert_eq!(Stage::of("something else"), None);
    }
}
