//! `man`: the manual page, or a page for each subcommand.

use camino::Utf8PathBuf;
use clap::{Args, Command};

use crate::error::{Context as _, Error, Result};
use crate::system::terminal::one_line;

const PROGRAM: &str = "cargo-runtime-image";

/// Where to.
#[derive(Debug, Args)]
pub struct Man {
    /// Folder for the pages, one for each command [default: the main page on stdout]
    #[arg(value_name = "DIR")]
    folder: Option<Utf8PathBuf>,
}

impl Man {
    /// The page, or the names of the pages that were written.
    ///
    /// # Errors
    /// When a page cannot be written.
    pub fn run(&self, command: Command) -> Result<String> {
        // A page's name has no blank, and is what `cargo help runtime-image` asks for.
        let command = command.bin_name(PROGRAM);
        let Some(folder) = &self.folder else { return page(command) };
        let cannot = || format!("cannot write the manual pages to `{folder}`");
        std::fs::create_dir_all(folder).context(cannot)?;
        clap_mangen::generate_to(command, folder).context(cannot)?;
        let pages = folder.read_dir_utf8().context(cannot)?.filter_map(std::result::Result::ok);
        let mut pages: Vec<String> =
            pages.map(|page| one_line(page.path().as_str())).filter(|page| is_page(page)).collect();
        pages.sort();
        Ok(pages.join("\n"))
    }
}

fn is_page(path: &str) -> bool {
    path.ends_with(".1") && path.rsplit('/').next().is_some_and(|name| name.starts_with(PROGRAM))
}

fn page(command: Command) -> Result<String> {
    let mut text = Vec::new();
    let cannot = || "cannot make the manual page".to_owned();
    clap_mangen::Man::new(command).render(&mut text).context(cannot)?;
    let text = String::from_utf8(text);
    Ok(text.map_err(|error| Error::failed(cannot()).because(error))?.trim_end().to_owned())
}
