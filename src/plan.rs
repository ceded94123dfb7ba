//! The plan: everything decided before anything is written or built, with the reason for each decision.
//! Made of the tags and of the builder's answers.

use crate::builder::runtime_builder::RuntimeBuilder;
use crate::config::options::Options;
use crate::error::{Error, Result};
use crate::image::labels;
use crate::image::name::ImageName;
use crate::image::platform::{Platform, joined};
use crate::image::stored::{Confirmed, Purpose, StoredImage};
use crate::image::tags::{BuildFromImageType, Hashes, Tags, Tiers};
use crate::staging::template::FileDates;
use crate::system::terminal::some_of;

/// What is to be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Build, or take what is there.
    pub decision: Decision,
    /// Why, as a sentence without a full stop.
    pub reason: String,
    /// The platforms that the image is for.
    pub platforms: Vec<Platform>,
    /// Whether the lock image exists without the versioned one, which is made with it: the run that made it could not
    /// finish.
    pub lacks_versioned: bool,
}

/// Build, or take what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The image exists; the store has just said so.
    Reuse(Confirmed),
    /// The image is built from this.
    Build {
        /// How much is reused.
        from: BuildFromImageType,
        /// The image that the Dockerfile starts with.
        image: ImageName,
    },
}

impl Plan {
    /// The build-from type; none if an image is reused.
    pub fn build_from(&self) -> Option<BuildFromImageType> {
        match &self.decision {
            Decision::Reuse(_) => None,
            Decision::Build { from, .. } => Some(*from),
        }
    }

    /// The image that is reused, if one is.
    pub fn reused(&self) -> Option<&Confirmed> {
        match &self.decision {
            Decision::Reuse(confirmed) => Some(confirmed),
            Decision::Build { .. } => None,
        }
    }
}

const OTHER_SYSTEM: &str = "has other system packages, extra dependencies, environment, toolchain, \
                            Cargo configuration, vendored crates or template";

/// What a plan is made of, besides what the builder answers.
#[derive(Debug, Clone, Copy)]
pub struct PlanInputs<'a> {
    /// The names.
    pub tags: &'a Tags,
    /// The hashes behind them.
    pub hashes: &'a Hashes,
    /// Which earlier images the project can be built on.
    pub tiers: Tiers,
    /// Who gives the files of the image their dates.
    pub dates: FileDates,
    /// The members of the workspace that are built with the dependencies.
    pub members_in_dependencies: &'a [String],
    /// What was asked for.
    pub options: &'a Options,
}

/// Decides how to come to the image named by `inputs.tags.source`.
///
/// # Errors
/// When the builder cannot be asked, or when a name is taken by an image of other content.
pub fn plan(inputs: &PlanInputs<'_>, builder: &dyn RuntimeBuilder) -> Result<Plan> {
    let mut plan = decided(inputs, builder)?;
    if let (Decision::Build { .. }, Some(compiled)) = (&plan.decision, inputs.options.cross_compiled()) {
        plan.reason = format!("{}; compiled on {}", plan.reason, compiled.on);
    }
    Ok(plan)
}

