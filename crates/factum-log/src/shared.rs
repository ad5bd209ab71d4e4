//! What the handle, the writer, the readers and the housekeeper of one log share.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use factum_event::Clock;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::ahead::Ahead;
use crate::disk::{Disk, DiskFile};
use crate::journal::index::Sealed;
use crate::journal::{FIRST_SEGMENT, index_path, journal_path};
use crate::metrics::Counters;
use crate::mutants::Mutant;
use crate::partitions::Partitions;
use crate::queue::Queue;
use crate::settings::LogSettings;
use crate::spare::Spare;
use crate::starts::Starts;
use crate::unread::Unread;

/// Open files that are kept for readers.
const MAX_OPEN_FILES: usize = 96;

/// What is said once no journal is sealed any more.
pub(crate) const SEALER_ENDED: u64 = u64::MAX;

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: LogSettings,
    pub(crate) mutant: Mutant,
    pub(crate) partitions: Partitions,
    pub(crate) queue: Queue,
    pub(crate) files: Files,
    pub(crate) ahead: Ahead,
    pub(crate) unread: Unread,
    pub(crate) counters: Counters,
    pub(crate) spare: Spare,
    /// Journals and segments by number; the active journal, the last of its kind, has no `Sealed`.
    pub(crate) journals: Mutex<BTreeMap<u64, Option<Sealed>>>,
    /// Where partitions begin that were cut; held while it is written.
    pub(crate) starts: Mutex<Starts>,
    /// The number of the next segment; held while one is written: there is one at a time.
    pub(crate) next_segment: Mutex<u64>,
    /// The last journal that was sealed, or found damaged; [`SEALER_ENDED`] at the end.
    pub(crate) sealed_until: watch::Sender<u64>,
    /// Closed with the log.
    open: Semaphore,
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, settings: LogSettings) -> Self {
        Self {
            files: Files { disk: Arc::clone(&disk), open: Mutex::default() },
            ahead: Ahead::default(),
            unread: Unread::default(),
            disk,
            clock,
            settings,
            mutant: Mutant::None,
            partitions: Partitions::default(),
            queue: Queue::new(settings.queue_bytes),
            counters: Counters::default(),
            spare: Spare::default(),
            journals: Mutex::default(),
            starts: Mutex::default(),
            next_segment: Mutex::new(FIRST_SEGMENT),
            sealed_until: watch::Sender::new(0),
            open: Semaphore::new(0),
        }
    }

    pub(crate) fn close(&self) {
        self.open.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.open.is_closed()
    }

    /// Completes when the log is closed.
    pub(crate) async fn closed(&self) {
        // No permit is ever there: what comes is the end.
        let _ = self.open.acquire().await;
    }
}

/// A file that readers open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKey {
    Journal(u64),
    /// A journal, past the cache of the system.
    JournalDirect(u64),
    Index(u64),
}

impl FileKey {
    pub(crate) fn path(self) -> String {
        match self {
            Self::Journal(number) | Self::JournalDirect(number) => journal_path(number),
            Self::Index(number) => index_path(number),
        }
    }

    fn open(self, disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
        match self {
            Self::Journal(_) | Self::Index(_) => disk.open(&self.path()),
            Self::JournalDirect(_) => disk.open_direct(&self.path()),
        }
    }
}

/// Open files, the least recently used first; few, whatever the size of the log.
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    open: Mutex<VecDeque<(FileKey, Arc<dyn DiskFile>)>>,
}

impl Files {
    pub(crate) fn get(&self, key: FileKey) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.open.lock();
        let known = open.iter().rposition(|(known, _)| *known == key);
        let (_, file) = match known.and_then(|at| open.remove(at)) {
            Some(found) => found,
            None => (key, key.open(self.disk.as_ref())?),
        };
        if open.len() >= MAX_OPEN_FILES {
            // A file that is being sent stays open anyway: closing it here would open it twice.
            let idle = open.iter().position(|(_, file)| Arc::strong_count(file) == 1);
            open.remove(idle.unwrap_or(0));
        }
        open.push_back((key, Arc::clone(&file)));
        Ok(file)
    }

    /// Closes a file that was replaced or removed; readers that have it may finish.
    pub(crate) fn forget(&self, key: FileKey) {
        self.open.lock().retain(|(known, _)| *known != key);
    }
}
