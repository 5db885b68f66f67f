//! `VM_DEPLOY`: copies files to many hosts over ssh and runs a script there, wave after wave.
//!
//! A host is done when each file is there, with the digest that it has here, and the script exited with 0. Files are sent
//! beside their places and moved there when they have arrived whole; one that is there already is not sent again. When
//! more hosts failed than may, no further wave begins. The result says of each host what came of it.

mod data;
mod host;

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::allowance::Allowance;
use super::halt::Halt;
use super::ssh::{Client, PROGRAM};
use super::{About, Level, Secrets, TaskContext, TaskError, TaskKind, TaskOutput, validate};
use crate::process::Environment;
use crate::protocol::wire::CommandStatus;
use data::Data;
use host::{Deployment, HostResult, State};

/// So many hosts of a wave are worked on at a time: a connection and a process each.
const AT_ONCE: usize = 10;

/// So many failures are told in a sentence; each is in the result.
const MAX_SAID: usize = 5;

/// The kind `VM_DEPLOY`.
pub struct VmDeploy;

#[derive(Debug, Default, Serialize, JsonSchema)]
struct Fields {
    /// What came of each host, in the order of the data.
    hosts: Vec<HostResult>,
    /// How many are done.
    done: usize,
    /// How many failed, or were cut off.
    failed: usize,
    /// How many were not begun.
    not_begun: usize,
}

#[async_trait]
impl TaskKind for VmDeploy {
    fn type_name(&self) -> &'static str {
        "VM_DEPLOY"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Copies files to hosts over ssh and runs a script there, in waves, until more of them failed than may.",
            "Safe for files: what is there already is not sent again, and nothing half sent is left in its place. As safe as the \
             script, which runs again on every host.",
            json!({
                "hosts": [{"host": "app-1.example.com"}, {"host": "app-2.example.com", "port": 2222}],
                "user": "deploy",
                "login": {
                    "key": "-----BEGIN OPENSSH PRIVATE KEY-----\n<+secrets.getValue(\"account.key\")>",
                    "known_hosts": "app-1.example.com ssh-ed25519 AAAA…\n[app-2.example.com]:2222 ssh-ed25519 AAAA…\n",
                },
                "files": [{"from": {"path": "team/app/app.jar"}, "to": "/srv/app/app.jar", "mode": "0644"}],
                "script": "systemctl restart app && systemctl is-active app",
                "wave": {"percent": 50},
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn check(&self, environment: &Environment) -> Result<(), String> {
        match environment.find_program(PROGRAM) {
            Some(_) => Ok(()),
            None => Err("the program ssh is not in PATH".to_owned()),
        }
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let client = Client::lay_out(&data.login, &context).await?;
        let deployment = match Deployment::prepare(&data, &client, &context, &allowance).await {
            Ok(deployment) => deployment,
            Err(Halt::Output(output)) => {
                return Ok(output.with_fields(&Fields::of(data.hosts.iter().map(HostResult::not_begun))));
            }
            Err(Halt::Error(error)) => return Err(error),
        };
        let (results, ended) = waves(&deployment, &data, &context).await?;
        let fields = Fields::of(results);
        let output = match ended {
            Some(status) => TaskOutput::not(
                status,
                format!(
                    "the task {}; {}",
                    match status {
                        CommandStatus::Aborted => "was aborted",
                        _ => "ran out of time",
                    },
                    fields.said()
                ),
            ),
            None if fields.failed > 0 || fields.not_begun > 0 => {
                TaskOutput::not(CommandStatus::Failure, fields.said())
            }
            None => TaskOutput::success(),
        };
        Ok(output.with_vars(fields.vars()).with_fields(&fields))
    }
}

/// Returns what came of each host, and how the task ended when that was before its hosts.
async fn waves(
    deployment: &Deployment<'_>,
    data: &Data,
    context: &TaskContext,
) -> Result<(Vec<HostResult>, Option<CommandStatus>), TaskError> {
    let size = data.wave_size();
    let many = data.hosts.len().div_ceil(size);
    let mut results = Vec::with_capacity(data.hosts.len());
    let mut ended = None;
    let mut failed: usize = 0;
    for (at, wave) in data.hosts.chunks(size).enumerate() {
        if ended.is_some() || failed > data.max_failures {
            results.extend(wave.iter().map(HostResult::not_begun));
            continue;
        }
        if many > 1 {
            let said = format!("wave {} of {many}: {} hosts", at + 1, wave.len());
            context.log.line(Level::Info, &said).await;
        }
        let working: Vec<_> = wave.iter().map(|host| deployment.bring(host)).collect();
        let working: Vec<Result<_, TaskError>> = futures_util::stream::iter(working)
            .buffered(AT_ONCE)
            .collect()
            .await;
        for brought in working {
            let (result, status) = brought?;
            failed += usize::from(result.state != State::Done);
            ended = ended.or(status);
            results.push(result);
        }
        if failed > data.max_failures && at + 1 < many {
            let said = format!(
                "{failed} hosts failed, at most {} may: no further wave begins",
                data.max_failures
            );
            context.log.line(Level::Error, &said).await;
        }
    }
    Ok((results, ended))
}

impl Fields {
    fn of(hosts: impl IntoIterator<Item = HostResult>) -> Self {
        let hosts: Vec<HostResult> = hosts.into_iter().collect();
        let count = |states: &[State]| hosts.iter().filter(|host| states.contains(&host.state)).count();
        Self {
            done: count(&[State::Done]),
            failed: count(&[State::Failed, State::CutOff]),
            not_begun: count(&[State::NotBegun]),
            hosts,
        }
    }

    /// What was done, and what was not.
    fn said(&self) -> String {
        let names = |state: State| {
            let names: Vec<&str> = self
                .hosts
                .iter()
                .filter(|host| host.state == state)
                .map(|host| &*host.host)
                .collect();
            match names.len() {
                0 => "none".to_owned(),
                many if many > MAX_SAID => {
                    format!("{} and {} more", names[..MAX_SAID].join(", "), many - MAX_SAID)
                }
                _ => names.join(", "),
            }
        };
        let failures: Vec<String> = self
            .hosts
            .iter()
            .filter(|host| matches!(host.state, State::Failed | State::CutOff))
            .take(MAX_SAID)
            .map(|host| format!("{}: {}", host.host, host.error.as_deref().unwrap_or_default()))
            .collect();
        format!(
            "{} of {} hosts failed ({}); done: {}; not begun: {}",
            self.failed,
            self.hosts.len(),
            failures.join("; "),
            names(State::Done),
            names(State::NotBegun)
        )
    }

    fn vars(&self) -> BTreeMap<String, String> {
        [
            ("hosts_done", self.done),
            ("hosts_failed", self.failed),
            ("hosts_not_begun", self.not_begun),
        ]
        .map(|(name, count)| (name.to_owned(), count.to_string()))
        .into()
    }
}
