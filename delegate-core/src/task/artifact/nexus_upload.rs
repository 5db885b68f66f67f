//! `NEXUS_UPLOAD`: puts a file into a hosted repository of Nexus, in the layout of its format.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::nexus::{Repository, check_path, check_repository};
use super::store::Before;
use super::upload::read;
use super::{Existing, own_file};
use crate::Secret;
use crate::protocol::file_body::Whole;
use crate::task::allowance::Allowance;
use crate::task::files::write_private;
use crate::task::halt::Halt;
use crate::task::login::Basic;
use crate::task::workspace::Place;
use crate::task::{
    About, Level, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate, workspace,
};

/// The kind `NEXUS_UPLOAD`.
pub struct NexusUpload;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// Address of Nexus.
    url: String,
    /// Name of a hosted repository of the format of `content`.
    repository: String,
    /// Login by name and password. Default: what everybody may do.
    basic: Option<Basic>,
    /// What is uploaded.
    content: Content,
    /// What becomes of other files in the same places: `replace` or `refuse`. A repository may have a policy of its own
    /// that refuses.
    #[serde(default)]
    existing: Existing,
}

/// What is uploaded, by the format of the repository.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Content {
    /// A file at a path.
    Raw(Raw),
    /// An artifact of Maven, with its POM. No snapshot.
    Maven(Maven),
    /// A packaged Helm chart.
    Helm(Helm),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// The file: relative to the delegate's workspace, or absolute.
    file: String,
    /// Where it is in the repository.
    path: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Maven {
    /// The file: relative to the delegate's workspace, or absolute.
    file: String,
    /// Group, such as `com.example.shop`.
    group: String,
    /// Artifact, such as `shop-web`.
    artifact: String,
    /// Version.
    version: String,
    /// Classifier, such as `sources`.
    classifier: Option<String>,
    /// Extension. Default: that of the file.
    extension: Option<String>,
    /// The POM, a file as `file`. Default: one that says no more than the coordinates; none where there is a classifier.
    pom: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Helm {
    /// The chart, `NAME-VERSION.tgz`: relative to the delegate's workspace, or absolute.
    chart: String,
}

#[derive(Default, Serialize, JsonSchema)]
struct Fields {
    /// The files, in the order in which they are uploaded.
    files: Vec<Entry>,
}

/// One file.
#[derive(Serialize, JsonSchema)]
struct Entry {
    /// Its address.
    url: String,
    /// Its size.
    bytes: u64,
    /// Its SHA-256 in hexadecimal.
    sha256: String,
    /// What was there before: `nothing`, `same`, `other`, or `unknown` where Nexus tells no checksum.
    before: Before,
    /// Whether it was uploaded, and Nexus has it as it was sent; not when it was there already.
    uploaded: bool,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        self.basic.iter().map(|basic| basic.password.clone()).collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        check_repository("", &self.url, &self.repository, self.basic.as_ref())?;
        match &self.content {
            Content::Raw(raw) => {
                workspace::read("content.raw.file", &raw.file)?;
                check_path("content.raw.path", &raw.path)
            }
            Content::Maven(maven) => maven.check(),
            Content::Helm(helm) => {
                let file = workspace::read("content.helm.chart", &helm.chart)?;
                if file.extension().is_some_and(|extension| extension == "tgz") {
                    return Ok(());
                }
                Err(TaskError::data(
                    "content.helm.chart",
                    "is no packaged chart, NAME-VERSION.tgz; package it with `helm package`",
                ))
            }
        }
    }
}

impl Maven {
    fn check(&self) -> Result<(), TaskError> {
        let wrong =
            |field: &str, problem: &str| Err(TaskError::data(format!("content.maven.{field}"), problem));
        let file = workspace::read("content.maven.file", &self.file)?;
        if let Some(pom) = &self.pom {
            workspace::read("content.maven.pom", pom)?;
        }
        let parts = [
            ("group", Some(&self.group)),
            ("artifact", Some(&self.artifact)),
            ("version", Some(&self.version)),
            ("classifier", self.classifier.as_ref()),
            ("extension", self.extension.as_ref()),
        ];
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
        for (field, part) in parts {
            let Some(part) = part else { continue };
            if part.is_empty() || part.split('.').any(str::is_empty) || !part.bytes().all(fits) {
                return wrong(
                    field,
                    "has other characters than letters, digits, hyphens, underscores, pluses and single points",
                );
            }
        }
        if self.version.ends_with("-SNAPSHOT") {
            return wrong(
                "version",
                "is a snapshot, whose files get their names from Maven; use `mvn deploy`",
            );
        }
        if self.extension.is_none() && file.extension().is_none() {
            return wrong("extension", "is needed, because the file's name has none");
        }
        if self.pom.is_some() && self.classifier.is_some() {
            return wrong("pom", "goes with the artifact that has no classifier");
        }
        Ok(())
    }

    fn extension(&self) -> &str {
        let own = Path::new(&self.file)
            .extension()
            .and_then(|extension| extension.to_str());
        self.extension.as_deref().or(own).unwrap_or("jar")
    }

