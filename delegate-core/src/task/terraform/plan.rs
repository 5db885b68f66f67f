//! What a plan changes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cli::{Cli, words};
use crate::task::halt::Halt;

/// So many changes are told one by one; beyond, nobody reads them in a result.
const MAX_TOLD: usize = 500;

#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
pub(super) struct Summary {
    /// Resources that are made. One that is replaced is made and destroyed.
    add: usize,
    /// Resources that are changed in place.
    change: usize,
    /// Resources that are destroyed.
    destroy: usize,
    /// Resources that are taken into the state.
    import: usize,
    /// Whether an output changes.
    outputs_change: bool,
    /// Whether what there is differs from what the state says of it: somebody else changed it.
    drift: bool,
    /// Addresses of the resources that do so.
    drifted: Vec<String>,
    /// The changes, by their addresses.
    changes: Vec<Change>,
    /// How many changes and drifted resources are not listed, because there are more than 500.
    more: usize,
    /// What is applied: addresses, and in how many steps.
    #[serde(skip)]
    pub(super) steps: Vec<(String, usize)>,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Change {
    /// Address of the resource.
    address: String,
    /// What happens to it.
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    Create,
    Update,
    Delete,
    Replace,
    Import,
    Forget,
}

/// What is read of `show -json`.
#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    resource_changes: Vec<ResourceChange>,
    #[serde(default)]
    resource_drift: Vec<ResourceChange>,
    #[serde(default)]
    output_changes: BTreeMap<String, Actions>,
}

#[derive(Deserialize)]
struct ResourceChange {
    address: String,
    change: Actions,
}

#[derive(Deserialize)]
struct Actions {
    actions: Vec<String>,
    importing: Option<serde::de::IgnoredAny>,
}

/// Reads a saved plan.
pub(super) async fn read(cli: &Cli<'_>, plan: &Path) -> Result<Summary, Halt> {
    let doing = "reading the plan of";
    let mut args = words(&["show", "-json", "-no-color"]);
    args.push(OsString::from(plan));
    let text = cli.ask(args, doing).await?;
    let shown: Shown = serde_json::from_slice(&text)
        .map_err(|error| Halt::failed(format!("{doing} the configuration failed: {error}")))?;
    Ok(Summary::of(shown))
}

impl Summary {
    fn of(shown: Shown) -> Self {
        let mut summary = Self::default();
        for ResourceChange { address, change } in shown.resource_changes {
            let Some(action) = action(&change) else { continue };
            match action {
                Action::Create => summary.add += 1,
                Action::Update => summary.change += 1,
                Action::Delete => summary.destroy += 1,
                Action::Replace => {
                    summary.add += 1;
                    summary.destroy += 1;
                }
                Action::Import | Action::Forget => {}
            }
            summary.import += usize::from(change.importing.is_some());
            if action != Action::Import && action != Action::Forget {
                let steps = if action == Action::Replace { 2 } else { 1 };
                summary.steps.push((address.clone(), steps));
            }
            if summary.changes.len() < MAX_TOLD {
                summary.changes.push(Change { address, action });
            } else {
                summary.more += 1;
            }
        }
        for ResourceChange { address, .. } in shown.resource_drift {
            summary.drift = true;
            if summary.drifted.len() < MAX_TOLD {
                summary.drifted.push(address);
            } else {
                summary.more += 1;
            }
        }
        summary.outputs_change = shown.output_changes.values().any(|output| !is_nothing(output));
        summary
    }

    /// For the log.
    pub(super) fn said(&self) -> String {
        let drift = if self.drift {
            "; what there is was changed by others"
        } else {
            ""
        };
        format!(
            "the plan: {} to add, {} to change, {} to destroy, {} to import{drift}",
            self.add, self.change, self.destroy, self.import
        )
    }

    /// For later steps.
    pub(super) fn vars(&self, plan: &Path) -> BTreeMap<String, String> {
        let changes = !self.changes.is_empty() || self.outputs_change;
        [
            ("plan_file", plan.to_string_lossy().into_owned()),
            ("plan_add", self.add.to_string()),
            ("plan_change", self.change.to_string()),
            ("plan_destroy", self.destroy.to_string()),
            ("plan_import", self.import.to_string()),
            ("plan_has_changes", changes.to_string()),
            ("plan_drift", self.drift.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

fn is_nothing(change: &Actions) -> bool {
    change.actions.iter().all(|action| action == "no-op")
}

fn action(change: &Actions) -> Option<Action> {
    let actions: Vec<&str> = change.actions.iter().map(String::as_str).collect();
    Some(match actions[..] {
        ["create"] => Action::Create,
        ["update"] => Action::Update,
        ["delete"] => Action::Delete,
        ["forget"] => Action::Forget,
        ["delete", "create"] | ["create", "delete"] => Action::Replace,
        ["no-op"] if change.importing.is_some() => Action::Import,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_is_counted_as_the_program_counts() {
        let change =
            |address: &str, actions: &[&str]| json!({"address": address, "change": {"actions": actions}});
        let shown = json!({
            "resource_changes": [
                change("a.a", &["create"]), change("a.b", &["update"]), change("a.c", &["delete"]),
                change("a.d", &["delete", "create"]), change("a.e", &["no-op"]), change("data.f", &["read"]),
                {"address": "a.g", "change": {"actions": ["no-op"], "importing": {"id": "x"}}},
                {"address": "a.h", "change": {"actions": ["update"], "importing": {"id": "y"}}},
            ],
            "resource_drift": [change("a.b", &["update"])],
            "output_changes": {"o": {"actions": ["no-op"]}},
        });
        let summary = Summary::of(serde_json::from_value(shown).unwrap());
        assert_eq!(
            (summary.add, summary.change, summary.destroy, summary.import),
            (2, 2, 2, 2)
        );
        let steps = [("a.a", 1), ("a.b", 1), ("a.c", 1), ("a.d", 2), ("a.h", 1)];
        assert_eq!(
            summary.steps,
            steps.map(|(address, steps)| (address.to_owned(), steps))
        );
        assert_eq!(
            (summary.drift, summary.drifted, summary.outputs_change),
            (true, vec!["a.b".to_owned()], false)
        );
        assert_eq!(summary.changes.len(), 6);
        assert_eq!(
            summary.changes[3],
            Change {
                address: "a.d".to_owned(),
                action: Action::Replace
            }
        );
    }
}
