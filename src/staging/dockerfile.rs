//! The one reader of Dockerfiles: which images stages start from, where the stage of the dependencies ends, what it
//! copies and declares.

use parse_dockerfile::{Dockerfile as Parsed, Flag, Instruction, Source, Stage};

use crate::error::{Error, Result};
use crate::image::name::ImageName;
use crate::staging::own_files::CODE;

/// The name of the stage that later builds start from.
pub const DEPS_STAGE: &str = "deps";
/// The base image of a stage that starts from nothing.
const NO_IMAGE: &str = "scratch";

/// What a Dockerfile adds to the image that its last stage comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Added {
    /// The entries of the history: BuildKit writes one for each instruction.
    pub entries: usize,
    /// The layers.
    pub layers: usize,
}

/// A Dockerfile, or its beginning.
#[derive(Debug)]
pub struct Dockerfile<'a> {
    text: &'a str,
    parsed: Parsed<'a>,
}

impl<'a> Dockerfile<'a> {
    /// Reads `text`; `name` is how errors call it.
    ///
    /// # Errors
    /// When BuildKit would not understand it either.
    pub fn parse(name: &str, text: &'a str) -> Result<Self> {
        let parsed = parse_dockerfile::parse(text).map_err(|error| {
            Error::usage(format!("`{name}` gives no Dockerfile"))
                .because(error)
                .hint("the cause names a line of the Dockerfile as it is rendered")
        })?;
        Ok(Self { text, parsed })
    }

    /// The images that stages start from, other stages left out.
    pub fn bases(&self) -> Vec<&str> {
        let mut stages: Vec<String> = vec![NO_IMAGE.to_owned()];
        let mut bases = Vec::new();
        for stage in self.parsed.stages() {
            let base = &*stage.from.image.value;
            if !stages.contains(&base.to_lowercase()) {
                bases.push(base);
            }
            stages.extend(name_of(&stage));
        }
        bases
    }

    /// The text up to the end of the stage `deps`, and the rest; `None` without such a stage.
    pub fn split_after_deps(&self) -> Option<(&'a str, &'a str)> {
        let mut stages = self.parsed.stages().skip_while(|stage| name_of(stage).as_deref() != Some(DEPS_STAGE));
        stages.next()?;
        let end = stages.next().map_or(self.text.len(), |next| next.from.from.span.start);
        Some(self.text.split_at(end))
    }

    /// What the last stage and the stages that it starts from add to an image.
    pub fn added(&self) -> Added {
        let stages: Vec<Stage<'_, '_>> = self.parsed.stages().collect();
        let mut added = Added::default();
        let mut next = stages.len().checked_sub(1);
        while let Some(place) = next {
            let Stage { from, instructions, .. } = &stages[place];
            added.entries += instructions.len();
            added.layers += instructions.iter().filter(|instruction| makes_a_layer(instruction)).count();
            let base = from.image.value.to_lowercase();
            next = stages[..place].iter().rposition(|stage| name_of(stage).is_some_and(|name| name == base));
        }
        added
    }

    /// Whether an instruction plainly copies or mounts the sources, `code/` of the build folder. That no source gets
    /// into the image of the dependencies does not depend on this: its build sees none.
    pub fn copies_code(&self) -> bool {
        self.parsed.instructions.iter().any(|instruction| match instruction {
            Instruction::Copy(copy) => copies(&copy.options, &copy.src),
            Instruction::Add(add) => copies(&add.options, &add.src),
            Instruction::Run(run) => run.options.iter().any(mounts_code),
            _ => false,
        })
    }

    /// Whether an instruction declares the build argument `name`.
    pub fn declares(&self, name: &str) -> bool {
        self.parsed.instructions.iter().any(|instruction| match instruction {
            Instruction::Arg(arg) => {
                arg.arguments.value.split_whitespace().any(|word| word.split('=').next() == Some(name))
            }
            _ => false,
        })
    }
}

fn name_of(stage: &Stage<'_, '_>) -> Option<String> {
    stage.from.as_.as_ref().map(|(_, name)| name.value.to_lowercase())
}

fn makes_a_layer(instruction: &Instruction<'_>) -> bool {
    use Instruction::{Add, Copy, Run, Workdir};
    matches!(instruction, Add(_) | Copy(_) | Run(_) | Workdir(_))
}

fn copies(options: &[Flag<'_>], sources: &[Source<'_>]) -> bool {
    let from_elsewhere = options.iter().any(|option| option.name.value == "from");
    let copies_code = |source: &Source<'_>| match source {
        Source::Path(path) => is_code(&path.value) || path_in_context(&path.value).is_empty(),
        _ => false,
    };
    !from_elsewhere && sources.iter().any(copies_code)
}

fn mounts_code(option: &Flag<'_>) -> bool {
    let Some(value) = option.value.as_ref().filter(|_| option.name.value == "mount") else { return false };
    let field = |names: &[&str]| {
        let fields = value.value.split(',').filter_map(|field| field.split_once('='));
        fields.filter(|(name, _)| names.contains(name)).map(|(_, value)| value).next()
    };
    let is_bind = field(&["type"]).is_none_or(|kind| kind == "bind");
    is_bind && field(&["from"]).is_none() && field(&["source", "src"]).is_some_and(is_code)
}

/// Whether a path is `code/` of the build folder or below it.
fn is_code(path: &str) -> bool {
    path_in_context(path).split('/').next() == Some(CODE)
}

