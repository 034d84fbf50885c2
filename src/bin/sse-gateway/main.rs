//! The gateway in front of an event stream service: what it was told to do, and then doing it.

mod admin;
mod cli;
mod config;
mod demo;
mod expect;
mod failure;
mod gateway;
mod headers;
mod last_event_id;
mod log;
mod proxy;
mod recorder;
mod request_body;
mod response_body;
mod router;
mod server;
mod shutdown;
mod stack;
mod stop;
mod streams;
mod upgrade;
mod upstream;

use std::io::Write as _;
use std::process::ExitCode;

use cli::Command;
use config::Error;

fn main() -> ExitCode {
    match cli::command().and_then(obey) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sse-gateway: {error}");
            ExitCode::from(2)
        }
    }
}

fn obey(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Run(config) => gateway::run(config),
        Command::Demo(config) => gateway::run_demo(config),
        Command::Check(report) => {
            // A reader that has seen enough (`| head`) is no failure.
            let _ = std::io::stdout().write_all(report.as_bytes());
            Ok(ExitCode::SUCCESS)
        }
    }
}
