//! The source tree: where it is, and which files are in it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::step::Failure;

/// Directories that hold nothing that a person wrote.
const NOT_OURS: [&str; 8] =
    [".git", "target", "node_modules", "corpus", "artifacts", ".cache", "__pycache__", "data"];

/// The most files that a walk takes: more are not this repository.
const MAX_FILES: usize = 20_000;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a directory of the repository")
}

/// Reads a file; `path` is relative to the root.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(root().join(path)).map_err(|source| failed(path, source))
}

/// All files below a directory whose names end with `ending`, relative to the root, in order.
pub(crate) fn files(under: &str, ending: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut directories = vec![root().join(under)];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory).map_err(|source| failed(&directory, source))?;
        for entry in entries {
            let path = entry.map_err(|source| failed(&directory, source))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && !path.is_symlink() && !NOT_OURS.contains(&&*name) {
                directories.push(path);
            } else if path.is_file() && name.ends_with(ending) && found.len() < MAX_FILES {
                found.push(path.strip_prefix(root()).unwrap_or(&path).to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn failed(path: &Path, source: std::io::Error) -> Failure {
    Failure::File { path: path.display().to_string(), source }
}
