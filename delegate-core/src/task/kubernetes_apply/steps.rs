//! Steps of a deployment that goes ahead bit by bit: a canary beside what runs, or two colors of which one is in use.
//!
//! Each is made from the same manifests. What there is so far is read from the cluster, not from a record, so a step can be
//! run by any delegate, and again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::data::{Data, OnFailure};
use super::kubectl::Kubectl;
use super::object::{Id, Objects};
use super::{FAILURE, Fields, rollout};
use crate::task::halt::Halt;
use crate::task::{Level, TaskError};

/// Labels that tell a step's pods from others. Selectors of Services in the manifests match them all the same.
const TRACK: &str = "harness-delegate/track";
const COLOR: &str = "harness-delegate/color";

/// Most pods of a canary.
const MAX_REPLICAS: u32 = 1000;

/// What of a Service belongs to that one and to no copy of it.
const OWN: [&str; 5] = [
    "clusterIP",
    "clusterIPs",
    "loadBalancerIP",
    "externalIPs",
    "healthCheckNodePort",
];

// Its description is that of the field.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// A copy of each Deployment, `NAME-canary`, beside it: Services send it its share. Nothing else is applied.
    Canary(Canary),
    /// Removes these copies.
    CanaryDelete(Nothing),
    /// The Deployments in the color that is not in use, `NAME-blue` or `NAME-green`, with everything else of the manifests. A
    /// Service `SERVICE-stage` leads to it, while the Service itself stays at the other color.
    BlueGreen(BlueGreen),
    /// Brings the Service to a color that is rolled out, and the one for the stage to the other. Going back is the same with
    /// the other color.
    Swap(Swap),
}

// Its description is that of the form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Canary {
    /// How many pods it has.
    replicas: u32,
}

// Its description is that of the form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

// Its description is that of the form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlueGreen {
    /// Name of the Service in the manifests that is in use.
    service: String,
}

// Its description is that of the form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Swap {
    /// Name of the Service in the manifests that is in use.
    service: String,
    /// The color it is to have, such as the output variable `color` of the step `blue_green`.
    color: Color,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Color {
    Blue,
    Green,
}

impl Color {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    fn of(service: &Value) -> Option<Self> {
        let color = service["spec"]["selector"][COLOR].as_str()?;
        [Self::Blue, Self::Green]
            .into_iter()
            .find(|known| known.name() == color)
    }
}

impl Step {
    pub(super) fn check(&self) -> Result<(), TaskError> {
        match self {
            Self::Canary(Canary { replicas }) if !(1..=MAX_REPLICAS).contains(replicas) => {
                Err(TaskError::data(
                    "step.canary.replicas",
                    "must be from 1 to 1000; the step canary_delete removes the canary",
                ))
            }
            Self::Canary(_) | Self::CanaryDelete(_) => Ok(()),
            Self::BlueGreen(BlueGreen { service }) => check_service("step.blue_green.service", service),
            Self::Swap(Swap { service, .. }) => check_service("step.swap.service", service),
        }
    }
}

fn check_service(field: &str, name: &str) -> Result<(), TaskError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(fits)
    {
        return Ok(());
    }
    Err(TaskError::data(
        field,
        "is no name of a Service; use lower-case letters, digits and hyphens",
    ))
}

/// Does one.
pub(super) async fn run(
    step: &Step,
    cluster: &Kubectl<'_>,
    wanted: &Objects,
    data: &Data,
    fields: &mut Fields,
) -> Result<(), Halt> {
    match step {
        Step::Canary(Canary { replicas }) => {
            let canaries = deployments(wanted)?.map(|(_, object)| {
                let mut copy = labelled(object, TRACK, "canary");
                copy["spec"]["replicas"] = json!(replicas);
                copy
            });
            go_ahead(cluster, &objects(canaries)?, data, fields).await
        }
        Step::CanaryDelete(Nothing {}) => {
            let canaries = deployments(wanted)?.map(|(_, object)| labelled(object, TRACK, "canary"));
            remove(cluster, objects(canaries)?.ids(), data.dry_run, fields).await
        }
        Step::BlueGreen(BlueGreen { service }) => {
            let (_, primary) = find(wanted, service, data)?;
            let used = cluster
                .get("service", service)
                .await?
                .as_ref()
                .and_then(Color::of);
            let next = used.map_or(Color::Blue, Color::other);
            deployments(wanted).map(drop)?;
            let others = wanted.iter().filter(|(_, object)| **object != *primary);
            let mut all: Vec<Value> = others
                .map(|(id, object)| match is_deployment(id) {
                    true => labelled(object, COLOR, next.name()),
                    false => object.clone(),
                })
                .collect();
            all.extend(services(primary, service, used.unwrap_or(next), next));
            fields.color = Some(next);
            let say = format!("the color {} is not in use, and is deployed", next.name());
            cluster.context().log.line(Level::Info, &say).await;
            go_ahead(cluster, &objects(all)?, data, fields).await
        }
        Step::Swap(Swap { service, color }) => {
            let (_, primary) = find(wanted, service, data)?;
            let colored = deployments(wanted)?.map(|(_, object)| labelled(object, COLOR, color.name()));
            fields.color = Some(*color);
            // Whoever uses the Service must not meet something that is not there.
            rollout::wait(cluster, &objects(colored)?, data.patience()).await?;
            let both = objects(services(primary, service, *color, color.other()))?;
            cluster
                .apply(&both, data, data.dry_run, &mut fields.objects)
                .await
        }
    }
}

