//! Whatever the pipeline is, and whatever happens in whatever order: every node ends exactly once, every task is submitted
//! once and awaited, nobody is asked for ever, no strategy runs more at once than it says, and the run ends.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

/// Something that happens, to one of what there is at that moment.
#[derive(Debug, Clone)]
enum Step {
    End { which: u8, how: u8, repeated: bool },
    Answer { which: u8, by: u8, approved: bool },
    Decide { which: u8, decision: u8 },
    Abort,
    Pass { seconds: u16 },
    ToDeadline,
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (any::<u8>(), any::<u8>(), any::<bool>()).prop_map(|(which, how, repeated)| Step::End { which, how, repeated }),
        3 => (any::<u8>(), 0u8..3, any::<bool>()).prop_map(|(which, by, approved)| Step::Answer { which, by, approved }),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(which, decision)| Step::Decide { which, decision }),
        1 => (0u8..12).prop_map(|chance| if chance == 0 { Step::Abort } else { Step::ToDeadline }),
        2 => (0u16..600).prop_map(|seconds| Step::Pass { seconds }),
        2 => Just(Step::ToDeadline),
        2 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..60)
}

fn action(depth: u8) -> BoxedStrategy<Json> {
    let simple = prop::sample::select(vec![
        "Ignore",
        "MarkAsSuccess",
        "MarkAsFailure",
        "Abort",
        "StageRollback",
    ])
    .prop_map(|kind| json!({"type": kind}));
    match depth {
        0 => simple.boxed(),
        1 => prop_oneof![
            2 => action(0),
            1 => action(0).prop_map(|then| json!({
                "type": "ManualIntervention", "spec": {"timeout": "10m", "onTimeout": {"action": then}}
            })),
        ]
        .boxed(),
        _ => prop_oneof![
            2 => action(1),
            2 => (1u8..3, prop::option::of(Just("30s")), action(1)).prop_map(|(count, interval, then)| json!({
                "type": "Retry",
                "spec": {
                    "retryCount": count,
                    "retryIntervals": interval.into_iter().collect::<Vec<_>>(),
                    "onRetryFailure": {"action": then},
                }
            })),
        ]
        .boxed(),
    }
}

/// What stages, groups and steps may have alike. Identifiers are given later.
fn common(status: &'static str) -> impl Strategy<Value = Json> {
    let failure = prop::option::weighted(0.4, action(2)).prop_map(|action| {
        action.map(|action| json!([{"onFailure": {"errors": ["AllErrors"], "action": action}}]))
    });
    let strategy = prop_oneof![
        6 => Just(None),
        1 => (1u8..4, 1u8..3).prop_map(|(times, most)| Some(json!({"repeat": {"times": times, "maxConcurrency": most}}))),
        1 => Just(Some(json!({"matrix": {"a": [1, 2], "b": "<+\"x,y\".split(\",\")>", "exclude": [{"a": 1, "b": "x"}]}}))),
    ];
    let asked = prop::sample::select(vec!["Success", "Success", "Failure", "All"]);
    let condition = prop::sample::select(vec![
        None,
        None,
        None,
        Some("true"),
        Some("1 > 2"),
        Some("\"a\" < 1"),
    ]);
    let when =
        (asked, condition).prop_map(move |(asked, condition)| json!({status: asked, "condition": condition}));
    let timeout = prop::option::weighted(0.3, prop::sample::select(vec!["20s", "5m", "1h"]));
    (failure, strategy, when, timeout).prop_map(|(failure, strategy, when, timeout)| {
        json!({"failureStrategies": failure, "strategy": strategy, "when": when, "timeout": timeout})
    })
}

fn merged(mut one: Json, other: Json) -> Json {
    if let (Some(fields), Json::Object(more)) = (one.as_object_mut(), other) {
        fields.extend(more);
    }
    one
}

fn step() -> impl Strategy<Value = Json> {
    let body = prop_oneof![
        6 => Just(json!({"type": "SHELL_SCRIPT", "spec": {"script": "x"}})),
        1 => Just(json!({"type": "SHELL_SCRIPT", "spec": {"script": "<+\"a\" * 2>"}})),
        1 => (1u8..3).prop_map(|count| json!({"type": "HarnessApproval", "spec": {"approvalMessage": "?", "approvers": {"minimumCount": count}}})),
        1 => Just(json!({"type": "Wait", "spec": {"duration": "1m"}})),
    ];
    (common("stageStatus"), body).prop_map(|(common, body)| json!({"step": merged(common, body)}))
}

fn steps() -> impl Strategy<Value = Json> {
    let items = step().prop_recursive(3, 10, 3, |inner| {
        let several = prop::collection::vec(inner, 1..4);
        prop_oneof![
            several.clone().prop_map(|branches| json!({"parallel": branches})),
            (common("stageStatus"), several)
                .prop_map(|(common, steps)| json!({"stepGroup": merged(common, json!({"steps": steps}))})),
        ]
    });
    prop::collection::vec(items, 1..4).prop_map(Json::from)
}

