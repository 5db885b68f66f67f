//! `harness_delegate_manifest`: what mode `manifest` would apply, as text, for whoever applies it in another way.
//!
//! Nothing is contacted. There is no token in it: the objects name the Secret that holds it.

use std::collections::{BTreeMap, BTreeSet};

use delegate_core::config::{AccountId, DelegateName, Tag};
use delegate_core::install::kubernetes::{ChartKind, Installer, objects, values, yaml};

use super::model::{self, Model, Resources, TokenSecret};
use super::schema::{DEFAULT_NAMESPACE, is_label, is_url, parses};
use super::spec::{Spec, TokenFrom, spec};
use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::install::cluster::title;

/// What made the objects, when somebody else applies them.
const MANAGED_BY: &str = "harness-delegate";

/// The data source.
#[derive(Debug, Default)]
pub struct DelegateManifest;

/// Its arguments, by the names of the resource's, and what comes of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rendered {
    name: String,
    account_id: Option<String>,
    manager_url: Option<String>,
    namespace: Option<String>,
    token_secret: Option<TokenSecret>,
    tags: Option<BTreeSet<String>>,
    description: Option<String>,
    replicas: Option<u32>,
    image: Option<String>,
    permissions: Option<String>,
    resources: Option<Resources>,
    env: Option<BTreeMap<String, String>>,
    init_script: Option<String>,
    log_service_url: Option<String>,
    poll_for_tasks: Option<bool>,
    mtls_secret: Option<String>,
    ca_secret: Option<String>,
    yaml: Field<String>,
    objects: Field<BTreeMap<String, String>>,
    values: Field<String>,
    secret_name: Field<String>,
}

#[async_trait]
impl DataSource for DelegateManifest {
    type Data = ProviderData;
    type Model = Rendered;

