//! Reading any record of an open topic as an event.
//!
//! A record with a valid envelope is that event. Of any other one, attributes that are valid are
//! kept, and those that an event needs are derived from the record and its position:
//!
//! | attribute | derived from |
//! |---|---|
//! | `id` | the position, `orders/0@42`: the same at each reading |
//! | `source` | `/topics/{topic}` |
//! | `type` | [`DERIVED_TYPE`] |
//! | `time` | the record's timestamp, if it has one |
//! | `subject` | the key, if it is text of at most 256 bytes |
//! | `datacontenttype` | the header `content-type`; else JSON, text or bytes, as the value looks |
//!
//! Headers named as the extensions of tracing are taken as those: `correlationid`, `causationid`,
//! `partitionkey`, `traceparent`, `tracestate`, `sequence`. Other headers are not part of the
//! event. The extension [`DERIVED`] lists what was derived, and [`DROPPED`] which attributes
//! were there but not valid.

use super::attribute::{self, Value};
use super::draft::Draft;
use super::http::refuse_datacontenttype;
use super::{Data, Event, EventError, EventTime, kafka, media};
use crate::{Record, StoredRecord, Timestamp};

/// The `type` of an event that is derived from a record without one.
pub const DERIVED_TYPE: &str = "io.factum.record";

/// The extension that lists the derived attributes, with spaces between.
pub const DERIVED: &str = "factumderived";

/// The extension that lists the attributes that were left out as not valid, with spaces between.
pub const DROPPED: &str = "factumdropped";

/// Longest key that becomes a subject.
const MAX_SUBJECT_BYTES: usize = 256;

/// Most attributes that [`DROPPED`] lists.
const MAX_DROPPED: usize = 32;

/// Plain headers that become extensions of the same name.
const TRACING: [&str; 6] =
    ["correlationid", "causationid", "partitionkey", "traceparent", "tracestate", "sequence"];

impl Event {
    /// Reads any record as an event. What had to be derived is listed in the extension
    /// `factumderived`.
    #[must_use]
    pub fn from_stored(stored: &StoredRecord) -> Self {
        kafka::decode(&stored.record).unwrap_or_else(|_| Derivation::new(stored).event())
    }
}

struct Derivation<'a> {
    stored: &'a StoredRecord,
    draft: Draft,
    derived: Vec<&'static str>,
    dropped: Vec<&'a str>,
}

impl<'a> Derivation<'a> {
    fn new(stored: &'a StoredRecord) -> Self {
        Self { stored, draft: Draft::new(), derived: Vec::new(), dropped: Vec::new() }
    }

    fn event(mut self) -> Event {
        let record = &self.stored.record;
        for (name, value) in kafka::attributes(record) {
            let result = refuse_datacontenttype(name).and_then(|()| self.add(name, value));
            if result.is_err() && attribute::is_name(name) && self.dropped.len() < MAX_DROPPED {
                self.dropped.push(name);
            }
        }
        for header in record.headers.iter().filter(|h| TRACING.contains(&h.key.as_str())) {
            if let Some(value) = &header.value {
                // The first valid one counts.
                let _ = self.add(&header.key, value);
            }
        }
        self.derive_required();
        self.derive_optional();
        let data = self.data();
        self.note();
        let mut event = self.draft.event;
        event.data = data;
        event
    }

    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), EventError> {
        self.draft.add(name, Value::from(kafka::text(name, value)?))
    }

    fn derive_required(&mut self) {
        let position = &self.stored.position;
        let event = &mut self.draft.event;
        let required = [
            ("id", &mut event.id, position.to_string()),
            ("source", &mut event.source, format!("/topics/{}", position.topic)),
            ("type", &mut event.event_type, DERIVED_TYPE.to_owned()),
        ];
        if !self.draft.has_specversion {
            self.derived.push("specversion");
        }
        for (name, attribute, derived) in required {
            if attribute.is_empty() {
                *attribute = derived;
                self.derived.push(name);
            }
        }
    }

    fn derive_optional(&mut self) {
        let record = &self.stored.record;
        let event = &mut self.draft.event;
        if event.time.is_none() && record.timestamp != Timestamp::UNKNOWN {
            event.time = EventTime::from_timestamp(record.timestamp);
            self.derived.extend(event.time.as_ref().map(|_| "time"));
        }
        if event.subject.is_none() {
            event.subject = subject(record);
            self.derived.extend(event.subject.as_ref().map(|_| "subject"));
        }
    }

    /// The value with its media type, which is set.
    fn data(&mut self) -> Data {
        let record = &self.stored.record;
        let stated = kafka::content_type(record).ok().flatten();
        let stated = stated.filter(|t| media::parse(t).is_some() && !kafka::is_cloudevents(t));
        let event = &mut self.draft.event;
        event.datacontenttype = stated.map(str::to_owned);
        let Some(value) = record.value.clone() else {
            return Data::None;
        };
        let data = Data::classify(value, stated);
        if stated.is_some() {
            return data;
        }
        self.derived.push("datacontenttype");
        let (media_type, data) = sniff(data);
        event.datacontenttype = Some(media_type.to_owned());
        data
    }

    fn note(&mut self) {
        for (name, list) in [(DERIVED, &self.derived), (DROPPED, &self.dropped)] {
            if !list.is_empty() {
                let text: String = list.join(" ");
                self.draft.event.set_extension(name, Value::String(text));
            }
        }
    }
}

