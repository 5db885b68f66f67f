//! The argument `host`.

use super::super::checks::{is_absolute, is_duration};
use super::comes_or_goes;
use crate::framework::schema::{Attribute, Object, Validator};
use crate::install::ssh::{is_host as is_machine, is_user as is_login};

pub(super) fn argument() -> Attribute {
    let arguments = Object::new()
        .attribute(
            "binary",
            Attribute::string().describe("The program to install; the `harness-delegate` beside the provider when absent."),
        )
        .attribute(
            "directory",
            Attribute::string()
                .requires_replace()
                .validate(Validator::text(is_absolute))
                .describe("Folder of the installation; `/var/lib/harness-delegate/<name>`, or below the home folder, when absent."),
        )
        .attribute(
            "service",
            Attribute::string().default("auto").validate(Validator::one_of(["auto", "systemd", "process"])).describe(
                "What keeps it running: `systemd`, a supervisor `process` of its own, or `auto`: systemd where it runs.",
            ),
        )
        .attribute("user", Attribute::string().describe("User it runs as; with systemd only."))
        .attribute(
            "ssh",
            Attribute::object(ssh()).requires_replace_if(comes_or_goes).describe(
                "Install on another machine, with your own `ssh`: its agent, keys, configuration and known hosts. Nothing is asked. The \
                 program is copied, unless the same is there, and does the work there; paths in other arguments are of that machine, \
                 `binary` is of this one. A change leads to the same machine, which `target_id` makes sure of; to follow a machine that is \
                 made anew, use `lifecycle { replace_triggered_by }`.",
            ),
        );
    Attribute::object(arguments)
        .describe("Install as a service of this machine, or of another one over `ssh`.")
}

/// How to get to another machine.
pub(in crate::delegate) fn ssh() -> Object {
    Object::new()
        .attribute(
            "host",
            Attribute::string()
                .required()
                .validate(Validator::text(is_host))
                .describe("Name or address of the machine, or an alias of your `ssh` configuration."),
        )
        .attribute(
            "port",
            Attribute::number()
                .validate(Validator::between(1, 65535))
                .describe("Port; as your configuration says, or 22, when absent."),
        )
        .attribute(
            "user",
            Attribute::string()
                .validate(Validator::text(is_user))
                .describe("User to log in as; as your configuration says, or your own name, when absent."),
        )
        .attribute(
            "identity_file",
            Attribute::string()
                .describe("Private key to use and no other; those of your agent and configuration when absent."),
        )
        .attribute(
            "known_hosts_file",
            Attribute::string()
                .describe("File with the machine's host key; your own when absent. An unknown or changed key is refused, always."),
        )
        .attribute(
            "connect_timeout",
            Attribute::string()
                .validate(Validator::text(is_duration))
                .describe("How long the connection may take to come up; `15s` when absent."),
        )
        .attribute(
            "sudo",
            Attribute::bool().describe(
                "Become root there with `sudo`, which must not ask for a password. Without it a user who is not root installs below \
                 his home folder, and the delegate runs as himself, without systemd: nothing starts it after a reboot.",
            ),
        )
}

fn is_host(text: &str) -> Result<(), String> {
    let problem = "Must be a name or an address, without user and port: those are arguments of their own.";
    is_machine(text).then_some(()).ok_or_else(|| problem.to_owned())
}

fn is_user(text: &str) -> Result<(), String> {
    let problem = "Must be a user's name: letters, digits and . _ - @ \\ + $, not beginning with '-'.";
    is_login(text).then_some(()).ok_or_else(|| problem.to_owned())
}
