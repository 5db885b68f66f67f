//! Looks for what is wrong with a delegate before, or while, it runs: settings, token, certificates, proxy, manager,
//! clock, log service, collector of telemetry, disk, machine, port and tools.
//!
//! [`examine`] takes the variables a delegate would be started with and returns a [`Report`]. Nothing is changed: no
//! delegate is registered, no task is taken, and a file that proves a folder writable is removed. It goes the ways the
//! agent goes (the same settings, clients and certificates), so that what works here works there. Every wait is
//! bounded; nothing fails: what cannot be looked at is a finding too.
//!
//! One file a group of checks. A group gets the [`Subject`] and adds to the report; groups do not know each other.

mod certificates;
mod disk;
mod log_service;
mod machine;
mod manager;
mod nearest;
mod network;
mod proxy;
mod report;
mod settings;
mod telemetry;
mod tls;
mod token;
mod tools;

use crate::config::{DelegateConfig, DelegateToken, Env};
use crate::protocol::http::{Http, HttpSettings};

pub use report::{Finding, Level, Report};

/// What is looked at: the variables, and what could be read of them.
struct Subject {
    env: Env,
    /// The settings; those that cannot be used are left out, so that one mistake hides no other.
    config: Option<DelegateConfig>,
    /// Whether account and manager are the user's own, not put in the place of bad ones.
    account_is_set: bool,
    /// The token, once it was read.
    token: Option<DelegateToken>,
    http: Http,
}

/// Looks at everything. Takes a second where all is well, and at most half a minute where nobody answers.
///
/// Cancellation safe: nothing is left behind but, at worst, an empty file in the working directory.
pub async fn examine(env: &Env) -> Report {
    let mut report = Report::default();
    let (config, account_is_set) = settings::look(env, &mut report);
    let mut subject = Subject {
        env: env.clone(),
        http: Http::new(config.as_ref().map(HttpSettings::from).unwrap_or_default()),
        config,
        account_is_set,
        token: None,
    };
    let Some(config) = subject.config.clone() else {
        report.skip("manager", "the settings above come first");
        return report;
    };
    subject.token = token::look(&subject, &config, &mut report);
    let usable = certificates::look(&config, &mut report);
    let way = proxy::look(&subject, &config, &mut report).await;
    if !usable {
        report.skip("manager", "the client certificate comes first");
    } else if !way {
        report.skip("manager", "the proxy comes first");
    } else if manager::look(&subject, &config, &mut report).await {
        log_service::look(&subject, &config, &mut report).await;
    } else {
        report.skip("log_service", "the manager comes first");
    }
    telemetry::look(&config, &mut report).await;
    disk::look(&subject, &config, &mut report).await;
    machine::look(&config, &mut report).await;
    tools::look(&config, &mut report);
    report
}
