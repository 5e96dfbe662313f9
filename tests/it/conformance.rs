//! docs/conformance.md: every requirement names the test that holds it.

use std::{collections::BTreeMap, fs, path::Path};

fn read(path: &Path) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the tables whose last column is `test`.
fn rows(document: &str) -> Vec<Vec<String>> {
    let mut in_table = false;
    let mut rows = Vec::new();
    for line in document.lines() {
        let Some(inside) = line.strip_prefix('|').and_then(|line| line.trim_end().strip_suffix('|')) else {
            in_table = false;
            continue;
        };
        let cells: Vec<String> = inside.split(" | ").map(|cell| cell.trim().to_owned()).collect();
        if cells.last().is_some_and(|cell| cell == "test") {
            in_table = true;
        } else if in_table && !inside.trim_start().starts_with("---") {
            rows.push(cells);
        }
    }
    rows
}

/// The names between backticks: `file::test`.
fn tests(cell: &str) -> Vec<(String, String)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted
        .map(|name| name.rsplit_once("::").map(|(file, test)| (file.to_owned(), test.to_owned())).unwrap())
        .collect()
}

#[test]
fn every_requirement_has_a_test_that_exists() {
    let document = read(Path::new("docs/conformance.md"));
    let rows = rows(&document);
    assert!(rows.len() > 100, "{} rows", rows.len());
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for row in &rows {
        let [section, requirement, cell] = row.as_slice() else { panic!("three columns, not {row:?}") };
        let named = tests(cell);
        if named.is_empty() {
            missing.push(format!("§{section} {requirement}: no test"));
        }
        for (file, test) in named {
            let text = files.entry(file.clone()).or_insert_with(|| read(Path::new(&file)));
            let is_there = [format!("fn {test}("), format!("'{test}'"), format!("\"{test}\"")];
            if !is_there.iter().any(|form| text.contains(form)) {
                missing.push(format!("§{section} {requirement}: {file} has no test {test}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