    fn type_name(&self) -> &'static str {
        "harness_delegate_manifest"
    }

    fn schema(&self) -> Schema {
        let text = |what: &str| Attribute::string().describe(what);
        let quantities = |what: &str| Attribute::map(Type::String).describe(what);
        let resources = Object::new()
            .attribute("requests", quantities("What the container is given for sure."))
            .attribute("limits", quantities("What it may use at most."));
        let secret = Object::new()
            .attribute(
                "name",
                text("Name of the Secret, in the delegate's namespace.").required(),
            )
            .attribute(
                "key",
                text("Key of the token in it: `DELEGATE_TOKEN`.")
                    .validate(Validator::one_of(["DELEGATE_TOKEN"])),
            );
        Schema::new(0)
            .describe(
                "The Kubernetes objects of a delegate as text, for whoever applies them in another way; the same that `manifest` of \
                 `harness_delegate` applies. Nothing is contacted, and no token is in it.",
            )
            .attribute(
                "name",
                text("Name of the delegate, and of its objects.")
                    .required()
                    .validate(Validator::text(parses::<DelegateName>)),
            )
            .attribute(
                "account_id",
                text("Account to register with. The provider's when absent.").validate(Validator::text(parses::<AccountId>)),
            )
            .attribute(
                "manager_url",
                text("URL of the manager. The provider's `endpoint` when absent.").validate(Validator::text(is_url)),
            )
            .attribute(
                "namespace",
                text(&format!("Namespace of the objects; `{DEFAULT_NAMESPACE}` when absent.")).validate(Validator::text(is_label)),
            )
            .attribute(
                "token_secret",
                Attribute::object(secret).describe("The Secret that holds the token; `<name>-delegate-token` when absent."),
            )
            .attribute(
                "tags",
                Attribute::set(Type::String)
                    .validate(Validator::text(parses::<Tag>).each())
                    .describe("Tags, which selectors of tasks name."),
            )
            .attribute("description", text("Description, shown by the manager."))
            .attribute(
                "replicas",
                Attribute::number().validate(Validator::between(0, 1000)).describe("Pods; 1 when absent."),
            )
            .attribute("image", text("Image of the delegate; that of this version when absent.").validate(Validator::length(1, 512)))
            .attribute(
                "permissions",
                text("`CLUSTER_ADMIN`, `CLUSTER_VIEWER`, `NAMESPACE_ADMIN` (when absent), or the name of a Role in the namespace.")
                    .validate(Validator::length(1, 253)),
            )
            .attribute("resources", Attribute::object(resources).describe("Resources of the container."))
            .attribute("env", quantities("Further environment variables of the delegate."))
            .attribute("init_script", text("Shell script run before the start."))
            .attribute(
                "log_service_url",
                text("URL of the log service; `<manager_url>/log-service/` when absent.").validate(Validator::text(is_url)),
            )
            .attribute("poll_for_tasks", Attribute::bool().describe("Never use the persistent connection."))
            .attribute("mtls_secret", text("Secret with `client.crt` and `client.key`."))
            .attribute("ca_secret", text("Secret whose files are trusted."))
            .attribute("yaml", text("All objects as YAML documents, in the order in which to apply them.").computed())
            .attribute(
                "objects",
                Attribute::map(Type::String).computed().describe("Each object as YAML, by `Kind/name`; for `for_each`."),
            )
            .attribute("values", text("Values that make the chart render the same objects, as YAML.").computed())
            .attribute("secret_name", text("Name of the Secret that the objects read the token from.").computed())
    }

    async fn read(
        &self,
        cx: &Context<ProviderData>,
        mut config: Rendered,
    ) -> Result<DataOutcome<Rendered>, Diagnostics> {
        let found = spec(&config.delegate(), TokenFrom::Installed, cx.data()?)?;
        let Spec::Manifest(found, _) = found else {
            return Err(Diagnostics::error(
                "Unexpected mode",
                "This is a bug of the provider: please report it.",
            ));
        };
        let installer = Installer {
            managed_by: MANAGED_BY,
            secret_revision: None,
        };
        let rendered = objects(&found.delegate, installer);
        config.yaml = Field::Known(yaml::documents(&rendered));
        let each = rendered
            .iter()
            .map(|object| (title(object), yaml::document(object)));
        config.objects = Field::Known(each.collect());
        config.values = Field::Known(yaml::document(&values(&found.delegate, ChartKind::Ours, None)));
        config.secret_name = Field::Known(found.delegate.secret_with_token());
        Ok(DataOutcome::Read(config))
    }
}

impl Rendered {
    /// The resource with the same arguments.
    fn delegate(&self) -> Model {
        let mut model = Model::located(self.name.clone(), Field::Null);
        model.account_id.clone_from(&self.account_id);
        model.manager_url.clone_from(&self.manager_url);
        model.token_secret.clone_from(&self.token_secret);
        model.tags.clone_from(&self.tags);
        model.description.clone_from(&self.description);
        model.replicas = self.replicas;
        model.image.clone_from(&self.image);
        model.permissions.clone_from(&self.permissions);
        model.resources.clone_from(&self.resources);
        model.env.clone_from(&self.env);
        model.init_script.clone_from(&self.init_script);
        model.log_service_url.clone_from(&self.log_service_url);
        model.poll_for_tasks = self.poll_for_tasks;
        model.mtls = self.mtls_secret.clone().map(|name| model::Mtls {
            secret_name: Some(name),
            certificate_file: None,
            key_file: None,
        });
        model.ca_bundle = self.ca_secret.clone().map(|name| model::CaBundle {
            secret_name: Some(name),
            directory: None,
        });
        model.manifest = Some(model::Manifest {
            namespace: self.namespace.clone(),
            ..model::Manifest::default()
        });
        model
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_obeys_terraforms_rules() {
        assert_eq!(
            DelegateManifest.schema().check("harness_delegate_manifest"),
            Vec::<String>::new()
        );
    }
}
