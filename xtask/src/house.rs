//! `cargo xtask house`: compares the tables of ARCHITECTURE.md with the source. Also a test.
//!
//! Two tables say who may use whom: between crates (`room`), and between the modules of the
//! server (`module`). A row may only use rows below its own, so that the table's order is the
//! order of the house; what stands in one row is one thing in parts. The column `never in it`
//! names words that must not stand in its source; comments and tests may say them.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::markdown::Table;
use crate::step::{self, Failure, cargo};
use crate::tree;

const DOCUMENT: &str = "ARCHITECTURE.md";
const SERVER: &str = "crates/factum-server/src";
/// `main` names the modules and holds nothing.
const NO_MODULES: [&str; 1] = ["main"];

/// Who uses whom, by name; the uses of tests apart.
#[derive(Debug, Default)]
struct Uses {
    code: BTreeSet<String>,
    tests: BTreeSet<String>,
}

/// Checks both tables.
pub(crate) fn run() -> Result<(), Failure> {
    let faults = faults()?;
    if faults.is_empty() { Ok(()) } else { Err(Failure::Found(faults.join("\n"))) }
}

fn faults() -> Result<Vec<String>, Failure> {
    let document = tree::read(Path::new(DOCUMENT))?;
    let mut faults = Vec::new();
    for (kind, actual) in [("room", rooms()?), ("module", modules()?)] {
        let tables = Table::all_of(&document, kind);
        let [table] = tables.as_slice() else {
            let count = tables.len();
            faults.push(format!("{DOCUMENT}: expected one table of {kind}s, found {count}"));
            continue;
        };
        faults.extend(directions(table, kind, &actual));
        faults.extend(absences(table, kind)?);
    }
    Ok(faults)
}

fn directions(table: &Table, kind: &str, actual: &BTreeMap<String, Uses>) -> Vec<String> {
    let mut faults = Vec::new();
    let order: Vec<&str> = table.rows().flat_map(|row| row.code(kind)).collect();
    for name in actual.keys().filter(|name| !order.contains(&name.as_str())) {
        faults.push(format!("{DOCUMENT} has no row for the {kind} {name}"));
    }
    for row in table.rows() {
        let names = row.code(kind);
        let Some(last) = names.last() else {
            faults.push(format!("{DOCUMENT}: a row of the {kind}s has no name in backticks"));
            continue;
        };
        let below = order.iter().position(|name| name == last).map_or(0, |at| at + 1);
        let (allowed, in_tests) = (row.code("may use"), row.code("its tests also"));
        for up in allowed.iter().filter(|other| !order[below..].contains(other)) {
            faults.push(format!("{DOCUMENT}: {last} may use {up}, which is no row below its own"));
        }
        for name in &names {
            let Some(uses) = actual.get(*name) else {
                faults.push(format!("{DOCUMENT}: there is no {kind} {name}"));
                continue;
            };
            let may = |other: &str| allowed.contains(&other) || names.contains(&other);
            let may_in_tests = |other: &str| may(other) || in_tests.contains(&other);
            for other in uses.code.iter().filter(|other| !may(other)) {
                faults.push(format!("{kind} {name} uses {other}, which {DOCUMENT} does not allow"));
            }
            for other in uses.tests.iter().filter(|other| !may_in_tests(other)) {
                faults.push(format!("tests of {name} use {other}, which {DOCUMENT} forbids"));
            }
        }
    }
    faults
}

/// Words that stand where the table says that they never do.
fn absences(table: &Table, kind: &str) -> Result<Vec<String>, Failure> {
    let mut faults = Vec::new();
    for row in table.rows() {
        let words = row.code("never in it");
        let names = if words.is_empty() { Vec::new() } else { row.code(kind) };
        for name in names {
            for (path, text) in sources(kind, name)? {
                for (number, line) in source::code_lines(&text) {
                    for word in words.iter().filter(|word| line.contains(**word)) {
                        let place = format!("{}:{number}", path.display());
                        faults.push(format!("{place}: {word}, which is never in {name}"));
                    }
                }
            }
        }
    }
    Ok(faults)
}

/// The source files of a room or a module, without those that are tests.
fn sources(kind: &str, name: &str) -> Result<Vec<source::File>, Failure> {
    if kind == "room" {
        let directory = if name == "xtask" { "xtask".to_owned() } else { format!("crates/{name}") };
        return source::without_tests(&format!("{directory}/src"));
    }
    let all = source::without_tests(SERVER)?;
    Ok(all.into_iter().filter(|(path, _)| module_of(path) == name).collect())
}

