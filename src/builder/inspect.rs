//! What `docker image inspect` and `podman image inspect` answer: text in, facts out.
//! The plan and the confirmation ask.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::stored::{PlatformManifest, Store, StoredImage};
use crate::system::command::CommandOutput;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedImage {
    id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
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

/// Which of `images` are there, in their order, from what `image inspect A B C` of docker or podman prints on stdout.
/// Both complain of absent images on stderr.
///
/// # Errors
/// When `stdout` is not what they print.
pub fn inspected_images(images: &[&ImageName], stdout: &str) -> Result<Vec<Option<StoredImage>>> {
    let inspected: Vec<InspectedImage> =
        serde_json::from_str(stdout.trim()).map_err(|error| cannot_understand().because(error))?;
    let found = |image: &ImageName| {
        inspected.iter().find(|inspected| {
            let mut tags = inspected.repo_tags.iter().flatten();
            tags.any(|tag| tag.parse::<ImageName>().is_ok_and(|tag| tag == *image))
        })
    };
    images.iter().map(|image| found(image).map(stored).transpose()).collect()
}

/// Which of `images`, asked for by `names`, are there, in their order, from what `image inspect` of docker or podman
/// printed; none if it did not answer for each of them.
///
/// # Errors
/// When `output` is not what they print.
pub(super) fn answered_images(
    images: &[&ImageName],
    names: &[String],
    output: &CommandOutput,
) -> Result<Option<Vec<Option<StoredImage>>>> {
    if output.stdout.trim().is_empty() {
        return Ok(None);
    }
    let found = inspected_images(images, &output.stdout)?;
    let is_whole = unanswered(names, &found, &output.stderr).next().is_none();
    Ok(is_whole.then_some(found))
}

/// Which of the images asked for by `names` `image inspect` neither found nor said to be absent, judged by what it printed
/// on stderr. What else is there, such as a warning, says nothing of an image.
fn unanswered<'a>(
    names: &'a [String],
    found: &'a [Option<StoredImage>],
    stderr: &'a str,
) -> impl Iterator<Item = &'a str> {
    let is_absent = |name: &str| {
        stderr.lines().any(|line| {
            let said = line.to_lowercase();
            (said.contains("no such image") || said.contains("image not known")) && line.contains(name)
        })
    };
    let missing = names.iter().zip(found).filter(|(_, found)| found.is_none()).map(|(name, _)| name.as_str());
    missing.filter(move |name| !is_absent(name))
}

/// What docker or podman said on stderr without warnings, which both give of their own surroundings, whatever they are
/// asked.
pub(super) fn without_warnings(stderr: &str) -> String {
    let is_warning = |line: &&str| {
        ["WARNING:", "WARN["].iter().any(|start| line.starts_with(start)) || line.contains("level=warning")
    };
    let rest: Vec<&str> = stderr.trim().lines().filter(|line| !is_warning(line)).collect();
    // Warnings alone are better than nothing.
    if rest.is_empty() { stderr.trim().to_owned() } else { rest.join("\n").trim().to_owned() }
}

fn cannot_understand() -> Error {
    Error::failed("cannot understand the engine's `image inspect`")
}

fn stored(inspected: &InspectedImage) -> Result<StoredImage> {
    let labels = inspected.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
    let own = Platform::new(&inspected.os, &inspected.architecture, inspected.variant.as_deref());
    let manifests = available_manifests(inspected.manifests.as_deref());
    let digests = inspected.repo_digests.iter().flatten();
    // podman's ID lacks the algorithm.
    let id = if inspected.id.contains(':') { &inspected.id } else { &format!("sha256:{}", inspected.id) };
    Ok(StoredImage {
        store: Store::Engine,
        digest: id.parse().map_err(|error: Error| cannot_understand().because(error))?,
        platforms: if manifests.is_empty() {
            vec![own]
        } else {
            manifests.iter().map(|manifest| manifest.platform.clone()).collect()
        },
        manifests,
        descriptors: Vec::new(),
        in_registries: digests.filter_map(|digest| digest.rsplit_once('@')?.1.parse().ok()).collect(),
        labels,
    })
}

/// The manifests that the engine holds. Its API lists them, for an index, from 1.48 on; earlier ones show one platform.
fn available_manifests(manifests: Option<&[Value]>) -> Vec<PlatformManifest> {
    let listed = manifests.into_iter().flatten();
    listed
        .filter(|manifest| manifest.get("Available").and_then(Value::as_bool) == Some(true))
        .filter(|manifest| manifest.get("Kind").and_then(Value::as_str) == Some("image"))
        .filter_map(|manifest| {
            let descriptor = manifest.get("Descriptor")?;
            let digest = descriptor.get("digest")?.as_str()?.parse().ok()?;
            Some(PlatformManifest { platform: platform_of(descriptor.get("platform")?)?, digest })
        })
        .collect()
}

