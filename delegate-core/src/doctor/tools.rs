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
    let registry = plug_ins(config, report);
    let (offered, missing) = registry.check(environment);
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

/// All kinds, those of the owner's own among them.
fn plug_ins(config: &DelegateConfig, report: &mut Report) -> Registry {
    let standard = Registry::standard();
    let Some(folder) = &config.task_kinds_dir else {
        return standard;
    };
    let before = standard.type_names().len();
    let (registry, faults) = standard.with_plug_ins(folder);
    for fault in &faults {
        let (problem, remedy) = fault
            .problem
            .split_once("; ")
            .unwrap_or((&fault.problem, "correct it"));
        report.problem(
            "tools.plug_ins",
            format_args!("{}: {problem}", fault.path.display()),
            remedy,
        );
    }
    if faults.is_empty() {
        let found = registry.type_names().len() - before;
        report.ok(
            "tools.plug_ins",
            format_args!("{found} kinds are described in {}", folder.display()),
        );
    }
    registry
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
