//! The one reader of Dockerfiles: stages, base images, arguments, what is copied.

use crate::image::name::ImageName;

/// What `text`, a Dockerfile, says up to the end of its stage `deps`, and the rest; `None` without such a stage.
pub fn split_after_deps(text: &str) -> Option<(&str, &str)> {
    let is_from = |line: &&str| line.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("FROM "));
    let is_deps = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
        words.ends_with(&["as".to_owned(), "deps".to_owned()])
    };
    let mut lines = text.split_inclusive('\n');
    let mut end = 0;
    let mut found = false;
    for line in lines.by_ref() {
        if is_from(&line) && found {
            return Some(text.split_at(end));
        }
        found |= is_from(&line) && is_deps(line);
        end += line.len();
    }
    found.then_some((text, ""))
}

/// Whether an instruction copies or mounts the sources, or the whole build folder.
pub(crate) fn copies_code(dockerfile: &str) -> bool {
    let folder = |word: &str| word.trim_matches(['"', ',', '[', ']']).trim_start_matches("./").to_owned();
    let is_code = |word: &str| matches!(folder(word).split('/').next(), Some("code" | "" | "."));
    dockerfile.replace("\\\n", " ").lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mounts = || {
            words.iter().filter_map(|word| word.strip_prefix("--mount=")).any(|mount| {
                mount.contains("type=bind")
                    && !mount.contains("from=")
                    && mount
                        .split(',')
                        .find_map(|part| part.strip_prefix("source=").or(part.strip_prefix("src=")))
                        .is_none_or(is_code)
            })
        };
        match words.first().map(|word| word.to_ascii_uppercase()).as_deref() {
            Some("COPY" | "ADD") => {
                let from_elsewhere = words.iter().any(|word| word.starts_with("--from="));
                let paths: Vec<&&str> = words[1..].iter().filter(|word| !word.starts_with("--")).collect();
                !from_elsewhere
                    && paths.split_last().is_some_and(|(_, sources)| sources.iter().any(|word| is_code(word)))
            }
            Some("RUN") => mounts(),
            _ => false,
        }
    })
}

/// Whether a Dockerfile declares the build argument `name`.
pub(crate) fn declares(dockerfile: &str, name: &str) -> bool {
    dockerfile.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("ARG"))
            && words.any(|word| word.split('=').next() == Some(name))
    })
}

/// The images that a Dockerfile's stages start from, other stages left out.
pub(crate) fn bases(dockerfile: &str) -> impl Iterator<Item = &str> {
    let mut stages: Vec<&str> = vec!["scratch"];
    dockerfile.lines().filter_map(move |line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| word.eq_ignore_ascii_case("FROM"))?;
        let base = words.by_ref().find(|word| !word.starts_with("--"))?;
        let is_stage = stages.contains(&base);
        stages.extend(words.nth(1));
        (!is_stage).then_some(base)
    })
}

/// Whether it is a name without a registry.
pub(crate) fn is_short(name: &str) -> bool {
    name.parse::<ImageName>().is_ok_and(|parsed| !parsed.names_a_registry() && !name.starts_with("localhost/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("COPY code/ ./", true)]
    #[case("COPY ./code/x /x", true)]
    #[case("COPY . /app", true)]
    #[case("ADD --chown=a code/ ./", true)]
    #[case("COPY [\"code/a b\", \"/x\"]", true)]
    #[case("RUN --mount=type=bind,source=code,target=/x make", true)]
    #[case("RUN --mount=type=bind,target=/x make", true)]
    #[case("COPY \\\n  code/ ./", true)]
    #[case("COPY deps/ ./", false)]
    #[case("COPY --from=tools code/ ./", false)]
    #[case("RUN --mount=type=bind,source=deps,target=/x make code", false)]
    #[case("RUN --mount=type=cache,target=/x make", false)]
    #[case("COPY deps/code ./", false)]
    fn a_dependency_stage_with_sources_is_told(#[case] line: &str, #[case] expected: bool) {
        assert_eq!(copies_code(&format!("FROM x AS deps\n{line}\n")), expected);
    }

    #[test]
    fn declared_arguments_are_known_by_name() {
        assert!(declares("FROM x\nARG A=1 B\n", "B"));
        assert!(!declares("FROM x\nENV B=1\n# ARG B\n", "B"));
    }

    #[test]
    fn the_stage_deps_ends_where_the_next_one_starts() {
        let split = |text| split_after_deps(text);
        assert_eq!(
            split("FROM a AS deps\nRUN x\nFROM deps\nCOPY"),
            Some(("FROM a AS deps\nRUN x\n", "FROM deps\nCOPY"))
        );
        assert_eq!(split("from a as Deps\nRUN x"), Some(("from a as Deps\nRUN x", "")));
        assert_eq!(
            split("FROM t AS tools\nFROM a AS deps\nFROM deps AS b\n").map(|parts| parts.1),
            Some("FROM deps AS b\n")
        );
        assert_eq!(split("FROM a\nRUN x"), None);
    }

    #[test]
    fn the_images_that_stages_start_from_are_found_without_other_stages() {
        let text = "FROM rust:1 AS deps\nRUN x\nfrom --platform=$P a/b\nFROM deps AS runtime\nFROM scratch\nFROM r.example/c\n";
        assert_eq!(bases(text).collect::<Vec<_>>(), ["rust:1", "a/b", "r.example/c"]);
        assert_eq!(
            ["rust:1", "a/b", "r.example/c", "localhost/d", "$X"].map(is_short),
            [true, true, false, false, false]
        );
    }
}
