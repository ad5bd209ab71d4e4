//! The Kafka binding (CloudEvents 1.0.2, `bindings/kafka-protocol-binding.md`): binary mode
//! (`ce_` headers, the value is the data) and structured mode (the value is an event in JSON).
//!
//! The key (section 3.1) is the extension `partitionkey`, else the subject, else null. Reading
//! leaves the event as it is: a key does not become an attribute.
//!
//! An event without data has a null value in binary mode, which a compacted topic takes for the
//! deletion of its key; in structured mode the value is never null.

use bytes::Bytes;

use super::draft::Draft;
use super::http::refuse_datacontenttype;
use super::{Data, Event, EventError, Value, json, media};
use crate::{Header, Record, Timestamp};

/// What introduces the name of an attribute (section 3.2.3.1).
pub(super) const PREFIX: &str = "ce_";

/// The header that holds the media type: of the data in binary mode, of the value in structured.
const CONTENT_TYPE: &str = "content-type";

/// How an event stands in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Attributes are headers, the value is the data.
    Binary,
    /// The value is an event in JSON.
    Structured,
}

/// Writes an event as a record with this timestamp.
#[must_use]
pub fn encode(event: &Event, mode: Mode, timestamp: Timestamp) -> Record {
    let key = event.partitionkey().or_else(|| event.subject().map(Into::into));
    let key = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let (headers, value) = match mode {
        Mode::Binary => encode_binary(event),
        Mode::Structured => {
            let content_type = format!("{}; charset=UTF-8", json::MEDIA_TYPE);
            (vec![Header::new(CONTENT_TYPE, content_type)], Some(json::encode(event).into()))
        }
    };
    Record { key, value, headers, timestamp }
}

fn encode_binary(event: &Event) -> (Vec<Header>, Option<Bytes>) {
    let header = |(name, text): (&str, std::borrow::Cow<'_, str>)| {
        Header::new(format!("{PREFIX}{name}"), text.into_owned())
    };
    let mut headers: Vec<Header> = event.headers().map(header).collect();
    if let Some(media_type) = event.explicit_datacontenttype() {
        headers.push(Header::new(CONTENT_TYPE, media_type.to_owned()));
    }
    let value = (!event.data().is_none()).then(|| event.data().bytes());
    (headers, value)
}

/// Whether a record says that it is an event; it need not be a valid one.
#[must_use]
pub fn is_event(record: &Record) -> bool {
    record.headers.iter().any(|header| header.key == "ce_specversion")
        || content_type(record).ok().flatten().is_some_and(is_cloudevents)
}

/// Reads the event of a record. Headers that are neither `content-type` nor begin with `ce_` do
/// not matter, and a header whose value is null is not there.
///
/// # Errors
/// [`EventError`], with the attribute at fault; [`Event::from_stored`] reads any record.
pub fn decode(record: &Record) -> Result<Event, EventError> {
    let content_type = content_type(record)?;
    match content_type.filter(|text| is_cloudevents(text)) {
        None => decode_binary(record, content_type),
        Some(text) if media::essence(text).eq_ignore_ascii_case(json::MEDIA_TYPE) => {
            let Some(value) = &record.value else {
                let reason = "the record has no value".to_owned();
                return Err(EventError::NotJson { line: 0, column: 0, reason });
            };
            json::decode(value)
        }
        Some(text) => Err(EventError::Format { came: super::error::excerpt(text) }),
    }
}

fn decode_binary(record: &Record, content_type: Option<&str>) -> Result<Event, EventError> {
    let mut draft = Draft::new();
    for (name, value) in attributes(record) {
        refuse_datacontenttype(name)?;
        draft.add(name, Value::from(text(name, value)?))?;
    }
    if let Some(content_type) = content_type {
        draft.add("datacontenttype", Value::from(content_type))?;
    }
    let media_type = draft.event.datacontenttype.as_deref();
    let value = record.value.clone();
    let data = value.map_or(Data::None, |value| Data::classify(value, media_type));
    draft.finish(data)
}

/// The headers that are attributes, with their names as attributes.
pub(super) fn attributes(record: &Record) -> impl Iterator<Item = (&str, &Bytes)> {
    let headers = record.headers.iter();
    headers.filter_map(|header| Some((header.key.strip_prefix(PREFIX)?, header.value.as_ref()?)))
}

/// The header `content-type`, whatever its case: producers spell it in many ways.
pub(super) fn content_type(record: &Record) -> Result<Option<&str>, EventError> {
    let mut headers = record.headers.iter();
    let found = headers.find(|header| header.key.eq_ignore_ascii_case(CONTENT_TYPE));
    let value = found.and_then(|header| header.value.as_ref());
    value.map(|value| text("datacontenttype", value).map(str::trim)).transpose()
}

/// Whether a media type is prefixed with that of CloudEvents (section 3).
pub(super) fn is_cloudevents(content_type: &str) -> bool {
    let prefix = content_type.get(.."application/cloudevents".len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case("application/cloudevents"))
}

