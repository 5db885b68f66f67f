//! Data sources on what the manager knows: the delegates of an account, and the version to install.
//!
//! They ask through [`crate::platform`] and translate. A list is exact: what the manager's own filters let through is
//! checked here once more.

mod delegates;
mod version;

pub use delegates::Delegates;
pub use version::DelegateVersion;

use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::platform::{Api, PlatformError};

/// The API of the account that a data source means, or that it has to be read later.
fn api(cx: &Context<ProviderData>, account: Option<&str>) -> Result<Result<Api, DeferReason>, Diagnostics> {
    match cx.data()?.api(account, &cx.stop) {
        Ok(api) => Ok(Ok(api)),
        Err(PlatformError::Unknown(_)) if cx.client.deferral_allowed => {
            Ok(Err(DeferReason::ProviderConfigUnknown))
        }
        Err(problem) => Err(problem.into()),
    }
}
