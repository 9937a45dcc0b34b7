//! What `lakeferry demo` shows: a Postgres, a Delta table that changes every second, `lakeferry
//! sync` after each commit, and a reader who measures when the rows are there.
//!
//! A program of its own, so that the product does not link what it needs: the writer of Delta
//! tables and the throwaway servers of the tests. It knows nothing of the product but its commands.

mod arguments;
mod interrupt;
mod lags;
mod lake;
mod live;
mod orders;
mod play;
mod postgres;
mod product;
mod reader;
mod screen;
mod tally;
mod writer;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{arguments::Arguments, interrupt::Interrupt, screen::Screen};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let screen = Screen::new(arguments.output);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return screen.failed(&error.into()),
    };
    let ended = runtime.block_on(Box::pin(async {
        let interrupt = Interrupt::listen()?;
        match &arguments.write {
            Some(folder) => writer::write(folder, &arguments, &screen, &interrupt).await,
            None => play::play(&arguments, &screen, &interrupt).await,
        }
    }));
    // Rows that are still generated must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(ended) => screen.ended(&ended),
        Err(error) => screen.failed(&error),
    }
}
