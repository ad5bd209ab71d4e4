//! Reading a topic as events, to its end or on and on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use factum_event::event::StoredEvent;
use factum_event::log::ReadLimit;
use factum_event::{EventLog, LogError, Offset, Partition, Place, TopicName};
use futures_util::future::select_all;

use crate::Error;

/// Reads a topic to its end as it was when reading began.
pub struct Reader {
    cursor: Cursor,
    ends: BTreeMap<Partition, Offset>,
}

/// Follows a topic. Partitions that are added later are seen with the next event that wakes it.
pub struct Follower {
    cursor: Cursor,
}

/// Where reading is in each partition, and what was read ahead.
struct Cursor {
    log: Arc<dyn EventLog>,
    topic: TopicName,
    next: BTreeMap<Partition, Offset>,
    ahead: VecDeque<StoredEvent>,
    turn: usize,
}

impl Reader {
    pub(crate) async fn open(
        log: Arc<dyn EventLog>,
        topic: TopicName,
        from: Place,
    ) -> Result<Self, Error> {
        let info = log.topic(&topic).await?;
        let ends = info.partitions.iter().map(|of| (of.partition, of.end)).collect();
        Ok(Self { cursor: Cursor::open(log, topic, from).await?, ends })
    }

    /// The next event; none at the end. Partitions come one after another, each in its order.
    ///
    /// # Errors
    /// [`LogError`]; after [`LogError::Undecodable`] reading may go on behind that batch.
    pub async fn next(&mut self) -> Result<Option<StoredEvent>, Error> {
        loop {
            if let Some(event) = self.cursor.ahead.pop_front() {
                let end = self.ends.get(&event.position.partition);
                if end.is_some_and(|end| event.position.offset < *end) {
                    return Ok(Some(event));
                }
                continue;
            }
            let left = |(partition, next): (&Partition, &Offset)| {
                self.ends.get(partition).filter(|end| next < *end).map(|_| *partition)
            };
            let Some(partition) = self.cursor.next.iter().find_map(left) else {
                return Ok(None);
            };
            self.cursor.fill(partition).await?;
        }
    }
}

impl Follower {
    pub(crate) async fn open(
        log: Arc<dyn EventLog>,
        topic: TopicName,
        from: Place,
    ) -> Result<Self, Error> {
        Ok(Self { cursor: Cursor::open(log, topic, from).await? })
    }

    /// The next event; waits for it. Each partition is in its order.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`] once the topic is deleted; after [`LogError::Undecodable`]
    /// following may go on behind that batch.
    pub async fn next(&mut self) -> Result<StoredEvent, Error> {
        loop {
            if let Some(event) = self.cursor.ahead.pop_front() {
                return Ok(event);
            }
            if !self.cursor.fill_in_turn().await? {
                self.cursor.wait().await?;
            }
        }
    }
}

impl Cursor {
    async fn open(log: Arc<dyn EventLog>, topic: TopicName, from: Place) -> Result<Self, Error> {
        let mut next = BTreeMap::new();
        for of in log.topic(&topic).await?.partitions {
            let located = log.locate(&topic, of.partition, from).await?;
            next.insert(of.partition, located.offset.clamp(of.start, of.end));
        }
        Ok(Self { log, topic, next, ahead: VecDeque::new(), turn: 0 })
    }

    /// Reads ahead in one partition; says whether something was there.
    async fn fill(&mut self, partition: Partition) -> Result<bool, Error> {
        let Some(next) = self.next.get_mut(&partition) else { return Ok(false) };
        let read = self.log.read(&self.topic, partition, *next, ReadLimit::default()).await;
        if let Err(LogError::Undecodable { next: behind, .. }) = &read {
            *next = *behind;
        }
        let chunk = read?;
        *next = chunk.next;
        self.ahead.extend(chunk.records.into_iter().map(StoredEvent::from));
        Ok(!self.ahead.is_empty())
    }

    /// Reads ahead in the first partition that has something, each getting its turn.
    async fn fill_in_turn(&mut self) -> Result<bool, Error> {
        let partitions: Vec<Partition> = self.next.keys().copied().collect();
        for step in 0..partitions.len() {
            let turn = (self.turn + step) % partitions.len();
            if self.fill(partitions[turn]).await? {
                self.turn = turn + 1;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits until there is something in one of the partitions.
    async fn wait(&mut self) -> Result<(), Error> {
        for of in self.log.topic(&self.topic).await?.partitions {
            self.next.entry(of.partition).or_insert(of.start);
        }
        let arrivals = self.next.iter();
        let arrivals = arrivals.map(|(of, next)| self.log.arrival(&self.topic, *of, *next));
        let (arrived, _, _) = select_all(arrivals).await;
        Ok(arrived?)
    }
}
