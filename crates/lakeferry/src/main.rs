//! The `lakeferry` command: reads arguments and settings, wires the parts, prints what they say.

mod arenas;
mod arguments;
mod commands;
mod daemon;
mod differing;
mod display;
mod exit;
mod interrupt;
mod log;
mod output;
mod share;
mod system_clock;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::{arguments::Arguments, output::Output};

fn main() -> ExitCode {
    arenas::limit();
    let arguments = Arguments::parse();
    log::init(&arguments);
    let output = Output::new(arguments.output, arguments.command.name());
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return output.failed(&exit::Trouble::environment(error.into())),
    };
    let result = runtime.block_on(Box::pin(commands::execute(&arguments)));
    // A reader that still waits for storage must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(done) => output.done(&done),
        Err(trouble) => output.failed(&trouble),
    }
}
