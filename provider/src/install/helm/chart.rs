//! Getting a chart to this machine, so that what is checked and what is installed are the same bytes.
//!
//! A chart of a repository is fetched once a call into a private folder that goes with it. Credentials are in files of
//! mode 0600 in that folder, in the two forms Helm reads (a registry's `config.json`, a `repositories.yaml`), and so on
//! no command line and in no file of the user's. Fails with Helm's own words.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delegate_core::install::chart as embedded;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::program::{Folder, Run};
use super::{Chart, Helm, HelmError, Login};

/// Name under which a repository stands in the private `repositories.yaml`.
const SOURCE: &str = "source";

/// Where Docker Hub's credentials stand, whatever address of it is used.
const DOCKER_HUB: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");

/// A chart on this machine.
pub(super) struct Local {
    path: PathBuf,
    /// Holds what was fetched or unpacked.
    _folder: Option<Folder>,
}

impl Local {
    /// The folder or packed chart.
    pub(super) fn path(&self) -> String {
        self.path.display().to_string()
    }
}

/// Has the chart here. Only a chart of a repository needs the network, and only when something changes.
///
/// # Errors
/// When it cannot be fetched, or the private folder cannot be written.
pub(super) async fn local(helm: &Helm, chart: &Chart, stop: &CancellationToken) -> Result<Local, HelmError> {
    match chart {
        Chart::Path(path) => Ok(Local {
            path: path.clone(),
            _folder: None,
        }),
        Chart::Embedded => {
            let folder = Folder::new()?;
            let path = embedded::write_to(folder.path()).map_err(HelmError::Folder)?;
            Ok(Local {
                path,
                _folder: Some(folder),
            })
        }
        Chart::Repository { .. } => {
            let folder = Folder::new()?;
            fetch(helm, chart, &folder, stop)
                .await
                .map_err(|error| of_chart(error, chart))?;
            let path = packed(folder.path()).ok_or_else(|| HelmError::Chart {
                chart: title(chart),
                command: "helm pull".to_owned(),
                message: "Helm said that it fetched it, but there is no file".to_owned(),
            })?;
            Ok(Local {
                path,
                _folder: Some(folder),
            })
        }
    }
}

/// Annotation of our Secret: digest of the chart of this machine that was installed.
pub(super) const DIGEST: &str = "harness-delegate/chart-digest";

/// What tells one content of a chart of this machine from another; `None` for one that is named by its version, or that
/// cannot be read now.
pub(super) async fn digest(chart: &Chart) -> Option<String> {
    let Chart::Path(path) = chart else { return None };
    let path = path.clone();
    // A chart may be on a slow disk.
    tokio::task::spawn_blocking(move || embedded::digest_of_path(&path).ok())
        .await
        .ok()
        .flatten()
}

async fn fetch(
    helm: &Helm,
    chart: &Chart,
    folder: &Folder,
    stop: &CancellationToken,
) -> Result<(), HelmError> {
    let Chart::Repository {
        repository,
        name,
        version,
        login,
        ca_file,
    } = chart
    else {
        return Ok(());
    };
    let repository = repository.as_deref();
    let oci = repository.and_then(|repository| repository.strip_prefix("oci://"));
    let ca_file = ca_file.as_deref().map(|path| path.display().to_string());
    let mut run = Run::default();
    let mut args = vec![
        "pull".to_owned(),
        "--destination".to_owned(),
        folder.path().display().to_string(),
    ];
    match (oci, repository, login) {
        (Some(address), ..) => {
            args.push(format!("oci://{}/{name}", address.trim_end_matches('/')));
            if let Some(login) = login {
                let file = folder.write("registry.json", &registry_config(address, login))?;
                run = run.env("HELM_REGISTRY_CONFIG", file);
            }
        }
        (None, Some(url), Some(login)) => {
            let file = folder.write("repositories.yaml", &repositories(url, login, ca_file.as_deref()))?;
            run = run
                .env("HELM_REPOSITORY_CONFIG", file)
                .env("HELM_REPOSITORY_CACHE", folder.path().join("cache"));
            let mut update = vec!["repo", "update", SOURCE];
            if helm.major() == 3 {
                // Helm 4 always does.
                update.push("--fail-on-repo-update-fail");
            }
            helm.run(&update, &run, stop).await?;
            args.push(format!("{SOURCE}/{name}"));
        }
        (None, Some(url), None) => args.extend([name.clone(), "--repo".to_owned(), url.to_owned()]),
        (None, None, _) => args.push(name.clone()),
    }
    if let Some(version) = version {
        args.extend(["--version".to_owned(), version.clone()]);
    }
    if let Some(file) = ca_file {
        args.extend(["--ca-file".to_owned(), file]);
    }
    helm.run(&args, &run, stop).await.map(|_| ())
}