pub(super) fn platform_of(value: &Value) -> Option<Platform> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    Some(Platform::new(text("os")?, text("architecture")?, text("variant")))
        .filter(|platform| platform.to_string() != "unknown/unknown")
}

/// Major and minor number of a version as tools print it: `0.13.1+ds1`, `v0.30.1`, `28.0.0-rc.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ToolVersion(pub u64, pub u64);

impl ToolVersion {
    /// Major and minor number of the first word that has both; none if no word has, such as in `library-import`.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let mut numbers = word.trim_start_matches('v').split(['.', '+', '-', '~']).map(str::parse);
            Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
    }
}

impl fmt::Display for ToolVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;
    use rstest::rstest;

    fn name(text: &str) -> ImageName {
        text.parse().expect("the test's reference is valid")
    }

    #[test]
    fn absent_images_are_an_answer() -> Result<()> {
        let (a, b) = (name("localhost/a:1"), name("localhost/b:1"));
        let stdout = r#"[{"Id":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","RepoTags":["localhost/b:1"],"Os":"linux","Architecture":"amd64",
            "Config":{"Labels":{"x":"y"}}}]"#;
        let found = inspected_images(&[&a, &b], stdout)?;
        assert_eq!(found[0], None);
        let image = found[1].as_ref().expect("b is there");
        assert_eq!((&image.digest, image.labels["x"].as_str()), (&Digest::default(), "y"));
        assert_eq!(image.platforms, [Platform::new("linux", "amd64", None)]);
        Ok(())
    }

    #[test]
    fn an_image_is_absent_only_if_that_is_said_of_it() {
        let names = ["localhost/a:1".to_owned(), "localhost/b:1".to_owned()];
        let asked = |found: [Option<StoredImage>; 2], stderr: &str| -> Vec<String> {
            unanswered(&names, &found, stderr).map(str::to_owned).collect()
        };
        let image = || Some(StoredImage::default());
        let gone = "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?\n";
        assert_eq!(asked([None, None], gone), names);
        assert_eq!(asked([image(), None], ""), names[1..]);
        assert!(asked([image(), image()], "WARNING: no such image of yours\n").is_empty());
        let absent = "WARNING: Error loading config file: denied\nError: No such image: localhost/a:1\n";
        assert_eq!(asked([None, None], absent), names[1..]);
        assert!(asked([None, image()], absent).is_empty());
        assert!(asked([None, image()], "Error: localhost/a:1: image not known\n").is_empty());
    }

    #[test]
    fn warnings_are_told_from_the_cause() {
        let stderr = "WARNING: Error loading config file: permission denied\nError: nobody is there\n";
        assert_eq!(without_warnings(stderr), "Error: nobody is there");
        assert_eq!(without_warnings("WARNING: odd\n"), "WARNING: odd");
    }

    #[test]
    fn an_index_in_the_store_tells_its_platforms() -> Result<()> {
        let stdout = r#"[{"Id":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","RepoTags":["a:1"],"Os":"linux","Architecture":"amd64","Manifests":[
            {"Kind":"image","Available":true,"Descriptor":{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","platform":{"os":"linux","architecture":"amd64"}}},
            {"Kind":"image","Available":false,"Descriptor":{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","platform":{"os":"linux","architecture":"arm64"}}},
            {"Kind":"attestation","Available":true,"Descriptor":{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","platform":{"os":"unknown","architecture":"unknown"}}}]}]"#;
        let found = inspected_images(&[&name("a:1")], stdout)?;
        assert_eq!(
            found[0].as_ref().map(|image| image.platforms.clone()),
            Some(vec![Platform::new("linux", "amd64", None)])
        );
        Ok(())
    }

    #[rstest]
    #[case("0.13.1+ds1", Some(ToolVersion(0, 13)))]
    #[case("v0.30.1", Some(ToolVersion(0, 30)))]
    #[case("28.0.0-rc.1", Some(ToolVersion(28, 0)))]
    #[case("26.1.5+dfsg1", Some(ToolVersion(26, 1)))]
    #[case("github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3", Some(ToolVersion(0, 13)))]
    #[case("github.com/docker/buildx v0.30.1 9e66234aa13328a5e75b75aa5574e1ca6d6d9c01", Some(ToolVersion(0, 30)))]
    #[case("library-import", None)]
    #[case("v0.0.0+unknown", Some(ToolVersion(0, 0)))]
    #[case("", None)]
    #[case("99999999999999999999.1", None)]
    fn versions_are_read_as_tools_print_them(#[case] text: &str, #[case] expected: Option<ToolVersion>) {
        assert_eq!(ToolVersion::parse(text), expected);
    }
}
