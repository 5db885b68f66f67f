//! A script on another machine, by the `ssh` program.
//!
//! What is sent is one text, a script for the host's `sh`: it lays out the files of the task in a folder that goes with it,
//! starts the script, and at the end says how that ended and what the output variables are. It says so on its standard
//! output, in lines with a tag that nobody can guess, which are kept from the log. Values are spelled in letters that no
//! masking takes for a secret.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use async_trait::async_trait;

use super::shell::Shell;
use super::{OUTPUT, Script, capture, ended};
use crate::process::{Exit, Line, LineSink, Status, Stream};
use crate::protocol::wire::CommandStatus;
use crate::task::allowance::Allowance;
use crate::task::said::{LastWords, quoted as quote};
use crate::task::ssh::{Client, Leftovers, Run, SshHost, failure_of, new_folder, quoted};
use crate::task::{LogWriter, TaskContext, TaskError, TaskOutput};

/// What a half of a byte is spelled as: the sixteen letters from here on.
const FIRST_LETTER: u8 = b'g';

/// So many letters of variables are in a line: far below what a line may have.
const LINE_LETTERS: usize = 4096;

/// What is to run the script.
pub(super) enum Wanted<'t> {
    /// The first of these that is there.
    Shell(Vec<Shell>),
    Interpreter(&'t str),
}

/// What a script on a host must be besides.
pub(super) fn check(script: &str, shell: Option<&str>, working_dir: Option<&Path>) -> Result<(), TaskError> {
    if script.contains('\0') {
        return Err(TaskError::data(
            "script",
            "contains a NUL, which no script on a host can",
        ));
    }
    if shell.is_some_and(|shell| shell.contains(char::is_control)) {
        return Err(TaskError::data("shell", "contains a control character"));
    }
    let usable = |dir: &str| dir.starts_with('/') && !dir.contains(char::is_control);
    match working_dir {
        Some(dir) if !dir.to_str().is_some_and(usable) => Err(TaskError::data(
            "working_dir",
            "must be an absolute path on the host",
        )),
        _ => Ok(()),
    }
}

