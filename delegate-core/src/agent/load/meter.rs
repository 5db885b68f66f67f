//! How much of the CPU and the memory that this process may use is in use: of its control group where that has a bound
//! (version 1 or 2), else of the machine.

use std::path::{Path, PathBuf};

use tokio::time::Instant;

/// Bounds above this are none: version 1 writes the largest number of pages.
const NO_BOUND: f64 = 1e18;

/// What is in use, in percent; `None` where it cannot be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Use {
    pub(crate) cpu: Option<f64>,
    pub(crate) memory: Option<f64>,
}

/// Reads the figures. The use of CPU is that between two looks, so the first has none.
#[derive(Debug)]
pub(crate) struct Meter {
    groups: PathBuf,
    proc: PathBuf,
    before: Option<Ticks>,
}

/// Time used and time there was, in units of which only the quotient matters.
#[derive(Debug, Clone, Copy)]
enum Ticks {
    /// Seconds used, at a moment, of this many CPUs.
    Group { used: f64, at: Instant, cpus: f64 },
    /// Ticks used, and all ticks.
    Machine { used: f64, all: f64 },
}

impl Meter {
    pub(crate) fn new(groups: &Path, proc: &Path) -> Self {
        Self {
            groups: groups.to_owned(),
            proc: proc.to_owned(),
            before: None,
        }
    }

    pub(crate) fn look(&mut self) -> Use {
        let now = self.group_cpu().or_else(|| self.machine_cpu());
        let cpu = self
            .before
            .zip(now)
            .and_then(|(before, now)| between(before, now));
        self.before = now;
        Use {
            cpu,
            memory: self.group_memory().or_else(|| self.machine_memory()),
        }
    }

    /// A bound of our group, such as `memory.max`; `None` where there is none.
    #[cfg(feature = "program")]
    pub(crate) fn bound(&self, controller: &str, name: &str) -> Option<f64> {
        let bound: f64 = self.group_file(controller, name)?.trim().parse().ok()?;
        (bound > 0.0 && bound < NO_BOUND).then_some(bound)
    }

    /// A file of our group: where `/proc/self/cgroup` says, or at the root of the mount, where a container sees its own.
    fn group_file(&self, controller: &str, name: &str) -> Option<String> {
        let list = std::fs::read_to_string(self.proc.join("self/cgroup")).ok()?;
        let mut folders = Vec::new();
        for line in list.lines() {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let path = path.trim_start_matches('/');
            if controllers.is_empty() {
                folders.extend([self.groups.join(path), self.groups.clone()]);
            } else if controllers.split(',').any(|one| one == controller) {
                let mount = self.groups.join(controller);
                folders.extend([mount.join(path), mount]);
            }
        }
        folders
            .iter()
            .find_map(|folder| std::fs::read_to_string(folder.join(name)).ok())
    }

    fn group_cpu(&self) -> Option<Ticks> {
        let at = Instant::now();
        if let Some(bound) = self.group_file("cpu", "cpu.max") {
            let (quota, period) = bound.trim().split_once(' ')?;
            let cpus = quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?;
            let used = field(&self.group_file("cpu", "cpu.stat")?, "usage_usec")? / 1e6;
            return Some(Ticks::Group { used, at, cpus });
        }
        let number = |controller, name| self.group_file(controller, name)?.trim().parse::<f64>().ok();
        let quota = number("cpu", "cpu.cfs_quota_us").filter(|quota| *quota > 0.0)?;
        let cpus = quota / number("cpu", "cpu.cfs_period_us")?;
        let used = number("cpuacct", "cpuacct.usage")? / 1e9;
        Some(Ticks::Group { used, at, cpus })
    }

    fn machine_cpu(&self) -> Option<Ticks> {
        let stat = std::fs::read_to_string(self.proc.join("stat")).ok()?;
        let numbers: Vec<f64> = stat
            .lines()
            .next()?
            .split_whitespace()
            .skip(1)
            // Guests are counted in user time already.
            .take(8)
            .filter_map(|number| number.parse().ok())
            .collect();
        let all: f64 = numbers.iter().sum();
        let idle = numbers.get(3)? + numbers.get(4)?;
        Some(Ticks::Machine {
            used: all - idle,
            all,
        })
    }

    fn group_memory(&self) -> Option<f64> {
        let number = |text: String| text.trim().parse::<f64>().ok();
        let (used, bound, reclaimable) = match self.group_file("memory", "memory.max") {
            Some(bound) => (
                number(self.group_file("memory", "memory.current")?)?,
                number(bound)?,
                "inactive_file",
            ),
            None => (
                number(self.group_file("memory", "memory.usage_in_bytes")?)?,
                number(self.group_file("memory", "memory.limit_in_bytes")?)?,
                "total_inactive_file",
            ),
        };
        // Pages of files that nobody reads are given back when somebody needs them.
        let stat = self.group_file("memory", "memory.stat").unwrap_or_default();
        let used = used - field(&stat, reclaimable).unwrap_or(0.0);
        (bound > 0.0 && bound < NO_BOUND).then(|| used.max(0.0) / bound * 100.0)
    }

