//! [`Log`]: the handle that everything above uses.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use factum_event::batch::Batch;
use factum_event::{Clock, Offset, Timestamp, TopicId};
use parking_lot::Mutex;

use crate::ahead::{MAX_IN_MEMORY, Next};
use crate::disk::{Disk, DiskLock, Space};
use crate::entry::{Extent, PartitionId, StoredBatch};
use crate::error::{AppendError, OpenError, ReadError, Trying};
use crate::housekeeper::Task;
use crate::journal::FIRST_SEGMENT;
use crate::metrics::LogMetrics;
use crate::mutants::Mutant;
use crate::partitions::{PartitionState, Plan};
use crate::queue::{Appending, Item, Reservation};
use crate::reader::{self, MAX_READ_BYTES, Readers, THREADS, run_jobs};
use crate::recovery::{Recovery, check_format, recover};
use crate::region::PartitionSlice;
use crate::settings::LogSettings;
use crate::shared::{SEALER_ENDED, Shared};
use crate::waiter::Waiter;
use crate::workers::{Workers, assemble};

pub(crate) const LOCK_FILE: &str = "factum.lock";

/// The log of one data directory; clones are the same log. It closes with its last handle.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    readers: Readers,
    tasks: Mutex<Option<Arc<SyncSender<Task>>>>,
    threads: Mutex<Threads>,
}

struct Threads {
    /// In the order in which they end.
    running: Vec<JoinHandle<()>>,
    /// None where the log was closed, and where it has no threads.
    lock: Option<Box<dyn DiskLock>>,
}

/// A read whose place is known.
enum Begun {
    Memory(Vec<StoredBatch>),
    /// With the file that it begins in.
    Disk(Arc<PartitionState>, u64),
}

