//! Where artifacts are kept, whichever it is.

use reqwest::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::azure::AzureStore;
use super::gcs::GcsStore;
use super::http::HttpStore;
use super::nexus::NexusStore;
use super::s3::S3Store;
use crate::Secret;
use crate::protocol::file_body::{Md5Sum, Whole};
use crate::task::halt::Halt;
use crate::task::{TaskContext, TaskError};

/// One artifact in a store.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Store {
    /// An object of Amazon S3, or of what speaks its protocol.
    S3(S3Store),
    /// A blob of Azure Storage.
    Azure(AzureStore),
    /// An object of Google Cloud Storage.
    Gcs(GcsStore),
    /// A file of a repository of Nexus, of format raw or maven.
    Nexus(NexusStore),
    /// Any address.
    Http(HttpStore),
}

/// What was there before.
// Its description, and no word on a variant, is what the reference shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Before {
    Nothing,
    // The same content.
    Same,
    Other,
    // Something; the store tells no checksum of it.
    Unknown,
}

/// An artifact that is about to be read.
pub(super) struct Incoming {
    pub(super) response: Response,
    /// What the store says its SHA-256 is.
    pub(super) sha256: Option<String>,
    /// What it says its MD5 is.
    pub(super) md5: Option<Md5Sum>,
}

impl Store {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::S3(store) => store.secrets(),
            Self::Azure(store) => store.secrets(),
            Self::Gcs(store) => store.secrets(),
            Self::Nexus(store) => store.secrets(),
            Self::Http(store) => store.secrets(),
        }
    }

    /// `field` is the path of this type in the data.
    pub(super) fn check(&self, field: &str, is_upload: bool) -> Result<(), TaskError> {
        match self {
            Self::S3(store) => store.check(&format!("{field}.s3"), is_upload),
            Self::Azure(store) => store.check(&format!("{field}.azure")),
            Self::Gcs(store) => store.check(&format!("{field}.gcs")),
            Self::Nexus(store) => store.check(&format!("{field}.nexus")),
            Self::Http(store) => store.check(&format!("{field}.http")),
        }
    }

    /// What the log calls it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::S3(store) => store.shown(),
            Self::Azure(store) => store.shown(),
            Self::Gcs(store) => store.shown(),
            Self::Nexus(store) => store.shown(),
            Self::Http(store) => store.shown(),
        }
    }

    /// Files are read in parts of this size before they are sent.
    pub(super) fn part(&self) -> u64 {
        match self {
            Self::S3(store) => store.part(),
            Self::Azure(store) => store.part(),
            Self::Gcs(_) | Self::Nexus(_) | Self::Http(_) => u64::MAX,
        }
    }

    /// Whether it compares what it is sent with an MD5.
    pub(super) fn wants_md5(&self) -> bool {
        matches!(self, Self::Azure(_) | Self::Gcs(_))
    }

    pub(super) async fn fetch(&self, field: &str, context: &TaskContext) -> Result<Incoming, Halt> {
        match self {
            Self::S3(store) => store.fetch(field, context).await,
            Self::Azure(store) => store.fetch(context).await,
            Self::Gcs(store) => store.fetch(field, context).await,
            Self::Nexus(store) => store.fetch(context).await,
            Self::Http(store) => store.fetch(context).await,
        }
    }

    pub(super) async fn look(
        &self,
        field: &str,
        context: &TaskContext,
        file: &Whole,
    ) -> Result<Before, Halt> {
        match self {
            Self::S3(store) => store.look(field, context, file).await,
            Self::Azure(store) => store.look(context, file).await,
            Self::Gcs(store) => store.look(field, context, file).await,
            Self::Nexus(store) => store.look(context, file).await,
            Self::Http(store) => store.look(context).await,
        }
    }

    pub(super) async fn put(&self, field: &str, context: &TaskContext, file: &Whole) -> Result<(), Halt> {
        match self {
            Self::S3(store) => store.put(field, context, file).await,
            Self::Azure(store) => store.put(field, context, file).await,
            Self::Gcs(store) => store.put(field, context, file).await,
            Self::Nexus(store) => store.put(context, file).await,
            Self::Http(store) => store.put(context, file).await,
        }
    }
}
