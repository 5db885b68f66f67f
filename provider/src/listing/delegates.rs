//! `harness_delegates`: delegates of an account, as its manager knows them, also those that Terraform did not install.

use std::collections::BTreeSet;

use delegate_core::protocol::platform::{DelegateFilter, DelegateListing, DelegateReplica};
use jiff::Timestamp;

use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::platform::Scope;

/// The data source.
#[derive(Debug, Default)]
pub struct Delegates;

/// One field an attribute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    account_id: Option<String>,
    org_id: Option<String>,
    project_id: Option<String>,
    below: Option<bool>,
    name: Option<String>,
    name_prefix: Option<String>,
    tags: Option<BTreeSet<String>>,
    connected: Option<bool>,
    #[serde(rename = "type")]
    kind: Option<String>,
    delegates: Option<Vec<Delegate>>,
    names: Option<Vec<String>>,
}

/// One delegate of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delegate {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    description: String,
    tags: Vec<String>,
    connected: bool,
    last_heartbeat: Option<String>,
    auto_upgrade: Option<String>,
    org: Option<String>,
    project: Option<String>,
    replicas: Vec<Replica>,
}

/// One replica of a delegate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replica {
    id: String,
    host_name: String,
    version: Option<String>,
    connected: bool,
    last_heartbeat: Option<String>,
    expires_at: Option<String>,
}

#[async_trait]
impl DataSource for Delegates {
    type Data = ProviderData;
    type Model = Model;

    fn type_name(&self) -> &'static str {
        "harness_delegates"
    }

    fn schema(&self) -> Schema {
        computed(filters(Schema::new(0).describe(
            "Delegates as their manager knows them, by whomever they were installed, narrowed by filters that all have to hold. No \
             delegate is an empty list and no error.",
        )))
    }

    async fn read(
        &self,
        cx: &Context<ProviderData>,
        config: Model,
    ) -> Result<DataOutcome<Model>, Diagnostics> {
        let api = match super::api(cx, config.account_id.as_deref())? {
            Ok(api) => api,
            Err(reason) => return Ok(DataOutcome::Deferred(reason)),
        };
        let scope = Scope {
            org: config.org_id.clone(),
            project: config.project_id.clone(),
        };
        let filter = asked(&config);
        let listed = api.delegates(&scope, &filter, config.below == Some(true)).await?;
        let mut found: Vec<Delegate> = listed.into_iter().map(Delegate::from).collect();
        found.retain(|delegate| fits(&config, delegate));
        // In an order that does not depend on the manager's: a list that only changes places must not be a change.
        found.sort_by(|a, b| (&a.org, &a.project, &a.name).cmp(&(&b.org, &b.project, &b.name)));
        let names: BTreeSet<String> = found.iter().map(|delegate| delegate.name.clone()).collect();
        Ok(DataOutcome::Read(Model {
            account_id: Some(api.account().to_owned()),
            names: Some(names.into_iter().collect()),
            delegates: Some(found),
            ..config
        }))
    }
}

/// What the manager can narrow by itself.
fn asked(config: &Model) -> DelegateFilter {
    let status = config
        .connected
        .map(|connected| if connected { "CONNECTED" } else { "DISCONNECTED" });
    DelegateFilter {
        status: status.map(str::to_owned),
        delegate_name: config.name.clone(),
        delegate_tags: config.tags.iter().flatten().cloned().collect(),
        ..DelegateFilter::any()
    }
}

/// Whether every filter holds.
fn fits(config: &Model, delegate: &Delegate) -> bool {
    config.name.as_ref().is_none_or(|name| *name == delegate.name)
        && config
            .name_prefix
            .as_ref()
            .is_none_or(|prefix| delegate.name.starts_with(prefix))
        && config
            .tags
            .iter()
            .flatten()
            .all(|tag| delegate.tags.contains(tag))
        && config
            .connected
            .is_none_or(|connected| connected == delegate.connected)
        && config.kind.as_ref().is_none_or(|kind| *kind == delegate.kind)
}

impl From<DelegateListing> for Delegate {
    fn from(listing: DelegateListing) -> Self {
        let mut replicas: Vec<Replica> = listing.delegate_replicas.into_iter().map(Replica::from).collect();
        replicas.sort_by(|a, b| (&a.host_name, &a.id).cmp(&(&b.host_name, &b.id)));
        let mut tags = listing.tags;
        tags.sort();
        tags.dedup();
        Self {
            name: listing.name,
            kind: listing.delegate_type,
            description: listing.description,
            tags,
            connected: listing.connected,
            last_heartbeat: time(listing.last_heart_beat),
            auto_upgrade: filled(listing.auto_upgrade),
            org: listing.org_name,
            project: listing.project_name,
            replicas,
        }
    }
}