impl Log {
    /// Opens the log on `disk`, or creates one; cuts off what a crash left half-written.
    ///
    /// # Errors
    /// [`OpenError`]: the directory is in use, of a newer format, damaged, or not accessible.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: LogSettings,
    ) -> Result<(Self, Recovery), OpenError> {
        let (log, workers, recovery) = Self::open_stepped(disk, clock, settings)?;
        let Workers { writer, housekeeper, tasks, sealer, woken, jobs, shared, lock, .. } = workers;
        // From here on dropping the handle ends what was started.
        log.inner.threads.lock().lock = Some(lock);
        log.start("factum-log-write", move || writer.run())?;
        log.start("factum-log-spare", move || {
            shared.spare.run(shared.disk.as_ref(), &shared.settings);
        })?;
        log.start("factum-log-keep", move || housekeeper.run(&tasks))?;
        log.start("factum-log-seal", move || sealer.run(&woken))?;
        for _ in 0..THREADS {
            let jobs = Arc::clone(&jobs);
            log.start("factum-log-read", move || run_jobs(&jobs))?;
        }
        Ok((log, recovery))
    }

    /// As [`open`](Self::open), but without threads: what they would do is done by the steps of
    /// the [`Workers`], so that a simulation rules every interleaving. The same disk, clock,
    /// settings and order of calls give the same answers. Nothing blocks, [`close`](Self::close)
    /// neither: it is complete when [`Workers::finish`] returns. Futures of the log are to be
    /// polled between steps, not waited for.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_stepped(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: LogSettings,
    ) -> Result<(Self, Workers, Recovery), OpenError> {
        Self::open_mutant(disk, clock, settings, Mutant::None)
    }

    /// As [`open_stepped`](Self::open_stepped), broken on purpose.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_mutant(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: LogSettings,
        mutant: Mutant,
    ) -> Result<(Self, Workers, Recovery), OpenError> {
        let lock = disk.lock(LOCK_FILE).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked { directory: disk.location() },
            _ => OpenError::Io { action: format!("lock {}", disk.location()), source },
        })?;
        check_format(disk.as_ref())?;
        let mut shared = Shared::new(disk, clock, settings.bounded());
        shared.mutant = mutant;
        let shared = Arc::new(shared);
        let (active, recovery) = recover(&shared)?;
        let (workers, tasks, readers) = assemble(&shared, active, lock)?;
        let threads = Mutex::new(Threads { running: Vec::new(), lock: None });
        let inner = Inner { shared, readers, tasks: Mutex::new(Some(tasks)), threads };
        Ok((Self { inner: Arc::new(inner) }, workers, recovery))
    }

    fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let thread = thread::Builder::new().name(name.into()).spawn(run);
        let thread = thread.trying(|| format!("start the thread {name}"))?;
        self.inner.threads.lock().running.push(thread);
        Ok(())
    }

    /// Waits until `bytes` more may be queued; a batch larger than the queue gets all of it.
    ///
    /// # Errors
    /// [`AppendError`] where nothing is appended any more.
    pub async fn reserve(&self, bytes: usize) -> Result<Reservation, AppendError> {
        self.inner.shared.queue.reserve(bytes).await
    }

    /// Gives a batch its offset and queues it: two calls for one partition get their offsets in
    /// the order of the calls. The batch becomes durable, and then readable, later.
    ///
    /// # Errors
    /// [`AppendError`]: nothing is appended any more, or the topic was removed.
    pub fn append(
        &self,
        room: Reservation,
        partition: PartitionId,
        batch: Batch,
    ) -> Result<Appending, AppendError> {
        let shared = &self.inner.shared;
        let state = shared.partitions.get_or_create(partition).ok_or(AppendError::Removed)?;
        let mut inner = state.lock();
        if inner.removed {
            return Err(AppendError::Removed);
        }
        let base_offset = inner.next_offset();
        let next = base_offset.plus(batch.header().offsets());
        let (item, appending) = Item::new(room, Arc::clone(&state), base_offset, batch);
        // Under the lock of the partition: the queue has the order of the offsets.
        shared.queue.push(item)?;
        inner.next = Some(next);
        Ok(appending)
    }

    /// The offset that the next batch of a partition gets: what is queued counts, durable or not.
    #[must_use]
    pub fn next_offset(&self, partition: PartitionId) -> Offset {
        let state = self.inner.shared.partitions.get(partition);
        state.map_or(Offset::ZERO, |state| state.lock().next_offset())
    }

    /// What of a partition can be read; of an unknown one, nothing: 0 to 0.
    #[must_use]
    pub fn extent(&self, partition: PartitionId) -> Extent {
        let state = self.inner.shared.partitions.get(partition);
        state.map_or(Extent::EMPTY, |state| state.lock().extent())
    }

    /// Whole batches from the one that contains `from`, up to `max_bytes`; at least one, if there
    /// is any. A read may return less than it could; what it returns is without gaps.
    ///
    /// # Errors
    /// [`ReadError`]; from the end of the partition, nothing is read without an error.
    pub async fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<StoredBatch>, ReadError> {
        let max_bytes = max_bytes.min(MAX_READ_BYTES);
        match self.begin_read(partition, from, max_bytes)? {
            Begun::Memory(batches) => Ok(batches),
            Begun::Disk(state, _) => {
                let shared = Arc::clone(&self.inner.shared);
                let work =
                    move |buffer: &mut [u8]| reader::read(&shared, &state, from, max_bytes, buffer);
                self.inner.readers.run(work).await
            }
        }
    }

    /// The same batches as [`read`](Self::read), to be sent as they are: those on the disk are
    /// checked and stay there, but for those that nobody has read so far.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_regions(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<PartitionSlice, ReadError> {
        let max_bytes = max_bytes.min(MAX_READ_BYTES);
        let (state, journal) = match self.begin_read(partition, from, max_bytes)? {
            Begun::Memory(batches) => return Ok(PartitionSlice::of_batches(batches, from)),
            Begun::Disk(state, journal) => (state, journal),
        };
        let slice = match self.prepared(Next { partition, from, journal }, max_bytes).await {
            Some(slice) => slice,
            None => {
                let (shared, state) = (Arc::clone(&self.inner.shared), Arc::clone(&state));
                let work = move |buffer: &mut [u8]| {
                    reader::read_regions(&shared, &state, from, max_bytes, buffer)
                };
                self.inner.readers.run(work).await?
            }
        };
        if let Some((journal, position)) = slice.read_to() {
            self.inner.shared.unread.mark(journal, position);
        }
        if slice.len() >= self.inner.shared.settings.read_ahead_from {
            self.prepare(state, slice.next, max_bytes);
        }
        Ok(slice)
    }

    /// What was read ahead; none of it if that has failed, or is more than is wanted.
    async fn prepared(&self, next: Next, max_bytes: usize) -> Option<PartitionSlice> {
        let shared = &self.inner.shared;
        let (answer, was_to_have) = shared.ahead.take(next, shared.clock.as_ref())?;
        let slice = answer.await.ok()?.ok()?;
        // A single batch may be larger than either.
        let fits = !slice.is_empty() && (slice.len() <= max_bytes || was_to_have <= max_bytes);
        fits.then_some(slice)
    }

    /// Has a reader check what follows, if nobody does.
    fn prepare(&self, state: Arc<PartitionState>, from: Offset, max_bytes: usize) {
        let shared = &self.inner.shared;
        let plan = state.lock().plan_read(from, max_bytes);
        let Some(journal) = plan.ok().as_ref().and_then(Plan::journal) else { return };
        let next = Next { partition: state.id, from, journal };
        if shared.ahead.has(next) {
            return;
        }
        let of = Arc::clone(shared);
        let work = move |buffer: &mut [u8]| {
            let slice = reader::read_regions(&of, &state, from, max_bytes, buffer)?;
            let is_small = slice.takes_little(MAX_IN_MEMORY);
            Ok(if is_small { slice } else { PartitionSlice::empty(from) })
        };
        if let Some(answer) = self.inner.readers.begin(work) {
            shared.ahead.put(next, max_bytes, answer, shared.clock.as_ref());
        }
    }

    fn begin_read(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Begun, ReadError> {
        let partitions = &self.open_shared()?.partitions;
        let Some(state) = partitions.get(partition) else {
            let Extent { start, end } = Extent::EMPTY;
            return if partitions.is_removed(partition.topic) {
                Err(ReadError::Removed)
            } else if from == end {
                Ok(Begun::Memory(vec![]))
            } else {
                Err(ReadError::OutOfRange { from, start, end })
            };
        };
        let plan = state.lock().plan_read(from, max_bytes)?;
        let journal = plan.journal();
        match plan {
            Plan::Nothing => Ok(Begun::Memory(Vec::new())),
            Plan::Tail(batches) => {
                self.count_tail(&batches);
                Ok(Begun::Memory(batches))
            }
            Plan::Entries(_) | Plan::Sealed(_) => {
                let nothing = Begun::Memory(Vec::new());
                Ok(journal.map_or(nothing, |journal| Begun::Disk(state, journal)))
            }
        }
    }

    /// The first batch whose largest timestamp is `time` or later, of those that have `from` or a
    /// later offset.
    ///
    /// # Errors
    /// [`ReadError`], but never of a range.
    pub async fn find_time(
        &self,
        partition: PartitionId,
        from: Offset,
        time: Timestamp,
    ) -> Result<Option<StoredBatch>, ReadError> {
        let shared = self.open_shared()?;
        let Some(state) = shared.partitions.get(partition) else {
            return Ok(None);
        };
        let plan = state.lock().plan_time(time, from);
        match plan {
            Plan::Nothing => Ok(None),
            Plan::Tail(batches) => {
                self.count_tail(&batches);
                Ok(batches.into_iter().next())
            }
            Plan::Entries(_) | Plan::Sealed(_) => {
                let shared = Arc::clone(shared);
                let work =
                    move |buffer: &mut [u8]| reader::find_time(&shared, &state, from, time, buffer);
                self.inner.readers.run(work).await
            }
        }
    }

    /// The batch with the largest timestamp; of several, the first.
    ///
    /// # Errors
    /// As [`find_time`](Self::find_time).
    pub async fn find_max_timestamp(
        &self,
        partition: PartitionId,
    ) -> Result<Option<StoredBatch>, ReadError> {
        let state = self.open_shared()?.partitions.get(partition);
        let largest = state.and_then(|state| state.lock().max_timestamp());
        match largest {
            Some(time) => self.find_time(partition, Offset::ZERO, time).await,
            None => Ok(None),
        }
    }

    /// Something that waits until there is more to read in one of the partitions.
    #[must_use]
    pub fn waiter(&self, partitions: &[PartitionId]) -> Waiter {
        Waiter::new(&self.inner.shared, partitions)
    }

    /// Forgets the partitions of a topic, for good; a journal of which nothing is left is deleted.
    /// What waits for them is woken. To be called again after every opening.
    pub fn remove_topic(&self, topic: TopicId) {
        self.inner.shared.partitions.remove_topic(topic);
        self.give(Task::Sweep);
    }

    /// Whether a topic was removed, as far as this log has been told.
    #[must_use]
    pub fn is_removed(&self, topic: TopicId) -> bool {
        self.inner.shared.partitions.is_removed(topic)
    }

    /// Seals the open journal soon, unless it is empty: what is in it can be
    /// [cleaned](Self::clean) then.
    pub fn seal(&self) {
        self.inner.shared.queue.want_seal();
    }

    /// Gives the housekeeper something to do. Where tasks are waiting already, each of them sweeps.
    pub(crate) fn give(&self, task: Task) {
        if let Some(tasks) = &*self.inner.tasks.lock() {
            let _ = tasks.try_send(task);
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    pub(crate) fn shared_arc(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// Completes when every journal that is full now was checked once more and has its seal, or
    /// was found damaged.
    ///
    /// # Errors
    /// [`ReadError::Closed`].
    pub async fn sealed(&self) -> Result<(), ReadError> {
        let shared = self.open_shared()?;
        let full = |(&number, sealed): (&u64, &Option<_>)| sealed.is_some().then_some(number);
        let newest =
            shared.journals.lock().range(..FIRST_SEGMENT).filter_map(full).max().unwrap_or(0);
        let mut until = shared.sealed_until.subscribe();
        let reached = until.wait_for(|&number| number >= newest).await;
        let reached = reached.map_or(SEALER_ENDED, |number| *number);
        if reached == SEALER_ENDED { Err(ReadError::Closed) } else { Ok(()) }
    }

    /// Why nothing is appended any more, if a write or a flush has failed.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.inner.shared.queue.failure()
    }

    /// Why nothing is appended for now, while the disk is full or the like. The log goes on by
    /// itself when that is put right.
    #[must_use]
    pub fn stalled(&self) -> Option<String> {
        self.inner.shared.queue.stalled()
    }

    /// Whether the log was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.shared.is_closed()
    }

    /// What people call the place of the log.
    #[must_use]
    pub fn location(&self) -> String {
        self.inner.shared.disk.location()
    }

    /// How much room there is for the log.
    ///
    /// # Errors
    /// As the disk says: [`Disk::space`].
    pub fn space(&self) -> io::Result<Space> {
        self.inner.shared.disk.space()
    }

    /// What the log has done and holds.
    #[must_use]
    pub fn metrics(&self) -> LogMetrics {
        let shared = &self.inner.shared;
        let (journals, segments) = {
            let files = shared.journals.lock();
            let segments = files.range(FIRST_SEGMENT..).count();
            (files.len() - segments, segments)
        };
        LogMetrics {
            segments: segments as u64,
            is_stalled: self.stalled().is_some(),
            has_failed: self.failure().is_some(),
            ..shared.counters.read(shared.queue.bytes(), journals)
        }
    }

    /// Writes and flushes what is queued, ends the threads, and gives the directory free. Every
    /// call after this is answered with `Closed`. Blocks as long as the last flush takes; what
    /// cannot be written because the log is stalled is tried once more, and then refused.
    pub fn close(&self) {
        self.inner.close();
    }

    fn open_shared(&self) -> Result<&Arc<Shared>, ReadError> {
        let shared = &self.inner.shared;
        if shared.is_closed() { Err(ReadError::Closed) } else { Ok(shared) }
    }

    fn count_tail(&self, batches: &[StoredBatch]) {
        let bytes: usize = batches.iter().map(StoredBatch::len).sum();
        self.inner.shared.counters.bytes_read_tail.fetch_add(bytes as u64, Relaxed);
    }
}

impl Inner {
    fn close(&self) {
        self.shared.queue.close();
        // The housekeeper ends with its last sender; the writer has the other one.
        self.tasks.lock().take();
        self.shared.close();
        self.shared.spare.close();
        self.readers.close();
        let mut threads = self.threads.lock();
        if threads.lock.is_none() {
            return;
        }
        for thread in threads.running.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked: a defect, please report it");
            }
        }
        self.shared.spare.discard(self.shared.disk.as_ref());
        threads.lock = None;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use factum_event::{Partition, SystemClock};
    use pollster::block_on;
    use uuid::Uuid;

    use super::*;
    use crate::disk::sim::SimDisk;

    /// The smallest batch: one offset, no records.
    fn batch() -> Batch {
        let mut bytes = [0; 61];
        bytes[8..12].copy_from_slice(&49_i32.to_be_bytes());
        bytes[16] = 2;
        let crc = factum_event::batch::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Batch::parse(Bytes::copy_from_slice(&bytes)).unwrap()
    }

    #[test]
    fn memory_does_not_grow_with_the_number_of_batches() {
        let settings =
            LogSettings { journal_bytes: 8 << 10, tail_bytes: 4096, ..LogSettings::default() };
        let clock = Arc::new(SystemClock::new());
        let (log, _) = Log::open(Arc::new(SimDisk::new(1)), clock, settings).unwrap();
        let topic = TopicId(Uuid::nil());
        let id = PartitionId { topic, partition: Partition::ZERO };
        for _ in 0..1000 {
            let room = block_on(log.reserve(61)).unwrap();
            block_on(log.append(room, id, batch()).unwrap()).unwrap();
        }
        log.close();
        let shared = &log.inner.shared;
        let (entries, bytes) = shared.partitions.get(id).unwrap().lock().in_memory();
        assert!(entries <= 8192 / 192, "{entries} entries: only those of the open journal");
        assert!(bytes <= 4096 / 61, "{bytes} batches in the tail");
        let metrics = log.metrics();
        assert!(metrics.tail_bytes <= 4096 && metrics.journals + metrics.segments > 20);
    }
}
