//! Each row of the tables in SECURITY.md names a test, and that test is there.

use std::fs;
use std::path::Path;

/// The tests that a cell names: a file and what is in it, as in "`sse-gateway/relay/trust`: `one`, `two`".
fn named(cell: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    cell.split("; ").map(|part| {
        let (file, tests) = part.split_once(": ").expect("a file and its tests");
        let names = tests.split(", ").map(|name| name.trim_matches('`'));
        (file.trim_matches('`'), names.collect())
    })
}

#[test]
fn each_row_has_a_test() {
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = gateway.parent().expect("the workspace");
    let text = fs::read_to_string(root.join("SECURITY.md")).expect("SECURITY.md");
    let mut rows = 0;
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, situation, _, tests, _] = cells[..] else {
            panic!("three cells: {row}");
        };
        if situation == "situation" || situation.starts_with("**") {
            continue;
        }
        rows += 1;
        for (file, names) in named(tests) {
            let path = match file.strip_prefix("sse-gateway/") {
                Some(file) => gateway.join("tests").join(file),
                None => root.join("tests").join(file),
            };
            let path = path.with_extension("rs");
            let source = fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {file}: {row}"));
            for name in names {
                let begin = format!("fn {name}(");
                assert!(source.contains(&begin), "no {name} in {file}");
            }
        }
    }
    assert!(rows > 30, "{rows} rows");
}
