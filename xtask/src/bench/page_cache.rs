//! Forgetting what the kernel keeps of files in memory; root alone may.

use std::fs;
use std::path::Path;

use super::failed;
use crate::step::{self, Failure, program};

const SWITCH: &str = "/proc/sys/vm/drop_caches";

/// Writes what is not yet on the disk, then drops every clean page.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn drop_all() -> Result<(), Failure> {
    step::output(&mut program("sync"))?;
    fs::write(SWITCH, "3").map_err(|source| failed(Path::new(SWITCH), source))
}
