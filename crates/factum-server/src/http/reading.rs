//! [`Reading`]: a cursor over the partitions of one topic, or of all, that yields their records
//! as one sequence.
//!
//! Records of a partition come in its order. Those of several are merged by the time at which
//! the log took them, then by topic, partition and offset. A reading ends at the ends that the
//! partitions had when it was opened, or follows and waits for more. It holds one chunk per
//! partition, bounded for all together, and reads only when it is asked for a record.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use axum::http::StatusCode;
use factum_event::log::{BoxFuture, PartitionInfo, ReadLimit, TopicInfo};
use factum_event::{
    EventLog, LogError, Offset, Partition, Place, StoredRecord, Timestamp, TopicId, TopicName,
};
use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::cursor::Cursor;
use super::problem::Problem;

/// Bytes that the chunks of one reading hold together, if no record is larger.
const BUFFER_BYTES: usize = 8 << 20;

/// Bytes of a chunk: at least, so that many partitions do not cost a read per record; at most.
const CHUNK_BYTES: (usize, usize) = (16 << 10, 1 << 20);

/// Records of a chunk, so that small records do not multiply the memory of their chunk.
const CHUNK_RECORDS: u32 = 1000;

/// What is read.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// A topic, or one partition of it.
    Topic(TopicName, Option<Partition>),
    /// All topics but Factum's own; those that come and go are read while they are there.
    All,
}

/// Where a reading begins in each partition.
#[derive(Debug, Clone)]
pub(super) enum Begin {
    /// At a place that is looked up.
    Place(Place),
    /// Where an earlier reading stopped.
    Cursor(Cursor),
}

/// Where a reading ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// Before this place, and before the end that each partition has now.
    Place(Place),
    /// Never: it waits for more.
    Never,
}

impl Scope {
    /// How a cursor names a topic: not at all, where the read does.
    fn key(&self, topic: &TopicName) -> Option<TopicName> {
        matches!(self, Self::All).then(|| topic.clone())
    }
}

struct Source {
    topic: TopicName,
    id: TopicId,
    partition: Partition,
    /// Where a reading goes on after the records that were yielded.
    next: Offset,
    /// Where the next chunk begins.
    fetch: Offset,
    until: Option<Offset>,
    records: VecDeque<StoredRecord>,
    gone: bool,
}

/// The records of several partitions as one sequence.
pub(super) struct Reading {
    log: Arc<dyn EventLog>,
    scope: Scope,
    follow: bool,
    max_partitions: usize,
    limit: ReadLimit,
    sources: Vec<Source>,
    /// Sources that may have more to read than is here.
    hungry: Vec<usize>,
    /// The first record here of each source that has one.
    heads: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Sources that are at their end, waiting for more.
    arrivals: FuturesUnordered<BoxFuture<'static, usize>>,
}

impl Reading {
    /// Opens a reading over at most `max_partitions`.
    pub(super) async fn open(
        log: Arc<dyn EventLog>,
        scope: Scope,
        begin: Begin,
        until: Until,
        max_partitions: usize,
    ) -> Result<Self, Problem> {
        let mut topics = topics(&*log, &scope).await?;
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        let places: Vec<_> = topics.iter().flat_map(|t| selected(t, &scope)).collect();
        if places.len() > max_partitions {
            return Err(too_many(places.len(), max_partitions));
        }
        if let Begin::Cursor(cursor) = &begin {
            check(cursor, &scope, &places)?;
        }
        let mut reading = Self::empty(log, scope, matches!(until, Until::Never), max_partitions);
        let several = places.len() > 1;
        for (topic, info) in places {
            let log = Arc::clone(&reading.log);
            let start = start(&*log, &reading.scope, &begin, topic, info, several).await?;
            let until = end(&*log, until, &topic.name, info).await?;
            reading.add(topic, info.partition, start, until);
        }
        reading.share_buffer();
        Ok(reading)
    }

    fn empty(log: Arc<dyn EventLog>, scope: Scope, follow: bool, max_partitions: usize) -> Self {
        Self {
            log,
            scope,
            follow,
            max_partitions,
            limit: ReadLimit::default(),
            sources: Vec::new(),
            hungry: Vec::new(),
            heads: BinaryHeap::new(),
            arrivals: FuturesUnordered::new(),
        }
    }

    fn share_buffer(&mut self) {
        let (least, most) = CHUNK_BYTES;
        let bytes = (BUFFER_BYTES / self.sources.len().max(1)).clamp(least, most);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.limit = ReadLimit { bytes, records: CHUNK_RECORDS };
    }

    fn add(&mut self, topic: &TopicInfo, partition: Partition, at: Offset, until: Option<Offset>) {
        self.hungry.push(self.sources.len());
        self.sources.push(Source {
            topic: topic.name.clone(),
            id: topic.id,
            partition,
            next: at,
            fetch: at,
            until,
            records: VecDeque::new(),
            gone: false,
        });
    }

