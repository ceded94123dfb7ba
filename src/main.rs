//! `cargo runtime-image`: argv -> run -> exit code.

use std::process::ExitCode;
use std::time::Instant;

use runtime_image::cli::Arguments;
use runtime_image::system::terminal::tell_of_panics;

fn main() -> ExitCode {
    let started = Instant::now();
    tell_of_panics();
    let arguments = Arguments::from_env();
    let terminal = arguments.terminal();
    match arguments.run(&terminal, started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
