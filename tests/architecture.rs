//! Holds the shape of the house: which room may know which, what a room must not touch, what the tree must not hold.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests fail by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Every room, and the rooms that it may import. `*` stands for all.
const EDGES: &[(&str, &[&str])] = &[
    ("admin", &["issuer", "directory", "validator", "session", "model", "telemetry"]),
    ("app", &["*"]),
    (
        "cli",
        &[
            "app",
            "config",
            "store",
            "issuer",
            "validator",
            "directory",
            "lookup",
            "upstream",
            "tls",
            "admin",
            "proto",
            "token",
            "sample",
            "setup",
            "model",
            "telemetry",
        ],
    ),
    ("config", &["*"]),
    (
        "directory",
        &["upstream", "store", "token", "limits", "http", "lookup", "validator", "model", "telemetry"],
    ),
    ("http", &["model", "telemetry"]),
    ("issuer", &["token", "store", "directory", "limits", "model", "telemetry"]),
    ("limits", &["model"]),
    ("lookup", &["http", "store", "tls", "model", "telemetry"]),
    ("main", &["*"]),
    ("model", &[]),
    ("net", &["proto", "model", "telemetry"]),
    ("proto", &["model"]),
    ("relay", &["proto", "tls", "model", "telemetry"]),
    ("sample", &["proto", "tls", "model", "telemetry"]),
    (
        "session",
        &[
            "proto",
            "validator",
            "directory",
            "upstream",
            "relay",
            "tls",
            "net",
            "limits",
            "lookup",
            "model",
            "telemetry",
        ],
    ),
    ("setup", &["model"]),
    ("store", &["model", "telemetry"]),
    ("telemetry", &["model"]),
    ("tls", &["store", "model", "telemetry"]),
    ("token", &["model"]),
    ("upstream", &["proto", "tls", "net", "http", "lookup", "store", "token", "model", "telemetry"]),
    ("validator", &["token", "store", "http", "lookup", "model", "telemetry"]),
    ("web", &["issuer", "directory", "validator", "session", "setup", "model", "telemetry"]),
];

/// The one thing that `net` may take from `proto`.
const NET_FROM_PROTO: &str = "proxy_header";

/// Rooms without I/O, clock and environment.
const SANS_IO: &[&str] = &["limits", "proto", "setup", "token"];

/// Rooms that may name rustls: `tls` for connections, `token` for HPKE, the composition root for the provider.
const KNOW_RUSTLS: &[&str] = &["app", "main", "tls", "token"];

/// Longest source file in lines.
const LINES: usize = 500;

const BANNED: &[&str] = &["native-tls", "openssl-sys", "ring"];

/// One path of a source file, from the crate's root: `["model", "Secret"]`.
type Place = Vec<String>;

struct Source {
    /// From the top of the package.
    path: PathBuf,
    room: String,
    text: String,
    /// The text without comments, strings and character literals.
    code: String,
    /// Words and punctuation of `code`.
    tokens: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the tree but what is built, installed or belongs to the version control.
fn tree() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            let at_top = entry.path().parent() == Some(root());
            let is_installed = name == "node_modules" || name == ".venv" || name == "unpacked";
            if name == ".git" || is_installed || (at_top && (name == "target" || name == "Cargo.lock")) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<Source> {
    let sources: Vec<_> = tree().into_iter().filter_map(|file| Source::read(&file)).collect();
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

impl Source {
    fn read(file: &Path) -> Option<Self> {
        let path = file.strip_prefix(root()).unwrap();
        let inside = path.strip_prefix("src").ok()?;
        if path.extension()? != "rs" || inside == Path::new("lib.rs") {
            return None;
        }
        let first = inside.components().next()?.as_os_str().to_str()?;
        let text = fs::read_to_string(file).unwrap();
        let code = strip(&text);
        let tokens = tokens(&code);
        let room = first.trim_end_matches(".rs").to_owned();
        Some(Self { path: path.to_owned(), room, text, code, tokens })
    }

    /// How many modules lie between the crate's root and this file's items.
    fn depth(&self) -> usize {
        let names = self.path.with_extension("");
        names.components().skip(1).filter(|name| name.as_os_str() != "mod").count()
    }

    /// Paths into other rooms: `crate::…`, `bearward::…`, and `super::…` where it climbs to the root.
    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        // Braces that are open, and whether each is an inline module's.
        let mut braces: Vec<bool> = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let before = at.checked_sub(1).map_or("", |at| self.tokens[at].as_str());
            match token.as_str() {
                "{" => braces.push(at >= 2 && self.tokens[at - 2] == "mod"),
                "}" => drop(braces.pop()),
                "crate" | "bearward" if before != "::" => self.expand(at + 1, &mut Vec::new(), &mut places),
                "super" if before != "::" => {
                    let depth = self.depth() + braces.iter().filter(|is_module| **is_module).count();
                    let climbs = self.tokens[at..].chunks(2).take_while(|pair| pair[0] == "super").count();
                    if climbs >= depth {
                        self.expand(at + climbs * 2 - 1, &mut Vec::new(), &mut places);
                    }
                }
                _ => {}
            }
        }
        places
    }

