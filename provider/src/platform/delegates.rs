//! Delegates as the manager knows them.

use delegate_core::protocol::platform::{
    DelegateFilter, DelegateListing, LATEST_VERSION, LIST_DELEGATES, SupportedVersions,
};
use http::Method;
use serde_json::Value as Json;

use super::client::Call;
use super::{Api, PlatformError, Scope};

impl Api {
    /// Delegates of a scope that pass a filter; with `below`, also those of organizations and projects in it. The
    /// product's filters are not exact: check what comes.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn delegates(
        &self,
        scope: &Scope,
        filter: &DelegateFilter,
        below: bool,
    ) -> Result<Vec<DelegateListing>, PlatformError> {
        let call = Call {
            method: Method::POST,
            path: LIST_DELEGATES,
            query: below.then(|| ("all", "true".to_owned())).into_iter().collect(),
            scope,
            // Cannot fail: its keys are texts.
            body: Some(serde_json::to_value(filter).unwrap_or(Json::Null)),
            // A POST by its method, a question by its nature.
            idempotent: true,
            action: format!("list the delegates of {scope}"),
        };
        let listed: Option<Vec<DelegateListing>> = self.call(call).await?;
        Ok(listed.unwrap_or_default())
    }

    /// The newest versions that the manager supports.
    ///
    /// # Errors
    /// When they cannot be found out.
    pub async fn supported_versions(&self) -> Result<SupportedVersions, PlatformError> {
        let call = Call {
            method: Method::GET,
            path: LATEST_VERSION,
            query: Vec::new(),
            scope: &Scope::default(),
            body: None,
            idempotent: true,
            action: "name the newest version of a delegate".to_owned(),
        };
        self.call(call).await
    }
}
