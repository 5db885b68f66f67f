//! The folder of the installation inside a container: its secrets, and that an apply has come to its end.
//!
//! The folder is a volume of the container's own, so that it can be written with a read-only root and by nobody in the
//! container. Files go in and out as archives, whether the container runs or not, on this machine or another.

use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use delegate_core::Secret;
use delegate_core::config::{EnvValue, render_env_file};
use futures_util::StreamExt as _;

use super::{DockerError, DockerSpec, Engine};

/// The folder.
pub(super) const FOLDER: &str = "/run/harness-delegate";

/// File with the secret variables, as the agent's `--env-file` reads them.
const SECRETS: &str = "secrets.env";

/// File that says that an apply has come to its end, so that a Terraform state knows of the container.
const COMPLETE: &str = "complete";

/// User of the official image, and ours.
const IMAGE_USER: u64 = 1001;

/// Most that is read back, in bytes: the secrets and the padding of an archive.
const READ_LIMIT: usize = 1 << 20;

/// How the agent is started to read the file.
pub(super) fn command() -> Vec<String> {
    let file = format!("{FOLDER}/{SECRETS}");
    vec!["run".to_owned(), "--env-file".to_owned(), file]
}

/// The text of the file.
pub(super) fn secrets(spec: &DockerSpec) -> Secret {
    let all = spec.variables();
    let secret = all
        .iter()
        .filter(|(_, value)| matches!(value, EnvValue::Secret(_)))
        .map(|(name, value)| (name.as_str(), value.expose()));
    Secret::new(render_env_file(secret))
}

/// Puts the secrets into a container, readable by its user alone.
pub(super) async fn put_secrets(
    engine: &Engine,
    id: &str,
    user: Option<&str>,
    text: &Secret,
) -> Result<(), DockerError> {
    // A user with a name is known inside only; then everything in the container, which is the delegate's, may read it.
    let numeric = user.filter(|user| !user.is_empty()).map(|user| {
        let (user, group) = user.split_once(':').unwrap_or((user, "0"));
        (user.parse(), group.parse())
    });
    let (uid, gid, mode) = match numeric {
        None => (IMAGE_USER, 0, 0o400),
        Some((Ok(uid), gid)) => (uid, gid.unwrap_or(0), 0o400),
        Some((Err(_), _)) => (0, 0, 0o444),
    };
    put(engine, id, SECRETS, text.expose().as_bytes(), (uid, gid, mode)).await
}

/// Notes that an apply has come to its end.
pub(super) async fn mark_complete(engine: &Engine, id: &str) -> Result<(), DockerError> {
    put(engine, id, COMPLETE, b"", (0, 0, 0o444)).await
}

/// Whether an apply has come to its end.
pub(super) async fn is_complete(engine: &Engine, id: &str) -> Result<bool, DockerError> {
    Ok(stat(engine, id, COMPLETE).await?.is_some())
}

/// What changes with the secrets, without telling them; `None` when the container has no such file.
pub(super) async fn revision(engine: &Engine, id: &str) -> Result<Option<String>, DockerError> {
    stat(engine, id, SECRETS).await
}

async fn stat(engine: &Engine, id: &str, name: &str) -> Result<Option<String>, DockerError> {
    let options = ContainerArchiveInfoOptionsBuilder::new()
        .path(&format!("{FOLDER}/{name}"))
        .build();
    match engine.docker.get_container_archive_info(id, Some(options)).await {
        Ok(file) => Ok(Some(format!(
            "{} {:o} {}",
            file.size,
            file.file_mode,
            file.modification_time.unwrap_or_default()
        ))),
        Err(error) => match engine.told("look at a file of the container", error) {
            missing if missing.is_not_found() => Ok(None),
            error => Err(error),
        },
    }
}

/// Whether the container has these very secrets.
pub(super) async fn has_secrets(engine: &Engine, id: &str, text: &Secret) -> Result<bool, DockerError> {
    let options = DownloadFromContainerOptionsBuilder::new()
        .path(&format!("{FOLDER}/{SECRETS}"))
        .build();
    let mut stream = std::pin::pin!(engine.docker.download_from_container(id, Some(options)));
    let mut archive = zeroize::Zeroizing::new(Vec::new());
    while let Some(bytes) = stream.next().await {
        match bytes {
            Ok(bytes) if archive.len() + bytes.len() <= READ_LIMIT => archive.extend_from_slice(&bytes),
            Ok(_) => return Ok(false),
            Err(error) => {
                return match engine.told("read a file of the container", error) {
                    missing if missing.is_not_found() => Ok(false),
                    error => Err(error),
                };
            }
        }
    }
    let mut archive = tar::Archive::new(archive.as_slice());
    let Some(Ok(mut file)) = archive.entries().ok().and_then(|mut files| files.next()) else {
        return Ok(false);
    };
    let mut found = zeroize::Zeroizing::new(Vec::new());
    let read = std::io::Read::read_to_end(&mut file, &mut found);
    Ok(read.is_ok() && *found == text.expose().as_bytes())
}

async fn put(
    engine: &Engine,
    id: &str,
    name: &str,
    content: &[u8],
    (uid, gid, mode): (u64, u64, u32),
) -> Result<(), DockerError> {
    let unwritable = |error: std::io::Error| DockerError::Target(format!("cannot pack {name}: {error}"));
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_uid(uid);
    header.set_gid(gid);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    header.set_mtime(now.map_or(0, |since| since.as_secs()));
    let mut archive = tar::Builder::new(Vec::new());
    archive
        .append_data(&mut header, name, content)
        .map_err(unwritable)?;
    let archive = archive.into_inner().map_err(unwritable)?;
    let options = UploadToContainerOptionsBuilder::new().path(FOLDER).build();
    let body = bollard::body_full(archive.into());
    let sent = engine.docker.upload_to_container(id, Some(options), body).await;
    sent.map_err(|error| engine.told("take a file into the container", error))
}
