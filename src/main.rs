//! `cargo runtime-image`: argv -> run -> exit code.

use std::process::ExitCode;
use std::time::Instant;

use runtime_image::builder::choose::{new_builder, with_base_digest};
use runtime_image::cli::{Action, Arguments, MessageFormat};
use runtime_image::error::Result;
use runtime_image::project::find::Found;
use runtime_image::run::Run;
use runtime_image::system::interrupt::Interrupt;
use runtime_image::system::terminal::Terminal;

fn main() -> ExitCode {
    let arguments = Arguments::from_env();
    let terminal = Terminal::new(arguments.surroundings.verbosity(), arguments.surroundings.color);
    match run(arguments, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(arguments: Arguments, terminal: &Terminal) -> Result<()> {
    let Arguments { action, settings, surroundings, buildx_args, .. } = arguments;
    let started = Instant::now();
    let interrupt = Interrupt::on_signals()?;
    let found = Found::find(settings.kind, surroundings.cargo_call(), &interrupt)?;
    let options = found.options(settings, buildx_args, terminal)?;
    let builder = new_builder(&options, terminal, &interrupt)?;
    let options = with_base_digest(options, &*builder)?;
    let run = Run::new(&found, &options, terminal, &interrupt, started)?;
    let json = surroundings.message_format == MessageFormat::Json;
    let result = match action {
        Action::Tags if json => run.names().json(),
        Action::Tags => run.names().lines(),
        Action::Plan if json => run.plan(&*builder)?.json(),
        Action::Plan => run.plan(&*builder)?.lines(),
        Action::Build if json => run.build(&*builder)?.json(),
        Action::Build => run.build(&*builder)?.image,
    };
    terminal.result(&result)
}
