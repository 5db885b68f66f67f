//! What a manifest says of a kind.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::Schema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::program::Program;
use super::shape::Shape;
use crate::config::variables;
use crate::process::is_valid_name;
use crate::task::{About, Registry, Span, data};

/// Largest manifest: its schemas are written by hand.
const MAX_BYTES: u64 = 256 * 1024;

/// Longest name of a kind.
const MAX_NAME: usize = 64;

/// Of tasks that come without a time, where the manifest sets none.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// What every result has; see the contract of tasks.
pub(super) const COMMON: [&str; 3] = ["command_execution_status", "error_message", "output_vars"];

/// A manifest, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: String,
    description: String,
    again: String,
    program: PathBuf,
    sha256: String,
    timeout: Option<Span>,
    max_timeout: Option<Span>,
    #[serde(default)]
    environment: Vec<String>,
    data: Value,
    result: Option<Value>,
    example: Value,
}

/// A kind, as its manifest describes it.
pub(super) struct Manifest {
    pub(super) kind: String,
    pub(super) about: About,
    pub(super) program: Arc<Program>,
    pub(super) timeout: Duration,
    pub(super) max_timeout: Option<Duration>,
    /// Names of variables of the delegate that the program sees besides those of every child.
    pub(super) environment: Vec<String>,
    pub(super) data: Shape,
    pub(super) result: Shape,
}

impl Manifest {
    /// Reads a file. The error says what is wrong with it, and after a semicolon what to do.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let written: Value = serde_json::from_str(&text(file)?)
            .map_err(|error| format!("it is no JSON: {error}; correct it"))?;
        if !written.is_object() {
            return Err("it is no JSON object; write one".to_owned());
        }
        let written: Written = data::read(&written).map_err(|error| {
            let text = error.to_string();
            let text = text.strip_prefix("task data ").unwrap_or(&text);
            format!("{}; correct it", text.replace("field `data`: missing", "missing"))
        })?;
        written.checked(file.parent().unwrap_or(Path::new("/")))
    }
}

impl Written {
    /// `folder`: the one of the manifest.
    fn checked(self, folder: &Path) -> Result<Manifest, String> {
        check_name(&self.kind)?;
        for (field, sentence) in [("description", &self.description), ("again", &self.again)] {
            if sentence.trim().is_empty() || sentence.contains(char::is_control) {
                return Err(format!("`{field}` is no sentence; write one, on one line"));
            }
        }
        let timeout = self.timeout.map_or(DEFAULT_TIMEOUT, |Span(time)| time);
        let max_timeout = self.max_timeout.map(|Span(time)| time);
        let timeout = match max_timeout {
            Some(most) if self.timeout.is_none() => timeout.min(most),
            _ => timeout,
        };
        if timeout.is_zero() || max_timeout.is_some_and(|most| most < timeout) {
            return Err(
                "`timeout` must be more than nothing, and at most `max_timeout`; correct one of them"
                    .to_owned(),
            );
        }
        for name in &self.environment {
            check_variable(name)?;
        }
        let program = Program::new(folder.join(&self.program), &self.sha256)?;
        let advised = |problem: String| format!("{problem}; see the guide on kinds of one's own");
        let data = Shape::read("data", &self.data).map_err(advised)?;
        let open = json!({"type": "object"});
        let result_schema = self.result.unwrap_or(open);
        let result = Shape::read("result", &result_schema).map_err(advised)?;
        for (name, shape) in [("data", &data), ("result", &result)] {
            if !shape.is_object() {
                return Err(format!(
                    "`{name}` is not the schema of an object; add `\"type\": \"object\"`"
                ));
            }
        }
        if let Some(name) = result.names().find(|name| COMMON.contains(&name.as_str())) {
            return Err(format!(
                "`result` has `{name}`, which every result has; give it another name"
            ));
        }
        if let Err(wrong) = data.check("", &self.example) {
            return Err(format!(
                "`example` is not what `data` describes: `{}` {}; correct one of them",
                wrong.path, wrong.problem
            ));
        }
        let schema = |name: &str, value: Value| {
            Schema::try_from(value).map_err(|_| format!("`{name}` is no schema; expected an object"))
        };
        Ok(Manifest {
            about: About {
                summary: self.description.into(),
                again: self.again.into(),
                data: schema("data", self.data)?,
                result: schema("result", result_schema)?,
                example: self.example,
            },
            kind: self.kind,
            program: Arc::new(program),
            timeout,
            max_timeout,
            environment: self.environment,
            data,
            result,
        })
    }
}

fn text(file: &Path) -> Result<String, String> {
    let read = || {
        let file = super::program::open(file)?;
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o002 != 0 {
            return Err(std::io::Error::other(
                "everybody may change it, and with it what this delegate runs",
            ));
        }
        let mut text = String::new();
        file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) if text.len() as u64 > MAX_BYTES => {
            Err(format!("it is larger than {MAX_BYTES} bytes; is it a manifest?"))
        }
        Ok(text) => Ok(text),
        Err(error) => Err(format!(
            "it cannot be read: {error}; correct the file or its mode"
        )),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |part: &str| {
        let rest = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        !part.is_empty() && part.bytes().all(rest)
    };
    if name.len() > MAX_NAME
        || !name.starts_with(|first: char| first.is_ascii_uppercase())
        || !name.split('_').all(fits)
    {
        return Err(format!(
            "`kind` is no name of a kind; write at most {MAX_NAME} upper-case letters and digits, words with one underscore between them"
        ));
    }
    // Also one that this delegate was told not to offer.
    if Registry::standard().get(name).is_some() {
        return Err(format!(
            "`kind` is {name}, which is a kind of the delegate's own; choose another name"
        ));
    }
    Ok(())
}

/// The delegate's settings, its logins among them, are for itself.
fn check_variable(name: &str) -> Result<(), String> {
    if !is_valid_name(name) {
        return Err(
            "`environment` has a text that is no name of a variable; write names only, without values"
                .to_owned(),
        );
    }
    if variables::is_known(name) {
        return Err(format!(
            "`environment` has {name}, which is a setting of the delegate's own; send secrets by reference in the task's data"
        ));
    }
    Ok(())
}
