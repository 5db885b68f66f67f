//! The doctor against real faults: servers with bad certificates, proxies that refuse, full disks, revoked tokens.
//!
//! Each fault is made for real, beside an otherwise healthy delegate, and must be found: it, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

mod certificates;
mod faults;
mod network;
mod program;
mod site;
#[path = "../support/mod.rs"]
mod support;

use std::any::Any;
use std::collections::BTreeMap;

use delegate_core::config::Env;
use delegate_core::doctor::{Level, Report, examine};
use futures_util::StreamExt as _;
use support::real_manager::RealManager;
use support::{TOKEN, Watchdog};

/// Faults looked for at a time.
const AT_ONCE: usize = 8;

/// The settings of a delegate, and what has to stay while it is looked at.
struct Patient {
    vars: BTreeMap<String, String>,
    dir: tempfile::TempDir,
    kept: Vec<Box<dyn Any + Send>>,
}

impl Patient {
    /// A healthy delegate of this manager.
    fn of(manager: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let patient = Self {
            vars: BTreeMap::new(),
            dir,
            kept: Vec::new(),
        };
        let working_dir = patient.path("work");
        patient
            .with("ACCOUNT_ID", "acc")
            .with("DELEGATE_NAME", "tested")
            .with("DELEGATE_TOKEN", TOKEN)
            .with("MANAGER_HOST_AND_PORT", manager)
            .with("WORKING_DIR", working_dir)
            .with("DELEGATE_HTTP_HOST", "127.0.0.1")
            .with("DELEGATE_HTTP_PORT", "0")
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.vars.insert(name.to_owned(), value.into());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.vars.remove(name);
        self
    }

    /// Keeps something alive as long as the patient.
    fn keeping(mut self, what: impl Any + Send) -> Self {
        self.kept.push(Box::new(what));
        self
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file beside the working directory and returns its path.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    async fn examine(&self) -> Report {
        examine(&self.vars.clone().into_iter().collect::<Env>()).await
    }
}

/// A fault and what must be found: its check, how much it matters, and words of the finding or its remedy.
struct Fault {
    name: &'static str,
    patient: Patient,
    check: &'static str,
    level: Level,
    says: &'static str,
}

impl Fault {
    fn problem(name: &'static str, patient: Patient, check: &'static str, says: &'static str) -> Self {
        Self {
            name,
            patient,
            check,
            level: Level::Problem,
            says,
        }
    }

    fn warning(name: &'static str, patient: Patient, check: &'static str, says: &'static str) -> Self {
        Self {
            level: Level::Warning,
            ..Self::problem(name, patient, check, says)
        }
    }
}

/// What there is to be done, one line a finding.
fn complaints(report: &Report) -> Vec<String> {
    let line = |finding: &delegate_core::doctor::Finding| {
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        format!(
            "{:?} {}: {} -> {remedy}",
            finding.level, finding.check, finding.found
        )
    };
    let complains = |finding: &&delegate_core::doctor::Finding| finding.level >= Level::Warning;
    report.findings().iter().filter(complains).map(line).collect()
}

/// Looks for all of these, and tells every one that was not found as it should be.
async fn find_all(faults: Vec<Fault>) {
    let looked = futures_util::stream::iter(faults)
        .map(|fault| async move {
            let report = fault.patient.examine().await;
            let found = complaints(&report);
            let expected = format!("{:?} {}: ", fault.level, fault.check);
            let exact = matches!(&*found, [one] if one.starts_with(&expected) && one.contains(fault.says));
            let leaks = report.to_json().to_string().contains(TOKEN);
            let healthy = report.is_healthy() == (fault.level == Level::Warning);
            (!exact || leaks || !healthy).then(|| {
                format!(
                    "{}: expected {expected}…{}…, found {found:#?}",
                    fault.name, fault.says
                )
            })
        })
        .buffer_unordered(AT_ONCE);
    let missed: Vec<String> = looked.filter_map(async |missed| missed).collect().await;
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn a_healthy_delegate_has_no_finding_and_every_check_was_made() {
    let _watchdog = Watchdog::start("healthy");
    let manager = RealManager::start().await;
    // What is passed to tasks as a secret has a name of the owner's choice.
    let patient = Patient::of(&manager.url)
        .with("DELEGATE_SECRETS_ENV_PREFIX", "DELEGATE_TASK_SECRET_")
        .with("DELEGATE_TASK_SECRET_DB", "hunter2");
    let report = patient.examine().await;
    assert_eq!(complaints(&report), [""; 0]);
    assert!(!report.to_json().to_string().contains("hunter2"));
    let checks: Vec<_> = report
        .findings()
        .iter()
        .filter(|finding| finding.level == Level::Ok)
        .map(|finding| finding.check)
        // A machine without these figures is healthy too.
        .filter(|check| !check.starts_with("machine."))
        .collect();
    assert_eq!(
        checks,
        [
            "settings.values",
            "token.value",
            "manager.connection",
            "manager.answer",
            "manager.clock",
            "manager.token",
            "log_service",
            "port",
            "disk.working_dir",
            "disk.space",
            "disk.temporary",
            "tools.shell",
            "tools.kinds",
        ]
    );
}

#[tokio::test]
async fn every_fault_of_the_settings_and_the_machine_is_found_and_nothing_else() {
    let _watchdog = Watchdog::start("faults");
    let manager = RealManager::start().await;
    find_all(faults::seeded(&manager).await).await;
}

#[tokio::test]
async fn every_fault_of_certificates_is_found_and_nothing_else() {
    let _watchdog = Watchdog::start("certificates");
    find_all(certificates::seeded()).await;
}

#[tokio::test]
async fn every_fault_on_the_way_to_the_manager_is_found_and_nothing_else() {
    let _watchdog = Watchdog::start("network");
    let manager = RealManager::start().await;
    find_all(network::seeded(&manager)).await;
}
