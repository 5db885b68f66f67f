//! When the real program ends, when it does not, and what it leaves behind.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]

#[path = "support/plugin_client.rs"]
mod plugin_client;

use std::time::{Duration, Instant};

use harness_provider::plugin::proto::{
    plugin::{
        ConnInfo, Empty, grpc_broker_client::GrpcBrokerClient, grpc_controller_client::GrpcControllerClient,
        grpc_stdio_client::GrpcStdioClient,
    },
    tfplugin6::{
        get_provider_schema::Request as SchemaRequest, provider_client::ProviderClient,
        stop_provider::Request as StopRequest,
    },
};
use nix::sys::signal::Signal;
use plugin_client::{Handshake, HostIdentity, PluginProcess, Show, host_command, patiently};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    sync::mpsc,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::transport::Channel;

const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-harness");

/// The time a host gives a plugin between `Shutdown` and SIGKILL.
const HOST_PATIENCE: Duration = Duration::from_secs(2);

async fn start() -> (PluginProcess, Channel) {
    let identity = HostIdentity::new();
    let plugin = PluginProcess::start(&mut host_command(PROGRAM, Some(&identity))).await;
    let channel = plugin
        .handshake
        .connect(Show::Certificate(&identity))
        .await
        .expect("a connection");
    (plugin, channel)
}

async fn answers(channel: &Channel) -> bool {
    patiently(
        "an answer",
        ProviderClient::new(channel.clone()).get_provider_schema(SchemaRequest {}),
    )
    .await
    .is_ok()
}

#[tokio::test]
async fn shutdown_ends_the_process_before_the_host_loses_patience() {
    let (mut plugin, channel) = start().await;
    // A host has these two streams open all the time.
    let (to_broker, broker_requests) = mpsc::channel::<ConnInfo>(1);
    let mut broker = GrpcBrokerClient::new(channel.clone())
        .start_stream(ReceiverStream::new(broker_requests))
        .await
        .expect("the broker's stream")
        .into_inner();
    let mut stdio = GrpcStdioClient::new(channel.clone())
        .stream_stdio(())
        .await
        .expect("the output's stream")
        .into_inner();
    assert!(answers(&channel).await);

    let begin = Instant::now();
    GrpcControllerClient::new(channel.clone())
        .shutdown(Empty {})
        .await
        .expect("an answer");
    let status = plugin.ended().await;
    let took = begin.elapsed();

    assert!(status.success(), "{status}");
    assert!(took < HOST_PATIENCE, "{took:?}");
    assert!(
        !plugin.handshake.socket_directory().exists(),
        "the socket's directory is left behind"
    );
    assert_eq!(plugin.rest_of_stdout().await, "", "stdout after the handshake");
    // The streams ended in order, without anything in them, and were not cut off.
    let last = broker.next().await;
    assert!(last.is_none(), "{last:?}");
    let last = stdio.next().await;
    assert!(last.is_none(), "{last:?}");
    drop(to_broker);
}

#[tokio::test]
async fn ctrl_c_is_not_for_us() {
    let (mut plugin, channel) = start().await;
    for _ in 0..3 {
        plugin.signal(Signal::SIGINT);
        assert!(answers(&channel).await);
    }
    assert!(plugin.child.try_wait().expect("waitable").is_none(), "it ended");
}

#[tokio::test]
async fn stop_provider_leaves_the_server_up() {
    let (mut plugin, channel) = start().await;
    for _ in 0..2 {
        let answer = ProviderClient::new(channel.clone())
            .stop_provider(StopRequest {})
            .await;
        assert_eq!(answer.expect("an answer").into_inner().error, "");
        assert!(answers(&channel).await);
    }
    assert!(plugin.child.try_wait().expect("waitable").is_none(), "it ended");
}

#[tokio::test]
async fn sigterm_and_sighup_end_it_tidily() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let (mut plugin, channel) = start().await;
        assert!(answers(&channel).await);
        plugin.signal(signal);
        drop(channel);
        let status = plugin.ended().await;
        assert!(status.success(), "{signal}: {status}");
        assert!(!plugin.handshake.socket_directory().exists(), "{signal}");
    }
}

#[tokio::test]
async fn it_ends_when_its_host_dies_without_a_word() {
    // The shell stands for the host: it starts the provider, and then waits for ever.
    let mut shell = host_command("/bin/sh", None);
    let mut host = shell
        .args(["-c", "\"$0\" & while :; do wait; done", PROGRAM])
        .spawn()
        .expect("a shell starts");
    let mut stdout = BufReader::new(host.stdout.take().expect("piped"));
    let mut line = String::new();
    patiently("the handshake", stdout.read_line(&mut line))
        .await
        .expect("readable");
    let handshake = Handshake::parse(&line);
    let channel = handshake.connect(Show::Plain).await.expect("a connection");
    assert!(answers(&channel).await);

    host.kill().await.expect("the host is killed");

    // The provider alone holds the pipe now: its end is the provider's.
    let mut rest = String::new();
    patiently("the provider's end", stdout.read_to_string(&mut rest))
        .await
        .expect("readable");
    assert_eq!(rest, "");
    assert!(
        !handshake.socket_directory().exists(),
        "the socket's directory is left behind"
    );
}

#[tokio::test]
async fn it_outlives_a_host_that_merely_disconnects() {
    let (mut plugin, channel) = start().await;
    assert!(answers(&channel).await);
    drop(channel);
    plugin.signal(Signal::SIGINT);
    assert!(plugin.child.try_wait().expect("waitable").is_none(), "it ended");
    assert!(plugin.handshake.socket_directory().exists());
}

#[tokio::test]
async fn debug_serving_needs_no_host_and_survives_several() {
    let mut command = host_command(PROGRAM, None);
    command.arg("--debug").env_remove(plugin_client::COOKIE.0);
    let mut child = command.spawn().expect("it starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    patiently("the variable", stdout.read_line(&mut line))
        .await
        .expect("readable");

    let value = line
        .trim_end()
        .strip_prefix("TF_REATTACH_PROVIDERS='")
        .and_then(|rest| rest.strip_suffix('\''));
    let value: serde_json::Value = serde_json::from_str(value.expect("a quoted value")).expect("JSON");
    let provider = &value["terraform.local/harness/harness"];
    assert_eq!(provider["Protocol"], "grpc");
    assert_eq!(provider["ProtocolVersion"], 6);
    assert_eq!(provider["Pid"], child.id().expect("running"));
    assert_eq!(provider["Test"], true);
    let (network, address) = (&provider["Addr"]["Network"], &provider["Addr"]["String"]);
    let (network, address) = (
        network.as_str().expect("a string"),
        address.as_str().expect("a string"),
    );
    let handshake = Handshake::parse(&format!("1|6|{network}|{address}|grpc|"));

    for _ in 0..3 {
        let channel = handshake.connect(Show::Plain).await.expect("a connection");
        assert!(answers(&channel).await);
        GrpcControllerClient::new(channel.clone())
            .shutdown(Empty {})
            .await
            .expect("an answer");
        assert!(answers(&channel).await, "a host's shutdown ended it");
    }

    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id().expect("running")).expect("a pid"));
    nix::sys::signal::kill(pid, Signal::SIGINT).expect("the signal is sent");
    let status = patiently("its end", child.wait()).await.expect("waitable");
    assert!(status.success(), "{status}");
    assert!(
        !handshake.socket_directory().exists(),
        "the socket's directory is left behind"
    );
}
