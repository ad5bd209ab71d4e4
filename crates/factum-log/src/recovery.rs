//! Opening: from the files of a data directory to what the log knows in memory.
//!
//! Sealed journals are taken by their indexes; the last journal is read group by group. What a
//! crash left half-written at its end is cut off, and said; what was damaged later is refused,
//! and nothing is changed. `docs/formats/journal.md` argues why the two can be told apart.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use factum_event::{Offset, TopicId};

use crate::disk::{BLOCK_BYTES, Disk, DiskFile, write_at, write_whole};
use crate::entry::{BatchEntry, PartitionId};
use crate::error::{OpenError, Trying};
use crate::journal::format::{FORMAT_VERSION, FileHeader, UNIT_U64};
use crate::journal::index::{Index, IndexBuilder, Sealed};
use crate::journal::marker::Marker;
use crate::journal::scan::{After, Found, Group, Scan};
use crate::journal::segment::{SegmentTail, read_tail};
use crate::journal::{
    DIRECTORY, FIRST_SEGMENT, Name, file, index_path, is_segment, journal_path, marker_path,
};
use crate::partitions::{Gap, PartitionState};
use crate::shared::Shared;
use crate::starts::{STARTS_FILE, Starts};
use crate::writer::Active;

pub(crate) const FORMAT_FILE: &str = "FORMAT";
pub(crate) const FORMAT_WORD: &str = "factum-log";

/// The most that is read of the format file.
const MAX_FORMAT_BYTES: u64 = 256;

/// What is copied in one piece where the last group is made durable again.
const COPY_BYTES: usize = 1 << 20;

/// What opening found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Journal files and segments.
    pub journals: usize,
    /// Batches that the log has.
    pub batches: u64,
    /// What a crash left half-written, which was cut off; none of it was ever acknowledged.
    pub truncated: Option<Truncated>,
    /// Indexes that were missing or damaged, and were built again.
    pub rebuilt_indexes: usize,
}

/// A torn end that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncated {
    /// The file, below the data directory.
    pub file: String,
    /// Where it was cut.
    pub position: u64,
    /// How many bytes had been written after.
    pub bytes: u64,
}

