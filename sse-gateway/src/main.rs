//! The gateway in front of an event stream service: what it was told to do, and then doing it.

mod admin;
mod answer;
mod body;
mod cli;
mod client;
mod coding;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod descriptors;
mod fields;
mod gateway;
mod lean;
mod listener;
mod listening;
mod log;
mod otel;
mod policy;
mod proxy;
mod reload;
mod renewal;
mod shutdown;
mod stack;
mod state;
mod stop;
mod supervisor;
mod workers;

use std::io::Write as _;
use std::process::ExitCode;

use cli::Command;
use config::Error;

/// Gives memory back when a crowd of streams has gone; the C library's keeps what it had at the peak.
#[cfg(all(feature = "jemalloc", not(target_env = "msvc")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
        Command::Run(config, opening, reread) => {
            gateway::run(*config, &opening, reread.map(|reread| *reread))
        }
        #[cfg(feature = "demo")]
        Command::Demo(config, opening, free_ports, nodes) => {
            demo::run(*config, &opening, free_ports, nodes.map(|nodes| *nodes))
        }
        Command::Print(text) => {
            // A reader that has seen enough (`| head`) is no failure.
            let _ = std::io::stdout().write_all(&text);
            Ok(ExitCode::SUCCESS)
        }
    }
}
