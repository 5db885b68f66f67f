//! What the process uses, under the names that every Prometheus client library gives it.

use super::families::Family;

/// What can be read here; less on other systems.
#[cfg(target_os = "linux")]
pub(super) fn figures() -> Vec<Family> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeVal;

    use super::families::{BYTES, SECONDS, counter, float, gauge};

    #[expect(clippy::cast_precision_loss, reason = "seconds and bytes stay far below 2^53")]
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let used = getrusage(UsageWho::RUSAGE_SELF).ok();
    let files = std::fs::read_dir("/proc/self/fd").ok();
    let figures = [
        used.map(|used| {
            counter(
                "process_cpu_seconds_total",
                SECONDS,
                "Time of the CPU used by the agent itself, in seconds.",
                seconds(used.user_time()) + seconds(used.system_time()),
            )
        }),
        resident().map(|bytes| {
            gauge(
                "process_resident_memory_bytes",
                BYTES,
                "Memory of the agent itself, in bytes.",
                bytes,
            )
        }),
        files.map(|files| {
            gauge(
                "process_open_fds",
                "1",
                "Open files of the agent itself.",
                float(files.count() as u64),
            )
        }),
    ];
    figures.into_iter().flatten().collect()
}

#[cfg(target_os = "linux")]
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn figures() -> Vec<Family> {
    Vec::new()
}
