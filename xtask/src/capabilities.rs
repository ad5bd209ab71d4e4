//! `cargo xtask capabilities`: what `docs/capabilities.md` promises, and whether its tests exist.
//!
//! Its tables have the columns `id` and `test`. A test is `file::name` in backticks: in Rust a
//! function that is a test, elsewhere a word that stands in the file. That the tests pass is said
//! by running them. Ids are compared with the specification where that is at hand: beside the
//! repository, or where `FACTUM_SPEC` says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::markdown::{Row, Table};
use crate::step::Failure;
use crate::tree;

const DOCUMENT: &str = "docs/capabilities.md";
const SPECIFICATION: &str = "../shared/spec/capabilities.md";
/// Lines above a function in which its attributes are looked for.
const ATTRIBUTE_LINES: usize = 8;

/// Checks, and prints the count by chapter.
pub(crate) fn run() -> Result<(), Failure> {
    let promised = promised(&tree::read(Path::new(DOCUMENT))?);
    let spec = specification();
    let known = spec.as_deref().map(ids);
    let mut faults = check(&promised, |path| tree::read(path).ok());
    match &known {
        Some(known) => faults.extend(unknown(&promised, known)),
        None => println!("SKIPPED: ids: no specification at {SPECIFICATION} (set FACTUM_SPEC)"),
    }
    if !faults.is_empty() {
        return Err(Failure::Found(faults.join("\n")));
    }
    println!("{}", count(&promised, known.as_ref()));
    Ok(())
}

/// A row that is said to be true, and the tests that prove it.
#[derive(Debug, PartialEq, Eq)]
struct Promise {
    id: String,
    tests: Vec<String>,
}

fn promised(document: &str) -> Vec<Promise> {
    let promise = |row: Row<'_>| Promise {
        id: row.cell("id").to_owned(),
        tests: row.code("test").into_iter().map(str::to_owned).collect(),
    };
    let tables = Table::all_of(document, "id");
    tables.iter().flat_map(|table| table.rows().map(promise).collect::<Vec<_>>()).collect()
}

/// What is wrong with the document, where `read` gives the text of a file.
fn check(promised: &[Promise], read: impl Fn(&Path) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for promise in promised {
        let id = &promise.id;
        if !seen.insert(id) {
            faults.push(format!("{DOCUMENT}: {id} is there twice; put its tests in one row"));
        }
        if promise.tests.is_empty() {
            faults.push(format!("{DOCUMENT}: {id} names no test; expected `file::name`"));
        }
        let absent = promise.tests.iter().filter_map(|test| fault_of(test, &read));
        faults.extend(absent.map(|fault| format!("{DOCUMENT}: {id}: {fault}")));
    }
    faults
}

fn fault_of(test: &str, read: &impl Fn(&Path) -> Option<String>) -> Option<String> {
    let Some((file, name)) = test.split_once("::") else {
        return Some(format!("{test:?} is no test; expected file::name"));
    };
    let path = PathBuf::from(file);
    let Some(text) = read(&path) else {
        return Some(format!("there is no file {file}"));
    };
    let rust = path.extension().is_some_and(|extension| extension == "rs");
    let found = if rust { has_test(&text, name) } else { has_word(&text, name) };
    (!found).then(|| format!("{file} has no test {name}"))
}

/// Whether Rust source has a function of this name with a test's attribute.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let head = format!("fn {name}(");
    lines.iter().enumerate().any(|(at, line)| {
        let above = &lines[at.saturating_sub(ATTRIBUTE_LINES)..at];
        let attributes = above.iter().rev().take_while(|line| !line.starts_with('}'));
        line.trim_start_matches("async ").starts_with(&head)
            && attributes.into_iter().any(|line| line.starts_with("#[") && line.contains("test"))
    })
}

fn has_word(text: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.split(|c| !is_word(c)).any(|word| word == name)
}

