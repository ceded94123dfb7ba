//! The key `cache`: where a build cache is kept. Part of the first step of the way, from arguments, environment and
//! configuration to options.

use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::config::csv::{csv_fields, csv_line};
use crate::error::{Error, Result};
use crate::image::name::ImageName;
use crate::redact::redacted;

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
            Error::usage(format!("invalid cache {:?}", redacted(text)))
                .hint("a cache is `registry`, `registry=REF`, `local`, `local=DIR`, `gha`, `inline` or `off`")
        })
    }
}

/// An entry of `cache-from` or `cache-to` as buildx takes it, a line of CSV. One of type `local` names a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CacheEntry(Vec<String>);

impl CacheEntry {
    pub(super) fn new(text: &str) -> Self {
        // What is no line of CSV is refused by buildx.
        Self(csv_fields(text).unwrap_or_else(|| vec![text.to_owned()]))
    }

    /// The folder that it names.
    pub(super) fn folder(&self) -> Option<&Utf8Path> {
        let is_local = self.0.iter().any(|field| field.eq_ignore_ascii_case("type=local"));
        let folder = self.0.iter().filter(|_| is_local).find_map(|field| folder_in(field));
        folder.map(|(_, folder)| Utf8Path::new(folder))
    }

    /// With the folder's path absolute, seen from `here`.
    pub(super) fn seen_from(&self, here: &Utf8Path) -> String {
        let Some(folder) = self.folder().map(|folder| here.join(folder)) else { return csv_line(&self.0) };
        let absolute = |field: &String| match folder_in(field) {
            Some((name, _)) => format!("{name}={folder}"),
            None => field.clone(),
        };
        csv_line(&self.0.iter().map(absolute).collect::<Vec<_>>())
    }
}

/// The name of a field, and the folder that it names.
fn folder_in(field: &str) -> Option<(&str, &str)> {
    let is_folder = |name: &str| name.eq_ignore_ascii_case("src") || name.eq_ignore_ascii_case("dest");
    field.split_once('=').filter(|(name, _)| is_folder(name))
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
