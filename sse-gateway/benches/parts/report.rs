//! What all tables have in common, and the lines that say what they rest on.

use super::{
    event::EVENT_BYTES,
    machine::Machine,
    options::{Offer, Options},
    target::Target,
};

/// Prints a table for Markdown; all columns but the first are numbers.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    println!("\n| | {} |", headings.join(" | "));
    println!("|---|{}", "---:|".repeat(headings.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

/// Prints how and where it was measured, with what only this bench has to say in the middle.
pub(crate) fn conditions<O: Offer>(machine: &Machine, options: &Options<O>, own: &str) {
    let Options {
        rounds,
        window,
        words,
        ..
    } = options;
    let features = if cfg!(feature = "jemalloc") {
        " --features jemalloc"
    } else {
        ""
    };
    println!(
        "\nEvents of {EVENT_BYTES} B over loopback, {rounds} × {} s each, targets in turn: median (lowest–highest). {own} \
         {machine}. `cargo bench -p sse-gateway{features} --bench {}{words}`",
        window.as_secs(),
        O::BENCH,
    );
    let left_out: Vec<&str> = O::Target::ALL
        .iter()
        .filter(|target| !options.targets.contains(target))
        .map(|target| target.name())
        .collect();
    if !left_out.is_empty() {
        println!("Left out by `--only`: {}.", left_out.join(", "));
    }
    println!();
}
