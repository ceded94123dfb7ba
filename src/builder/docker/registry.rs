//! Registries, asked through `docker buildx imagetools`: which manifests there are, never a layer.
//! The plan and the confirmation ask; a push also writes indexes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use serde_json::{Value, json};

use crate::builder::build_log::last_error;
use crate::builder::docker::failure::{Doing, Failure, delays, is_absent, rewrites};
use crate::builder::inspect::{platform_of, without_warnings};
use crate::builder::promise::BuildxMetadata;
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::stored::{PlatformManifest, ResultName, Size, Store, StoredImage, Taken};
use crate::staging::dockerfile::Added;
use crate::system::command::{Capture, Command, Running, silence};
use crate::system::interrupt::Interrupt;
use crate::system::terminal::Terminal;

/// How often an index is written at most, if other runs write it at the same time.
const INDEX_WRITES: u32 = 5;

/// The annotation by which an attestation names the manifest that it is about.
const SUBJECT: &str = "vnd.docker.reference.digest";

/// How registries are asked.
#[derive(Debug)]
pub(crate) struct Registry<'a> {
    /// The program `docker`, without arguments.
    pub docker: Command,
    /// The builder instance, whose configuration says how registries are reached.
    pub builder: Option<&'a str>,
    /// How long a registry has to answer. Silence is an error, not an absent image.
    pub timeout: Duration,
    /// Where calls are reported.
    pub terminal: &'a Terminal,
    /// Ends calls at a signal.
    pub interrupt: &'a Interrupt,
}

/// Look-ups under way, all at once. They end when this is dropped.
pub(super) struct LookUps<'a> {
    registry: &'a Registry<'a>,
    deadline: Instant,
    started: Vec<(ImageName, Command, Running)>,
}

impl Registry<'_> {
    /// Starts to look the images up.
    pub fn look_up(&self, images: &[&ImageName]) -> Result<LookUps<'_>> {
        let deadline = Instant::now() + self.timeout;
        let started = images.iter().map(|image| {
            let command = self.imagetools("inspect").args(["--format", "{{json .}}"]).arg(image.to_string());
            self.terminal.verbose("Running", command.to_string());
            let running = command.start(Capture::Both, self.interrupt)?;
            Ok(((*image).clone(), command, running))
        });
        Ok(LookUps { registry: self, deadline, started: started.collect::<Result<_>>()? })
    }

    /// Which of the images there are, in the order asked.
    pub fn find(&self, images: &[&ImageName]) -> Result<Vec<Option<StoredImage>>> {
        self.look_up(images)?.answers()
    }

    /// The size of an image for `platform`, from its manifest.
    pub fn size(&self, image: &ImageName, platform: &Platform, added: Option<Added>) -> Option<Size> {
        let mut manifest = self.manifest(image)?;
        if let Some(listed) = manifest.get("manifests").and_then(Value::as_array) {
            let is_wanted = |listed: &&Value| listed.get("platform").and_then(platform_of).as_ref() == Some(platform);
            let digest = listed.iter().find(is_wanted)?.get("digest")?.as_str()?.parse().ok()?;
            manifest = self.manifest(&image.with_digest(&digest))?;
        }
        let layers = manifest.get("layers")?.as_array()?.iter().rev();
        let parts = layers.map(|layer| layer.get("size")?.as_u64()).collect::<Option<Vec<u64>>>()?;
        Some(Size::of(&parts, added.map(|added| added.layers), true))
    }

    /// A manifest or index as it is stored.
    fn manifest(&self, image: &ImageName) -> Option<Value> {
        let command = self.imagetools("inspect").args(["--raw", &image.to_string()]);
        self.terminal.verbose("Running", command.to_string());
        let running = command.start(Capture::Both, self.interrupt).ok()?;
        let output = running.wait_until(Instant::now() + self.timeout).ok()??;
        serde_json::from_str(&output.stdout).ok()
    }

    /// Makes each of `names`, in this order, an index of what a build has just pushed and of the name's other
    /// platforms. Gives the metadata with the manifests that were pushed.
    pub fn add_to_indexes(
        &self,
        names: &[ResultName],
        platforms: &[Platform],
        metadata: BuildxMetadata,
    ) -> Result<BuildxMetadata> {
        let digest = metadata.digest.clone().ok_or_else(|| Error::failed("buildx does not tell what it pushed"))?;
        let first = names.first().ok_or_else(|| Error::failed("a result without a name cannot be pushed"))?;
        let pushed = self.find(&[&first.name.with_digest(&digest)])?.into_iter().next().flatten();
        let pushed = pushed.ok_or_else(|| Error::failed(format!("{digest} was pushed, and is not in the registry")))?;
        let images: Vec<&ImageName> = names.iter().map(|name| &name.name).collect();
        for _ in 0..INDEX_WRITES {
            let started = Instant::now();
            let mut written = false;
            for (name, existing) in names.iter().zip(self.find(&images)?) {
                let holds =
                    |image: &StoredImage| pushed.manifests.iter().all(|manifest| image.manifests.contains(manifest));
                if !existing.as_ref().is_some_and(holds) {
                    let mut sources = existing.map_or_else(|| Ok(Vec::new()), |image| kept(name, &image, platforms))?;
                    if sources.is_empty() {
                        sources.push(name.name.with_digest(&digest).to_string());
                    } else {
                        sources.extend(pushed.descriptors.iter().map(ToString::to_string));
                    }
                    self.write_index(&name.name, &sources)?;
                    written = true;
                }
            }
            if !written {
                return Ok(BuildxMetadata { manifests: pushed.manifests, ..metadata });
            }
            // Registries cannot compare and swap. A run that read the same index writes it within about the same time.
            let pause = ExponentialBuilder::new().with_min_delay(started.elapsed()).with_jitter().build().next();
            self.interrupt.sleep(pause.unwrap_or_default())?;
        }
        Err(Error::failed(format!("`{first}` changes faster than it can be written")).hint("run again"))
    }

    /// Makes `name` an index of `sources`: descriptors of what is in its repository, or one name. After a failure that
    /// may pass it is written again.
    fn write_index(&self, name: &ImageName, sources: &[String]) -> Result<()> {
        let command = self.imagetools("create").args(["--tag", &name.to_string()]).args(sources);
        self.terminal.verbose("Running", command.to_string());
        let mut rewrites = rewrites(self.timeout);
        loop {
            let running = command.clone().bound().start(Capture::Both, self.interrupt)?;
            let (failure, cause) = match running.wait_until(Instant::now() + self.timeout)? {
                Some(output) if output.success => return Ok(()),
                Some(output) => (Failure::of(&output.stderr), last_error(&output.stderr).to_owned()),
                None => (Failure::Silent, silence(self.timeout)),
            };
            let Some(delay) = rewrites.delay_after(failure) else {
                return Err(failure.error(Doing::WriteIndex, name, rewrites.tries, cause));
            };
            self.interrupt.sleep(delay)?;
        }
    }

    fn imagetools(&self, subcommand: &str) -> Command {
        let builder = self.builder.iter().flat_map(|name| ["--builder", name]);
        self.docker.clone().args(["buildx", "imagetools", subcommand]).args(builder)
    }
}

