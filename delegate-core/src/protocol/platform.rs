//! Messages of the platform API: what holders of an API key ask and are told about delegate tokens and delegates.
//!
//! Paths are below `<manager>/ng/api`, and every call names its account as `accountIdentifier`. The names are the
//! product's own. Readers take an absent key and a null alike as the default, because the product sends both; keys not
//! listed here are ignored.

use serde::{Deserialize, Deserializer, Serialize};

/// Path of the delegate tokens: POST makes one, GET lists, PUT revokes, DELETE deletes one that is revoked.
pub const TOKENS: &str = "/delegate-token-ng";

/// Path (POST) of the list of delegates. Takes a [`DelegateFilter`], gives [`DelegateListing`]s.
pub const LIST_DELEGATES: &str = "/delegate-setup/listDelegates";

/// Path (GET) of the newest version of a delegate that the manager supports. Gives [`SupportedVersions`].
pub const LATEST_VERSION: &str = "/delegate-setup/latest-supported-version";

/// Status of a token that delegates may use.
pub const ACTIVE: &str = "ACTIVE";

/// Status of a token that is refused, and whose name stays taken for 30 days.
pub const REVOKED: &str = "REVOKED";

/// A delegate token. Its value is a secret, so this does not print.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenDetails {
    /// Identity.
    #[serde(deserialize_with = "or_default")]
    pub uuid: String,
    /// Account it belongs to.
    #[serde(deserialize_with = "or_default")]
    pub account_id: String,
    /// Name, unique in its account, organization or project.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// When it was made, milliseconds since the epoch.
    #[serde(deserialize_with = "or_default")]
    pub created_at: i64,
    /// [`ACTIVE`] or [`REVOKED`].
    #[serde(deserialize_with = "or_default")]
    pub status: String,
    /// The secret in the form the user interface shows; only on creation and when asked for by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// When it revokes itself, milliseconds since the epoch. The product may be up to an hour late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_after: Option<i64>,
}

/// What a list of delegates is narrowed by. Empty and absent mean "any".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelegateFilter {
    /// Always [`DelegateFilter::TYPE`].
    #[serde(deserialize_with = "or_default")]
    pub filter_type: String,
    /// `CONNECTED` or `DISCONNECTED`; the product knows more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Host name of a replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Name of the delegate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegate_name: Option<String>,
    /// Identifier of the delegate; for a delegate of our manager, its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegate_group_identifier: Option<String>,
    /// Tags that it has.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub delegate_tags: Vec<String>,
}

impl DelegateFilter {
    /// The kind of filter this is, which a filter has to say.
    pub const TYPE: &str = "Delegate";

    /// Every delegate.
    pub fn any() -> Self {
        Self {
            filter_type: Self::TYPE.to_owned(),
            ..Self::default()
        }
    }
}

/// A delegate in a list: what its replicas have in common, and each of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelegateListing {
    /// `KUBERNETES`, `DOCKER`, `HELM_DELEGATE`, …
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub delegate_type: String,
    /// Name, shared by the replicas.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Description given by the owner.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// Tags.
    #[serde(deserialize_with = "or_default")]
    pub tags: Vec<String>,
    /// When a replica was heard of last, milliseconds since the epoch.
    #[serde(deserialize_with = "or_default")]
    pub last_heart_beat: i64,
    /// Whether a replica is connected.
    #[serde(deserialize_with = "or_default")]
    pub connected: bool,
    /// The replicas.
    #[serde(deserialize_with = "or_default")]
    pub delegate_replicas: Vec<DelegateReplica>,
    /// `ON`, `OFF` or `DETECTING`.
    #[serde(deserialize_with = "or_default")]
    pub auto_upgrade: String,
    /// Whether it is of the kind before the present images.
    #[serde(deserialize_with = "or_default")]
    pub legacy: bool,
    /// Organization it is registered in, if not in the account itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_name: Option<String>,
    /// Project it is registered in, if in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_name: Option<String>,
}

/// One replica of a delegate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelegateReplica {
    /// Identity.
    #[serde(deserialize_with = "or_default")]
    pub uuid: String,
    /// When it was heard of last, milliseconds since the epoch.
    #[serde(deserialize_with = "or_default")]
    pub last_heartbeat: i64,
    /// Whether it is connected.
    #[serde(deserialize_with = "or_default")]
    pub connected: bool,
    /// Name of its host or pod.
    #[serde(deserialize_with = "or_default")]
    pub host_name: String,
    /// Version of the program.
    #[serde(deserialize_with = "or_default")]
    pub version: String,
    /// When the product stops supporting that version; for our manager, when a silent replica is forgotten.
    /// Milliseconds since the epoch.
    #[serde(deserialize_with = "or_default")]
    pub expiring_at: i64,
}

/// Versions of a delegate that the manager supports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SupportedVersions {
    /// The newest, which is also the tag of its image.
    #[serde(deserialize_with = "or_default")]
    pub latest_supported_version: String,
    /// The newest of the image with few tools in it.
    #[serde(deserialize_with = "or_default")]
    pub latest_supported_minimal_version: String,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_absent_mean_the_same() {
        let listing: DelegateListing = serde_json::from_str(
            r#"{"name":"a","description":null,"tags":null,"delegateReplicas":[{"hostName":null,"expiringAt":null}],"new":1}"#,
        )
        .unwrap();
        assert_eq!((listing.name.as_str(), listing.tags.len()), ("a", 0));
        assert_eq!(listing.delegate_replicas, [DelegateReplica::default()]);
        let token: TokenDetails = serde_json::from_str(r#"{"name":"t","value":null,"uuid":null}"#).unwrap();
        assert!(token.value.is_none() && token.revoke_after.is_none());
    }

    #[test]
    fn a_filter_says_only_what_it_asks() {
        let any = serde_json::to_string(&DelegateFilter::any()).unwrap();
        assert_eq!(any, r#"{"filterType":"Delegate"}"#);
    }
}
