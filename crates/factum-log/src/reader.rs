//! Reads of what is no longer in memory: positioned reads on a few threads of the log's own.
//!
//! Every batch is checked against its entry before it is served; what does not match is reported
//! with its place and never returned. A thread reads through one small buffer of its own: batches
//! that are only passed on stay in the page cache, from where they are sent. What nobody has read
//! so far is read past it (`unread`), and sent from memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Bytes, BytesMut};
use factum_event::{Offset, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::disk::DiskFile;
use crate::entry::{BatchEntry, Extent, PartitionId, StoredBatch};
use crate::error::ReadError;
use crate::housekeeper::reinstall;
use crate::journal::index::{List, ListError, Summary};
use crate::journal::journal_path;
use crate::partitions::{Limit, PartitionState, Plan};
use crate::recovery::rebuild_index;
use crate::region::{Gatherer, PartitionSlice};
use crate::shared::{FileKey, Shared};
use crate::unread::PIECE_BYTES;
use crate::window::{Fault, MAX_GAP, WINDOW_BYTES, check_large, read_window, windows};

/// Threads that read.
pub(crate) const THREADS: usize = 2;

/// Reads that may wait for a thread; more wait for room.
const MAX_WAITING: usize = 256;

/// The most that one read returns, whatever is asked for, but for a single larger batch.
pub(crate) const MAX_READ_BYTES: usize = 64 << 20;

/// What one read of the disk does at most, but for a single larger batch: then it is another
/// reader's turn. Bytes, and for every place that is sought as much as a gap.
const TURN_BYTES: u64 = 4 << 20;

/// How often a read looks again because a file was moved meanwhile.
const MAX_MOVES: usize = 3;

/// Work for a reader thread, which lends its buffer.
type Job = Box<dyn FnOnce(&mut [u8]) + Send>;

/// The way to the reader threads.
pub(crate) struct Readers {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

/// What the reader threads share: the end where jobs come out.
pub(crate) type Jobs = Arc<Mutex<mpsc::Receiver<Job>>>;

impl Readers {
    pub(crate) fn new() -> (Self, Jobs) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self { jobs: Mutex::new(Some(sender)) }, Arc::new(Mutex::new(receiver)))
    }

    /// Runs `work` on a reader thread, unless nobody waits for it any more; it is lent a buffer of
    /// [`WINDOW_BYTES`]. First come, first served.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut [u8]) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let jobs = self.jobs.lock().clone().ok_or(ReadError::Closed)?;
        let (job, answer) = job(work);
        jobs.send(job).await.map_err(|_| ReadError::Closed)?;
        drop(jobs);
        answer.await.unwrap_or(Err(ReadError::Closed))
    }

    /// As [`run`](Self::run), but waits neither for room nor for the answer; none without room.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut [u8]) -> Result<T, ReadError> + Send + 'static,
    ) -> Option<oneshot::Receiver<Result<T, ReadError>>> {
        let (job, answer) = job(work);
        self.jobs.lock().as_ref()?.try_send(job).ok()?;
        Some(answer)
    }

    pub(crate) fn close(&self) {
        self.jobs.lock().take();
    }
}

/// Work with a way back for its result; it is left out if nobody waits for that any more.
fn job<T: Send + 'static>(
    work: impl FnOnce(&mut [u8]) -> Result<T, ReadError> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, ReadError>>) {
    let (done, answer) = oneshot::channel();
    let job = move |buffer: &mut [u8]| {
        if !done.is_closed() {
            let _ = done.send(work(buffer));
        }
    };
    (Box::new(job), answer)
}

/// The loop of a reader thread.
pub(crate) fn run_jobs(jobs: &Jobs) {
    let mut buffer = vec![0; WINDOW_BYTES];
    // One thread waits for the channel, the others for the lock.
    while let Some(job) = { jobs.lock().blocking_recv() } {
        job(&mut buffer);
    }
}

/// Whole batches from the one that contains `from`, up to `max_bytes`.
pub(crate) fn read(
    shared: &Shared,
    partition: &PartitionState,
    from: Offset,
    max_bytes: usize,
    buffer: &mut [u8],
) -> Result<Vec<StoredBatch>, ReadError> {
    following(|| match locate_from(shared, partition, from, max_bytes)? {
        Found::Tail(batches) => Ok(batches),
        Found::Disk(entries) => fetch(shared, partition, &entries, buffer),
    })
}

/// Looks again where a file was moved between looking up what it has and opening it.
pub(crate) fn following<T>(mut read: impl FnMut() -> Result<T, ReadError>) -> Result<T, ReadError> {
    for _ in 0..MAX_MOVES {
        match read() {
            Err(ReadError::Moved { .. }) => {}
            other => return other,
        }
    }
    read()
}

