//! `harness_delegate_version`: the newest version of a delegate that the manager supports.

use crate::data::ProviderData;
use crate::framework::prelude::*;

/// The data source.
#[derive(Debug, Default)]
pub struct DelegateVersion;

/// One field an attribute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    account_id: Option<String>,
    latest: Option<String>,
    latest_minimal: Option<String>,
}

#[async_trait]
impl DataSource for DelegateVersion {
    type Data = ProviderData;
    type Model = Model;

    fn type_name(&self) -> &'static str {
        "harness_delegate_version"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe(
                "The newest version of a delegate that the manager supports: the tag for `image` of a `harness_delegate`.",
            )
            .attribute(
                "account_id",
                Attribute::string()
                    .optional_computed()
                    .describe("Account to ask about. The provider's `account_id` when absent."),
            )
            .attribute(
                "latest",
                Attribute::string()
                    .computed()
                    .describe("The newest version, which is the tag of its image."),
            )
            .attribute(
                "latest_minimal",
                Attribute::string()
                    .computed()
                    .describe("The newest version of the image with few tools in it; the tag is `<version>.minimal`."),
            )
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
        let versions = api.supported_versions().await?;
        let named = |version: String| (!version.is_empty()).then_some(version);
        let Some(latest) = named(versions.latest_supported_version) else {
            return Err(Diagnostics::error(
                "The manager names no version",
                "It answered without a latest supported version. Set the image's tag yourself.",
            ));
        };
        Ok(DataOutcome::Read(Model {
            account_id: Some(api.account().to_owned()),
            latest: Some(latest),
            latest_minimal: named(versions.latest_supported_minimal_version),
        }))
    }
}
