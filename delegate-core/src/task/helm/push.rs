//! `HELM_PUSH`: packs a chart and puts it into a registry.
//!
//! The chart is packed in the task's own directory, so that its folder stays as it is. The login is a file of that
//! directory in the form that helm reads, and on no command line.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::program::{Helm, failure};
use super::source::{Login, check_ca, check_oci, write_ca, write_login};
use crate::Secret;
use crate::process::Environment;
use crate::task::allowance::Allowance;
use crate::task::halt::Halt;
use crate::task::workspace::{self, Place};
use crate::task::{About, Level, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate};

const FIELD: &str = "chart";

/// What a packed chart ends with.
const PACKED: &str = ".tgz";

/// The kind `HELM_PUSH`.
pub struct HelmPush;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// The chart's folder, or a packed chart (`.tgz`): relative to the delegate's workspace, or absolute.
    chart: String,
    /// The version that the chart gets, by the rules of semantic versions. Default: the one in its `Chart.yaml`.
    version: Option<String>,
    /// The version of what it deploys. Default: the one in its `Chart.yaml`.
    app_version: Option<String>,
    /// Whether to fetch the charts that it depends on before, as its `Chart.lock` names them. It changes the folder.
    #[serde(default)]
    dependencies: bool,
    /// Where it goes.
    to: Target,
}

// Where a chart goes. Its description is that of the field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Target {
    /// An OCI registry.
    Oci(Registry),
}

// A registry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Registry {
    /// The place of charts, `oci://HOST/PATH`: the chart's name and version are added.
    url: String,
    /// Who writes there.
    login: Option<Login>,
    /// The registry's authority, PEM. Default: those that the delegate trusts.
    ca: Option<String>,
    /// Whether the registry speaks plain HTTP.
    #[serde(default)]
    plain_http: bool,
}

