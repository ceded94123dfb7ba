//! What a builder and the engine can do, from what they say of themselves.
//! Part of the plan: what they cannot do is refused before any work.

use std::fmt;

use serde_json::Value;

use crate::builder::docker::engine::engine_failure;
use crate::builder::inspect::ToolVersion;
use crate::error::{Error, Result};
use crate::image::platform::{Platform, joined};

/// buildx's word for where BuildKit runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// In the engine: the engine's images are visible to builds.
    Docker,
    /// Elsewhere (`docker-container`, `kubernetes`, `remote`, `cloud`): only registries are visible to builds.
    Other(String),
}

impl fmt::Display for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Docker => "docker",
            Self::Other(name) => name,
        })
    }
}

/// How the engine keeps images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageStore {
    /// Docker's own: one platform an image, no index, no attestation.
    Classic,
    /// containerd's: all that a registry can hold.
    Containerd,
}

impl ImageStore {
    /// The store, from `docker info --format '{{json .DriverStatus}}'`.
    pub(super) fn parse(json: &str) -> Self {
        let status: Value = serde_json::from_str(json).unwrap_or_default();
        let mut fields = status.as_array().into_iter().flatten().flat_map(|pair| pair.as_array().into_iter().flatten());
        if fields.any(|field| field.as_str().is_some_and(|text| text.starts_with("io.containerd.snapshotter"))) {
            Self::Containerd
        } else {
            Self::Classic
        }
    }
}

/// The oldest buildx that has all that is used here.
pub const OLDEST_BUILDX: ToolVersion = ToolVersion(0, 13);

/// The oldest engine whose built-in frontend has all that is used here.
pub const OLDEST_ENGINE: ToolVersion = ToolVersion(23, 0);

/// A builder instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: Driver,
    /// The platforms that it builds for; empty if it does not say.
    pub platforms: Vec<Platform>,
    /// The platforms that its nodes run without emulation: each node's first, and those the user declared (marked `*`).
    pub native: Vec<Platform>,
}

impl Instance {
    /// The instance, from the text that `docker buildx inspect` prints.
    pub(super) fn parse(inspected: &str) -> Result<Self> {
        let fields = |name: &'static str| {
            let values = inspected.lines().filter_map(move |line| line.strip_prefix(name)).map(str::trim);
            values.filter(|value| !value.is_empty())
        };
        // buildx describes even a builder that it cannot reach, with exit status zero.
        if let Some(error) = fields("Error:").next() {
            return Err(engine_failure("cannot use the builder of `docker buildx`", error));
        }
        let driver = match fields("Driver:").next() {
            Some("docker") => Driver::Docker,
            Some(driver) => Driver::Other(driver.to_owned()),
            None => {
                return Err(Error::failed("`docker buildx inspect` names no driver").because(inspected.trim()));
            }
        };
        let (mut platforms, mut native) = (Vec::new(), Vec::new());
        for node in fields("Platforms:") {
            for (index, word) in node.split(',').map(str::trim).enumerate() {
                let Ok(platform) = word.trim_end_matches('*').parse::<Platform>() else { continue };
                if index == 0 || word.ends_with('*') {
                    native.push(platform.clone());
                }
                platforms.push(platform);
            }
        }
        Ok(Self { name: fields("Name:").next().unwrap_or_default().to_owned(), driver, platforms, native })
    }

    /// The `platforms` that this builder only emulates; none if it does not tell what it runs.
    pub fn emulated(&self, platforms: &[Platform]) -> Vec<Platform> {
        if self.native.is_empty() { Vec::new() } else { Platform::emulated_by(&self.native, platforms) }
    }
}

/// What is asked of a builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct Wanted<'a> {
    /// The platforms to build for.
    pub platforms: &'a [Platform],
    /// The platforms that steps run on.
    pub run_on: &'a [Platform],
    /// Whether the result goes into the engine.
    pub load: bool,
    /// Whether a cache is exported, other than into the image itself.
    pub cache_export: bool,
    /// Whether provenance or a bill of materials is attached.
    pub attestations: bool,
    /// Whether the times of files must be rewritten by the exporter.
    pub rewrite: bool,
}

impl Wanted<'_> {
    /// Whether the answer depends on the engine's image store.
    pub(super) fn depends_on_the_store(&self) -> bool {
        self.platforms.len() > 1 || self.cache_export || self.attestations
    }
}

