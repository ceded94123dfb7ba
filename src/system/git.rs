//! What git says of the project: for labels and for names of caches, never for names of images.

use camino::Utf8Path;
use serde_json::Value;

use crate::system::command::{Capture, Command};
use crate::system::environment::variable;
use crate::system::interrupt::Interrupt;
use crate::system::reading;

const USUAL_DEFAULT_BRANCH: &str = "main";

/// The user of every repository at the services that are reached by ssh.
const USUAL_USER: &str = "git";

/// How a repository is reached over a network.
const SCHEMES: [&str; 8] = ["ftp", "ftps", "git", "git+ssh", "http", "https", "ssh", "ssh+git"];

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
    // What git says is read: its language is fixed.
    let command = ELSEWHERE.into_iter().fold(command.env("LC_ALL", "C"), Command::without_env);
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

    /// Where the sources come from, as everybody may know it.
    pub fn origin(&self) -> Option<String> {
        // The text as configured: `git remote get-url` rewrites it by each user's `insteadOf`.
        public_url(&self.git(&["config", "--get", "remote.origin.url"])?)
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

/// The URL of a repository as everybody may see it: host and path. Nothing where that is not sure, as for a helper that
/// git is to run, for a folder of this machine, and for a spelling that git may read in another way.
fn public_url(url: &str) -> Option<String> {
    let is_host = |host: &str| {
        let name = host.split_once(':').map_or(host, |(name, port)| if is_port(port) { name } else { "" });
        is_word(name) && name.len() > 1
    };
    // Some take it for a slash, and git does not.
    if url.contains('\\') {
        return None;
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        // A query or a fragment is no part of a repository's name.
        let rest = rest.split(['?', '#']).next().unwrap_or(rest);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let is_plain = SCHEMES.contains(&&*scheme.to_ascii_lowercase()) && is_host(host) && is_plain_path(path);
        return is_plain.then(|| format!("{}://{host}/{path}", scheme.to_ascii_lowercase()));
    }
    // As scp writes it. A user may be a token, but for the one that all have.
    let (host, path) = url.split_once(':')?;
    let (user, host) = host.rsplit_once('@').map_or(("", host), |(user, host)| (user, host));
    let user = if user == USUAL_USER { "git@" } else { "" };
    (is_word(host) && host.len() > 1 && is_plain_path(path)).then(|| format!("{user}{host}:{path}"))
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// Whether a text is a host's name, which begins with no `-` and holds no separator.
fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// Whether a path holds nothing that could part it from something else, such as credentials.
fn is_plain_path(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/%".contains(&byte))
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

    #[rstest]
    #[case("https://github.com/team/app.git", Some("https://github.com/team/app.git"))]
    #[case("HTTPS://user:hunter2@host:8443/team/app", Some("https://host:8443/team/app"))]
    #[case("https://hunter2@host/team/app", Some("https://host/team/app"))]
    #[case("https://a@b:hunter2@host/~user/x%20y", Some("https://host/~user/x%20y"))]
    #[case("https://host/x?private_token=hunter2", Some("https://host/x"))]
    #[case("https://host/x#hunter2", Some("https://host/x"))]
    #[case("https://host?hunter2", Some("https://host/"))]
    #[case("https://host#hunter2@x/y", Some("https://host/"))]
    #[case("https://user:hunter/2@host/x", None)]
    #[case("https://user/hunter2@host/x", None)]
    #[case("https://host/x;hunter2", None)]
    #[case("https://host/hunter2:x@host/y", None)]
    #[case("https://host\\@hunter2/x", None)]
    #[case("https://[::1]/x", None)]
    #[case("ssh://git@host:22/x", Some("ssh://host:22/x"))]
    #[case("git@github.com:team/app.git", Some("git@github.com:team/app.git"))]
    #[case("hunter2@host:team/app.git", Some("host:team/app.git"))]
    #[case("host:team/app.git", Some("host:team/app.git"))]
    #[case("user:hunter2@host:team/app.git", None)]
    #[case("hunter2@user@host:x", Some("host:x"))]
    #[case("git@host:x?hunter2", None)]
    #[case("git@host:x#hunter2", None)]
    #[case("ext::sh -c 'connect hunter2 %S'", None)]
    #[case("helper::https://user:hunter2@host/x", None)]
    #[case("helper::https://host/x?y=hunter2", None)]
    #[case("helper://hunter2/x", None)]
    #[case("file:///home/hunter2/x", None)]
    #[case("/home/hunter2:x/y", None)]
    #[case("./hunter2:x", None)]
    #[case("../hunter2", None)]
    #[case("~/hunter2", None)]
    #[case("C:/hunter2", None)]
    #[case("C:\\hunter2", None)]
    #[case("--upload-pack=hunter2:x", None)]
    #[case("https://-host/hunter2", None)]
    #[case("https://host/x\nhunter2", None)]
    fn a_url_is_told_without_what_may_be_secret(#[case] url: &str, #[case] expected: Option<&str>) {
        assert_eq!(public_url(url).as_deref(), expected);
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
