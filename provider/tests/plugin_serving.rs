//! What the layer does around a provider's calls: sizes, stops, panics, hosts that go away.
//!
//! Most of it against a provider in this process, which Terraform could attach to. What concerns the process as a
//! whole, the panic hook, runs this test program once more as a provider ([`process_of_the_fixture`]).

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]

#[path = "support/plugin_client.rs"]
mod plugin_client;

use std::{process::ExitCode, time::Duration};

use bytes::Bytes;
use harness_provider::plugin::{
    self, Attachable, ServeOptions, StopSignal, guard,
    proto::{
        plugin::{Empty, grpc_controller_client::GrpcControllerClient},
        tfplugin6::{self as wire, provider_client::ProviderClient, provider_server::Provider},
    },
};
use plugin_client::{Handshake, PluginProcess, Show, host_command, patiently};
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status, transport::Channel};

const SOURCE: &str = "terraform.local/test/fixture";
const OPTIONS: ServeOptions = ServeOptions {
    name: "fixture",
    version: "0.0.0",
    source: SOURCE,
    log_targets: &["plugin_serving"],
};
/// Makes this test program a provider.
const AS_PROVIDER: &str = "PLUGIN_SERVING_FIXTURE";

/// A provider with one call for each thing to see.
struct Fixture {
    stop: StopSignal,
    /// Told when a waiting call has begun, and when it has ended.
    events: mpsc::UnboundedSender<&'static str>,
}

#[tonic::async_trait]
impl Provider for Fixture {
    /// Waits until it is stopped, and then still has an answer.
    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Result<Response<wire::apply_resource_change::Response>, Status> {
        let stopped = self.stop.token();
        let _ = self.events.send("begun");
        stopped.cancelled().await;
        let _ = self.events.send("stopped");
        let new_state = request.into_inner().prior_state;
        Ok(Response::new(wire::apply_resource_change::Response {
            new_state,
            ..Default::default()
        }))
    }

    async fn stop_provider(
        &self,
        _request: Request<wire::stop_provider::Request>,
    ) -> Result<Response<wire::stop_provider::Response>, Status> {
        self.stop.stop();
        Ok(Response::new(wire::stop_provider::Response::default()))
    }

    /// Gives back the state it got.
    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Result<Response<wire::read_resource::Response>, Status> {
        tracing::info!(target: "plugin_serving", "read");
        let new_state = request.into_inner().current_state;
        Ok(Response::new(wire::read_resource::Response {
            new_state,
            ..Default::default()
        }))
    }

    /// Panics, and nobody catches it.
    async fn read_data_source(
        &self,
        _request: Request<wire::read_data_source::Request>,
    ) -> Result<Response<wire::read_data_source::Response>, Status> {
        panic!("unforeseen\nthing");
    }

    /// Panics, and catches it as a provider should.
    async fn call_function(
        &self,
        _request: Request<wire::call_function::Request>,
    ) -> Result<Response<wire::call_function::Response>, Status> {
        let call = async { panic!("guarded thing") };
        let report = guard("CallFunction", call)
            .await
            .map(|never: std::convert::Infallible| match never {});
        let error = wire::FunctionError {
            text: report.expect_err("it panics").to_string(),
            ..Default::default()
        };
        Ok(Response::new(wire::call_function::Response {
            result: None,
            error: Some(error),
        }))
    }
}

/// The provider in this process, and a connection to it.
struct Served {
    server: Attachable,
    stop: StopSignal,
    handshake: Handshake,
    events: mpsc::UnboundedReceiver<&'static str>,
}

impl Served {
    fn start() -> Self {
        let stop = StopSignal::new();
        let (sender, events) = mpsc::unbounded_channel();
        let fixture = Fixture {
            stop: stop.clone(),
            events: sender,
        };
        let server = Attachable::start(fixture, SOURCE, stop.clone()).expect("it serves");
        let value: serde_json::Value = serde_json::from_str(server.reattach()).expect("JSON");
        let address = value[SOURCE]["Addr"]["String"]
            .as_str()
            .expect("an address")
            .to_owned();
        let handshake = Handshake::parse(&format!("1|6|unix|{address}|grpc|"));
        Self {
            server,
            stop,
            handshake,
            events,
        }
    }

    async fn channel(&self) -> Channel {
        patiently("a connection", self.handshake.connect(Show::Plain))
            .await
            .expect("a connection")
    }

    async fn event(&mut self) -> &'static str {
        patiently("the call", self.events.recv())
            .await
            .expect("the fixture lives")
    }
}

