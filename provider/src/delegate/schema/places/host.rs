//! The argument `host`.

use super::super::checks::is_absolute;
use crate::framework::schema::{Attribute, Object, Validator};

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
        .attribute("user", Attribute::string().describe("User it runs as; with systemd only."));
    Attribute::object(arguments).describe("Install as a service of this machine.")
}
