//! A service of systemd, as `install` would write it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::{DelegateConfig, EnvValue, render_env_file};
use crate::install::host::{self, HostSpec, ServiceKind};

/// The unit; and, as comments, the settings that its file must have.
pub(super) fn unit(mut config: DelegateConfig, directory: &Path) -> Result<String, String> {
    if !directory.is_absolute() {
        return Err(format!(
            "--directory {} must be an absolute path",
            directory.display()
        ));
    }
    let layout = host::Layout::new(directory);
    config.working_dir = layout.working_dir();
    let env = config.to_env();
    let spec = HostSpec {
        config,
        extra_env: BTreeMap::new(),
        binary: layout.program(),
        origin: None,
        directory: directory.to_owned(),
        service: ServiceKind::Systemd,
        user: None,
        notes: BTreeMap::new(),
    };
    let plain = env.iter().filter_map(|(name, value)| match value {
        EnvValue::Plain(text) => Some((*name, text.as_str())),
        EnvValue::Secret(_) => None,
    });
    let settings: String = render_env_file(plain)
        .lines()
        .map(|line| format!("#   {line}\n"))
        .collect();
    Ok(format!(
        "{}\n# {} (mode 0600), with the token as DELEGATE_TOKEN or DELEGATE_TOKEN_FILE besides:\n{settings}",
        host::unit(&spec),
        layout.env_file().display(),
    ))
}