fn state(bytes: impl Into<Bytes>) -> wire::DynamicValue {
    wire::DynamicValue {
        msgpack: bytes.into(),
        json: Bytes::new(),
    }
}

/// A client without the library's own limit, as hosts are.
fn client(channel: Channel) -> ProviderClient<Channel> {
    ProviderClient::new(channel).max_decoding_message_size(usize::MAX)
}

async fn read(channel: Channel, state: wire::DynamicValue) -> Result<Bytes, Status> {
    let request = wire::read_resource::Request {
        current_state: Some(state),
        ..Default::default()
    };
    let response = patiently("an answer", client(channel).read_resource(request)).await?;
    Ok(response.into_inner().new_state.expect("a state").msgpack)
}

fn apply(
    channel: Channel,
) -> tokio::task::JoinHandle<Result<Response<wire::apply_resource_change::Response>, Status>> {
    let request = wire::apply_resource_change::Request {
        prior_state: Some(state("partial")),
        ..Default::default()
    };
    tokio::spawn(async move { client(channel).apply_resource_change(request).await })
}

#[tokio::test]
async fn a_message_larger_than_the_librarys_limit_passes_both_ways() {
    let served = Served::start();
    let large = Bytes::from(vec![0x5a; 5 << 20]);
    let back = read(served.channel().await, state(large.clone()))
        .await
        .expect("an answer");
    assert!(back == large, "{} bytes came back", back.len());
}

#[tokio::test]
async fn a_stop_ends_the_wait_of_running_calls_delivers_their_answers_and_spares_later_calls() {
    let mut served = Served::start();
    let channel = served.channel().await;
    let first = apply(channel.clone());
    assert_eq!(served.event().await, "begun");

    client(channel.clone())
        .stop_provider(wire::stop_provider::Request {})
        .await
        .expect("an answer");

    let answer = patiently("the stopped call", first)
        .await
        .expect("no panic")
        .expect("an answer")
        .into_inner();
    assert_eq!(answer.new_state, Some(state("partial")));
    assert_eq!(served.event().await, "stopped");

    let second = apply(channel.clone());
    assert_eq!(served.event().await, "begun");
    // An answer to another call is proof that the second had its chance to see a stop.
    read(channel.clone(), state("x")).await.expect("an answer");
    assert!(!second.is_finished(), "a stop lasted");
    client(channel)
        .stop_provider(wire::stop_provider::Request {})
        .await
        .expect("an answer");
    patiently("the second call", second)
        .await
        .expect("no panic")
        .expect("an answer");
}

