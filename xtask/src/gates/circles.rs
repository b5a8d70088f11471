//! Checks that no files of a crate import each other in a circle: whoever reads one of them would have to read them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

use anyhow::Result;

use super::source::lines;
use super::{files, is_rust};

/// Finds files in circles, in the folder of a crate's sources. Unit tests may import what they like.
pub(super) fn problems(src: &Path) -> Result<Vec<String>> {
    let mut texts = BTreeMap::new();
    for path in files(src)?.into_iter().filter(|path| is_rust(path) && !path.ends_with("tests.rs")) {
        let inside = path.strip_prefix(src)?.with_extension("");
        let mut parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        parts.pop_if(|last| last == "mod");
        let code: Vec<String> = lines(&fs::read_to_string(&path)?).into_iter().map(|line| line.code).collect();
        texts.insert(parts.join("::"), code.join(" "));
    }
    let known: BTreeSet<&str> = texts.keys().map(String::as_str).collect();
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, text) in &texts {
        let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        let beside = text.split("super::").skip(1).flat_map(paths).map(|path| match parent {
            "" => path,
            _ => format!("{parent}::{path}"),
        });
        let found = self::imports(text).into_iter().chain(beside);
        let found = found.filter_map(|path| module_of(&path, &known)).filter(|found| found != module);
        imports.insert(module, found.collect());
    }
    // A module that imports none of the others that are left, or that none of them imports, is in no circle.
    loop {
        let left = imports.clone();
        let imported: BTreeSet<&str> = left.values().flatten().copied().collect();
        imports.retain(|module, of| imported.contains(module) && of.iter().any(|one| left.contains_key(one)));
        if imports.len() == left.len() {
            break;
        }
    }
    let circle: Vec<&str> = imports.into_keys().collect();
    let problem = || format!("{}: these import each other in a circle: {}", src.display(), circle.join(", "));
    Ok(if circle.is_empty() { Vec::new() } else { vec![problem()] })
}

/// All paths after `crate::` in this text.
pub(super) fn imports(text: &str) -> Vec<String> {
    text.split("crate::").skip(1).flat_map(paths).collect()
}

/// The module that defines the item at this path.
fn module_of<'k>(path: &str, known: &BTreeSet<&'k str>) -> Option<&'k str> {
    let mut path = path;
    loop {
        if let Some(module) = known.get(path) {
            return Some(module);
        }
        path = path.rsplit_once("::")?.0;
    }
}

/// The paths at the start of a text: one, or those of a tree such as `a::{b, c::{d, e}}`.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    take_tree(&mut text.chars().peekable(), "", &mut found);
    found
}

fn take_tree(rest: &mut Peekable<Chars<'_>>, prefix: &str, found: &mut Vec<String>) {
    let mut path = prefix.to_owned();
    while rest.next_if(|char| char.is_whitespace()).is_some() {}
    while let Some(char) = rest.next_if(|char| char.is_alphanumeric() || matches!(char, '_' | ':')) {
        path.push(char);
    }
    if rest.next_if_eq(&'{').is_none() {
        return found.push(path.trim_end_matches(':').to_owned());
    }
    loop {
        take_tree(rest, &path, found);
        while rest.next_if(|char| !matches!(char, ',' | '}')).is_some() {}
        if rest.next() != Some(',') {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::tree_of;

    #[track_caller]
    fn check(content: &[(&str, &str)], expected: &[&str]) {
        let tree = tree_of(content);
        let problems = problems(tree.path()).unwrap();
        let found: Vec<&str> = problems.iter().filter_map(|problem| problem.split(": ").last()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn files_in_a_circle_are_found() {
        check(&[("a.rs", "use crate::b;"), ("b.rs", "fn f() { crate::a::g() }")], &["a, b"]);
        check(&[("x/a.rs", "use super::b::B;"), ("x/b.rs", "use crate::x::a::A;")], &["x::a, x::b"]);
        let rooms = [
            ("lib.rs", "mod x; mod y;"),
            ("main.rs", "use crate::x::one;"),
            ("x/mod.rs", "pub mod one; pub mod two;"),
            ("x/one.rs", "use crate::{\n    y::{self, Of},\n    x::two,\n};"),
            ("x/two.rs", "pub struct Two;"),
            ("y.rs", "use crate::x::{one::One, two as it};"),
        ];
        check(&rooms, &["x::one, y"]);
    }

    #[test]
    fn files_in_an_order_pass() {
        check(
            &[
                ("a.rs", "use crate::b::B; use crate::c::C;"),
                ("b.rs", "// crate::a\nuse crate::c::C;\n#[cfg(test)]\nmod tests { use crate::a::A; }"),
                ("c.rs", "use crate::Exported;"),
            ],
            &[],
        );
    }
}
