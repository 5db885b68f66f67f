//! Arguments that are the delegate's own settings, whatever place it is in.

use delegate_core::config::Tag;

use super::checks::{is_free_variable, is_url, parses};
use crate::framework::schema::{Attribute, Object, Rule, Schema, Validator};
use crate::framework::value::Type;

pub(super) fn arguments(schema: Schema) -> Schema {
    let quantities = |what: &str| {
        Attribute::map(Type::String).describe(format!("{what}, for example `memory = \"512Mi\"`."))
    };
    let resources = Object::new()
        .attribute("requests", quantities("What the container is given for sure"))
        .attribute("limits", quantities("What it may use at most"));
    let proxy = Object::new()
        .attribute(
            "host",
            Attribute::string().required().describe("Host of the proxy."),
        )
        .attribute(
            "port",
            Attribute::number()
                .required()
                .validate(Validator::between(1, 65535))
                .describe("Port of the proxy."),
        )
        .attribute(
            "scheme",
            Attribute::string()
                .validate(Validator::one_of(["http", "https"]))
                .describe("How the proxy itself is spoken to; `http` when absent."),
        )
        .attribute("user", Attribute::string().describe("User name."))
        .attribute(
            "password_wo",
            Attribute::string()
                .sensitive()
                .write_only()
                .describe("Password. Never in a plan or a state."),
        )
        .attribute(
            "no_proxy",
            Attribute::list(Type::String).describe("Domain suffixes reached without it."),
        )
        .rule(Rule::required_with("password_wo", ["user"]));
    let mtls = Object::new()
        .attribute(
            "secret_name",
            Attribute::string()
                .describe("Secret with `client.crt` and `client.key`; with `helm` and `manifest`."),
        )
        .attribute(
            "certificate_file",
            Attribute::string()
                .describe("PEM file of the certificate; with `docker` (of the engine's machine) and `host`."),
        )
        .attribute(
            "key_file",
            Attribute::string().describe("PEM file of its key; with `docker` and `host`."),
        )
        .rule(Rule::exactly_one_of(["secret_name", "certificate_file"]))
        .rule(Rule::required_with("certificate_file", ["key_file"]));
    let ca_bundle = Object::new()
        .attribute(
            "secret_name",
            Attribute::string().describe("Secret whose files are trusted; with `helm` and `manifest`."),
        )
        .attribute(
            "directory",
            Attribute::string().describe(
                "Folder whose files are trusted; with `docker` (of the engine's machine) and `host`.",
            ),
        )
        .rule(Rule::exactly_one_of(["secret_name", "directory"]));
    schema
        .attribute(
            "tags",
            Attribute::set(Type::String)
                .validate(Validator::text(parses::<Tag>).each())
                .describe("Tags, which selectors of tasks name."),
        )
        .attribute("description", Attribute::string().describe("Description, shown by the manager."))
        .attribute(
            "replicas",
            Attribute::number().validate(Validator::between(0, 1000)).describe("Pods; 1 when absent. With `helm` and `manifest`."),
        )
        .attribute(
            "image",
            Attribute::string()
                .validate(Validator::length(1, 512))
                .describe(
                    "Image of the delegate; when absent the chart's own, or with `docker` one made of the program beside the provider. With \
                     `helm`, `manifest` and `docker` only.",
                ),
        )
        .attribute(
            "permissions",
            Attribute::string().validate(Validator::length(1, 253)).describe(
                "What the delegate may do in the cluster: `CLUSTER_ADMIN`, `CLUSTER_VIEWER`, `NAMESPACE_ADMIN`, or the name of a \
                 Role in its namespace. The chart's default, or `NAMESPACE_ADMIN`, when absent. With `helm` and `manifest`.",
            ),
        )
        .attribute("resources", Attribute::object(resources).describe("Resources of the container. With `helm` and `manifest`."))
        .attribute(
            "env",
            Attribute::map(Type::String)
                .validate(Validator::text(is_free_variable).keys())
                .describe("Further environment variables of the delegate. Not for secrets: they are kept in the state."),
        )
        .attribute("init_script", Attribute::string().describe("Shell script run before the start; its failure stops the start."))
        .attribute(
            "log_service_url",
            Attribute::string()
                .validate(Validator::text(is_url))
                .describe("URL of the log service; `<manager_url>/log-service/` when absent."),
        )
        .attribute("poll_for_tasks", Attribute::bool().describe("Never use the persistent connection."))
        .attribute("proxy", Attribute::object(proxy).describe("Proxy towards the manager."))
        .attribute("mtls", Attribute::object(mtls).describe("Client certificate towards the manager."))
        .attribute("ca_bundle", Attribute::object(ca_bundle).describe("Extra certificate authorities."))
}
