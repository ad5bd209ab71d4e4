//! Small file systems of a test's own. Mounting needs root; without it there is none.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Large enough for a few small journals.
const BYTES: u64 = 64 << 20;

/// A file system that is mounted as long as this lives.
pub struct Mounted {
    directory: TempDir,
    /// The loop device, if it is on one.
    device: Option<String>,
}

impl Mounted {
    /// In memory: it takes no direct writes.
    pub fn tmpfs() -> Option<Self> {
        let mounted = Self { directory: tempfile::tempdir().unwrap(), device: None };
        let size = format!("size={BYTES}");
        said(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs", path(&mounted.root())?])?;
        Some(mounted)
    }

    /// In a file, by way of a loop device.
    pub fn ext4() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        File::create(&image).unwrap().set_len(BYTES).unwrap();
        said(&["mkfs.ext4", "-q", "-m", "0", path(&image)?])?;
        let device = said(&["losetup", "--find", "--show", path(&image)?])?.trim().to_owned();
        let mounted = Self { directory, device: Some(device.clone()) };
        let root = mounted.root();
        said(&["mount", "-t", "ext4", "-o", "errors=remount-ro", &device, path(&root)?])?;
        Some(mounted)
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        let root = self.directory.path().join("root");
        fs::create_dir_all(&root).unwrap();
        root
    }

    pub fn remount(&self, how: &str) -> bool {
        let option = format!("remount,{how}");
        path(&self.root()).is_some_and(|root| said(&["mount", "-o", &option, root]).is_some())
    }

    /// Makes the operating system find the file system damaged, so that it turns read-only under
    /// whoever uses it; false where that is not possible.
    pub fn turn_read_only(&self) -> bool {
        let Some(name) = self.device.as_deref().and_then(|path| path.rsplit('/').next()) else {
            return false;
        };
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "1").is_ok()
    }

    /// Takes all room that is left; removing the file gives it back.
    pub fn fill(&self) -> PathBuf {
        let ballast = self.root().join("ballast");
        let mut file = File::create(&ballast).unwrap();
        for piece in [1 << 20, 4096, 512] {
            let piece = vec![1_u8; piece];
            let full = loop {
                if let Err(error) = file.write_all(&piece).and_then(|()| file.sync_data()) {
                    break error;
                }
            };
            assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
        }
        ballast
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: after a failure something may still be open.
        if let Some(root) = path(&self.root()) {
            said(&["umount", "--lazy", root]);
        }
        if let Some(device) = &self.device {
            said(&["losetup", "--detach", device]);
        }
    }
}

fn path(path: &Path) -> Option<&str> {
    path.to_str()
}

/// Runs a command; what it says, unless it fails or is not there.
pub fn said(words: &[&str]) -> Option<String> {
    let output = Command::new(words[0]).args(&words[1..]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
