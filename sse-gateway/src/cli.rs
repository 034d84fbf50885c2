//! The command line: one flag for each setting, and the subcommands `demo`, `check`, `completions` and `man`.
//!
//! clap reads the flags as plain text and prints the help; what a value means is decided in `config`, so that a flag, a
//! variable and a line of a file are read, and refused, in the same way.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use clap_complete::Shell;

use crate::config::setting::{Bare, Setting};
use crate::config::{
    Config, Error, File, LogFilter, Opening, Place, Reread, Sources, Values, known, report,
    variables,
};
#[cfg(feature = "demo")]
use crate::{config::FreePorts, demo};

mod manual;

/// What the gateway was asked to do.
pub(crate) enum Command {
    /// Serve, as `sse-gateway --upstream URL`.
    Run(Box<Config>, Opening, Option<Box<Reread>>),
    /// Serve the demo, whose upstream takes the place of the one given here; with gateways that share streams, if there is a store.
    #[cfg(feature = "demo")]
    Demo(Box<Config>, Opening, FreePorts, Option<Box<Config>>),
    /// Print this: the settings and routes that the given file leads to, what a shell completes, or the manual.
    Print(Vec<u8>),
}

/// Reads this process's arguments and environment. Prints and exits by itself for `--help`, `--version` and arguments
/// that are no flags of ours.
///
/// # Errors
///
/// When a value is bad, when the file cannot be read or holds a mistake, or when there is no upstream.
pub(crate) fn command() -> Result<Command, Error> {
    read(&parser().get_matches(), std::env::vars_os().collect())
}

fn read(matches: &ArgMatches, environment: Vec<(OsString, OsString)>) -> Result<Command, Error> {
    let variables = Values::from_environment(&known::ALL, &environment)?;
    let log_filter = LogFilter::from_environment(&environment)?;
    match matches.subcommand() {
        #[cfg(feature = "demo")]
        Some(("demo", matches)) => {
            let flags = flags(matches)?;
            let mut sources = Sources {
                flags,
                variables,
                file: demo::settings()?,
                log_filter,
            };
            let nodes = demo::settings_of_nodes::take(&mut sources)?;
            let config = Config::resolve(&sources)?;
            let opening = Opening::of(&sources, &config);
            let free_ports = FreePorts::for_defaults(&sources);
            Ok(Command::Demo(
                Box::new(config),
                opening,
                free_ports,
                nodes.map(Box::new),
            ))
        }
        Some(("check", matches)) => {
            let flags = flags(matches)?;
            // clap has seen to it that FILE is there.
            let path = matches
                .get_one::<PathBuf>("FILE")
                .map_or(Path::new(""), PathBuf::as_path);
            let sources = Sources {
                flags,
                variables,
                file: File::read(path)?,
                log_filter,
            };
            let config = Config::resolve(&sources)?;
            let report = report::of(&sources, &config, path);
            Ok(Command::Print(report.into_bytes()))
        }
        Some(("completions", matches)) => {
            let shell = matches.get_one::<Shell>("SHELL");
            Ok(Command::Print(shell.map_or_else(Vec::new, |shell| {
                manual::completions(*shell)
            })))
        }
        Some(("man", _)) => Ok(Command::Print(manual::page())),
        _ => {
            let flags = flags(matches)?;
            let named = matches.get_one::<PathBuf>("config").cloned();
            let path = named.or_else(|| variables::config_file(&environment));
            let file = match &path {
                Some(path) => File::read(path)?,
                None => File::default(),
            };
            let sources = Sources {
                flags,
                variables,
                file,
                log_filter,
            };
            let config = Config::resolve(&sources)?;
            let opening = Opening::of(&sources, &config);
            let reread = path.map(|path| Box::new(Reread::new(sources, path)));
            Ok(Command::Run(Box::new(config), opening, reread))
        }
    }
}

fn flags(matches: &ArgMatches) -> Result<Values, Error> {
    let mut flags = Values::default();
    for setting in known::ALL.iter() {
        // `demo` has no `--upstream`: to ask for a flag that is not declared would be an error.
        if let Ok(Some(texts)) = matches.try_get_many::<String>(setting.name) {
            let texts: Vec<_> = texts.map(String::as_str).collect();
            flags.insert(setting, texts.join(","), Place::Flag(setting.flag()))?;
        }
    }
    Ok(flags)
}

// ===== the parser =====

