//! Where a chart comes from, and how one logs in there.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::program::Helm;
use crate::Secret;
use crate::task::data::one_line;
use crate::task::files::write_private;
use crate::task::halt::Halt;
use crate::task::workspace::{self, Place};
use crate::task::{TaskContext, TaskError};

/// Name under which a repository stands in the task's own list of them.
const REPOSITORY: &str = "source";

/// Where Docker Hub's credentials stand, whatever address of it is used.
const DOCKER_HUB: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");

// Where a chart comes from. Its description is that of the field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    /// A folder, or a packed chart, of this machine: relative to the delegate's workspace, or absolute.
    Path(String),
    /// A chart of an OCI registry.
    Oci(Oci),
    /// A chart of a chart repository.
    Repository(Repository),
}

// A chart of a registry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Oci {
    /// The chart, `oci://HOST/PATH/NAME`.
    url: String,
    /// The version, or a range of them. Default: the newest one.
    version: Option<String>,
    /// Who reads it.
    login: Option<Login>,
    /// The registry's authority, PEM. Default: those that the delegate trusts.
    ca: Option<String>,
    /// Whether the registry speaks plain HTTP.
    #[serde(default)]
    plain_http: bool,
}

// A chart of a repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Repository {
    /// The repository, `https://…`.
    url: String,
    /// Name of the chart.
    name: String,
    /// The version, or a range of them. Default: the newest one.
    version: Option<String>,
    /// Who reads it.
    login: Option<Login>,
    /// The repository's authority, PEM. Default: those that the delegate trusts.
    ca: Option<String>,
}

// A login of a registry or repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// Name of the user.
    pub(super) user: String,
    /// Password or token.
    pub(super) password: Secret,
}

impl Login {
    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        one_line(&format!("{field}.user"), &self.user)?;
        if self.user.contains(':') {
            return Err(TaskError::data(
                format!("{field}.user"),
                "contains a colon, which no login can",
            ));
        }
        one_line(&format!("{field}.password"), self.password.expose())
    }
}

impl Source {
    pub(super) fn secrets(&self) -> Option<Secret> {
        let login = match self {
            Self::Path(_) => return None,
            Self::Oci(oci) => &oci.login,
            Self::Repository(repository) => &repository.login,
        };
        login.as_ref().map(|login| login.password.clone())
    }

    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        let version = match self {
            Self::Path(path) => {
                workspace::read(&format!("{field}.path"), path)?;
                return Ok(());
            }
            Self::Oci(oci) => {
                let field = format!("{field}.oci");
                check_oci(&format!("{field}.url"), &oci.url)?;
                if let Some(login) = &oci.login {
                    login.check(&format!("{field}.login"))?;
                }
                check_ca(&format!("{field}.ca"), oci.ca.as_deref())?;
                (format!("{field}.version"), &oci.version)
            }
            Self::Repository(repository) => {
                let field = format!("{field}.repository");
                match Url::parse(&repository.url) {
                    Ok(url)
                        if matches!(url.scheme(), "https" | "http")
                            && url.username().is_empty()
                            && url.password().is_none() => {}
                    _ => {
                        return Err(TaskError::data(
                            format!("{field}.url"),
                            "must be an https or http URL without a login in it",
                        ));
                    }
                }
                if repository.url.starts_with("http://") && repository.login.is_some() {
                    return Err(TaskError::data(
                        format!("{field}.login"),
                        "would be sent in the clear; use an https URL",
                    ));
                }
                let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
                if repository.name.is_empty()
                    || repository.name.starts_with(['-', '/', '.'])
                    || !repository.name.chars().all(fits)
                {
                    return Err(TaskError::data(
                        format!("{field}.name"),
                        "must be the name of a chart",
                    ));
                }
                if let Some(login) = &repository.login {
                    login.check(&format!("{field}.login"))?;
                }
                check_ca(&format!("{field}.ca"), repository.ca.as_deref())?;
                (format!("{field}.version"), &repository.version)
            }
        };
        match version {
            (field, Some(version)) if version.is_empty() || version.contains(char::is_control) => {
                Err(TaskError::data(field, "must be a version or a range of them"))
            }
            _ => Ok(()),
        }
    }

    /// The arguments that name it, once what is needed to get it is laid out.
    pub(super) async fn lay_out(&self, helm: &Helm<'_>) -> Result<Vec<String>, Halt> {
        let context = helm.context();
        match self {
            Self::Path(path) => {
                let field = "chart.path";
                let place = Place::of(field, workspace::read(field, path)?, context.workspace.as_deref())?;
                Ok(vec![place.path().to_string_lossy().into_owned()])
            }
            Self::Oci(oci) => {
                let mut args = vec![oci.url.clone()];
                args.extend(version(oci.version.as_deref()));
                if let Some(login) = &oci.login {
                    write_login(&oci.url, login, context).await?;
                }
                args.extend(write_ca(oci.ca.as_deref(), context).await?);
                args.extend(oci.plain_http.then(|| "--plain-http".to_owned()));
                Ok(args)
            }
            Self::Repository(repository) => repository.lay_out(helm).await,
        }
    }
}

