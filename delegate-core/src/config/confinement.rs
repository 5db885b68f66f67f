//! What the child processes of a task may use, and who they are.

/// Nothing is bound unless it is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfinementSettings {
    /// `DELEGATE_TASK_MAX_PROCESSES`: processes and threads at a time.
    pub max_processes: Option<u32>,
    /// `DELEGATE_TASK_MAX_MEMORY_MIB`.
    pub max_memory_mib: Option<u32>,
    /// `DELEGATE_TASK_MAX_MILLICPUS`: thousandths of a processor.
    pub max_millicpus: Option<u32>,
    /// `DELEGATE_TASK_USER`: a name, `UID` or `UID:GID`; takes that the delegate is root.
    pub user: Option<String>,
}
