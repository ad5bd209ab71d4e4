//! Which errors pass: the disk is sound, and takes writes again when somebody has made room.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// Whether what was tried may work later, unchanged: no space, quota, file descriptors or memory
/// left, or a file system that is read-only for now.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    let descriptors = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    match error.kind() {
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::OutOfMemory
        | ErrorKind::ReadOnlyFilesystem => true,
        _ => error.raw_os_error().is_some() && descriptors.contains(&error.raw_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_can_put_right_passes_and_a_failing_disk_does_not() {
        use Errno as E;
        for errno in [E::NOSPC, E::DQUOT, E::MFILE, E::NFILE, E::NOMEM, E::ROFS] {
            assert!(is_passing(&errno.into()), "{errno}");
        }
        for errno in [E::IO, E::INVAL, E::NODEV, E::BADF] {
            assert!(!is_passing(&errno.into()), "{errno}");
        }
        assert!(is_passing(&ErrorKind::StorageFull.into()));
        assert!(!is_passing(&io::Error::other("anything")));
    }
}