/// Applies and waits; when that fails, Deployments of the step go, if that is asked for. Those that were in use stay as they are.
async fn go_ahead(
    cluster: &Kubectl<'_>,
    objects: &Objects,
    data: &Data,
    fields: &mut Fields,
) -> Result<(), Halt> {
    let done = async {
        cluster
            .apply(objects, data, data.dry_run, &mut fields.objects)
            .await?;
        if data.dry_run {
            return Ok(());
        }
        rollout::wait(cluster, objects, data.patience()).await
    };
    let reason = match (done.await, data.on_failure) {
        (Err(Halt::Output(output)), OnFailure::Rollback) if output.status == FAILURE && !data.dry_run => {
            output.error_message.unwrap_or_default()
        }
        (done, _) => return done,
    };
    cluster.context().log.line(Level::Warn, &reason).await;
    let new = objects.ids().filter(|id| is_deployment(id));
    remove(cluster, new, false, fields).await?;
    fields.rolled_back = true;
    Err(Halt::failed(format!(
        "{reason}; the Deployments of this step are removed again"
    )))
}

async fn remove<'i>(
    cluster: &Kubectl<'_>,
    ids: impl Iterator<Item = &'i Id>,
    dry_run: bool,
    fields: &mut Fields,
) -> Result<(), Halt> {
    for id in ids {
        if !dry_run {
            cluster.delete(id).await?;
        }
        fields.objects.push(id.told("pruned"));
    }
    Ok(())
}

fn is_deployment(id: &Id) -> bool {
    id.said().starts_with("deployment.apps/")
}

/// The Deployments, of which there must be one.
fn deployments(wanted: &Objects) -> Result<impl Iterator<Item = (&Id, &Value)>, Halt> {
    if !wanted.ids().any(is_deployment) {
        return Err(Halt::failed(
            "the manifests have no Deployment, which the step is made from; correct `manifests`",
        ));
    }
    Ok(wanted.iter().filter(|(id, _)| is_deployment(id)))
}

/// The Service of the manifests.
fn find<'o>(wanted: &'o Objects, service: &str, data: &Data) -> Result<(&'o Id, &'o Value), Halt> {
    let wanted = wanted.iter().find(|(id, _)| {
        id.said() == format!("service/{service}") && id.namespace.as_deref() == Some(data.namespace())
    });
    wanted.ok_or_else(|| {
        Halt::failed(format!(
            "the manifests have no Service {service} in {}; correct `manifests` or the step's `service`",
            data.namespace()
        ))
    })
}

/// A copy of a Deployment that has a name and pods of its own.
fn labelled(deployment: &Value, label: &str, value: &str) -> Value {
    let mut copy = deployment.clone();
    let name = copy["metadata"]["name"].as_str().unwrap_or_default();
    copy["metadata"]["name"] = Value::from(format!("{name}-{value}"));
    for place in [
        "/metadata/labels",
        "/spec/selector/matchLabels",
        "/spec/template/metadata/labels",
    ] {
        set(&mut copy, place, label, value);
    }
    copy
}

/// Both Services, each for a color.
fn services(primary: &Value, name: &str, used: Color, staged: Color) -> Vec<Value> {
    let mut stage = primary.clone();
    stage["metadata"]["name"] = Value::from(format!("{name}-stage"));
    if let Some(spec) = stage["spec"].as_object_mut() {
        spec.retain(|field, _| !OWN.contains(&&**field));
    }
    for port in stage["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            port.remove("nodePort");
        }
    }
    let mut primary = primary.clone();
    for (service, color) in [(&mut primary, used), (&mut stage, staged)] {
        set(service, "/spec/selector", COLOR, color.name());
    }
    vec![primary, stage]
}

/// Sets a key of an object, and makes the objects on the way there.
fn set(value: &mut Value, place: &str, key: &str, text: &str) {
    let mut at = value;
    for name in place.split('/').skip(1) {
        if !at[name].is_object() {
            at[name] = json!({});
        }
        at = &mut at[name];
    }
    at[key] = Value::from(text);
}

fn objects(values: impl IntoIterator<Item = Value>) -> Result<Objects, Halt> {
    Objects::of(values).map_err(Halt::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_a_name_and_pods_of_its_own() {
        let web = json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}});
        let copy = labelled(&web, TRACK, "canary");
        assert_eq!(copy["metadata"]["name"], "web-canary");
        let labels = json!({"app": "web", TRACK: "canary"});
        assert_eq!(copy["spec"]["selector"]["matchLabels"], labels);
        assert_eq!(
            copy["spec"]["template"]["metadata"]["labels"],
            json!({TRACK: "canary"})
        );
    }

    #[test]
    fn a_stage_takes_nothing_that_is_the_services_own() {
        let web = json!({
            "metadata": {"name": "web"},
            "spec": {"clusterIP": "10.96.0.9", "selector": {"app": "web"}, "ports": [{"port": 80, "nodePort": 30080}]}
        });
        let both = services(&web, "web", Color::Blue, Color::Green);
        assert_eq!(both[0]["spec"]["selector"], json!({"app": "web", COLOR: "blue"}));
        assert_eq!(both[0]["spec"]["ports"], web["spec"]["ports"]);
        let stage = json!({"ports": [{"port": 80}], "selector": {"app": "web", COLOR: "green"}});
        assert_eq!(
            (&both[1]["metadata"]["name"], &both[1]["spec"]),
            (&json!("web-stage"), &stage)
        );
    }
}
