//! The data of tasks that were submitted a moment ago: most are taken at once, and need not be read back from the store.
//!
//! Only a shortcut: what is not here is in the store, and a task that is over is neither here nor there.

use std::collections::HashMap;
use std::sync::Arc;

use crate::manager::ids::TaskId;

/// Most bytes of data held. A queue that grows beyond is read from the store when its time comes.
const MOST: usize = 8 * 1024 * 1024;

/// What an entry costs besides its data.
const OVERHEAD: usize = 128;

/// Data by task.
#[derive(Default)]
pub(super) struct AtHand {
    data: HashMap<TaskId, Arc<str>>,
    bytes: usize,
}

impl AtHand {
    /// Holds the data of a new task, while there is room.
    pub(super) fn hold(&mut self, id: &TaskId, data: &Arc<str>) {
        let cost = data.len() + OVERHEAD;
        if self.bytes + cost <= MOST && self.data.insert(id.clone(), Arc::clone(data)).is_none() {
            self.bytes += cost;
        }
    }

    pub(super) fn of(&self, id: &TaskId) -> Option<Arc<str>> {
        self.data.get(id).cloned()
    }

    /// The task is over, or was never accepted.
    pub(super) fn drop(&mut self, id: &TaskId) {
        if let Some(data) = self.data.remove(id) {
            self.bytes -= data.len() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_the_room_comes_back() {
        let mut held = AtHand::default();
        let ids: Vec<TaskId> = (0..20).map(|_| TaskId::random()).collect();
        let megabyte: Arc<str> = "x".repeat(1024 * 1024).into();
        for id in &ids {
            held.hold(id, &megabyte);
        }
        let count = ids.iter().filter(|id| held.of(id).is_some()).count();
        assert_eq!(count, 7);
        for id in &ids {
            held.drop(id);
            held.drop(id);
        }
        assert_eq!((held.bytes, held.data.len()), (0, 0));
        held.hold(&ids[19], &megabyte);
        held.hold(&ids[19], &megabyte);
        assert_eq!(held.bytes, megabyte.len() + OVERHEAD);
    }
}