fn decided(inputs: &PlanInputs<'_>, builder: &dyn RuntimeBuilder) -> Result<Plan> {
    let PlanInputs { tags, options, .. } = inputs;
    let platforms = match (options.platforms.is_empty(), options.asks_no_engine()) {
        (false, _) => options.platforms.clone(),
        (true, true) => vec![Platform::of_this_machine()],
        (true, false) => vec![builder.default_platform()?],
    };
    let run_on = options.run_on(&platforms);
    if options.force_rebuild {
        if !options.dry_run {
            builder.ready(&platforms, &run_on, inputs.dates)?;
        }
        return Ok(inputs.scratch("a rebuild was asked for".to_owned(), platforms));
    }
    // The source tag is asked for alone: mostly it exists, and each name costs the engine as much as a process.
    let [source] = found(builder, [&tags.source], &platforms, Purpose::Run)?;
    let mut reasons = Vec::new();
    if let Some(source) = source {
        match inputs.reuse(&source, &platforms)? {
            Ok(plan) => return Ok(plan),
            Err(why) => reasons.push(why),
        }
    }
    let compiled_on = options.compiled_on(&platforms);
    // Whether the builder is ready takes as long to tell as what it has, and both are needed: they are asked at once.
    let (ready, found) = std::thread::scope(|scope| {
        let ready = scope.spawn(|| builder.ready(&platforms, &run_on, inputs.dates));
        let found = found(builder, [&tags.lock, &tags.versioned], &compiled_on, Purpose::BuildUpon);
        (ready.join().unwrap_or_else(|_| Err(Error::failed("asking the builder panicked"))), found)
    });
    let [lock, versioned] = found?;
    if !options.dry_run {
        ready?;
    }
    inputs.expect_own_images(lock.as_ref(), versioned.as_ref())?;
    if !inputs.tiers.lock {
        reasons.push("the template starts from the base image only".to_owned());
    }
    if let Some(lock) = lock.filter(|_| inputs.tiers.lock) {
        match inputs.build_on_lock(&lock, versioned.as_ref(), &platforms, builder)? {
            Ok(plan) => return Ok(plan),
            Err(why) => reasons.push(why),
        }
    }
    if let Some(versioned) = versioned.filter(|_| inputs.tiers.versioned) {
        match inputs.build_on_versioned(&versioned, &platforms, builder)? {
            Ok(plan) => return Ok(plan),
            Err(why) => reasons.push(why),
        }
    }
    if reasons.is_empty() {
        reasons.push("no earlier image has these dependencies, or this base image and version".to_owned());
    }
    reasons.extend(inputs.members_among_the_dependencies());
    Ok(inputs.scratch(reasons.join("; "), platforms))
}

/// A plan, or why the image cannot be used for one.
type PlanOrReason = std::result::Result<Plan, String>;

impl PlanInputs<'_> {
    fn scratch(&self, reason: String, platforms: Vec<Platform>) -> Plan {
        let decision = Decision::Build { from: BuildFromImageType::Scratch, image: self.options.pinned_base_image() };
        Plan { decision, reason, platforms, lacks_versioned: false }
    }

    /// Which members' sources are dependencies too, so that the tier `lock` is never reached after a change of them.
    fn members_among_the_dependencies(&self) -> Option<String> {
        let names = some_of(self.members_in_dependencies);
        match self.members_in_dependencies {
            [] => None,
            [_] => Some(format!(
                "{names} is a member that is built with the dependencies: a change of it builds them anew"
            )),
            _ => Some(format!(
                "{names} are members that are built with the dependencies: a change of one builds them anew"
            )),
        }
    }

    fn reuse(&self, source: &StoredImage, platforms: &[Platform]) -> Result<PlanOrReason> {
        let Self { tags, hashes, tiers, .. } = self;
        expect_label(&tags.source, source, labels::SOURCE_HASH, &hashes.source.identity, *tiers)?;
        expect_label(&tags.source, source, labels::LOCK_HASH, &hashes.lock.identity, *tiers)?;
        if let Some(lacking) = lacking(source, platforms) {
            return Ok(Err(format!("`{}` {lacking}", tags.source)));
        }
        Ok(Ok(Plan {
            decision: Decision::Reuse(Confirmed::from(source)),
            reason: "the image with exactly these sources and dependencies".to_owned(),
            platforms: platforms.to_vec(),
            lacks_versioned: false,
        }))
    }

    /// Refuses a name that somebody else gave to an image: it would be built upon, or lose the name.
    fn expect_own_images(&self, lock: Option<&StoredImage>, versioned: Option<&StoredImage>) -> Result<()> {
        let Self { tags, hashes, tiers, .. } = self;
        if let Some(lock) = lock {
            expect_label(&tags.lock, lock, labels::LOCK_HASH, &hashes.lock.identity, *tiers)?;
        }
        versioned.map_or(Ok(()), |versioned| expect_own(&tags.versioned, versioned, *tiers))
    }

    fn build_on_lock(
        &self,
        lock: &StoredImage,
        versioned: Option<&StoredImage>,
        platforms: &[Platform],
        builder: &dyn RuntimeBuilder,
    ) -> Result<PlanOrReason> {
        let name = &self.tags.lock;
        let compiled_on = self.options.compiled_on(platforms);
        // The original's lock hash leaves out the template that made the image.
        let other_system =
            lock.labels.get(labels::SYSTEM_HASH).is_some_and(|system| *system != self.hashes.system.identity);
        let why_not = if other_system { Some(OTHER_SYSTEM.to_owned()) } else { unusable(lock, &compiled_on, builder)? };
        if let Some(why) = why_not {
            return Ok(Err(format!("`{name}` {why}")));
        }
        Ok(Ok(Plan {
            decision: Decision::Build { from: BuildFromImageType::Lock, image: lock.name_for_builds(name) },
            reason: "an image has exactly these dependencies".to_owned(),
            platforms: platforms.to_vec(),
            lacks_versioned: self.tiers.versioned && versioned.is_none_or(|image| !image.holds(&compiled_on)),
        }))
    }

    fn build_on_versioned(
        &self,
        versioned: &StoredImage,
        platforms: &[Platform],
        builder: &dyn RuntimeBuilder,
    ) -> Result<PlanOrReason> {
        let name = &self.tags.versioned;
        let system = versioned.labels.get(labels::SYSTEM_HASH);
        let same_system = system.map_or(self.tiers.unlabelled, |system| *system == self.hashes.system.identity);
        let why_not = if same_system {
            unusable(versioned, &self.options.compiled_on(platforms), builder)?
        } else {
            Some(moved_base(versioned, self.options).unwrap_or_else(|| OTHER_SYSTEM.to_owned()))
        };
        if let Some(why) = why_not {
            return Ok(Err(format!("`{name}` {why}")));
        }
        let mut reasons = vec!["the dependencies changed; an image has this base image and version".to_owned()];
        reasons.extend(self.members_among_the_dependencies());
        Ok(Ok(Plan {
            decision: Decision::Build { from: BuildFromImageType::Versioned, image: versioned.name_for_builds(name) },
            reason: reasons.join("; "),
            platforms: platforms.to_vec(),
            lacks_versioned: false,
        }))
    }
}

