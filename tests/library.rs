//! The public library, used as another program would use it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;

use rstest::rstest;
use runtime_image::builder::runtime_builder::Target;
use runtime_image::image::stored::Confirmed;
use runtime_image::system::cargo::CargoCall;
use runtime_image::{
    BuildFromImageType, Naming, Options, RecordingBuilder, build_runtime_image, runtime_image_repo_and_tag,
};
use support::Project;

fn options(project: &Project) -> Options {
    let folder = project.root.to_str().unwrap();
    Options {
        cargo: CargoCall { folder: Some(folder.into()), ..CargoCall::default() },
        repository: Some(project.repository.clone()),
        ..Options::default()
    }
}

#[test]
fn the_dependency_image_is_built_and_tagged_before_the_source_tag() {
    let project = Project::hello();
    let builder = RecordingBuilder::new();
    let report = build_runtime_image("debian:bookworm", &builder, options(&project)).unwrap();
    assert_eq!(report.build_from, Some(BuildFromImageType::Scratch));
    let requests = builder.requests();
    let names: Vec<Vec<String>> =
        requests.iter().map(|request| request.names.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(
        names,
        [
            vec![project.name(&report.tags.lock), project.name(&report.tags.versioned)],
            vec![project.name(&report.tags.source)],
        ]
    );
    assert_eq!(requests[0].target, Target::Dependencies);
    assert_eq!(requests[1].deps_image.as_ref().map(ToString::to_string), Some(project.name(&report.tags.lock)));
    assert_eq!(report.confirmed.map(|confirmed: Confirmed| confirmed.digest.to_string().len()), Some(71));
}

#[test]
fn a_dry_run_builds_nothing_and_leaves_the_folder() {
    let project = Project::hello();
    let builder = RecordingBuilder::new();
    let folder = project.root.parent().unwrap().join("context");
    let options = Options { dry_run: true, build_folder: Some(folder.to_str().unwrap().into()), ..options(&project) };
    let report = build_runtime_image("debian:bookworm", &builder, options).unwrap();
    assert_eq!(builder.requests(), []);
    assert_eq!(report.build_folder.as_deref().map(camino::Utf8Path::as_std_path), Some(folder.as_path()));
    let dockerfile = fs::read_to_string(folder.join("Dockerfile")).unwrap();
    assert!(dockerfile.starts_with("FROM debian:bookworm AS deps\n"), "{dockerfile}");
    assert!(!dockerfile.contains("# syntax"), "a syntax line makes BuildKit pull a frontend");
}

#[test]
fn a_member_that_patches_a_dependency_is_named_where_the_dependencies_are_built() {
    let project = Project::empty();
    project.patch_itself();
    let folder = project.root.parent().unwrap().join("context");
    let options = Options { dry_run: true, build_folder: Some(folder.to_str().unwrap().into()), ..options(&project) };
    let report = build_runtime_image("rust:1", &RecordingBuilder::new(), options).unwrap();
    assert_eq!(
        report.reason,
        "no earlier image has these dependencies, or this base image and version; `itoa` is a member that is built with the \
         dependencies: a change of it builds them anew"
    );
    assert!(!folder.join("deps/.runtime-image-compile-skeleton").exists(), "the member would be compiled twice");
}

/// Answers of the original for its own repository and prefix, `openhands` 0.62.0.
#[rstest]
#[case(
    "nikolaik/python-nodejs:python3.12-nodejs22",
    "oh_v0.62.0_image_nikolaik_s_python-nodejs_tag_python3.12-nodejs22"
)]
#[case("ubuntu:24.04", "oh_v0.62.0_image_ubuntu_tag_24.04")]
#[case("debian", "oh_v0.62.0_image_debian_tag_latest")]
#[case(
    "ghcr.io/example/some-very-long-organisation/and-repository-name:v1.2.3",
    "oh_v0.62.0_image_18f00e95_tion_s_and-repository-name_tag_v1.2.3"
)]
#[case(
    "docker.io/xingyaoww/sweb.eval.x86_64.django_s_django-11333:latest",
    "oh_v0.62.0_image_e4893223_64.django_s_django-11333_tag_latest"
)]
fn repositories_and_tags_are_the_originals(#[case] base: &str, #[case] expected: &str) {
    let naming = Naming::new("ghcr.io/openhands/runtime", "oh", "0.62.0").unwrap();
    let (repository, tag) = runtime_image_repo_and_tag(base, &naming).unwrap();
    assert_eq!((repository.as_str(), tag.as_str()), ("ghcr.io/openhands/runtime", expected));
}
