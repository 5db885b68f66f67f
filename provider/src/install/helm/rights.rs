//! Bindings that a release gives another role.
//!
//! Kubernetes does not let a binding be pointed at another role, and so Helm cannot either: the old binding is removed
//! right before the upgrade, which makes the new one. Only one that Helm made for this very release is touched.

use serde_json::Value;

use super::{HelmError, HelmSpec};
use crate::install::cluster::Connection;

/// Annotation in which Helm keeps the release an object belongs to.
const OWNER: &str = "meta.helm.sh/release-name";

/// Removes the bindings of the release whose role is another one in `rendered`.
///
/// # Errors
/// When the cluster refuses.
pub(super) async fn release_bindings(
    cluster: &Connection,
    spec: &HelmSpec,
    rendered: &[Value],
) -> Result<(), HelmError> {
    let is_binding = |object: &&Value| {
        matches!(
            object["kind"].as_str(),
            Some("RoleBinding" | "ClusterRoleBinding")
        )
    };
    for wanted in rendered.iter().filter(is_binding) {
        let Some(live) = cluster.live(wanted, spec.namespace()).await? else {
            continue;
        };
        let owner = live
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(OWNER));
        if owner == Some(&spec.release) && is_another_role(wanted, &live.data) {
            cluster.delete(wanted, spec.namespace()).await?;
        }
    }
    Ok(())
}

fn is_another_role(wanted: &Value, live: &Value) -> bool {
    ["apiGroup", "kind", "name"]
        .iter()
        .any(|field| wanted["roleRef"][field] != live["roleRef"][field])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_another_role;

    #[test]
    fn a_role_is_another_one_by_any_part_of_its_reference() {
        let binding = |group: &str, kind: &str, name: &str| json!({ "roleRef": { "apiGroup": group, "kind": kind, "name": name } });
        let one = binding("g", "Role", "a");
        assert!(!is_another_role(&one, &one));
        for other in [
            binding("h", "Role", "a"),
            binding("g", "ClusterRole", "a"),
            binding("g", "Role", "b"),
        ] {
            assert!(is_another_role(&one, &other), "{other}");
        }
    }
}
