//! Arguments that say where a delegate goes, and how long to wait for it there. One file a mode.

mod docker;
mod helm;
mod host;
mod manifest;

pub(in crate::delegate) use docker::engine;
pub(in crate::delegate) use host::ssh;

use super::checks::is_duration;
use crate::framework::schema::{Attribute, Change, Object, Rule, Schema, Validator};
use crate::framework::value::Type;

pub(super) fn arguments(schema: Schema) -> Schema {
    let duration = |what: &str| {
        Attribute::string()
            .validate(Validator::text(is_duration))
            .describe(what)
    };
    let wait = Object::new()
        .attribute(
            "until",
            Attribute::string()
                .validate(Validator::one_of(["installed", "ready", "connected"]))
                .describe("`connected` (when absent), `ready`, or `installed` for not waiting."),
        )
        .attribute(
            "timeout",
            duration("How long, for example `5m`, which it is when absent."),
        );
    let timeouts = Object::new()
        .attribute(
            "create",
            duration("Of a create without the wait; `10m` when absent."),
        )
        .attribute(
            "update",
            duration("Of an update without the wait, drain included; `15m` when absent."),
        )
        .attribute(
            "delete",
            duration("Of a delete, drain included; `15m` when absent."),
        );
    schema
        .attribute(
            "helm",
            helm::argument().requires_replace_if(comes_or_goes),
        )
        .attribute(
            "manifest",
            manifest::argument().requires_replace_if(comes_or_goes),
        )
        .attribute(
            "docker",
            docker::argument().requires_replace_if(comes_or_goes),
        )
        .attribute(
            "host",
            host::argument().requires_replace_if(comes_or_goes),
        )
        .attribute(
            "kubernetes",
            Attribute::object(kubernetes())
                .describe("The cluster; the provider's when absent. Credentials other than in files belong to the provider."),
        )
        .attribute(
            "adopt",
            Attribute::bool().describe(
                "The place that the configuration leads to is meant, though it has another identity than the one the delegate was \
                 installed in (`target_id`): take the delegate there as this one, and leave the old place alone.",
            ),
        )
        .attribute("wait", Attribute::object(wait).describe("How far an apply waits."))
        .attribute("timeouts", Attribute::object(timeouts).describe("How long an operation may take."))
        .rule(Rule::exactly_one_of(["helm", "manifest", "docker", "host"]))
        .rule(Rule::conflicts_with("kubernetes", ["docker", "host"]))
        .rule(Rule::conflicts_with("replicas", ["docker", "host"]))
        .rule(Rule::conflicts_with("image", ["host"]))
        .rule(Rule::conflicts_with("permissions", ["docker", "host"]))
        .rule(Rule::conflicts_with("resources", ["docker", "host"]))
        .rule(Rule::conflicts_with("mtls.secret_name", ["docker", "host"]))
        .rule(Rule::conflicts_with("mtls.certificate_file", ["helm", "manifest"]))
        .rule(Rule::conflicts_with("ca_bundle.secret_name", ["docker", "host"]))
        .rule(Rule::conflicts_with("ca_bundle.directory", ["helm", "manifest"]))
}

/// Which cluster, without credentials: those would stay in the state.
pub(in crate::delegate) fn kubernetes() -> Object {
    Object::new()
        .attribute("config_path", Attribute::string().describe("A kubeconfig file."))
        .attribute(
            "config_paths",
            Attribute::list(Type::String).describe("Several kubeconfig files, merged as kubectl does."),
        )
        .attribute(
            "config_context",
            Attribute::string().describe("Context to use; the current one when absent."),
        )
}

fn comes_or_goes(change: Change<'_>) -> bool {
    change.prior.is_null() != change.planned.is_null()
}
