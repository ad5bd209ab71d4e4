//! A Kafka record: what the log keeps, without saying what it means.

use bytes::Bytes;

use crate::{Partition, Position, Timestamp};

/// A name with a value that may be null, as Kafka has them: ordered, and names may repeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Header {
    /// The name.
    pub key: String,
    /// The value; null and empty differ.
    pub value: Option<Bytes>,
}

impl Header {
    /// A header with a value.
    pub fn new(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: Some(value.into()) }
    }
}

/// A record, not yet appended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// What decides the partition, and what compaction keeps the last of; null and empty differ.
    pub key: Option<Bytes>,
    /// The content; null (a tombstone) and empty differ.
    pub value: Option<Bytes>,
    /// Headers in their order.
    pub headers: Vec<Header>,
    /// The record's timestamp, as its producer gives it.
    pub timestamp: Timestamp,
}

impl Record {
    /// The first header of this name, if it has a value.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<&Bytes> {
        self.headers.iter().find(|header| header.key == key)?.value.as_ref()
    }

    /// Bytes of key, value and headers together: what a record weighs against a limit.
    #[must_use]
    pub fn weight(&self) -> usize {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|h| h.key.len() + len(&h.value)).sum();
        len(&self.key) + len(&self.value) + headers
    }
}

/// A record with its place in the log and the time at which the log took it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredRecord {
    /// Where it stands.
    pub position: Position,
    /// When the log appended it; [`Timestamp::UNKNOWN`] on an engine that does not say.
    pub appended_at: Timestamp,
    /// The record.
    pub record: Record,
}

/// A record on its way to a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outgoing {
    /// The partition; without one the key decides, and without a key one is chosen.
    pub partition: Option<Partition>,
    /// The record.
    pub record: Record,
}

impl From<Record> for Outgoing {
    fn from(record: Record) -> Self {
        Self { partition: None, record }
    }
}
