//! `harness-delegate doctor`: says what is wrong, and what to do.

use std::process::ExitCode;

use clap::Args;

use super::api::{print, print_json};
use super::{complain, run};
use crate::doctor;

/// Check settings, token, manager, clock, proxy, certificates, disk and tools, and say what to do about what is wrong.
///
/// Takes the settings that `run` takes. Exit 0 when the delegate works, warnings included; 1 when something has to be
/// done.
#[derive(Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    run: run::RunArgs,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn doctor(args: &Doctor) -> ExitCode {
    let env = match run::read_env(&args.run) {
        Ok(env) => env,
        Err(problem) => {
            complain(problem);
            return super::ExitCode::BadConfiguration.into();
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = match runtime {
        Ok(runtime) => {
            let report = runtime.block_on(doctor::examine(&env));
            // A name service that does not answer keeps a thread.
            runtime.shutdown_background();
            report
        }
        Err(problem) => {
            complain(format_args!("the runtime could not be started: {problem}"));
            return super::ExitCode::Unexpected.into();
        }
    };
    let printed = if args.json {
        print_json(&report.to_json())
    } else {
        print(&format!("{report}\n"))
    };
    if let Err(failure) = printed {
        complain(failure);
    }
    if report.is_healthy() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
