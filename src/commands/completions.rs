//! `completions`: a script that completes this command in a shell, also where Cargo calls it.

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell as Generator;

use crate::error::{Error, Result};

/// The file's name on PATH, by which Cargo finds it.
const PROGRAM: &str = "cargo-runtime-image";
/// Completes `cargo runtime-image` too, which bash takes for words of `cargo`.
const THROUGH_CARGO: &str = include_str!("../templates/completions.bash");

/// For which shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell that is to read the script
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// The shells that there are scripts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// source <(cargo runtime-image completions bash)
    Bash,
    /// The file _cargo-runtime-image in a folder of fpath
    Zsh,
    /// The file cargo-runtime-image.fish in ~/.config/fish/completions
    Fish,
    /// A line of $PROFILE
    Powershell,
}

impl Completions {
    /// The script, for this command line.
    ///
    /// # Errors
    /// None that is known: the text of a script is made in memory.
    pub fn run(&self, command: Command) -> Result<String> {
        match self.shell {
            // A program with a dash in its name is not completed beyond its first word: clap_complete 4.6.11 spells
            // such a name in two ways.
            Shell::Bash => {
                Ok(format!("{}\n{THROUGH_CARGO}", script(Generator::Bash, command, &PROGRAM.replace('-', "_"))?))
            }
            // Cargo's own completion calls the function of this name.
            Shell::Zsh => script(Generator::Zsh, command, PROGRAM),
            // fish adds to what it knows of a command.
            Shell::Fish => {
                let cargo = Command::new("cargo").subcommand(command.name("runtime-image").bin_name("runtime-image"));
                script(Generator::Fish, cargo.disable_help_flag(true).disable_help_subcommand(true), "cargo")
            }
            Shell::Powershell => script(Generator::PowerShell, command, PROGRAM),
        }
    }
}

fn script(generator: Generator, mut command: Command, program: &str) -> Result<String> {
    let mut text = Vec::new();
    clap_complete::generate(generator, &mut command, program, &mut text);
    let text = String::from_utf8(text);
    text.map_err(|error| Error::failed("the completion script is not UTF-8").because(error))
}
