//! A user there who is not root: below his home folder, or as root by `sudo`.

use std::os::unix::fs::MetadataExt as _;

use serde_json::json;

use super::Remote;
use crate::fixture::{DELEGATE, TOKEN, resource};
use crate::host::Host;
use crate::other_machine::USER;

#[tokio::test]
async fn a_user_who_is_not_root_installs_below_his_home_folder() {
    let Some(mut remote) = Remote::new("remote-user").await else {
        return;
    };
    let directory = remote
        .machine
        .home()
        .join(".local/share/harness-delegate")
        .join(&remote.case.name);
    remote.case.host = Host::at(&directory);
    let case = &remote.case;
    let ssh = remote.machine.arguments(USER);
    let configure =
        |place: &str| case.write(&resource(&case.name, &format!("{TOKEN}\n  host = {{ {place} }}")));
    configure(&format!("ssh = {ssh}"));
    case.terraform.apply().await.succeeds();
    assert_eq!(
        case.attribute("id").await,
        json!(format!("host/{}/{}", remote.machine.name(USER), case.name))
    );
    let owner = std::fs::metadata(case.host.env_file()).expect("there").uid();
    assert_ne!(owner, 0);
    let agent = case.host.agent().expect("it runs");
    assert_eq!(
        std::fs::metadata(format!("/proc/{}", agent.pid))
            .expect("there")
            .uid(),
        owner
    );
    case.assert_well(&case.host, &case.name).await;

    // What is another user's cannot be looked at, and is not taken for gone.
    configure(&format!("directory = \"/root/{}\", ssh = {ssh}", case.name));
    let error = case.terraform.apply().await.fails();
    assert!(error.contains("/root") && !error.contains("panicked"), "{error}");
    configure(&format!("ssh = {ssh}, user = \"{USER}\""));
    let error = case.terraform.apply().await.fails();
    assert!(
        error.contains("Only systemd starts the delegate as another user"),
        "{error}"
    );
    configure(&format!("ssh = {ssh}"));
    case.terraform.apply().await.succeeds();
    case.assert_removed().await;
}

#[tokio::test]
async fn sudo_makes_him_root_and_one_that_asks_is_told() {
    if !std::path::Path::new("/usr/bin/sudo").exists() {
        eprintln!("SKIPPED: there is no sudo (scripts/setup ssh installs it)");
        return;
    }
    let Some(remote) = Remote::new("remote-sudo").await else {
        return;
    };
    let case = &remote.case;
    let ssh = remote
        .machine
        .arguments_with(USER, "user_key", "known_hosts", ", sudo = true");
    remote.configure_by(&ssh, TOKEN);
    case.terraform.apply().await.succeeds();
    assert_eq!(std::fs::metadata(case.host.env_file()).expect("there").uid(), 0);
    case.assert_well(&case.host, &case.name).await;

    // Without it, what is root's is hidden: neither gone nor made anew.
    remote.configure_by(&remote.machine.arguments(USER), TOKEN);
    let error = case.terraform.apply().await.fails();
    assert!(
        error.contains("does not let us look into") && error.contains("host.ssh.sudo"),
        "{error}"
    );
    assert!(!case.terraform.state().await.resource(DELEGATE).is_null());
    remote.configure_by(&ssh, TOKEN);
    std::fs::write(remote.machine.path("sudoers"), format!("{USER} ALL=(ALL) ALL\n")).expect("written");
    let error = case.terraform.run(&["plan", "-no-color"]).await.fails();
    assert!(
        error.contains("password") && error.contains("NOPASSWD"),
        "{error}"
    );
    std::fs::write(
        remote.machine.path("sudoers"),
        format!("{USER} ALL=(ALL) NOPASSWD: ALL\n"),
    )
    .expect("written");
    case.assert_removed().await;
}
