//! `ARTIFACT_DOWNLOAD`: brings a file from where artifacts are kept.

use std::io;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::save::save;
use super::store::Store;
use super::{Existing, check_sha256, own_file};
use crate::Secret;
use crate::protocol::file_body::Whole;
use crate::task::allowance::Allowance;
use crate::task::halt::Halt;
use crate::task::workspace::Place;
use crate::task::{
    About, Level, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate, workspace,
};

/// Where the data sets no bound, in MiB. A disk that is full is everybody's problem.
const DEFAULT_MOST: u64 = 10 * 1024;

/// The kind `ARTIFACT_DOWNLOAD`.
pub struct ArtifactDownload;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// Where it is.
    from: Store,
    /// The file that it becomes: relative to the delegate's workspace, or absolute. Its folders are made.
    to: String,
    /// What its SHA-256 must be, in hexadecimal. Default: what the store says that it is, where it says so.
    sha256: Option<String>,
    /// What becomes of another file at `to`: `replace` or `refuse`.
    #[serde(default)]
    existing: Existing,
    /// Largest size in MiB. Default: 10240.
    max_mib: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Fields {
    /// The file, as an absolute path.
    path: String,
    /// Its size; null when there is none.
    bytes: Option<u64>,
    /// Its SHA-256 in hexadecimal; null when there is none.
    sha256: Option<String>,
    /// Whether it was downloaded; not when it was there with the SHA-256 of the data.
    downloaded: bool,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        self.from.secrets()
    }

    fn check(&self) -> Result<(), TaskError> {
        self.from.check("from", false)?;
        workspace::read("to", &self.to)?;
        check_sha256("sha256", self.sha256.as_deref())?;
        if self.max_mib == Some(0) {
            return Err(TaskError::data("max_mib", "must be at least 1"));
        }
        Ok(())
    }
}

#[async_trait]
impl TaskKind for ArtifactDownload {
    fn type_name(&self) -> &'static str {
        "ARTIFACT_DOWNLOAD"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Brings a file from S3, Azure Blob Storage, Google Cloud Storage, Nexus or any address to the delegate, and verifies its checksum.",
            "Safe: the file is there whole or not at all, and one that has the `sha256` of the data is not fetched again.",
            json!({
                "from": {"s3": {"aws": {"region": "eu-central-1"}, "bucket": "builds", "key": "shop/shop-1.4.2.tar.gz"}},
                "to": "shop/shop.tar.gz",
                "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn needs_directory(&self) -> bool {
        false
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let place = own_file("to", &data.to, &context).await?;
        let mut fields = Fields {
            path: place.path().to_string_lossy().into_owned(),
            bytes: None,
            sha256: None,
            downloaded: false,
        };
        let work = download(&data, &place, &context, &mut fields);
        let ended = allowance
            .outcome_of("downloading; nothing was changed", work)
            .await?;
        let mut vars = vec![("path".to_owned(), fields.path.clone())];
        vars.extend(fields.sha256.clone().map(|sha256| ("sha256".to_owned(), sha256)));
        Ok(ended.with_vars(vars.into_iter().collect()).with_fields(&fields))
    }
}

async fn download(
    data: &Data,
    place: &Place,
    context: &TaskContext,
    fields: &mut Fields,
) -> Result<(), Halt> {
    let path = place.path();
    let wanted = data.sha256.as_ref().map(|sha256| sha256.to_ascii_lowercase());
    if let Some(there) = there(place, wanted.is_some()).await? {
        if let Some(whole) = there.filter(|whole| Some(&whole.sha256) == wanted.as_ref()) {
            fields.bytes = Some(whole.length);
            fields.sha256 = Some(whole.sha256);
            let text = format!("{} has the checksum already", path.display());
            context.log.line(Level::Info, &text).await;
            return Ok(());
        }
        if data.existing == Existing::Refuse {
            return Err(taken(place));
        }
    }
    let from = data.from.shown();
    context
        .log
        .line(Level::Info, &format!("{from} to {}", path.display()))
        .await;
    let incoming = data.from.fetch("from", context).await?;
    let promised = incoming.sha256.clone();
    let most = data.max_mib.unwrap_or(DEFAULT_MOST).saturating_mul(1024 * 1024);
    let saved = save(incoming, path, most).await?;
    for (whose, sha256) in [("the task's data", &wanted), ("the store", &promised)] {
        if sha256.as_ref().is_some_and(|sha256| *sha256 != saved.sha256) {
            return Err(Halt::failed(format!(
                "what {from} gave has the SHA-256 {}, which is not that of {whose}; nothing was changed",
                saved.sha256
            )));
        }
    }
    let (bytes, sha256) = (saved.bytes, saved.sha256.clone());
    if !saved.put(path, data.existing == Existing::Replace).await? {
        return Err(taken(place));
    }
    let text = format!("{bytes} bytes, SHA-256 {sha256}");
    context.log.line(Level::Info, &text).await;
    fields.bytes = Some(bytes);
    fields.sha256 = Some(sha256);
    fields.downloaded = true;
    Ok(())
}

fn taken(place: &Place) -> Halt {
    Halt::failed(format!(
        "there is another file at {}, and `existing` says that it stays",
        place.path().display()
    ))
}

/// Whether there is a file; and the file, when it is to be read.
async fn there(place: &Place, read: bool) -> Result<Option<Option<Whole>>, Halt> {
    let path = place.path();
    match tokio::fs::symlink_metadata(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(place.wrong(format_args!("cannot be read: {error}")).into()),
        Ok(meta) if meta.is_dir() => return Err(place.wrong("is a folder").into()),
        Ok(meta) if !meta.is_file() || !read => return Ok(Some(None)),
        Ok(_) => {}
    }
    let whole = Whole::read(path, u64::MAX).await;
    whole
        .map(|whole| Some(Some(whole)))
        .map_err(|error| place.wrong(format_args!("cannot be read: {error}")).into())
}