    /// Path of a file of this artifact.
    fn path(&self, classifier: Option<&str>, extension: &str) -> String {
        let Self {
            group,
            artifact,
            version,
            ..
        } = self;
        let classifier = classifier
            .map(|classifier| format!("-{classifier}"))
            .unwrap_or_default();
        format!(
            "{}/{artifact}/{version}/{artifact}-{version}{classifier}.{extension}",
            group.replace('.', "/")
        )
    }

    /// All that Maven asks of one.
    fn least_pom(&self) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  \
             <modelVersion>4.0.0</modelVersion>\n  <groupId>{}</groupId>\n  <artifactId>{}</artifactId>\n  <version>{}</version>\n  \
             <packaging>{}</packaging>\n</project>\n",
            self.group,
            self.artifact,
            self.version,
            self.extension()
        )
    }
}

#[async_trait]
impl TaskKind for NexusUpload {
    fn type_name(&self) -> &'static str {
        "NEXUS_UPLOAD"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Puts a file, an artifact of Maven or a Helm chart into a hosted repository of Nexus, and verifies what is there then.",
            "Safe: files that Nexus has already are left alone; of others, `existing` says what becomes of them.",
            json!({
                "url": "https://nexus.example.com",
                "repository": "releases",
                "basic": {"user": "ci", "password": "<+secrets.getValue(\"account.nexus\")>"},
                "content": {"maven": {
                    "file": "shop/target/shop-1.4.2.jar", "group": "com.example.shop", "artifact": "shop", "version": "1.4.2",
                }},
                "existing": "refuse",
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let mut fields = Fields::default();
        let ended = allowance
            .outcome_of("uploading", upload(&data, &context, &mut fields))
            .await?;
        let url = fields
            .files
            .first()
            .map(|file| ("url".to_owned(), file.url.clone()));
        Ok(ended.with_vars(url.into_iter().collect()).with_fields(&fields))
    }
}

async fn upload(data: &Data, context: &TaskContext, fields: &mut Fields) -> Result<(), Halt> {
    let repository = Repository::new(&data.url, &data.repository, data.basic.as_ref(), context)?;
    let mut wanted: Vec<(String, Whole)> = Vec::new();
    for (place, path) in data.content.files(context).await? {
        wanted.push((path, read(&place, u64::MAX, false).await?));
    }
    // All of it is looked at before anything is changed.
    for (path, file) in &wanted {
        let there = repository.look(path, file).await?;
        fields.files.push(Entry {
            url: repository.url(path).into(),
            bytes: file.length,
            sha256: file.sha256.clone(),
            before: there,
            uploaded: false,
        });
        let taken = matches!(there, Before::Other | Before::Unknown);
        if taken && data.existing == Existing::Refuse {
            return Err(Halt::failed(format!(
                "there is another {path} in the repository {}, and `existing` says that it stays; nothing was uploaded",
                data.repository
            )));
        }
    }
    let repository_name = &data.repository;
    for ((path, file), entry) in wanted.iter().zip(&mut fields.files) {
        let same = entry.before == Before::Same;
        let how = if same { "is there already" } else { "is uploaded" };
        let text = format!("{path} {how}: {} bytes, SHA-256 {}", file.length, file.sha256);
        context.log.line(Level::Info, &text).await;
        if same {
            continue;
        }
        if let Err(halt) = repository.put(path, file).await {
            let text = format!(
                "{path} was not uploaded to the repository {repository_name}; the files before it are there"
            );
            context.log.line(Level::Error, &text).await;
            return Err(halt);
        }
        entry.uploaded = true;
    }
    Ok(())
}

impl Content {
    /// The files of the delegate, and their paths in the repository.
    async fn files(&self, context: &TaskContext) -> Result<Vec<(Place, String)>, Halt> {
        match self {
            Self::Raw(raw) => {
                let place = own_file("content.raw.file", &raw.file, context).await?;
                Ok(vec![(place, raw.path.clone())])
            }
            Self::Helm(helm) => {
                let place = own_file("content.helm.chart", &helm.chart, context).await?;
                let name = place.path().file_name().unwrap_or_default();
                let name = name.to_string_lossy().into_owned();
                Ok(vec![(place, name)])
            }
            Self::Maven(maven) => {
                let place = own_file("content.maven.file", &maven.file, context).await?;
                let path = maven.path(maven.classifier.as_deref(), maven.extension());
                let mut files = vec![(place, path)];
                let pom: Option<Place> = match &maven.pom {
                    Some(pom) => Some(own_file("content.maven.pom", pom, context).await?),
                    None if maven.classifier.is_some() || maven.extension() == "pom" => None,
                    None => {
                        let file: PathBuf = context.work_dir.join("pom.xml");
                        write_private(&file, &maven.least_pom(), None).await?;
                        Some(Place::of("content.maven.pom", file, None)?)
                    }
                };
                files.extend(pom.map(|pom| (pom, maven.path(None, "pom"))));
                Ok(files)
            }
        }
    }
}
