//! What git says of the project: for labels and for names of caches, never for names of images.

use camino::Utf8Path;

use crate::process::{Capture, Command, Interrupt};

/// Where a job of CI finds its branch, if the work tree is at a commit and not at a branch.
const BRANCH_VARIABLES: [&str; 3] = ["GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME"];
const USUAL_DEFAULT_BRANCH: &str = "main";

/// A work tree, or a folder that is none: then nothing is known.
#[derive(Debug, Clone, Copy)]
pub struct WorkTree<'a> {
    /// The folder.
    pub folder: &'a Utf8Path,
    /// Ends git when the program is to end.
    pub interrupt: &'a Interrupt,
}

impl WorkTree<'_> {
    /// The commit, with `-dirty` where the work tree differs from it.
    pub fn revision(&self) -> Option<String> {
        self.git(&["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])
    }

    /// Where the sources come from, without credentials.
    pub fn origin(&self) -> Option<String> {
        let url = self.git(&["remote", "get-url", "origin"])?;
        match url.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = authority.rsplit('@').next().unwrap_or(authority);
                Some(format!("{scheme}://{host}/{path}"))
            }
            None => Some(url).filter(|url| url.contains(':')),
        }
    }

    /// The branch.
    pub fn branch(&self) -> Option<String> {
        let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
        self.git(&["symbolic-ref", "--quiet", "--short", "HEAD"]).or_else(|| BRANCH_VARIABLES.iter().find_map(set))
    }

    /// The branch that the others come from.
    pub fn default_branch(&self) -> String {
        let head = self.git(&["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"]);
        let name = head.as_deref().and_then(|name| name.strip_prefix("origin/"));
        name.unwrap_or(USUAL_DEFAULT_BRANCH).to_owned()
    }

    fn git(&self, arguments: &[&str]) -> Option<String> {
        let command = Command::new("git").in_folder(self.folder).args(arguments);
        let output = command.run(Capture::Both, self.interrupt).ok().filter(|output| output.success)?;
        Some(output.stdout.trim().to_owned()).filter(|text| !text.is_empty())
    }
}
