//! The first contact between a host and the real program: who may start it, what it says, who may connect.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]

#[path = "support/plugin_client.rs"]
mod plugin_client;

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use harness_provider::plugin::proto::{
    health::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient},
    tfplugin6::{get_provider_schema::Request as SchemaRequest, provider_client::ProviderClient},
};
use plugin_client::{HostIdentity, PluginProcess, Show, host_command, patiently};
use tokio::{net::UnixStream, process::Command};
use tonic::{Status, transport::Channel};

const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-harness");

async fn output(command: &mut Command) -> Output {
    patiently("the program", command.output()).await.expect("it runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

async fn fetch_schema(channel: Channel) -> Result<(), Status> {
    let response = patiently(
        "a schema",
        ProviderClient::new(channel).get_provider_schema(SchemaRequest {}),
    )
    .await?;
    assert!(response.into_inner().provider.is_some());
    Ok(())
}

/// Whether a client that shows `show` gets an answer to a call.
async fn is_served(plugin: &PluginProcess, show: Show<'_>) -> bool {
    match patiently("a connection", plugin.handshake.connect(show)).await {
        Ok(channel) => fetch_schema(channel).await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_person_who_starts_it_is_told_what_it_is() {
    let output = output(host_command(PROGRAM, None).env_remove(plugin_client::COOKIE.0)).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let text = stderr(&output);
    assert!(
        text.contains("is a Terraform provider") && text.contains("--debug"),
        "{text}"
    );
}

#[tokio::test]
async fn a_wrong_cookie_is_no_cookie() {
    let output = output(host_command(PROGRAM, None).env(plugin_client::COOKIE.0, "d602")).await;
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(1), &b""[..])
    );
}

#[tokio::test]
async fn a_host_that_does_not_speak_protocol_6_is_refused() {
    let output = output(host_command(PROGRAM, None).env("PLUGIN_PROTOCOL_VERSIONS", "4,5")).await;
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(1), &b""[..])
    );
    let text = stderr(&output);
    assert!(
        text.contains("speaks provider protocol 6") && text.contains("offers 4, 5"),
        "{text}"
    );
}

#[tokio::test]
async fn a_host_certificate_that_is_none_is_named() {
    let output = output(host_command(PROGRAM, None).env("PLUGIN_CLIENT_CERT", "rubbish")).await;
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(1), &b""[..])
    );
    assert!(
        stderr(&output).contains("PLUGIN_CLIENT_CERT"),
        "{}",
        stderr(&output)
    );
}

#[tokio::test]
async fn it_tells_its_version_and_refuses_other_arguments() {
    let version = output(host_command(PROGRAM, None).arg("--version")).await;
    assert!(version.status.success());
    let expected = format!("terraform-provider-harness {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected);

    let unknown = output(host_command(PROGRAM, None).arg("--serve")).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("`--serve`"), "{}", stderr(&unknown));
}

#[tokio::test]
async fn the_line_names_a_socket_that_only_its_user_can_reach() {
    let identity = HostIdentity::new();
    let plugin = PluginProcess::start(&mut host_command(PROGRAM, Some(&identity))).await;
    assert_eq!(plugin.handshake.fields.len(), 6);
    assert!(plugin.handshake.certificate.is_some());
    let directory = fs::metadata(plugin.handshake.socket_directory()).expect("the directory is there");
    assert_eq!(directory.permissions().mode() & 0o7777, 0o700);
}

#[tokio::test]
async fn a_host_with_terraforms_kind_of_certificate_is_served() {
    let identity = HostIdentity::new();
    let plugin = PluginProcess::start(&mut host_command(PROGRAM, Some(&identity))).await;
    for versions in [
        rustls::ALL_VERSIONS,
        &[&rustls::version::TLS12],
        &[&rustls::version::TLS13],
    ] {
        let show = Show::Certificate(&identity);
        let channel = patiently("a connection", plugin.handshake.connect_with(show, versions)).await;
        let channel = channel.expect("the host may connect");
        fetch_schema(channel.clone()).await.expect("the host is answered");
        let health = HealthClient::new(channel)
            .check(HealthCheckRequest {
                service: "plugin".to_owned(),
            })
            .await
            .expect("the health is answered");
        assert_eq!(health.into_inner().status(), ServingStatus::Serving);
    }
}

#[tokio::test]
async fn whoever_is_not_the_host_is_refused_and_the_host_still_served() {
    let (identity, other) = (HostIdentity::new(), HostIdentity::new());
    let plugin = PluginProcess::start(&mut host_command(PROGRAM, Some(&identity))).await;
    assert!(
        !is_served(&plugin, Show::Certificate(&other)).await,
        "another certificate"
    );
    assert!(!is_served(&plugin, Show::NoCertificate).await, "no certificate");
    assert!(!is_served(&plugin, Show::Plain).await, "no TLS");
    assert!(is_served(&plugin, Show::Certificate(&identity)).await, "the host");
}

