//! Leaving tasks to others while this machine is busy.
//!
//! Where thresholds are set, the use of CPU and memory is looked at every few seconds; above one of them offered tasks
//! are turned away, and counted, until it is below again. Figures that cannot be read turn nothing away.

pub(super) mod meter;

use std::path::Path;
use std::time::Duration;

use tracing::{info, warn};

use super::ledger::Ledger;
use crate::config::Percent;
use meter::Meter;

/// Time between two looks: the shortest over which a use of CPU means something.
const EVERY: Duration = Duration::from_secs(3);

/// What may be used before tasks are turned away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds {
    pub(super) cpu: Option<Percent>,
    pub(super) memory: Option<Percent>,
}

impl Thresholds {
    fn exceeded(self, used: meter::Use) -> bool {
        let above = |threshold: Option<Percent>, used: Option<f64>| {
            threshold
                .zip(used)
                .is_some_and(|(threshold, used)| used > f64::from(threshold.get()))
        };
        above(self.cpu, used.cpu) || above(self.memory, used.memory)
    }
}

/// Watches for ever. The first look at the memory was taken when this is first awaited.
pub(super) async fn watch(ledger: &Ledger, thresholds: Thresholds) {
    if thresholds.cpu.is_none() && thresholds.memory.is_none() {
        return std::future::pending().await;
    }
    let mut meter = Meter::new(Path::new("/sys/fs/cgroup"), Path::new("/proc"));
    loop {
        let used = meter.look();
        let overloaded = thresholds.exceeded(used);
        if overloaded != ledger.is_overloaded() {
            if overloaded {
                warn!(
                    cpu_percent = used.cpu,
                    memory_percent = used.memory,
                    "above a resource threshold; no task is taken"
                );
            } else {
                info!(
                    cpu_percent = used.cpu,
                    memory_percent = used.memory,
                    "below the resource thresholds again; taking tasks"
                );
            }
            ledger.set_overloaded(overloaded);
        }
        tokio::time::sleep(EVERY).await;
    }
}
