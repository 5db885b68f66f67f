//! Output variables: what a script has in its variables when it ends.
//!
//! A prelude is read by the same shell before the script, and leaves a trap that writes the variables to a file, as
//! `NAME=value` ended by NUL, which no variable can hold. Each writing is framed by `begin` and `end`; the last complete
//! one counts. The script runs under its own name and with its own line numbers.
//!
//! bash runs the trap when a signal ends it, too. Other shells do not, so there the usual signals get traps that exit.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

use tokio::io::AsyncReadExt;

use super::shell::{Family, Shell};

/// The most that is read: a response of 16 MiB must hold it, escaped.
pub(super) const MAX_BYTES: u64 = 4 << 20;

const PRELUDE_SH: &str = include_str!("prelude.sh");
const PRELUDE_PS1: &str = include_str!("prelude.ps1");

/// The text of the prelude. `names` are valid names of variables.
pub(super) fn prelude(shell: &Shell, script: &Path, file: &Path, names: &[String]) -> String {
    match shell.family {
        Family::Bash => posix(file, names)
            .replace("@ONLY_MAIN_SHELL@", r#"[ "$BASHPID" = "$$" ]"#)
            .replace("@TRAP_NAME@", "trap")
            .replace("@TRAP@", "builtin trap")
            .replace("@SETUP@", ""),
        Family::Posix => posix(file, names)
            // Whoever opens it reads about itself; `$$` stays the same in a subshell. Where there is no such file,
            // nothing can be told.
            .replace(
                "@ONLY_MAIN_SHELL@",
                r#"{ ! IFS=' ' read -r __hd_pid __hd_rest </proc/self/stat || [ "$__hd_pid" = "$$" ]; } 2>/dev/null"#,
            )
            .replace("@TRAP_NAME@", "__hd_trap")
            .replace("@TRAP@", "\\trap")
            .replace(
                "@SETUP@",
                "\\trap 'exit 129' HUP\n\\trap 'exit 130' INT\n\\trap 'exit 143' TERM\nalias trap=__hd_trap",
            ),
        Family::PowerShell => {
            let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            let quote = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "''"));
            PRELUDE_PS1
                .replace("@NAMES@", &names.join(", "))
                .replace("@SCRIPT@", &quote(script))
                .replace("@FILE@", &quote(file))
        }
    }
}

fn posix(file: &Path, names: &[String]) -> String {
    let mut variables = String::new();
    for name in names {
        // Writing to a string does not fail.
        let _ = writeln!(
            variables,
            r#"    [ -z "${{{name}+x}}" ] || command printf '%s=%s\0' {name} "${name}""#
        );
    }
    PRELUDE_SH
        .replace("@VARIABLES@", variables.trim_end())
        .replace("@FILE@", &quote(file))
}

/// The arguments that make the shell run the script after the prelude. No secret is in them.
pub(super) fn args_to_run(shell: &Shell, prelude: &Path, script: &Path) -> Vec<OsString> {
    match shell.family {
        Family::PowerShell => shell.args_to_run(prelude),
        Family::Bash | Family::Posix => vec![
            "-c".into(),
            // Two lines: an alias holds from the next line on.
            format!(". {}\n. \"$0\"", quote(prelude)).into(),
            script.as_os_str().to_owned(),
        ],
    }
}

fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// The script may have put anything in its place: a link to a file that it could not read itself is not followed, and a
/// pipe that nobody writes to is not waited for.
async fn open(file: &Path) -> std::io::Result<tokio::fs::File> {
    let mut options = tokio::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use nix::fcntl::OFlag;
        options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    }
    let file = options.open(file).await?;
    if file.metadata().await?.is_file() {
        Ok(file)
    } else {
        Err(std::io::Error::other("it is no regular file"))
    }
}

/// What was written down; nothing when the shell had no chance to.
pub(super) async fn read(file: &Path) -> Result<BTreeMap<String, String>, String> {
    Ok(parse(&written(file).await?))
}

/// The same of a script that writes a line `NAME=value` for each; the last one of a name counts, and other names do not.
pub(super) async fn read_lines(file: &Path, names: &[String]) -> Result<BTreeMap<String, String>, String> {
    Ok(parse_lines(&written(file).await?, names))
}

/// That so many bytes are not too many.
pub(super) fn check_size(bytes: u64) -> Result<(), String> {
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    Err(format!(
        "the output variables are longer than {} MiB; write large results to a file or an artifact store",
        MAX_BYTES >> 20
    ))
}

async fn written(file: &Path) -> Result<Vec<u8>, String> {
    let mut written = Vec::new();
    match open(file).await {
        Ok(file) => file.take(MAX_BYTES + 1).read_to_end(&mut written).await,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
    .map_err(|error| format!("failed to read the output variables: {error}"))?;
    check_size(written.len() as u64)?;
    Ok(written)
}

/// See [`read_lines`].
pub(super) fn parse_lines(written: &[u8], names: &[String]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(written);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .filter(|(name, _)| names.contains(name))
        .collect()
}

/// See [`read`].
pub(super) fn parse(written: &[u8]) -> BTreeMap<String, String> {
    let mut complete = BTreeMap::new();
    let mut current = BTreeMap::new();
    // What follows the last NUL was cut off.
    let end = written.iter().rposition(|&byte| byte == 0).unwrap_or(0);
    for record in written[..end].split(|&byte| byte == 0) {
        let record = String::from_utf8_lossy(record);
        match record.split_once('=') {
            Some((name, value)) => drop(current.insert(name.to_owned(), value.to_owned())),
            None if record == "begin" => current.clear(),
            None => complete = std::mem::take(&mut current),
        }
    }
    complete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complete_writing_counts() {
        let vars = parse(b"begin\0A=1\0end\0begin\0A=2\0B=x=y\nz\0end\0begin\0A=3\0");
        assert_eq!(
            vars,
            BTreeMap::from([("A".into(), "2".into()), ("B".into(), "x=y\nz".into())])
        );
        assert!(parse(b"begin\0A=1\0en").is_empty());
        assert!(parse(b"").is_empty());
    }

    #[test]
    fn a_path_with_a_quote_stays_one_word() {
        assert_eq!(quote(Path::new("/a'b c")), r"'/a'\''b c'");
    }
}