fn specification() -> Option<String> {
    let named = std::env::var_os("FACTUM_SPEC").map(PathBuf::from);
    tree::read(&named.unwrap_or_else(|| PathBuf::from(SPECIFICATION))).ok()
}

/// The ids of the specification, in its order.
fn ids(spec: &str) -> Vec<String> {
    let tables = Table::all_of(spec, "id");
    let rows = tables.iter().flat_map(Table::rows);
    let ids = rows.map(|row| row.cell("id").to_owned());
    ids.filter(|id| chapter(id).starts_with(|c: char| c.is_ascii_digit())).collect()
}

fn unknown(promised: &[Promise], known: &[String]) -> Vec<String> {
    let absent = promised.iter().filter(|promise| !known.contains(&promise.id));
    absent.map(|one| format!("{DOCUMENT}: the specification has no row {}", one.id)).collect()
}

/// `2` of `2.07`.
fn chapter(id: &str) -> &str {
    id.split_once('.').map_or(id, |(chapter, _)| chapter)
}

fn count(promised: &[Promise], known: Option<&Vec<String>>) -> String {
    // By number, then by letter: 15a comes after 14.
    let key = |id: &str| {
        let chapter = chapter(id);
        let digits = chapter.trim_end_matches(|c: char| !c.is_ascii_digit());
        (digits.parse::<u32>().unwrap_or(0), chapter.to_owned())
    };
    let mut chapters: BTreeMap<(u32, String), (usize, usize)> = BTreeMap::new();
    for id in known.into_iter().flatten() {
        chapters.entry(key(id)).or_default().1 += 1;
    }
    for promise in promised {
        chapters.entry(key(&promise.id)).or_default().0 += 1;
    }
    let of = |total: usize| if total == 0 { String::new() } else { format!(" of {total}") };
    let mut lines: Vec<String> = chapters
        .iter()
        .filter(|(_, (proved, _))| *proved > 0)
        .map(|((_, name), (proved, total))| format!("chapter {name}: {proved}{}", of(*total)))
        .collect();
    lines.push(format!("together: {}{}", promised.len(), of(known.map_or(0, Vec::len))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT_TEXT: &str = "\
| id | capability | test |
|---|---|---|
| 1.07 | decoupling | `tests/a.rs::it_works`, `tests/b/run::kcat` |
| 15a.02 | other | `tests/a.rs::no_test` |
";

    fn read(path: &Path) -> Option<String> {
        match path.to_str()? {
            "tests/a.rs" => Some(
                "#[test]\nfn it_works() {\n}\n\nfn no_test() {}\n#[tokio::test]\nasync fn it() {}"
                    .to_owned(),
            ),
            "tests/b/run" => Some("for client in kcat java; do".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn every_promise_of_the_document_names_tests_that_exist() {
        let document = tree::read(Path::new(DOCUMENT)).unwrap();
        let promised = promised(&document);
        assert!(!promised.is_empty());
        assert_eq!(check(&promised, |path| tree::read(path).ok()), [""; 0]);
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        let promised = promised(DOCUMENT_TEXT);
        assert_eq!(promised.len(), 2);
        let faults = check(&promised, read);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("15a.02") && faults[0].contains("no_test"), "{faults:?}");
    }

    #[test]
    fn an_asynchronous_test_is_a_test() {
        assert!(has_test(&read(Path::new("tests/a.rs")).unwrap(), "it"));
        assert!(!has_test(&read(Path::new("tests/a.rs")).unwrap(), "it_work"));
    }

    #[test]
    fn an_id_that_the_specification_does_not_have_is_found() {
        let known = ids("| id | name |\n|---|---|\n| 1.07 | x |\n| 1.08 | y |\n");
        let promised = promised(DOCUMENT_TEXT);
        assert_eq!(unknown(&promised, &known).len(), 1);
        let count = count(&promised, Some(&known));
        assert_eq!(count, "chapter 1: 1 of 2\nchapter 15a: 1\ntogether: 2 of 2");
    }
}
