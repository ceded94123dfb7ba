//! The build cache of a run, locked against other runs until the end. Part of the build step.
//! A cache that cannot be used fails no build.

use crate::builder::cache::{CacheArguments, CachePlace};
use crate::config::cache::Cache;
use crate::config::options::Options;
use crate::error::{Error, ErrorKind, Result};
use crate::image::tags::Tags;
use crate::project::read::Project;
use crate::system::environment::user_caches;
use crate::system::git::WorkTree;
use crate::system::lock::{Lock, Waiting};
use crate::system::terminal::Terminal;

/// A cache that is ready to be used, with its locks.
pub(super) struct BuildCache<'a> {
    pub(super) arguments: CacheArguments,
    _locks: Vec<Lock>,
    terminal: &'a Terminal,
}

impl<'a> BuildCache<'a> {
    /// Makes the cache of this project, base image and branch ready. Where that fails, there is a warning and no cache.
    ///
    /// # Errors
    /// When a signal ends the waiting for another run, or the cache's name is not valid.
    pub(super) fn open(project: &Project, options: &Options, tags: &Tags, waiting: Waiting<'a>) -> Result<Self> {
        let Waiting { terminal, interrupt, .. } = waiting;
        let none = Self { arguments: CacheArguments::default(), _locks: Vec::new(), terminal };
        if options.cache == Cache::Off {
            return Ok(none);
        }
        let git = WorkTree { folder: &project.root, interrupt };
        let (branch, default_branch) = (git.branch(), git.default_branch());
        let mut arguments = CachePlace {
            repository: &tags.lock.repository().parse()?,
            prefix: options.tag_prefix.as_deref().unwrap_or(project.kind.default_prefix()),
            base_image: &options.base_image.to_string(),
            branch: branch.as_deref(),
            default_branch: Some(&default_branch),
            versioned: &tags.versioned,
            caches: &user_caches(&project.root),
        }
        .arguments(&options.cache)?;
        let locked = arguments
            .make_root()
            .and_then(|()| locks_of(&arguments, waiting))
            .and_then(|locks| arguments.prepare().map(|()| locks));
        match locked {
            Ok(locks) => Ok(Self { arguments, _locks: locks, terminal }),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted(_)) => Err(error),
            Err(error) => {
                none.warn(&error);
                Ok(none)
            }
        }
    }

    /// Keeps what a build has exported. Where that fails, there is a warning.
    pub(super) fn keep(&self, exported: &CacheArguments) {
        if let Err(error) = exported.finish() {
            self.warn(&error);
        }
    }

    fn warn(&self, error: &Error) {
        let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
        self.terminal.warning(format!("{error}{cause}; this build goes on without it"));
    }
}

/// Locks the folders in the order of their names, so that no two runs wait for each other.
fn locks_of(cache: &CacheArguments, waiting: Waiting<'_>) -> Result<Vec<Lock>> {
    let local = cache.local.iter();
    let mut folders: Vec<_> = local.flat_map(|local| [Some(&local.folder), local.default.as_ref()]).flatten().collect();
    folders.sort();
    folders.iter().map(|folder| Lock::of_cache(folder, waiting)).collect()
}
