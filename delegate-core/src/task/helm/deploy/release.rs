//! A release: its history, and what is done to it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::data::Data;
use super::report::{Report, Status};
use crate::task::halt::Halt;
use crate::task::helm::program::{Helm, failure};
use crate::task::tool::Answer;
use crate::task::{Level, TaskContext};

/// So many revisions are looked at: more than anybody keeps.
const LOOKED_AT: &str = "256";

/// One of its revisions.
#[derive(Debug, Deserialize)]
pub(super) struct Revision {
    #[serde(rename = "revision")]
    pub(super) number: u32,
    updated: String,
    status: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) chart: String,
    pub(super) version: String,
    #[serde(rename = "appVersion", default)]
    pub(super) app_version: String,
}

pub(super) struct Release<'t> {
    pub(super) helm: &'t Helm<'t>,
    data: &'t Data,
}

impl<'t> Release<'t> {
    pub(super) fn new(helm: &'t Helm<'t>, data: &'t Data) -> Self {
        Self { helm, data }
    }

    pub(super) fn context(&self) -> &TaskContext {
        self.helm.context()
    }

    /// The arguments by which an operation waits.
    pub(super) fn waiting(&self) -> Vec<String> {
        self.waiting_for(self.data.timeout())
    }

    fn waiting_for(&self, time: Duration) -> Vec<String> {
        let mut args = vec!["--timeout".to_owned(), format!("{}s", time.as_secs())];
        args.extend(self.data.wait.unwrap_or(true).then(|| "--wait".to_owned()));
        args
    }

    /// Its revisions, the newest last; none where there is no release.
    pub(super) async fn history(&self) -> Result<Vec<Revision>, Halt> {
        let doing = "looking at the release";
        let asked = [
            "history",
            &self.data.release,
            "--max",
            LOOKED_AT,
            "--output",
            "json",
        ];
        match self.helm.read(self.helm.command(asked), doing).await? {
            Ok(history) => Ok(history),
            Err(complaint) if complaint.contains("release: not found") => Ok(Vec::new()),
            Err(complaint) => Err(failure(doing, &complaint)),
        }
    }

    /// How it stands.
    pub(super) async fn report(&self) -> Result<Report, Halt> {
        let doing = "looking at the release";
        let mut asked = vec!["status", &self.data.release, "--output", "json"];
        if self.helm.major == 3 {
            // Helm 4 always does.
            asked.push("--show-resources");
        }
        match self.helm.read::<Status>(self.helm.command(asked), doing).await? {
            Ok(status) => Ok(Report::of(status)),
            Err(complaint) => Err(failure(doing, &complaint)),
        }
    }

    pub(super) async fn metadata(&self) -> Result<Metadata, Halt> {
        let doing = "looking at the release";
        let asked = ["get", "metadata", &self.data.release, "--output", "json"];
        match self.helm.read(self.helm.command(asked), doing).await? {
            Ok(metadata) => Ok(metadata),
            Err(complaint) => Err(failure(doing, &complaint)),
        }
    }

    /// Puts a release in order that helm would refuse to upgrade. Says what was wrong, if anything was.
    pub(super) async fn recover(&self, history: &[Revision]) -> Result<Option<String>, Halt> {
        let Some(newest) = history.last() else {
            return Ok(None);
        };
        self.nobody_is_at_it(newest)?;
        let good = last_good(history);
        let (what, remedy) = match (newest.status.as_str(), good) {
            (status, Some(good)) if is_pending(status) => (
                format!("revision {} was left {status}", newest.number),
                Some(good),
            ),
            (status, None) if is_pending(status) || status == "failed" => (
                format!("no revision ever was good, the last one is {status}"),
                None,
            ),
            ("uninstalling", _) => ("an uninstallation was left half done".to_owned(), None),
            _ => return Ok(None),
        };
        let said = match remedy {
            Some(good) => format!("{what}: going back to revision {good} first"),
            None => format!("{what}: uninstalling it first"),
        };
        self.context().log.line(Level::Warn, &said).await;
        let (doing, done) = match remedy {
            Some(good) => ("putting the release in order", self.roll_back(good).await?),
            None => ("putting the release in order", self.uninstall().await?),
        };
        match done {
            Ok(()) => Ok(Some(said)),
            Err(complaint) => Err(failure(doing, &complaint)),
        }
    }

