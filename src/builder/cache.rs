//! The build cache that is shared between machines or runs: `--cache` as arguments of buildx.
//! Part of the build step: folders are made ready before the builds, and put in place after them.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use crate::config::cache::Cache;
use crate::error::{Context as _, Result};
use crate::image::name::{ImageName, fitting_tag, valid_tag_text};
use crate::image::naming::base_slug;
use crate::system::paths::make_for_this_user;

/// Options of every export but `inline`: all stages are exported, and a failing export does not fail the build.
const EXPORT: &str = "mode=max,ignore-error=true";

/// The form of a cache that every registry takes; the default of BuildKit 0.21 and later.
const MANIFEST: &str = "image-manifest=true,oci-mediatypes=true";

/// What the names of caches are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePlace<'a> {
    /// The repository of the images.
    pub repository: &'a ImageName,
    /// What every tag starts with.
    pub prefix: &'a str,
    /// The base image, by name.
    pub base_image: &'a str,
    /// The branch that is built, if any.
    pub branch: Option<&'a str>,
    /// The branch whose cache every branch reads, if it is known.
    pub default_branch: Option<&'a str>,
    /// The versioned tag: an inline cache is read from the image of this name.
    pub versioned: &'a ImageName,
    /// The user's folder for caches.
    pub caches: &'a Utf8Path,
}

/// A cache as values of buildx's options.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheArguments {
    /// Values of `--cache-from`.
    pub from: Vec<String>,
    /// Values of `--cache-to`.
    pub to: Vec<String>,
    /// The folders of a local cache, if it is one.
    pub local: Option<LocalCache>,
}

/// A cache in a folder. Each export goes to a new folder: with `mode=max` buildx only adds to a folder, which would
/// grow for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCache {
    /// The folder that holds the cache.
    pub folder: Utf8PathBuf,
    /// The default branch's folder, which is read as well; none if that is `folder`.
    pub default: Option<Utf8PathBuf>,
}

impl LocalCache {
    /// Where the next cache is written.
    fn new_folder(&self) -> Utf8PathBuf {
        format!("{}.new", self.folder).into()
    }

    /// Where the earlier cache lies while it is replaced.
    fn old_folder(&self) -> Utf8PathBuf {
        format!("{}.old", self.folder).into()
    }
}

impl CachePlace<'_> {
    /// The arguments for `cache`: one cache for each base image and branch, and the default branch's as second source.
    ///
    /// # Errors
    /// When the cache's name is not valid.
    pub fn arguments(&self, cache: &Cache) -> Result<CacheArguments> {
        let (slug, _) = base_slug(self.base_image);
        let branch = self.branch.or(self.default_branch).unwrap_or("none");
        let branches: Vec<&str> =
            [Some(branch), self.default_branch.filter(|default| *default != branch)].into_iter().flatten().collect();
        Ok(match cache {
            Cache::Off => CacheArguments::default(),
            Cache::Inline => CacheArguments {
                from: vec![format!("type=registry,ref={}", self.versioned)],
                to: vec!["type=inline".to_owned()],
                local: None,
            },
            Cache::Gha => {
                let scope = |branch: &str| format!("type=gha,scope={}-{slug}-{}", self.prefix, valid_tag_text(branch));
                CacheArguments {
                    from: branches.iter().map(|branch| scope(branch)).collect(),
                    to: vec![format!("{},{EXPORT}", scope(branch))],
                    local: None,
                }
            }
            Cache::Registry(reference) => {
                let reference = reference.as_ref().unwrap_or(self.repository);
                let named = |branch: &str| -> Result<String> {
                    let tag = format!("{}_cache_{slug}_{}", self.prefix, valid_tag_text(branch));
                    let tag = reference.tag().map_or(tag, str::to_owned);
                    Ok(format!("type=registry,ref={}", reference.with_tag(&fitting_tag(tag, self.prefix))?))
                };
                let mut from = branches.iter().map(|branch| named(branch)).collect::<Result<Vec<_>>>()?;
                from.dedup();
                CacheArguments { to: vec![format!("{},{EXPORT},{MANIFEST}", named(branch)?)], from, local: None }
            }
            Cache::Local(folder) => {
                let usual =
                    || self.caches.join("build-cache").join(self.repository.repository().replace([':', '/'], "_"));
                let root = folder.clone().unwrap_or_else(usual);
                let named = |branch: &&str| root.join(format!("{slug}_{}", valid_tag_text(branch)));
                let mut folders = branches.iter().map(named);
                let local = LocalCache { folder: folders.next().unwrap_or(root.clone()), default: folders.next() };
                CacheArguments {
                    from: Vec::new(),
                    to: vec![format!("type=local,dest={},{EXPORT}", local.new_folder())],
                    local: Some(local),
                }
            }
        })
    }
}

