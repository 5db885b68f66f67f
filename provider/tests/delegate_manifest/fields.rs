//! Every field that was applied is looked at: the API server keeps a list of those, and each of them is changed by hand.

use serde_json::{Value as Json, json};

use crate::arguments::everything;
use crate::cluster::Site;

/// What the API server calls us.
const US: &str = "terraform-provider-harness";

/// Fields that nobody can change.
const FIXED: [&str; 4] = [
    "/spec/selector",
    "/roleRef",
    "/restartPolicy",
    "/template/metadata/labels",
];

#[tokio::test]
async fn a_change_of_any_field_is_seen_and_set_right() {
    let Some(site) = Site::without_helm("m-fields").await else {
        return;
    };
    site.apply(&everything(&site).unset("permissions"))
        .await
        .succeeds();
    site.terraform.assert_settled().await;
    let mut expected = 0;
    for object in ours(&site).await {
        let title = title(&object);
        let changes = changes(&object);
        let fields = changes.iter().filter(|change| change["op"] == "add").count();
        assert!(fields >= 2, "{title} has fields of ours: {object:#}");
        let patch = json!(changes).to_string();
        site.kubectl(&["patch", &title, "--type=json", "--patch", &patch])
            .await;
        expected += fields;
    }
    let drift = site.drift().await;
    let seen: usize = drift.iter().map(|line| lines_for(line)).sum();
    assert_eq!(seen, expected, "{drift:#?}");
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    site.terraform.destroy().await.succeeds();
}

/// The objects that we have applied, but for the Secret, which is told as one.
async fn ours(site: &Site) -> Vec<Json> {
    const KINDS: &str = "configmap,serviceaccount,role,rolebinding,deployment";
    let all = site.get(&[KINDS, "--show-managed-fields"]).await;
    let objects = all["items"].as_array().cloned().unwrap_or_default();
    let ours: Vec<Json> = objects
        .into_iter()
        .filter(|object| fields(object).is_some())
        .collect();
    assert_eq!(ours.len(), 6, "two ConfigMaps and one of each other kind");
    ours
}

fn title(object: &Json) -> String {
    let text = |value: &Json| value.as_str().expect("a text").to_owned();
    format!(
        "{}/{}",
        text(&object["kind"]).to_lowercase(),
        text(&object["metadata"]["name"])
    )
}

/// The fields that the API server says are ours.
fn fields(object: &Json) -> Option<&Json> {
    let managers = object["metadata"]["managedFields"].as_array()?;
    let us = managers
        .iter()
        .find(|entry| entry["manager"] == US && entry["operation"] == "Apply")?;
    Some(&us["fieldsV1"])
}

/// A JSON patch that gives each field of ours another value.
fn changes(object: &Json) -> Vec<Json> {
    let mut found = Vec::new();
    collect(fields(object).expect("ours"), object, "", &mut found);
    found
}

fn collect(fields: &Json, value: &Json, path: &str, found: &mut Vec<Json>) {
    for (key, below) in fields.as_object().into_iter().flatten() {
        if let Some(name) = key.strip_prefix("f:") {
            let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
            let is_whole = below.as_object().is_some_and(serde_json::Map::is_empty);
            if is_whole {
                found.extend(change(&path, name, &value[name]));
            } else {
                collect(below, &value[name], &path, found);
            }
        } else if let Some(id) = key.strip_prefix("k:") {
            let id: Json = serde_json::from_str(id).expect("the key of an element");
            let id = id.as_object().expect("fields").clone();
            let elements = value.as_array().expect("a list");
            let is_it = |element: &Json| {
                id.iter()
                    .all(|(name, value)| element[name] == *value || value == "TCP")
            };
            let at = elements.iter().position(is_it).expect("it is there");
            // Its key tells it from others: with another one it would be another element.
            let mut below = below.clone();
            for name in id.keys() {
                below
                    .as_object_mut()
                    .expect("fields")
                    .remove(&format!("f:{name}"));
            }
            collect(&below, &elements[at], &format!("{path}/{at}"), found);
        }
    }
}

/// What gives a field another value that the API server takes; nothing for one that cannot have another.
fn change(path: &str, name: &str, value: &Json) -> Vec<Json> {
    let is_fixed = FIXED
        .iter()
        .any(|fixed| path.starts_with(fixed) || path.contains(fixed));
    let other = match (name, value) {
        _ if is_fixed => return Vec::new(),
        // Nothing in it is ours.
        ("emptyDir", _) => return Vec::new(),
        ("imagePullPolicy", _) => json!("Always"),
        ("scheme", _) => json!("HTTPS"),
        ("type", Json::String(text)) if text == "RuntimeDefault" => json!("Unconfined"),
        ("type", Json::String(text)) if text == "RollingUpdate" => {
            return vec![
                json!({ "op": "add", "path": path, "value": "Recreate" }),
                json!({ "op": "remove", "path": path.replace("/type", "/rollingUpdate") }),
            ];
        }
        // Another volume that is there.
        ("name", _) if path.contains("/volumeMounts/") => {
            json!(if value == "delegate-tmp" {
                "custom-ca"
            } else {
                "delegate-tmp"
            })
        }
        // What is false or zero is left out by the API server.
        ("allowPrivilegeEscalation", _) => json!(true),
        ("value", Json::Null) => json!("theirs"),
        (_, Json::Null) => json!(1),
        (_, Json::Bool(yes)) => json!(!yes),
        (_, Json::Number(number)) => json!(number.as_i64().expect("whole") + 1),
        // A quantity stays one, and a name too.
        (_, Json::String(text)) if path.contains("/resources/") => json!(format!("1{text}")),
        (_, Json::String(text)) => json!(format!("x{text}")),
        (_, Json::Array(elements)) => {
            let mut elements = elements.clone();
            let more = match name {
                "drop" => json!("NET_RAW"),
                "subjects" => json!({ "kind": "ServiceAccount", "name": "default", "namespace": "default" }),
                "rules" => json!({ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }),
                _ => elements.last().cloned().expect("an element"),
            };
            elements.push(more);
            json!(elements)
        }
        (_, Json::Object(whole)) => {
            // What it points at.
            let mut whole = whole.clone();
            let target = whole["name"].as_str().expect("the name of something").to_owned();
            whole.insert("name".to_owned(), json!(format!("x{target}")));
            json!(whole)
        }
    };
    vec![json!({ "op": "add", "path": path, "value": other })]
}

/// How many differences a line of `drift` stands for.
fn lines_for(line: &str) -> usize {
    let more = line
        .split_once(" has ")
        .and_then(|(_, rest)| rest.strip_suffix(" more differences"));
    more.map_or(1, |count| count.parse().expect("a number"))
}

#[test]
fn a_line_stands_for_itself_or_for_those_that_are_counted() {
    assert_eq!(lines_for("Role/a rules has 2 entries, installed with 1"), 1);
    assert_eq!(lines_for("Deployment/a has 12 more differences"), 12);
}
