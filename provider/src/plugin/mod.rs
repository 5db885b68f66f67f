//! Being a Terraform plugin: how a process that Terraform or OpenTofu starts becomes a gRPC server they can talk to.
//!
//! The room knows the go-plugin contract and the wire types, and nothing of what the provider does: an
//! implementation of [`proto::tfplugin6::provider_server::Provider`] comes in, an exit status goes out. It can be
//! lifted out and used under another provider.
//!
//! ```no_run
//! use harness_provider::plugin::{self, ServeOptions, proto::tfplugin6::provider_server::Provider};
//! # struct MyProvider;
//! # impl Provider for MyProvider {}
//!
//! fn main() -> std::process::ExitCode {
//!     let options = ServeOptions {
//!         name: "mine",
//!         version: "1.0.0",
//!         source: "registry.terraform.io/me/mine",
//!         log_targets: &["my_crate"],
//!     };
//!     plugin::run(options, std::env::args_os().skip(1), |_stop| MyProvider)
//! }
//! ```
//!
//! # Who starts what
//!
//! [`run`] is the process: panic hook, log, runtime, [`serve`], exit status. `serve` is one server's life:
//!
//! | step | file | ends when |
//! |---|---|---|
//! | read the environment, check the cookie | `host`, `handshake` | at once |
//! | make a certificate, pin the host's | `tls` | at once |
//! | listen in a private directory | `listener` | the server is dropped, and the directory with it |
//! | print the one line on stdout | `handshake` | at once |
//! | accept task, one task a TLS handshake | `connection` | the server stops taking connections, or the deadline |
//! | one task a call of the provider | `dispatch` | the call returns, or the grace after the end is over |
//! | controller, broker, standard streams, health | `services` | the server ends |
//! | watch signals and the parent | `lifetime` | the process |
//!
//! # How it ends and how it fails
//!
//! The host's `Shutdown` ends the process with status 0 within a second; so do, within five, SIGTERM and the death
//! of the host. In each case the [`StopSignal`] fires first. `StopProvider`, which the provider's own implementation
//! answers with [`StopSignal::stop`], ends nothing but the work in flight. What keeps the server from starting is a
//! [`ServeError`], printed on stderr, status 1. A panic in a call is an error of that call ([`guard`]).

mod connection;
mod debug;
mod dispatch;
mod handshake;
mod host;
mod lifetime;
mod listener;
mod logging;
mod panic;
pub mod proto;
mod server;
mod services;
mod stop;
mod tls;

use std::{
    error::Error,
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

pub use self::{
    debug::{Attachable, REATTACH_VARIABLE},
    handshake::HandshakeError,
    host::HostEnv,
    listener::ListenError,
    panic::{PanicReport, guard},
    stop::{AtEnd, StopSignal},
    tls::TlsError,
};
use self::{
    lifetime::{Parent, Signals},
    logging::Reader,
    proto::tfplugin6::provider_server::Provider,
    server::{Ownership, Server},
};

/// Threads that answer calls. Calls wait for networks and child processes, they do not compute; a second thread
/// keeps one that does compute from holding up `StopProvider` and `Shutdown`.
const WORKER_THREADS: usize = 2;

/// What the plugin layer needs to know about the provider it serves.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// The provider's local name: `harness` of `terraform-provider-harness`, and in `TF_LOG_PROVIDER_HARNESS`.
    pub name: &'static str,
    /// What `--version` prints.
    pub version: &'static str,
    /// The source address under which Terraform finds a provider served with `--debug`.
    pub source: &'static str,
    /// The crates whose log lines are shown at the level the user asks for; others are heard from WARN on.
    pub log_targets: &'static [&'static str],
}

