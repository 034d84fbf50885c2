//! Counts the instructions of a bench that runs itself again under callgrind.

use std::env;
use std::fs;
use std::process::{Command, Stdio};

/// Those that this executable takes in the functions whose names match, when it is run with these words.
pub(crate) fn count(functions: &str, words: &[&str]) -> u64 {
    let file = format!(
        "{}/callgrind.{}",
        env!("CARGO_TARGET_TMPDIR"),
        words.join(".")
    );
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect={functions}"))
        .arg(format!("--callgrind-out-file={file}"))
        .arg(env::current_exe().expect("a bench knows its own file"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("valgrind is installed");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "valgrind failed: {log}");
    let profile = fs::read_to_string(&file).expect("callgrind wrote its file");
    let totals = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    let totals = totals.and_then(|number| number.trim().parse().ok());
    totals.expect("a callgrind file has totals")
}