fn found<const N: usize>(
    builder: &dyn RuntimeBuilder,
    names: [&ImageName; N],
    platforms: &[Platform],
    purpose: Purpose,
) -> Result<[Option<StoredImage>; N]> {
    <[_; N]>::try_from(builder.find(&names, platforms, purpose)?)
        .map_err(|found| Error::failed(format!("{N} images were asked for, {} answers came", found.len())))
}

/// A name made of a hash must lead to an image of that hash; anything else was tagged by somebody else.
fn expect_label(name: &ImageName, image: &StoredImage, label: &str, expected: &str, tiers: Tiers) -> Result<()> {
    match image.labels.get(label) {
        Some(value) if value == expected => Ok(()),
        None if tiers.unlabelled => Ok(()),
        other => Err(Error::failed(format!(
            "`{name}` exists but is not what its name says: its label `{label}` is {}, not `{expected}`",
            other.map_or_else(|| "missing".to_owned(), |value| format!("`{value}`"))
        ))
        .hint("remove that image, or replace it with `--force-rebuild`")),
    }
}

/// A name that moves from image to image must lead to one of this tool; anything else was tagged by somebody else.
fn expect_own(name: &ImageName, image: &StoredImage, tiers: Tiers) -> Result<()> {
    if tiers.unlabelled || image.labels.contains_key(labels::KIND) {
        return Ok(());
    }
    Err(Error::failed(format!("`{name}` exists but was not made by this tool: it has no label `{}`", labels::KIND))
        .hint("remove that image, or replace it with `--force-rebuild`"))
}

/// Why `image` is not used, if the base image had another digest when it was built.
fn moved_base(image: &StoredImage, options: &Options) -> Option<String> {
    let (before, now) = (image.labels.get(labels::BASE_DIGEST)?, options.base_digest.as_ref()?.to_string());
    (*before != now)
        .then(|| format!("was built when `{}` was {before:.19}, and it is {now:.19} now", options.base_image))
}

fn lacking(image: &StoredImage, platforms: &[Platform]) -> Option<String> {
    let missing: Vec<Platform> =
        platforms.iter().filter(|platform| !image.platforms.contains(platform)).cloned().collect();
    (!missing.is_empty()).then(|| format!("is for {}, not for {}", joined(&image.platforms), joined(&missing)))
}

