//! Whatever happens, in whatever order: every task that was accepted ends exactly once, no task ever has two holders,
//! and what was handed to the store rebuilds the state.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Submit { selector: Option<u8>, timeout: u16 },
    Register { name: u8, capacity: u8 },
    Heartbeat { delegate: u8 },
    Poll { delegate: u8, patient: bool },
    Acquire { task: u8, delegate: u8 },
    Respond { task: u8, delegate: u8, answer: u8 },
    Abort { task: u8 },
    Revoke,
    Pass { seconds: u16 },
    Forget { task: u8 },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (any::<Option<u8>>(), 1u16..2000).prop_map(|(selector, timeout)| Step::Submit { selector, timeout }),
        2 => (any::<u8>(), 0u8..4).prop_map(|(name, capacity)| Step::Register { name, capacity }),
        2 => any::<u8>().prop_map(|delegate| Step::Heartbeat { delegate }),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(delegate, patient)| Step::Poll { delegate, patient }),
        8 => (any::<u8>(), any::<u8>()).prop_map(|(task, delegate)| Step::Acquire { task, delegate }),
        6 => (any::<u8>(), any::<u8>(), any::<u8>())
            .prop_map(|(task, delegate, answer)| Step::Respond { task, delegate, answer }),
        2 => any::<u8>().prop_map(|task| Step::Abort { task }),
        1 => Just(Step::Revoke),
        3 => (0u16..400).prop_map(|seconds| Step::Pass { seconds }),
        2 => any::<u8>().prop_map(|task| Step::Forget { task }),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The state machine beside what its effects say.
#[derive(Default)]
struct World {
    queue: Queue,
    now: Millis,
    tasks: Vec<TaskId>,
    delegates: Vec<DelegateId>,
    /// What a store would hold.
    stored: HashMap<TaskId, Task>,
    stored_delegates: HashMap<DelegateId, DelegateRow>,
    ends: HashMap<TaskId, u32>,
    /// Who was told to have a task, until it was told otherwise.
    holders: HashMap<TaskId, DelegateId>,
}

impl World {
    fn apply(&mut self, effects: Effects) {
        for change in effects.changes {
            match change {
                Changed::Task(task) => {
                    if task.status().is_final() {
                        *self.ends.entry(task.id.clone()).or_default() += 1;
                    }
                    if task.status() != TaskStatus::Running {
                        self.holders.remove(&task.id);
                    }
                    self.stored.insert(task.id.clone(), *task);
                }
                Changed::Delegate(row) => {
                    self.stored_delegates.insert(row.id.clone(), *row);
                }
                Changed::DelegateSeen(id, at) => {
                    self.stored_delegates.get_mut(&id).unwrap().last_seen = at;
                }
                Changed::DelegateGone(id) => {
                    self.stored_delegates.remove(&id);
                }
            }
        }
    }

    fn task(&self, number: u8) -> TaskId {
        pick(&self.tasks, number)
    }