const TURN_ON_CONTAINERD: &str = "turn on the engine's containerd image store \
    (`\"features\": {\"containerd-snapshotter\": true}` in its daemon.json)";

/// Refuses what would fail only after all the work, or would silently not be done.
///
/// # Errors
/// When the builder cannot do it; the error tells the store, the driver and the ways out.
pub(super) fn refuse_what_cannot_be_built(
    instance: &Instance,
    store: Option<ImageStore>,
    wanted: &Wanted<'_>,
) -> Result<()> {
    let Wanted { platforms, run_on, load, cache_export, attestations, rewrite } = wanted;
    let where_it_runs = format!("the builder `{}` has the driver `{}`", instance.name, instance.driver);
    let inside = instance.driver == Driver::Docker;
    let another = if inside {
        "use a builder outside the engine (`--builder`, made by `docker buildx create`) with `--push`"
    } else {
        "push instead of loading (`--push`)"
    };
    let refused = |what: &str| {
        let because = match store {
            Some(ImageStore::Classic) => format!("{where_it_runs}, and the engine has the classic image store"),
            _ => where_it_runs.clone(),
        };
        Error::failed(what).because(because)
    };
    if store == Some(ImageStore::Classic) && (inside || *load) {
        let hint = format!("{another}, or {TURN_ON_CONTAINERD}");
        if platforms.len() > 1 {
            let what = format!("an image for several platforms ({}) cannot be made here", joined(platforms));
            return Err(refused(&what).hint(hint));
        }
        if *attestations {
            return Err(refused("attestations cannot be attached here").hint(hint));
        }
        if inside && *cache_export {
            return Err(refused("a build cache cannot be exported here")
                .hint(format!("{hint}; `--cache inline` works everywhere")));
        }
    }
    if *rewrite && (inside || *load) {
        return Err(refused(
            "a reproducible image of this kind cannot be made here: the times of its files stay as they are",
        )
        .hint(format!(
            "{}; for projects of kind `cargo` it works everywhere",
            if inside { another } else { "push instead of loading (`--push`)" }
        )));
    }
    let missing: Vec<Platform> = run_on.iter().filter(|platform| !instance.builds(platform)).cloned().collect();
    if !instance.platforms.is_empty() && !missing.is_empty() {
        return Err(refused(&format!("this builder cannot build for {}", joined(&missing))).hint(
            "install emulation (`docker run --privileged --rm tonistiigi/binfmt --install all`), or add a node of that \
             architecture (`docker buildx create --append`)",
        ));
    }
    Ok(())
}

impl Instance {
    fn builds(&self, platform: &Platform) -> bool {
        self.platforms.contains(platform) || self.native.iter().any(|native| native.runs(platform))
    }
}

