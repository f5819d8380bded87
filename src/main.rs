//! The `rowhook` command.

use std::process::ExitCode;

use clap::Parser as _;
use rowhook::ops::cli::Cli;

/// What one thread makes another one drops, all the time: the system's allocator takes a lock for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages: a few bytes in use keep 2 MiB, which doubles what a daemon of
    // this size takes and makes nothing faster. An old kernel without the switch does no harm.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
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
