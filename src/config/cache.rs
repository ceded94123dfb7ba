//! The key `cache`: where a build cache is kept. Part of the first step of the way, from arguments, environment and
//! configuration to options.

use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::image::name::ImageName;

/// Where a build cache is kept between builds, besides the builder's own cache.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Cache {
    /// Nowhere.
    #[default]
    Off,
    /// In the pushed images themselves.
    Inline,
    /// In the cache of GitHub Actions.
    Gha,
    /// In a registry: in this repository, or in the image's own.
    Registry(Option<ImageName>),
    /// In this folder, or in one below the user's cache folder.
    Local(Option<Utf8PathBuf>),
}

impl FromStr for Cache {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            None => match text {
                "off" => Some(Self::Off),
                "inline" => Some(Self::Inline),
                "gha" => Some(Self::Gha),
                "registry" => Some(Self::Registry(None)),
                "local" => Some(Self::Local(None)),
                _ => None,
            },
            Some(("registry", reference)) => Some(Self::Registry(Some(reference.parse()?))),
            Some(("local", folder)) if !folder.is_empty() => Some(Self::Local(Some(folder.into()))),
            Some(_) => None,
        }
        .ok_or_else(|| {
            Error::usage(format!("invalid cache {text:?}"))
                .hint("a cache is `registry`, `registry=REF`, `local`, `local=DIR`, `gha`, `inline` or `off`")
        })
    }
}

impl TryFrom<String> for Cache {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl Cache {
    /// Whether the cache is kept apart from the image, which only some builders can do.
    pub fn is_exported(&self) -> bool {
        !matches!(self, Self::Off | Self::Inline)
    }

    /// Refuses a cache that would silently not be kept.
    ///
    /// # Errors
    /// A usage error that says what is missing.
    pub fn refuse_unkept(&self, pushes: bool, names_a_registry: bool, in_github_actions: bool) -> Result<()> {
        match self {
            Self::Inline if !pushes => Err(Error::usage("`--cache inline` is kept in the images that are pushed")
                .hint("add `--push`, or choose another cache, such as `--cache local`")),
            Self::Registry(None) if !names_a_registry => {
                Err(Error::usage("`--cache registry` needs a repository that names a registry")
                    .hint("set `--repository`, or say where: `--cache registry=registry.example.com/team/cache`"))
            }
            Self::Gha if !in_github_actions => {
                Err(Error::usage("`--cache gha` works in a job of GitHub Actions that hands its runtime token on")
                    .hint("ACTIONS_RUNTIME_TOKEN is not set; `crazy-max/ghaction-github-runtime` sets it in a step"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a value of `--cache-to` puts the cache into the image itself.
pub(crate) fn is_inline(export: &str) -> bool {
    export.split(',').any(|field| field.trim() == "type=inline")
}
