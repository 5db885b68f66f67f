//! Watching a service until it is steady, or shows that it will not be.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::call::{Service, State};
use crate::aws::AwsError;
use crate::task::{Level, LogWriter};

/// Between the first two looks; twice as long each time, up to [`SLOWEST`]: a service that is steady at once is not waited
/// for, and a slow one costs few calls.
const QUICKEST: Duration = Duration::from_millis(500);

/// Between two looks at most. AWS's own programs look every 15 s.
const SLOWEST: Duration = Duration::from_secs(8);

/// Of the events of one deployment, so many are returned: those of a deployment that fails repeat themselves.
const RETURNED_EVENTS: usize = 50;

/// Watches one deployment of a service.
pub(super) struct Watch<'t> {
    service: &'t Service<'t>,
    log: &'t LogWriter,
    deployment: String,
    /// Events that are told, or older than the deployment.
    told: BTreeSet<String>,
    /// What was told, the oldest first.
    pub(super) events: Vec<String>,
    shown: String,
}

/// How it ended.
pub(super) enum End {
    /// It is steady.
    Steady(State),
    /// It is not, for this reason.
    Not(State, String),
}

impl<'t> Watch<'t> {
    /// Of the primary deployment of a service that was just told what to be. `before`: how it was, or nothing.
    pub(super) fn new(
        service: &'t Service<'t>,
        log: &'t LogWriter,
        before: Option<&State>,
        now: &State,
    ) -> Self {
        let primary = now.primary().map(|deployment| deployment.id.clone());
        Self {
            service,
            log,
            deployment: primary.unwrap_or_default(),
            told: before
                .into_iter()
                .flat_map(|state| &state.events)
                .map(|event| event.id.clone())
                .collect(),
            events: Vec::new(),
            shown: String::new(),
        }
    }

    pub(super) fn deployment(&self) -> &str {
        &self.deployment
    }

    /// Waits for the end of the deployment, for so long at most.
    pub(super) async fn end(&mut self, patience: Duration) -> Result<End, AwsError> {
        let end = Instant::now().checked_add(patience);
        let mut pause = QUICKEST;
        loop {
            let Some(state) = self.service.look().await? else {
                return Ok(End::Not(State::default(), "the service was deleted".to_owned()));
            };
            self.tell(&state).await;
            match judge(&state, &self.deployment) {
                Ok(true) => return Ok(End::Steady(state)),
                Ok(false) => {}
                Err(reason) => return Ok(self.not(state, reason).await),
            }
            if end.is_some_and(|end| Instant::now() + pause > end) {
                let reason = format!("it was not steady within {patience:?}: {}", summary(&state));
                return Ok(self.not(state, reason).await);
            }
            sleep(pause).await;
            pause = (pause * 2).min(SLOWEST);
        }
    }

    /// Why tasks were stopped helps, and is no reason to fail otherwise.
    async fn not(&self, state: State, mut reason: String) -> End {
        for why in self.service.why_stopped().await.unwrap_or_default() {
            reason.push_str(&format!("; a task was stopped: {why}"));
        }
        End::Not(state, reason)
    }

    async fn tell(&mut self, state: &State) {
        for event in state.events.iter().rev() {
            if self.told.insert(event.id.clone()) {
                self.log.line(Level::Info, &event.message).await;
                if self.events.len() < RETURNED_EVENTS {
                    self.events.push(event.message.clone());
                }
            }
        }
        let summary = summary(state);
        if summary != self.shown {
            self.log.line(Level::Info, &summary).await;
            self.shown = summary;
        }
    }
}

/// Whether it is steady; the error says why it will not be.
fn judge(state: &State, deployment: &str) -> Result<bool, String> {
    let ours = state.deployments.iter().find(|known| known.id == deployment);
    if let Some(ours) = ours.filter(|ours| ours.rollout == "FAILED") {
        return Err(format!("ECS gave the deployment up: {}", ours.reason));
    }
    let Some(primary) = state.primary() else {
        return Err(
            "the service has no deployment of its own; something else than ECS deploys it".to_owned(),
        );
    };
    if primary.id != deployment {
        return Err(match ours {
            Some(_) => "another deployment of the service has begun".to_owned(),
            None => {
                "another deployment has taken its place: ECS rolled it back, or somebody deployed".to_owned()
            }
        });
    }
    let complete = matches!(&*primary.rollout, "COMPLETED" | "");
    Ok(complete && state.deployments.len() == 1 && state.running == state.desired)
}

fn summary(state: &State) -> String {
    let mut text = format!(
        "{} of {} tasks run, {} to start",
        state.running, state.desired, state.pending
    );
    if let Some(primary) = state.primary() {
        if primary.failed_tasks > 0 {
            text.push_str(&format!(", {} failed", primary.failed_tasks));
        }
        if !primary.reason.is_empty() {
            text.push_str(&format!("; {}", primary.reason.trim_end_matches('.')));
        }
    }
    let old = state.deployments.len().saturating_sub(1);
    if old > 0 {
        text.push_str(&format!("; tasks of {old} older deployments are not all gone"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::call::Deployment;
    use super::*;

    fn deployment(id: &str, is_primary: bool, rollout: &str) -> Deployment {
        Deployment {
            id: id.to_owned(),
            is_primary,
            rollout: rollout.to_owned(),
            reason: "a reason.".to_owned(),
            failed_tasks: 0,
        }
    }

    fn state(running: u64, deployments: Vec<Deployment>) -> State {
        State {
            desired: 2,
            running,
            deployments,
            ..State::default()
        }
    }

    #[test]
    fn a_service_is_steady_when_all_it_runs_is_the_newest_deployment() {
        for (state, wanted) in [
            (state(2, vec![deployment("new", true, "COMPLETED")]), Ok(true)),
            (state(2, vec![deployment("new", true, "")]), Ok(true)),
            (state(1, vec![deployment("new", true, "COMPLETED")]), Ok(false)),
            (state(2, vec![deployment("new", true, "IN_PROGRESS")]), Ok(false)),
            (
                state(
                    2,
                    vec![
                        deployment("new", true, "COMPLETED"),
                        deployment("old", false, "COMPLETED"),
                    ],
                ),
                Ok(false),
            ),
            (
                state(2, vec![deployment("new", true, "FAILED")]),
                Err("gave the deployment up: a reason."),
            ),
            (
                state(
                    2,
                    vec![
                        deployment("old", true, "IN_PROGRESS"),
                        deployment("new", false, "FAILED"),
                    ],
                ),
                Err("gave the deployment up"),
            ),
            (
                state(
                    2,
                    vec![
                        deployment("newer", true, "IN_PROGRESS"),
                        deployment("new", false, ""),
                    ],
                ),
                Err("another deployment of the service has begun"),
            ),
            (
                state(2, vec![deployment("newer", true, "COMPLETED")]),
                Err("has taken its place"),
            ),
            (state(2, Vec::new()), Err("something else than ECS")),
        ] {
            match (judge(&state, "new"), wanted) {
                (Ok(steady), Ok(wanted)) => assert_eq!(steady, wanted, "{state:?}"),
                (Err(reason), Err(words)) => assert!(reason.contains(words), "{reason}"),
                (judged, _) => panic!("{judged:?}: {state:?}"),
            }
        }
    }
}