impl Repository {
    /// The list of repositories has this one, with its login; then its index is fetched.
    async fn lay_out(&self, helm: &Helm<'_>) -> Result<Vec<String>, Halt> {
        let context = helm.context();
        let ca = write_ca(self.ca.as_deref(), context).await?;
        let mut entry = json!({"name": REPOSITORY, "url": self.url});
        if let Some(login) = &self.login {
            entry["username"] = login.user.clone().into();
            entry["password"] = login.password.expose().into();
        }
        if let Some(file) = ca.last() {
            entry["caFile"] = file.clone().into();
        }
        // JSON is YAML.
        let list: Value = json!({"apiVersion": "v1", "repositories": [entry]});
        let file = context.work_dir.join("repositories.yaml");
        write_private(&file, &list.to_string(), context.confinement.user.as_ref()).await?;
        let doing = "reading the index of the repository";
        let mut update = ["repo", "update", REPOSITORY].map(str::to_owned).to_vec();
        // Helm 4 always does.
        update.extend((helm.major == 3).then(|| "--fail-on-repo-update-fail".to_owned()));
        helm.ask_both(update, doing).await?;
        let mut args = vec![format!("{REPOSITORY}/{}", self.name)];
        args.extend(version(self.version.as_deref()));
        Ok(args)
    }
}

fn version(version: Option<&str>) -> impl Iterator<Item = String> {
    let version = version.map(str::to_owned);
    version
        .into_iter()
        .flat_map(|version| ["--version".to_owned(), version])
}

/// A registry's login as Helm and Docker keep it.
pub(super) async fn write_login(
    url: &str,
    login: &Login,
    context: &TaskContext,
) -> Result<PathBuf, TaskError> {
    let pair = format!("{}:{}", login.user, login.password.expose());
    let config = json!({"auths": {registry_of(url): {"auth": BASE64.encode(pair)}}});
    let file = context.work_dir.join("registry.json");
    write_private(&file, &config.to_string(), context.confinement.user.as_ref()).await?;
    Ok(file)
}

/// `--ca-file` and its file, if there is one.
pub(super) async fn write_ca(ca: Option<&str>, context: &TaskContext) -> Result<Vec<String>, TaskError> {
    let Some(ca) = ca else { return Ok(Vec::new()) };
    let file = context.work_dir.join("ca.pem");
    write_private(&file, ca, context.confinement.user.as_ref()).await?;
    Ok(vec!["--ca-file".to_owned(), file.to_string_lossy().into_owned()])
}

/// Under which name a registry's login is kept.
fn registry_of(url: &str) -> &str {
    let address = url.strip_prefix("oci://").unwrap_or(url);
    let host = address.split('/').next().unwrap_or(address);
    if host == DOCKER_HUB.0 || host.ends_with(".docker.io") {
        DOCKER_HUB.1
    } else {
        host
    }
}

pub(super) fn check_oci(field: &str, url: &str) -> Result<(), TaskError> {
    let rest = url.strip_prefix("oci://").unwrap_or_default();
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_:/[]".contains(letter);
    match rest.split_once('/') {
        Some((host, path)) if !host.is_empty() && !path.is_empty() && rest.chars().all(fits) => Ok(()),
        _ => Err(TaskError::data(
            field,
            "must be oci://HOST/PATH, without a login, a tag or a digest in it",
        )),
    }
}

pub(super) fn check_ca(field: &str, ca: Option<&str>) -> Result<(), TaskError> {
    match ca {
        Some(ca) if !ca.contains("-----BEGIN CERTIFICATE-----") => Err(TaskError::data(
            field,
            "is no certificate in PEM form; give the text, not its path",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_kept_under_the_host_and_docker_hub_under_its_old_address() {
        for (url, host) in [
            (
                "oci://registry.example.com:5000/team/charts",
                "registry.example.com:5000",
            ),
            ("oci://docker.io/team", "https://index.docker.io/v1/"),
            ("oci://registry-1.docker.io/team", "https://index.docker.io/v1/"),
        ] {
            assert_eq!(registry_of(url), host, "{url}");
        }
    }
}
