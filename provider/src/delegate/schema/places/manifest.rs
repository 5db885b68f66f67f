//! The argument `manifest`.

use super::super::DEFAULT_NAMESPACE;
use super::super::checks::is_label;
use crate::framework::schema::{Attribute, Object, Validator};

pub(super) fn argument() -> Attribute {
    let arguments = Object::new()
        .attribute(
            "namespace",
            Attribute::string()
                .default(DEFAULT_NAMESPACE)
                .requires_replace()
                .validate(Validator::text(is_label))
                .describe("Namespace of the objects."),
        )
        .attribute(
            "create_namespace",
            Attribute::bool().default(true).describe(
                "Whether to make the namespace when it is missing. A namespace made this way goes with the delegate, once nothing \
                 else is in it.",
            ),
        )
        .attribute(
            "force_conflicts",
            Attribute::bool().default(false).describe(
                "Whether to take over fields that somebody else sets by server-side apply. Without it, the error names the owner.",
            ),
        );
    Attribute::object(arguments).describe(
        "Install as plain objects, by server-side apply as `terraform-provider-harness`; needs no Helm.",
    )
}
