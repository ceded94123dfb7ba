//! The step from promise to confirmed image: what the store answered is compared with what the build promised.

use crate::builder::promise::BuildxMetadata;
use crate::builder::runtime_builder::BuildRequest;
use crate::error::{Error, Result};
use crate::image::platform::{Platform, joined};
use crate::image::stored::{Confirmed, StoredImage};

/// The confirmed image of a request. `found` holds the store's answer for each of its names, in order; `who_tells_more`
/// is the command that a hint names if an image is absent.
///
/// # Errors
/// When a name is absent, is another image than the promised one, or lacks a platform.
pub fn confirmed(
    request: &BuildRequest,
    promised: &BuildxMetadata,
    found: Vec<Option<StoredImage>>,
    who_tells_more: &str,
) -> Result<Confirmed> {
    if promised.promises_nothing() {
        return Err(Error::failed("the build ended well, but its metadata names no digest: what it made is not known")
            .hint(
                "an argument or setting takes the result elsewhere; leave it out, and look at the builder's version",
            ));
    }
    let mut confirmed = None;
    for (name, image) in request.names.iter().zip(found) {
        let image = image.ok_or_else(|| {
            Error::failed(format!("the build ended well, but `{name}` is not there"))
                .hint(format!("something removed it meanwhile, or the output went elsewhere: {who_tells_more}"))
        })?;
        if !promised.is_in(&image) {
            return Err(Error::failed(format!(
                "`{name}` is {}, but the build promised {}",
                image.digest,
                promised
                    .digest
                    .as_ref()
                    .or(promised.config_digest.as_ref())
                    .map(ToString::to_string)
                    .unwrap_or_default()
            ))
            .hint("somebody else moved the name meanwhile; run again"));
        }
        if !image.holds(&request.platforms) {
            let missing: Vec<Platform> =
                request.platforms.iter().filter(|platform| !image.platforms.contains(platform)).cloned().collect();
            return Err(Error::failed(format!(
                "`{name}` lacks {}: it is for {}",
                joined(&missing),
                joined(&image.platforms)
            )));
        }
        confirmed = Some(Confirmed::from(&image));
    }
    confirmed.ok_or_else(|| Error::failed("a build without a name cannot be confirmed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;
    use crate::image::name::ImageName;
    use crate::image::platform::Platform;
    use crate::image::stored::PlatformManifest;
    use crate::image::stored::{ContentKey, ResultName};
    use rstest::rstest;

    /// The files as buildx wrote them, and the key whose digest the store answers with. With a classic store and
    /// `--load` that is the configuration's digest, everywhere else the manifest's or the index's.
    #[rstest]
    #[case::classic_load("docker-26-classic_buildx-0.13_load_one", "containerimage.config.digest")]
    #[case::classic_push("docker-26-classic_buildx-0.13_push_one", "containerimage.digest")]
    #[case::classic_both_the_engine("docker-26-classic_buildx-0.13_load_and_push", "containerimage.config.digest")]
    #[case::classic_both_the_registry("docker-26-classic_buildx-0.13_load_and_push", "containerimage.digest")]
    #[case::containerd_load("docker-26-containerd_buildx-0.13_load_one", "containerimage.digest")]
    #[case::containerd_load_attested("docker-26-containerd_buildx-0.13_load_one_provenance", "containerimage.digest")]
    #[case::containerd_load_two("docker-26-containerd_buildx-0.13_load_two", "containerimage.digest")]
    #[case::containerd_push("docker-26-containerd_buildx-0.13_push_one", "containerimage.digest")]
    #[case::containerd_push_two("docker-26-containerd_buildx-0.13_push_two", "containerimage.digest")]
    #[case::newer_load("docker-28-containerd_buildx-0.29_load_one", "containerimage.digest")]
    #[case::newer_load_attested("docker-28-containerd_buildx-0.29_load_one_provenance", "containerimage.digest")]
    #[case::newer_load_two("docker-28-containerd_buildx-0.29_load_two", "containerimage.digest")]
    #[case::newer_push("docker-28-containerd_buildx-0.29_push_one", "containerimage.digest")]
    #[case::newer_push_two("docker-28-containerd_buildx-0.29_push_two", "containerimage.digest")]
    #[case::container_load("container-0.23_buildx-0.13_load_one", "containerimage.digest")]
    #[case::container_load_into_a_classic_store("container-0.23_buildx-0.13_load_one", "containerimage.config.digest")]
    #[case::container_load_two("container-0.23_buildx-0.13_load_two", "containerimage.digest")]
    #[case::container_push("container-0.23_buildx-0.13_push_one", "containerimage.digest")]
    #[case::container_push_attested("container-0.23_buildx-0.13_push_one_provenance", "containerimage.digest")]
    #[case::container_push_two("container-0.23_buildx-0.13_push_two", "containerimage.digest")]
    #[case::container_push_with_cache("container-0.23_buildx-0.13_push_cache", "containerimage.digest")]
    fn an_answer_is_confirmed_if_the_build_promised_it(#[case] file: &str, #[case] key: &str) -> Result<()> {
        let text = metadata_file(file);
        let json: serde_json::Value = serde_json::from_str(&text).expect("the file is JSON");
        let promised = BuildxMetadata::parse(&text)?;
        let digest = json[key].as_str().expect("the file has this key");
        let request = request_for(&promised.names);
        assert_eq!(confirm(&request, &promised, answers(&request, digest))?.digest.to_string(), digest);

        let other = format!("sha256:{}", "0".repeat(64));
        let error =
            confirm(&request, &promised, answers(&request, &other)).expect_err("another image was taken for it");
        assert!(error.to_string().contains("but the build promised sha256:"), "{error}");
        let absent = vec![None; request.names.len()];
        assert!(confirm(&request, &promised, absent).expect_err("nothing was taken for it").hint_text().is_some());
        Ok(())
    }

    #[test]
    fn every_file_that_buildx_wrote_has_its_test() {
        let source = include_str!("confirm.rs");
        for entry in std::fs::read_dir(METADATA_FILES).expect("listed") {
            let name = entry.expect("listed").file_name().into_string().expect("UTF-8");
            assert!(source.contains(&format!("\"{}\"", name.trim_end_matches(".json"))), "{name} has no test");
        }
    }

    #[test]
    fn a_build_without_output_promises_nothing_and_is_not_confirmed() -> Result<()> {
        let promised = BuildxMetadata::parse(metadata_file("container-0.23_buildx-0.13_no-output"))?;
        let request = request_for(&["localhost/rec:a".parse()?]);
        let digest = format!("sha256:{}", "1".repeat(64));
        let error = confirm(&request, &promised, answers(&request, &digest)).expect_err("it was confirmed");
        assert!(error.to_string().contains("its metadata names no digest"), "{error}");
        Ok(())
    }

    #[test]
    fn the_metadata_of_several_nodes_is_a_digest_alone() -> Result<()> {
        let digest = format!("sha256:{}", "2".repeat(64));
        let promised = BuildxMetadata::parse(format!("{{\"containerimage.digest\": \"{digest}\"}}"))?;
        let request = request_for(&["r.example/x:a".parse()?]);
        assert_eq!(confirm(&request, &promised, answers(&request, &digest))?.digest.to_string(), digest);
        Ok(())
    }

    #[test]
    fn an_image_that_lacks_a_platform_is_not_confirmed() -> Result<()> {
        let digest = format!("sha256:{}", "3".repeat(64));
        let promised = BuildxMetadata { digest: Some(digest.parse()?), ..BuildxMetadata::default() };
        let mut request = request_for(&["r.example/x:a".parse()?]);
        let found = answers(&request, &digest);
        request.platforms.push("linux/riscv64".parse()?);
        let error = confirm(&request, &promised, found).expect_err("it was confirmed");
        assert_eq!(error.to_string(), "`r.example/x:a` lacks linux/riscv64: it is for linux/amd64,linux/arm64");
        Ok(())
    }

    #[test]
    fn an_image_that_was_added_to_an_index_is_looked_for_in_it() -> Result<()> {
        let manifest = |platform: &str, digit: &str| PlatformManifest {
            platform: platform.parse().expect("valid"),
            digest: format!("sha256:{}", digit.repeat(64)).parse().expect("a digest"),
        };
        let own = manifest("linux/arm64", "4");
        let promised = BuildxMetadata { manifests: vec![own.clone()], ..BuildxMetadata::default() };
        let request = request_for(&["r.example/x:a".parse()?]);
        let mut found = answers(&request, &Digest::default().to_string());
        for (manifests, expected) in
            [(vec![manifest("linux/amd64", "5"), own], true), (vec![manifest("linux/arm64", "6")], false)]
        {
            found[0].as_mut().expect("there").manifests = manifests;
            assert_eq!(confirm(&request, &promised, found.clone()).is_ok(), expected);
        }
        Ok(())
    }

    fn confirm(
        request: &BuildRequest,
        promised: &BuildxMetadata,
        found: Vec<Option<StoredImage>>,
    ) -> Result<Confirmed> {
        confirmed(request, promised, found, "ask again")
    }

    const METADATA_FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/buildx-metadata");

    fn metadata_file(name: &str) -> String {
        std::fs::read_to_string(format!("{METADATA_FILES}/{name}.json")).expect("the file is there")
    }

    fn request_for(names: &[ImageName]) -> BuildRequest {
        let with_key = |name: &ImageName| ResultName {
            name: name.clone(),
            key: ContentKey { label: "key", value: String::new(), unlabelled: false },
            moves: false,
        };
        BuildRequest {
            names: names.iter().map(with_key).collect(),
            platforms: vec![Platform::new("linux", "amd64", None), Platform::new("linux", "arm64", None)],
            ..BuildRequest::default()
        }
    }

    fn answers(request: &BuildRequest, digest: &str) -> Vec<Option<StoredImage>> {
        let platforms = request.platforms.clone();
        let image = StoredImage { digest: digest.parse().expect("a digest"), platforms, ..StoredImage::default() };
        vec![Some(image); request.names.len()]
    }
}