pub(super) fn text<'a>(attribute: &str, value: &'a [u8]) -> Result<&'a str, EventError> {
    std::str::from_utf8(value).map_err(|_| {
        EventError::invalid(attribute, "text in UTF-8", &value.escape_ascii().to_string())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary::{any_event, any_record};
    use super::*;

    fn record(headers: &[(&str, &[u8])], value: Option<&'static [u8]>) -> Record {
        let required = [("specversion", "1.0"), ("id", "1"), ("type", "t"), ("source", "/s")];
        let required = required.iter().map(|(name, text)| Header::new(format!("ce_{name}"), *text));
        let more = headers.iter().map(|(k, v)| Header::new(*k, Bytes::copy_from_slice(v)));
        Record {
            key: Some("key".into()),
            value: value.map(Bytes::from_static),
            headers: required.chain(more).collect(),
            timestamp: Timestamp::from_millis(5),
        }
    }

    #[test]
    fn the_key_is_partitionkey_else_subject_else_null() {
        let now = Timestamp::from_millis(5);
        let key = |event: &Event| encode(event, Mode::Binary, now).key;
        let event = Event::builder("/s", "t").id("1").build().unwrap();
        assert_eq!(key(&event), None);
        let event = event.into_builder().subject("s").build().unwrap();
        assert_eq!(key(&event).as_deref(), Some(&b"s"[..]));
        let event = event.into_builder().partitionkey("p").build().unwrap();
        assert_eq!(key(&event).as_deref(), Some(&b"p"[..]));
        assert_eq!(encode(&event, Mode::Structured, now).key.as_deref(), Some(&b"p"[..]));
    }

    #[test]
    fn the_metadata_block_travels_as_headers() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let event = Event::builder("/s", "t").id("1").dataschema("https://example.com/1.2.0");
        let event = event.correlationid("c").causationid("b").traceparent(trace).json(&1);
        let event = event.build().unwrap();
        let record = encode(&event, Mode::Binary, Timestamp::from_millis(5));
        for (name, text) in [
            ("ce_dataschema", "https://example.com/1.2.0"),
            ("content-type", "application/json"),
            ("ce_correlationid", "c"),
            ("ce_causationid", "b"),
            ("ce_traceparent", trace),
        ] {
            assert_eq!(
                record.header(name).map(|value| &value[..]),
                Some(text.as_bytes()),
                "{name}"
            );
        }
        assert_eq!(decode(&record).unwrap(), event);
    }

    #[test]
    fn reading_does_not_make_an_attribute_of_the_key() {
        let event = decode(&record(&[], None)).unwrap();
        assert_eq!((event.partitionkey(), event.subject()), (None, None));
        assert_eq!(event.data(), &Data::None);
    }

    #[test]
    fn values_are_kept_to_the_byte() {
        let json = &b" {\"a\" : 1.0}\n"[..];
        for (content_type, value) in [
            ("application/json", json),
            ("application/json", &b"not json"[..]),
            ("text/plain", &b"\xff"[..]),
            ("image/png", &b""[..]),
        ] {
            let before = record(&[("content-type", content_type.as_bytes())], Some(value));
            let event = decode(&before).unwrap();
            let after = encode(&event, Mode::Binary, before.timestamp);
            assert_eq!((&after.value, &after.headers), (&before.value, &before.headers));
        }
    }

    #[test]
    fn structured_mode_is_told_by_the_media_type() {
        let text = b"{\"specversion\":\"1.0\",\"id\":\"2\",\"type\":\"t\",\"source\":\"/s\"}";
        let media = &b"Application/CloudEvents+JSON; charset=utf-8"[..];
        let event = decode(&record(&[("Content-Type", media)], Some(text))).unwrap();
        assert_eq!(event.id(), "2");
        let error = decode(&record(&[("content-type", media)], None)).unwrap_err();
        assert_eq!(error.code(), "not-json");
        for unknown in ["application/cloudevents+avro", "application/cloudevents-batch+json"] {
            let record = record(&[("content-type", unknown.as_bytes())], Some(b"[]"));
            assert_eq!(decode(&record).unwrap_err().code(), "unknown-event-format");
            assert!(is_event(&record));
        }
    }

    #[test]
    fn the_attribute_at_fault_is_named() {
        for (name, value, attribute) in [
            ("ce_ext", &b"\xff"[..], "ext"),
            ("ce_Ext", b"x", "Ext"),
            ("ce_id", b"2", "id"),
            ("ce_time", b"yesterday", "time"),
            ("ce_datacontenttype", b"a/b", "datacontenttype"),
            ("content-type", b"\xff", "datacontenttype"),
            ("ce_dataschema", b"", "dataschema"),
        ] {
            let error = decode(&record(&[(name, value)], None)).unwrap_err();
            assert_eq!(error.attribute(), Some(attribute), "{error}");
        }
        let mut null = record(&[], None);
        null.headers[1].value = None;
        assert_eq!(decode(&null).unwrap_err(), EventError::Missing { attribute: "id" });
    }

    proptest! {
        #[test]
        fn events_survive_binary_mode(event in any_event()) {
            let record = encode(&event, Mode::Binary, Timestamp::from_millis(7));
            let again = decode(&record).unwrap();
            prop_assert_eq!(&again, &event);
            prop_assert!(is_event(&record));
            prop_assert_eq!(encode(&again, Mode::Binary, record.timestamp), record);
        }

        #[test]
        fn events_survive_structured_mode(event in any_event()) {
            let record = encode(&event, Mode::Structured, Timestamp::from_millis(7));
            prop_assert_eq!(decode(&record).unwrap(), event);
            prop_assert!(is_event(&record));
        }

        #[test]
        fn no_record_makes_a_reader_panic(record in any_record()) {
            let _ = (decode(&record), is_event(&record));
        }
    }
}
