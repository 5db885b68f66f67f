//! What holds a child's bounds: a control group of its own, else limits on processes.
//!
//! A cage is made before the fork, entered by the child between fork and exec, and removed when everything in it has
//! ended. One that a killed delegate left behind is empty by then, and swept away when the next is made.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};

use crate::process::Confinement;

/// How our groups' names begin; the id of the process that made them follows.
const PREFIX: &str = "harness-task-";

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// The period in which time of processors is counted, in microseconds: the kernel's own.
const PERIOD_US: u64 = 100_000;

/// How long a group may take to be removable after its last process: the kernel lets go of it a moment later.
const REMOVAL: Duration = Duration::from_millis(500);

/// Where we may make groups.
enum Ground {
    /// Version 2: below this one, with these controllers.
    Unified(PathBuf),
    /// Version 1: below our own group of a controller.
    Split,
}

/// The bounds of one child.
#[derive(Default)]
pub(in crate::process) struct Cage {
    groups: Vec<PathBuf>,
    /// `cgroup.procs` of each, to be entered by.
    doors: Vec<File>,
    limits: Vec<(Resource, u64)>,
    pub(super) user: Option<(u32, u32)>,
}

impl Cage {
    /// Makes what these bounds take.
    pub(in crate::process) fn make(confinement: &Confinement) -> io::Result<Self> {
        let mut cage = Self::default();
        cage.user = confinement.user.as_ref().map(|user| (user.uid, user.gid));
        if confinement.bounds() {
            sweep_once();
            let name = name();
            match ground() {
                Ground::Unified(base) => cage.unified(&base.join(&name), confinement)?,
                Ground::Split => cage.split(&name, confinement),
            }
        }
        Ok(cage)
    }

    fn unified(&mut self, group: &Path, confinement: &Confinement) -> io::Result<()> {
        let settings = [
            ("pids.max", confinement.processes.map(|number| number.to_string())),
            ("memory.max", confinement.memory.map(|bytes| bytes.to_string())),
            // One that is over its bound ends whole, not with a part missing.
            ("memory.oom.group", confinement.memory.map(|_| "1".to_owned())),
            (
                "cpu.max",
                confinement
                    .millicpus
                    .map(|cpus| format!("{} {PERIOD_US}", quota(cpus))),
            ),
        ];
        self.group(group, &settings)
    }

    fn split(&mut self, name: &str, confinement: &Confinement) {
        let text = |number: u64| number.to_string();
        let settings = [
            (
                "pids",
                "pids.max",
                confinement.processes.map(|number| text(number.into())),
            ),
            ("memory", "memory.limit_in_bytes", confinement.memory.map(text)),
            (
                "cpu",
                "cpu.cfs_quota_us",
                confinement.millicpus.map(|cpus| text(quota(cpus))),
            ),
        ];
        for (controller, file, value) in settings {
            if value.is_none() {
                continue;
            }
            let base = own_group(controller);
            let made = base.is_some_and(|base| self.group(&base.join(name), &[(file, value)]).is_ok());
            if !made {
                self.fall_back(controller, confinement);
            }
        }
    }

    /// Makes a group with these settings.
    fn group(&mut self, group: &Path, settings: &[(&str, Option<String>)]) -> io::Result<()> {
        fs::create_dir(group)?;
        // From here on it is removed in any case.
        self.groups.push(group.to_owned());
        for (file, value) in settings {
            if let Some(value) = value {
                fs::write(group.join(file), value)?;
            }
        }
        self.doors
            .push(OpenOptions::new().write(true).open(group.join("cgroup.procs"))?);
        Ok(())
    }

    /// No group: the kernel's limits on processes, which root is not held by in number.
    fn fall_back(&mut self, controller: &str, confinement: &Confinement) {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            tracing::warn!(
                controller,
                "no control group can be made; limits on processes stand in, which bind less: no bound on time of \
                 processors, memory by process, the number of processes by user and not for root"
            );
        });
        match controller {
            "pids" => self.limits.extend(
                confinement
                    .processes
                    .map(|number| (Resource::RLIMIT_NPROC, u64::from(number))),
            ),
            "memory" => self
                .limits
                .extend(confinement.memory.map(|bytes| (Resource::RLIMIT_AS, bytes))),
            _ => {}
        }
    }

    /// Puts the calling process in. For use between fork and exec: plain system calls, nothing is allocated.
    pub(super) fn enter(&self) -> io::Result<()> {
        for door in &self.doors {
            // "0" is whoever writes.
            nix::unistd::write(door, b"0")?;
        }
        for &(resource, limit) in &self.limits {
            setrlimit(resource, limit, limit)?;
        }
        Ok(())
    }

    /// Whether there is anything to enter.
    pub(super) fn is_open(&self) -> bool {
        self.doors.is_empty() && self.limits.is_empty() && self.user.is_none()
    }

    /// Removes the groups, which nobody is in any more; one that somebody is still in, by leave, stays.
    pub(in crate::process) async fn remove(mut self) {
        let until = tokio::time::Instant::now() + REMOVAL;
        self.doors.clear();
        loop {
            self.groups.retain(|group| fs::remove_dir(group).is_err());
            if self.groups.is_empty() {
                return;
            }
            if tokio::time::Instant::now() >= until {
                tracing::debug!(groups = ?self.groups, "control groups are still in use");
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        for group in &self.groups {
            // What is in use now is swept away later.
            let _ = fs::remove_dir(group);
        }
    }
}

fn quota(millicpus: u32) -> u64 {
    // Below a thousandth of the period the kernel refuses.
    (u64::from(millicpus) * PERIOD_US / 1000).max(1000)
}

fn name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{PREFIX}{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Looked for once: control groups do not move.
fn ground() -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    GROUND.get_or_init(|| match delegated() {
        Some(base) => Ground::Unified(base),
        None => Ground::Split,
    })
}

/// Version 2: the group above ours, when it was delegated to us, as `DelegateSubgroup=` of systemd does. Below our own no
/// group with controllers can be made while we are in it.
fn delegated() -> Option<PathBuf> {
    let own = own_group("")?;
    let above = own.parent().filter(|above| above.starts_with(MOUNT))?;
    fs::write(above.join("cgroup.subtree_control"), "+pids +memory +cpu").ok()?;
    Some(above.to_owned())
}

/// Our own group of a controller of version 1; of version 2, whose lines name none, for the empty name.
fn own_group(controller: &str) -> Option<PathBuf> {
    let list = fs::read_to_string("/proc/self/cgroup").ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (names, path) = (fields.next()?, fields.next()?);
        if !names.split(',').any(|name| name == controller) {
            return None;
        }
        let path = path.trim_start_matches('/');
        [names, controller]
            .iter()
            // Within a container the path is that of the host, and its own group is at the top of the mount.
            .flat_map(|mount| {
                [
                    Path::new(MOUNT).join(mount).join(path),
                    Path::new(MOUNT).join(mount),
                ]
            })
            .find(|group| group.join("cgroup.procs").exists())
    })
}

/// Removes the groups of delegates that are gone.
fn sweep_once() {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| {
        let bases = match ground() {
            Ground::Unified(base) => vec![base.clone()],
            Ground::Split => ["pids", "memory", "cpu"]
                .into_iter()
                .filter_map(own_group)
                .collect(),
        };
        for entry in bases
            .iter()
            .filter_map(|base| fs::read_dir(base).ok())
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let maker = name
                .to_str()
                .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
            if let Some(maker) = maker
                && !Path::new("/proc").join(maker).exists()
            {
                // With somebody in it, it cannot be removed, and need not.
                let _ = fs::remove_dir(entry.path());
            }
        }
    });
}