/// Checks which format the directory has; writes ours into a new one.
pub(crate) fn check_format(disk: &dyn Disk) -> Result<(), OpenError> {
    let opened = match disk.open(FORMAT_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("{FORMAT_WORD} {FORMAT_VERSION}\n");
            return write_whole(disk, "", FORMAT_FILE, text.as_bytes(), true)
                .trying(|| format!("write {FORMAT_FILE} in {}", disk.location()));
        }
        other => other,
    };
    let read = opened.and_then(|file| {
        let length = file.len()?.min(MAX_FORMAT_BYTES);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    let text = read.trying(|| format!("read {FORMAT_FILE} in {}", disk.location()))?;
    let mut words = text.split_whitespace();
    let version = match (words.next(), words.next().map(str::parse)) {
        (Some(FORMAT_WORD), Some(Ok(version))) => version,
        _ => {
            let reason = format!("{FORMAT_WORD:?} and a number were expected, {text:?} came");
            return Err(OpenError::Damaged { file: FORMAT_FILE.into(), position: 0, reason });
        }
    };
    if version > FORMAT_VERSION {
        let directory = disk.location();
        return Err(OpenError::NewerFormat {
            directory,
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    Ok(())
}

/// Loads everything into `shared`, and answers the journal to write to.
pub(crate) fn recover(shared: &Shared) -> Result<(Active, Recovery), OpenError> {
    let disk = shared.disk.as_ref();
    disk.create_dir(DIRECTORY).trying(|| format!("create {DIRECTORY}"))?;
    disk.sync_dir("").trying(|| format!("flush {}", disk.location()))?;
    let files = Inventory::take(disk)?;
    files.tidy(disk)?;
    // A name that is here but was never flushed must not vanish with what is written from now on.
    disk.sync_dir(DIRECTORY).trying(|| format!("flush {DIRECTORY}"))?;
    let markers = files.markers(disk)?;
    let starts = read_starts(disk, files.journals.is_empty())?;
    shared.partitions.note_removed(starts.iter().flat_map(|starts| &starts.removed).copied());
    for marker in markers.values() {
        shared.partitions.note_removed(marker.topics.iter().copied());
    }
    let mut opening = Opening {
        shared,
        sequence: None,
        seen_removed: BTreeSet::new(),
        recovery: Recovery { journals: 0, batches: 0, truncated: None, rebuilt_indexes: 0 },
    };
    let last = files.journals.last().copied();
    let first = files.journals.first().copied().unwrap_or(1);
    for number in first..last.unwrap_or(first) {
        if files.journals.contains(&number) {
            opening.sealed(number)?;
        } else {
            opening.gone(number, markers.get(&number))?;
        }
    }
    for &number in &files.segments {
        opening.segment(number)?;
    }
    let next_segment = files.segments.last().map_or(FIRST_SEGMENT, |last| last + 1);
    *shared.next_segment.lock() = next_segment;
    let active = match last {
        Some(number) => opening.active(number)?,
        None => opening.create(markers.values().next_back())?,
    };
    opening.settle(starts)?;
    opening.recovery.journals = shared.journals.lock().len();
    Ok((active, opening.recovery))
}

/// Where partitions begin; a new log gets a list without any.
fn read_starts(disk: &dyn Disk, new: bool) -> Result<Option<Starts>, OpenError> {
    let read = Starts::read(disk).trying(|| format!("read {STARTS_FILE}"))?;
    let starts = read.map_err(|reason| OpenError::Damaged {
        file: STARTS_FILE.into(),
        position: 0,
        reason,
    })?;
    if starts.is_some() || !new {
        return Ok(starts);
    }
    let starts = Starts::default();
    starts.write(disk).trying(|| format!("write {STARTS_FILE}"))?;
    Ok(Some(starts))
}

/// What is in the directory.
#[derive(Default)]
struct Inventory {
    journals: BTreeSet<u64>,
    segments: BTreeSet<u64>,
    indexes: BTreeSet<u64>,
    markers: BTreeSet<u64>,
    unfinished: Vec<String>,
}

impl Inventory {
    fn take(disk: &dyn Disk) -> Result<Self, OpenError> {
        let mut found = Self::default();
        for name in disk.list(DIRECTORY).trying(|| format!("list {DIRECTORY}"))? {
            match Name::parse(&name) {
                Name::Journal(number) => drop(found.journals.insert(number)),
                Name::Segment(number) => drop(found.segments.insert(number)),
                Name::Index(number) => drop(found.indexes.insert(number)),
                Name::Marker(number) => drop(found.markers.insert(number)),
                Name::Unfinished => found.unfinished.push(name),
                // Seals are evidence, and nothing that opening needs.
                Name::Seal(_) | Name::Foreign => {}
            }
        }
        for number in found.indexes.difference(&found.journals) {
            if !is_segment(*number) && !found.markers.contains(number) {
                let reason = "the file is missing, though its index is there".into();
                return Err(OpenError::Damaged {
                    file: journal_path(*number),
                    position: 0,
                    reason,
                });
            }
        }
        // A marker stands before its journal goes: a crash between the two is finished now.
        let removed: Vec<_> = found.markers.intersection(&found.journals).copied().collect();
        for number in removed {
            disk.remove(&journal_path(number)).trying(|| format!("remove journal {number}"))?;
            found.journals.remove(&number);
        }
        Ok(found)
    }

    /// Removes what a crash left behind and nothing needs.
    fn tidy(&self, disk: &dyn Disk) -> Result<(), OpenError> {
        for name in &self.unfinished {
            disk.remove(&format!("{DIRECTORY}/{name}")).trying(|| format!("remove {name}"))?;
        }
        let files: BTreeSet<u64> = self.journals.union(&self.segments).copied().collect();
        for number in self.indexes.difference(&files) {
            disk.remove(&index_path(*number)).trying(|| format!("remove index {number}"))?;
        }
        // Before the first journal nothing is missed.
        let first = self.journals.first().copied().unwrap_or(0);
        for number in self.markers.range(..first) {
            disk.remove(&marker_path(*number)).trying(|| format!("remove marker {number}"))?;
        }
        Ok(())
    }

    fn markers(&self, disk: &dyn Disk) -> Result<BTreeMap<u64, Marker>, OpenError> {
        let first = self.journals.first().copied().unwrap_or(0);
        let mut markers = BTreeMap::new();
        for &number in self.markers.range(first..) {
            let read = Marker::read(disk, number).trying(|| format!("read marker {number}"))?;
            let marker = read.map_err(|reason| OpenError::Damaged {
                file: marker_path(number),
                position: 0,
                reason,
            })?;
            markers.insert(number, marker);
        }
        Ok(markers)
    }
}

/// The state of opening: journals are taken in their order.
struct Opening<'a> {
    shared: &'a Shared,
    /// The sequence that the next journal must begin with, once one was seen.
    sequence: Option<u64>,
    /// Topics that are known to be removed, of which files still have something.
    seen_removed: BTreeSet<TopicId>,
    recovery: Recovery,
}

impl Opening<'_> {
    fn disk(&self) -> &dyn Disk {
        self.shared.disk.as_ref()
    }

    /// A number without a journal: fine where a marker explains it.
    fn gone(&mut self, number: u64, marker: Option<&Marker>) -> Result<(), OpenError> {
        let marker = marker.ok_or_else(|| damaged(number, 0, "the file is missing".into()))?;
        self.continues(number, marker.first_sequence)?;
        self.sequence = Some(marker.next_sequence);
        Ok(())
    }

    fn continues(&self, number: u64, first_sequence: u64) -> Result<(), OpenError> {
        match self.sequence {
            Some(expected) if expected != first_sequence => Err(damaged(
                number,
                0,
                format!(
                    "it begins with group {first_sequence}, but group {expected} was expected: \
                     groups are missing at the end of the journal before"
                ),
            )),
            _ => Ok(()),
        }
    }

    fn header(&self, number: u64) -> Result<(Arc<dyn DiskFile>, FileHeader), OpenError> {
        let path = journal_path(number);
        let opened = self.disk().open(&path);
        let file = opened.trying(|| format!("open {path}"))?;
        let header = file::read_header(file.as_ref(), number).trying(|| format!("read {path}"))?;
        let header = header.map_err(|reason| damaged(number, 0, reason))?;
        self.continues(number, header.first_sequence)?;
        Ok((file, header))
    }

    /// Takes a sealed journal by its index.
    fn sealed(&mut self, number: u64) -> Result<(), OpenError> {
        let (file, header) = self.header(number)?;
        let index = self.index(number, &file, &header)?;
        for (id, summary) in &index.directory {
            if let Some(partition) = self.partition(*id) {
                partition.lock().load_sealed(summary);
            }
        }
        self.sequence = Some(index.sealed.next_sequence);
        Ok(())
    }

    /// Takes a segment by its index: what it answers for is no longer asked of older files.
    fn segment(&mut self, number: u64) -> Result<(), OpenError> {
        let path = journal_path(number);
        let file = self.disk().open(&path).trying(|| format!("open {path}"))?;
        let header = file::read_header(file.as_ref(), number).trying(|| format!("read {path}"))?;
        let header = header.map_err(|reason| damaged(number, 0, reason))?;
        let index = self.index(number, &file, &header)?;
        for (id, summary) in &index.directory {
            if let Some(partition) = self.partition(*id) {
                partition.lock().load_segment(summary);
            }
        }
        Ok(())
    }

    /// The index of a sealed file, which is built again if there is no sound one.
    fn index(
        &mut self,
        number: u64,
        file: &Arc<dyn DiskFile>,
        header: &FileHeader,
    ) -> Result<Index, OpenError> {
        let length = file.len().trying(|| format!("read {}", journal_path(number)))?;
        let read = Index::read(self.disk(), number).trying(|| format!("read index {number}"))?;
        let fits = |index: &Index| {
            index.sealed.salt == header.salt && index.sealed.first_sequence == header.first_sequence
        };
        let index = match read {
            Ok(index) if fits(&index) => index,
            other => {
                let reason = other.err().unwrap_or_else(|| "it is of another file".into());
                tracing::warn!("{}: {reason}; it is built again", index_path(number));
                self.recovery.rebuilt_indexes += 1;
                rebuild_index(self.disk(), number)
                    .trying(|| format!("build index {number}"))?
                    .map_err(|(position, reason)| damaged(number, position, reason))?
            }
        };
        if index.sealed.end > length {
            let end = index.sealed.end;
            return Err(damaged(number, length, format!("the file ends here, not at {end}")));
        }
        self.recovery.batches += index.sealed.batches;
        self.shared.journals.lock().insert(number, Some(index.sealed));
        Ok(index)
    }

    /// Moves the starts of partitions up to where they were, and looks for holes.
    fn settle(&self, starts: Option<Starts>) -> Result<(), OpenError> {
        // Somebody took the file away: what was cut off is not known, and holes tell nothing.
        let forgive = starts.is_none();
        let mut starts = starts.unwrap_or_default();
        for &id in starts.by_partition.keys() {
            self.shared.partitions.get_or_create(id);
        }
        for partition in self.shared.partitions.all() {
            let start = starts.by_partition.get(&partition.id).copied();
            let settled = partition.lock().settle(start, forgive);
            settled.map_err(|gap| hole(partition.id, &gap))?;
            let inner = partition.lock();
            let first = inner.extent().start;
            // Once starts are written again, what is missing below this one would be damage.
            if forgive && first > Offset::ZERO {
                starts.by_partition.insert(partition.id, inner.start_at(first, 0));
            }
        }
        starts.removed.retain(|topic| self.seen_removed.contains(topic));
        *self.shared.starts.lock() = starts;
        Ok(())
    }

    /// The state of a partition, unless its topic was removed.
    fn partition(&mut self, id: PartitionId) -> Option<Arc<PartitionState>> {
        let state = self.shared.partitions.get_or_create(id);
        if state.is_none() {
            self.seen_removed.insert(id.topic);
        }
        state
    }

    /// Reads the last journal, cuts off what a crash left half-written, and makes sure that what
    /// is taken is durable.
    fn active(&mut self, number: u64) -> Result<Active, OpenError> {
        let (file, header) = self.header(number)?;
        let path = journal_path(number);
        let reading = || format!("read {path}");
        let check_batches = self.shared.mutant.checks_torn_tail();
        let mut scan = Scan::new(file.as_ref(), header, check_batches).trying(reading)?;
        let mut last_group = None;
        let mut batches = 0;
        let reason = loop {
            match scan.next().trying(reading)? {
                Found::Group(group) => {
                    self.take(&group);
                    last_group = Some((group.position, group.header.length));
                    batches += group.entries.len() as u64;
                }
                Found::End => break "nothing was expected here".into(),
                Found::Invalid(reason) => break reason,
            }
        };
        let (position, sequence) = (scan.position(), scan.sequence());
        match scan.after().trying(reading)? {
            After::Group { sequence: later, position: at } => {
                let reason =
                    format!("{reason}, but group {later} stands at byte {at}, so this was durable");
                return Err(damaged(number, position, reason));
            }
            After::Nothing { written_until } if written_until > position => {
                cut(file.as_ref(), position).trying(|| format!("cut off {path}"))?;
                let bytes = written_until - position;
                tracing::warn!(
                    "{path}: {bytes} bytes from byte {position} on were not completely written \
                     when the log stopped ({reason}); they were never acknowledged, and are cut off"
                );
                self.recovery.truncated = Some(Truncated { file: path.clone(), position, bytes });
            }
            After::Nothing { .. } => {}
        }
        let end = position.next_multiple_of(BLOCK_BYTES as u64);
        let capacity = self.shared.settings.journal_bytes.max(end);
        make_durable(file.as_ref(), capacity, last_group).trying(|| format!("flush {path}"))?;
        self.shared.journals.lock().insert(number, None);
        self.recovery.batches += batches;
        Ok(Active { header, position, capacity, sequence, batches })
    }

    fn take(&mut self, group: &Group) {
        for &(id, entry) in &group.entries {
            if let Some(partition) = self.partition(id) {
                partition.lock().load(entry);
            }
        }
    }

    /// The first journal of a new log.
    fn create(&mut self, last: Option<&Marker>) -> Result<Active, OpenError> {
        let header = FileHeader {
            number: last.map_or(1, |marker| marker.number + 1),
            salt: self.disk().random(),
            first_sequence: last.map_or(1, |marker| marker.next_sequence),
            created_at: self.shared.clock.now(),
        };
        let capacity = self.shared.settings.journal_bytes;
        file::create(self.disk(), &header, capacity)
            .trying(|| format!("create {}", journal_path(header.number)))?;
        self.shared.journals.lock().insert(header.number, None);
        let sequence = header.first_sequence;
        Ok(Active { header, position: UNIT_U64, capacity, sequence, batches: 0 })
    }
}

fn damaged(number: u64, position: u64, reason: String) -> OpenError {
    OpenError::Damaged { file: journal_path(number), position, reason }
}

fn hole(id: PartitionId, gap: &Gap) -> OpenError {
    let Gap { expected, came, file } = *gap;
    let reason = format!(
        "topic {}, partition {} goes on with offset {came}, but {expected} was expected",
        id.topic, id.partition
    );
    damaged(file, 0, reason)
}

/// Cuts a file off, durably.
fn cut(file: &dyn DiskFile, position: u64) -> io::Result<()> {
    file.truncate(position)?;
    file.sync_data()
}

/// Gives the file its room again, and writes the last group once more.
///
/// The last group may have been written and never flushed, or its flush may have failed: the
/// system then takes it for clean though the disk does not have it. It is about to be served, so
/// it must not un-happen. The bytes are the same, so a crash in between tears nothing.
fn make_durable(
    file: &dyn DiskFile,
    capacity: u64,
    last_group: Option<(u64, u64)>,
) -> io::Result<()> {
    file.allocate(capacity)?;
    let (mut at, length) = last_group.unwrap_or_default();
    let end = at + length;
    let mut buffer = vec![0; COPY_BYTES];
    while at < end {
        let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(COPY_BYTES);
        file.read_exact_at(&mut buffer[..count], at)?;
        write_at(file, &buffer[..count], at)?;
        at += count as u64;
    }
    file.sync_data()
}

/// Builds the index of a sealed journal or a segment from its group headers; the inner error says
/// where and why that is impossible.
pub(crate) fn rebuild_index(
    disk: &dyn Disk,
    number: u64,
) -> io::Result<Result<Index, (u64, String)>> {
    let file = disk.open(&journal_path(number))?;
    let header = match file::read_header(file.as_ref(), number)? {
        Ok(header) => header,
        Err(reason) => return Ok(Err((0, reason))),
    };
    let mut scan = Scan::new(file.as_ref(), header, false)?;
    let mut tail = None;
    if is_segment(number) {
        match read_tail(file.as_ref(), &header)? {
            Ok(found) => {
                scan = scan.until(found.sealed.end);
                tail = Some(found);
            }
            Err(reason) => return Ok(Err((file.len()?, reason))),
        }
    }
    let mut partitions: BTreeMap<PartitionId, Vec<BatchEntry>> = BTreeMap::new();
    let mut batches = 0;
    loop {
        match scan.next()? {
            Found::Group(group) => {
                batches += group.entries.len() as u64;
                for (id, entry) in group.entries {
                    partitions.entry(id).or_default().push(entry);
                }
            }
            Found::End => break,
            Found::Invalid(reason) => return Ok(Err((scan.position(), reason))),
        }
    }
    let (end, next_sequence) = (scan.position(), scan.sequence());
    let FileHeader { salt, first_sequence, .. } = header;
    let sealed = Sealed { number, salt, end, first_sequence, next_sequence, batches };
    let builder = match build_index(&sealed, &partitions, tail.as_ref()) {
        Ok(builder) => builder,
        Err(reason) => return Ok(Err((end, reason))),
    };
    let directory = builder.write(disk, &sealed)?;
    Ok(Ok(Index { sealed, directory }))
}

/// The index that follows from the batches of a sealed journal, or of a segment with this end.
pub(crate) fn build_index(
    sealed: &Sealed,
    partitions: &BTreeMap<PartitionId, Vec<BatchEntry>>,
    tail: Option<&SegmentTail>,
) -> Result<IndexBuilder, String> {
    let mut builder = IndexBuilder::default();
    let Some(tail) = tail else {
        for (id, entries) in partitions {
            builder.add(*id, entries);
        }
        return Ok(builder);
    };
    if tail.sealed != *sealed {
        return Err("the segment has other groups than its end says".into());
    }
    for (id, covered) in &tail.coverage {
        let entries = partitions.get(id).map_or(&[][..], Vec::as_slice);
        builder.add_covering(*id, sealed.number, *covered, entries);
    }
    Ok(builder)
}
