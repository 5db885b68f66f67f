//! A `moved` block from `helm_release`: the release stays, and who keeps it in Terraform changes.
//!
//! Of the other provider's state only what says where the release is and what it was made from is read: the read that
//! follows takes everything else from the release itself. Both of its schemas (version 1 of the 2.x releases, 2 of the 3.x)
//! write these attributes alike; whatever else a state holds is passed over, and one that does not say enough is refused
//! with the way to import.

use std::path::Path;

use serde_json::Value as Json;

use super::super::model::{Chart, Helm, Model};
use crate::framework::prelude::*;
use crate::framework::traits::MoveRequest;
use crate::install::helm::leaves_arguments_alone;

/// The type that can become one of ours, of whichever registry.
const HELM_RELEASE: &str = "helm_release";

/// Namespace of a release that names none, in that provider.
const THEIR_NAMESPACE: &str = "default";

/// The state of a delegate made from that of a release; `None` when it is of another type.
pub(in crate::delegate) fn from_release(request: &MoveRequest) -> Option<Result<Model, Diagnostics>> {
    (request.type_name == HELM_RELEASE).then(|| {
        located(&request.state).ok_or_else(|| {
            Diagnostics::error(
                "The release cannot be moved",
                "The stored helm_release names no release: it was never applied, or its state is damaged. Remove the moved block; \
                 if there is a release, import it: terraform import <address> helm/<context>/<namespace>/<release>.",
            )
        })
    })
}

fn located(state: &Json) -> Option<Model> {
    let text = |name: &str| {
        state[name]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let release = text("name").or_else(|| text("id"))?;
    let documents = state["values"].as_array().into_iter().flatten();
    // One that sets what is an argument here, the token perhaps, cannot be in the new configuration: it stays behind.
    let values: Vec<String> = documents
        .filter_map(Json::as_str)
        .filter(|document| leaves_arguments_alone(document))
        .map(str::to_owned)
        .collect();
    // Which context leads there is the configuration's; the read finds out.
    let mut model = Model::located(release.clone(), Field::Null);
    model.helm = Some(Helm {
        namespace: Some(text("namespace").unwrap_or_else(|| THEIR_NAMESPACE.to_owned())),
        create_namespace: Some(true),
        release: Some(release),
        chart: text("chart").map(|chart| chart_of(&chart, text("repository"), text("version"))),
        values: (!values.is_empty()).then_some(values),
        ..Helm::default()
    });
    Some(model)
}

/// Their one argument `chart` is a name, a path, or an address.
fn chart_of(chart: &str, repository: Option<String>, version: Option<String>) -> Chart {
    let of = |repository: Option<String>, name: &str| Chart {
        repository,
        name: Some(name.to_owned()),
        version,
        ..Chart::default()
    };
    let packed = Path::new(chart).extension().is_some_and(|end| end == "tgz");
    let is_path = packed || chart.starts_with(['.', '/', '~']);
    match (repository, chart.rsplit_once('/')) {
        (Some(repository), _) => of(Some(repository), chart),
        (None, Some((address, name))) if address.starts_with("oci://") => of(Some(address.to_owned()), name),
        (None, _) if is_path => Chart {
            path: Some(chart.to_owned()),
            ..Chart::default()
        },
        (None, _) => of(None, chart),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn moved(schema_version: i64, state: Json) -> Option<Result<Model, Diagnostics>> {
        from_release(&MoveRequest {
            provider_address: "registry.terraform.io/hashicorp/helm".into(),
            type_name: HELM_RELEASE.into(),
            schema_version,
            state,
        })
    }

    #[test]
    fn both_schemas_say_where_the_release_is() {
        let one = json!({
            "name": "team-a", "namespace": "ns", "chart": "harness-delegate-ng", "repository": "https://charts.example",
            "version": "1.0.32", "values": ["replicas: 1\n", "delegateToken: hunter2", "a: ["],
            "set": [{ "name": "a", "value": "b", "type": "" }],
            "metadata": [{ "name": "team-a", "revision": 3 }], "timeout": 300,
        });
        let mut two = one.clone();
        two["metadata"] = json!({ "name": "team-a", "revision": 3 });
        two["timeouts"] = Json::Null;
        for (version, state) in [(1, one), (2, two)] {
            let model = moved(version, state).unwrap().unwrap();
            let helm = model.helm.unwrap();
            let chart = helm.chart.unwrap();
            assert_eq!(
                (model.name.as_str(), helm.namespace.as_deref()),
                ("team-a", Some("ns"))
            );
            assert_eq!(helm.values.unwrap(), ["replicas: 1\n"]);
            assert_eq!(
                (
                    chart.repository.as_deref(),
                    chart.name.as_deref(),
                    chart.version.as_deref()
                ),
                (
                    Some("https://charts.example"),
                    Some("harness-delegate-ng"),
                    Some("1.0.32")
                )
            );
        }
    }

    #[test]
    fn a_chart_is_a_path_an_address_or_a_name() {
        let path = chart_of("./charts/delegate", None, None);
        assert_eq!(
            (path.path.as_deref(), path.name),
            (Some("./charts/delegate"), None)
        );
        let oci = chart_of("oci://registry.example/team/delegate", None, Some("1".into()));
        assert_eq!(
            (oci.repository.as_deref(), oci.name.as_deref()),
            (Some("oci://registry.example/team"), Some("delegate"))
        );
        let added = chart_of("harness/delegate", None, None);
        assert_eq!(
            (added.repository, added.name.as_deref()),
            (None, Some("harness/delegate"))
        );
    }

    #[test]
    fn every_state_has_an_answer() {
        for state in [
            json!(null),
            json!([]),
            json!("x"),
            json!({}),
            json!({ "name": 7, "values": {} }),
        ] {
            let error = moved(9, state).unwrap().unwrap_err().to_string();
            assert!(error.contains("terraform import"), "{error}");
        }
        assert!(
            moved(1, json!({ "id": "r", "values": [1, null] }))
                .unwrap()
                .is_ok()
        );
    }
}