#[tokio::test]
async fn a_peer_that_says_nothing_holds_up_nobody() {
    let identity = HostIdentity::new();
    let plugin = PluginProcess::start(&mut host_command(PROGRAM, Some(&identity))).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(
            UnixStream::connect(plugin.handshake.address())
                .await
                .expect("a connection"),
        );
    }
    assert!(is_served(&plugin, Show::Certificate(&identity)).await);
}

#[tokio::test]
async fn without_plugin_tls_the_certificate_field_is_empty_and_plain_connections_are_served() {
    let plugin = PluginProcess::start(&mut host_command(PROGRAM, None)).await;
    assert_eq!(plugin.handshake.fields[5], "");
    assert!(is_served(&plugin, Show::Plain).await);
}

#[tokio::test]
async fn the_socket_lies_where_the_host_wants_it_and_its_group_may_use_it() {
    let place = tempfile::tempdir().expect("a directory");
    let group = nix::unistd::getgid().to_string();
    let plugin = PluginProcess::start(
        host_command(PROGRAM, None)
            .env("PLUGIN_UNIX_SOCKET_DIR", place.path())
            .env("PLUGIN_UNIX_SOCKET_GROUP", group),
    )
    .await;
    let directory = plugin.handshake.socket_directory();
    assert_eq!(directory.parent(), Some(place.path()));
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode(&directory), 0o710);
    assert_eq!(mode(plugin.handshake.address().as_ref()), 0o660);
    assert!(is_served(&plugin, Show::Plain).await);
}

#[tokio::test]
async fn a_place_or_a_group_that_the_host_wants_and_that_is_not_there_is_an_error() {
    let mut nowhere = host_command(PROGRAM, None);
    nowhere.env("PLUGIN_UNIX_SOCKET_DIR", "/nonexistent/place");
    let output_nowhere = output(&mut nowhere).await;
    assert_eq!(output_nowhere.status.code(), Some(1));
    assert!(
        stderr(&output_nowhere).contains("/nonexistent/place"),
        "{}",
        stderr(&output_nowhere)
    );

    let place = tempfile::tempdir().expect("a directory");
    let mut nobody = host_command(PROGRAM, None);
    nobody
        .env("PLUGIN_UNIX_SOCKET_DIR", place.path())
        .env("PLUGIN_UNIX_SOCKET_GROUP", "no-such-group");
    let output_nobody = output(&mut nobody).await;
    assert_eq!(output_nobody.status.code(), Some(1));
    assert!(
        stderr(&output_nobody).contains("`no-such-group`"),
        "{}",
        stderr(&output_nobody)
    );
    assert_eq!(
        fs::read_dir(place.path()).expect("a directory").count(),
        0,
        "something was left behind"
    );
}

#[tokio::test]
async fn a_temporary_directory_that_is_too_deep_for_a_socket_is_got_around() {
    let root = tempfile::tempdir().expect("a directory");
    let deep = root.path().join("d".repeat(120));
    fs::create_dir(&deep).expect("a directory");
    let mut plugin = PluginProcess::start(host_command(PROGRAM, None).env("TMPDIR", &deep)).await;
    assert!(
        !plugin
            .handshake
            .address()
            .starts_with(root.path().to_str().expect("UTF-8"))
    );
    assert!(is_served(&plugin, Show::Plain).await);
    assert_eq!(
        fs::read_dir(&deep).expect("a directory").count(),
        0,
        "something was left behind"
    );
    // It used a directory that is not the test's own: let it tidy up.
    plugin.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(plugin.ended().await.success());
}

#[tokio::test]
async fn a_host_that_asks_for_multiplexing_gets_a_seventh_field() {
    let plugin = PluginProcess::start(host_command(PROGRAM, None).env("PLUGIN_MULTIPLEX_GRPC", "true")).await;
    assert_eq!(plugin.handshake.fields.get(6).map(String::as_str), Some("false"));
}

#[tokio::test]
async fn nothing_is_said_unless_the_user_asks_for_logs() {
    let mut plugin = PluginProcess::start(&mut host_command(PROGRAM, None)).await;
    assert!(is_served(&plugin, Show::Plain).await);
    plugin.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(plugin.ended().await.success());
    assert_eq!(plugin.rest_of_stdout().await, "");
    assert_eq!(plugin.rest_of_stderr().await, "");
}

#[tokio::test]
async fn log_lines_have_the_form_the_host_reads() {
    let mut plugin = PluginProcess::start(host_command(PROGRAM, None).env("TF_LOG", "DEBUG")).await;
    let line = plugin.stderr_line().await;
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&line).expect("a JSON object");
    assert!(object.values().all(serde_json::Value::is_string), "{line}");
    assert_eq!(object["@level"], "debug");
    assert_eq!(object["@message"], "serving the host");
    let fraction = object["@timestamp"]
        .as_str()
        .and_then(|time| time.rsplit_once('.'))
        .expect("a fraction")
        .1;
    assert_eq!(
        (fraction.len(), fraction.chars().last()),
        (7, Some('Z')),
        "{line}"
    );
}
