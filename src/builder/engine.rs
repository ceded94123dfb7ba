//! What `docker` answers when it is asked about itself and its images, as text in and facts out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Manifest, Store, StoredImage};
use crate::error::{Error, Result};
use crate::image_name::ImageName;
use crate::platform::Platform;

/// From `docker version --format '{{json .Server}}'`.
pub(super) fn server_platform(json: &str) -> Result<Platform> {
    let server: Value = serde_json::from_str(json)
        .map_err(|error| Error::failed("cannot understand `docker version`").because(error))?;
    let text = |key: &str| server.get(key).and_then(Value::as_str);
    match (text("Os"), text("Arch")) {
        (Some(os), Some(architecture)) => Ok(Platform::new(os, architecture, None)),
        _ => Err(Error::failed("`docker version` does not tell the engine's platform").because(json.trim())),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedImage {
    id: String,
    repo_tags: Option<Vec<String>>,
    os: String,
    architecture: String,
    variant: Option<String>,
    config: Option<InspectedConfig>,
    manifests: Option<Vec<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedConfig {
    labels: Option<BTreeMap<String, String>>,
}

/// From the output of `docker image inspect A B C` or podman's: which of `images` are there, in their order.
///
/// Both print what they found on stdout and complain of each image that is absent on stderr; any other complaint is
/// an error.
pub(super) fn inspected_images(images: &[&ImageName], stdout: &str, stderr: &str) -> Result<Vec<Option<StoredImage>>> {
    if complains(stderr) {
        return Err(engine_failure("cannot ask the engine for its images", stderr));
    }
    let inspected: Vec<InspectedImage> = serde_json::from_str(stdout.trim())
        .map_err(|error| Error::failed("cannot understand the engine's `image inspect`").because(error))?;
    let found = |image: &ImageName| {
        inspected.iter().find(|inspected| {
            let mut tags = inspected.repo_tags.iter().flatten();
            tags.any(|tag| tag.parse::<ImageName>().is_ok_and(|tag| tag == *image))
        })
    };
    Ok(images.iter().map(|image| found(image).map(stored)).collect())
}

/// Whether `image inspect` complains of anything but of images that are absent.
pub(super) fn complains(stderr: &str) -> bool {
    let absent = |line: &str| {
        let line = line.to_lowercase();
        line.contains("no such image") || line.contains("image not known")
    };
    stderr.lines().any(|line| !line.trim().is_empty() && !absent(line))
}

fn stored(inspected: &InspectedImage) -> StoredImage {
    let labels = inspected.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
    let own = Platform::new(&inspected.os, &inspected.architecture, inspected.variant.as_deref());
    let manifests = available_manifests(inspected.manifests.as_deref());
    StoredImage {
        store: Store::Engine,
        // podman leaves the algorithm out.
        digest: if inspected.id.contains(':') { inspected.id.clone() } else { format!("sha256:{}", inspected.id) },
        platforms: if manifests.is_empty() {
            vec![own]
        } else {
            manifests.iter().map(|manifest| manifest.platform.clone()).collect()
        },
        manifests,
        descriptors: Vec::new(),
        labels,
    }
}

/// API 1.48 and later list an index's manifests, and which of them are there. Earlier ones show one of them only.
fn available_manifests(manifests: Option<&[Value]>) -> Vec<Manifest> {
    let listed = manifests.into_iter().flatten();
    listed
        .filter(|manifest| manifest.get("Available").and_then(Value::as_bool) == Some(true))
        .filter(|manifest| manifest.get("Kind").and_then(Value::as_str) == Some("image"))
        .filter_map(|manifest| {
            let descriptor = manifest.get("Descriptor")?;
            let digest = descriptor.get("digest").and_then(Value::as_str).unwrap_or_default().to_owned();
            Some(Manifest { platform: platform_of(descriptor.get("platform")?)?, digest })
        })
        .collect()
}

/// Whether `docker create --pull never --platform` failed because the image is not there for that platform.
pub(super) fn is_for_another_platform(stderr: &str) -> bool {
    let said = |words: &str| stderr.to_lowercase().contains(words);
    said("no such image")
        || said("does not match the specified platform")
        || said("does not provide the specified platform")
}

pub(super) fn platform_of(value: &Value) -> Option<Platform> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    Some(Platform::new(text("os")?, text("architecture")?, text("variant")))
        .filter(|platform| platform.to_string() != "unknown/unknown")
}

/// An error of the engine, with what to do by what it said.
pub(super) fn engine_failure(doing: &str, stderr: &str) -> Error {
    let said = |words: &[&str]| words.iter().any(|word| stderr.to_lowercase().contains(word));
    let error = Error::failed(doing).because(stderr.trim());
    if said(&["permission denied"]) {
        error.hint("you may not use the engine's socket: run as a member of the group `docker`")
    } else if said(&["cannot connect", "is the docker daemon running", "connection refused", "no such host"]) {
        error.hint("start the Docker engine, or name one with DOCKER_HOST; `docker info` tells whether it answers")
    } else if said(&["is not a docker command", "unknown command", "unknown flag"]) {
        error.hint("install the buildx plug-in of Docker (package `docker-buildx` or `docker-buildx-plugin`)")
    } else if said(&["no builder"]) {
        error.hint("`docker buildx ls` lists the builders there are")
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ImageName {
        text.parse().expect("the test's reference is valid")
    }

    #[test]
    fn absent_images_are_an_answer() -> Result<()> {
        let (a, b) = (name("localhost/a:1"), name("localhost/b:1"));
        let stdout = r#"[{"Id":"sha256:1","RepoTags":["localhost/b:1"],"Os":"linux","Architecture":"amd64",
            "Config":{"Labels":{"x":"y"}}}]"#;
        let found = inspected_images(&[&a, &b], stdout, "Error: No such image: localhost/a:1\n")?;
        assert_eq!(found[0], None);
        let image = found[1].as_ref().expect("b is there");
        assert_eq!((image.digest.as_str(), image.labels["x"].as_str()), ("sha256:1", "y"));
        assert_eq!(image.platforms, [Platform::new("linux", "amd64", None)]);
        Ok(())
    }

    #[test]
    fn an_engine_that_does_not_answer_is_an_error_with_a_hint() {
        let stderr = "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?\n";
        let error = inspected_images(&[&name("a:1")], "[]", stderr).expect_err("it was taken for absent");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("DOCKER_HOST")));
    }

    #[test]
    fn an_index_in_the_store_tells_its_platforms() -> Result<()> {
        let stdout = r#"[{"Id":"sha256:1","RepoTags":["a:1"],"Os":"linux","Architecture":"amd64","Manifests":[
            {"Kind":"image","Available":true,"Descriptor":{"platform":{"os":"linux","architecture":"amd64"}}},
            {"Kind":"image","Available":false,"Descriptor":{"platform":{"os":"linux","architecture":"arm64"}}},
            {"Kind":"attestation","Available":true,"Descriptor":{"platform":{"os":"unknown","architecture":"unknown"}}}]}]"#;
        let found = inspected_images(&[&name("a:1")], stdout, "")?;
        assert_eq!(
            found[0].as_ref().map(|image| image.platforms.clone()),
            Some(vec![Platform::new("linux", "amd64", None)])
        );
        Ok(())
    }
}
