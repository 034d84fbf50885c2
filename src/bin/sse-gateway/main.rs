//! The gateway in front of an event stream service: what it was told to do, and then doing it.

mod cli;
mod config;

use std::io::Write as _;
use std::process::ExitCode;

use cli::Command;
use config::{Config, Error};

fn main() -> ExitCode {
    let done = cli::command().and_then(|command| match command {
        Command::Run(config) => run(config),
        Command::Demo(config) => demo(config),
        Command::Check(report) => {
            // A reader that has seen enough (`| head`) is no failure.
            let _ = std::io::stdout().write_all(report.as_bytes());
            Ok(())
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sse-gateway: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(config: Config) -> Result<(), Error> {
    let _ = Config::route;
    println!("would listen on {}", config.listen);
    Ok(())
}

fn demo(config: Config) -> Result<(), Error> {
    println!("would show the demo on {}", config.listen);
    Ok(())
}
