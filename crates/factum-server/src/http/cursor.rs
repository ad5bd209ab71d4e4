//! A cursor: for each partition of a read, where to go on.
//!
//! As text it is what a client gets and gives back: `0:12,1:7` for one topic,
//! `orders/0:12,1:7;payments/0:3` for several, `start` where nothing was read. A partition that is
//! not named goes on at its start, so that empty partitions cost nothing.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use factum_event::{Offset, Partition, TopicName};
use thiserror::Error;

/// Longest text that is looked at.
pub(super) const MAX_CURSOR_BYTES: usize = 64 * 1024;

/// How an empty cursor is written; an empty text would mean "no cursor" to an `EventSource`.
const EMPTY: &str = "start";

/// Where to go on, by topic (none where the read names it) and partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cursor(BTreeMap<Option<TopicName>, BTreeMap<Partition, Offset>>);

/// Text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a cursor as an earlier answer gave it, such as 0:12,1:7")]
pub(super) struct InvalidCursor;

impl Cursor {
    /// Goes on at `next` in this partition.
    pub(super) fn set(&mut self, topic: Option<TopicName>, partition: Partition, next: Offset) {
        if next > Offset::ZERO {
            self.0.entry(topic).or_default().insert(partition, next);
        }
    }

    /// Where to go on; none is the start.
    pub(super) fn get(&self, topic: &Option<TopicName>, partition: Partition) -> Option<Offset> {
        self.0.get(topic)?.get(&partition).copied()
    }

    /// The places that it names.
    pub(super) fn places(&self) -> impl Iterator<Item = (&Option<TopicName>, Partition)> {
        self.0.iter().flat_map(|(topic, places)| places.keys().map(move |place| (topic, *place)))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(EMPTY);
        }
        for (at, (topic, places)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_char(';')?;
            }
            if let Some(topic) = topic {
                write!(f, "{topic}/")?;
            }
            for (at, (partition, next)) in places.iter().enumerate() {
                let comma = if at > 0 { "," } else { "" };
                write!(f, "{comma}{partition}:{next}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let mut cursor = Self::default();
        if text == EMPTY {
            return Ok(cursor);
        }
        if text.len() > MAX_CURSOR_BYTES {
            return Err(InvalidCursor);
        }
        for group in text.split(';') {
            let (topic, places) = match group.split_once('/') {
                Some((topic, places)) => (Some(topic.parse().map_err(|_| InvalidCursor)?), places),
                None => (None, group),
            };
            let places = places.split(',').map(place).collect::<Option<BTreeMap<_, _>>>();
            cursor.0.insert(topic, places.ok_or(InvalidCursor)?);
        }
        Ok(cursor)
    }
}

fn place(text: &str) -> Option<(Partition, Offset)> {
    let (partition, next) = text.split_once(':')?;
    Some((Partition::new(partition.parse().ok()?)?, Offset::new(next.parse().ok()?)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_reads_as_its_partitions_and_offsets() {
        let (zero, one) = (Partition::ZERO, Partition::new(1).expect("positive"));
        let mut cursor = Cursor::default();
        assert_eq!(cursor.to_string(), "start");
        cursor.set(None, one, Offset::ZERO.plus(7));
        cursor.set(None, zero, Offset::ZERO.plus(12));
        assert_eq!(cursor.to_string(), "0:12,1:7");
        let mut cursor = Cursor::default();
        cursor.set("b".parse().ok(), zero, Offset::ZERO.plus(3));
        cursor.set("a".parse().ok(), zero, Offset::ZERO.plus(1));
        cursor.set("a".parse().ok(), one, Offset::ZERO);
        assert_eq!(cursor.to_string(), "a/0:1;b/0:3");
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for bad in ["", "0", "0:", ":1", "-1:2", "0:-2", "0:1,", ";", "a b/0:1", "/0:1", "0:1;"] {
            assert_eq!(bad.parse::<Cursor>(), Err(InvalidCursor), "{bad}");
        }
        assert_eq!("0:1,".repeat(MAX_CURSOR_BYTES).parse::<Cursor>(), Err(InvalidCursor));
    }

    proptest! {
        #[test]
        fn a_cursor_survives_its_text(
            places in prop::collection::vec(
                (prop::option::of("[a-zA-Z0-9._-]{3,20}"), 0..i32::MAX, 0..i64::MAX),
                0..20,
            )
        ) {
            let mut cursor = Cursor::default();
            for (topic, partition, next) in places {
                let topic = topic.map(|topic| topic.parse().expect("a name"));
                let partition = Partition::new(partition).expect("positive");
                cursor.set(topic, partition, Offset::new(next).expect("positive"));
            }
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_makes_reading_a_cursor_panic(text in ".*") {
            let _ = text.parse::<Cursor>();
        }
    }
}
