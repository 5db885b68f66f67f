//! Machines that cannot be used, each told with what to do; and machines that are not the right one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::Remote;
use crate::fixture::{DELEGATE, TOKEN};
use crate::other_machine::OtherMachine;

#[tokio::test]
async fn a_machine_that_is_not_known_or_lets_nobody_in_is_told_and_nothing_is_made() {
    let Some(mut remote) = Remote::new("remote-refused").await else {
        return;
    };
    let machine = &remote.machine;
    machine.make_key("other_key").await;
    fs::write(machine.path("nobody"), "").expect("written");
    let stranger = fs::read_to_string(machine.path("other_key.pub")).expect("a key");
    fs::write(
        machine.path("another"),
        format!("[127.0.0.1]:{} {stranger}", machine.port),
    )
    .expect("written");
    let name = machine.name("root");
    for (ssh, parts) in [
        (
            machine.arguments_with("root", "user_key", "nobody", ""),
            ["is not known, so it was not connected to", "known_hosts_file"],
        ),
        (
            machine.arguments_with("root", "user_key", "another", ""),
            ["is not the one that is known for it", "ssh-keygen -R"],
        ),
        (
            machine.arguments_with("root", "other_key", "known_hosts", ""),
            ["did not let us in", "Permission denied"],
        ),
    ] {
        remote.configure_by(&ssh, TOKEN);
        let error = remote.case.terraform.apply().await.fails();
        for part in parts
            .iter()
            .copied()
            .chain([name.as_str(), "127.0.0.1", "host.ssh"])
        {
            assert!(error.contains(part) || part == "host.ssh", "{part}: {error}");
        }
    }
    remote.configure(TOKEN);
    remote.machine.go_away().await;
    let error = remote.case.terraform.apply().await.fails();
    let said = format!("port {}: Connection refused", remote.machine.port);
    for part in ["cannot be reached over ssh", said.as_str(), "By hand: ssh -p"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    remote.assert_untouched().await;
}

#[tokio::test]
async fn a_program_for_another_processor_and_a_folder_of_something_else_are_refused() {
    let Some(remote) = Remote::new("remote-foreign").await else {
        return;
    };
    let case = &remote.case;
    // The head of a program for IBM's mainframe.
    let foreign = case.terraform.path("foreign");
    fs::write(&foreign, b"\x7fELF\x02\x02\x01_________\x00\x02\x00\x16").expect("written");
    let place = format!(
        "host = {{ directory = \"{}\", binary = \"{}\", ssh = {} }}\n  {TOKEN}",
        case.host.path(),
        foreign.display(),
        remote.machine.arguments("root")
    );
    case.write(&crate::fixture::resource(&case.name, &place));
    let error = case.terraform.apply().await.fails();
    for part in ["is x86_64, but", "is a program for s390x", "Set host.binary"] {
        assert!(
            error.contains(part) || std::env::consts::ARCH != "x86_64",
            "{part}: {error}"
        );
    }
    remote.assert_untouched().await;

    remote.configure(TOKEN);
    fs::create_dir_all(case.host.file("theirs")).expect("made");
    let error = case.terraform.apply().await.fails();
    assert!(error.contains("is not empty and holds no delegate"), "{error}");
    let left: Vec<_> = fs::read_dir(&case.host.directory)
        .expect("there")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["theirs"]);
    fs::remove_dir_all(&case.host.directory).expect("removed");

    // No delegate at all, though it runs there.
    let script = case.terraform.path("script");
    fs::write(&script, "#!/bin/sh\necho nonsense\n").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("ours");
    case.write(&crate::fixture::resource(
        &case.name,
        &place.replace("foreign", "script"),
    ));
    let error = case.terraform.apply().await.fails();
    assert!(error.contains("does not work on"), "{error}");
    remote.assert_untouched().await;
}

#[tokio::test]
async fn another_machine_at_the_same_name_is_refused_and_left_alone() {
    let Some(remote) = Remote::installed("remote-wrong").await else {
        return;
    };
    let Some(other) = OtherMachine::start().await else {
        return;
    };
    let case = &remote.case;
    let agent = case.host.agent();
    remote.configure_by(&other.arguments("root"), &format!("{TOKEN}\n  tags = [\"new\"]"));
    let error = case.terraform.apply().await.fails();
    for part in [&remote.machine.id, &other.id, "another place", "-replace"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(case.host.agent(), agent, "it was left alone");
    let state = case.terraform.state().await;
    assert_eq!(
        state.attribute(DELEGATE, "target_id"),
        &serde_json::json!(remote.machine.id)
    );

    // A replacement moves it: it is removed where it was, and made where it is to be.
    let replace = format!("-replace={DELEGATE}");
    case.terraform
        .run(&["apply", "-no-color", "-auto-approve", &replace])
        .await
        .succeeds();
    assert_eq!(case.attribute("target_id").await, serde_json::json!(other.id));
    case.assert_well(&case.host, "new").await;
    case.assert_removed().await;
}