pub(crate) fn parser() -> clap::Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help_heading("Configuration")
        .help("The TOML file with settings and routes.");
    let file = Arg::new("FILE")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("The TOML file to check");
    let command = base("sse-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Makes server-sent event streams dependable, in front of any upstream.")
        .override_usage(USAGE)
        .after_help(AFTER_HELP)
        .args(known::ALL.iter().map(flag))
        .arg(config)
        .args_conflicts_with_subcommands(true)
        .subcommand(
            base("check")
                .about("Checks a configuration file and prints the settings and routes it leads to")
                .after_help(
                    "Flags and variables count as they do when the gateway starts: the answer is what \
                     would hold here.\nThe exit code is 0 when the file is right and 2 when it is not.",
                )
                .arg(file)
                .args(known::ALL.iter().map(flag)),
        )
        .subcommand(
            base("completions")
                .about("Prints what a shell needs to complete flags")
                .after_help("For bash: sse-gateway completions bash > /etc/bash_completion.d/sse-gateway")
                .arg(
                    Arg::new("SHELL")
                        .required(true)
                        .value_parser(value_parser!(Shell))
                        .help("The shell"),
                ),
        )
        .subcommand(
            base("man")
                .about("Prints the manual page")
                .after_help("To read it: sse-gateway man | man -l -"),
        );
    #[cfg(feature = "demo")]
    let all_but_upstream = known::ALL
        .iter()
        .filter(|setting| setting.name != Setting::upstream().name);
    #[cfg(feature = "demo")]
    let command = command
        .subcommand(
            base("demo")
                .about("Shows what the gateway does: an upstream, the gateway and a page to try it")
                .after_help(
                    "Variables count as they do for the gateway; no file is read. Where a default port is in \
                     use,\nthe demo takes a free one and says which. With --store it shows two gateways more, which \
                     share\nstreams by that Redis server, and can be killed.",
                )
                .args(all_but_upstream.map(flag)),
        )
        .override_usage(format!("{USAGE}\n       sse-gateway demo [OPTIONS]"))
        .after_help(format!(
            "{AFTER_HELP}\n\nSee it without any upstream: sse-gateway demo"
        ));
    command
}

fn base(name: &'static str) -> clap::Command {
    clap::Command::new(name).next_line_help(true)
}

fn flag(setting: &'static Setting) -> Arg {
    let help = match setting.default {
        Some(default) => format!("{} [default: {default}]", setting.about),
        None => setting.about.to_owned(),
    };
    let action = match setting.bare {
        Bare::Lists => ArgAction::Append,
        _ => ArgAction::Set,
    };
    Arg::new(setting.name)
        .action(action)
        .long(setting.flag().trim_start_matches('-').to_owned())
        .value_name(setting.form)
        .allow_negative_numbers(true)
        .help_heading(setting.heading)
        .help(help)
}

const USAGE: &str = "\
sse-gateway --upstream URL [OPTIONS]
       sse-gateway check FILE";

const AFTER_HELP: &str = "\
Times have a unit (500ms, 15s, 2h 30m), sizes too (64KiB, 1MiB).

Each flag is also a variable and a key of the file: --drain-window is SSE_GATEWAY_DRAIN_WINDOW and
drain_window. A flag wins over a variable, a variable over the file; an empty variable counts as not set.
A [[route]] of the file may have settings of its own, and they win for what it matches:

    upstream = \"http://127.0.0.1:5000\"

    [[route]]
    path = \"/v1/chat\"             # or pattern = \"/users/*/events\"
    methods = [\"POST\"]
    upstream = \"h2c://127.0.0.1:8000\"
    heartbeat = \"5s\"";

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "demo")]
    use crate::config::{Bound, Relayed};

    #[test]
    fn the_parser_is_consistent() {
        parser().debug_assert();
    }

    #[cfg(feature = "demo")]
    fn demo(flags: &[&str]) -> Result<Config, Error> {
        let arguments = ["sse-gateway", "demo"].iter().chain(flags);
        let matches = parser().get_matches_from(arguments);
        match read(&matches, Vec::new()) {
            Ok(Command::Demo(config, ..)) => Ok(*config),
            Ok(_) => panic!("no demo"),
            Err(error) => Err(error),
        }
    }

    #[cfg(feature = "demo")]
    #[test]
    fn the_demo_shares_one_route_and_resumes_another() {
        let config = demo(&[]).expect("the settings are right");
        let routes = config.routes.iter().chain(&config.fallback);
        let relayed = routes.map(|route| (route.name.as_str(), &route.relayed));
        let path = "path".parse().expect("a key");
        assert_eq!(
            relayed.collect::<Vec<_>>(),
            [
                ("/news", &Relayed::Shared(path)),
                ("/tokens", &Relayed::Resumable(Bound::default())),
                ("default", &Relayed::No),
            ]
        );
    }

    #[cfg(feature = "demo")]
    #[test]
    fn flags_win_over_the_demos_settings() {
        let config = demo(&["--heartbeat", "2s"]).expect("the flag is right");
        for route in config.routes.iter().chain(&config.fallback) {
            let heartbeat = route.settings.heartbeat;
            assert_eq!(heartbeat, Some(std::time::Duration::from_secs(2)));
        }
    }
}