fn pipelines() -> impl Strategy<Value = Json> {
    let stage = (common("pipelineStatus"), steps(), prop::option::of(steps())).prop_map(|(common, steps, rollback)| {
        json!({"stage": merged(common, json!({"spec": {"execution": {"steps": steps, "rollbackSteps": rollback}}}))})
    });
    let stage = stage.boxed();
    let item = prop_oneof![
        3 => stage.clone(),
        1 => prop::collection::vec(stage, 1..3).prop_map(|stages| json!({"parallel": stages})),
    ];
    let timeout = prop::option::weighted(0.2, Just("30m"));
    (prop::collection::vec(item, 1..4), timeout).prop_map(|(stages, timeout)| {
        let mut file = json!({"pipeline": {"name": "p", "stages": stages, "timeout": timeout}});
        name(&mut file, &mut 0);
        file
    })
}

/// Gives everything that has an identifier one of its own.
fn name(value: &mut Json, count: &mut u32) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(|item| name(item, count)),
        Json::Object(fields) => {
            for (key, inner) in fields.iter_mut() {
                if matches!(key.as_str(), "stage" | "step" | "stepGroup") {
                    *count += 1;
                    inner["identifier"] = format!("n{count}").into();
                }
                name(inner, count);
            }
        }
        _ => {}
    }
}

/// A run beside what its effects say.
struct World {
    run: Run,
    now: Millis,
    /// Tasks that were submitted and have not ended.
    open: Vec<TaskRef>,
    submitted: BTreeSet<TaskRef>,
    cancelled: BTreeSet<TaskRef>,
    asked: BTreeMap<NodeId, bool>,
    ended: BTreeMap<NodeId, Outcome>,
    finished: Option<Outcome>,
    known: State,
}

impl World {
    fn start(file: &str) -> Self {
        let plan =
            Plan::read(file, &Registry::standard()).unwrap_or_else(|faults| panic!("{faults}\n{file}"));
        let (run, effects) = Run::start(Arc::new(plan), "r".to_owned(), BTreeMap::new(), NOW);
        let known = State {
            nodes: Vec::new(),
            ..run.state().clone()
        };
        let mut world = Self {
            run,
            now: NOW,
            open: Vec::new(),
            submitted: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            asked: BTreeMap::new(),
            ended: BTreeMap::new(),
            finished: None,
            known,
        };
        world.take(effects);
        world
    }

    fn take(&mut self, effects: Effects) {
        for command in effects.commands {
            assert_eq!(self.finished, None, "something follows the end: {command:?}");
            match command {
                Command::Submit(submission) => {
                    assert!(
                        self.submitted.insert(submission.task),
                        "submitted twice: {submission:?}"
                    );
                    self.open.push(submission.task);
                }
                Command::Cancel(task) => {
                    assert!(self.open.contains(&task), "a task that does not run was to end");
                    assert!(self.cancelled.insert(task), "told to end twice");
                }
                Command::Ask(question) => {
                    let before = self.asked.insert(question.node, question.approvers.is_some());
                    assert_eq!(before, None, "asked twice");
                }
                Command::Withdraw(node) => assert!(self.asked.remove(&node).is_some(), "nobody was asked"),
                Command::Finished(outcome) => self.finished = Some(outcome),
            }
        }
        let nodes = &self.run.state().nodes;
        for (id, node) in nodes.iter().enumerate() {
            let told = effects.changed.contains(&id);
            assert!(
                told || self.known.nodes.get(id) == Some(node),
                "a change that nobody was told of: {node:?}"
            );
            match (self.ended.get(&id), node.outcome()) {
                (Some(before), now) => assert_eq!(Some(*before), now, "ended a second time"),
                (None, Some(outcome)) => {
                    self.ended.insert(id, outcome);
                }
                (None, None) => {}
            }
            if let Some(parent) = node.parent
                && matches!(node.status, Status::Running(_))
            {
                assert!(
                    matches!(nodes[parent].status, Status::Running(_)),
                    "runs in something that does not"
                );
            }
            if let (Some(most), true) = (
                self.run
                    .element(id)
                    .strategy
                    .as_ref()
                    .and_then(|strategy| strategy.max_concurrency),
                self.run.is_fan(id),
            ) {
                let running = node
                    .children
                    .iter()
                    .filter(|child| matches!(nodes[**child].status, Status::Running(_)));
                assert!(running.count() <= most as usize, "more at once than there may be");
            }
        }
        self.known = self.run.state().clone();
        self.check_outstanding();
        if let Some(outcome) = self.finished {
            assert_eq!(self.run.outcome(), Some(outcome));
            assert!(
                self.open.is_empty() && self.asked.is_empty(),
                "the run ended before what it began"
            );
            assert_eq!(self.ended.len(), nodes.len(), "something has not ended");
        } else {
            let waits = !self.open.is_empty() || !self.asked.is_empty() || self.run.next_deadline().is_some();
            assert!(waits, "the run waits for nothing: {:?}", self.run.state());
        }
    }