    /// The next record; none at the end of a reading that does not follow. Dropping the future
    /// loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<StoredRecord>, LogError> {
        loop {
            while let Some(Some(source)) = self.arrivals.next().now_or_never() {
                self.hungry.push(source);
            }
            while let Some(&source) = self.hungry.last() {
                self.fetch(source).await?;
            }
            if let Some(record) = self.pop() {
                return Ok(Some(record));
            }
            if !self.follow {
                return Ok(None);
            }
            match self.arrivals.next().await {
                Some(source) => self.hungry.push(source),
                // Nothing to wait for until `refresh` finds a topic.
                None => std::future::pending().await,
            }
        }
    }

    /// Whether the next record is here already.
    pub(super) fn is_ready(&self) -> bool {
        self.hungry.is_empty() && !self.heads.is_empty()
    }

    /// Whether there is something left before the end of a reading that does not follow.
    pub(super) fn has_more(&self) -> bool {
        self.sources.iter().any(|s| !s.gone && s.until.is_some_and(|until| s.next < until))
    }

    /// Where to go on after the records that were yielded.
    pub(super) fn cursor(&self) -> Cursor {
        let mut cursor = Cursor::default();
        for source in self.sources.iter().filter(|source| !source.gone) {
            cursor.set(self.scope.key(&source.topic), source.partition, source.next);
        }
        cursor
    }

    /// Takes up partitions that are new, from their start.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`] where the topic of the reading is gone, or another one of its
    /// name is there instead.
    pub(super) async fn refresh(&mut self) -> Result<(), LogError> {
        let topics = topics(&*self.log, &self.scope).await?;
        let ids: BTreeSet<_> = topics.iter().map(|topic| topic.id.0).collect();
        for source in self.sources.iter_mut().filter(|source| !ids.contains(&source.id.0)) {
            if let Scope::Topic(topic, _) = &self.scope {
                return Err(LogError::UnknownTopic(topic.clone()));
            }
            source.leave();
        }
        let have: BTreeSet<_> = self.sources.iter().map(|s| (s.id.0, s.partition)).collect();
        for topic in &topics {
            for (topic, info) in selected(topic, &self.scope) {
                if !have.contains(&(topic.id.0, info.partition)) {
                    self.add(topic, info.partition, info.start, None);
                }
            }
        }
        self.share_buffer();
        self.within_limit()
    }

    fn within_limit(&self) -> Result<(), LogError> {
        let reading = self.sources.iter().filter(|source| !source.gone).count();
        match reading > self.max_partitions {
            true => Err(LogError::InvalidRequest(
                "there are more partitions now than one read may cover; name a partition".into(),
            )),
            false => Ok(()),
        }
    }

    /// Reads a chunk of a source, and takes it off the hungry ones once that is done.
    async fn fetch(&mut self, at: usize) -> Result<(), LogError> {
        let source = &self.sources[at];
        if source.gone || source.until.is_some_and(|until| source.fetch >= until) {
            self.hungry.pop();
            return Ok(());
        }
        let read = self.log.read(&source.topic, source.partition, source.fetch, self.limit).await;
        self.hungry.pop();
        let chunk = match (read, &self.scope) {
            (Ok(chunk), _) => chunk,
            (Err(LogError::UnknownTopic(_) | LogError::UnknownPartition { .. }), Scope::All) => {
                self.sources[at].leave();
                return Ok(());
            }
            (Err(error), _) => return Err(error),
        };
        let moved = chunk.next > self.sources[at].fetch;
        match self.sources[at].take(chunk.records, chunk.next) {
            Some(head) => self.heads.push(Reverse((head, at))),
            None if moved => self.hungry.push(at),
            None if self.follow => self.arrivals.push(self.arrival(at)),
            None => {}
        }
        Ok(())
    }

    /// Waits for more in a source; what came, or that it is gone, the next read tells.
    fn arrival(&self, at: usize) -> BoxFuture<'static, usize> {
        let source = &self.sources[at];
        let (topic, partition, from) = (source.topic.clone(), source.partition, source.fetch);
        let log = Arc::clone(&self.log);
        Box::pin(async move {
            let _ = log.arrival(&topic, partition, from).await;
            at
        })
    }

    fn pop(&mut self) -> Option<StoredRecord> {
        loop {
            let Reverse((_, at)) = self.heads.pop()?;
            let source = &mut self.sources[at];
            let Some(record) = source.records.pop_front() else {
                continue;
            };
            source.next = record.position.offset.next();
            match source.records.front() {
                Some(head) => self.heads.push(Reverse((order(head), at))),
                None => {
                    source.next = source.fetch;
                    self.hungry.push(at);
                }
            }
            return Some(record);
        }
    }
}

