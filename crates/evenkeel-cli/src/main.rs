//! The evenkeel command line: reads arguments, runs one verb, prints errors in one place.
//!
//! No maths and no defaults live here: recipes, models and trainers are evenkeel-core's, devices are evenkeel-kernels'.

#![forbid(unsafe_code)]

mod args;
mod clock;
mod cmd;
mod data_file;
mod device;
mod event_log;
mod failure;
mod files;
mod listener;
mod memory;
mod model_folder;
mod output;
mod progress;
mod report;
mod run_folder;
mod sampling;
mod settings;
mod signals;
mod sources;
mod store;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    failure::install_panic_hook();
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are "errors" of clap with code 0; usage errors have code 2.
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    match cmd::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failure::report(&e),
    }
}