impl LookUps<'_> {
    /// Waits for the answers, in the order asked.
    pub fn answers(self) -> Result<Vec<Option<StoredImage>>> {
        let Self { registry, deadline, started } = self;
        started
            .into_iter()
            .map(|(image, command, running)| registry.answer(&image, &command, running, deadline))
            .collect()
    }
}

impl Registry<'_> {
    /// The registry's answer. After a failure that may pass, the registry is asked again.
    fn answer(
        &self,
        image: &ImageName,
        command: &Command,
        mut running: Running,
        deadline: Instant,
    ) -> Result<Option<StoredImage>> {
        let mut delays = delays();
        let mut tries = 1;
        let mut last_failure = None;
        loop {
            let tell = || self.terminal.status("Waiting", format!("for the registry to answer for `{image}`"));
            let Some(output) = running.wait_telling(deadline, tell)? else {
                // An earlier failure tells more than the silence now.
                let (failure, cause) = match last_failure {
                    Some((failure, said)) => (failure, format!("{said}\nthen {}", silence(self.timeout))),
                    None => (Failure::Silent, silence(self.timeout)),
                };
                return Err(failure.error(Doing::Ask, image, tries, cause));
            };
            if output.success {
                return registry_image(&output.stdout).map(Some);
            }
            if is_absent(image, &output.stderr) {
                return Ok(None);
            }
            let failure = Failure::of(&output.stderr);
            let said = without_warnings(&output.stderr);
            let delay =
                delays.next().filter(|delay| tries < failure.most_tries() && Instant::now() + *delay < deadline);
            let Some(delay) = delay else { return Err(failure.error(Doing::Ask, image, tries, said)) };
            last_failure = Some((failure, said));
            self.terminal.verbose("Waiting", format!("{:.1} s: {}", delay.as_secs_f64(), failure.what()));
            self.interrupt.sleep(delay)?;
            tries += 1;
            running = command.start(Capture::Both, self.interrupt)?;
        }
    }
}

