//! What git says of the project: for labels and for names of caches, never for names of images.

use camino::Utf8Path;
use serde_json::Value;

use crate::system::command::{Capture, Command};
use crate::system::environment::variable;
use crate::system::interrupt::Interrupt;
use crate::system::reading;

const USUAL_DEFAULT_BRANCH: &str = "main";

/// What points git at another repository, or at other files of it. Hooks and wrappers of git set such variables.
const ELSEWHERE: [&str; 13] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
    "GIT_INDEX_FILE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
];

/// git, asked about a folder whatever the environment says. It runs no program that the configuration of a repository
/// names, for a repository in the tree can be anybody's.
pub fn git(folder: &Utf8Path) -> Command {
    let command = Command::new("git").in_folder(folder).args([
        "--no-optional-locks",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=",
    ]);
    let command = ELSEWHERE.into_iter().fold(command, Command::without_env);
    // Without this, `core.worktree` of the repository may say that its files lie elsewhere.
    match work_tree_of(folder) {
        Some(work_tree) => command.env("GIT_WORK_TREE", work_tree.as_str()),
        None => command,
    }
}

/// The top of the git work tree that `folder` lies in.
pub fn work_tree_of(folder: &Utf8Path) -> Option<&Utf8Path> {
    folder.ancestors().find(|folder| folder.join(".git").is_file() || folder.join(".git/HEAD").exists())
}

/// Whether `folder` is a further work tree of a repository, as `git worktree add` makes it: another state of a project
/// that has its files elsewhere. Its repository's folder alone holds `commondir`.
pub fn is_further_work_tree(folder: &Utf8Path) -> bool {
    let file = folder.join(".git");
    let text = reading::text(&file).unwrap_or_default();
    let repository = text.strip_prefix("gitdir: ").map(|path| folder.join(path.trim_end()));
    repository.is_some_and(|repository| repository.join("commondir").is_file())
}

/// A folder to ask git about. Of a folder outside any work tree nothing is known.
#[derive(Debug, Clone, Copy)]
pub struct WorkTree<'a> {
    /// The folder.
    pub folder: &'a Utf8Path,
    /// Ends git when the program is to end.
    pub interrupt: &'a Interrupt,
}

impl WorkTree<'_> {
    /// The commit, with `-dirty` where the work tree differs from it. Submodules are not looked into, and no filter
    /// that the repository names is run.
    pub fn revision(&self) -> Option<String> {
        let commit = self.git(&["rev-parse", "--verify", "--quiet", "HEAD"])?;
        let filters = self.git(&["config", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process|required)$"]);
        let filters = filters.unwrap_or_default();
        let without = filters.lines().flat_map(|name| {
            ["-c".to_owned(), format!("{name}={}", if name.ends_with("required") { "false" } else { "" })]
        });
        let status = ["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all"];
        let command = git(self.folder).args(without).args(status);
        let output = command.run(Capture::Both, self.interrupt).ok().filter(|output| output.success)?;
        let dirty = if output.stdout.trim().is_empty() { "" } else { "-dirty" };
        Some(format!("{commit}{dirty}"))
    }

    /// Where the sources come from, without credentials.
    pub fn origin(&self) -> Option<String> {
        // The text as configured: `git remote get-url` rewrites it by each user's `insteadOf`.
        let url = self.git(&["config", "--get", "remote.origin.url"])?;
        match url.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = authority.rsplit('@').next().unwrap_or(authority);
                Some(format!("{scheme}://{host}/{path}"))
            }
            None => Some(url).filter(|url| url.contains(':')),
        }
    }

    /// The current branch, as git or the job of CI knows it.
    pub fn branch(&self) -> Option<String> {
        self.git(&["symbolic-ref", "--quiet", "--short", "HEAD"]).or_else(|| branch_of_job(&variable))
    }

    /// The repository's default branch.
    pub fn default_branch(&self) -> String {
        let head = self.git(&["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"]);
        let of_clone = head.as_deref().and_then(|name| name.strip_prefix("origin/")).map(str::to_owned);
        of_clone.or_else(|| default_branch_of_job(&variable)).unwrap_or_else(|| USUAL_DEFAULT_BRANCH.to_owned())
    }

    fn git(&self, arguments: &[&str]) -> Option<String> {
        let command = git(self.folder).args(arguments);
        let output = command.run(Capture::Both, self.interrupt).ok().filter(|output| output.success)?;
        Some(output.stdout.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

/// The branch of a job of GitHub or GitLab, whose work tree is at a commit. A tag is no branch.
fn branch_of_job(variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let at_github = || variable("GITHUB_REF_NAME").filter(|_| variable("GITHUB_REF_TYPE").as_deref() == Some("branch"));
    let at_gitlab = || variable("CI_COMMIT_REF_NAME").filter(|_| variable("CI_COMMIT_TAG").is_none());
    variable("GITHUB_HEAD_REF").or_else(at_github).or_else(at_gitlab)
}

/// The default branch that a job of CI is told, for its clone does not know it.
fn default_branch_of_job(variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    variable("CI_DEFAULT_BRANCH").or_else(|| {
        let event: Value =
            serde_json::from_str(&reading::text(Utf8Path::new(&variable("GITHUB_EVENT_PATH")?)).ok()?).ok()?;
        Some(event.get("repository")?.get("default_branch")?.as_str()?.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&[("GITHUB_HEAD_REF", "feat"), ("GITHUB_REF_NAME", "7/merge"), ("GITHUB_REF_TYPE", "branch")], Some("feat"))]
    #[case(&[("GITHUB_REF_NAME", "develop"), ("GITHUB_REF_TYPE", "branch")], Some("develop"))]
    #[case(&[("GITHUB_REF_NAME", "v1"), ("GITHUB_REF_TYPE", "tag")], None)]
    #[case(&[("CI_COMMIT_REF_NAME", "develop")], Some("develop"))]
    #[case(&[("CI_COMMIT_REF_NAME", "v1"), ("CI_COMMIT_TAG", "v1")], None)]
    fn a_job_of_ci_tells_its_branch(#[case] set: &[(&str, &str)], #[case] expected: Option<&str>) {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        assert_eq!(branch_of_job(&variable).as_deref(), expected);
    }

    #[test]
    fn a_job_of_ci_tells_the_default_branch() {
        let event = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(&event, r#"{"repository":{"default_branch":"trunk"}}"#).expect("written");
        let path = event.path().display().to_string();
        assert_eq!(
            default_branch_of_job(&|name| (name == "GITHUB_EVENT_PATH").then(|| path.clone())).as_deref(),
            Some("trunk")
        );
        assert_eq!(
            default_branch_of_job(&|name| (name == "CI_DEFAULT_BRANCH").then(|| "develop".to_owned())).as_deref(),
            Some("develop")
        );
        assert_eq!(default_branch_of_job(&|_| None), None);
    }
}
