//! What a file asks for: a tree of elements, each with what may be said of it, in one list.
//!
//! Pipeline, stages, groups, parallel branches and steps differ in what a file may say of them, not in how they run; so
//! they are one type, and a run needs one set of rules. A plan is plain data, and is kept with its run: what runs is
//! what was read, whichever version of the program goes on with it.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::expression::{Condition, Template, Text};
use super::source::{Faults, Mark};
use super::{check, read};
use crate::task::Registry;

/// Place of an element in [`Plan::elements`].
pub type ElementId = usize;

/// A pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Every element; the pipeline itself is the first, and parents come before their children.
    pub elements: Vec<Element>,
}

/// A pipeline, a stage, a group, parallel branches, or a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Element {
    /// What it is.
    pub level: Level,
    /// What expressions call it: unique among stages, and among the steps and groups of a stage. Empty for parallel
    /// branches and rollbacks, which have no name.
    pub identifier: String,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub at: Mark,
    /// What it is part of; nothing for the pipeline.
    pub parent: Option<ElementId>,
    /// What it does.
    pub body: Body,
    /// Whether it runs, by how things went so far. None for parts that are not asked: the pipeline, parallel branches.
    pub when: WhenStatus,
    /// Whether it runs, by a condition.
    pub condition: Option<Condition>,
    /// Whether it runs several times.
    pub strategy: Option<Strategy>,
    /// What follows a failure of a step in it.
    pub failure: Vec<FailureStrategy>,
    /// How long it may take, in milliseconds. Every task has one.
    pub timeout_ms: Option<u64>,
    /// What a delegate must hold for the tasks in it; where several levels say something, the innermost counts.
    pub selectors: Option<Vec<Text>>,
    /// Variables of the pipeline or of a stage.
    pub variables: Vec<Variable>,
    /// What undoes a stage: an element of [`Level::Rollback`].
    pub rollback: Option<ElementId>,
}

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The whole.
    Pipeline,
    /// A stage.
    Stage,
    /// Steps under one name.
    Group,
    /// Stages or steps that run at the same time.
    Parallel,
    /// A step.
    Step,
    /// The rollback steps of a stage.
    Rollback,
}

/// What an element does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// One after the other.
    Serial(Vec<ElementId>),
    /// All at once.
    Parallel(Vec<ElementId>),
    /// A task of a delegate.
    Task(Task),
    /// Waits until people say yes.
    Approval(Approval),
    /// Waits for so many milliseconds.
    Wait(u64),
}

/// A task of a delegate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Task kind.
    pub kind: String,
    /// Its data.
    pub data: Template,
    /// Where the data stands, or the step where it has none.
    pub at: Mark,
    /// Output variables.
    pub outputs: Outputs,
}

/// Output variables of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outputs {
    /// Whatever the task returns.
    Any,
    /// These: what the task calls them, by the names that expressions have for them.
    Named(IndexMap<String, String>),
}

/// What people have to say yes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// What they are asked.
    pub message: Text,
    /// How many of them, each with a name of its own.
    pub approvers: u32,
}

/// Whether an element runs, by how the stage (for steps) or the pipeline (for stages) went so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenStatus {
    /// When nothing failed. What holds where nothing is said.
    #[default]
    Success,
    /// When something failed.
    Failure,
    /// In any case.
    All,
}

/// Runs an element several times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strategy {
    /// How often, and with what.
    pub over: Repetition,
    /// So many at once; all where nothing is said.
    pub max_concurrency: Option<u32>,
    /// Where it stands.
    pub at: Mark,
}

/// How often an element runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repetition {
    /// Once for each combination.
    Matrix {
        /// Values by axis.
        axes: IndexMap<String, Source>,
        /// Combinations that are left out: axes and their values.
        exclude: Vec<IndexMap<String, Text>>,
    },
    /// Once for each item.
    Items(Source),
    /// So many times.
    Times(u32),
}

/// Values that are listed, or come from one expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Each on its own.
    Listed(Vec<Template>),
    /// A list, by an expression.
    Computed(Text),
}

