//! An installation as a script, for whoever wants to read it first or cannot let an installer in.

use std::path::Path;

use crate::config::{DelegateConfig, EnvValue, render_env_file};

/// A POSIX script that installs a delegate on the machine it is run on. It holds no secret: those it takes from its own
/// environment, by the names that `run` has for them.
///
/// `service` is what `install --service` takes.
pub fn script(config: &DelegateConfig, directory: &Path, service: &str, user: Option<&str>) -> String {
    let vars = config.to_env();
    let plain = vars.iter().filter_map(|(name, value)| match value {
        EnvValue::Plain(text) => Some((*name, text.as_str())),
        EnvValue::Secret(_) => None,
    });
    let settings = render_env_file(plain);
    let secrets: Vec<&str> = vars
        .iter()
        .filter(|(_, value)| matches!(value, EnvValue::Secret(_)))
        .map(|(name, _)| *name)
        .collect();
    let given: String = secrets.iter().map(|name| format!("{name}=… ")).collect();
    let wanted: String = secrets
        .iter()
        .map(|name| {
            format!(": \"${{{name}:?set it in the environment; it is not in this script}}\"\nexport {name}\n")
        })
        .collect();
    let user = user.map_or_else(String::new, |user| format!(" --user {}", quoted(user)));
    // No line of the settings may be taken for their end.
    let mut end = "SETTINGS".to_owned();
    while settings.lines().any(|line| line == end) {
        end.push('_');
    }
    format!(
        "#!/bin/sh\n\
         # Installs the delegate {name} as a service of the machine this is run on, or brings it up to date.\n\
         #\n\
         # usage: {given}sh install.sh [PROGRAM]\n\
         #\n\
         # PROGRAM is a harness-delegate for that machine; the one in the current folder when absent.\n\
         set -eu\n\
         {wanted}\
         umask 077\n\
         settings=$(mktemp)\n\
         trap 'rm -f \"$settings\"' EXIT\n\
         cat >\"$settings\" <<'{end}'\n\
         {settings}\
         {end}\n\
         \"${{1:-./harness-delegate}}\" install --directory {directory} --service {service}{user} --env-file \"$settings\"\n",
        name = config.name,
        directory = quoted(&directory.to_string_lossy()),
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
