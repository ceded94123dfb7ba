//! A builder that builds nothing and records what it is asked: for tests of the plan and of the requests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::builder::promise::BuildxMetadata;
use crate::builder::runtime_builder::{BuildRequest, Lacking, RuntimeBuilder, Rust};
use crate::config::values::Output;
use crate::error::{Error, Result};
use crate::hash::md5_hex;
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::stored::{Confirmed, Purpose, ResultName, Store, StoredImage};
use crate::staging::template::FileDates;

/// Answers from the images it was given and those it was asked to build.
#[derive(Debug, Default)]
pub struct RecordingBuilder {
    images: Mutex<Vec<(ImageName, StoredImage)>>,
    requests: Mutex<Vec<BuildRequest>>,
    look_ups: Mutex<usize>,
}

impl RecordingBuilder {
    /// A builder that knows of no image.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `name` exist.
    pub fn add(&self, name: ImageName, image: StoredImage) {
        locked(&self.images).push((name, image));
    }

    /// The builds that were asked for, in order.
    pub fn requests(&self) -> Vec<BuildRequest> {
        locked(&self.requests).clone()
    }

    /// How often it was asked for images.
    pub fn look_ups(&self) -> usize {
        *locked(&self.look_ups)
    }
}

impl RuntimeBuilder for RecordingBuilder {
    fn find(&self, images: &[&ImageName], _: &[Platform], _: Purpose) -> Result<Vec<Option<StoredImage>>> {
        *locked(&self.look_ups) += 1;
        let known = locked(&self.images);
        let newest =
            |image: &ImageName| known.iter().rev().find(|(name, _)| name == image).map(|(_, stored)| stored.clone());
        Ok(images.iter().map(|image| newest(image)).collect())
    }

    fn can_build_from(&self, _: Store) -> Result<bool> {
        Ok(true)
    }

    fn ready(&self, _: &[Platform], _: &[Platform], _: FileDates) -> Result<()> {
        Ok(())
    }

    fn digest(&self, image: &ImageName) -> Result<Digest> {
        let found = self.find(&[image], &[], Purpose::Run)?.into_iter().next().flatten();
        found.map(|image| image.digest).ok_or_else(|| Error::failed(format!("there is no `{image}`")))
    }

    fn rust_of(&self, _: &ImageName, _: Lacking) -> Result<Option<Rust>> {
        Ok(None)
    }

    fn default_platform(&self) -> Result<Platform> {
        Ok(Platform::new("linux", "amd64", None))
    }

    fn native_platforms(&self) -> Result<Vec<Platform>> {
        Ok(vec![self.default_platform()?])
    }

    fn build(&self, request: &BuildRequest) -> Result<BuildxMetadata> {
        locked(&self.requests).push(request.clone());
        let digest = format!("sha256:{0}{0}", md5_hex(format!("{request:?}").as_bytes())).parse()?;
        let names = request.names.iter().map(|name| name.name.clone()).collect();
        Ok(BuildxMetadata { digest: Some(digest), names, ..BuildxMetadata::default() })
    }

    fn confirm(&self, request: &BuildRequest, promised: &BuildxMetadata) -> Result<Confirmed> {
        let digest = promised.digest.clone().ok_or_else(|| Error::failed("nothing was promised"))?;
        let store = match request.output {
            Output::Load => Store::Engine,
            Output::Push => Store::Registry,
        };
        Ok(Confirmed { store, digest, platforms: request.platforms.clone() })
    }

    fn load(&self, _: &ResultName, found: &Confirmed, _: &[Platform]) -> Result<Confirmed> {
        Ok(Confirmed { store: Store::Engine, ..found.clone() })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