impl From<DelegateReplica> for Replica {
    fn from(replica: DelegateReplica) -> Self {
        Self {
            id: replica.uuid,
            host_name: replica.host_name,
            version: filled(replica.version),
            connected: replica.connected,
            last_heartbeat: time(replica.last_heartbeat),
            expires_at: time(replica.expiring_at),
        }
    }
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn time(millis: i64) -> Option<String> {
    let at = Timestamp::from_millisecond(millis).ok();
    at.filter(|_| millis > 0).map(|at| at.to_string())
}

fn filters(schema: Schema) -> Schema {
    let text = |about: &str| {
        Attribute::string()
            .validate(Validator::length(1, 256))
            .describe(about)
    };
    schema
        .attribute(
            "account_id",
            Attribute::string()
                .optional_computed()
                .describe("Account of the delegates. The provider's `account_id` when absent."),
        )
        .attribute(
            "org_id",
            text("Organization of the delegates, when they are not of the account itself."),
        )
        .attribute(
            "project_id",
            text("Project of the delegates, in the organization `org_id`."),
        )
        .attribute(
            "below",
            Attribute::bool().describe("Whether to list those of organizations and projects below, too."),
        )
        .attribute("name", text("Exactly this name."))
        .attribute("name_prefix", text("Names that begin so."))
        .attribute(
            "tags",
            Attribute::set(Type::String)
                .validate(Validator::length(1, 100))
                .describe("Tags, all of which the delegate has been given."),
        )
        .attribute(
            "connected",
            Attribute::bool().describe("`true`: at least one replica is connected; `false`: none is."),
        )
        .attribute(
            "type",
            text("Type, for example `HELM_DELEGATE`, `KUBERNETES` or `DOCKER`."),
        )
        .rule(Rule::required_with("project_id", ["org_id"]))
        .rule(Rule::conflicts_with("name", ["name_prefix"]))
}

fn computed(schema: Schema) -> Schema {
    let text = |about: &str| Attribute::string().computed().describe(about);
    let flag = |about: &str| Attribute::bool().computed().describe(about);
    let replica = Object::new()
        .attribute("id", text("Identity of the replica."))
        .attribute("host_name", text("Name of its host or pod."))
        .attribute("version", text("Version of its program."))
        .attribute("connected", flag("Whether it is connected."))
        .attribute("last_heartbeat", text("When it was heard of last."))
        .attribute(
            "expires_at",
            text("When the manager stops supporting its version, or forgets it."),
        );
    let delegate = Object::new()
        .attribute("name", text("Name, shared by its replicas."))
        .attribute("type", text("Type."))
        .attribute("description", text("Description."))
        .attribute(
            "tags",
            Attribute::list(Type::String).computed().describe("Tags, sorted."),
        )
        .attribute("connected", flag("Whether at least one replica is connected."))
        .attribute("last_heartbeat", text("When a replica was heard of last."))
        .attribute("auto_upgrade", text("`ON`, `OFF` or `DETECTING`."))
        .attribute("org", text("Organization, if it is registered in one."))
        .attribute("project", text("Project, if it is registered in one."))
        .attribute(
            "replicas",
            Attribute::object_list(replica)
                .computed()
                .describe("Its replicas, by host name."),
        );
    schema
        .attribute(
            "delegates",
            Attribute::object_list(delegate)
                .computed()
                .describe("The delegates, by name."),
        )
        .attribute(
            "names",
            Attribute::list(Type::String)
                .computed()
                .describe("Their names, sorted, each once."),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Model {
        Model {
            account_id: None,
            org_id: None,
            project_id: None,
            below: None,
            name: None,
            name_prefix: None,
            tags: None,
            connected: None,
            kind: None,
            delegates: None,
            names: None,
        }
    }

    #[test]
    fn every_filter_has_to_hold() {
        let delegate = Delegate::from(DelegateListing {
            name: "team-a".into(),
            delegate_type: "DOCKER".into(),
            tags: vec!["b".into(), "a".into(), "b".into()],
            connected: true,
            ..DelegateListing::default()
        });
        assert_eq!(delegate.tags, ["a", "b"]);
        let tags = |tags: &[&str]| Some(tags.iter().map(|tag| (*tag).to_owned()).collect());
        for (config, fitting) in [
            (any(), true),
            (
                Model {
                    name: Some("team-a".into()),
                    ..any()
                },
                true,
            ),
            (
                Model {
                    name: Some("team".into()),
                    ..any()
                },
                false,
            ),
            (
                Model {
                    name_prefix: Some("team".into()),
                    ..any()
                },
                true,
            ),
            (
                Model {
                    name_prefix: Some("a".into()),
                    ..any()
                },
                false,
            ),
            (
                Model {
                    tags: tags(&["a", "b"]),
                    ..any()
                },
                true,
            ),
            (
                Model {
                    tags: tags(&["a", "c"]),
                    ..any()
                },
                false,
            ),
            (
                Model {
                    connected: Some(false),
                    ..any()
                },
                false,
            ),
            (
                Model {
                    kind: Some("DOCKER".into()),
                    connected: Some(true),
                    ..any()
                },
                true,
            ),
            (
                Model {
                    kind: Some("docker".into()),
                    ..any()
                },
                false,
            ),
        ] {
            assert_eq!(fits(&config, &delegate), fitting, "{config:?}");
        }
    }

    #[test]
    fn a_filter_asks_the_manager_for_what_it_can_narrow() {
        let config = Model {
            connected: Some(false),
            name: Some("n".into()),
            ..any()
        };
        let filter = asked(&config);
        assert_eq!(
            (filter.status.as_deref(), filter.delegate_name.as_deref()),
            (Some("DISCONNECTED"), Some("n"))
        );
    }
}