/// The same batches as [`read`], checked and left where they are, or in memory that was lent.
pub(crate) fn read_regions(
    shared: &Shared,
    partition: &PartitionState,
    from: Offset,
    max_bytes: usize,
    buffer: &mut [u8],
) -> Result<PartitionSlice, ReadError> {
    following(|| match locate_from(shared, partition, from, max_bytes)? {
        Found::Tail(batches) => Ok(PartitionSlice::of_batches(batches, from)),
        Found::Disk(entries) => gather(shared, partition, &entries, from, buffer),
    })
}

/// The first batch whose largest timestamp is `time` or later.
pub(crate) fn find_time(
    shared: &Shared,
    partition: &PartitionState,
    from: Offset,
    time: Timestamp,
    buffer: &mut [u8],
) -> Result<Option<StoredBatch>, ReadError> {
    let start = partition.lock().extent().start.max(from);
    let plan = |after: Option<Offset>| Ok(partition.lock().plan_time(time, after.unwrap_or(start)));
    let wanted = |e: &BatchEntry| e.max_timestamp >= time && e.last_offset >= start;
    let found = following(|| {
        locate(shared, partition, plan, |list| {
            for block in list.first_block(|_, max| max >= time)?..list.blocks() {
                if let Some(entry) = list.block(block)?.0.into_iter().find(wanted) {
                    return Ok(vec![entry]);
                }
            }
            // What this file has of that time is cut off: the next one may have more.
            Ok(Vec::new())
        })
        .and_then(|found| match found {
            Found::Tail(batches) => Ok(batches),
            Found::Disk(entries) => fetch(shared, partition, &entries, buffer),
        })
    });
    Ok(found?.into_iter().next())
}

/// Where batches are.
enum Found {
    Tail(Vec<StoredBatch>),
    Disk(Vec<BatchEntry>),
}

/// Counts what one read does, up to its limits; the first batch is always admitted.
struct Turn {
    limit: Limit,
    done: u64,
    end: Option<(u64, u64)>,
}

impl Turn {
    fn new(max_bytes: usize) -> Self {
        Self { limit: Limit::new(max_bytes), done: 0, end: None }
    }

    fn admits(&mut self, entry: &BatchEntry) -> bool {
        if self.done >= TURN_BYTES || !self.limit.admits(entry.length as usize) {
            return false;
        }
        let gap = match self.end {
            Some((journal, end)) if journal == entry.journal => entry.position.saturating_sub(end),
            _ => MAX_GAP,
        };
        self.done += u64::from(entry.length) + gap.min(MAX_GAP);
        self.end = Some((entry.journal, entry.end_position()));
        true
    }
}

fn locate_from(
    shared: &Shared,
    partition: &PartitionState,
    from: Offset,
    max_bytes: usize,
) -> Result<Found, ReadError> {
    let plan = |after: Option<Offset>| partition.lock().plan_read(after.unwrap_or(from), max_bytes);
    let found = locate(shared, partition, plan, |list| {
        let reached = |entries: &[BatchEntry], _| entries.iter().any(|e| e.last_offset >= from);
        let mut turn = Turn::new(max_bytes);
        let mut wanted = Vec::new();
        for block in list.first_block(reached)?..list.blocks() {
            for entry in list.block(block)?.0 {
                if entry.last_offset < from {
                    continue;
                }
                if !turn.admits(&entry) {
                    return Ok(wanted);
                }
                wanted.push(entry);
            }
        }
        Ok(wanted)
    })?;
    Ok(match found {
        Found::Tail(batches) => Found::Tail(batches),
        Found::Disk(mut entries) => {
            // Those without an index were planned by bytes alone.
            let mut turn = Turn::new(max_bytes);
            entries.truncate(entries.iter().take_while(|entry| turn.admits(entry)).count());
            Found::Disk(entries)
        }
    })
}