    /// Refuses what somebody else works on right now.
    fn nobody_is_at_it(&self, newest: &Revision) -> Result<(), Halt> {
        if !is_pending(&newest.status) || age(&newest.updated) >= Some(self.data.pending()) {
            return Ok(());
        }
        Err(Halt::failed(format!(
            "another operation of helm works on the release since {} ({}); wait for it, or set `pending` when you know that it was killed",
            newest.updated, newest.status
        )))
    }

    /// Goes back to the revision that was asked for, or to the last good one before the newest.
    pub(super) async fn roll_back_on_request(
        &self,
        revision: Option<std::num::NonZeroU32>,
    ) -> Result<u32, Halt> {
        let doing = "rolling the release back";
        let history = self.history().await?;
        let Some(newest) = history.last() else {
            return Err(Halt::failed(format!("{doing} failed: there is no such release")));
        };
        self.nobody_is_at_it(newest)?;
        let to = match revision {
            Some(revision) => revision.get(),
            None => match last_good(&history[..history.len() - 1]) {
                Some(revision) => revision,
                None => {
                    return Err(Halt::failed(format!(
                        "{doing} failed: it has no good revision before {}",
                        newest.number
                    )));
                }
            },
        };
        match self.roll_back(to).await? {
            Ok(()) => Ok(to),
            Err(complaint) => Err(failure(doing, &complaint)),
        }
    }

    pub(super) async fn roll_back(&self, revision: u32) -> Result<Answer<()>, Halt> {
        let mut args = vec![
            "rollback".to_owned(),
            self.data.release.clone(),
            revision.to_string(),
        ];
        args.extend(self.waiting_for(self.data.rollback_timeout()));
        args.extend(["--history-max".to_owned(), self.data.max_history().to_string()]);
        self.helm
            .run(self.helm.command(args), "rolling the release back")
            .await
    }

    /// Returns whether there was one.
    pub(super) async fn uninstall_if_there(&self) -> Result<bool, Halt> {
        let history = self.history().await?;
        let Some(newest) = history.last() else {
            let said = format!("there is no release {}", self.data.release);
            self.context().log.line(Level::Info, &said).await;
            return Ok(false);
        };
        self.nobody_is_at_it(newest)?;
        match self.uninstall().await? {
            Ok(()) => Ok(true),
            Err(complaint) => Err(failure("uninstalling the release", &complaint)),
        }
    }

    pub(super) async fn uninstall(&self) -> Result<Answer<()>, Halt> {
        let mut args = vec!["uninstall".to_owned(), self.data.release.clone()];
        args.extend(self.waiting());
        self.helm
            .run(self.helm.command(args), "uninstalling the release")
            .await
    }
}

/// The newest revision that was good once.
pub(super) fn last_good(history: &[Revision]) -> Option<u32> {
    let good = |revision: &&Revision| matches!(revision.status.as_str(), "deployed" | "superseded");
    let deployed = history.iter().rfind(|revision| revision.status == "deployed");
    deployed
        .or_else(|| history.iter().rfind(good))
        .map(|revision| revision.number)
}

fn is_pending(status: &str) -> bool {
    status.starts_with("pending-")
}

/// How long ago that was; none for what is no time, or to come.
fn age(time: &str) -> Option<Duration> {
    let time: Timestamp = time.parse().ok()?;
    Timestamp::now().duration_since(time).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(statuses: &[&str]) -> Vec<Revision> {
        let revision = |(at, status): (usize, &&str)| Revision {
            number: u32::try_from(at + 1).unwrap(),
            updated: String::new(),
            status: (*status).to_owned(),
        };
        statuses.iter().enumerate().map(revision).collect()
    }

    #[test]
    fn the_last_good_revision_is_the_deployed_one_or_the_last_that_was_replaced() {
        for (statuses, good) in [
            (&["superseded", "deployed", "failed"][..], Some(2)),
            (&["superseded", "superseded", "failed"], Some(2)),
            (&["failed", "pending-upgrade"], None),
            (&[], None),
        ] {
            assert_eq!(last_good(&history(statuses)), good, "{statuses:?}");
        }
    }

    #[test]
    fn a_time_that_is_none_is_of_no_age() {
        assert!(age("2020-01-01T00:00:00.123456789Z").unwrap() > Duration::from_hours(24));
        assert_eq!(age(""), None);
        assert_eq!(age("2999-01-01T00:00:00Z"), None);
    }
}
