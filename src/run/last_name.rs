//! The name of the image that the last run with the same options found or built: mostly it is that of this run too. So
//! the engine can be asked for it while the project is read.

use camino::Utf8Path;

use crate::config::options::Options;
use crate::hash::{content_digest, hex};
use crate::image::name::ImageName;
use crate::system::kept::Kept;

/// The name that a run expects its image to have.
#[derive(Debug)]
pub(super) struct LastName {
    kept: Option<Kept>,
    /// The name, if there was such a run.
    pub name: Option<ImageName>,
}

impl LastName {
    /// The name that the last run had, for the project in `root` with these options.
    pub fn of(root: &Utf8Path, options: &Options) -> Self {
        let digest = hex(&content_digest(format!("{options:?}").as_bytes()));
        let kept = Kept::of(root, &format!("name-{}", &digest[..16]));
        let text = kept.as_ref().and_then(Kept::read).and_then(|bytes| String::from_utf8(bytes).ok());
        Self { kept, name: text.and_then(|text| text.parse().ok()) }
    }

    /// Keeps the name for the next run.
    pub fn keep(&self, name: &ImageName) {
        if let Some(kept) = self.kept.as_ref().filter(|_| self.name.as_ref() != Some(name)) {
            kept.write(|file| file.write_all(name.to_string().as_bytes()));
        }
    }
}