impl Source {
    /// Takes a chunk, without what is past the end of the reading; answers the order of its
    /// first record.
    fn take(&mut self, records: Vec<StoredRecord>, next: Offset) -> Option<Timestamp> {
        self.fetch = self.until.map_or(next, |until| next.min(until));
        let until = self.until;
        let kept = records.into_iter().filter(|r| until.is_none_or(|u| r.position.offset < u));
        self.records.extend(kept);
        let head = self.records.front().map(order);
        if head.is_none() {
            self.next = self.fetch;
        }
        head
    }

    fn leave(&mut self) {
        self.gone = true;
        self.records.clear();
    }
}

/// What records are merged by: the append time, or the record's own where no engine says it.
fn order(record: &StoredRecord) -> Timestamp {
    match record.appended_at {
        Timestamp::UNKNOWN => record.record.timestamp,
        appended_at => appended_at,
    }
}

/// Where a partition is read from. A place by offset must be in the partition, unless several are
/// read, which begin where they can.
async fn start(
    log: &dyn EventLog,
    scope: &Scope,
    begin: &Begin,
    topic: &TopicInfo,
    info: PartitionInfo,
    several: bool,
) -> Result<Offset, LogError> {
    let (start, end) = (info.start, info.end);
    let (at, exact) = match begin {
        Begin::Place(Place::Start) => return Ok(start),
        Begin::Place(Place::End) => return Ok(end),
        Begin::Place(Place::At(offset)) => (*offset, !several),
        Begin::Place(place) => {
            (log.locate(&topic.name, info.partition, *place).await?.offset, false)
        }
        Begin::Cursor(cursor) => match cursor.get(&scope.key(&topic.name), info.partition) {
            // A topic that was deleted and created again begins anew in a read of all.
            Some(offset) if offset > end && matches!(scope, Scope::All) => (start, true),
            Some(offset) => (offset, true),
            None => (start, true),
        },
    };
    if exact && !(start..=end).contains(&at) {
        return Err(LogError::OffsetOutOfRange { from: at, start, end });
    }
    Ok(at.clamp(start, end))
}

/// Where a partition is read to; none is without end.
async fn end(
    log: &dyn EventLog,
    until: Until,
    topic: &TopicName,
    info: PartitionInfo,
) -> Result<Option<Offset>, LogError> {
    let end = match until {
        Until::Never => return Ok(None),
        Until::Place(Place::End) => info.end,
        Until::Place(Place::Start) => info.start,
        Until::Place(Place::At(offset)) => offset,
        Until::Place(place) => log.locate(topic, info.partition, place).await?.offset,
    };
    Ok(Some(end.min(info.end)))
}

async fn topics(log: &dyn EventLog, scope: &Scope) -> Result<Vec<TopicInfo>, LogError> {
    match scope {
        Scope::Topic(topic, None) => Ok(vec![log.topic(topic).await?]),
        Scope::Topic(topic, Some(partition)) => {
            let info = log.topic(topic).await?;
            if info.partitions.iter().all(|have| have.partition != *partition) {
                let partitions = info.partitions.len();
                let (topic, partition) = (topic.clone(), *partition);
                return Err(LogError::UnknownPartition { topic, partition, partitions });
            }
            Ok(vec![info])
        }
        Scope::All => {
            let topics = log.topics().await?;
            Ok(topics.into_iter().filter(|topic| !topic.name.is_internal()).collect())
        }
    }
}

fn selected<'a>(
    topic: &'a TopicInfo,
    scope: &Scope,
) -> impl Iterator<Item = (&'a TopicInfo, PartitionInfo)> + use<'a> {
    let only = if let Scope::Topic(_, only) = scope { *only } else { None };
    let partitions = topic.partitions.iter().copied();
    partitions
        .filter(move |info| only.is_none_or(|only| only == info.partition))
        .map(move |info| (topic, info))
}

/// A cursor of one topic belongs to reads of that topic; in a read of all, topics may have gone.
fn check(
    cursor: &Cursor,
    scope: &Scope,
    places: &[(&TopicInfo, PartitionInfo)],
) -> Result<(), Problem> {
    let fits = cursor.places().all(|(topic, partition)| match scope {
        Scope::All => topic.is_some(),
        Scope::Topic(..) => {
            topic.is_none() && places.iter().any(|(_, info)| info.partition == partition)
        }
    });
    let expected = "a cursor that an earlier answer to the same read gave";
    if fits { Ok(()) } else { Err(Problem::parameter("cursor", &cursor.to_string(), expected)) }
}

fn too_many(partitions: usize, limit: usize) -> Problem {
    let detail = format!(
        "this read covers {partitions} partitions, more than the limit of {limit}; \
         read topic by topic, or name a partition"
    );
    Problem::new(StatusCode::BAD_REQUEST, "too-many-partitions", "Too many partitions", detail)
        .with("limit", limit)
}