/// A registry's credentials as Helm and Docker keep them.
fn registry_config(address: &str, login: &Login) -> String {
    let host = address.split('/').next().unwrap_or(address);
    let host = if host == DOCKER_HUB.0 || host.ends_with(&format!(".{}", DOCKER_HUB.0)) {
        DOCKER_HUB.1
    } else {
        host
    };
    let pair = format!("{}:{}", login.username, login.password.expose());
    json!({ "auths": { host: { "auth": BASE64.encode(pair) } } }).to_string()
}

/// A repository's entry as `helm repo add` writes it; JSON is YAML.
fn repositories(url: &str, login: &Login, ca_file: Option<&str>) -> String {
    json!({
        "apiVersion": "v1",
        "repositories": [{
            "name": SOURCE,
            "url": url,
            "username": login.username,
            "password": login.password.expose(),
            "caFile": ca_file.unwrap_or_default(),
        }],
    })
    .to_string()
}

/// The one packed chart in a folder.
fn packed(folder: &Path) -> Option<PathBuf> {
    let mut files = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|end| end == "tgz"))
}

/// How an error names a chart.
fn title(chart: &Chart) -> String {
    match chart {
        Chart::Embedded => embedded::NAME.to_owned(),
        Chart::Path(path) => path.display().to_string(),
        Chart::Repository {
            repository,
            name,
            version,
            ..
        } => {
            let from = repository
                .as_ref()
                .map(|repository| format!(" of {repository}"))
                .unwrap_or_default();
            let version = version
                .as_ref()
                .map(|version| format!(" {version}"))
                .unwrap_or_default();
            format!("{name}{version}{from}")
        }
    }
}

fn of_chart(error: HelmError, chart: &Chart) -> HelmError {
    match error {
        HelmError::Failed { command, message } => HelmError::Chart {
            chart: title(chart),
            command,
            message,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use delegate_core::Secret;

    use super::*;

    fn login() -> Login {
        Login {
            username: "robot".into(),
            password: Secret::new("p:w"),
        }
    }

    #[test]
    fn a_registry_is_named_by_its_host_and_docker_hub_by_its_old_address() {
        for (address, host) in [
            ("registry.example:5000/team/charts", "registry.example:5000"),
            ("docker.io/team", "https://index.docker.io/v1/"),
            ("registry-1.docker.io/team", "https://index.docker.io/v1/"),
        ] {
            let config: serde_json::Value =
                serde_json::from_str(&registry_config(address, &login())).unwrap();
            assert_eq!(
                config["auths"][host]["auth"],
                BASE64.encode("robot:p:w"),
                "{address}"
            );
        }
    }

    #[test]
    fn an_error_names_the_chart_as_it_was_asked_for() {
        let chart = Chart::Repository {
            repository: Some("https://charts.example".into()),
            name: "delegate".into(),
            version: Some("1.2.3".into()),
            login: Some(login()),
            ca_file: None,
        };
        assert_eq!(title(&chart), "delegate 1.2.3 of https://charts.example");
    }
}
