//! The disk of the operating system: plain positioned reads and writes below one directory.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{FallocateFlags, OFlags, fallocate, fcntl_setfl, statvfs};
use rustix::io::{Errno, pwritev};

use super::{Disk, DiskFile, DiskLock, Space};

/// The most buffers that one system call takes.
const MAX_BUFFERS: usize = 1024;

/// What opens a file for reads and writes past the cache.
#[cfg(target_os = "linux")]
const DIRECT: i32 = OFlags::DIRECT.bits().cast_signed();
#[cfg(not(target_os = "linux"))]
const DIRECT: i32 = 0;

/// A directory of the operating system.
#[derive(Debug, Clone)]
pub struct OsDisk {
    root: PathBuf,
}

impl OsDisk {
    /// The directory `root`, created with its parents unless it is there.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

impl Disk for OsDisk {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(directory))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn create_dir(&self, directory: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(directory))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(path))?;
        Ok(Arc::new(OsFile::buffered(file)))
    }

    fn open_direct(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true);
        match options.clone().custom_flags(DIRECT).open(self.path(path)) {
            // Some file systems have no way past the cache.
            Err(error) if is_invalid(&error) => {
                Ok(Arc::new(OsFile::buffered(options.open(self.path(path))?)))
            }
            opened => Ok(Arc::new(OsFile { file: opened?, direct: AtomicBool::new(true) })),
        }
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(true).open(self.path(path))?;
        Ok(Arc::new(OsFile::buffered(file)))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn sync_dir(&self, directory: &str) -> io::Result<()> {
        File::open(self.path(directory))?.sync_all()
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(self.path(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(OsLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn space(&self) -> io::Result<Space> {
        let volume = statvfs(&self.root)?;
        let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
        Ok(Space { total_bytes: bytes(volume.f_blocks), usable_bytes: bytes(volume.f_bavail) })
    }

    fn random(&self) -> u64 {
        // The keys of a `RandomState` come from the operating system's randomness.
        RandomState::new().build_hasher().finish()
    }
}

/// The operating system releases the lock with the file.
struct OsLock {
    _file: File,
}

impl DiskLock for OsLock {}

struct OsFile {
    file: File,
    /// Whether reads and writes go past the cache.
    direct: AtomicBool,
}

impl OsFile {
    fn buffered(file: File) -> Self {
        Self { file, direct: AtomicBool::new(false) }
    }

    /// Goes through the cache from now on; false if it did before. Some file systems refuse the way
    /// past it only when it comes to reading or writing: what is aligned suits any disk.
    fn give_up_direct(&self) -> io::Result<bool> {
        let was_direct = self.direct.swap(false, Relaxed);
        if was_direct {
            fcntl_setfl(&self.file, OFlags::empty())?;
        }
        Ok(was_direct)
    }
}

fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::INVAL.raw_os_error())
}

impl DiskFile for OsFile {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        match self.file.read_exact_at(buffer, position) {
            Err(error) if is_invalid(&error) && self.give_up_direct()? => {
                self.file.read_exact_at(buffer, position)
            }
            read => read,
        }
    }

    fn write_all_at(&self, buffers: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        let mut rest = buffers;
        let mut position = position;
        // Empty buffers at the front would look like a write that makes no progress.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let some = &rest[..rest.len().min(MAX_BUFFERS)];
            match pwritev(&self.file, some, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) if self.give_up_direct()? => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if self.len()? >= bytes {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            // Without room reserved a write may find the disk full: slower and later, not wrong.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.file.set_len(bytes),
            other => Ok(other?),
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_buffers_than_one_call_takes_are_all_written() {
        let directory = tempfile::tempdir().unwrap();
        let disk = OsDisk::new(directory.path()).unwrap();
        let file = disk.create("a").unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let mut buffers: Vec<_> =
            bytes.iter().map(std::slice::from_ref).map(IoSlice::new).collect();
        buffers.insert(0, IoSlice::new(&[]));
        file.write_all_at(&mut buffers, 7).unwrap();
        let mut read = vec![0; 5000];
        file.read_exact_at(&mut read, 7).unwrap();
        assert_eq!(read, bytes);
    }

    #[test]
    fn a_lock_is_held_by_one_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let disk = OsDisk::new(directory.path()).unwrap();
        let held = disk.lock("l").unwrap();
        assert_eq!(disk.lock("l").err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        assert!(disk.lock("l").is_ok());
    }

    #[test]
    fn what_may_still_be_written_fits_on_the_volume() {
        let directory = tempfile::tempdir().unwrap();
        let disk = OsDisk::new(directory.path()).unwrap();
        let space = disk.space().unwrap();
        assert!(0 < space.total_bytes && space.usable_bytes <= space.total_bytes, "{space:?}");
    }

    #[test]
    fn allocated_room_reads_as_zeros_and_keeps_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let disk = OsDisk::new(directory.path()).unwrap();
        let file = disk.create("a").unwrap();
        super::super::write_at(file.as_ref(), b"abc", 0).unwrap();
        file.allocate(10_000).unwrap();
        file.allocate(5).unwrap();
        let mut read = vec![1; 10_000];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read[..3], b"abc");
        assert!(read[3..].iter().all(|&byte| byte == 0));
    }
}