impl CacheArguments {
    /// Makes the folder that holds local caches, for this user alone where it is new: a cache holds the sources.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn make_root(&self) -> Result<()> {
        let Some(root) = self.local.as_ref().and_then(|local| local.folder.parent()) else { return Ok(()) };
        make_for_this_user(root).context(|| format!("cannot create `{root}`"))
    }

    /// Makes the folders ready; the caller holds their locks. Clears up after an interrupted run, and names only
    /// folders with an index as sources: buildx fails on others.
    ///
    /// # Errors
    /// When a folder cannot be moved or removed.
    pub fn prepare(&mut self) -> Result<()> {
        let Some(local) = &self.local else { return Ok(()) };
        let LocalCache { folder, default } = local;
        let cannot = || format!("cannot use the build cache in `{folder}`");
        if !folder.exists() && is_cache(&local.old_folder()) {
            fs::rename(local.old_folder(), folder).context(cannot)?;
        }
        remove(&local.new_folder()).context(cannot)?;
        let readable = [Some(folder), default.as_ref()].into_iter().flatten().filter(|folder| is_cache(folder));
        self.from = readable.map(|folder| format!("type=local,src={folder}")).collect();
        Ok(())
    }

    /// Puts the new folder, if a build wrote one, in the place of the earlier one.
    ///
    /// # Errors
    /// When a folder cannot be moved or removed.
    pub fn finish(&self) -> Result<()> {
        let Some(local) = self.local.as_ref().filter(|local| is_cache(&local.new_folder())) else { return Ok(()) };
        let (folder, old) = (&local.folder, local.old_folder());
        let cannot = || format!("cannot put the new build cache in the place of `{folder}`");
        remove(&old).context(cannot)?;
        if folder.exists() {
            fs::rename(folder, &old).context(cannot)?;
        }
        fs::rename(local.new_folder(), folder).context(cannot)?;
        remove(&old).context(cannot)
    }
}

fn is_cache(folder: &Utf8Path) -> bool {
    folder.join("index.json").is_file()
}

