//! The build folder: BuildKit must never build stale bytes of it, and nothing foreign is touched.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use support::{Project, run_image};

/// A package without dependencies that prints the text of one file.
fn printing(text: &str) -> Project {
    let project = Project::empty().on_engine();
    project
        .write("Cargo.toml", "[package]\nname = \"printing\"\nversion = \"1.0.0\"\nedition = \"2021\"\n")
        .write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"printing\"\nversion = \"1.0.0\"\n")
        .write("src/main.rs", "fn main() { print!(\"{}\", include_str!(\"../text\")); }\n")
        .write("text", text);
    project
}

/// Gives every file the same mtime.
fn flatten_times(root: &Path) {
    for path in files(root) {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() && !path.is_symlink() { files(&path) } else { vec![path] })
        .collect();
    found.sort();
    found
}

fn folder_of(project: &Project, arguments: &[&str]) -> PathBuf {
    let (report, _) = project.json(&[&["--dry-run", "--force-rebuild"], arguments].concat());
    PathBuf::from(report["build_folder"].as_str().unwrap())
}

#[test]
fn equal_sizes_and_times_with_other_bytes_give_images_with_the_right_bytes() {
    let parent = tempfile::tempdir().unwrap();
    let named = parent.path().join("context");
    for arguments in [&[][..], &["--build-folder", named.to_str().unwrap()]] {
        // The second tree is another folder with the same base name, as two checkouts of one project have.
        for text in ["first", "other"] {
            let project = printing(text);
            flatten_times(&project.root);
            let image = project.ok(arguments).image().to_owned();
            assert_eq!(run_image(&image, &["printing"]), text, "{arguments:?}");
            assert_eq!(run_image(&image, &["cat", "/workspace/text"]), text, "{arguments:?}");
        }
    }
}

#[test]
fn an_edit_that_keeps_size_and_time_is_built() {
    let project = printing("aaaa");
    flatten_times(&project.root);
    assert_eq!(run_image(project.ok(&[]).image(), &[]), "aaaa");
    project.write("text", "bbbb");
    flatten_times(&project.root);
    assert_eq!(run_image(project.ok(&[]).image(), &[]), "bbbb");
}

/// Path, times, mode and content of all that a build folder holds, folders too.
fn listed(root: &Path) -> Vec<String> {
    let entry = |path: PathBuf| {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else if metadata.is_dir() {
            "folder".to_owned()
        } else {
            format!("{:?}", fs::read(&path).unwrap())
        };
        let time = (metadata.mtime(), metadata.mtime_nsec());
        format!("{} {time:?} {:o} {content}", path.strip_prefix(root).unwrap().display(), metadata.mode())
    };
    let mut lines: Vec<String> = every_entry(root).into_iter().map(entry).collect();
    lines.sort();
    lines
}

fn every_entry(folder: &Path) -> Vec<PathBuf> {
    let below = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    below
        .flat_map(|path| {
            let is_folder = path.is_dir() && !path.is_symlink();
            let mut entries = if is_folder { every_entry(&path) } else { Vec::new() };
            entries.push(path);
            entries
        })
        .collect()
}