    fn machine_memory(&self) -> Option<f64> {
        let info = std::fs::read_to_string(self.proc.join("meminfo")).ok()?;
        let (all, free) = (field(&info, "MemTotal:")?, field(&info, "MemAvailable:")?);
        (all > 0.0).then(|| (all - free) / all * 100.0)
    }
}

fn between(before: Ticks, now: Ticks) -> Option<f64> {
    let (used, all) = match (before, now) {
        (
            Ticks::Group {
                used: a, at: from, ..
            },
            Ticks::Group {
                used: b,
                at: to,
                cpus,
            },
        ) => (b - a, (to - from).as_secs_f64() * cpus),
        (Ticks::Machine { used: a, all: from }, Ticks::Machine { used: b, all: to }) => (b - a, to - from),
        // The bound came or went meanwhile.
        _ => return None,
    };
    (all > 0.0).then(|| used / all * 100.0)
}

/// The number after a name that begins a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix([' ', '\t']))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A tree of files, and a meter that looks at it.
    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Meter) {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, files);
        let meter = Meter::new(&dir.path().join("cg"), &dir.path().join("proc"));
        (dir, meter)
    }

    fn write(dir: &tempfile::TempDir, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn rounded(used: Use) -> (Option<i64>, Option<i64>) {
        #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
        let round = |number: f64| number.round() as i64;
        (used.cpu.map(round), used.memory.map(round))
    }

    #[tokio::test(start_paused = true)]
    async fn version_2_of_control_groups() {
        let (dir, mut meter) = tree(&[
            ("proc/self/cgroup", "0::/pods/one\n"),
            ("cg/pods/one/cpu.max", "50000 100000\n"),
            ("cg/pods/one/cpu.stat", "usage_usec 1000000\nuser_usec 1\n"),
            ("cg/pods/one/memory.max", "1000\n"),
            ("cg/pods/one/memory.current", "900\n"),
            ("cg/pods/one/memory.stat", "anon 1\ninactive_file 150\n"),
        ]);
        assert_eq!(rounded(meter.look()), (None, Some(75)));
        write(&dir, &[("cg/pods/one/cpu.stat", "usage_usec 2000000\n")]);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(
            rounded(meter.look()),
            (Some(50), Some(75)),
            "1 s of 4 s on half a CPU"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn version_1_seen_from_within_a_container() {
        let (dir, mut meter) = tree(&[
            (
                "proc/self/cgroup",
                "4:memory:/on/the/host\n3:cpu,cpuacct:/on/the/host\n",
            ),
            ("cg/cpu/cpu.cfs_quota_us", "200000\n"),
            ("cg/cpu/cpu.cfs_period_us", "100000\n"),
            ("cg/cpuacct/cpuacct.usage", "1000000000\n"),
            ("cg/memory/memory.usage_in_bytes", "500\n"),
            ("cg/memory/memory.limit_in_bytes", "1000\n"),
            ("cg/memory/memory.stat", "total_inactive_file 100\n"),
        ]);
        assert_eq!(rounded(meter.look()), (None, Some(40)));
        write(&dir, &[("cg/cpuacct/cpuacct.usage", "3000000000\n")]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(rounded(meter.look()), (Some(100), Some(40)));
    }

    #[test]
    fn without_a_bound_it_is_the_machine() {
        let (dir, mut meter) = tree(&[
            ("proc/self/cgroup", "0::/\n4:memory:/\n1:cpu:/\n"),
            ("cg/cpu/cpu.cfs_quota_us", "-1\n"),
            ("cg/memory/memory.usage_in_bytes", "500\n"),
            ("cg/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("proc/stat", "cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1\n"),
            (
                "proc/meminfo",
                "MemTotal:       1000 kB\nMemAvailable:    250 kB\n",
            ),
        ]);
        assert_eq!(rounded(meter.look()), (None, Some(75)));
        write(&dir, &[("proc/stat", "cpu  40 0 10 130 20 0 0 0 5 0\n")]);
        assert_eq!(rounded(meter.look()), (Some(30), Some(75)));
    }

    #[test]
    fn nothing_to_read_is_no_figure() {
        let (_dir, mut meter) = tree(&[]);
        assert_eq!(rounded(meter.look()), (None, None));
    }
}
