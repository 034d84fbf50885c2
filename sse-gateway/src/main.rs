//! The gateway in front of an event stream service: what it was told to do, and then doing it.

mod admin;
mod answer;
mod circle;
mod claims;
mod cli;
mod client_address;
mod client_body;
mod client_io;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod descriptors;
mod expect;
mod failure;
mod first_bytes;
mod gateway;
mod headers;
mod hold;
mod last_event_id;
mod limiter;
mod log;
mod log_queue;
mod no_answer;
mod proxy;
mod recorder;
mod relays;
mod request_body;
mod response_body;
mod router;
mod server;
mod shown_path;
mod shutdown;
mod stack;
mod stop;
mod streams;
mod target;
mod trust;
mod trusted_proxies;
mod unless;
mod upgrade;
mod upstream;
mod upstream_side;
mod via;

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
        Command::Run(config, opening) => gateway::run(config, &opening),
        #[cfg(feature = "demo")]
        Command::Demo(config, opening) => demo::run(config, &opening),
        Command::Check(report) => {
            // A reader that has seen enough (`| head`) is no failure.
            let _ = std::io::stdout().write_all(report.as_bytes());
            Ok(ExitCode::SUCCESS)
        }
    }
}
