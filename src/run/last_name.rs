//! The name of the image that the last run with the same options found or built: mostly it is that of this run too. So
//! the engine is asked for it while the project is read.

use camino::Utf8Path;

use crate::builder::runtime_builder::RuntimeBuilder;
use crate::config::options::Options;
use crate::hash::{content_digest, hex};
use crate::image::name::ImageName;
use crate::system::kept::Kept;

/// The name that a run expects its image to have.
#[derive(Debug)]
pub(super) struct LastName {
    kept: Kept,
    /// The name, if there was such a run.
    name: Option<ImageName>,
}

impl LastName {
    /// The name that the last run had, for the project in `root` with these options. The builder is asked for its image at
    /// once. None where no image is expected: where there is one for each binary, or none counts.
    pub fn expected(root: &Utf8Path, options: &Options, builder: &dyn RuntimeBuilder) -> Option<Self> {
        if options.force_rebuild || options.slim.as_ref().is_some_and(|slim| slim.each_bin) {
            return None;
        }
        let digest = hex(&content_digest(format!("{options:?}").as_bytes()));
        let kept = Kept::of(root, &format!("name-{}", &digest[..16]))?;
        let text = kept.read().and_then(|bytes| String::from_utf8(bytes).ok());
        let name = text.and_then(|text| text.parse().ok());
        name.iter().for_each(|name| builder.expect(name));
        Some(Self { kept, name })
    }

    /// Keeps the name for the next run.
    pub fn keep(&self, name: &ImageName) {
        if self.name.as_ref() != Some(name) {
            self.kept.write(|file| file.write_all(name.to_string().as_bytes()));
        }
    }
}
