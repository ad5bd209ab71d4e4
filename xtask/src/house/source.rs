//! What Rust source names, found without a parser: enough for directions between modules.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::step::Failure;
use crate::tree;

/// A path from the root, and its text.
pub(crate) type File = (PathBuf, String);

/// The files of a directory that are no tests: neither in `tests`, nor modules that exist under
/// `cfg(test)` only.
pub(crate) fn without_tests(directory: &str) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    let mut tests = BTreeSet::new();
    for path in tree::files(directory, ".rs")? {
        let text = tree::read(&path)?;
        let parent = path.parent().map(PathBuf::from).unwrap_or_default();
        // Modules of mod.rs, lib.rs and main.rs are beside it, those of others below it.
        let at = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") | None => parent,
            Some(stem) => parent.join(stem),
        };
        tests.extend(test_modules(&text).into_iter().map(|name| at.join(name)));
        files.push((path, text));
    }
    let in_tests =
        |path: &PathBuf| path.ancestors().any(|part| tests.contains(&part.with_extension("")));
    files.retain(|(path, _)| !in_tests(path));
    Ok(files)
}

/// Names of modules in files of their own that exist for tests only.
fn test_modules(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| is_for_tests(pair[0]));
    let name = |line: &str| {
        let rest = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        rest.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
    };
    pairs.filter_map(|pair| name(pair[1])).collect()
}

fn is_for_tests(line: &str) -> bool {
    line.starts_with("#[cfg(test") || line.starts_with("#[cfg(any(test") || line == "#![cfg(test)]"
}

/// The lines that are code, with their numbers: no comments, and nothing from the test module at
/// the end of a file on.
pub(crate) fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let is_test_module = |pair: &[&str]| is_for_tests(pair[0]) && pair[1].ends_with('{');
    let end = lines.windows(2).position(is_test_module).unwrap_or(lines.len());
    let numbered = (1..).zip(lines.into_iter().take(end));
    numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Names that code uses from the root of its crate, by `crate::` or by enough `super::`; `depth`
/// is how many modules the file is below the root.
pub(crate) fn top_level_names(text: &str, depth: usize) -> BTreeSet<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: Vec<&str> = text.lines().filter(is_code).collect();
    let code = code.join("\n");
    let up = "super::".repeat(depth.max(1));
    let mut names = BTreeSet::new();
    for root in ["crate::", up.as_str()] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            // `factum_crate::x` is another word, and more `super::` lead out of the crate.
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                names.extend(first_names(&code[at + root.len()..]));
            }
        }
    }
    names
}

/// `a` of `a::b`; `a` and `d` of `{a::{b, c}, d}`.
fn first_names(rest: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let leading = |text: &str| text.trim().chars().take_while(|c| is_name(*c)).collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![leading(rest)] };
    let mut names = Vec::new();
    let (mut level, mut begin) = (0_usize, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => {
                names.push(leading(&group[begin..at]));
                return names;
            }
            '}' => level -= 1,
            ',' if level == 0 => {
                names.push(leading(&group[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    names.push(leading(&group[begin..]));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, depth: usize) -> Vec<String> {
        top_level_names(text, depth).into_iter().filter(|name| !name.is_empty()).collect()
    }

    #[test]
    fn names_from_the_root_are_found() {
        assert_eq!(names("use crate::http::{self, Door};", 1), ["http"]);
        assert_eq!(names("use crate::{cli::{Table, Terminal}, metrics};", 2), ["cli", "metrics"]);
        assert_eq!(names("    crate::bench::run(x, crate::cli::Y)", 3), ["bench", "cli"]);
        assert_eq!(names("// crate::http is not used", 1), [""; 0]);
    }

    #[test]
    fn a_super_counts_where_it_reaches_the_root() {
        assert_eq!(names("use super::metrics::Metrics;", 1), ["metrics"]);
        assert_eq!(names("use super::problem::Problem;", 2), [""; 0]);
        assert_eq!(names("use super::super::metrics::Metrics;", 2), ["metrics"]);
    }

    #[test]
    fn tests_and_comments_are_no_code() {
        let text = "a\n// b\nc\n#[cfg(test)]\nmod tests {\nd\n}\n";
        assert_eq!(code_lines(text).collect::<Vec<_>>(), [(1, "a"), (3, "c")]);
        assert_eq!(test_modules("#[cfg(test)]\nmod memory;\nmod other;"), ["memory"]);
    }
}
