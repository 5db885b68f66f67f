//! The arguments of both, as tables.

use jiff::Timestamp;

use crate::framework::prelude::*;

/// Longest name: what the manager takes.
const MAX_NAME: usize = 128;

/// The schema of the resource.
pub(super) fn resource() -> Schema {
    Schema::new(0)
        .describe(
            "A delegate token, made through the manager's platform API (the provider's `platform_api_key`).\n\nA destroy revokes \
             the token, and its delegates end. The manager keeps the name of a revoked token taken for 30 days; give a \
             successor another name, and let both live until the delegates have changed over. Nothing else revokes: what cannot be \
             changed in place is refused or replaced in plain sight.\n\nThe token's value is not in the state. The ephemeral \
             resource of the same name hands it to `token_wo` of a `harness_delegate`.",
        )
        .attribute(
            "name",
            Attribute::string()
                .required()
                .requires_replace()
                .validate(Validator::text(is_name))
                .describe("Name of the token, unique in its scope."),
        )
        .attribute(
            "account_id",
            Attribute::string()
                .optional_computed()
                .use_state_for_unknown()
                .requires_replace()
                .describe("Account of the token. The provider's `account_id` when absent; a token stays in the account it was made in."),
        )
        .attribute(
            "org_id",
            Attribute::string()
                .requires_replace()
                .validate(Validator::length(1, MAX_NAME))
                .describe("Organization of the token, when it is not of the whole account."),
        )
        .attribute(
            "project_id",
            Attribute::string()
                .requires_replace()
                .validate(Validator::length(1, MAX_NAME))
                .describe("Project of the token, in the organization `org_id`."),
        )
        .attribute(
            "revoke_after",
            Attribute::string()
                .validate(Validator::text(is_time))
                .describe(
                    "When the token revokes itself, for example `2030-01-31T00:00:00Z`; a manager may be up to an hour late. It cannot \
                     be changed later.",
                ),
        )
        .attribute(
            "store_value",
            Attribute::bool().describe(
                "Whether to keep the token's value in the state, as `value`. Only for consumers without a write-only argument; \
                 whoever reads the state can then act as a delegate.",
            ),
        )
        .attribute(
            "delete_on_destroy",
            Attribute::bool().describe(
                "Whether a destroy also deletes the revoked token, which frees its name at once where the manager allows it. \
                 Otherwise the token stays visible as revoked for 30 days.",
            ),
        )
        .attribute(
            "id",
            Attribute::string()
                .computed()
                .use_state_for_unknown()
                .describe("`<name>`, `<organization>/<name>` or `<organization>/<project>/<name>`."),
        )
        .attribute(
            "status",
            Attribute::string()
                .computed()
                .use_state_for_unknown()
                .describe("`ACTIVE` or `REVOKED`."),
        )
        .attribute(
            "created_at",
            Attribute::string()
                .computed()
                .use_state_for_unknown()
                .describe("When the token was made."),
        )
        .attribute(
            "value",
            Attribute::string()
                .computed()
                .sensitive()
                .use_state_for_unknown()
                .describe("The token, as `token_wo` and `DELEGATE_TOKEN` take it. Null unless `store_value` is set."),
        )
        .rule(Rule::required_with("project_id", ["org_id"]))
}

/// The schema of the ephemeral resource.
pub(super) fn ephemeral() -> Schema {
    Schema::new(0)
        .describe(
            "Hands over the value of a delegate token without storing it anywhere: for `token_wo` of a `harness_delegate`.\n\nWith \
             `id` of a `harness_delegate_token` it is opened when that token exists, also when both are made by the same apply; a \
             token named by `name` has to exist before the plan.",
        )
        .attribute(
            "id",
            Attribute::string()
                .optional_computed()
                .describe("`id` of a `harness_delegate_token`. Exactly one of `id` and `name`."),
        )
        .attribute(
            "name",
            Attribute::string()
                .optional_computed()
                .describe("Name of a token that exists already."),
        )
        .attribute(
            "account_id",
            Attribute::string()
                .optional_computed()
                .describe("Account of the token. The provider's `account_id` when absent."),
        )
        .attribute(
            "org_id",
            Attribute::string()
                .optional_computed()
                .describe("Organization of the token that `name` names, when it is not of the whole account."),
        )
        .attribute(
            "project_id",
            Attribute::string()
                .optional_computed()
                .describe("Project of the token that `name` names, in the organization `org_id`."),
        )
        .attribute(
            "value",
            Attribute::string()
                .computed()
                .sensitive()
                .describe("The token, as `token_wo` and `DELEGATE_TOKEN` take it."),
        )
        .rule(Rule::exactly_one_of(["id", "name"]))
        .rule(Rule::conflicts_with("id", ["org_id", "project_id"]))
        .rule(Rule::required_with("project_id", ["org_id"]))
}

fn is_name(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if length == 0 || length > MAX_NAME || text.chars().any(char::is_control) || text.trim() != text {
        return Err(format!(
            "A token's name has 1 to {MAX_NAME} characters, no control characters, and no space at its ends."
        ));
    }
    Ok(())
}

fn is_time(text: &str) -> Result<(), String> {
    text.parse::<Timestamp>()
        .map(|_| ())
        .map_err(|_| "Must be a time with its zone, for example 2030-01-31T00:00:00Z.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times_are_checked() {
        assert!(is_name("team a/1").is_ok());
        for bad in ["", " a", "a\n", &"x".repeat(129)] {
            assert!(is_name(bad).is_err(), "{bad:?}");
        }
        assert!(is_time("2030-01-31T00:00:00+01:00").is_ok());
        assert!(is_time("2030-01-31").is_err() && is_time("soon").is_err());
    }
}
