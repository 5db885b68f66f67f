//! Arguments that give the token: exactly one of four.

use delegate_core::config::DelegateToken;
use delegate_core::install::kubernetes::TOKEN_KEY;

use super::checks::{is_absolute, parses};
use crate::framework::schema::{Attribute, Object, Rule, Schema, Validator};

pub(super) fn arguments(schema: Schema) -> Schema {
    let secret = Object::new()
        .attribute(
            "name",
            Attribute::string()
                .required()
                .describe("Name of the Secret, in the delegate's namespace."),
        )
        .attribute(
            "key",
            Attribute::string()
                .validate(Validator::one_of([TOKEN_KEY]))
                .describe(
                    "Key of the token in it. The pods read `DELEGATE_TOKEN`, so it can be nothing else.",
                ),
        );
    schema
        .attribute(
            "token_wo",
            Attribute::string()
                .sensitive()
                .write_only()
                .validate(Validator::text(parses::<DelegateToken>))
                .describe(
                    "Delegate token, as the manager shows it or as 32 hexadecimal characters. Never in a plan or a state; raise \
                     `token_wo_version` to give another one.",
                ),
        )
        .attribute(
            "token_wo_version",
            Attribute::number().describe("Any number; a change gives the delegate the token of `token_wo` anew."),
        )
        .attribute(
            "token",
            Attribute::string()
                .sensitive()
                .validate(Validator::text(parses::<DelegateToken>))
                .describe("Delegate token, kept in the state. For Terraform before 1.11; better use `token_wo`."),
        )
        .attribute(
            "token_secret",
            Attribute::object(secret).describe("A Kubernetes Secret of yours that holds the token. With `helm` and `manifest`."),
        )
        .attribute(
            "token_file",
            Attribute::string()
                .validate(Validator::text(is_absolute))
                .describe("A file on the host that holds the token; the delegate reads it. With `docker` a file of the engine's machine, which the \
                     container's user may read. With `docker` and `host` only."),
        )
        .rule(Rule::exactly_one_of(["token_wo", "token", "token_secret", "token_file"]))
        .rule(Rule::conflicts_with("token_secret", ["docker", "host"]))
        .rule(Rule::conflicts_with("token_file", ["helm", "manifest"]))
}