    /// What is said again to one who takes the run up is what is open.
    fn check_outstanding(&self) {
        let (mut tasks, mut asked) = (Vec::new(), BTreeMap::new());
        for command in self.run.outstanding() {
            match command {
                Command::Submit(submission) => {
                    assert!(!self.cancelled.contains(&submission.task));
                    tasks.push(submission.task);
                }
                Command::Cancel(task) => {
                    assert!(self.cancelled.contains(&task));
                    tasks.push(task);
                }
                Command::Ask(question) => {
                    asked.insert(question.node, question.approvers.is_some());
                }
                other => panic!("{other:?}"),
            }
        }
        let mut open = self.open.clone();
        open.sort();
        assert_eq!(tasks, open);
        assert_eq!(asked, self.asked);
    }

    fn apply(&mut self, event: Event) {
        let before = self.run.state().clone();
        match self.run.apply(self.now, event) {
            Ok(effects) => self.take(effects),
            Err(_) => assert_eq!(self.run.state(), &before, "a refused event changed something"),
        }
    }

    fn end(&mut self, task: TaskRef, status: TaskStatus) {
        let before = self.open.len();
        self.open.retain(|open| *open != task);
        let ran = self.open.len() < before;
        let end = TaskEnd {
            delegate: None,
            status,
            message: None,
            output_vars: BTreeMap::new(),
            fields: serde_json::Map::new(),
        };
        let result = self.run.apply(self.now, Event::TaskEnded(task, end));
        assert_eq!(result.is_ok(), ran, "{task:?}");
        if let Ok(effects) = result {
            self.take(effects);
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::End { which, how, repeated } => {
                let all: Vec<_> = if repeated {
                    self.submitted.iter().copied().collect()
                } else {
                    self.open.clone()
                };
                let status = [
                    TaskStatus::Succeeded,
                    TaskStatus::Succeeded,
                    TaskStatus::Failed,
                    TaskStatus::TimedOut,
                    TaskStatus::Expired,
                    TaskStatus::Aborted,
                ][usize::from(how) % 6];
                if let Some(task) = pick(&all, which) {
                    self.end(task, status);
                }
            }
            Step::Answer { which, by, approved } => {
                let asked: Vec<_> = self.asked.keys().copied().collect();
                if let Some(node) = pick(&asked, which) {
                    let by = format!("p{by}");
                    self.apply(Event::Answered {
                        node,
                        by,
                        approved,
                        comment: None,
                    });
                }
            }
            Step::Decide { which, decision } => {
                let asked: Vec<_> = self.asked.keys().copied().collect();
                let decision = [
                    Decision::Retry,
                    Decision::Ignore,
                    Decision::MarkAsSuccess,
                    Decision::MarkAsFailure,
                    Decision::Abort,
                    Decision::StageRollback,
                ][usize::from(decision) % 6];
                if let Some(node) = pick(&asked, which) {
                    self.apply(Event::Decided {
                        node,
                        by: "p".to_owned(),
                        decision,
                    });
                }
            }
            Step::Abort => self.apply(Event::Abort { by: "p".to_owned() }),
            Step::Pass { seconds } => {
                self.now += Millis::from(seconds) * 1000;
                self.apply(Event::Tick);
            }
            Step::ToDeadline => {
                if let Some(at) = self.run.next_deadline() {
                    self.now = self.now.max(at);
                    self.apply(Event::Tick);
                    assert!(
                        self.run.next_deadline().is_none_or(|next| next > self.now),
                        "a deadline that stays"
                    );
                }
            }
            Step::Restart => {
                let state = serde_json::to_string(self.run.state()).unwrap();
                let plan = Arc::new(self.run.plan().clone());
                self.run = Run::restore(plan, serde_json::from_str(&state).unwrap()).unwrap();
                assert_eq!(self.run.state(), &self.known);
            }
        }
    }

    /// Nobody does anything any more but delegates and the clock.
    fn drain(&mut self) {
        for _ in 0..2000 {
            if self.finished.is_some() {
                return;
            }
            if let Some(task) = self.open.first().copied() {
                self.end(task, TaskStatus::Succeeded);
            } else {
                self.step(&Step::ToDeadline);
            }
        }
        panic!("the run does not end: {:?}", self.run.state());
    }
}

fn pick<T: Copy>(all: &[T], number: u8) -> Option<T> {
    (!all.is_empty()).then(|| all[usize::from(number) % all.len()])
}

/// Pipelines of one test; `PIPELINE_CASES` for a longer proof.
fn cases() -> u32 {
    std::env::var("PIPELINE_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn every_node_ends_exactly_once_and_the_run_ends(file in pipelines(), events in events()) {
        let mut world = World::start(&file.to_string());
        for event in events {
            world.step(&event);
        }
        world.drain();
    }
}