#[test]
fn what_an_earlier_folder_holds_is_not_written_again_and_all_that_somebody_changed_in_it_is() {
    let project = Project::hello();
    for name in ["kept", "edited", "forged", "emptied", "executable", "removed", "linked"] {
        project.write(&format!("data/{name}"), format!("{name}\n"));
    }
    project.write("data/inner/file", "x").write("changing", "one");
    // What is written last may change in the same moment, and is not known. This takes longer than a moment.
    project.write_sparse("zeros", 64 << 20);
    std::os::unix::fs::symlink("data", project.root.join("link")).unwrap();
    let outside = project.root.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("theirs"), "years of work").unwrap();

    let before = folder_of(&project, &[]);
    // A file that is known must have been at rest for two seconds.
    std::thread::sleep(Duration::from_millis(2100));
    // Of these it is seen whether they still have a place in a folder: numbers of files are used again.
    let open = |folder: &Path| {
        let names = ["data/kept", "data/forged", "changing"];
        names.map(|name| fs::File::open(folder.join("code").join(name)).unwrap())
    };
    let places = |files: &[fs::File; 3]| files.each_ref().map(|file| file.metadata().unwrap().nlink());
    let of_before = open(&before);
    let data = before.join("code/data");
    // As an editor does it, which keeps neither time nor, mostly, size.
    fs::write(data.join("edited"), "EDITED\n").unwrap();
    fs::write(data.join("emptied"), "").unwrap();
    // As an archive brings it: with the size and the time of what should be there.
    let time = fs::metadata(data.join("forged")).unwrap().modified().unwrap();
    fs::write(data.join("forged"), "FORGED\n").unwrap();
    fs::File::options().write(true).open(data.join("forged")).unwrap().set_modified(time).unwrap();
    fs::set_permissions(data.join("executable"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(data.join("removed")).unwrap();
    fs::remove_file(data.join("linked")).unwrap();
    std::os::unix::fs::symlink(outside.join("theirs"), data.join("linked")).unwrap();
    fs::remove_dir_all(data.join("inner")).unwrap();
    std::os::unix::fs::symlink(&outside, data.join("inner")).unwrap();
    fs::create_dir_all(data.join("more/of/it")).unwrap();
    fs::write(data.join("more/of/it/added"), "x").unwrap();

    project.write("changing", "two");
    let after = folder_of(&project, &[]);
    assert_ne!(before, after, "a folder for each content");
    assert!(!before.exists());
    let fresh = project.root.parent().unwrap().join("fresh");
    let [fresh, gone_on_from] = [folder_of(&project, &["--build-folder", fresh.to_str().unwrap()]), after.clone()];
    assert_eq!(listed(&fresh), listed(&gone_on_from));
    assert_eq!(places(&of_before), [1, 0, 0], "a file that is known, one that is not, one that changed");
    assert_eq!(listed(&outside).len(), 1, "nothing is removed through a link");

    // The same content again: the folder is gone on from as well, and mended.
    std::thread::sleep(Duration::from_millis(2100));
    let of_after = open(&after);
    fs::write(after.join("code/data/edited"), "EDITED\n").unwrap();
    assert_eq!(folder_of(&project, &[]), after);
    assert_eq!(listed(&fresh), listed(&after));
    assert_eq!(places(&of_after)[0], 1);

    // Somebody else's entry makes it another folder than the one that is known, as does a copy of it.
    std::thread::sleep(Duration::from_millis(2100));
    fs::remove_file(after.join("code/link")).unwrap();
    project.write("changing", "three");
    let last = folder_of(&project, &[]);
    assert_eq!(places(&of_after), [0; 3]);
    let fresh = folder_of(&project, &["--build-folder", fresh.to_str().unwrap()]);
    assert_eq!(listed(&fresh), listed(&last));
}

/// Root may move every folder but one that another file system is mounted on; others may not move what they may not write.
#[test]
fn a_build_folder_that_cannot_be_gone_on_from_is_in_nobodys_way() {
    let project = Project::hello();
    let staged = folder_of(&project, &[]);
    let (name, folders) = (staged.file_name().unwrap(), staged.parent().unwrap().parent().unwrap());
    let [other, immutable] = ["0123456789abcdef", "immutable"].map(|name| folders.join(name));
    fs::rename(staged.parent().unwrap(), &other).unwrap();
    fs::rename(other.join(name), &immutable).unwrap();
    let mount = |arguments: &[&str]| std::process::Command::new("mount").args(arguments).status();
    fs::create_dir(other.join(name)).unwrap();
    let place = other.join(name);
    let is_mounted =
        mount(&["--bind", immutable.to_str().unwrap(), place.to_str().unwrap()]).is_ok_and(|s| s.success());
    if !is_mounted {
        fs::remove_dir(&place).unwrap();
        fs::rename(&immutable, &place).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o555)).unwrap();
    }
    assert!(fs::rename(&place, &immutable).is_err(), "it can be moved: neither root that may mount, nor another user");
    project.write("changed", "x");
    let run = project.run(&["--dry-run", "--force-rebuild"]);
    if is_mounted {
        std::process::Command::new("umount").arg(&place).status().unwrap();
    } else {
        fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn a_link_among_the_build_folders_that_a_tree_brings_leads_to_nothing_that_is_touched() {
    let project = Project::hello();
    let staged = folder_of(&project, &[]);
    let (name, folders) = (staged.file_name().unwrap(), staged.parent().unwrap().parent().unwrap());
    let outside = project.root.parent().unwrap().join("outside");
    fs::create_dir_all(outside.join(name).join("code")).unwrap();
    fs::write(outside.join(name).join("code/thesis.txt"), "years of work").unwrap();
    std::os::unix::fs::symlink(&outside, folders.join("0123456789abcdef")).unwrap();
    fs::create_dir(folders.join("fedcba9876543210")).unwrap();
    std::os::unix::fs::symlink(outside.join(name), folders.join("fedcba9876543210").join(name)).unwrap();
    project.write("changed", "x");
    let before = folder_of(&project, &[]);
    assert_ne!(before, staged);
    assert_eq!(fs::read_to_string(outside.join(name).join("code/thesis.txt")).unwrap(), "years of work");

    // In the place of the very folder that is to be staged, and of all of them.
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for place in [before.parent().unwrap(), folders] {
        fs::remove_dir_all(place).unwrap();
        std::os::unix::fs::symlink(&outside, place).unwrap();
        let key = outside.join("0011223344556677");
        fs::create_dir_all(&key).unwrap();
        folder_of(&project, &[]);
        assert_eq!(fs::read_to_string(outside.join(name).join("code/thesis.txt")).unwrap(), "years of work");
        assert_eq!((mode(&outside), key.exists()), (0o755, true), "{}", place.display());
    }
}

#[test]
fn staged_times_come_from_path_and_content_alone() {
    let [one, two] = ["same", "same"].map(|text| {
        let project = Project::hello();
        project.write("code.txt", text);
        project
    });
    let list = |root: &Path| -> Vec<(PathBuf, i64, i64, u32)> {
        let entry = |path: PathBuf| {
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            (path.strip_prefix(root).unwrap().to_owned(), metadata.mtime(), metadata.mtime_nsec(), mode)
        };
        files(root).into_iter().map(entry).collect()
    };
    let before = list(&folder_of(&one, &[]));
    assert_eq!(before, list(&folder_of(&two, &[])), "equal trees are staged equally");
    let time_of = |list: &[(PathBuf, i64, i64, u32)], name: &str| {
        list.iter()
            .find(|(path, ..)| path == Path::new(name))
            .map(|(_, seconds, nanoseconds, _)| (*seconds, *nanoseconds))
            .unwrap()
    };
    two.write("code.txt", "else");
    let after = list(&folder_of(&two, &[]));
    assert_ne!(time_of(&before, "code/code.txt"), time_of(&after, "code/code.txt"));
    assert_eq!(time_of(&before, "code/hello/src/main.rs"), time_of(&after, "code/hello/src/main.rs"));
    let code: Vec<_> = before.iter().filter(|(path, ..)| path.starts_with("code")).collect();
    let times: std::collections::BTreeSet<_> =
        code.iter().map(|(_, seconds, nanoseconds, _)| (seconds, nanoseconds)).collect();
    assert_eq!(times.len(), code.len(), "two files share a time");
}

#[test]
fn modes_are_reduced_and_links_stay_links() {
    let project = Project::hello();
    project.write("bin/tool", "x").write("private", "x");
    fs::set_permissions(project.root.join("bin/tool"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::set_permissions(project.root.join("private"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("bin/tool", project.root.join("tool")).unwrap();
    let code = folder_of(&project, &[]).join("code");
    let mode = |name: &str| fs::symlink_metadata(code.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("bin/tool"), mode("private"), mode("bin")), (0o755, 0o644, 0o755));
    assert_eq!(fs::read_link(code.join("tool")).unwrap(), Path::new("bin/tool"));
}

#[test]
fn what_an_image_cannot_hold_is_refused_by_name() {
    let refused = |prepare: &dyn Fn(&Path), words: &[&str]| {
        let project = Project::hello();
        prepare(&project.root);
        project.run(&["--dry-run", "--force-rebuild"]).fails_with(1, words);
        assert!(!project.root.join("target").exists(), "something was left behind");
    };
    refused(
        &|root| std::os::unix::fs::symlink("/etc/passwd", root.join("out")).unwrap(),
        &["`out`", "/etc/passwd", "hint: "],
    );
    refused(&|root| std::os::unix::fs::symlink("../../x", root.join("hello/up")).unwrap(), &["`hello/up`"]);
    refused(&|root| drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap()), &["`socket`"]);
    refused(
        &|root| assert!(std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success()),
        &["`pipe`", "FIFO"],
    );
    refused(
        &|root| {
            use std::os::unix::ffi::OsStrExt as _;
            fs::write(root.join(std::ffi::OsStr::from_bytes(b"b\xffd")), "x").unwrap();
        },
        &["not UTF-8", "hint: "],
    );
}

#[test]
fn a_folder_that_holds_anything_else_is_refused_and_left_alone() {
    let project = Project::hello();
    let mine = project.root.parent().unwrap().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("thesis.txt"), "years of work").unwrap();
    let arguments = ["--dry-run", "--force-rebuild", "--build-folder", mine.to_str().unwrap()];
    project.run(&arguments).fails_with(2, &["thesis.txt", "hint: "]);
    assert_eq!(fs::read_to_string(mine.join("thesis.txt")).unwrap(), "years of work");

    fs::remove_file(mine.join("thesis.txt")).unwrap();
    project.ok(&arguments);
    project.ok(&arguments);
    fs::write(mine.join("code/hello/added"), "x").unwrap();
    project.run(&arguments).fails_with(2, &["code/hello"]);
    assert!(mine.join("code/hello/added").exists());
}

#[test]
fn deleted_files_do_not_linger_in_the_folder() {
    let project = Project::hello();
    project.write("extra/file", "x");
    assert!(folder_of(&project, &[]).join("code/extra/file").exists());
    fs::remove_dir_all(project.root.join("extra")).unwrap();
    assert!(!folder_of(&project, &[]).join("code/extra").exists());
}

#[test]
fn files_that_look_like_secrets_are_warned_of_in_one_line_unless_they_are_meant() {
    let project = Project::hello();
    project.write("runtime-image.toml", "version = \"1\"\n").write(".env", "PASSWORD=x");
    let quiet = |arguments: &[&str]| project.ok(&[&["tags", "-q"], arguments].concat()).stderr;
    assert_eq!(
        quiet(&[]),
        "warning: `.env` looks like a secret and would be in the image; name it in `.runtime-image-ignore`, or in \
         `allow-secrets` if it is meant\n"
    );
    for number in 10..40 {
        project.write(&format!("tests/{number}.key"), "");
    }
    let many = "warning: 31 files look like secrets and would be in the image: `.env`, `tests/10.key`, `tests/11.key` and 28 \
                more; name them in `.runtime-image-ignore`, or in `allow-secrets` if they are meant\n";
    for arguments in [&[][..], &["--allow-secret=*.key"], &["--kind=custom"]] {
        assert_eq!(quiet(arguments), many, "{arguments:?}");
    }
    assert!(quiet(&["--allow-secret", "tests"]).starts_with("warning: `.env` "));
    assert_eq!(quiet(&["--allow-secret", "tests/*.key", "--allow-secret=.env"]), "");

    let before = project.tags(&["--kind=custom"]);
    assert_eq!(project.tags(&["--kind=custom", "--allow-secret", "**"]), before);
    project.write("runtime-image.toml", "version = \"1\"\nallow-secrets = [\"**/*.key\"]\n");
    assert!(quiet(&["--kind=custom"]).starts_with("warning: `.env` "));
    project.write(".runtime-image-ignore", ".env\n");
    assert_eq!(quiet(&[]), "");
}
