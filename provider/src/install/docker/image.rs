//! The image of a container: taken as it is when the engine has it, else pulled, or built and loaded.

use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::registry::login;
use super::spec::{DockerSpec, Image};
use super::{DockerError, Engine, Engines, build};

/// The name by which a spec's image is asked for.
///
/// # Errors
/// When it has none and cannot be built.
pub(super) fn reference(engines: &Engines, spec: &DockerSpec) -> Result<String, DockerError> {
    match &spec.image {
        Image::Named(name) => Ok(name.clone()),
        Image::Program(program) => engines.images.name_of(program),
    }
}

/// Checks that an image is named, or that there is something to make one of. The engine is not asked.
///
/// # Errors
/// What is missing.
pub fn check(engines: &Engines, spec: &DockerSpec) -> Result<(), DockerError> {
    reference(engines, spec).map(|_| ())
}

/// What the engine knows of an image; `None` when it does not have it.
pub(super) async fn find(engine: &Engine, name: &str) -> Result<Option<ImageInspect>, DockerError> {
    match engine.docker.inspect_image(name).await {
        Ok(image) => Ok(Some(image)),
        Err(error) => match engine.told(&format!("look at the image {name}"), error) {
            missing if missing.is_not_found() => Ok(None),
            error => Err(error),
        },
    }
}

/// Sees to it that the engine has the image.
pub(super) async fn ensure(
    engine: &Engine,
    engines: &Engines,
    spec: &DockerSpec,
    stop: &CancellationToken,
) -> Result<(String, ImageInspect), DockerError> {
    let name = reference(engines, spec)?;
    if let Some(image) = find(engine, &name).await? {
        return Ok((name, image));
    }
    let get = async {
        match &spec.image {
            Image::Named(_) => pull(engine, spec, &name, stop).await,
            Image::Program(program) => build::load(engine, program, &name, stop).await,
        }
    };
    tokio::select! {
        got = get => got?,
        () = stop.cancelled() => return Err(DockerError::Stopped("the pull of the image")),
    }
    let image = find(engine, &name).await?;
    let image = image
        .ok_or_else(|| unavailable(engine, &name, "it was pulled, and yet it is not there".to_owned()))?;
    Ok((name, image))
}

async fn pull(
    engine: &Engine,
    spec: &DockerSpec,
    name: &str,
    stop: &CancellationToken,
) -> Result<(), DockerError> {
    let credentials = login(engine, spec, name, stop).await?;
    let (image, tag) = split(name);
    let options = CreateImageOptionsBuilder::new()
        .from_image(image)
        .tag(tag)
        .build();
    tracing::info!(image = name, "pulling");
    let mut stream = std::pin::pin!(engine.docker.create_image(Some(options), None, credentials));
    while let Some(step) = stream.next().await {
        let problem = match step {
            Ok(step) => step.error_detail.and_then(|detail| detail.message),
            Err(error) => match engine.told(&format!("pull the image {name}"), error) {
                DockerError::Refused { message, .. } => Some(message),
                error => return Err(error),
            },
        };
        if let Some(problem) = problem {
            return Err(unavailable(engine, name, problem));
        }
    }
    Ok(())
}

/// An image's name and its tag or digest; without one, the engine would pull every tag there is.
fn split(name: &str) -> (&str, &str) {
    if let Some((image, digest)) = name.split_once('@') {
        return (image, digest);
    }
    match name.rsplit_once(':') {
        // The colon of a port comes before a slash.
        Some((image, tag)) if !tag.contains('/') => (image, tag),
        _ => (name, "latest"),
    }
}

/// The version that an image's name tells: its tag, or its digest.
pub(super) fn version(name: &str) -> String {
    split(name).1.to_owned()
}

/// What tells the content of the image `name`: the digest it was pulled by, or its id. The same image may have been pulled
/// from, or pushed to, other repositories too; what it is called there does not count.
pub(super) fn digest(image: &ImageInspect, name: &str) -> Option<String> {
    // As the engine calls those of Docker Hub.
    let repository = split(name).0.trim_start_matches("docker.io/");
    let repository = repository.strip_prefix("library/").unwrap_or(repository);
    let pulled = image.repo_digests.iter().flatten();
    pulled
        .filter_map(|digest| digest.split_once('@'))
        .find(|(from, _)| *from == repository)
        .map(|(_, digest)| digest.to_owned())
        .or_else(|| image.id.clone())
}

fn unavailable(engine: &Engine, image: &str, reason: String) -> DockerError {
    DockerError::Image {
        image: image.to_owned(),
        engine: engine.address(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_told_from_a_port() {
        for (name, parts) in [
            ("busybox", ("busybox", "latest")),
            ("busybox:1.36", ("busybox", "1.36")),
            ("localhost:5000/x", ("localhost:5000/x", "latest")),
            ("localhost:5000/x:2", ("localhost:5000/x", "2")),
            ("x@sha256:ab", ("x", "sha256:ab")),
        ] {
            assert_eq!(split(name), parts, "{name}");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_repository_that_was_named() {
        let image = ImageInspect {
            id: Some("sha256:id".to_owned()),
            repo_digests: Some(vec![
                "localhost:5000/x@sha256:pushed".to_owned(),
                "x@sha256:hub".to_owned(),
            ]),
            ..ImageInspect::default()
        };
        for (name, expected) in [
            ("localhost:5000/x:1", "sha256:pushed"),
            ("docker.io/library/x", "sha256:hub"),
            ("x:2", "sha256:hub"),
            ("y:2", "sha256:id"),
        ] {
            assert_eq!(digest(&image, name).as_deref(), Some(expected), "{name}");
        }
    }
}