    /// Follows `::a::{b, c::d}` from the token at `at`; returns the index behind it.
    fn expand(&self, mut at: usize, prefix: &mut Place, places: &mut Vec<Place>) {
        let token = |at: usize| self.tokens.get(at).map_or("", String::as_str);
        let start = prefix.len();
        while token(at) == "::" {
            at += 1;
            if token(at) == "{" {
                self.expand_group(at + 1, prefix, places);
                prefix.truncate(start);
                return;
            }
            prefix.push(token(at).to_owned());
            at += 1;
        }
        if prefix.len() > start {
            places.push(prefix.clone());
        }
        prefix.truncate(start);
    }

    fn expand_group(&self, mut at: usize, prefix: &mut Place, places: &mut Vec<Place>) {
        let mut depth = 1;
        let mut expects = true;
        while depth > 0 && at < self.tokens.len() {
            match self.tokens[at].as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => expects = true,
                name if expects && depth == 1 => {
                    prefix.push(name.to_owned());
                    let known = places.len();
                    self.expand(at + 1, prefix, places);
                    if places.len() == known {
                        places.push(prefix.clone());
                    }
                    prefix.pop();
                    expects = false;
                }
                _ => {}
            }
            at += 1;
        }
    }
}

/// Blanks comments, strings and character literals; keeps line ends.
fn strip(text: &str) -> String {
    let octets: Vec<char> = text.chars().collect();
    let at = |index: usize| octets.get(index).copied().unwrap_or('\0');
    let mut code = String::new();
    let mut index = 0;
    while index < octets.len() {
        let end = match (at(index), at(index + 1)) {
            ('/', '/') => (index..octets.len()).find(|&index| at(index) == '\n').unwrap_or(octets.len()),
            ('/', '*') => comment_end(&octets, index),
            ('r' | 'b' | 'c', _) if !code.ends_with(|last: char| last.is_alphanumeric() || last == '_') => {
                raw_end(&octets, index).unwrap_or(index)
            }
            ('"', _) => quoted_end(&octets, index),
            ('\'', '\\') => quoted_end(&octets, index),
            ('\'', _) if at(index + 2) == '\'' => index + 3,
            _ => index,
        };
        if end == index {
            code.push(at(index));
            index += 1;
            continue;
        }
        code.extend(octets[index..end].iter().filter(|octet| **octet == '\n'));
        code.push(' ');
        index = end;
    }
    code
}

fn comment_end(octets: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut index = start;
    loop {
        match octets.get(index..index + 2) {
            None => return octets.len(),
            Some(['/', '*']) => depth += 1,
            Some(['*', '/']) => depth -= 1,
            Some(_) => {
                index += 1;
                continue;
            }
        }
        index += 2;
        if depth == 0 {
            return index;
        }
    }
}

fn quoted_end(octets: &[char], start: usize) -> usize {
    let quote = octets[start];
    let mut index = start + 1;
    while index < octets.len() && octets[index] != quote {
        index += if octets[index] == '\\' { 2 } else { 1 };
    }
    (index + 1).min(octets.len())
}

/// The end of `r"…"`, `br#"…"#`, `b"…"`, `c"…"` or `b'…'`, or `None` when none begins here.
fn raw_end(octets: &[char], start: usize) -> Option<usize> {
    let at = |index: usize| octets.get(index).copied().unwrap_or('\0');
    let mut index = start;
    while matches!(at(index), 'b' | 'c' | 'r') && index - start < 2 {
        index += 1;
    }
    let is_raw = octets[start..index].contains(&'r');
    let hashes = (index..).take_while(|&index| is_raw && at(index) == '#').count();
    match at(index + hashes) {
        '"' if is_raw => {
            let end: String = format!("\"{}", "#".repeat(hashes));
            let mut candidate = index + hashes + 1;
            while candidate < octets.len() {
                let found: String = octets[candidate..].iter().take(end.len()).collect();
                if found == end {
                    return Some(candidate + end.len());
                }
                candidate += 1;
            }
            Some(octets.len())
        }
        '"' => Some(quoted_end(octets, index)),
        '\'' if at(start) == 'b' && index == start + 1 => Some(quoted_end(octets, index)),
        _ => None,
    }
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let length = match word {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            word => word,
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

fn fail_if_any(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn every_room_imports_only_what_it_may() {
    let edges: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let mut found = BTreeSet::new();
    for source in sources() {
        let allowed = edges.get(source.room.as_str()).copied();
        let allowed = allowed.unwrap_or_else(|| panic!("{} is a room without edges", source.room));
        for place in source.places() {
            let target = place[0].as_str();
            let is_room = edges.contains_key(target);
            let legal =
                !is_room || target == source.room || allowed.contains(&"*") || allowed.contains(&target);
            let narrow = (source.room.as_str(), target) == ("net", "proto")
                && place.get(1).is_none_or(|item| item != NET_FROM_PROTO);
            if !legal || narrow {
                found.insert(format!("{}: {}", source.path.display(), place.join("::")));
            }
        }
    }
    fail_if_any(&found.into_iter().collect::<Vec<_>>(), "a room imports what it must not");
}

#[test]
fn rooms_without_io_hold_no_runtime_no_clock_and_no_environment() {
    let forbidden = [
        &["tokio"][..],
        &["SystemTime", "::", "now"],
        &["UnixTime", "::", "now"],
        &["std", "::", "env"],
        &["std", "::", "fs"],
        &["TcpStream"],
        &["UdpSocket"],
    ];
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| SANS_IO.contains(&source.room.as_str())) {
        for pattern in forbidden {
            if source.tokens.windows(pattern.len()).any(|window| window == pattern) {
                found.push(format!("{}: {}", source.path.display(), pattern.concat()));
            }
        }
    }
    fail_if_any(&found, "a room without I/O does I/O");
}

#[test]
fn rustls_is_named_where_it_is_known_and_nowhere_else() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !KNOW_RUSTLS.contains(&source.room.as_str())) {
        for name in ["rustls", "tokio_rustls", "rustls_platform_verifier"] {
            if source.tokens.iter().any(|token| token == name) {
                found.push(format!("{}: {name}", source.path.display()));
            }
        }
    }
    fail_if_any(&found, "rustls is named outside its rooms");
}

