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
        .attribute(
            "repository_username",
            Attribute::string().describe(
                "User name for the repository. Without it, Helm's own settings of this machine count.",
            ),
        )
        .attribute(
            "repository_password_wo",
            Attribute::string().sensitive().write_only().describe(
                "Password or token for the repository. Never in a plan or a state, and on no command line.",
            ),
        )
        .attribute(
            "repository_ca_file",
            Attribute::string()
                .describe("PEM file of the authority that vouches for the repository's certificate."),
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
        .rule(Rule::conflicts_with("path", ["repository", "version"]))
        .rule(Rule::required_with(
            "repository_username",
            ["repository", "repository_password_wo"],
        ))
        .rule(Rule::required_with(
            "repository_password_wo",
            ["repository_username"],
        ))
        .rule(Rule::required_with("repository_ca_file", ["repository"]));
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
            // Another one replaces it: the plan sees to that, because the name may be the delegate's.
            Attribute::string()
                .validate(Validator::length(1, 53))
                .validate(Validator::text(is_label))
                .describe("Name of the release; the delegate's name when absent. Another name replaces the resource."),
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
                .describe(
                    "YAML documents, laid over what the arguments give, as with `helm --values`. Where they set what an argument of \
                     yours sets too, they win, and a warning names both. Not for secrets.",
                ),
        )
        .attribute(
            "atomic",
            Attribute::bool().describe(
                "Undo a change whose pods do not become ready within `wait.timeout`: an update is rolled back, a create is removed.",
            ),
        )
        .attribute(
            "max_history",
            Attribute::number()
                .validate(Validator::between(0, 1000))
                .describe("Revisions that Helm keeps of the release; 10 when absent, 0 keeps all."),
        )
        .attribute(
            "take_ownership",
            Attribute::bool().describe(
                "Take over, on create, a release of the same name, and objects that belong to no release or to another one. Needs \
                 Helm 3.17.",
            ),
        )
        .attribute(
            "upgrade_install",
            Attribute::bool().describe(
                "Take over, on create, a release of the same name that somebody else made, in place of refusing it. Its pods are \
                 kept where nothing about them changes.",
            ),
        );
    Attribute::object(arguments).describe("Install as a Helm release, with Helm 3 or 4.")
}
