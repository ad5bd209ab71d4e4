//! An event with its place in the log, and how a reader outside sees the place.
//!
//! `time` is when the fact occurred; `appended_at` is when the log took it. Outside the process
//! both travel in the event: the position as the extensions [`POSITION_ATTRIBUTES`]. They say
//! where the event was *read*; whoever publishes it again leaves them out
//! ([`Event::without_position`]), so that a topic can be copied by reading and publishing.

use super::{Event, EventError, json};
use crate::{Offset, Partition, Position, StoredRecord, Timestamp, TopicName};

const TOPIC: &str = "factumtopic";
const PARTITION: &str = "factumpartition";
const OFFSET: &str = "factumoffset";
const APPEND_TIME: &str = "factumappendtime";

/// The extensions that say where an event was read and when the log took it. The offset is a
/// string, as a CloudEvents integer has 32 bits; the time is absent where the log does not know.
pub const POSITION_ATTRIBUTES: [&str; 4] = [TOPIC, PARTITION, OFFSET, APPEND_TIME];

/// An event that was read from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Where it stands.
    pub position: Position,
    /// When the log took it; [`Timestamp::UNKNOWN`] on an engine that does not say.
    pub appended_at: Timestamp,
    /// The event.
    pub event: Event,
}

impl StoredEvent {
    /// The event with its position as extensions.
    #[must_use]
    pub fn to_event(&self) -> Event {
        self.event.clone().with_position(&self.position, self.appended_at)
    }

    /// The event with its position, in JSON on one line, without a line break at the end.
    #[must_use]
    pub fn to_line(&self) -> String {
        json::encode_line(&self.to_event())
    }

    /// Reads what [`to_event`](Self::to_event) has written.
    ///
    /// # Errors
    /// [`EventError`] naming the position's attribute that is missing or not valid.
    pub fn from_event(event: Event) -> Result<Self, EventError> {
        let topic = read(&event, TOPIC, "the name of a topic", |text| TopicName::new(text).ok())?;
        let partition =
            read(&event, PARTITION, "a number, 0 or more", |t| Partition::new(t.parse().ok()?))?;
        let offset = read(&event, OFFSET, "a number, 0 or more", |t| Offset::new(t.parse().ok()?))?;
        let appended_at = match event.extension(APPEND_TIME) {
            None => Timestamp::UNKNOWN,
            Some(_) => read(&event, APPEND_TIME, "a time as in RFC 3339", |text| {
                Timestamp::parse_rfc3339(text).ok()
            })?,
        };
        let position = Position { topic, partition, offset };
        Ok(Self { position, appended_at, event: event.without_position() })
    }
}

fn read<T>(
    event: &Event,
    name: &'static str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, EventError> {
    let text = event.attribute(name).ok_or(EventError::Invalid {
        attribute: name.to_owned(),
        expected,
        came: String::new(),
    })?;
    parse(&text).ok_or_else(|| EventError::invalid(name, expected, &text))
}

impl From<&StoredRecord> for StoredEvent {
    fn from(stored: &StoredRecord) -> Self {
        Self {
            position: stored.position.clone(),
            appended_at: stored.appended_at,
            event: Event::from_stored(stored),
        }
    }
}

impl From<StoredRecord> for StoredEvent {
    fn from(stored: StoredRecord) -> Self {
        let event = Event::from_stored(&stored);
        Self { position: stored.position, appended_at: stored.appended_at, event }
    }
}

impl Event {
    /// The event with extensions that say where it was read and when the log took it.
    #[must_use]
    pub fn with_position(self, position: &Position, appended_at: Timestamp) -> Self {
        let mut event = self.without_position();
        event.set_extension(TOPIC, position.topic.as_str().into());
        event.set_extension(PARTITION, position.partition.get().into());
        event.set_extension(OFFSET, position.offset.to_string().into());
        let known = (appended_at != Timestamp::UNKNOWN).then_some(appended_at);
        if let Some(time) = known.and_then(Timestamp::to_rfc3339) {
            event.set_extension(APPEND_TIME, time.into());
        }
        event
    }

    /// The event without the extensions that say where it was read.
    #[must_use]
    pub fn without_position(mut self) -> Self {
        self.extensions.retain(|(name, _)| !POSITION_ATTRIBUTES.contains(&name.as_str()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::attribute::MAX_EXTENSIONS;
    use super::*;

    fn stored(event: Event) -> StoredEvent {
        let topic = TopicName::new("orders").unwrap();
        let offset = Offset::new(9_000_000_000).unwrap();
        let position = Position { topic, partition: Partition::new(3).unwrap(), offset };
        StoredEvent { position, appended_at: Timestamp::from_millis(1500), event }
    }

    #[test]
    fn the_position_travels_in_the_event_and_comes_off_again() {
        let stored = stored(Event::builder("/s", "t").id("1").json_text("{\n}").build().unwrap());
        assert_eq!(
            stored.to_line(),
            "{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"t\",\"source\":\"/s\",\
             \"datacontenttype\":\"application/json\",\"factumtopic\":\"orders\",\
             \"factumpartition\":3,\"factumoffset\":\"9000000000\",\
             \"factumappendtime\":\"1970-01-01T00:00:01.500Z\",\"data\":{}}"
        );
        assert_eq!(StoredEvent::from_event(stored.to_event()), Ok(stored.clone()));
        assert_eq!(stored.to_event().without_position(), stored.event);
        let unknown = StoredEvent { appended_at: Timestamp::UNKNOWN, ..stored };
        assert_eq!(StoredEvent::from_event(unknown.to_event()), Ok(unknown));
    }

    #[test]
    fn an_event_full_of_extensions_still_has_room_for_its_position() {
        let full = (0..MAX_EXTENSIONS).fold(Event::builder("/s", "t").id("1"), |e, i| {
            e.extension(&format!("x{i}"), i32::MAX)
        });
        let stored = stored(full.build().unwrap());
        let read = json::decode(stored.to_line().as_bytes()).unwrap();
        assert_eq!(StoredEvent::from_event(read), Ok(stored));
    }

    #[test]
    fn a_position_that_is_none_is_named() {
        let event = stored(Event::builder("/s", "t").id("1").build().unwrap()).to_event();
        for (name, bad) in [(TOPIC, "a/b"), (PARTITION, "-1"), (OFFSET, "x"), (APPEND_TIME, "x")] {
            let bad = event.clone().into_builder().extension(name, bad).build().unwrap();
            assert_eq!(StoredEvent::from_event(bad).unwrap_err().attribute(), Some(name));
        }
        let bare = event.without_position();
        assert_eq!(StoredEvent::from_event(bare).unwrap_err().attribute(), Some(TOPIC));
    }
}
