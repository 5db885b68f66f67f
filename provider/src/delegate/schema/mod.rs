//! The schema of `harness_delegate`: a table, in the order in which people fill it in.

mod checks;
mod places;
mod settings;
mod token;

pub(super) use checks::{duration, is_absolute, is_duration, is_label, is_url, parses};
use delegate_core::config::{AccountId, DelegateName};
pub(super) use places::{engine, kubernetes, ssh};

use crate::framework::schema::{Attribute, Schema, Validator};
use crate::framework::value::Type;

/// Namespace when none is named: that of the official instructions.
pub(super) const DEFAULT_NAMESPACE: &str = "harness-delegate-ng";

/// The whole schema.
pub(super) fn schema() -> Schema {
    let schema = Schema::new(0).describe(
        "Installs a delegate and proves that it works: the apply ends when the delegate says that it is connected to its \
         manager.\n\nExactly one of `helm`, `manifest`, `docker` and `host` says where it goes; `{}` takes every default.",
    );
    let schema = identity(schema);
    let schema = token::arguments(schema);
    let schema = settings::arguments(schema);
    let schema = places::arguments(schema);
    computed(schema)
}

fn identity(schema: Schema) -> Schema {
    schema
        .attribute(
            "name",
            Attribute::string()
                .required()
                .requires_replace()
                .validate(Validator::text(parses::<DelegateName>))
                .describe("Name of the delegate, shared by its replicas. A tag by itself."),
        )
        .attribute(
            "account_id",
            Attribute::string()
                .validate(Validator::text(parses::<AccountId>))
                .describe("Account to register with. The provider's `account_id` when absent."),
        )
        .attribute(
            "manager_url",
            Attribute::string().validate(Validator::text(is_url)).describe(
                "URL of the manager, as the delegate reaches it. The provider's `endpoint` when absent.",
            ),
        )
}

fn computed(schema: Schema) -> Schema {
    schema
        .attribute(
            "id",
            Attribute::string()
                .computed()
                .use_state_for_unknown()
                .describe(
                    "`helm/<context>/<namespace>/<release>`, `manifest/<context>/<namespace>/<name>`, `docker/<host>/<container>` or \
                     `host/<machine>/<name>`, with the machine `localhost` or `[user@]host[:port]`.",
                ),
        )
        .attribute(
            "target_id",
            Attribute::string().computed().use_state_for_unknown().describe(
                "Identity of the place: uid of the cluster's `kube-system` namespace, id of the Docker engine, or machine id. A place \
                 with another identity is refused.",
            ),
        )
        .attribute("connected", Attribute::bool().computed().describe("Whether every replica says that it is connected."))
        .attribute("ready_replicas", Attribute::number().computed().describe("Replicas that are ready."))
        .attribute("version", Attribute::string().computed().describe("Version of the delegate that is installed."))
        .attribute("image_digest", Attribute::string().computed().describe("What tells the content of the image that runs; with `docker` only."))
        .attribute(
            "drift",
            Attribute::list(Type::String).computed().describe(
                "What was changed outside of Terraform, one line each, without secrets. Anything here is set right by the next apply.",
            ),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_obeys_terraforms_rules() {
        assert_eq!(schema().check("harness_delegate"), Vec::<String>::new());
    }
}
