//! `cargo xtask tidy`: rules of style that neither rustfmt nor clippy knows. Also a test.

use std::path::Path;

use crate::step::Failure;
use crate::tree;

/// A file that is longer has more than one subject.
const MAX_LINES: usize = 800;
/// rustfmt breaks code at 100, but not comments; a word may stand out.
const MAX_COMMENT_COLUMNS: usize = 110;
/// Names that say nothing of what is in a file.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "manager"];
/// What says that something is not finished, or not tested. Split, so that this file is tidy.
const UNFINISHED: [&str; 3] =
    [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore")];

/// Checks all sources and documents.
pub(crate) fn run() -> Result<(), Failure> {
    let faults = faults()?;
    if faults.is_empty() { Ok(()) } else { Err(Failure::Found(faults.join("\n"))) }
}

fn faults() -> Result<Vec<String>, Failure> {
    let mut faults = Vec::new();
    for path in tree::files(".", ".rs")? {
        faults.extend(in_source(&path, &tree::read(&path)?));
    }
    for path in tree::files(".", ".md")? {
        faults.extend(in_document(&path, &tree::read(&path)?));
    }
    Ok(faults)
}

fn in_source(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        faults.push(format!("{shown}: {lines} lines, more than {MAX_LINES}; one subject per file"));
    }
    if path.file_stem().is_some_and(|stem| EMPTY_NAMES.iter().any(|name| stem == *name)) {
        faults.push(format!("{shown}: a name that says nothing; name what is in it"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
            faults.push(format!("{shown}:{number}: {word}…; finish it or leave it out"));
        }
        let columns = line.chars().count();
        if line.trim_start().starts_with("//") && columns > MAX_COMMENT_COLUMNS {
            faults.push(format!(
                "{shown}:{number}: a comment of {columns} columns, more than {MAX_COMMENT_COLUMNS}"
            ));
        }
    }
    faults
}

/// Links to files that are not there.
fn in_document(path: &Path, text: &str) -> Vec<String> {
    let directory = tree::root().join(path.parent().unwrap_or(Path::new("")));
    let missing = |target: &&str| !directory.join(target).exists();
    let fault = |target: &str| format!("{}: links to {target}, which is not there", path.display());
    links(text).into_iter().filter(missing).map(fault).collect()
}

/// Targets of links to files of the repository, without their fragments.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains(':') && !target.contains(' '))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        assert_eq!(faults().unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_untidy_is_found() {
        let text = format!("// {}\n{}x)\n", "x".repeat(108), UNFINISHED[0]);
        assert_eq!(in_source(Path::new("src/utils.rs"), &text).len(), 3);
        assert_eq!(in_source(Path::new("src/a.rs"), &"\n".repeat(801)).len(), 1);
        assert_eq!(in_source(Path::new("src/a.rs"), &"\n".repeat(800)), [""; 0]);
    }

    #[test]
    fn links_to_files_are_told_from_other_links() {
        let text = "[a](b.md#c) [d](https://e.f/) [g](#h) [i](j/k.md)";
        assert_eq!(links(text), ["b.md", "j/k.md"]);
        assert_eq!(in_document(Path::new("docs/x.md"), "[y](no-such-file.md)").len(), 1);
    }
}
