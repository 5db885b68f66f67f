//! The token: whether it reads, and who else can read it.

use std::path::Path;

use super::Subject;
use super::report::Report;
use crate::config::{DelegateConfig, DelegateToken, TokenSource};

/// A token file holds 44 characters; anything far larger is another file.
const MAX_TOKEN_FILE: u64 = 4096;

/// The token, when it is the user's own and reads.
pub(super) fn look(subject: &Subject, config: &DelegateConfig, report: &mut Report) -> Option<DelegateToken> {
    match &config.token {
        TokenSource::Elsewhere => None,
        TokenSource::Inline(token) => {
            // One that was put in the place of a bad one has been reported.
            let own = subject.env.names().any(|name| {
                matches!(
                    name,
                    "DELEGATE_TOKEN" | "HARNESS_DELEGATE_TOKEN" | "ACCOUNT_SECRET"
                )
            });
            let complained = report
                .findings()
                .iter()
                .any(|finding| finding.check == "token.value");
            if !own || complained {
                return None;
            }
            report.ok("token.value", "the token has the right form");
            Some(token.clone())
        }
        TokenSource::File(path) => match read(path) {
            Ok(token) => {
                report.ok(
                    "token.value",
                    format_args!("the token in {} has the right form", path.display()),
                );
                mode(subject, path, report);
                Some(token)
            }
            Err((found, remedy)) => {
                let found = format!("DELEGATE_TOKEN_FILE names {}, which {found}", path.display());
                report.problem("token.file", found, remedy);
                None
            }
        },
    }
}

fn read(path: &Path) -> Result<DelegateToken, (String, &'static str)> {
    let unreadable = |error: std::io::Error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::NotFound => "put the token there, or mount the Secret that has it",
            _ => "let the delegate's user read it",
        };
        (format!("cannot be read: {error}"), remedy)
    };
    let size = path.metadata().map_err(unreadable)?.len();
    if size > MAX_TOKEN_FILE {
        return Err((
            format!("has {size} bytes, far more than a token"),
            "name the file that holds the token alone",
        ));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    zeroize::Zeroizing::new(text)
        .parse()
        .map_err(|error: crate::config::TokenError| {
            let text = error.to_string();
            let found = text.split_once("; ").map_or(text.as_str(), |(found, _)| found);
            (
                found.to_owned(),
                "copy the token again from the manager into the file",
            )
        })
}

/// In a container everybody is the delegate; elsewhere a token that others can read is theirs.
#[cfg(unix)]
fn mode(subject: &Subject, path: &Path, report: &mut Report) {
    use std::os::unix::fs::PermissionsExt as _;
    if subject.env.get("KUBERNETES_SERVICE_HOST").is_some() {
        return;
    }
    let Ok(meta) = path.metadata() else { return };
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        report.warn(
            "token.mode",
            format_args!(
                "every user of this machine can read {} (mode {mode:o})",
                path.display()
            ),
            format_args!(
                "chmod 600 {}, owned by the user the delegate runs as",
                path.display()
            ),
        );
    }
}

#[cfg(not(unix))]
fn mode(_subject: &Subject, _path: &Path, _report: &mut Report) {}
