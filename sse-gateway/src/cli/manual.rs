//! What is made of the parser for shells, and for `man`.

use clap_complete::Shell;
use clap_mangen::Man;

use super::parser;

/// What a shell reads to complete flags and subcommands.
pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut parser(), "sse-gateway", &mut text);
    text
}

/// The manual page, as roff.
pub(super) fn page() -> Vec<u8> {
    let mut text = Vec::new();
    // Nothing fails that is written to memory.
    let _ = Man::new(parser()).render(&mut text);
    text
}
