//! The trait of all builders: what builds, and answers whether an image exists and is the one that was built.
//! The plan, the build and the confirmation use it.

use camino::Utf8PathBuf;

use crate::builder::cache::CacheArguments;
use crate::builder::promise::BuildxMetadata;
use crate::config::build_args::BuildArg;
use crate::config::values::Output;
use crate::error::Result;
use crate::image::digest::Digest;
use crate::image::labels::Labels;
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::stored::{Confirmed, Purpose, ResultName, Size, Store, StoredImage};
use crate::staging::dockerfile::{Added, DEPS_STAGE};
use crate::staging::template::FileDates;

/// The stage of a Dockerfile that a build ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// The stage `deps`, whose image holds the dependencies alone.
    Dependencies,
    /// The last stage.
    #[default]
    Finished,
}

impl Target {
    /// The stage's name, where it is not the last one.
    pub fn stage(self) -> Option<&'static str> {
        (self == Self::Dependencies).then_some(DEPS_STAGE)
    }
}

/// One call of `docker buildx build` or `podman build`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildRequest {
    /// The build folder: the log is beside it, and errors name it.
    pub folder: Utf8PathBuf,
    /// What the build sees: the build folder, or what is in it besides the sources.
    pub context: Utf8PathBuf,
    /// The Dockerfile.
    pub dockerfile: Utf8PathBuf,
    /// The stage to build.
    pub target: Target,
    /// The image that the stage `deps` is taken from, instead of being built.
    pub deps_image: Option<ImageName>,
    /// The names of the result.
    pub names: Vec<ResultName>,
    /// Where the result goes.
    pub output: Output,
    /// Labels of the result, besides those in the Dockerfile.
    pub labels: Labels,
    /// The platforms to build for; never empty.
    pub platforms: Vec<Platform>,
    /// Who gives the files of the result their dates.
    pub dates: FileDates,
    /// The build cache, besides the user's own `--cache-from` and `--cache-to`.
    pub cache: CacheArguments,
    /// Whether results of earlier builds are ignored.
    pub no_cache: bool,
    /// The build arguments that the stage declares.
    pub build_args: Vec<BuildArg>,
}

impl BuildRequest {
    /// The name by which errors call the result. It does not move, if there is such a name: no other build gives it to
    /// other content.
    pub fn own_name(&self) -> Option<&ResultName> {
        let mut names = self.names.iter().rev();
        names.clone().find(|name| !name.moves).or_else(|| names.next())
    }
}

/// The Rust of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rust {
    /// Its version, such as `1.85.1`.
    pub version: String,
    /// Whether rustup is there, which brings the toolchain that a project asks for.
    pub has_rustup: bool,
}

impl Rust {
    /// From what `rustc --version` and `command -v rustup` print.
    pub(super) fn told(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let version = lines.next()?.strip_prefix("rustc ")?.split(' ').next()?.to_owned();
        Some(Self { version, has_rustup: lines.next().is_some() })
    }

    /// Whether it is of `version`, which may lack its last number.
    pub fn is(&self, version: &str) -> bool {
        self.version.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// What happens where the engine lacks an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacking {
    /// The image is pulled.
    Pull,
    /// Nothing.
    Leave,
}

/// What builds images and knows which exist.
pub trait RuntimeBuilder: Sync {
    /// Which of these images exist, in the order asked. If several stores have one, an image that holds all of
    /// `platforms` is preferred. Nothing is pulled.
    ///
    /// # Errors
    /// When a store cannot be asked: that is not the same as "absent".
    fn find(&self, images: &[&ImageName], platforms: &[Platform], purpose: Purpose)
    -> Result<Vec<Option<StoredImage>>>;

    /// Says that `image` will probably be asked for next, alone. A builder may ask its engine at once, and have the answer
    /// when it is asked for just that.
    fn expect(&self, _image: &ImageName) {}

    /// Whether this builder can use `image` for every one of `platforms`.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    fn image_exists(&self, image: &ImageName, platforms: &[Platform]) -> Result<bool> {
        let found = self.find(&[image], platforms, Purpose::Run)?.into_iter().next().flatten();
        Ok(found.is_some_and(|found| found.holds(platforms)))
    }

    /// Whether a build can start from an image found in `store`.
    ///
    /// # Errors
    /// When the builder cannot be asked.
    fn can_build_from(&self, store: Store) -> Result<bool>;

    /// Whether it keeps for later builds what a step writes to a mounted cache, and gives builds at the same time one each.
    fn keeps_seeds(&self) -> bool {
        true
    }

    /// Checks that a build for these platforms, which runs steps on the platforms `run_on` and gives files such dates,
    /// can be started. The builder keeps what it learns.
    ///
    /// # Errors
    /// When something is missing, or what is asked for cannot be done here, with what to do about it.
    fn ready(&self, platforms: &[Platform], run_on: &[Platform], dates: FileDates) -> Result<()>;

    /// The digest that the registry has for `image`: that of the index, if `image` is one.
    ///
    /// # Errors
    /// When the registry cannot be asked, or has no such image.
    fn digest(&self, image: &ImageName) -> Result<Digest>;

    /// The Rust in `image`, if it has one. An image that the engine lacks is pulled, or else tells of none.
    ///
    /// # Errors
    /// When the engine cannot be asked, or cannot have the image.
    fn rust_of(&self, image: &ImageName, lacking: Lacking) -> Result<Option<Rust>>;

    /// The platform that is built for when none was requested.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    fn default_platform(&self) -> Result<Platform>;

    /// The platforms that the builder's machines are of, the first machine's first. The others are those that it need
    /// not emulate. Empty if it does not say.
    ///
    /// # Errors
    /// When the builder cannot be asked.
    fn native_platforms(&self) -> Result<Vec<Platform>>;

    /// Builds, and gives what the builder itself says of the result.
    ///
    /// # Errors
    /// When the build fails, or cannot be started.
    fn build(&self, request: &BuildRequest) -> Result<BuildxMetadata>;

    /// Asks the store where the result should be now, and compares its answer with what the build promised.
    ///
    /// # Errors
    /// When the image is not there, is another one, or lacks a platform.
    fn confirm(&self, request: &BuildRequest, promised: &BuildxMetadata) -> Result<Confirmed>;

    /// The size of an image that was confirmed in `store`, for `platform`. `added` is what its Dockerfile adds to its
    /// run image, if it has one. None where the store does not tell: a size is worth no failed run.
    fn size(&self, _image: &ImageName, _store: Store, _platform: &Platform, _added: Option<Added>) -> Option<Size> {
        None
    }

    /// Loads an image of a registry into the engine, under its name, and asks the engine for it.
    ///
    /// # Errors
    /// When the engine cannot hold it, has an image of other content under that name, or cannot pull it.
    fn load(&self, name: &ResultName, found: &Confirmed, platforms: &[Platform]) -> Result<Confirmed>;
}
