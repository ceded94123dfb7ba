//! What a build promises, for the step that confirms it: the JSON that `docker buildx build --metadata-file` writes.
//! Every key is optional, and which digest means what depends on the driver.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::stored::{PlatformManifest, StoredImage};

/// What buildx says of a build's result.
///
/// The keys are those of the reference documentation of `docker buildx build --metadata-file`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildxMetadata {
    /// `containerimage.digest`: of the manifest or index; with a classic store and `--load` of the configuration.
    pub digest: Option<Digest>,
    /// `containerimage.config.digest`: of the configuration, the image ID of a classic store.
    pub config_digest: Option<Digest>,
    /// `image.name`, split at commas.
    pub names: Vec<ImageName>,
    /// The pushed manifests, if an index with them was written after the build: that index is the result then.
    pub manifests: Vec<PlatformManifest>,
    /// `buildx.build.ref`: names the build in `docker buildx history`.
    pub build_ref: Option<String>,
}

impl BuildxMetadata {
    /// Reads the file's text. Keys of unexpected types are ignored.
    ///
    /// # Errors
    /// When `text` is not a JSON object.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self> {
        let value: Value = serde_json::from_slice(text.as_ref())
            .map_err(|error| Error::failed("cannot understand the metadata file of buildx").because(error))?;
        let Value::Object(keys) = value else {
            return Err(Error::failed("the metadata file of buildx is not a JSON object"));
        };
        let text = |name: &str| keys.get(name).and_then(Value::as_str).map(str::to_owned);
        let digest = |name: &str| text(name).and_then(|digest| digest.parse().ok());
        let descriptor = keys.get("containerimage.descriptor").and_then(|descriptor| descriptor.get("digest"));
        Ok(Self {
            digest: digest("containerimage.digest").or_else(|| descriptor?.as_str()?.parse().ok()),
            config_digest: digest("containerimage.config.digest"),
            names: text("image.name")
                .into_iter()
                .flat_map(|names| names.split(',').map(str::parse).collect::<Vec<_>>())
                .filter_map(Result::ok)
                .collect(),
            manifests: Vec::new(),
            build_ref: text("buildx.build.ref"),
        })
    }

    /// Whether no image can be the result.
    pub fn promises_nothing(&self) -> bool {
        self.digest.is_none() && self.config_digest.is_none() && self.manifests.is_empty()
    }

    /// Refuses what tells of another image than `name`.
    ///
    /// # Errors
    /// When names are told, and `name` is none of them.
    pub fn expect_name(&self, name: &ImageName) -> Result<()> {
        if self.names.is_empty() || self.names.contains(name) {
            return Ok(());
        }
        let told: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        Err(Error::failed(format!("the build of `{name}` ended well, but its metadata is about `{}`", told.join(", ")))
            .hint("an argument or setting gives the result another name; leave it out"))
    }

    /// Whether an image with this digest can be the result.
    pub fn promises(&self, digest: &Digest) -> bool {
        [&self.digest, &self.config_digest].into_iter().flatten().any(|promised| promised == digest)
    }

    /// Whether `image` is the result, or an index that the result was added to.
    pub fn is_in(&self, image: &StoredImage) -> bool {
        if self.manifests.is_empty() {
            self.promises(&image.digest)
        } else {
            self.manifests.iter().all(|manifest| image.manifests.contains(manifest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_compared_as_parsed_references() -> Result<()> {
        let metadata = BuildxMetadata::parse(r#"{"image.name": "docker.io/library/x:1,localhost/y:2"}"#)?;
        assert_eq!(metadata.names, ["x:1".parse()?, "localhost/y:2".parse()?]);
        Ok(())
    }

    #[test]
    fn the_descriptor_stands_in_for_a_missing_digest() -> Result<()> {
        let text = format!(r#"{{"containerimage.descriptor": {{"digest": "{DIGEST}", "size": 1}}}}"#);
        assert!(BuildxMetadata::parse(text)?.promises(&DIGEST.parse()?));
        Ok(())
    }

    #[rstest]
    #[case("{}")]
    #[case(r#"{"buildx.build.ref": "a/b/c"}"#)]
    #[case(r#"{"containerimage.digest": 7, "image.name": {}, "containerimage.config.digest": null}"#)]
    #[case(r#"{"containerimage.digest": "not a digest"}"#)]
    fn without_a_digest_nothing_is_promised(#[case] text: &str) -> Result<()> {
        let metadata = BuildxMetadata::parse(text)?;
        assert_eq!((&metadata.digest, &metadata.config_digest), (&None, &None));
        assert!(!metadata.promises(&DIGEST.parse()?));
        Ok(())
    }

    #[test]
    fn metadata_of_another_image_is_refused() -> Result<()> {
        let metadata = BuildxMetadata::parse(r#"{"image.name": "localhost/x:1,localhost/x:2"}"#)?;
        metadata.expect_name(&"localhost/x:2".parse()?)?;
        let error = metadata.expect_name(&"localhost/x:3".parse()?).expect_err("it was taken");
        assert!(error.to_string().ends_with("its metadata is about `localhost/x:1, localhost/x:2`"), "{error}");
        BuildxMetadata::default().expect_name(&"localhost/x:3".parse()?)
    }

    #[rstest]
    #[case("")]
    #[case("[]")]
    #[case("{")]
    fn what_is_no_object_is_an_error(#[case] text: &str) {
        assert!(BuildxMetadata::parse(text).is_err());
    }
}
