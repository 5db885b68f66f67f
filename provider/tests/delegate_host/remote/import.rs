//! A delegate on another machine is taken over, and the example works there. An import has an id and nothing else, and the
//! example no port, so how to get there is the user's own configuration of `ssh`: here a file that a `ssh` on the PATH hands to
//! the real one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::Remote;
use crate::fixture::{DELEGATE, TOKEN, resource};
use crate::host::Host;

/// Makes the machine known to `ssh` as `far`, and root's keys for its address and port.
fn configure_ssh(remote: &mut Remote) {
    let at = |name: &str| remote.machine.path(name).display().to_string();
    let config = at("ssh_config");
    fs::write(
        &config,
        format!(
            "Host far\n  HostName 127.0.0.1\n  Port {}\n  User root\nHost *\n  IdentityFile {}\n  UserKnownHostsFile {}\n  \
             RemoteCommand echo hello\n  ControlMaster auto\n  ControlPersist yes\n",
            remote.machine.port,
            at("user_key"),
            at("known_hosts")
        ),
    )
    .expect("written");
    let programs = remote.machine.path("programs");
    fs::create_dir(&programs).expect("made");
    let ssh = programs.join("ssh");
    fs::write(
        &ssh,
        format!("#!/bin/sh\nexec /usr/bin/ssh -F '{config}' \"$@\"\n"),
    )
    .expect("written");
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).expect("ours");
    let path = std::env::var("PATH").unwrap_or_default();
    remote
        .case
        .terraform
        .set_env("PATH", format!("{}:{path}", programs.display()));
}

#[tokio::test]
async fn what_was_applied_there_and_forgotten_is_imported_without_a_change() {
    let Some(mut remote) = Remote::new("remote-import").await else {
        return;
    };
    configure_ssh(&mut remote);
    let host = Host::by_default(&remote.case.name);
    let port = remote.machine.port;
    for (ssh, name) in [
        ("{ host = \"far\" }".to_owned(), "far".to_owned()),
        (
            format!("{{ host = \"127.0.0.1\", port = {port}, user = \"root\" }}"),
            remote.machine.name("root"),
        ),
    ] {
        let case = &remote.case;
        case.write(&resource(
            &case.name,
            &format!("{TOKEN}\n  tags = [\"a\"]\n  host = {{ ssh = {ssh} }}\n  proxy = {{ host = \"127.0.0.1\", port = 9, user = \"u\", no_proxy = [\"127.0.0.1\"] }}"),
        ));
        case.terraform.apply().await.succeeds();
        let agent = host.agent();
        let before = case.terraform.state().await.resource(DELEGATE)["values"].clone();
        let id = format!("host/{name}/{}", case.name);
        assert_eq!(before["id"], json!(id));
        case.terraform.run(&["state", "rm", DELEGATE]).await.succeeds();
        case.terraform.import(DELEGATE, &id).await.succeeds();
        let after = case.terraform.state().await.resource(DELEGATE)["values"].clone();
        similar_asserts::assert_eq!(before, after);
        case.terraform.assert_settled().await;
        assert_eq!(host.agent(), agent, "looking restarts nothing");
        case.terraform.destroy().await.succeeds();
        host.assert_gone();
    }
    for (id, part) in [
        ("host/far/nobody", "Cannot import non-existent remote object"),
        ("host/-oProxyCommand=x/a", "[user@]host[:port]"),
    ] {
        let error = remote.case.terraform.import(DELEGATE, id).await.fails();
        assert!(error.contains(part), "{error}");
    }
    remote.assert_disconnected();
}

#[tokio::test]
async fn a_folder_and_a_key_of_its_own_are_imported_with_it() {
    let Some(remote) = Remote::new("remote-own").await else {
        return;
    };
    let (case, machine) = (&remote.case, &remote.machine);
    case.write(&resource(
        &case.name,
        &format!(
            "{TOKEN}\n  tags = [\"a\"]\n  host = {{ directory = \"{}\", ssh = {} }}",
            case.host.path(),
            machine.arguments("root")
        ),
    ));
    case.terraform.apply().await.succeeds();
    let agent = case.host.agent();
    let before = case.terraform.state().await.resource(DELEGATE)["values"].clone();
    case.terraform.run(&["state", "rm", DELEGATE]).await.succeeds();
    let (place, folder) = (machine.name("root"), case.host.path());
    let access = format!(
        "?identity_file={}&known_hosts_file={}",
        machine.path("user_key").display(),
        machine.path("known_hosts").display()
    );
    let name = &case.name;
    for (id, part) in [
        (format!("host/{place}/{name}{access}"), "host.directory"),
        (
            format!("host/{place}/{folder}/another{access}"),
            "Another delegate is there",
        ),
        (
            format!("host/{place}/{folder}/{name}{access}&password=x"),
            "no argument of host.ssh",
        ),
    ] {
        let error = case.terraform.import(DELEGATE, &id).await.fails();
        assert!(error.contains(part), "{id}: {error}");
    }
    let id = format!("host/{place}/{folder}/{name}{access}");
    case.terraform.import(DELEGATE, &id).await.succeeds();
    let after = case.terraform.state().await.resource(DELEGATE)["values"].clone();
    similar_asserts::assert_eq!(before, after);
    case.terraform.assert_settled().await;
    assert_eq!(case.host.agent(), agent, "looking restarts nothing");
    case.terraform.destroy().await.succeeds();
    case.host.assert_gone();
    remote.assert_disconnected();
}

#[tokio::test]
async fn the_example_works_on_another_machine() {
    let Some(mut remote) = Remote::new("remote-example").await else {
        return;
    };
    configure_ssh(&mut remote);
    let case = &mut remote.case;
    let host = Host::by_default(&case.name);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/remote-host/main.tf");
    let text = fs::read_to_string(example).expect("readable");
    fs::remove_file(case.terraform.path("providers.tf")).expect("it names the provider itself");
    case.terraform.write("main.tf", &text);
    for (name, value) in [
        ("manager_url", case.manager.url.clone()),
        ("account_id", case.manager.account.clone()),
        ("machine", "far".to_owned()),
        ("name", case.name.clone()),
    ] {
        case.terraform.set_env(format!("TF_VAR_{name}"), value);
    }
    case.terraform.apply().await.succeeds();
    let delegate = case.terraform.state().await.output("delegate").clone();
    assert_eq!(delegate["connected"], true);
    assert_eq!(delegate["id"], json!(format!("host/root@far/{}", case.name)));
    case.terraform.assert_settled().await;
    case.terraform.destroy().await.succeeds();
    host.assert_gone();
    remote.assert_disconnected();
}