/// Why the provider could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The process that started us is no host for us.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// There is no place for the host to connect to.
    #[error("The provider cannot listen for Terraform")]
    Listen(#[from] ListenError),
    /// TLS could not be set up.
    #[error("The provider cannot set up TLS with Terraform")]
    Tls(#[from] TlsError),
    /// The handshake line could not be written: the host is gone.
    #[error("The provider cannot tell Terraform its address")]
    Announce(#[source] io::Error),
    /// The async runtime or its signal handling failed.
    #[error("The provider cannot start its runtime")]
    Runtime(#[source] io::Error),
    /// The gRPC server failed.
    #[error("The connection to Terraform failed")]
    Transport(#[source] tonic::transport::Error),
}

/// Serves a provider for the life of the process: what `main` does.
///
/// `arguments` are the program's own, without its name. With none of them the process serves the host that started
/// it; `--debug` serves whoever attaches, and `--version` prints the version. `provider` is made once, with the signal that its `StopProvider` is to fire.
pub fn run<P: Provider>(
    options: ServeOptions,
    arguments: impl IntoIterator<Item = OsString>,
    provider: impl FnOnce(StopSignal) -> P,
) -> ExitCode {
    let parent = Parent::now();
    let mode = match Mode::from_arguments(arguments) {
        Ok(Mode::Version) => return print_version(&options),
        Ok(mode) => mode,
        Err(unknown) => {
            complain(&format!(
                "There is no argument `{unknown}`; known are --debug and --version."
            ));
            return ExitCode::FAILURE;
        }
    };
    panic::install_hook();
    let reader = if mode == Mode::Debug {
        Reader::Person
    } else {
        Reader::Host
    };
    logging::install(reader, options.name, options.log_targets);

    let result = handshake_first(mode).and_then(|env| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .enable_all()
            .build()
            .map_err(ServeError::Runtime)?;
        let stop = StopSignal::new();
        let provider = provider(stop.clone());
        let result = runtime.block_on(serve(provider, &options, mode, &env, &stop, parent));
        // A call that blocks a thread must not keep a process alive that everybody has left.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// How the process was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// By a host, for that host.
    Hosted,
    /// By a person, for whoever attaches.
    Debug,
    /// By a person who only asks.
    Version,
}

impl Mode {
    fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut mode = Self::Hosted;
        for argument in arguments {
            mode = match argument.to_str() {
                Some("--debug" | "-debug") => Self::Debug,
                Some("--version") => Self::Version,
                _ => return Err(argument.to_string_lossy().into_owned()),
            };
        }
        Ok(mode)
    }
}

/// The host's environment, checked before anything is started. Debug serving has no host.
fn handshake_first(mode: Mode) -> Result<HostEnv, ServeError> {
    if mode == Mode::Debug {
        return Ok(HostEnv::default());
    }
    let env = HostEnv::from_process();
    handshake::check(&env)?;
    Ok(env)
}

/// Serves until the host asks for the end, or nobody needs us any more.
async fn serve<P: Provider>(
    provider: P,
    options: &ServeOptions,
    mode: Mode,
    env: &HostEnv,
    stop: &StopSignal,
    parent: Parent,
) -> Result<(), ServeError> {
    // Before the line: from then on the host is there, and so is its Ctrl-C.
    let signals = Signals::take().map_err(ServeError::Runtime)?;
    let server = Server::bind(env)?;
    if mode == Mode::Debug {
        let value = debug::reattach(options.source, &server);
        let line = format!("{REATTACH_VARIABLE}='{value}'");
        handshake::announce(io::stdout(), &line).map_err(ServeError::Announce)?;
        tracing::info!("serving until Ctrl-C; run terraform with the variable printed on stdout");
        return server
            .run(provider, Ownership::Nobody, stop, signals.debug_ending())
            .await;
    }
    handshake::announce(io::stdout(), &server.handshake_line(env)).map_err(ServeError::Announce)?;
    tracing::debug!(?env, version = options.version, "serving the host");
    server
        .run(provider, Ownership::Host, stop, signals.hosted_ending(parent))
        .await
}

fn print_version(options: &ServeOptions) -> ExitCode {
    let text = format!("terraform-provider-{} {}\n", options.name, options.version);
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// An error and what caused it, on one line; each cause is said once.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Tells a person, whether or not there is a log.
fn complain(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}