#[derive(Serialize, JsonSchema)]
struct Fields {
    /// Where the chart is, with its version: `HOST/PATH/NAME:VERSION`.
    reference: String,
    /// Name of the chart.
    chart: String,
    /// Its version.
    version: String,
    /// Digest of its manifest, `sha256:…`.
    digest: String,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        let Target::Oci(registry) = &self.to;
        registry
            .login
            .iter()
            .map(|login| login.password.clone())
            .collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        workspace::read(FIELD, &self.chart)?;
        let packed = self.chart.ends_with(PACKED);
        for (field, given) in [
            ("version", self.version.is_some()),
            ("app_version", self.app_version.is_some()),
            ("dependencies", self.dependencies),
        ] {
            if packed && given {
                return Err(TaskError::data(
                    field,
                    "is for a chart that is a folder; this one is packed already",
                ));
            }
        }
        if let Some(version) = &self.version
            && Version::parse(version).is_err()
        {
            return Err(TaskError::data(
                "version",
                "must be a semantic version such as 1.4.2, without a `v`",
            ));
        }
        if let Some(version) = &self.app_version
            && (version.is_empty() || version.contains(char::is_control))
        {
            return Err(TaskError::data(
                "app_version",
                "must be one line that is not empty",
            ));
        }
        let Target::Oci(registry) = &self.to;
        check_oci("to.oci.url", &registry.url)?;
        check_ca("to.oci.ca", registry.ca.as_deref())?;
        match &registry.login {
            Some(login) => login.check("to.oci.login"),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl TaskKind for HelmPush {
    fn type_name(&self) -> &'static str {
        "HELM_PUSH"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Packs a Helm chart with a version of its own and pushes it to an OCI registry.",
            "Safe: the registry then has what was pushed last under that version. A chart that is packed anew has a digest of its \
             own, for the time is packed with it; one that was packed before keeps its digest.",
            json!({
                "chart": "team/app/chart",
                "version": "1.4.2",
                "app_version": "2026.11.3",
                "to": {"oci": {
                    "url": "oci://registry.example.com/charts",
                    "login": {"user": "robot", "password": "<+secrets.getValue(\"account.registry\")>"},
                }},
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn check(&self, environment: &Environment) -> Result<(), String> {
        super::check(environment)
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let published = publish(&data, &context, &allowance).await;
        Halt::outcome(published.map(|fields| {
            let vars = [
                ("chart_reference", &fields.reference),
                ("chart_version", &fields.version),
                ("chart_digest", &fields.digest),
            ];
            let vars: BTreeMap<_, _> = vars.map(|(name, value)| (name.to_owned(), value.clone())).into();
            TaskOutput::success().with_vars(vars).with_fields(&fields)
        }))
    }
}

async fn publish(data: &Data, context: &TaskContext, allowance: &Allowance) -> Result<Fields, Halt> {
    let helm = Helm::find(context, allowance).await?;
    let place = Place::of(
        FIELD,
        workspace::read(FIELD, &data.chart)?,
        context.workspace.as_deref(),
    )?;
    place.enter(context.confinement.user.as_ref()).await?;
    let chart = place.path().to_string_lossy().into_owned();
    let packed = if data.chart.ends_with(PACKED) {
        chart
    } else {
        let _alone = allowance
            .within("waiting for another task in the chart's folder", place.alone())
            .await?;
        if data.dependencies {
            let doing = "fetching the charts that it depends on";
            let build = helm.command(["dependency", "build", &chart]);
            if let Err(complaint) = helm.run(build, doing).await? {
                return Err(failure(doing, &complaint));
            }
        }
        pack(&helm, data, &chart).await?
    };
    let Target::Oci(registry) = &data.to;
    let mut args = vec!["push".to_owned(), packed, registry.url.clone()];
    if let Some(login) = &registry.login {
        write_login(&registry.url, login, context).await?;
    }
    args.extend(write_ca(registry.ca.as_deref(), context).await?);
    args.extend(registry.plain_http.then(|| "--plain-http".to_owned()));
    let doing = "pushing the chart";
    let said = helm.ask_both(args, doing).await?;
    context.log.line(Level::Info, said.trim()).await;
    pushed(&said).ok_or_else(|| {
        Halt::failed(format!(
            "{doing}: helm does not say what it pushed: {}",
            said.trim()
        ))
    })
}

/// Returns the path of the packed chart.
async fn pack(helm: &Helm<'_>, data: &Data, chart: &str) -> Result<String, Halt> {
    let doing = "packing the chart";
    let folder = helm.context().work_dir.to_string_lossy().into_owned();
    let mut args = ["package", chart, "--destination", &folder]
        .map(str::to_owned)
        .to_vec();
    for (option, version) in [("--version", &data.version), ("--app-version", &data.app_version)] {
        if let Some(version) = version {
            args.push(format!("{option}={version}"));
        }
    }
    let said = helm.ask_both(args, doing).await?;
    helm.context().log.line(Level::Info, said.trim()).await;
    let path = said.lines().find_map(|line| line.split_once("saved it to: "));
    path.map(|(_, path)| path.trim().to_owned())
        .ok_or_else(|| Halt::failed(format!("{doing}: helm does not say where it is: {}", said.trim())))
}

/// What helm says that it pushed.
fn pushed(said: &str) -> Option<Fields> {
    let after = |words: &str| {
        said.lines()
            .find_map(|line| line.trim().strip_prefix(words))
            .map(|rest| rest.trim().to_owned())
    };
    let (reference, digest) = (after("Pushed:")?, after("Digest:")?);
    let (path, version) = reference.rsplit_once(':')?;
    let (_, chart) = path.rsplit_once('/')?;
    Some(Fields {
        chart: chart.to_owned(),
        // A tag has no plus sign.
        version: version.replace('_', "+"),
        reference: reference.clone(),
        digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_read_from_what_helm_says() {
        let said = "Pushed: registry.example.com:5000/charts/app:1.4.2_b1\nDigest: sha256:abc\n";
        let fields = pushed(said).unwrap();
        assert_eq!(
            (&*fields.chart, &*fields.version, &*fields.digest),
            ("app", "1.4.2+b1", "sha256:abc")
        );
        assert_eq!(fields.reference, "registry.example.com:5000/charts/app:1.4.2_b1");
        assert!(pushed("Pushed: x").is_none());
    }
}