/// Follows a plan to the batches. A damaged index is built again, once. A journal that has nothing
/// of what is wanted is passed over: the next plan is for what is after it.
fn locate(
    shared: &Shared,
    partition: &PartitionState,
    plan: impl Fn(Option<Offset>) -> Result<Plan, ReadError>,
    from_list: impl Fn(&List<'_>) -> Result<Vec<BatchEntry>, ListError>,
) -> Result<Found, ReadError> {
    let (mut rebuilt, mut after) = (false, None);
    // It ends: each turn is the last, or behind one more journal, or the one that builds an index.
    loop {
        let summary = match plan(after)? {
            Plan::Nothing => return Ok(Found::Disk(Vec::new())),
            Plan::Tail(batches) => return Ok(Found::Tail(batches)),
            Plan::Entries(entries) => return Ok(Found::Disk(entries)),
            Plan::Sealed(summary) => summary,
        };
        match index_of(shared, partition.id, summary, &from_list) {
            Ok(entries) if entries.is_empty() => after = Some(summary.last.next()),
            Ok(entries) => return Ok(Found::Disk(entries)),
            Err(ListError::Damaged(reason)) if !rebuilt => {
                rebuild(shared, partition, summary.journal, &reason)?;
                rebuilt = true;
            }
            Err(ListError::Damaged(reason)) => {
                return Err(unindexed(partition, summary.journal, 0, reason));
            }
            Err(ListError::Io(error)) => return Err(failed(partition, summary.journal, &error)),
        }
    }
}

pub(crate) fn index_of(
    shared: &Shared,
    id: PartitionId,
    summary: Summary,
    from_list: impl Fn(&List<'_>) -> Result<Vec<BatchEntry>, ListError>,
) -> Result<Vec<BatchEntry>, ListError> {
    match shared.files.get(FileKey::Index(summary.journal)) {
        Ok(file) => from_list(&List { file: file.as_ref(), id, summary }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ListError::Damaged("the index is missing".into()))
        }
        Err(error) => Err(ListError::Io(error)),
    }
}

/// Builds a damaged index again while the log is open.
pub(crate) fn rebuild(
    shared: &Shared,
    partition: &PartitionState,
    journal: u64,
    reason: &str,
) -> Result<(), ReadError> {
    let path = FileKey::Index(journal).path();
    tracing::warn!("{path} is damaged ({reason}); it is built again from the journal");
    match rebuild_index(shared.disk.as_ref(), journal) {
        Ok(Ok(index)) => {
            reinstall(shared, &index);
            Ok(())
        }
        Ok(Err((position, reason))) => {
            let reason = format!("{reason}; its index is damaged too");
            Err(unindexed(partition, journal, position, reason))
        }
        Err(error) => Err(failed(partition, journal, &error)),
    }
}

/// What a partition has in a journal of which neither the content nor the index is sound.
fn unindexed(partition: &PartitionState, journal: u64, position: u64, reason: String) -> ReadError {
    let (inner, id) = (partition.lock(), partition.id);
    let known = inner.summary_of(journal).map(|summary| (summary.base, summary.last));
    let Extent { start, end } = inner.extent();
    let (first, last) = known.unwrap_or((start, end));
    let (file, PartitionId { topic, partition }) = (journal_path(journal), id);
    tracing::error!(
        "{file} is damaged at byte {position} (topic {topic}, partition {partition}, offsets \
         {first} to {last}): {reason}"
    );
    ReadError::Damaged { file, position, topic, partition, first, last, reason }
}

/// What an error of the operating system means to a reader of a journal.
pub(crate) fn failed(partition: &PartitionState, journal: u64, error: &io::Error) -> ReadError {
    let inner = partition.lock();
    if inner.removed {
        // The journal went with the topic while this read was on its way.
        return ReadError::Removed;
    }
    let file = journal_path(journal);
    match error.kind() {
        io::ErrorKind::NotFound => ReadError::Moved { file },
        _ => ReadError::io(format!("read {file}"), error),
    }
}

/// Reads batches into memory. Where one is damaged, those before it are returned; it is an error
/// when it is the first.
pub(crate) fn fetch(
    shared: &Shared,
    partition: &PartitionState,
    entries: &[BatchEntry],
    buffer: &mut [u8],
) -> Result<Vec<StoredBatch>, ReadError> {
    let mut batches = Vec::with_capacity(entries.len());
    let done = each_window(shared, partition, entries, WINDOW_BYTES, |file, window| {
        fetch_window(file.as_ref(), window, buffer, &mut batches)
    });
    count_read(shared, batches.iter().map(StoredBatch::len).sum());
    match done {
        Err(error) if batches.is_empty() => Err(error),
        _ => Ok(batches),
    }
}

fn fetch_window(
    file: &dyn DiskFile,
    window: &[BatchEntry],
    buffer: &mut [u8],
    batches: &mut Vec<StoredBatch>,
) -> Result<(), Fault> {
    if let [entry] = window {
        let mut own = vec![0; entry.length as usize];
        read_window(file, window, &mut own, &mut |_, _| {})?;
        batches.push(StoredBatch::split(*entry, &Bytes::from(own)));
        return Ok(());
    }
    // Without what stands between them: they may be in memory for long.
    let mut packed = BytesMut::with_capacity(window.iter().map(|e| e.length as usize).sum());
    let mut sound = 0;
    let read = read_window(file, window, buffer, &mut |_, batch| {
        packed.extend_from_slice(batch);
        sound += 1;
    });
    let mut packed = packed.freeze();
    let split =
        |entry: &BatchEntry| StoredBatch::split(*entry, &packed.split_to(entry.length as usize));
    batches.extend(window[..sound].iter().map(split));
    read
}

/// Checks batches and leaves them in their files, as far as they are worth it; those of a large read
/// that nobody has read so far come in memory. Where one is damaged, it is as with [`fetch`].
fn gather(
    shared: &Shared,
    partition: &PartitionState,
    entries: &[BatchEntry],
    from: Offset,
    buffer: &mut [u8],
) -> Result<PartitionSlice, ReadError> {
    let wanted: usize = entries.iter().map(|entry| entry.length as usize).sum();
    let reads_on = wanted >= shared.settings.read_ahead_from;
    let most = if reads_on { PIECE_BYTES } else { WINDOW_BYTES };
    let mut gatherer = Gatherer::default();
    let done = each_window(shared, partition, entries, most, |file, piece| {
        match reads_on.then(|| read_unread(shared, piece)).flatten() {
            Some(bytes) => gatherer.take_lent(piece, &bytes),
            None => windows(piece, WINDOW_BYTES)
                .try_for_each(|window| gather_window(file, window, buffer, &mut gatherer))?,
        }
        let end = piece.last().filter(|_| reads_on);
        gatherer.read_to = end.map(|entry| (entry.journal, entry.end_position()));
        Ok(())
    });
    if let Err(error) = done
        && gatherer.is_empty()
    {
        return Err(error);
    }
    let slice = gatherer.finish(from);
    count_read(shared, slice.len());
    Ok(slice)
}

fn gather_window(
    file: &Arc<dyn DiskFile>,
    window: &[BatchEntry],
    buffer: &mut [u8],
    gatherer: &mut Gatherer,
) -> Result<(), Fault> {
    match window {
        [entry] if entry.length as usize > buffer.len() => {
            check_large(file.as_ref(), entry, buffer)?;
            gatherer.take(file, entry, None);
            Ok(())
        }
        _ => read_window(file.as_ref(), window, buffer, &mut |entry, batch| {
            gatherer.take(file, entry, Some(batch));
        }),
    }
}

/// The bytes of batches that nobody has read so far, checked. None where they were read, or not all
/// of them are sound: who reads them through the cache finds out what it is.
fn read_unread(shared: &Shared, piece: &[BatchEntry]) -> Option<Bytes> {
    let lent = shared.unread.claim(piece)?;
    let (first, last) = (piece.first()?, piece.last()?);
    let at = |position: u64| usize::try_from(position - first.position).unwrap_or(usize::MAX);
    let read = shared
        .files
        .get(FileKey::JournalDirect(first.journal))
        .and_then(|file| lent.read(file.as_ref(), first.position, at(last.end_position())));
    let checked = read.and_then(|bytes| {
        let batch = |entry: &BatchEntry| &bytes[at(entry.position)..at(entry.end_position())];
        let checked = piece.iter().try_for_each(|entry| entry.check(batch(entry)));
        checked.map_err(io::Error::other).map(|()| bytes)
    });
    match checked {
        Ok(bytes) => Some(bytes),
        // A full journal ends within a block.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        Err(error) => {
            let (file, position) = (journal_path(first.journal), first.position);
            tracing::warn!("{file} cannot be read past the cache from byte {position} on: {error}");
            None
        }
    }
}

