//! What was installed against what is there, one object at a time.
//!
//! The comparison goes one way: every field that the installation set must be the same in the live object; what others
//! have added (defaults, status, sidecars, annotations) is theirs. A difference is one short line, and never the value
//! of a Secret.

use serde_json::Value;

use crate::install::cluster::title;

/// Most characters of a value that a difference shows.
const SHOWN: usize = 60;

/// Most differences that one object shows.
const PER_OBJECT: usize = 8;

/// Lists whose elements have a key: others may add elements of their own. Every other list is of one piece, and whoever adds
/// to it changes it; a list of subjects or rules is one.
const KEYED: &[(&str, &str)] = &[
    ("containers", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("ports", "containerPort"),
    ("ports", "port"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];

/// The objects of a rendered chart.
///
/// # Errors
/// When the text is not YAML.
pub(in crate::install) fn objects(manifest: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().filter(Value::is_object).collect())
}

/// How a live object differs from the installed one, one line a field; empty when it does not.
pub(in crate::install) fn differences(installed: &Value, live: Option<&Value>) -> Vec<String> {
    let title = title(installed);
    let Some(live) = live else {
        return vec![format!("{title} is missing")];
    };
    let mut walk = Walk {
        secret: installed["kind"] == "Secret",
        found: Vec::new(),
    };
    walk.object(installed, live, "");
    let more = walk.found.len().saturating_sub(PER_OBJECT);
    walk.found.truncate(PER_OBJECT);
    let mut lines: Vec<String> = walk
        .found
        .into_iter()
        .map(|line| format!("{title} {line}"))
        .collect();
    if more > 0 {
        lines.push(format!("{title} has {more} more differences"));
    }
    lines
}

struct Walk {
    secret: bool,
    found: Vec<String>,
}

impl Walk {
    fn object(&mut self, installed: &Value, live: &Value, path: &str) {
        let Some(fields) = installed.as_object() else {
            return;
        };
        for (name, wanted) in fields {
            if path.is_empty() && matches!(name.as_str(), "status" | "apiVersion") {
                continue;
            }
            // Text is the writing form of data; the API server keeps only data.
            let (name, wanted) = if path.is_empty() && name == "stringData" {
                ("data", &encoded(wanted))
            } else {
                (name.as_str(), wanted)
            };
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            self.field(wanted, live.get(name).unwrap_or(&Value::Null), &path);
        }
    }

    fn field(&mut self, wanted: &Value, found: &Value, path: &str) {
        match (wanted, found) {
            _ if is_nothing(wanted) && is_nothing(found) => {}
            (Value::Object(_), Value::Object(_)) => self.object(wanted, found, path),
            (Value::Array(wanted), Value::Array(found)) => self.array(wanted, found, path),
            _ if same(wanted, found) => {}
            _ => self.differs(wanted, found, path),
        }
    }

    fn array(&mut self, wanted: &[Value], found: &[Value], path: &str) {
        let field = path.rsplit('.').next().unwrap_or(path);
        let key = KEYED
            .iter()
            .filter(|(name, _)| *name == field)
            .map(|(_, key)| key)
            .find(|key| wanted.iter().all(|element| element.get(key).is_some()));
        if let Some(key) = key {
            for element in wanted {
                let id = &element[key];
                let path = format!("{path}[{}]", text(id));
                match found.iter().find(|live| same(id, &live[key])) {
                    Some(live) => self.field(element, live, &path),
                    None => self.found.push(format!("{path} is missing")),
                }
            }
        } else if wanted.len() == found.len() {
            for (at, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                self.field(wanted, found, &format!("{path}[{at}]"));
            }
        } else {
            self.found.push(format!(
                "{path} has {} entries, installed with {}",
                found.len(),
                wanted.len()
            ));
        }
    }

    fn differs(&mut self, wanted: &Value, found: &Value, path: &str) {
        let line = if self.secret {
            format!("{path} differs")
        } else if found.is_null() {
            format!("{path} is missing, installed with {}", text(wanted))
        } else {
            format!("{path} is {}, installed with {}", text(found), text(wanted))
        };
        self.found.push(line);
    }
}

/// What the API server leaves out when it is given.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.iter().all(is_nothing),
        Value::Object(fields) => fields.values().all(is_nothing),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (quantity(a), quantity(b)) else {
        return false;
    };
    // Quantities are decimal; a relative error far below the smallest step anybody writes.
    (a - b).abs() <= f64::EPSILON * 8.0 * a.abs().max(b.abs())
}

