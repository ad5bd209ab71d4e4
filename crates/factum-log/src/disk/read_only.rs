//! A directory that is only looked at: nothing in it is created, changed or removed.

use std::fs::{self, File, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Disk, DiskFile, DiskLock};

/// A directory of the operating system that is never changed.
#[derive(Debug, Clone)]
pub struct ReadOnlyDisk {
    root: PathBuf,
}

impl ReadOnlyDisk {
    /// The directory `root`, which must be there.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] and [`io::ErrorKind::NotADirectory`], and as the operating
    /// system says.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        if fs::metadata(&root)?.is_dir() {
            Ok(Self { root })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the directory is only looked at"))
}

impl Disk for ReadOnlyDisk {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(directory))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(ReadOnlyFile(File::open(self.root.join(path))?)))
    }

    fn open_direct(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
        refused()
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        refused()
    }

    /// Takes the lock of a file that is there. A copy of a directory may be without: then nobody
    /// can hold it.
    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        let file = match File::open(self.root.join(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Box::new(ReadOnlyLock(None)));
            }
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => Ok(Box::new(ReadOnlyLock(Some(file)))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn random(&self) -> u64 {
        0
    }
}

/// The operating system releases the lock with the file.
struct ReadOnlyLock(#[expect(dead_code, reason = "held, not looked at")] Option<File>);

impl DiskLock for ReadOnlyLock {}

struct ReadOnlyFile(File);

impl DiskFile for ReadOnlyFile {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, position)
    }

    fn write_all_at(&self, _: &mut [IoSlice<'_>], _: u64) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::OsDisk;
    use super::*;

    #[test]
    fn a_lock_that_somebody_holds_is_respected_and_nothing_is_created() {
        let directory = tempfile::tempdir().unwrap();
        let disk = ReadOnlyDisk::new(directory.path()).unwrap();
        assert!(disk.lock("l").is_ok() && disk.list("").unwrap().is_empty());
        assert!(disk.create("a").is_err() && disk.list("").unwrap().is_empty());
        let held = OsDisk::new(directory.path()).unwrap().lock("l").unwrap();
        assert_eq!(disk.lock("l").err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        assert!(disk.lock("l").is_ok());
        assert!(ReadOnlyDisk::new(directory.path().join("none")).is_err());
    }
}
