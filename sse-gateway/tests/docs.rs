//! The docs say what the code does: settings and metrics are compared, and links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_settings_page_has_each_flag_as_the_help_has_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_sse-gateway"))
        .arg("--help")
        .output()
        .expect("the gateway runs");
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    let page = read("docs/settings.md");
    let documented: Vec<_> = rows(&page)
        .filter(|cells| cells[0].starts_with("`--"))
        .map(|cells| cells.map(plain))
        .collect();
    let expected = flags(&help);
    for (row, flag) in documented.iter().zip(&expected) {
        assert_eq!(row, flag);
    }
    assert_eq!(documented.len(), expected.len());
}

#[test]
fn the_metrics_page_has_each_metric_of_the_code() {
    let mut in_code = BTreeSet::new();
    for folder in ["src", "sse-gateway/src"] {
        for source in files(&root().join(folder), "rs") {
            let text = fs::read_to_string(&source).expect("a source");
            in_code.extend(text.split('"').filter(|word| is_metric(word)).map(kind_of));
        }
    }
    let page = read("docs/metrics.md");
    let documented: Vec<_> = rows(&page)
        .filter(|cells| cells[0].starts_with("`sse_"))
        .map(|[name, kind, _]| (plain(name), kind.to_owned()))
        .collect();
    let unique: BTreeSet<_> = documented.iter().cloned().collect();
    assert_eq!(unique.len(), documented.len(), "each has one row");
    assert_eq!(unique, in_code);
}

#[test]
fn each_link_leads_to_a_file_or_heading() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for target in targets(&text) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => page.clone(),
                file => page.parent().expect("a folder").join(file),
            };
            let place = format!("{target} in {}", page.display());
            assert!(file.exists(), "no file: {place}");
            if !heading.is_empty() {
                let text = fs::read_to_string(&file).expect("a page");
                assert!(
                    anchors(&text).any(|anchor| anchor == heading),
                    "no heading: {place}"
                );
            }
            links += 1;
        }
    }
    assert!(links > 50, "{links} links");
}

fn root() -> &'static Path {
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR"));
    gateway.parent().expect("the workspace")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// The files below a folder whose names end so.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|ending| ending == extension) {
            found.push(path);
        }
    }
    found
}

/// What people read of the project.
fn pages() -> Vec<PathBuf> {
    let mut pages = files(&root().join("docs"), "md");
    for name in [
        "README.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "RELEASING.md",
        "CHANGELOG.md",
        "benches/README.md",
        "sse-gateway/README.md",
    ] {
        pages.push(root().join(name));
    }
    pages
}

/// The rows with three cells of a page's tables. `\|` is no border.
fn rows(page: &str) -> impl Iterator<Item = [String; 3]> {
    page.lines().filter_map(|line| {
        let line = line.strip_prefix("| ")?.strip_suffix('|')?;
        let line = line.replace("\\|", "\0");
        let cells = line.split('|').map(|cell| cell.trim().replace('\0', "|"));
        cells.collect::<Vec<_>>().try_into().ok()
    })
}

/// Without the marks of code.
fn plain(cell: String) -> String {
    cell.replace('`', "")
}

/// Flag with its form, default and sentence, in the order of the help.
fn flags(help: &str) -> Vec<[String; 3]> {
    let lines: Vec<_> = help.lines().map(str::trim).collect();
    let flags = lines.windows(2).filter(|lines| lines[0].starts_with("--"));
    flags
        .map(|lines| {
            let flag = lines[0].replace(['<', '>'], "");
            let (about, default) = lines[1]
                .trim_end_matches(']')
                .split_once(" [default: ")
                .unwrap_or((lines[1], ""));
            [flag, default.to_owned(), about.to_owned()]
        })
        .collect()
}

/// Whether this is the name of a metric, as all are written in the sources.
fn is_metric(word: &str) -> bool {
    let letters = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    word.starts_with("sse_") && word != "sse_gateway" && word.chars().all(letters)
}

/// A metric and its kind, which Prometheus' rules for names give away.
fn kind_of(name: &str) -> (String, String) {
    let kind = match name.rsplit('_').next() {
        Some("total") => "counter",
        Some("seconds") => "histogram",
        _ => "gauge",
    };
    (name.to_owned(), kind.to_owned())
}

/// The targets of a page's links that stay in the project.
fn targets(page: &str) -> impl Iterator<Item = &str> {
    let links = page.split("](").skip(1);
    links
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://"))
}

/// The anchors of a page's headings, as forges make them.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        words
            .chars()
            .filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    })
}
