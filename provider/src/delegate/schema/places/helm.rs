//! The argument `helm`.

use super::super::DEFAULT_NAMESPACE;
use super::super::checks::is_label;
use crate::framework::schema::{Attribute, Object, Rule, Validator};
use crate::framework::value::Type;

pub(super) fn argument() -> Attribute {
    let chart = Object::new()
        .attribute(
            "repository",
            Attribute::string().describe("`https://…` or `oci://…`."),
        )
        .attribute("name", Attribute::string().describe("Name of the chart in it."))
        .attribute(
            "version",
            Attribute::string().describe("Version; the newest when absent."),
        )
        .attribute(
            "path",
            Attribute::string().describe("Folder or packed chart on this machine."),
        )
        .rule(Rule::exactly_one_of(["name", "path"]))
        .rule(Rule::conflicts_with("path", ["repository", "version"]));
    let arguments = Object::new()
        .attribute(
            "namespace",
            Attribute::string()
                .default(DEFAULT_NAMESPACE)
                .requires_replace()
                .validate(Validator::text(is_label))
                .describe("Namespace of the release."),
        )
        .attribute(
            "create_namespace",
            Attribute::bool().default(true).describe(
                "Whether to make the namespace when it is missing. A namespace made this way goes with the delegate, once nothing \
                 else is in it.",
            ),
        )
        .attribute(
            "release",
            Attribute::string()
                .requires_replace()
                .validate(Validator::length(1, 53))
                .validate(Validator::text(is_label))
                .describe("Name of the release; the delegate's name when absent."),
        )
        .attribute(
            "chart",
            Attribute::object(chart).describe(
                "Another chart than the embedded one, for example the official `harness-delegate-ng`, with the same value names.",
            ),
        )
        .attribute(
            "values",
            Attribute::list(Type::String)
                .describe("YAML documents, laid over what the arguments give, as with `helm --values`. Not for secrets."),
        );
    Attribute::object(arguments).describe("Install as a Helm release, with Helm 3 or 4.")
}