impl Script {
    /// Runs it on a host, within the time of the task.
    pub(super) async fn run_on(
        self,
        host: &SshHost,
        wanted: &Wanted<'_>,
        context: &TaskContext,
    ) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(context);
        let client = Client::lay_out(&host.login, context).await?;
        let folder = new_folder();
        let tag = format!("{:032x}", fastrand::u128(..));
        let run = Run {
            interpreter: "sh",
            text: &self.laid_out(wanted, Path::new(&folder), &tag),
            folder: &folder,
            leftovers: Leftovers::End,
        };
        let mut told = Told {
            log: context.log.clone(),
            tag,
            complaint: LastWords::default(),
            report: Report::default(),
        };
        let exit = host
            .reached_by(&client)
            .script(context, &allowance, &run)
            .run(&context.cancel, &mut told)
            .await?;
        let report = told.report;
        if report.no_program {
            return Err(TaskError::Refused(format!(
                "{}, which is to run the script, is not on host {}; install it there, or choose another one",
                wanted.names(),
                host.host
            )));
        }
        if report.no_directory {
            let problem = format!("does not exist on host {}, or may not be entered", host.host);
            return Err(TaskError::data("working_dir", problem));
        }
        let vars = report.vars(wanted, &self.output_vars);
        if let Some(code) = report.code {
            let exit = Exit {
                status: Status::Code(code),
                ..exit
            };
            return Ok(ended(exit, vars, &self.output_vars, context).await);
        }
        // It was ended outright, or never begun.
        let output = super::outcome(exit, context);
        if output.status != CommandStatus::Failure {
            return Ok(output);
        }
        let said = told.complaint.text();
        let reason = failure_of(&exit, &said, "ssh.login").unwrap_or_else(|| {
            let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
            format!(
                "the script did not come to its end on host {}, and the connection ended with {}: {}",
                host.host,
                exit.code(),
                quote(last.unwrap_or("nothing was said"))
            )
        });
        Ok(TaskOutput::not(CommandStatus::Failure, reason))
    }

    /// The text for the host's `sh`.
    fn laid_out(&self, wanted: &Wanted<'_>, folder: &Path, tag: &str) -> String {
        let vars_file = folder.join("output_vars");
        let script = match wanted {
            Wanted::Shell(shells) => shells
                .first()
                .map_or_else(|| folder.join("script"), |shell| shell.file_in(folder, "script")),
            Wanted::Interpreter(_) => folder.join("script"),
        };
        let (variables, work) = (folder.join("variables"), folder.join("work"));
        let mut text = Text {
            text: String::new(),
            tag,
        };
        // A signal meanwhile is not lost, and what runs in the foreground gets it itself.
        text.line("trap 'asked=1' HUP INT TERM\nasked= program=");
        text.file(&script, &self.text);
        text.file(
            &variables,
            &self.variables(matches!(wanted, Wanted::Interpreter(_)), &vars_file),
        );
        match wanted {
            Wanted::Shell(shells) => {
                for shell in shells {
                    text.line(&format!(
                        "if [ -z \"$program\" ] && program=$(command -v {}); then",
                        word(&shell.program)
                    ));
                    let args = if self.output_vars.is_empty() {
                        shell.args_to_run(&script)
                    } else {
                        let prelude = shell.file_in(folder, "prelude");
                        let names = &self.output_vars;
                        text.file(&prelude, &capture::prelude(shell, &script, &vars_file, names));
                        capture::args_to_run(shell, &prelude, &script)
                    };
                    let args: Vec<String> = args.iter().map(|arg| word(Path::new(arg))).collect();
                    text.line(&format!("set -- {}\nfi", args.join(" ")));
                }
            }
            Wanted::Interpreter(name) => {
                text.line(&format!("program=$(command -v {}) || program=", quoted(name)));
                text.line(&format!(": >{}\nset -- {}", word(&vars_file), word(&script)));
            }
        }
        let dir = self.working_dir.as_ref().unwrap_or(&work);
        let (work, dir, variables, vars_file) = (word(&work), word(dir), word(&variables), word(&vars_file));
        let most = capture::MAX_BYTES + 1;
        text.line(&format!(
            r#"[ -n "$program" ] || {{ echo {tag} no program; exit 127; }}
mkdir -m 700 {work} && cd {dir} || {{ echo {tag} no directory; exit 125; }}
[ -z "$asked" ] || exit 143
(. {variables} && exec "$program" "$@")
code=$?
echo "{tag} exit $code"
if [ -f {vars_file} ] && [ ! -L {vars_file} ]; then
  head -c {most} {vars_file} | od -An -v -tx1 | tr -d ' \n' | tr 0123456789abcdef ghijklmnopqrstuv | fold -w {LINE_LETTERS} |
    while read -r part || [ -n "$part" ]; do echo "{tag} vars $part"; done
fi
echo "{tag} end"
exit "$code""#
        ));
        text.text
    }

    /// What the script has in its environment, for a shell to read.
    fn variables(&self, writes_down: bool, vars_file: &Path) -> String {
        let mut all: BTreeMap<&str, &str> =
            self.env.iter().map(|(name, value)| (&**name, &**value)).collect();
        all.extend(self.secrets.iter().map(|(name, value)| (&**name, value.expose())));
        let vars_file = vars_file.to_string_lossy();
        if writes_down {
            all.insert(OUTPUT, &vars_file);
        }
        let mut text = String::new();
        for (name, value) in all {
            // Writing to a string does not fail.
            let _ = writeln!(text, "export {name}={}", quoted(value));
        }
        text
    }
}

impl Wanted<'_> {
    fn names(&self) -> String {
        match self {
            Self::Shell(shells) => {
                let names: Vec<_> = shells
                    .iter()
                    .map(|shell| shell.program.to_string_lossy())
                    .collect();
                format!("shell `{}`", names.join("` or `"))
            }
            Self::Interpreter(name) => format!("interpreter `{name}`"),
        }
    }
}

