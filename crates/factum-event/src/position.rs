//! Places in a log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::TopicName;

/// The place of a record in its partition: 0, 1, 2, … without gaps as appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Offset(i64);

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Self = Self(0);

    /// An offset from the protocol's number, or none if it is negative.
    #[must_use]
    pub const fn new(value: i64) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The number on the wire; never negative.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The offset `records` later; stops at the largest one.
    #[must_use]
    pub const fn plus(self, records: u32) -> Self {
        Self(self.0.saturating_add(records as i64))
    }

    /// The offset right after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }
}

impl TryFrom<i64> for Offset {
    type Error = String;
    fn try_from(value: i64) -> Result<Self, String> {
        Self::new(value).ok_or_else(|| format!("an offset is 0 or more, not {value}"))
    }
}

impl From<Offset> for i64 {
    fn from(offset: Offset) -> Self {
        offset.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a partition in its topic: 0, 1, 2, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Partition(i32);

impl Partition {
    /// The partition that every topic has.
    pub const ZERO: Self = Self(0);

    /// A partition from the protocol's number, or none if it is negative.
    #[must_use]
    pub const fn new(value: i32) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The number on the wire; never negative.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The number as an index into a list of partitions.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.unsigned_abs() as usize
    }
}

impl TryFrom<i32> for Partition {
    type Error = String;
    fn try_from(value: i32) -> Result<Self, String> {
        Self::new(value).ok_or_else(|| format!("a partition is 0 or more, not {value}"))
    }
}

impl From<Partition> for i32 {
    fn from(partition: Partition) -> Self {
        partition.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a topic (KIP-516): a topic deleted and created again has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub Uuid);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z; what Kafka calls a timestamp. Negative before 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// What Kafka's protocol says where no time is known.
    pub const UNKNOWN: Self = Self(-1);

    /// A timestamp from milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// RFC 3339 in UTC with milliseconds, or none where the year has more than four digits.
    #[must_use]
    pub fn to_rfc3339(self) -> Option<String> {
        let nanos = i128::from(self.0).checked_mul(1_000_000)?;
        let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
        if !(0..=9999).contains(&at.year()) {
            return None;
        }
        let (date, time) = (at.date(), at.time());
        Some(format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        ))
    }

    /// Reads RFC 3339; a time without a zone is refused.
    ///
    /// # Errors
    /// [`InvalidPlace`] that says what a time looks like.
    pub fn parse_rfc3339(text: &str) -> Result<Self, InvalidPlace> {
        let at = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| InvalidPlace::Time { came: text.chars().take(64).collect() })?;
        let millis = at.unix_timestamp_nanos().div_euclid(1_000_000);
        Ok(Self(i64::try_from(millis).unwrap_or(i64::MAX)))
    }
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The topic.
    pub topic: TopicName,
    /// The partition of the topic.
    pub partition: Partition,
    /// The offset in the partition.
    pub offset: Offset,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// A place in a partition that is yet to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The first record that is kept.
    Start,
    /// Where the next record will be.
    End,
    /// This offset.
    At(Offset),
    /// The first record whose timestamp is this or later; the end, if there is none.
    Time(Timestamp),
    /// The record with the largest timestamp; the end, if there is no record.
    MaxTimestamp,
}

/// Text that is no place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPlace {
    /// Neither a word, nor an offset, nor a time.
    #[error(
        "{came:?} is not a place in a log; expected start, end, an offset (0 or more) \
         or a time such as 2026-01-31T12:00:00Z"
    )]
    Place {
        /// What came.
        came: String,
    },
    /// Not an RFC 3339 time with its zone.
    #[error(
        "{came:?} is not a time; expected RFC 3339 with its zone, such as 2026-01-31T12:00:00Z"
    )]
    Time {
        /// What came.
        came: String,
    },
}

impl FromStr for Place {
    type Err = InvalidPlace;

    /// `start`, `end`, an offset, or an RFC 3339 time.
    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let invalid = || InvalidPlace::Place { came: text.chars().take(64).collect() };
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            _ if text.contains('T') || text.contains(':') => {
                Timestamp::parse_rfc3339(text).map(Self::Time)
            }
            _ => {
                let value = text.parse::<i64>().map_err(|_| invalid())?;
                Offset::new(value).map(Self::At).ok_or_else(invalid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_words_offsets_and_times() {
        assert_eq!("start".parse(), Ok(Place::Start));
        assert_eq!("end".parse(), Ok(Place::End));
        assert_eq!("42".parse(), Ok(Place::At(Offset(42))));
        assert_eq!("1970-01-01T00:00:01.5Z".parse(), Ok(Place::Time(Timestamp(1500))));
        assert_eq!("1970-01-01T01:00:00+01:00".parse(), Ok(Place::Time(Timestamp(0))));
        for bad in ["", "-1", "now", "2026-01-31T12:00:00", "2026-01-31", "9223372036854775808"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn timestamps_are_written_in_utc_with_milliseconds() {
        assert_eq!(Timestamp(1500).to_rfc3339().as_deref(), Some("1970-01-01T00:00:01.500Z"));
        assert_eq!(Timestamp(-1).to_rfc3339().as_deref(), Some("1969-12-31T23:59:59.999Z"));
        assert_eq!(Timestamp(i64::MAX).to_rfc3339(), None);
    }

    #[test]
    fn offsets_never_overflow() {
        assert_eq!(Offset(i64::MAX).next(), Offset(i64::MAX));
        assert_eq!(Offset::new(-1), None);
    }
}
