//! The environment of a child: built up from an allowlist, never inherited.
//!
//! The delegate's own environment holds its token. So a child starts with nothing and gets what is known to be
//! harmless and needed: paths, language, proxies without credentials of their own, certificate bundles, and the names
//! (not the secrets) by which tools find a cluster or a cloud identity.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use crate::Secret;

/// The variable that marks every process of one run, so that those that leave its session are found again.
/// A process that removes it *and* leaves the session is on its own: the way out for a daemon that shall stay.
pub const MARK: &str = "HARNESS_DELEGATE_TASK";

/// Passed on when set. Names are compared exactly.
const ALLOWED: &[&str] = &[
    // Where things are.
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "PWD",
    // How people read.
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    // Proxies, in both spellings: curl reads the lower one, Go and Java either.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    // Certificate bundles.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
    // The cluster we are in.
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "KUBERNETES_SERVICE_PORT_HTTPS",
    // The container engine beside us, and where its certificates are.
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    // Workload identities: names and paths, not the credentials themselves.
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    // Without these, programs do not start on Windows.
    "SystemRoot",
    "SYSTEMROOT",
    "ComSpec",
    "PATHEXT",
    "TEMP",
    "TMP",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "ProgramFiles",
    "ProgramData",
];

/// Passed on when set, whatever follows.
const ALLOWED_PREFIXES: &[&str] = &["LC_", "XDG_", "AWS_ENDPOINT_URL"];

/// Never passed on from our own environment, even when an operator asks for it by name.
const NEVER: &[&str] = &[
    "DELEGATE_TOKEN",
    "ACCOUNT_SECRET",
    "UPGRADER_TOKEN",
    "TOKEN",
    "HARNESS_TOKEN",
    "HARNESS_DELEGATE_TOKEN",
    "HARNESS_PLATFORM_API_KEY",
    "MANAGER_DELEGATE_TOKEN",
    "MANAGER_API_KEY",
    "PROXY_PASSWORD",
    MARK,
];

/// The environment a child starts with.
///
/// Debug shows the names only: any value may be a secret.
#[derive(Clone, Default)]
pub struct Environment {
    vars: BTreeMap<OsString, OsString>,
}

/// A name that cannot be an environment variable of a shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name for an environment variable; use letters, digits and `_`, not starting with a digit"
)]
pub struct InvalidName(pub String);

impl Environment {
    /// Nothing at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// What of `own` (the environment of this program) a child may see: the allowlist and the names in `extra`, which
    /// the operator asked for. Our own tokens are never among them.
    pub fn allowed<K, V>(own: impl IntoIterator<Item = (K, V)>, extra: &[String]) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let vars = own
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(name, _)| is_allowed(name, extra))
            .collect();
        Self { vars }
    }

    /// [`Environment::allowed`] of this process.
    pub fn of_this_process(extra: &[String]) -> Self {
        Self::allowed(std::env::vars_os(), extra)
    }

    /// Sets a variable, replacing an earlier value.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.vars.insert(name.into(), value.into());
    }

    /// Sets a variable to the value of a secret: the way to give a child a secret, since a command line is public.
    pub fn set_secret(&mut self, name: impl Into<OsString>, value: &Secret) {
        self.set(name, value.expose());
    }

    /// The value of a variable.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.vars.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// All variables, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.vars
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The executable file that `program` means in this environment: itself when it has a directory, else the first in
    /// `PATH`. `None` when there is none.
    pub fn find_program(&self, program: impl AsRef<OsStr>) -> Option<std::path::PathBuf> {
        let program = std::path::Path::new(program.as_ref());
        if program.components().count() > 1 {
            return is_executable(program).then(|| program.to_path_buf());
        }
        std::env::split_paths(self.get("PATH")?)
            .map(|dir| dir.join(program))
            .find(|path| is_executable(path))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}

/// Whether a shell can have a variable of this name.
pub fn is_valid_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
        && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

fn is_allowed(name: &OsStr, extra: &[String]) -> bool {
    let Some(name) = name.to_str() else { return false };
    let wanted = ALLOWED.contains(&name)
        || ALLOWED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || extra.iter().any(|asked| asked == name);
    wanted && !NEVER.contains(&name)
}

#[cfg(unix)]
fn is_executable(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &std::path::Path) -> bool {
    path.is_file() || path.with_extension("exe").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_sees_the_allowlist_and_what_the_operator_named_but_no_token() {
        let own = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("DELEGATE_TOKEN", "t0ken"),
            ("ACCOUNT_SECRET", "t0ken"),
            ("TEAM", "a"),
            ("OTHER", "b"),
        ];
        let env = Environment::allowed(own, &["TEAM".to_owned(), "DELEGATE_TOKEN".to_owned()]);
        let names: Vec<_> = env.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["LC_ALL", "PATH", "TEAM"]);
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let mut env = Environment::empty();
        env.set("PASSWORD", "hunter2");
        assert_eq!(format!("{env:?}"), r#"{"PASSWORD"}"#);
    }

    #[test]
    fn names_are_those_a_shell_can_read() {
        for good in ["A", "_", "a1_B"] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in ["", "1A", "A-B", "A B", "A=B", "ä", "A\0"] {
            assert!(!is_valid_name(bad), "{bad:?}");
        }
    }
}
