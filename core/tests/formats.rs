//! Checks that the register of formats lists every version byte and every table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use isotherm_core::TABLES;

/// The register's constants, each with the row of its table.
const ROWS: [(&str, &str); 19] = [
    ("PAGE", "page of rollups"),
    ("MANIFEST", "manifest of a day"),
    ("MANIFEST_BY_HOUR", "manifest of a day"),
    ("TYPES", "event types of a day"),
    ("WATERMARK_BY_HASH", "watermark of a lane"),
    ("WATERMARK", "watermark of a lane"),
    ("WAITING", "shards that wait for a lane"),
    ("LOST", "times that are lost"),
    ("REPORT_DATA", "what a shard has for a report"),
    ("PART", "part: events that came together"),
    ("BLOCK", "closed block of events"),
    ("RUN", "row of ids"),
    ("KEEP", "what a shard is to keep"),
    ("KEPT", "what a shard has kept"),
    ("CURSOR", "cursor of a report"),
    ("EVENT_OF_SHAPE", "packed event"),
    ("EVENT_WITH_SHAPE", "packed event"),
    ("EVENT_AS_TEXT", "packed event"),
    ("SHAPE", "shape of packed events"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All sources in a folder, without their tests.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources.extend(self::sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
            sources.push((path, code));
        }
    }
    sources
}

fn register() -> String {
    fs::read_to_string(root().join("core/src/formats.rs")).unwrap()
}

/// The cells of the row whose first cell is `first`.
fn row<'r>(register: &'r str, first: &str) -> Vec<&'r str> {
    let row = register.lines().find(|line| line.starts_with(&format!("//! | {first} |")));
    row.unwrap_or_else(|| panic!("{first} is not in the register")).split('|').skip(1).map(str::trim).collect()
}

/// The numbers in a text.
fn numbers(text: &str) -> BTreeSet<u8> {
    text.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn every_version_byte_is_in_the_register() {
    let register = register();
    let constants: BTreeMap<&str, u8> = register
        .lines()
        .filter_map(|line| line.strip_prefix("pub(crate) const ")?.strip_suffix(';')?.split_once(": u8 = "))
        .map(|(name, byte)| (name, byte.parse().unwrap()))
        .collect();
    let known: BTreeSet<&str> = ROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(constants.keys().copied().collect::<BTreeSet<_>>(), known);
    let mut rows: BTreeMap<&str, BTreeSet<u8>> = BTreeMap::new();
    for (name, first) in ROWS {
        rows.entry(first).or_default().insert(constants[name]);
    }
    for (first, bytes) in rows {
        let cells = row(&register, first);
        assert_eq!(numbers(cells[1]), bytes, "{first}");
        let layout = root().join("core/src").join(cells[5].trim_matches('`'));
        assert!(layout.is_file(), "{} is no file", layout.display());
    }
}

/// Every version byte that is written or compared must come from the register.
#[test]
fn no_other_file_of_core_says_a_version() {
    let mut uses = BTreeSet::new();
    for (path, code) in sources(&root().join("core/src")) {
        if path.ends_with("formats.rs") {
            continue;
        }
        let matches_version = code.contains("let version = reader.byte()");
        assert!(!matches_version || code.contains(" => ") && code.contains("formats::"), "{}", path.display());
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let is_version = line.contains("Writer(vec![")
                || line.contains("|version| *version ==")
                || (line.contains("VERSION") && line.contains("u8"));
            let named: Vec<&str> = ROWS.iter().map(|(name, _)| *name).filter(|name| is_used(line, name)).collect();
            assert!(!is_version || !named.is_empty(), "{}: {line}: its byte belongs into formats.rs", path.display());
            uses.extend(named);
        }
    }
    assert_eq!(uses, ROWS.iter().map(|(name, _)| *name).collect(), "all are used");
}

/// Whether a line names this constant of the register.
fn is_used(line: &str, name: &str) -> bool {
    let used = format!("formats::{name}");
    let mut places = line.match_indices(&used);
    places.any(|(at, _)| !line[at + used.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_'))
}

#[test]
fn every_table_and_its_columns_are_in_the_register() {
    let register = register();
    let mut tables = BTreeSet::new();
    let adapters = ["native", "spin", "workers"].map(|name| (name, root().join("adapters").join(name).join("src")));
    let of_adapters = adapters.into_iter().flat_map(|(name, folder)| {
        let cell = if name == "workers" { 2 } else { 1 };
        sources(&folder).into_iter().map(move |(_, code)| (name, cell, code))
    });
    for (place, cell, code) in of_adapters.chain([("core", 1, TABLES.join(";"))]) {
        for statement in code.split("CREATE TABLE ").skip(1) {
            let statement = statement.strip_prefix("IF NOT EXISTS ").unwrap_or(statement);
            let (name, columns) = statement.split_once(" (").unwrap();
            let row = row(&register, &format!("`{name}`"));
            let of_events = row[1].replace("`tenant`, ", "");
            let expected = if row[cell] == "the same without `tenant`" { &of_events } else { row[cell] };
            let expected: Vec<&str> = expected.split(", ").map(|column| column.trim_matches('`')).collect();
            // A column begins with a name in small letters; anything else is a constraint.
            let columns = columns.split(['"', ';']).next().unwrap();
            let words = columns.split(',').filter_map(|column| column.split_whitespace().next());
            let is_name = |word: &&str| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
            let columns: Vec<&str> = words.filter(is_name).collect();
            assert_eq!(columns, expected, "{place}: {name}");
            tables.insert((place, name.to_owned()));
        }
    }
    assert_eq!(tables.len(), 10, "{tables:?}");
}
