//! Secrets on their way to Terraform.

use delegate_core::Secret;
use serde::{Deserialize, Serialize, Serializer};

/// A secret that is given to Terraform because the user asked for it: in a state (`token` instead of `token_wo`,
/// `store_value`), or in an ephemeral value. The only secret that serializes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StateSecret(pub Secret);

impl Serialize for StateSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}