/// The number that a quantity such as `500m`, `1`, `2Gi` or `0.5` means.
fn quantity(value: &Value) -> Option<f64> {
    const SUFFIXES: &[(&str, f64)] = &[
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => {
            let suffix = SUFFIXES.iter().find(|(suffix, _)| text.ends_with(suffix));
            let (digits, scale) = suffix.map_or((text.as_str(), 1.0), |(suffix, scale)| {
                (text.trim_end_matches(suffix), *scale)
            });
            // Only plain decimals: "nan" and "inf" are no quantities, and neither is a version.
            let plain =
                digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !digits.is_empty();
            plain
                .then(|| digits.parse::<f64>().ok())
                .flatten()
                .map(|number| number * scale)
        }
        _ => None,
    }
}

fn encoded(string_data: &Value) -> Value {
    use base64::Engine as _;
    let encode = |value: &Value| {
        Value::String(base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default()))
    };
    Value::Object(
        string_data
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), encode(v)))
            .collect(),
    )
}

/// A value as a difference shows it: short, on one line.
fn text(value: &Value) -> String {
    let full = match value {
        Value::String(text) => text.replace('\n', "\\n"),
        other => other.to_string(),
    };
    if full.chars().count() > SHOWN {
        format!("{}…", full.chars().take(SHOWN).collect::<String>())
    } else {
        full
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: u32, memory: &str, containers: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d", "labels": { "a": "b" } },
            "spec": { "replicas": replicas, "template": { "spec": { "containers": containers } }, "memory": memory },
        })
    }

    #[test]
    fn what_others_add_is_no_difference() {
        let installed = deployment(
            2,
            "1024Mi",
            &json!([{ "name": "delegate", "env": [], "tty": false }]),
        );
        let mut live = deployment(
            2,
            "1Gi",
            &json!([{ "name": "sidecar" }, { "name": "delegate", "tty": null }]),
        );
        live["status"] = json!({ "replicas": 1 });
        live["metadata"]["uid"] = json!("x");
        assert_eq!(differences(&installed, Some(&live)), Vec::<String>::new());
    }

    #[test]
    fn a_difference_names_the_field_and_both_values() {
        let installed = deployment(2, "500m", &json!([{ "name": "delegate", "image": "a:1" }]));
        let live = deployment(1, "0.5", &json!([{ "name": "delegate", "image": "a:2" }]));
        assert_eq!(
            differences(&installed, Some(&live)),
            [
                "Deployment/d spec.replicas is 1, installed with 2",
                "Deployment/d spec.template.spec.containers[delegate].image is a:2, installed with a:1",
            ]
        );
        assert_eq!(differences(&installed, None), ["Deployment/d is missing"]);
    }

    #[test]
    fn a_subject_that_somebody_adds_is_a_difference() {
        let binding = |names: &[&str]| {
            let subjects: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            json!({ "kind": "RoleBinding", "metadata": { "name": "b" }, "subjects": subjects })
        };
        assert_eq!(
            differences(&binding(&["ours"]), Some(&binding(&["ours", "theirs"]))),
            ["RoleBinding/b subjects has 2 entries, installed with 1"]
        );
    }

    #[test]
    fn values_of_a_secret_are_never_shown() {
        let installed =
            json!({ "kind": "Secret", "metadata": { "name": "s" }, "stringData": { "K": "hunter2" } });
        let same = json!({ "kind": "Secret", "metadata": { "name": "s" }, "data": { "K": "aHVudGVyMg==" } });
        assert!(differences(&installed, Some(&same)).is_empty());
        let other = json!({ "kind": "Secret", "metadata": { "name": "s" }, "data": { "K": "b3RoZXI=" } });
        assert_eq!(differences(&installed, Some(&other)), ["Secret/s data.K differs"]);
    }

    #[test]
    fn versions_that_look_alike_are_not_equal_quantities() {
        assert!(!same(&json!("1.10.0"), &json!("1.1.0")));
        assert!(!same(&json!("inf"), &json!("infinity")));
        assert!(same(&json!("100m"), &json!("0.1")) && same(&json!("2Gi"), &json!("2048Mi")));
    }
}