/// A sentence about buildx or the engine if its version is too old; none if it is not, or not known.
pub(crate) fn too_old(buildx: &str, engine: &str) -> Option<String> {
    let older = |what: &str, text: &str, oldest: ToolVersion| {
        let version = ToolVersion::parse(text).filter(|version| *version < oldest)?;
        Some(format!("{what} is {version}, and {oldest} is the oldest that is supported"))
    };
    older("buildx", buildx, OLDEST_BUILDX).or_else(|| older("the engine", engine, OLDEST_ENGINE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn only_a_known_version_is_too_old() {
        assert_eq!(too_old("github.com/docker/buildx 0.13.1+ds1", "23.0.0"), None);
        assert_eq!(too_old("library-import", "library-import"), None);
        assert!(too_old("github.com/docker/buildx v0.12.1 x", "28.1.1").is_some_and(|text| text.contains("0.12")));
        assert!(too_old("v0.30.1", "20.10.24+dfsg1").is_some_and(|text| text.contains("20.10")));
    }

    #[rstest]
    #[case(r#"[["driver-type","io.containerd.snapshotter.v1"]]"#, ImageStore::Containerd)]
    #[case(r#"[["Backing Filesystem","extfs"],["Supports d_type","true"]]"#, ImageStore::Classic)]
    #[case("null", ImageStore::Classic)]
    fn the_store_is_read(#[case] json: &str, #[case] expected: ImageStore) {
        assert_eq!(ImageStore::parse(json), expected);
    }

    const TEAM: &str = "Name:          team\nDriver:        docker-container\nLast Activity: x\n\nNodes:\n\
        Name:             team0\nPlatforms:        linux/amd64, linux/amd64/v2, linux/386\n\
        Name:             team1\nPlatforms:        linux/arm64*, linux/arm/v7, linux/riscv64\n";

    fn instance(text: &str) -> Instance {
        Instance::parse(text).expect("the test's text is complete")
    }

    fn platforms(text: &str) -> Vec<Platform> {
        text.split(',').map(|platform| platform.parse().expect("valid")).collect()
    }

    #[test]
    fn a_builder_tells_its_driver_its_platforms_and_what_it_only_emulates() {
        let team = instance(TEAM);
        assert_eq!((team.name.as_str(), &team.driver), ("team", &Driver::Other("docker-container".to_owned())));
        assert_eq!(team.emulated(&platforms("linux/amd64,linux/arm64,linux/386")), []);
        assert_eq!(team.emulated(&platforms("linux/amd64,linux/riscv64")), platforms("linux/riscv64"));
        let silent = instance("Name: x\nDriver: remote\n");
        assert_eq!(silent.emulated(&platforms("linux/riscv64")), []);
    }

    #[test]
    fn a_builder_that_cannot_be_reached_is_an_error() {
        let text = "Name: default\nDriver:\nError:         Cannot connect to the Docker daemon at unix:///x.\n";
        assert!(Instance::parse(text).expect_err("it was usable").hint_text().is_some());
    }

    const PLAIN: Wanted<'_> =
        Wanted { platforms: &[], run_on: &[], load: true, cache_export: false, attestations: false, rewrite: false };

    #[rstest]
    #[case::platforms(Wanted { platforms: &[], ..PLAIN }, true)]
    #[case::attestations(Wanted { attestations: true, ..PLAIN }, false)]
    #[case::attestations_pushed(Wanted { attestations: true, load: false, ..PLAIN }, false)]
    #[case::cache(Wanted { cache_export: true, ..PLAIN }, false)]
    fn a_classic_store_refuses_what_it_cannot_hold(#[case] wanted: Wanted<'_>, #[case] several: bool) {
        let both = platforms("linux/amd64,linux/arm64");
        let wanted = Wanted { platforms: if several { &both } else { &both[..1] }, ..wanted };
        let docker = instance("Name: default\nDriver: docker\nPlatforms: linux/amd64, linux/arm64\n");
        let error =
            refuse_what_cannot_be_built(&docker, Some(ImageStore::Classic), &wanted).expect_err("it was allowed");
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains("`docker`") && cause.contains("classic image store"), "{cause}");
        let hint = error.hint_text().unwrap_or_default();
        assert!(hint.contains("--builder") && hint.contains("containerd-snapshotter"), "{hint}");
        refuse_what_cannot_be_built(&docker, Some(ImageStore::Containerd), &wanted).expect("a containerd store can");
    }

    #[test]
    fn a_builder_outside_the_engine_pushes_what_a_classic_store_cannot_hold() {
        let both = platforms("linux/amd64,linux/arm64");
        let team = instance(TEAM);
        let wanted = Wanted { platforms: &both, cache_export: true, attestations: true, ..PLAIN };
        let error = refuse_what_cannot_be_built(&team, Some(ImageStore::Classic), &wanted).expect_err("it was allowed");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("--push")));
        refuse_what_cannot_be_built(&team, Some(ImageStore::Classic), &Wanted { load: false, ..wanted })
            .expect("pushing works");
        refuse_what_cannot_be_built(
            &team,
            Some(ImageStore::Classic),
            &Wanted { platforms: &both[..1], attestations: false, ..wanted },
        )
        .expect("one platform is loaded, and the cache is exported by the builder");
    }

    #[test]
    fn a_platform_that_the_builder_does_not_run_is_refused() {
        let error =
            refuse_what_cannot_be_built(&instance(TEAM), None, &Wanted { run_on: &platforms("linux/s390x"), ..PLAIN })
                .expect_err("it was allowed");
        assert!(error.to_string().contains("linux/s390x") && error.hint_text().is_some());
    }

    #[test]
    fn times_are_rewritten_only_by_a_builder_that_pushes() {
        let one = platforms("linux/amd64");
        let wanted = Wanted { platforms: &one, rewrite: true, ..PLAIN };
        for (text, load, allowed) in
            [("Name: d\nDriver: docker\n", false, false), (TEAM, true, false), (TEAM, false, true)]
        {
            assert_eq!(
                refuse_what_cannot_be_built(&instance(text), None, &Wanted { load, ..wanted }).is_ok(),
                allowed,
                "{text} {load}"
            );
        }
    }
}