#[tokio::test]
async fn a_call_whose_host_goes_away_is_stopped_and_not_dropped() {
    let mut served = Served::start();
    let call = apply(served.channel().await);
    assert_eq!(served.event().await, "begun");
    call.abort();
    assert!(call.await.expect_err("aborted").is_cancelled());
    // While another host talks, the server sees that the first is gone.
    for _ in 0..3 {
        read(served.channel().await, state("x")).await.expect("an answer");
    }

    patiently("the server's end", served.server.end())
        .await
        .expect("it ends well");
    assert_eq!(served.events.recv().await, Some("stopped"));
    assert!(!served.handshake.socket_directory().exists());
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_heed_the_stop_cannot_keep_the_server_up() {
    struct Deaf(mpsc::UnboundedSender<&'static str>);
    #[tonic::async_trait]
    impl Provider for Deaf {
        async fn apply_resource_change(
            &self,
            _request: Request<wire::apply_resource_change::Request>,
        ) -> Result<Response<wire::apply_resource_change::Response>, Status> {
            let _ = self.0.send("begun");
            std::future::pending().await
        }
    }
    let (sender, mut events) = mpsc::unbounded_channel();
    let server = Attachable::start(Deaf(sender), SOURCE, StopSignal::new()).expect("it serves");
    let value: serde_json::Value = serde_json::from_str(server.reattach()).expect("JSON");
    let address = value[SOURCE]["Addr"]["String"].as_str().expect("an address");
    let channel = Handshake::parse(&format!("1|6|unix|{address}|grpc|"))
        .connect(Show::Plain)
        .await;
    let call = apply(channel.expect("a connection"));
    assert_eq!(events.recv().await, Some("begun"));

    let begin = tokio::time::Instant::now();
    server.end().await.expect("it ends well");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    call.abort();
}

#[tokio::test]
async fn a_panic_ends_its_own_call_and_nothing_else() {
    let mut served = Served::start();
    let channel = served.channel().await;
    let waiting = apply(channel.clone());
    assert_eq!(served.event().await, "begun");

    let status = client(channel.clone())
        .read_data_source(wire::read_data_source::Request::default())
        .await
        .expect_err("it panics");
    assert_eq!(status.code(), Code::Internal);
    assert!(
        status.message().contains("ReadDataSource") && status.message().contains("unforeseen thing"),
        "{status}"
    );

    served.stop.stop();
    patiently("the other call", waiting)
        .await
        .expect("no panic")
        .expect("an answer");
    read(channel, state("x")).await.expect("the connection lives");
}

#[tokio::test]
async fn calls_that_nobody_implements_are_unimplemented_and_not_errors_of_the_connection() {
    let served = Served::start();
    let channel = served.channel().await;
    let status = client(channel.clone())
        .get_functions(wire::get_functions::Request {})
        .await
        .expect_err("no such");
    assert_eq!(status.code(), Code::Unimplemented);

    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.expect("ready");
    let path = http::uri::PathAndQuery::from_static("/no.such.Service/Method");
    let codec = tonic_prost::ProstCodec::<Empty, Empty>::default();
    let status = grpc
        .unary(Request::new(Empty {}), path, codec)
        .await
        .expect_err("no such");
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("no.such.Service"), "{status}");
    read(channel, state("x")).await.expect("the connection lives");
}

#[tokio::test]
async fn an_attachable_provider_belongs_to_no_host() {
    let served = Served::start();
    for _ in 0..2 {
        let channel = served.channel().await;
        GrpcControllerClient::new(channel.clone())
            .shutdown(Empty {})
            .await
            .expect("an answer");
        read(channel, state("x")).await.expect("it serves on");
    }
}

/// Not a test: the provider process of the tests below. Does nothing when run as a test.
#[test]
fn process_of_the_fixture() {
    if std::env::var_os(AS_PROVIDER).is_none() {
        return;
    }
    let code = plugin::run(OPTIONS, [], |stop| Fixture {
        stop,
        events: mpsc::unbounded_channel().0,
    });
    assert_eq!(code, ExitCode::SUCCESS);
}

/// This program as a provider in a process of its own.
async fn fixture_process(log: &str) -> PluginProcess {
    let program = std::env::current_exe().expect("a path");
    let mut command = host_command(program, None);
    command
        .args(["process_of_the_fixture", "--exact", "--nocapture"])
        .env(AS_PROVIDER, "1")
        .env("TF_LOG_PROVIDER_FIXTURE", log)
        .env_remove("RUST_BACKTRACE");
    PluginProcess::start(&mut command).await
}

#[tokio::test]
async fn a_panic_is_one_line_on_stderr_whether_caught_or_not_and_the_process_goes_on() {
    let mut plugin = fixture_process("OFF").await;
    let channel = plugin.handshake.connect(Show::Plain).await.expect("a connection");

    let status = client(channel.clone())
        .read_data_source(wire::read_data_source::Request::default())
        .await
        .expect_err("it panics");
    let line = plugin.stderr_line().await;
    assert!(line.starts_with("panic: unforeseen thing at "), "{line}");
    let place = line.rsplit_once(" at ").expect("a place").1;
    assert!(place.contains("plugin_serving.rs:"), "{line}");
    assert!(status.message().contains(place), "{status}");

    let answer = client(channel.clone())
        .call_function(wire::call_function::Request::default())
        .await;
    let error = answer
        .expect("an answer")
        .into_inner()
        .error
        .expect("an error")
        .text;
    assert!(
        error.contains("CallFunction") && error.contains("guarded thing"),
        "{error}"
    );
    let line = plugin.stderr_line().await;
    assert!(line.starts_with("panic: guarded thing at "), "{line}");

    read(channel.clone(), state("x")).await.expect("it serves on");
    GrpcControllerClient::new(channel)
        .shutdown(Empty {})
        .await
        .expect("an answer");
    assert!(plugin.ended().await.success());
    assert_eq!(plugin.rest_of_stderr().await, "", "more than the two lines");
}

#[tokio::test]
async fn log_lines_of_calls_reach_the_host_at_the_level_of_this_provider() {
    let mut plugin = fixture_process("INFO").await;
    let channel = plugin.handshake.connect(Show::Plain).await.expect("a connection");
    read(channel, state("x")).await.expect("an answer");
    let line: serde_json::Value = serde_json::from_str(&plugin.stderr_line().await).expect("JSON");
    assert_eq!(
        (&line["@level"], &line["@message"]),
        (&"info".into(), &"read".into())
    );
}
