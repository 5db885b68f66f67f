//! Objects of S3. The SHA-256 of what was uploaded is kept with it, as `x-amz-meta-sha256`.

use http::{HeaderMap, Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use super::store::{Before, Incoming};
use crate::Secret;
use crate::aws::{Ask, Aws, element};
use crate::protocol::file_body::{Content, Whole};
use crate::task::aws::AwsAccess;
use crate::task::halt::Halt;
use crate::task::{TaskContext, TaskError};

/// Where a checksum of ours is kept.
const SHA256: &str = "x-amz-meta-sha256";

/// Size of a part, where the data says nothing, in MiB: few requests, and little is sent again when one fails.
const DEFAULT_PART: u64 = 64;

/// What S3 takes, in MiB.
const PARTS: std::ops::RangeInclusive<u64> = 5..=5120;

/// What S3 takes.
const MOST_PARTS: usize = 10_000;

/// Of an answer in XML so much is read: one about an upload is short.
const MAX_XML: usize = 64 * 1024;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct S3Store {
    /// Which AWS. What only speaks S3's protocol is named by `endpoint`.
    #[serde(default)]
    aws: AwsAccess,
    /// Bucket.
    bucket: String,
    /// Key of the object.
    key: String,
    /// Version to download. Default: the newest.
    version: Option<String>,
    /// Files larger than this are uploaded in parts of this size, in MiB, 5 to 5120. Default: 64.
    #[schemars(range(min = 5, max = 5120))]
    part_mib: Option<u64>,
}

impl S3Store {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.aws.secrets()
    }

    pub(super) fn check(&self, field: &str, is_upload: bool) -> Result<(), TaskError> {
        let wrong = |name: &str, problem: &str| Err(TaskError::data(format!("{field}.{name}"), problem));
        self.aws.check(&format!("{field}.aws"))?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if !(3..=63).contains(&self.bucket.len())
            || !self.bucket.bytes().all(fits)
            || self.bucket.split('.').any(str::is_empty)
        {
            return wrong(
                "bucket",
                "is no name of a bucket: 3 to 63 small letters, digits, hyphens and points",
            );
        }
        // An address with such parts would be another one.
        let bad = |part: &str| matches!(part, "." | "..");
        if self.key.is_empty() || self.key.len() > 1024 || self.key.split('/').any(bad) {
            return wrong(
                "key",
                "is no key: 1 to 1024 bytes, and no part between slashes that is . or ..",
            );
        }
        if is_upload && self.version.is_some() {
            return wrong("version", "is for downloads; S3 names the version of an upload");
        }
        if self.part_mib.is_some_and(|part| !PARTS.contains(&part)) {
            return wrong("part_mib", "must be from 5 to 5120");
        }
        Ok(())
    }

    pub(super) fn shown(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    pub(super) fn part(&self) -> u64 {
        self.part_mib.unwrap_or(DEFAULT_PART) * 1024 * 1024
    }

    fn open(&self, field: &str, context: &TaskContext) -> Result<Aws, TaskError> {
        self.aws.client(&format!("{field}.s3.aws"), context)
    }

    fn ask<'a>(
        &'a self,
        operation: &'static str,
        method: Method,
        query: &'a [(&'a str, &'a str)],
        content: Content<'a>,
    ) -> Ask<'a> {
        Ask {
            operation,
            method,
            bucket: &self.bucket,
            key: &self.key,
            query,
            headers: &[],
            content,
        }
    }

    pub(super) async fn fetch(&self, field: &str, context: &TaskContext) -> Result<Incoming, Halt> {
        let version = self.version.iter().map(|version| ("versionId", &**version));
        let query: Vec<_> = version.collect();
        let ask = self.ask("GetObject", Method::GET, &query, Content::Nothing);
        let response = self.open(field, context)?.s3(&ask).await?;
        let sha256 = kept(response.headers()).map(str::to_owned);
        Ok(Incoming {
            response,
            sha256,
            md5: None,
        })
    }

    pub(super) async fn look(
        &self,
        field: &str,
        context: &TaskContext,
        file: &Whole,
    ) -> Result<Before, Halt> {
        let ask = self.ask("HeadObject", Method::HEAD, &[], Content::Nothing);
        match self.open(field, context)?.s3(&ask).await {
            Ok(response) => Ok(match kept(response.headers()) {
                None => Before::Unknown,
                Some(sha256) if sha256 == file.sha256 => Before::Same,
                Some(_) => Before::Other,
            }),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(Before::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// S3 compares each body with the checksum that was signed with it, and takes it whole or not at all.
    pub(super) async fn put(&self, field: &str, context: &TaskContext, file: &Whole) -> Result<(), Halt> {
        let aws = self.open(field, context)?;
        if file.parts.len() > MOST_PARTS {
            return Err(Halt::failed(format!(
                "{} has more than {MOST_PARTS} parts of {} bytes; raise `{field}.s3.part_mib`",
                file.path.display(),
                self.part()
            )));
        }
        if let [part] = &*file.parts {
            let mut ask = self.ask("PutObject", Method::PUT, &[], Content::Part(file, part));
            let headers = [(SHA256, &*file.sha256)];
            ask.headers = &headers;
            aws.s3(&ask).await?;
            return Ok(());
        }
        let mut ask = self.ask(
            "CreateMultipartUpload",
            Method::POST,
            &[("uploads", "")],
            Content::Nothing,
        );
        let headers = [(SHA256, &*file.sha256)];
        ask.headers = &headers;
        let begun = text(aws.s3(&ask).await?).await;
        let Some(upload) = element(&begun, "UploadId") else {
            return Err(Halt::failed("S3 names no id of the upload that has begun"));
        };
        if let Err(halt) = self.put_parts(&aws, upload, file).await {
            // What is left costs money. That it cannot be removed is less news than why.
            let query = [("uploadId", upload)];
            let ask = self.ask("AbortMultipartUpload", Method::DELETE, &query, Content::Nothing);
            let _ = aws.s3(&ask).await;
            return Err(halt);
        }
        Ok(())
    }

    async fn put_parts(&self, aws: &Aws, upload: &str, file: &Whole) -> Result<(), Halt> {
        let mut list = "<CompleteMultipartUpload>".to_owned();
        for (number, part) in (1_usize..).zip(&file.parts) {
            let name = number.to_string();
            let query = [("partNumber", &*name), ("uploadId", upload)];
            let ask = self.ask("UploadPart", Method::PUT, &query, Content::Part(file, part));
            let response = aws.s3(&ask).await?;
            let tag = response.headers().get(http::header::ETAG);
            let Some(tag) = tag.and_then(|tag| tag.to_str().ok()) else {
                return Err(Halt::failed(format!("S3 names no tag of part {number}")));
            };
            let tag = tag.trim_matches('"');
            list.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>\"{tag}\"</ETag></Part>"
            ));
        }
        list.push_str("</CompleteMultipartUpload>");
        let query = [("uploadId", upload)];
        let ask = self.ask(
            "CompleteMultipartUpload",
            Method::POST,
            &query,
            Content::Text(&list),
        );
        let said = text(aws.s3(&ask).await?).await;
        // It answers at once, and says in the end whether it did well.
        if said.contains("<Error>") {
            return Err(Halt::failed(format!(
                "S3 CompleteMultipartUpload: {}: {}",
                element(&said, "Code").unwrap_or("no code"),
                element(&said, "Message").unwrap_or_default()
            )));
        }
        Ok(())
    }
}

fn kept(headers: &HeaderMap) -> Option<&str> {
    headers.get(SHA256)?.to_str().ok()
}

/// A short answer; what cannot be read of it is left out.
async fn text(mut response: reqwest::Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_XML - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}