/// A script for `sh` that is being written.
struct Text<'t> {
    text: String,
    tag: &'t str,
}

impl Text<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Writes a file there; its last line is ended.
    fn file(&mut self, path: &Path, content: &str) {
        let end = if content.ends_with('\n') || content.is_empty() {
            ""
        } else {
            "\n"
        };
        let (path, tag) = (word(path), self.tag);
        self.line(&format!("cat >{path} <<'{tag}'\n{content}{end}{tag}"));
    }
}

fn word(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// What is said with the tag.
#[derive(Default)]
struct Report {
    no_program: bool,
    no_directory: bool,
    code: Option<i32>,
    /// Spelled in letters.
    vars: String,
    whole: bool,
}

impl Report {
    fn take(&mut self, said: &str) {
        match said.trim_start().split_once(' ').unwrap_or((said.trim(), "")) {
            ("no", what) => {
                self.no_program |= what == "program";
                self.no_directory |= what == "directory";
            }
            ("exit", code) => self.code = code.parse().ok(),
            ("vars", part) if self.vars.len() as u64 <= 2 * capture::MAX_BYTES => self.vars.push_str(part),
            ("end", _) => self.whole = true,
            _ => {}
        }
    }

    fn vars(&self, wanted: &Wanted<'_>, names: &[String]) -> Result<BTreeMap<String, String>, String> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let lost = || "the output variables did not arrive whole; run the task again".to_owned();
        let written = spelled_out(&self.vars).filter(|_| self.whole).ok_or_else(lost)?;
        capture::check_size(written.len() as u64)?;
        Ok(match wanted {
            Wanted::Shell(_) => capture::parse(&written),
            Wanted::Interpreter(_) => capture::parse_lines(&written, names),
        })
    }
}

/// The bytes of letters, two each.
fn spelled_out(letters: &str) -> Option<Vec<u8>> {
    let half = |letter: u8| letter.checked_sub(FIRST_LETTER).filter(|half| *half < 16);
    let pairs = letters.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(half(*high)? << 4 | half(*low)?),
            _ => None,
        })
        .collect()
}

/// Passes on what the script says, and keeps what is said of it.
struct Told {
    log: LogWriter,
    tag: String,
    complaint: LastWords,
    report: Report,
}

#[async_trait]
impl LineSink for Told {
    async fn write(&mut self, lines: Vec<Line>) {
        let mut others = Vec::with_capacity(lines.len());
        for mut line in lines {
            if line.stream == Stream::Stderr {
                self.complaint.push(&line.text);
            } else if let Some(at) = line.text.find(&self.tag) {
                self.report.take(&line.text[at + self.tag.len()..]);
                // What comes before it is the script's last line, which had no end.
                line.text.truncate(at);
                if line.text.is_empty() {
                    continue;
                }
            }
            others.push(line);
        }
        if !others.is_empty() {
            LineSink::write(&mut self.log, others).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_bytes_again_or_nothing() {
        assert_eq!(spelled_out("ghvvkh").unwrap(), [0x01, 0xff, 0x41]);
        assert_eq!(spelled_out(""), Some(Vec::new()));
        for wrong in ["g", "gw", "g*", "0f"] {
            assert_eq!(spelled_out(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_is_known_is_taken_from_what_is_said() {
        let mut report = Report::default();
        for said in [" exit x", " exit 7", " vars kh", " vars jt", " other", ""] {
            report.take(said);
        }
        assert_eq!(
            (report.code, &*report.vars, report.whole),
            (Some(7), "khjt", false)
        );
        let names = ["A".to_owned()];
        assert!(
            report.vars(&Wanted::Interpreter("x"), &names).is_err(),
            "the end is missing"
        );
        report.take(" end");
        let vars = report.vars(&Wanted::Interpreter("x"), &names);
        assert_eq!(vars.unwrap(), [("A".to_owned(), String::new())].into());
    }
}