/// The image, from `docker buildx imagetools inspect --format '{{json .}}'`.
///
/// # Errors
/// When `json` is not what buildx prints, or tells of no digest or platform.
pub fn registry_image(json: &str) -> Result<StoredImage> {
    let wrong = |why: &str| Error::failed("cannot understand the registry's answer").because(why.to_owned());
    let value: Value = serde_json::from_str(json).map_err(|error| wrong(&error.to_string()))?;
    let manifest = value.get("manifest").ok_or_else(|| wrong("it has no manifest"))?;
    let digest_of = |value: &Value| value.get("digest")?.as_str()?.parse::<Digest>().ok();
    let digest = digest_of(manifest).ok_or_else(|| wrong("it has no digest"))?;
    let listed: Vec<PlatformManifest> = manifest
        .get("manifests")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|manifest| {
            Some(PlatformManifest { platform: platform_of(manifest.get("platform")?)?, digest: digest_of(manifest)? })
        })
        .collect();
    // An index has its images keyed by platform; a single manifest has its image alone.
    let image = value.get("image").unwrap_or(&Value::Null);
    let images: Vec<&Value> = match image.get("architecture") {
        Some(_) => vec![image],
        None => image.as_object().into_iter().flat_map(|images| images.values()).collect(),
    };
    let (manifests, descriptors) = if listed.is_empty() {
        let image = images.first().copied().ok_or_else(|| wrong("it tells nothing of the image"))?;
        let platform = platform_of(image).ok_or_else(|| wrong("it names no platform"))?;
        let mut descriptor = manifest.clone();
        descriptor["platform"] = json!({
            "os": image.get("os"), "architecture": image.get("architecture"), "variant": image.get("variant"),
        });
        (vec![PlatformManifest { platform, digest: digest.clone() }], vec![descriptor])
    } else {
        (listed, manifest.get("manifests").and_then(Value::as_array).cloned().unwrap_or_default())
    };
    let platforms = manifests.iter().map(|manifest| manifest.platform.clone()).collect();
    let labels = common_labels(&images);
    Ok(StoredImage {
        store: Store::Registry,
        digest,
        platforms,
        manifests,
        descriptors,
        labels,
        ..StoredImage::default()
    })
}

/// The labels that the images of all platforms have.
fn common_labels(images: &[&Value]) -> BTreeMap<String, String> {
    let mut each = images.iter().map(|image| {
        let labels = image.get("config").and_then(|config| config.get("Labels"));
        labels.and_then(|labels| serde_json::from_value(labels.clone()).ok()).unwrap_or_default()
    });
    let first: BTreeMap<String, String> = each.next().unwrap_or_default();
    each.fold(first, |mut common, labels: BTreeMap<String, String>| {
        common.retain(|name, value| labels.get(name) == Some(value));
        common
    })
}

/// The descriptors that stay under the name: of the image's manifests for platforms other than `platforms`, and of
/// their attestations.
fn kept(name: &ResultName, image: &StoredImage, platforms: &[Platform]) -> Result<Vec<String>> {
    match name.taken_by(image) {
        Taken::Keep => {}
        Taken::Replace => return Ok(Vec::new()),
        Taken::Refuse => return Err(name.refusal()),
    }
    let others = image.manifests.iter().filter(|manifest| !platforms.contains(&manifest.platform));
    let others: Vec<String> = others.map(|manifest| manifest.digest.to_string()).collect();
    let is_kept = |descriptor: &&Value| {
        let subject = descriptor.get("annotations").and_then(|annotations| annotations.get(SUBJECT));
        let digest = subject.or_else(|| descriptor.get("digest")).and_then(Value::as_str);
        digest.is_some_and(|digest| others.iter().any(|other| other == digest))
    };
    Ok(image.descriptors.iter().filter(is_kept).map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::stored::ContentKey;

    fn image() -> ImageName {
        "r.example/x:1".parse().expect("valid")
    }

    fn digest(number: u8) -> String {
        format!("sha256:{number:064}")
    }

    #[test]
    fn the_other_platforms_of_a_name_stay_with_their_attestations() -> Result<()> {
        let descriptor = |digest: &str, architecture: &str, subject: Option<&str>| {
            let annotations = subject.map(|subject| json!({ SUBJECT: subject }));
            let platform = json!({ "os": "linux", "architecture": architecture });
            json!({ "digest": digest, "platform": platform, "annotations": annotations })
        };
        let index = vec![
            descriptor(&digest(1), "amd64", None),
            descriptor(&digest(2), "arm64", None),
            descriptor(&digest(3), "unknown", Some(&digest(1))),
            descriptor(&digest(4), "unknown", Some(&digest(2))),
        ];
        let manifest = |platform: &str, digest: &str| -> Result<PlatformManifest> {
            Ok(PlatformManifest { platform: platform.parse()?, digest: digest.parse()? })
        };
        let manifests = vec![manifest("linux/amd64", &digest(1))?, manifest("linux/arm64", &digest(2))?];
        let labels = BTreeMap::from([("key".to_owned(), "mine".to_owned())]);
        let existing = StoredImage { manifests, descriptors: index.clone(), labels, ..StoredImage::default() };
        let key = ContentKey { label: "key", value: "mine".to_owned(), unlabelled: false };
        let mut name = ResultName { name: image(), key, moves: false };
        let amd64 = ["linux/amd64".parse()?];
        assert_eq!(kept(&name, &existing, &amd64)?, [index[1].to_string(), index[3].to_string()]);

        name.key.value = "other".to_owned();
        let error = kept(&name, &existing, &amd64).expect_err("an image of other content would have been replaced");
        assert!(error.to_string().contains("`key`"), "{error}");
        name.moves = true;
        assert!(kept(&name, &existing, &amd64)?.is_empty(), "nothing of another content stays");
        Ok(())
    }
}