/// The path without what stands for the build folder itself.
fn path_in_context(path: &str) -> &str {
    let path = path.trim_matches('"').trim_start_matches("./").trim_start_matches('/');
    if path == "." { "" } else { path }
}

/// The images that a Dockerfile's stages start from; none where it cannot be read.
pub(crate) fn bases(text: &str) -> Vec<String> {
    let read = Dockerfile::parse("Dockerfile", text);
    read.map(|dockerfile| dockerfile.bases().into_iter().map(str::to_owned).collect()).unwrap_or_default()
}

/// What a Dockerfile adds to the image that its last stage comes from; none where it cannot be read.
pub(crate) fn added(text: &str) -> Option<Added> {
    Dockerfile::parse("Dockerfile", text).ok().map(|dockerfile| dockerfile.added())
}

/// Whether `name` is an image name without a registry.
pub(crate) fn is_short(name: &str) -> bool {
    name.parse::<ImageName>().is_ok_and(|parsed| !parsed.names_a_registry() && !name.starts_with("localhost/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn read(text: &str) -> Dockerfile<'_> {
        Dockerfile::parse("test", text).expect("the test's Dockerfile is valid")
    }

    #[rstest]
    #[case("COPY code/ ./", true)]
    #[case("COPY ./code/x /x", true)]
    #[case("COPY . /app", true)]
    #[case("ADD --chown=a code/ ./", true)]
    #[case("COPY [\"code/a b\", \"/x\"]", true)]
    #[case("RUN --mount=type=bind,source=code,target=/x make", true)]
    #[case("RUN --mount=type=bind,target=/x make", false)]
    #[case("COPY \\\n  code/ ./", true)]
    #[case("COPY deps/ ./", false)]
    #[case("COPY --from=tools code/ ./", false)]
    #[case("RUN --mount=type=bind,source=deps,target=/x make code", false)]
    #[case("RUN --mount=type=cache,target=/x make", false)]
    #[case("COPY deps/code ./", false)]
    #[case("COPY * /app/", false)]
    #[case("COPY deps/../code/ /x", false)]
    #[case("ARG D=code\nCOPY $D /x", false)]
    #[case("COPY ./ /x", true)]
    #[case("COPY \\ \t\n  code/ ./", true)]
    #[case("COPY \\\r\n  code/ ./", true)]
    #[case("copy code/ ./", true)]
    #[case("RUN --mount=source=code,target=/x make", true)]
    #[case("RUN <<EOF\nCOPY code/ ./\nEOF", false)]
    fn a_dependency_stage_with_sources_is_told(#[case] line: &str, #[case] expected: bool) {
        let text = format!("FROM x AS deps\n{line}\n");
        assert_eq!(read(&text).copies_code(), expected);
    }

    #[test]
    fn what_is_no_dockerfile_is_named() {
        let error = Dockerfile::parse("my.j2", "FROM a\nRUM x\n").expect_err("it was taken");
        assert_eq!(error.to_string(), "`my.j2` gives no Dockerfile");
    }

    #[test]
    fn declared_arguments_are_known_by_name() {
        assert!(read("FROM x\nARG A=1 B\n").declares("B"));
        assert!(read("FROM x\nARG A=1 \\\n    B\n").declares("B"));
        assert!(!read("FROM x\nENV B=1\n# ARG B\n").declares("B"));
    }

    #[test]
    fn the_stage_deps_ends_where_the_next_one_starts() {
        let split = |text| read(text).split_after_deps();
        assert_eq!(
            split("FROM a AS deps\nRUN x\nFROM deps\nCOPY x y"),
            Some(("FROM a AS deps\nRUN x\n", "FROM deps\nCOPY x y"))
        );
        assert_eq!(split("from a as Deps\nRUN x"), Some(("from a as Deps\nRUN x", "")));
        assert_eq!(
            split("FROM t AS tools\nFROM a AS deps\nFROM deps AS b\n").map(|parts| parts.1),
            Some("FROM deps AS b\n")
        );
        assert_eq!(split("FROM a\nRUN x"), None);
        let platform = "FROM --platform=$BUILDPLATFORM a AS deps\nRUN <<EOF\nFROM b\nEOF\nfrom deps\n";
        assert_eq!(split(platform).map(|parts| parts.1), Some("from deps\n"));
    }

    #[test]
    fn the_images_that_stages_start_from_are_found_without_other_stages() {
        let text = "FROM rust:1 AS deps\nRUN x\nfrom --platform=$P a/b\nFROM deps AS runtime\nFROM scratch\nFROM r.example/c\n";
        assert_eq!(bases(text), ["rust:1", "a/b", "r.example/c"]);
        assert_eq!(
            ["rust:1", "a/b", "r.example/c", "localhost/d", "$X"].map(is_short),
            [true, true, false, false, false]
        );
    }

    #[test]
    fn what_is_added_is_counted_through_the_stages_that_the_last_one_starts_from() {
        let text = "ARG X\nFROM a AS base\nRUN x\nFROM b AS Run\nUSER root\nRUN x\nFROM base AS other\nCOPY x y\n\
                    FROM run AS slim\nENV A=1 B=2\nCOPY --from=other /x /\nWORKDIR /w\nCMD [\"x\"]\nLABEL a=b\n";
        assert_eq!(read(text).added(), Added { entries: 7, layers: 3 });
        assert_eq!((added("FROM a\n"), added("")), (Some(Added::default()), None));
    }
}
