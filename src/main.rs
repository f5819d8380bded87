//! The `rowhook` command.

use std::process::ExitCode;

use clap::Parser as _;
use rowhook::ops::cli::Cli;

/// What one thread makes another one drops, all the time: the system's allocator takes a lock for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Reads FAILPOINTS.
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    let cli = Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("rowhook: {fault}");
            ExitCode::from(fault.exit_code())
        }
    }
}