/// Visits batches by windows of `most` bytes, up to the first fault.
fn each_window(
    shared: &Shared,
    partition: &PartitionState,
    entries: &[BatchEntry],
    most: usize,
    mut visit: impl FnMut(&Arc<dyn DiskFile>, &[BatchEntry]) -> Result<(), Fault>,
) -> Result<(), ReadError> {
    for window in windows(entries, most) {
        let journal = window[0].journal;
        let file = shared.files.get(FileKey::Journal(journal)).map_err(Fault::Io);
        file.and_then(|file| visit(&file, window)).map_err(|fault| match fault {
            Fault::Io(error) => failed(partition, journal, &error),
            Fault::Damaged(entry, reason) => damaged(partition.id, &entry, reason),
        })?;
    }
    Ok(())
}

fn count_read(shared: &Shared, bytes: usize) {
    shared.counters.bytes_read_disk.fetch_add(bytes as u64, Relaxed);
}

fn damaged(id: PartitionId, entry: &BatchEntry, reason: String) -> ReadError {
    let file = journal_path(entry.journal);
    tracing::error!(
        "{file} is damaged at byte {} (topic {}, partition {}, offsets {} to {}): {reason}",
        entry.position,
        id.topic,
        id.partition,
        entry.base_offset,
        entry.last_offset
    );
    ReadError::Damaged {
        file,
        position: entry.position,
        topic: id.topic,
        partition: id.partition,
        first: entry.base_offset,
        last: entry.last_offset,
        reason,
    }
}