fn unusable(image: &StoredImage, platforms: &[Platform], builder: &dyn RuntimeBuilder) -> Result<Option<String>> {
    if let Some(lacking) = lacking(image, platforms) {
        return Ok(Some(lacking));
    }
    Ok((!builder.can_build_from(image.store)?)
        .then(|| "is only in the engine's store, which this builder's driver does not see".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::builder::recording::RecordingBuilder;
    use crate::hash::Hash;
    use crate::image::naming::Naming;
    use crate::image::stored::Store;

    struct Case {
        tags: Tags,
        hashes: Hashes,
        tiers: Tiers,
        members: Vec<String>,
        options: Options,
        builder: RecordingBuilder,
    }

    impl Case {
        fn new() -> Self {
            let [system, lock, source] =
                ["aa", "bb", "cc"].map(|digits| Hash { name: digits.repeat(16), identity: digits.repeat(32) });
            let hashes = Hashes { system, lock, source };
            let naming = Naming::new("localhost/app-runtime", "rt", "1.0.0").expect("valid");
            let tags = Tags::new(&naming, "rust:1-bookworm", &hashes.lock.name, &hashes.source.name).expect("valid");
            let tiers = Tiers { lock: true, versioned: true, unlabelled: false };
            Self {
                tags,
                hashes,
                tiers,
                members: Vec::new(),
                options: Options::default(),
                builder: RecordingBuilder::new(),
            }
        }

        fn with(self, name: impl Fn(&Tags) -> &ImageName, platform: &str, labels: &[(&str, &str)]) -> Self {
            let image = StoredImage {
                store: Store::Engine,
                platforms: vec![platform.parse().expect("valid")],
                labels: labels
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect::<BTreeMap<_, _>>(),
                ..StoredImage::default()
            };
            self.builder.add(name(&self.tags).clone(), image);
            self
        }

        fn source(self, platform: &str) -> Self {
            let (lock, source) = (self.hashes.lock.identity.clone(), self.hashes.source.identity.clone());
            self.with(|tags| &tags.source, platform, &[(labels::LOCK_HASH, &lock), (labels::SOURCE_HASH, &source)])
        }

        fn lock(self, platform: &str) -> Self {
            let lock = self.hashes.lock.identity.clone();
            self.with(|tags| &tags.lock, platform, &[(labels::LOCK_HASH, &lock)])
        }

        fn versioned(self, system: &str) -> Self {
            self.with(|tags| &tags.versioned, "linux/amd64", &[(labels::SYSTEM_HASH, system), (labels::KIND, "cargo")])
        }

        fn plan(&self) -> Result<Plan> {
            let Self { tags, hashes, tiers, members, options, builder } = self;
            let dates = FileDates::Constant;
            let members_in_dependencies = members;
            plan(&PlanInputs { tags, hashes, tiers: *tiers, dates, members_in_dependencies, options }, builder)
        }
    }

    #[test]
    fn nothing_there_means_scratch() -> Result<()> {
        let case = Case::new();
        assert_eq!(case.plan()?.build_from(), Some(BuildFromImageType::Scratch));
        Ok(())
    }

    #[test]
    fn members_that_dependencies_use_are_named_where_dependencies_are_built() -> Result<()> {
        let with = |case: Case, members: &[&str]| {
            let members = members.iter().map(|name| (*name).to_owned()).collect();
            Ok::<_, Error>(Case { members, ..case }.plan()?.reason)
        };
        let one = "; `serde` is a member that is built with the dependencies: a change of it builds them anew";
        let system = "aa".repeat(32);
        assert!(with(Case::new(), &["serde"])?.ends_with(one));
        assert!(with(Case::new().versioned(&system), &["serde"])?.ends_with(one));
        assert_eq!(with(Case::new().lock("linux/amd64"), &["serde"])?, "an image has exactly these dependencies");
        let four = with(Case::new(), &["a", "b", "c", "d"])?;
        assert!(
            four.contains("; `a`, `b`, `c` and 1 more are members that are built with the dependencies: "),
            "{four}"
        );
        Ok(())
    }

    #[test]
    fn the_most_specific_image_wins() -> Result<()> {
        let system = "aa".repeat(32);
        let all = Case::new().versioned(&system).lock("linux/amd64").source("linux/amd64");
        assert!(all.plan()?.reused().is_some());
        assert_eq!(all.builder.look_ups(), 1, "one look-up is enough to reuse");
        let two = Case::new().versioned(&system).lock("linux/amd64");
        assert_eq!(two.plan()?.build_from(), Some(BuildFromImageType::Lock));
        let one = Case::new().versioned(&system);
        assert_eq!(one.plan()?.build_from(), Some(BuildFromImageType::Versioned));
        Ok(())
    }

    #[test]
    fn an_image_for_another_platform_is_not_used_and_the_plan_says_so() -> Result<()> {
        let plan = Case::new().lock("linux/arm64").source("linux/arm64").plan()?;
        assert_eq!(plan.build_from(), Some(BuildFromImageType::Scratch));
        assert!(plan.reason.contains("is for linux/arm64, not for linux/amd64"), "{}", plan.reason);
        Ok(())
    }

    #[test]
    fn another_system_is_not_built_upon() -> Result<()> {
        let plan = Case::new().versioned("other").plan()?;
        assert_eq!(plan.build_from(), Some(BuildFromImageType::Scratch));
        assert!(plan.reason.contains("other system packages"), "{}", plan.reason);
        Ok(())
    }

    #[test]
    fn a_base_image_that_moved_is_told() -> Result<()> {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let labels = [(labels::SYSTEM_HASH, "other"), (labels::KIND, "cargo"), (labels::BASE_DIGEST, &digest("a"))];
        let mut case = Case::new().with(|tags| &tags.versioned, "linux/amd64", &labels);
        case.options.base_digest = Some(digest("b").parse()?);
        let plan = case.plan()?;
        assert!(plan.reason.contains("was built when `rust:1-bookworm` was sha256:aaaa"), "{}", plan.reason);
        assert!(plan.reason.contains("it is sha256:bbbb"), "{}", plan.reason);
        let Decision::Build { image, .. } = plan.decision else { panic!("nothing would be built") };
        assert_eq!(image.to_string(), format!("rust:1-bookworm@{}", digest("b")));
        Ok(())
    }

    #[test]
    fn a_name_that_lies_is_an_error_and_force_replaces_it() -> Result<()> {
        let mut case = Case::new().with(|tags| &tags.source, "linux/amd64", &[(labels::SOURCE_HASH, "other")]);
        let error = case.plan().expect_err("a stranger's image was taken");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("--force-rebuild")));
        case.options.force_rebuild = true;
        assert_eq!(case.plan()?.build_from(), Some(BuildFromImageType::Scratch));
        Ok(())
    }

    #[test]
    fn an_image_without_labels_counts_only_where_others_make_such_images() -> Result<()> {
        let mut case = Case::new().with(|tags| &tags.source, "linux/amd64", &[]);
        case.plan().expect_err("an image without labels was taken");
        case.tiers.unlabelled = true;
        assert!(case.plan()?.reused().is_some());
        let mut case = Case::new().with(|tags| &tags.versioned, "linux/amd64", &[]);
        case.plan().expect_err("an image that somebody else made would have been replaced");
        case.tiers.unlabelled = true;
        assert_eq!(case.plan()?.build_from(), Some(BuildFromImageType::Versioned));
        Ok(())
    }

    #[test]
    fn a_template_that_starts_from_the_base_image_only_is_never_built_on_another() -> Result<()> {
        let mut case = Case::new().versioned(&"aa".repeat(32)).lock("linux/amd64");
        (case.tiers.lock, case.tiers.versioned) = (false, false);
        let plan = case.plan()?;
        assert_eq!(plan.build_from(), Some(BuildFromImageType::Scratch));
        assert!(plan.reason.contains("base image only"), "{}", plan.reason);
        Ok(())
    }

    #[test]
    fn a_forced_dry_run_asks_nothing() -> Result<()> {
        let mut case = Case::new();
        (case.options.force_rebuild, case.options.dry_run) = (true, true);
        case.plan()?;
        assert_eq!(case.builder.look_ups(), 0);
        Ok(())
    }
}
