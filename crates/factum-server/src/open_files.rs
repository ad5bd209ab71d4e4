//! How many connections the limit of open files (`RLIMIT_NOFILE`) allows: connections must not
//! take the file descriptors that the log needs to go on.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the log and the runtime may have open: 64 files of readers, journals and indexes that are
/// written, the doors.
const RESERVED: u64 = 128;

/// The most that the limit is raised to, where the system allows any number.
const MOST: u64 = 1 << 20;

/// A limit that leaves fewer connections than this is worth a warning.
const FEW: usize = 1000;

/// Raises the limit of open files as far as this process may, and returns how many connections
/// each of `doors` may then have, at most `wanted`.
#[must_use]
pub fn connections(doors: u64, wanted: usize) -> usize {
    let files = raise();
    let allowed = allowed(files, doors);
    if allowed < wanted.min(FEW) {
        tracing::warn!(
            "this process may have {files} files open, so only {allowed} connections are taken at \
             each door; raise the limit (ulimit -n, LimitNOFILE) if that is too few"
        );
    }
    allowed.min(wanted)
}

/// The limit after it was raised.
fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (current, raised) = (current.unwrap_or(MOST), maximum.unwrap_or(MOST).min(MOST));
    if current >= raised {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of {current} open files to {raised}");
            current
        }
    }
}

/// Connections for each of `doors` where so many files may be open.
fn allowed(files: u64, doors: u64) -> usize {
    // Very few files are shared evenly between the log and its doors.
    let for_connections = files - RESERVED.min(files / 2);
    usize::try_from(for_connections / doors.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_log() {
        assert_eq!(allowed(20_128, 2), 10_000);
        assert_eq!(allowed(160, 2), 40);
        assert_eq!(allowed(1024, 2), 448);
        assert_eq!(allowed(0, 2), 0);
    }

    #[test]
    fn no_door_gets_more_than_it_wants() {
        assert!(connections(2, 5) <= 5);
    }
}
