//! `ARTIFACT_UPLOAD`: brings a file to where artifacts are kept.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::store::{Before, Store};
use super::{Existing, check_sha256, own_file};
use crate::Secret;
use crate::protocol::file_body::Whole;
use crate::task::allowance::Allowance;
use crate::task::halt::Halt;
use crate::task::workspace::Place;
use crate::task::{
    About, Level, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate, workspace,
};

/// The kind `ARTIFACT_UPLOAD`.
pub struct ArtifactUpload;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// The file: relative to the delegate's workspace, or absolute.
    file: String,
    /// Where it goes.
    to: Store,
    /// What its SHA-256 must be, in hexadecimal. Default: whatever it is.
    sha256: Option<String>,
    /// What becomes of another artifact at `to`: `replace` or `refuse`. Two tasks at once can still replace each other's.
    #[serde(default)]
    existing: Existing,
}

#[derive(Default, Serialize, JsonSchema)]
struct Fields {
    /// Size of the file.
    bytes: u64,
    /// Its SHA-256 in hexadecimal.
    sha256: String,
    /// Whether it was uploaded; not when the store had the same.
    uploaded: bool,
    /// What was there before: `nothing`, `same`, `other`, or `unknown` where the store tells no checksum; null when the task
    /// did not come to look.
    before: Option<Before>,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        self.to.secrets()
    }

    fn check(&self) -> Result<(), TaskError> {
        workspace::read("file", &self.file)?;
        self.to.check("to", true)?;
        check_sha256("sha256", self.sha256.as_deref())
    }
}

#[async_trait]
impl TaskKind for ArtifactUpload {
    fn type_name(&self) -> &'static str {
        "ARTIFACT_UPLOAD"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Brings a file of the delegate to S3, Azure Blob Storage, Google Cloud Storage, Nexus or any address that takes a PUT.",
            "Safe: a store that has the same already, and tells so by its checksum, is left alone; otherwise the same is sent again.",
            json!({
                "file": "shop/shop.tar.gz",
                "to": {"s3": {"aws": {"region": "eu-central-1"}, "bucket": "builds", "key": "shop/shop-1.4.2.tar.gz"}},
                "existing": "refuse",
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
        let place = own_file("file", &data.file, &context).await?;
        let mut fields = Fields::default();
        let work = upload(&data, &place, &context, &mut fields);
        let ended = allowance.outcome_of("uploading", work).await?;
        let vars = [("sha256".to_owned(), fields.sha256.clone())];
        let vars = vars.into_iter().filter(|(_, value)| !value.is_empty());
        Ok(ended.with_vars(vars.collect()).with_fields(&fields))
    }
}

async fn upload(data: &Data, place: &Place, context: &TaskContext, fields: &mut Fields) -> Result<(), Halt> {
    let file = read(place, data.to.part(), data.to.wants_md5()).await?;
    fields.bytes = file.length;
    fields.sha256.clone_from(&file.sha256);
    let wanted = data.sha256.as_ref().map(|sha256| sha256.to_ascii_lowercase());
    if wanted.is_some_and(|wanted| wanted != file.sha256) {
        return Err(Halt::failed(format!(
            "{} has the SHA-256 {}, which is not that of the task's data; nothing was uploaded",
            place.path().display(),
            file.sha256
        )));
    }
    let to = data.to.shown();
    let there = data.to.look("to", context, &file).await?;
    fields.before = Some(there);
    if there == Before::Same {
        let text = format!("{to} is the same already");
        context.log.line(Level::Info, &text).await;
        return Ok(());
    }
    if there != Before::Nothing && data.existing == Existing::Refuse {
        return Err(Halt::failed(format!(
            "there is another artifact at {to}, and `existing` says that it stays"
        )));
    }
    let text = format!(
        "{}, {} bytes, SHA-256 {}, to {to}",
        place.path().display(),
        file.length,
        file.sha256
    );
    context.log.line(Level::Info, &text).await;
    data.to.put("to", context, &file).await?;
    fields.uploaded = true;
    Ok(())
}

/// A file that is about to be sent.
pub(super) async fn read(place: &Place, part: u64, md5: bool) -> Result<Whole, Halt> {
    let file = Whole::read_with(place.path(), part, md5).await;
    file.map_err(|error| place.wrong(format_args!("cannot be read: {error}")).into())
}