fn subject(record: &Record) -> Option<String> {
    let key = record.key.as_ref().filter(|key| (1..=MAX_SUBJECT_BYTES).contains(&key.len()))?;
    let text = std::str::from_utf8(key).ok()?;
    attribute::check_text("subject", text).is_ok().then(|| text.to_owned())
}

/// The media type of data that came without one.
fn sniff(data: Data) -> (&'static str, Data) {
    let Data::Binary(bytes) = data else {
        return ("application/json", data);
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains('\0') => {
            ("text/plain; charset=utf-8", Data::Text(text.to_owned()))
        }
        _ => ("application/octet-stream", Data::Binary(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::arbitrary::any_record;
    use super::super::{StoredEvent, json};
    use super::*;
    use crate::{Header, Offset, Partition, Position, TopicName};

    fn stored(record: Record) -> StoredRecord {
        let position = Position {
            topic: TopicName::new("orders").unwrap(),
            partition: Partition::ZERO,
            offset: Offset::new(42).unwrap(),
        };
        StoredRecord { position, appended_at: Timestamp::from_millis(9), record }
    }

    fn plain(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> Record {
        Record {
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![],
            timestamp: Timestamp::from_millis(1500),
        }
    }

    #[test]
    fn a_plain_record_gets_a_whole_envelope() {
        let event = Event::from_stored(&stored(plain(Some(b"k1"), Some(b"{\"a\":1}"))));
        for (name, text) in [
            ("id", "orders/0@42"),
            ("source", "/topics/orders"),
            ("type", "io.factum.record"),
            ("subject", "k1"),
            ("time", "1970-01-01T00:00:01.500Z"),
            ("datacontenttype", "application/json"),
            ("factumderived", "specversion id source type time subject datacontenttype"),
        ] {
            assert_eq!(event.attribute(name).as_deref(), Some(text), "{name}");
        }
        assert_eq!(event.extensions().count(), 1);
    }

    #[test]
    fn the_value_tells_the_media_type() {
        for (value, media_type) in [
            (Some(&b"[1]"[..]), Some("application/json")),
            (Some(b"hello"), Some("text/plain; charset=utf-8")),
            (Some(b""), Some("text/plain; charset=utf-8")),
            (Some(b"\0\0\0\0\x05x"), Some("application/octet-stream")),
            (Some(b"\xff"), Some("application/octet-stream")),
            (None, None),
        ] {
            let event = Event::from_stored(&stored(plain(None, value)));
            assert_eq!(event.datacontenttype(), media_type, "{value:?}");
            assert_eq!(event.data().bytes(), value.unwrap_or_default());
            assert_eq!(event.subject(), None);
        }
    }

    #[test]
    fn what_is_valid_is_kept_and_what_is_not_is_named() {
        let mut record = plain(Some(b"\xff"), Some(b"x"));
        record.headers = vec![
            Header::new("ce_id", "7"),
            Header::new("ce_time", "yesterday"),
            Header::new("ce_ext", &b"\xff"[..]),
            Header::new("ce_Ext", "x"),
            Header::new("correlationid", "c"),
            Header::new("traceparent", "nonsense"),
            Header::new("other", "x"),
            Header::new("content-type", "text/csv"),
        ];
        let event = Event::from_stored(&stored(record));
        assert_eq!(event.id(), "7");
        assert_eq!(event.datacontenttype(), Some("text/csv"));
        assert_eq!(event.correlationid().as_deref(), Some("c"));
        assert_eq!((event.traceparent(), event.subject()), (None, None));
        let text = |name| event.attribute(name).unwrap().into_owned();
        assert_eq!(text(DERIVED), "specversion source type time");
        assert_eq!(text(DROPPED), "time ext");
    }

    #[test]
    fn a_broken_structured_event_is_read_as_a_plain_value() {
        let mut record = plain(None, Some(b"{\"id\":1}"));
        record.headers = vec![Header::new("content-type", "application/cloudevents+json")];
        let event = Event::from_stored(&stored(record));
        assert_eq!(event.datacontenttype(), Some("application/json"));
        assert_eq!(event.data().bytes(), "{\"id\":1}");
    }

    #[test]
    fn a_valid_event_is_itself() {
        let event = Event::builder("/s", "t").id("1").text("x").build().unwrap();
        let now = Timestamp::from_millis(1);
        let record = kafka::encode(&event, kafka::Mode::Binary, now);
        assert_eq!(Event::from_stored(&stored(record)), event);
    }

    proptest! {
        #[test]
        fn any_record_becomes_a_valid_event_of_the_same_bytes(record in any_record()) {
            let value = record.value.clone().unwrap_or_default();
            let stored = stored(record);
            let event = Event::from_stored(&stored);
            if event.extension(DERIVED).is_some() {
                prop_assert_eq!(event.data().bytes(), value);
            }
            prop_assert_eq!(&json::decode(json::encode(&event).as_bytes()).unwrap(), &event);
            let read = StoredEvent::from(&stored);
            let line = read.to_line();
            let again = StoredEvent::from_event(json::decode(line.as_bytes()).unwrap()).unwrap();
            prop_assert_eq!((again.position, again.appended_at), (read.position, read.appended_at));
        }
    }
}