fn remove(folder: &Utf8Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn arguments(cache: &str, branch: Option<&str>) -> Result<CacheArguments> {
        let place = CachePlace {
            repository: &"registry.example.com/team/app".parse()?,
            prefix: "rt",
            base_image: "rust:1-bookworm",
            branch,
            default_branch: Some("main"),
            versioned: &"registry.example.com/team/app:rt_v1_rust_t_1-bookworm".parse()?,
            caches: Utf8Path::new("/no/such/caches"),
        };
        place.arguments(&cache.parse()?)
    }

    #[test]
    fn a_branch_has_its_own_cache_and_reads_the_default_branchs() -> Result<()> {
        let of = |branch: &str| {
            format!("type=registry,ref=registry.example.com/team/app:rt_cache_rust_t_1-bookworm_{branch}")
        };
        let found = arguments("registry", Some("feat/x"))?;
        assert_eq!(found.from, [of("feat_x"), of("main")]);
        let to = format!("{},mode=max,ignore-error=true,image-manifest=true,oci-mediatypes=true", of("feat_x"));
        assert_eq!(found.to, [to]);
        assert_eq!(arguments("registry", Some("main"))?.from, [of("main")]);
        assert_eq!(arguments("registry", None)?.from, [of("main")], "without a branch, such as at a tag");
        let found = arguments("registry=r.example/cache", Some("main"))?;
        assert_eq!(found.from, ["type=registry,ref=r.example/cache:rt_cache_rust_t_1-bookworm_main"]);
        let found = arguments("registry=r.example/cache:all", Some("x"))?;
        assert_eq!(found.from, ["type=registry,ref=r.example/cache:all"], "a tag of the user's own is kept");
        Ok(())
    }

    #[test]
    fn the_other_caches() -> Result<()> {
        let found = arguments("gha", Some("x"))?;
        assert_eq!(found.from, ["type=gha,scope=rt-rust_t_1-bookworm-x", "type=gha,scope=rt-rust_t_1-bookworm-main"]);
        assert_eq!(found.to, ["type=gha,scope=rt-rust_t_1-bookworm-x,mode=max,ignore-error=true"]);
        let found = arguments("inline", None)?;
        assert_eq!(found.from, ["type=registry,ref=registry.example.com/team/app:rt_v1_rust_t_1-bookworm"]);
        assert_eq!(found.to, ["type=inline"]);
        assert_eq!(arguments("off", None)?, CacheArguments::default());
        Ok(())
    }

    #[test]
    fn a_local_cache_is_written_new_and_put_in_the_old_ones_place() -> Result<()> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let cache = format!("local={root}");
        let prepared = |branch: &str| -> Result<(CacheArguments, LocalCache)> {
            let mut found = arguments(&cache, Some(branch))?;
            found.prepare()?;
            let local = found.local.clone().expect("a folder");
            Ok((found, local))
        };
        let write = |folder: &Utf8Path, text: &str| {
            fs::create_dir_all(folder).expect("created");
            fs::write(folder.join("index.json"), text).expect("written");
            fs::write(folder.join(text), "").expect("written");
        };
        for round in ["first", "second"] {
            let (found, local) = prepared("main")?;
            assert_eq!(found.from.len(), usize::from(round == "second"), "only a cache that is there is read");
            assert_eq!(found.to, [format!("type=local,dest={},mode=max,ignore-error=true", local.new_folder())]);
            write(&local.new_folder(), round);
            found.finish()?;
            assert_eq!(fs::read_to_string(local.folder.join("index.json")).ok().as_deref(), Some(round));
            assert_eq!(fs::read_dir(root).expect("listed").count(), 1, "nothing is left beside it");
            assert_eq!(fs::read_dir(&local.folder).expect("listed").count(), 2, "nothing of an earlier cache is in it");
        }
        let (found, main) = prepared("main")?;
        found.finish()?;
        assert!(main.folder.is_dir(), "a cache that was not written anew stays");

        // Another branch has its own, reads this one too, and changes nothing of it.
        let (found, local) = prepared("feat/1.2")?;
        assert_eq!(found.from, [format!("type=local,src={}", main.folder)]);
        write(&local.new_folder(), "branch");
        found.finish()?;
        assert_eq!(fs::read_to_string(main.folder.join("index.json")).ok().as_deref(), Some("second"));
        assert_eq!(prepared("feat/1.2")?.0.from.len(), 2);
        assert!(prepared("feat/1.3")?.1.new_folder() != local.new_folder());

        // A run that died between the two renames has lost nothing, nor one that died while it wrote.
        fs::rename(&main.folder, main.old_folder()).expect("renamed");
        write(&main.new_folder(), "half");
        assert_eq!(prepared("main")?.0.from, [format!("type=local,src={}", main.folder)]);
        assert!(!main.new_folder().exists());
        Ok(())
    }

    #[rstest]
    #[case("inline", true, true, true)]
    #[case("inline", false, true, false)]
    #[case("registry", false, true, true)]
    #[case("registry", true, false, false)]
    #[case("registry=r.example/x", true, false, true)]
    #[case("local", false, false, true)]
    #[case("off", false, false, true)]
    fn a_cache_that_would_not_be_kept_is_refused(
        #[case] cache: &str,
        #[case] pushes: bool,
        #[case] names_a_registry: bool,
        #[case] allowed: bool,
    ) -> Result<()> {
        assert_eq!(cache.parse::<Cache>()?.refuse_unkept(pushes, names_a_registry, false).is_ok(), allowed);
        Ok(())
    }

    #[test]
    fn a_cache_of_github_actions_needs_its_token() {
        assert_eq!(Cache::Gha.refuse_unkept(true, true, false).expect_err("it was allowed").exit_code(), 2);
        assert!(Cache::Gha.refuse_unkept(false, false, true).is_ok());
    }

    #[rstest]
    #[case("")]
    #[case("s3")]
    #[case("local=")]
    #[case("registry=Upper")]
    #[case("gha=x")]
    fn what_is_no_cache_is_a_usage_error(#[case] text: &str) {
        assert_eq!(text.parse::<Cache>().expect_err(text).exit_code(), 2);
    }
}
