//! What the machine, or the control group, gives: open files, memory, processes; against the capacity and the
//! thresholds that were set.

use std::path::Path;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

use super::report::Report;
use crate::agent::Meter;
use crate::config::{DelegateConfig, Percent};

/// Files the agent itself holds open: listener, connections, journal, log, runtime.
const OWN_FILES: u64 = 64;

/// Files a running script takes here: its two pipes, a handle, its log's connection, files being written.
const FILES_A_TASK: u64 = 8;

/// Memory of the agent at work, bytes.
const OWN_MEMORY: u64 = 32 * MIB;

/// Memory of a shell and a small program, bytes: with less, tasks end each other.
const MEMORY_A_TASK: u64 = 4 * MIB;

/// Processes of a small script: the shell, and two programs.
const PROCESSES_A_TASK: u64 = 3;

/// Time over which the use of the CPU is looked at.
const LOOK: Duration = Duration::from_millis(250);

const MIB: u64 = 1024 * 1024;

pub(super) async fn look(config: &DelegateConfig, report: &mut Report) {
    let mut meter = Meter::new(Path::new("/sys/fs/cgroup"), Path::new("/proc"));
    capacity(config, &meter, report);
    let mut used = meter.look();
    if config.cpu_threshold.is_some() {
        tokio::time::sleep(LOOK).await;
        used = meter.look();
    }
    let thresholds = [
        (
            "machine.cpu",
            "CPU",
            "DELEGATE_CPU_THRESHOLD",
            config.cpu_threshold,
            used.cpu,
        ),
        (
            "machine.memory",
            "memory",
            "DELEGATE_MEMORY_THRESHOLD",
            config.memory_threshold,
            used.memory,
        ),
    ];
    for (check, what, variable, threshold, used) in thresholds {
        let Some(used) = used else {
            if threshold.is_some() {
                report.skip(check, format_args!("the use of {what} cannot be read here"));
            }
            continue;
        };
        match threshold.map(Percent::get) {
            Some(threshold) if used > f64::from(threshold) => report.warn(
                check,
                format_args!(
                    "{used:.0} % of the {what} is in use, above {variable} ({threshold} %): no task would be taken now"
                ),
                format_args!("give the delegate more {what}, or raise {variable}"),
            ),
            _ => report.ok(check, format_args!("{used:.0} % of the {what} is in use")),
        }
    }
}

/// Whether the limits carry as many tasks as the delegate is allowed to take.
fn capacity(config: &DelegateConfig, meter: &Meter, report: &mut Report) {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    if files < 2 * OWN_FILES {
        return report.problem(
            "machine.capacity",
            format_args!("only {files} files may be open at once"),
            "raise the limit of open files (ulimit -n, LimitNOFILE=) to at least 1024",
        );
    }
    let Some(capacity) = config.task_capacity.map(u64::from) else {
        let most = files.saturating_sub(OWN_FILES) / FILES_A_TASK;
        return report.ok(
            "machine.capacity",
            format_args!("{files} files may be open at once, enough for {most} tasks"),
        );
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounds are positive and far below 2^63"
    )]
    let bound = |controller, name| meter.bound(controller, name).map(|bound| bound as u64);
    let memory = bound("memory", "memory.max").or_else(|| bound("memory", "memory.limit_in_bytes"));
    let limits = [
        ("open files", Some(files.saturating_sub(OWN_FILES) / FILES_A_TASK)),
        (
            "memory",
            memory.map(|bytes| bytes.saturating_sub(OWN_MEMORY) / MEMORY_A_TASK),
        ),
        (
            "processes",
            bound("pids", "pids.max").map(|most| most / PROCESSES_A_TASK),
        ),
    ];
    let smallest = limits
        .iter()
        .filter_map(|(what, most)| Some((most.as_ref()?, what)))
        .min();
    match smallest {
        Some((most, what)) if *most < capacity => report.warn(
            "machine.capacity",
            format_args!(
                "DELEGATE_TASK_CAPACITY is {capacity}; the limit of {what} here is enough for {most} tasks"
            ),
            format_args!("lower DELEGATE_TASK_CAPACITY, or raise the limit of {what}"),
        ),
        _ => report.ok(
            "machine.capacity",
            format_args!("{capacity} tasks at once fit within the limits"),
        ),
    }
}