    fn delegate(&self, number: u8) -> DelegateId {
        pick(&self.delegates, number)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit { selector, timeout } => {
                let id = TaskId::from(format!("t{}", self.tasks.len()));
                let mut task = submission(id.as_str());
                task.selectors = selector
                    .map(|number| format!("n{}", number % 3))
                    .into_iter()
                    .collect();
                task.timeout_ms = u64::from(timeout) * 1000;
                task.queue_timeout_ms = u64::from(timeout) * 500;
                let effects = self.queue.submit(self.now, task).unwrap();
                self.tasks.push(id);
                self.apply(effects);
            }
            Step::Register { name, capacity } => {
                let mut said = params(&format!("n{}", name % 3));
                said.task_capacity = (capacity > 0).then_some(capacity.into());
                let (id, effects) = self.queue.register(self.now, said, "token");
                self.delegates.push(id);
                self.apply(effects);
            }
            Step::Heartbeat { delegate } => {
                let id = self.delegate(delegate);
                if let Ok(effects) = self.queue.heartbeat(self.now, &id, None, "token") {
                    self.apply(effects);
                }
            }
            Step::Poll { delegate, patient } => {
                let id = self.delegate(delegate);
                if let Ok(offer) = self.queue.offer(self.now, &id, patient) {
                    for (task, _) in offer.tasks {
                        let own = self.holders.get(&task) == Some(&id);
                        assert!(
                            own || status(&self.queue, task.as_str()) == TaskStatus::Queued,
                            "offered what is not to be had"
                        );
                    }
                }
            }
            Step::Acquire { task, delegate } => {
                let (task, by) = (self.task(task), self.delegate(delegate));
                if let Ok(effects) = self.queue.acquire(self.now, task.as_str(), &by) {
                    self.apply(effects);
                    let before = self.holders.insert(task, by.clone());
                    assert!(before.is_none_or(|before| before == by), "two holders");
                    let holder = self.queue.delegate(by.as_str()).unwrap();
                    assert!(
                        holder.running.len() <= holder.capacity(),
                        "more than the capacity"
                    );
                }
            }
            Step::Respond {
                task,
                delegate,
                answer,
            } => {
                let (task, by) = (self.task(task), self.delegate(delegate));
                let answer = match answer % 6 {
                    0 => success(),
                    1 => retry(),
                    2 => super::answer(ResponseCode::Failed, CommandStatus::Failure),
                    3 => super::answer(ResponseCode::Ok, CommandStatus::Aborted),
                    4 => super::answer(ResponseCode::Ok, CommandStatus::Timeout),
                    _ => super::answer(ResponseCode::Ok, CommandStatus::Failure),
                };
                let holds = self.holders.get(&task) == Some(&by);
                match self.queue.respond(self.now, task.as_str(), &by, answer) {
                    Ok((Responded::Taken, effects)) => {
                        assert!(holds, "an answer of one who does not hold the task was taken");
                        self.apply(effects);
                    }
                    Ok((Responded::Repeated, effects)) => assert_eq!(effects, Effects::default()),
                    Err(_) => assert!(!holds, "the holder's answer was refused"),
                }
            }
            Step::Abort { task } => {
                if let Ok((_, effects)) = self.queue.abort(self.now, self.task(task).as_str()) {
                    self.apply(effects);
                }
            }
            Step::Revoke => {
                let effects = self.queue.revoke("token");
                self.apply(effects);
            }
            Step::Pass { seconds } => {
                self.now += Millis::from(seconds) * 1000;
                let effects = self.queue.tick(self.now);
                self.apply(effects);
            }
            Step::Forget { task } => self.queue.forget(self.task(task).as_str()),
            Step::Restart => {
                let open = self.stored.values().filter(|task| !task.status().is_final());
                let delegates = self.stored_delegates.values().cloned().collect();
                self.queue = Queue::restore(
                    self.now,
                    open.cloned().collect(),
                    delegates,
                    &["token".to_owned()],
                );
            }
        }
        self.check();
    }

    /// The state is what the effects said, and the indexes agree with it.
    fn check(&self) {
        for task in self.queue.tasks.values() {
            assert_eq!(self.stored.get(&task.id), Some(task), "the store was not told");
        }
        let count = |status| {
            self.queue
                .tasks
                .values()
                .filter(|task| task.status() == status)
                .count()
        };
        assert_eq!(self.queue.waiting.len(), count(TaskStatus::Queued));
        assert_eq!(
            self.queue.deadlines.len(),
            count(TaskStatus::Queued) + count(TaskStatus::Running)
        );
        for delegate in self.queue.delegates.values() {
            for id in &delegate.running {
                assert_eq!(self.queue.tasks[id].holder(), Some(&delegate.id));
            }
        }
    }
}

fn pick<T: Clone + From<&'static str>>(all: &[T], number: u8) -> T {
    match all.len() {
        0 => T::from("nobody"),
        length => all[usize::from(number) % length].clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_task_ends_exactly_once_and_never_has_two_holders(steps in steps()) {
        let mut world = World { now: NOW, ..World::default() };
        for step in steps {
            world.step(&step);
        }
        // Then nobody does anything any more, and time alone ends what is left.
        for _ in 0..40 {
            world.step(&Step::Pass { seconds: 300 });
        }
        for task in &world.tasks {
            prop_assert_eq!(world.ends.get(task), Some(&1), "{}", task);
            prop_assert!(world.stored[task].status().is_final());
        }
        prop_assert_eq!(world.queue.running(), 0);
    }
}