#[test]
fn every_room_opens_with_what_it_is_for() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.path.ends_with("mod.rs")) {
        let says: String = source.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        if says.trim().len() < 30 {
            found.push(source.path.display().to_string());
        }
    }
    fail_if_any(&found, "a module does not open with `//!` and what it is for");
}

#[test]
fn no_source_file_is_too_long_to_be_read_at_once() {
    let long: Vec<_> = sources()
        .iter()
        .filter(|source| source.text.lines().count() > LINES)
        .map(|source| format!("{}: {} lines", source.path.display(), source.text.lines().count()))
        .collect();
    fail_if_any(&long, "split these files where a reader would");
}

#[test]
fn nothing_is_unsafe_and_nothing_is_left_to_do() {
    let mut found = Vec::new();
    for source in sources() {
        // `unsafe_code` and the like are other words.
        if source.tokens.iter().any(|token| token == "unsafe") {
            found.push(format!("{}: unsafe", source.path.display()));
        }
        for mark in ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "X".repeat(3) + ":"] {
            if source.text.contains(&mark) {
                found.push(format!("{}: {mark}", source.path.display()));
            }
        }
    }
    fail_if_any(&found, "unsafe or unfinished");
}

#[test]
fn the_tree_holds_no_key_and_no_place_of_another_machine() {
    // Put together here, so that this file does not hold them either.
    let marks = [
        ["PRIVATE", " KEY-----"].concat(),
        ["../", "shared"].concat(),
        ["/ro", "ot/"].concat(),
        ["/wo", "rk/"].concat(),
        ["/tmp/", "w/"].concat(),
    ];
    let mut found = Vec::new();
    for file in tree() {
        let octets = fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&octets);
        for mark in &marks {
            if text.contains(mark.as_str()) {
                found.push(format!("{}: {mark}", file.display()));
            }
        }
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".key") || name.ends_with(".p12") {
            found.push(file.display().to_string());
        }
    }
    // Keys that a developer made by `try` are git-ignored and lie in certs/.
    found.retain(|line| !line.starts_with(&*root().join("certs").to_string_lossy()));
    fail_if_any(&found, "the tree holds what it must not");
}

#[test]
fn no_second_tls_library_is_resolved() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--edges", "normal,build,dev", "--prefix", "none"])
        .args(["--format", "{p}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names: BTreeSet<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains("rustls") && names.len() > 100, "the crates were not read");
    let found: Vec<_> =
        BANNED.iter().filter(|banned| names.contains(**banned)).map(ToString::to_string).collect();
    fail_if_any(&found, "a banned crate is in the tree; `cargo tree -i NAME` says why");
}

#[test]
fn the_reader_of_sources_is_not_fooled() {
    let text = "// crate::a\n/* crate::b /* nested */ crate::c */ use crate::{d, e::{f, g as h}};\n\
                let _ = (\"crate::i\", r#\"crate::j\"#, b\"\\\"crate::k\", '\"', b'\\'', 'x'); fn l<'a>(_: &'a crate::m::N) {}\n\
                mod tests { use super::own; use super::super::o::P; } use super::q;";
    let code = strip(text);
    let source = Source {
        path: "src/room/mod.rs".into(),
        room: "room".into(),
        text: text.into(),
        tokens: tokens(&code),
        code,
    };
    let places: Vec<_> = source.places().iter().map(|place| place.join("::")).collect();
    assert_eq!(places, ["d", "e::f", "e::g", "m::N", "o::P", "q"], "{}", source.code);
}