/// The crates of the workspace, and which of them each one needs.
fn rooms() -> Result<BTreeMap<String, Uses>, Failure> {
    let mut metadata = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let metadata: Value = serde_json::from_str(&step::output(&mut metadata)?)
        .map_err(|error| Failure::Found(format!("cargo metadata is no JSON: {error}")))?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let name_of = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
    let names: BTreeSet<String> = packages.iter().map(name_of).collect();
    let mut rooms = BTreeMap::new();
    for package in &packages {
        let mut uses = Uses::default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = name_of(dependency);
            // A crate may need itself, with other features, for its tests.
            if names.contains(&other) && other != name_of(package) {
                let tests = dependency["kind"].as_str() == Some("dev");
                if tests { &mut uses.tests } else { &mut uses.code }.insert(other);
            }
        }
        rooms.insert(name_of(package), uses);
    }
    Ok(rooms)
}

/// The modules of the server, and which of them each one names.
fn modules() -> Result<BTreeMap<String, Uses>, Failure> {
    let files = tree::files(SERVER, ".rs")?;
    let mut modules: BTreeMap<String, Uses> = BTreeMap::new();
    for path in &files {
        modules.entry(module_of(path)).or_default();
    }
    modules.retain(|name, _| !NO_MODULES.contains(&name.as_str()));
    let names: BTreeSet<String> = modules.keys().cloned().collect();
    for path in &files {
        let module = module_of(path);
        let depth = path.components().count()
            - Path::new(SERVER).components().count()
            - usize::from(path.ends_with("mod.rs"));
        let named = source::top_level_names(&tree::read(path)?, depth);
        if let Some(uses) = modules.get_mut(&module) {
            uses.code.extend(named.into_iter().filter(|n| names.contains(n) && *n != module));
        }
    }
    Ok(modules)
}

/// `http` of `crates/factum-server/src/http/read.rs`, `config` of `…/src/config.rs`.
fn module_of(path: &Path) -> String {
    let inner = path.strip_prefix(SERVER).unwrap_or(path);
    let first = inner.components().next().map(|part| part.as_os_str().to_string_lossy());
    first.unwrap_or_default().trim_end_matches(".rs").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &str) -> Table {
        let text = format!("| room | may use | its tests also |\n|---|---|---|\n{rows}");
        Table::all_of(&text, "room").remove(0)
    }

    fn uses(code: &[&str], tests: &[&str]) -> Uses {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Uses { code: all(code), tests: all(tests) }
    }

    fn check(rows: &str, actual: &[(&str, Uses)]) -> Vec<String> {
        let named = |(name, one): &(&str, Uses)| {
            let copy = Uses { code: one.code.clone(), tests: one.tests.clone() };
            ((*name).to_owned(), copy)
        };
        directions(&table(rows), "room", &actual.iter().map(named).collect())
    }

    #[test]
    fn the_house_is_as_the_tables_say() {
        assert_eq!(faults().unwrap(), [""; 0]);
    }

    #[test]
    fn a_direction_that_no_row_allows_is_found() {
        let rows = "| `door` | `log` | |\n| `log` | | `wire` |\n| `wire` | | |\n";
        let door = || ("door", uses(&["log"], &[]));
        let wire = || ("wire", uses(&[], &[]));
        assert_eq!(check(rows, &[door(), ("log", uses(&[], &["wire"])), wire()]), [""; 0]);
        assert_eq!(check(rows, &[door(), ("log", uses(&["wire"], &[])), wire()]).len(), 1);
        assert_eq!(check(rows, &[door(), ("log", uses(&[], &["door"])), wire()]).len(), 1);
    }

    #[test]
    fn a_row_that_may_call_upwards_is_found() {
        let rows = "| `door` | `log` | |\n| `log` | `door` | |\n";
        let actual = [("door", uses(&[], &[])), ("log", uses(&[], &[]))];
        assert_eq!(check(rows, &actual).len(), 1);
    }

    #[test]
    fn a_room_without_a_row_and_a_row_without_a_room_are_found() {
        assert_eq!(check("| `a` | | |\n", &[("b", uses(&[], &[]))]).len(), 2);
    }
}
