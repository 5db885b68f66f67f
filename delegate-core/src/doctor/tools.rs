//! The programs that task kinds need.

use super::report::Report;
use crate::config::DelegateConfig;
use crate::process::Environment;
use crate::task::Registry;

/// What scripts run in where they name no shell, the first of these.
const SHELLS: [&str; 2] = ["bash", "sh"];

pub(super) fn look(config: &DelegateConfig, report: &mut Report) {
    look_in(&Environment::of_this_process(&[]), config, report);
}

fn look_in(environment: &Environment, config: &DelegateConfig, report: &mut Report) {
    shell(environment, config, report);
    let (offered, missing) = Registry::standard().check(environment);
    let mut found = format!(
        "tasks of {} kinds can be run: {}",
        offered.len(),
        offered.join(", ")
    );
    // No fault: hardly any machine has the programs of all kinds.
    for (kind, what) in missing {
        found.push_str(&format!("; {kind} is left to other delegates: {what}"));
    }
    report.ok("tools.kinds", found);
}

fn shell(environment: &Environment, config: &DelegateConfig, report: &mut Report) {
    if config.block_shell_tasks {
        return report.ok("tools.shell", "no scripts are run (BLOCK_SHELL_TASK)");
    }
    if let Some(shell) = &config.shell {
        return match environment.find_program(shell) {
            Some(path) => report.ok("tools.shell", format_args!("scripts run in {}", path.display())),
            None => report.problem(
                "tools.shell",
                format_args!("DELEGATE_SHELL names {}, which is no program", shell.display()),
                "name a shell that is installed, or remove the variable",
            ),
        };
    }
    match SHELLS.iter().find_map(|shell| environment.find_program(shell)) {
        Some(path) => report.ok("tools.shell", format_args!("scripts run in {}", path.display())),
        None => report.problem(
            "tools.shell",
            "there is neither bash nor sh in PATH; scripts cannot run",
            "install a shell, correct PATH, or set DELEGATE_SHELL",
        ),
    }
}
