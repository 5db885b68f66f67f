//! What the process uses, under the names that every Prometheus client library gives it.

/// One figure: name, type, help, value.
pub(super) type Figure = (&'static str, &'static str, &'static str, f64);

/// What can be read here; less on other systems.
#[cfg(target_os = "linux")]
pub(super) fn figures() -> Vec<Figure> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeVal;

    let mut figures = Vec::new();
    let mut add = |name, kind, help, value: Option<f64>| {
        if let Some(value) = value {
            figures.push((name, kind, help, value));
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds and bytes stay far below 2^53")]
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    add(
        "process_cpu_seconds_total",
        "counter",
        "Time of the CPU used by the agent itself, in seconds.",
        getrusage(UsageWho::RUSAGE_SELF)
            .ok()
            .map(|used| seconds(used.user_time()) + seconds(used.system_time())),
    );
    add(
        "process_resident_memory_bytes",
        "gauge",
        "Memory of the agent itself, in bytes.",
        resident(),
    );
    add(
        "process_open_fds",
        "gauge",
        "Open files of the agent itself.",
        std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|files| super::text::float(files.count() as u64)),
    );
    figures
}

#[cfg(target_os = "linux")]
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn figures() -> Vec<Figure> {
    Vec::new()
}
