//! The `harness-delegate` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    delegate_core::cli::main()
}