/// What follows certain failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureStrategy {
    /// Which.
    pub errors: Vec<Errors>,
    /// What follows.
    pub action: Action,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errors {
    /// Every one.
    All,
    /// Out of time.
    Timeout,
    /// No delegate took the task in time.
    DelegateProvisioning,
    /// Somebody said no.
    ApprovalRejection,
    /// Any other.
    Unknown,
}

/// What follows a failure of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The step failed, and with it the stage.
    MarkAsFailure,
    /// The failure is shown, and everything goes on.
    Ignore,
    /// The step counts as successful.
    MarkAsSuccess,
    /// The whole run ends.
    Abort,
    /// No further step of the stage begins; its rollback steps run.
    StageRollback,
    /// Once more.
    Retry {
        /// How often at most.
        times: u32,
        /// Milliseconds before each; the last counts for all that follow. Empty: at once.
        intervals_ms: Vec<u64>,
        /// What follows when all of them failed; never a retry.
        then: Box<Action>,
    },
    /// Somebody decides.
    ManualIntervention {
        /// How long there is for it, in milliseconds.
        timeout_ms: u64,
        /// What follows when nobody does; neither a retry nor another intervention.
        then: Box<Action>,
    },
}

/// A variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Where it stands.
    pub at: Mark,
    /// What it is.
    pub of: VariableType,
    /// Whether an empty value is refused.
    pub required: bool,
    /// What it is for.
    pub description: Option<String>,
    /// Its value.
    pub value: Input,
}

/// What a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableType {
    /// A text.
    Text,
    /// A number.
    Number,
    /// A secret: a reference in the file, the secret's name as an input.
    Secret,
}

/// Where the value of a variable comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// From the file.
    Fixed(Text),
    /// From whoever starts the run.
    Asked {
        /// What holds when nothing is given.
        default: Option<String>,
        /// What may be given; anything, where empty.
        allowed: Vec<String>,
        /// What it must match, as a whole.
        pattern: Option<String>,
    },
}

impl Plan {
    /// Reads a file and checks everything that can be known before a run: what it says, what its expressions refer to,
    /// and the data of its tasks against their kinds. Nothing is looked at but the file.
    pub fn read(file: &str, kinds: &Registry) -> Result<Self, Faults> {
        Self::read_with(file, kinds, &BTreeSet::new())
    }

    /// The same where delegates have further kinds, of these names. Nothing more is known of them here, so whether they take
    /// their data is for the delegate to say.
    pub fn read_with(file: &str, kinds: &Registry, of_delegates: &BTreeSet<String>) -> Result<Self, Faults> {
        let plan = read::file(file)?;
        check::plan(&plan, file, kinds, of_delegates)?;
        Ok(plan)
    }

    /// The pipeline itself.
    pub fn pipeline(&self) -> Option<&Element> {
        self.elements.first()
    }

    /// The elements directly in one, in their order; rollback steps are not among them.
    pub fn children(&self, id: ElementId) -> &[ElementId] {
        match self.elements.get(id).map(|element| &element.body) {
            Some(Body::Serial(children) | Body::Parallel(children)) => children,
            _ => &[],
        }
    }

    /// The element and everything in it, rollback steps included, in the order of the file.
    pub fn subtree(&self, id: ElementId) -> Vec<ElementId> {
        let mut found = Vec::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            found.push(id);
            open.extend(self.children(id));
            open.extend(self.elements.get(id).and_then(|element| element.rollback));
        }
        found.sort_unstable();
        found
    }

    /// The element, what it is part of, and so on up to the pipeline.
    pub fn ancestors(&self, id: ElementId) -> impl Iterator<Item = ElementId> {
        std::iter::successors(Some(id), |id| self.elements.get(*id)?.parent)
    }

    /// The stage that an element is in, or is.
    pub fn stage_of(&self, id: ElementId) -> Option<ElementId> {
        self.ancestors(id).find(|id| {
            self.elements
                .get(*id)
                .is_some_and(|element| element.level == Level::Stage)
        })
    }
}
