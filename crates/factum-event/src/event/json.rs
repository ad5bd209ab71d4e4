//! The JSON event format (CloudEvents 1.0.2, `formats/json-format.md`): one event
//! (`application/cloudevents+json`, section 3) and a batch
//! (`application/cloudevents-batch+json`, section 4).
//!
//! Data that is JSON is neither parsed into numbers nor written anew: it goes in and out as text.
//! A member twice, an attribute that is an array or object, and `data` beside `data_base64` are
//! refused; `null` is an attribute that is not there (section 2.2).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::data::{self, Json, declares_json, quote};
use super::draft::{Draft, SPECVERSION};
use super::{Data, Event, EventError, Value};

/// The media type of one event.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";

/// The media type of a batch of events.
pub const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json";

/// Most members of the object that is an event; more than any event may have.
const MAX_MEMBERS: usize = 256;

/// Reads one event.
///
/// # Errors
/// [`EventError`], with the attribute at fault or the place in the text.
pub fn decode(text: &[u8]) -> Result<Event, EventError> {
    let members: Members<'_> =
        serde_json::from_slice(text).map_err(|error| EventError::not_json(&error))?;
    members.into_event()
}

/// Reads a batch of at most `max_events` events; an empty one is a batch too.
///
/// # Errors
/// [`EventError::InBatch`] with the index of the first event that is not valid;
/// [`EventError::TooLarge`] if there are more than `max_events`.
pub fn decode_batch(text: &[u8], max_events: usize) -> Result<Vec<Event>, EventError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let elements = deserializer.deserialize_seq(ElementsVisitor { max: max_events });
    let elements = elements.and_then(|elements| deserializer.end().map(|()| elements));
    let (elements, count) = elements.map_err(|error| EventError::not_json(&error))?;
    if count > max_events {
        return Err(EventError::TooLarge {
            what: "events of a batch",
            came: count,
            limit: max_events,
        });
    }
    let events = elements.iter().enumerate().map(|(index, element)| {
        decode(element.get().as_bytes())
            .map_err(|error| EventError::InBatch { index, error: Box::new(error) })
    });
    events.collect()
}

/// Writes one event. JSON data is written as it came, without the space around it, and may hold
/// line breaks.
#[must_use]
pub fn encode(event: &Event) -> String {
    write(event, |json| json.as_str().trim_matches(data::SPACE).into())
}

/// Writes one event on one line, for streams of lines: JSON data loses the space between tokens.
#[must_use]
pub fn encode_line(event: &Event) -> String {
    write(event, |json| json.compact().into())
}

/// Writes a batch.
#[must_use]
pub fn encode_batch<'a>(events: impl IntoIterator<Item = &'a Event>) -> String {
    let mut text = String::from("[");
    for (index, event) in events.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&encode(event));
    }
    text.push(']');
    text
}

fn write<'a>(event: &'a Event, json: impl Fn(&'a Json) -> std::borrow::Cow<'a, str>) -> String {
    let mut text = format!("{{\"specversion\":\"{SPECVERSION}\"");
    let mut member = |name: &str, value: &str| {
        // Names are letters and digits, or the standard's own: none needs escaping.
        for part in [",\"", name, "\":", value] {
            text.push_str(part);
        }
    };
    for (name, value) in event.core() {
        member(name, &quote(value));
    }
    for (name, value) in event.extensions() {
        match value {
            Value::String(value) => member(name, &quote(value)),
            Value::Boolean(_) | Value::Integer(_) => member(name, &value.text()),
        }
    }
    match event.data() {
        Data::None => {}
        Data::Json(value) => member("data", &json(value)),
        Data::Text(value) => member("data", &quote(value)),
        Data::Binary(bytes) => member("data_base64", &quote(&STANDARD.encode(bytes))),
    }
    text.push('}');
    text
}

/// The members of an object in their order, their values as text. More than [`MAX_MEMBERS`] are
/// counted, but not kept.
struct Members<'a> {
    list: Vec<(String, &'a RawValue)>,
    count: usize,
}

impl Members<'_> {
    fn into_event(self) -> Result<Event, EventError> {
        if self.count > MAX_MEMBERS {
            let (came, limit) = (self.count, MAX_MEMBERS);
            return Err(EventError::TooLarge { what: "members of an event", came, limit });
        }
        let mut draft = Draft::new();
        let (mut data, mut base64) = (None, None);
        for (index, (name, value)) in self.list.iter().enumerate() {
            if self.list[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(EventError::Duplicate { attribute: super::error::excerpt(name) });
            }
            match name.as_str() {
                "data" => data = Some(value.get()),
                "data_base64" => base64 = Some(value.get()).filter(|value| *value != "null"),
                _ => {
                    if let Some(value) = read_attribute(name, value.get())? {
                        draft.add(name, value)?;
                    }
                }
            }
        }
        let media_type = draft.event.datacontenttype.as_deref();
        let data = match (data.filter(|data| base64.is_none() || *data != "null"), base64) {
            (None, None) => Data::None,
            (Some(_), Some(_)) => return Err(EventError::DataTwice),
            (None, Some(text)) => read_base64(text)?,
            (Some(text), None) => read_data(text, media_type)?,
        };
        draft.finish(data)
    }
}

/// The value of an attribute; none if it is null (section 2.2).
fn read_attribute(name: &str, text: &str) -> Result<Option<Value>, EventError> {
    let invalid = |expected| EventError::invalid(name, expected, text);
    Ok(Some(match text.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b't') => Value::Boolean(true),
        Some(b'f') => Value::Boolean(false),
        Some(b'"') => Value::String(
            serde_json::from_str(text)
                .map_err(|_| invalid("text in Unicode, without half of a surrogate pair"))?,
        ),
        Some(b'{' | b'[') => {
            return Err(invalid("a string, an integer, true or false; objects belong into data"));
        }
        _ => Value::Integer(
            text.parse().map_err(|_| invalid("an integer between -2147483648 and 2147483647"))?,
        ),
    }))
}

/// Section 3.1.2: JSON where the media type says so or there is none, else a string.
fn read_data(text: &str, media_type: Option<&str>) -> Result<Data, EventError> {
    if declares_json(media_type) {
        return Json::parse(text.to_owned()).map(Data::Json);
    }
    if text == "null" {
        return Ok(Data::None);
    }
    let expected = "a string, as datacontenttype is not JSON";
    let text = serde_json::from_str(text).map_err(|_| EventError::Data { expected })?;
    Ok(Data::Text(text))
}

fn read_base64(text: &str) -> Result<Data, EventError> {
    let invalid = EventError::Data { expected: "Base64 (RFC 4648, section 4) in data_base64" };
    let text: String = serde_json::from_str(text).map_err(|_| invalid.clone())?;
    let bytes = STANDARD.decode(text).map_err(|_| invalid)?;
    Ok(Data::Binary(bytes.into()))
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members { list: Vec::new(), count: 0 };
        while members.list.len() < MAX_MEMBERS {
            let Some(member) = map.next_entry()? else {
                return Ok(members);
            };
            members.list.push(member);
            members.count += 1;
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            members.count += 1;
        }
        Ok(members)
    }
}

/// The elements of an array as text, and their number; more than `max` are counted, not kept.
struct ElementsVisitor {
    max: usize,
}

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch of events, which is an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.max {
            let Some(element) = array.next_element()? else {
                let count = elements.len();
                return Ok((elements, count));
            };
            elements.push(element);
        }
        let mut count = elements.len();
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((elements, count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary::{any_event, any_events};
    use super::*;

    const MINIMUM: &str = "\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"t\",\"source\":\"/s\"";

    fn with(members: &str) -> Result<Event, EventError> {
        decode(format!("{{{MINIMUM},{members}}}").as_bytes())
    }

    #[test]
    fn data_keeps_numbers_order_and_spaces() {
        let data = "{ \"z\": 1.0, \"a\": 12345678901234567890, \"e\": 1e400,\n\"u\": \"\\u00e4\" }";
        let event = with(&format!("\"data\": {data} ")).unwrap();
        assert_eq!(event.data().as_json().unwrap().as_str(), data);
        assert!(encode(&event).contains(data));
        let line = encode_line(&event);
        assert!(!line.contains('\n'));
        assert!(line.contains("{\"z\":1.0,\"a\":12345678901234567890,\"e\":1e400,"), "{line}");
    }

    #[test]
    fn space_around_data_is_not_part_of_the_event_in_json() {
        let event = Event::builder("/s", "t").id("1").bytes("\t0\n").build().unwrap();
        assert!(encode(&event).ends_with("\"data\":0}"));
        assert_eq!(decode(encode(&event).as_bytes()), Ok(event));
    }

    #[test]
    fn types_of_attributes_are_kept_apart() {
        let text = format!("{{{MINIMUM},\"a\":true,\"b\":-5,\"c\":\"-5\",\"d\":\"true\"}}");
        assert_eq!(encode(&decode(text.as_bytes()).unwrap()), text);
    }

    #[test]
    fn null_is_an_attribute_that_is_not_there() {
        let event = with("\"subject\":null,\"time\":null,\"ext\":null,\"data_base64\":null");
        assert_eq!(event, decode(format!("{{{MINIMUM}}}").as_bytes()));
        let error = decode(b"{\"specversion\":\"1.0\",\"id\":null}").unwrap_err();
        assert_eq!(error, EventError::Missing { attribute: "id" });
    }

    #[test]
    fn data_has_the_form_that_its_media_type_says() {
        let data = |members: &str| with(members).unwrap().data().clone();
        let json = |text: &'static str| Data::Json(Json::parse(text).unwrap());
        assert_eq!(data("\"data\":null"), json("null"));
        assert_eq!(data("\"data\":\"{}\""), json("\"{}\""));
        assert_eq!(data("\"datacontenttype\":\"a/b+json\",\"data\":1"), json("1"));
        let xml = "\"datacontenttype\":\"application/xml\"";
        assert_eq!(data(&format!("{xml},\"data\":\"<a/>\"")), Data::Text("<a/>".into()));
        assert_eq!(data(&format!("{xml},\"data\":null")), Data::None);
        assert_eq!(
            data(&format!("{xml},\"data_base64\":\"PGEvPg==\"")),
            Data::Binary("<a/>".into())
        );
        assert_eq!(data(&format!("\"data\":\"<a/>\",{xml}")), Data::Text("<a/>".into()));
        assert!(with(&format!("{xml},\"data\":{{}}")).is_err());
    }

    #[test]
    fn what_is_no_event_is_refused_with_the_attribute_at_fault() {
        for (members, attribute) in [
            ("\"id\":\"2\"", "id"),
            ("\"ext\":1,\"ext\":1", "ext"),
            ("\"ext\":null,\"ext\":1", "ext"),
            ("\"subject\":5", "subject"),
            ("\"subject\":\"\"", "subject"),
            ("\"time\":\"2026-01-31T12:00:00\"", "time"),
            ("\"time\":0", "time"),
            ("\"dataschema\":\"x\"", "dataschema"),
            ("\"datacontenttype\":\"json\"", "datacontenttype"),
            ("\"ext\":[1]", "ext"),
            ("\"ext\":{}", "ext"),
            ("\"ext\":1.0", "ext"),
            ("\"ext\":2147483648", "ext"),
            ("\"ext\":\"\\ud800\"", "ext"),
            ("\"ext\":\"a\\u0000b\"", "ext"),
            ("\"Ext\":1", "Ext"),
            ("\"data_base64\":\"?\"", "data"),
            ("\"data_base64\":5", "data"),
            ("\"data\":1,\"data_base64\":\"AA==\"", "data"),
            ("\"traceparent\":\"x\"", "traceparent"),
        ] {
            let error = with(members).unwrap_err();
            assert_eq!(error.attribute(), Some(attribute), "{members}: {error}");
        }
    }

    #[test]
    fn each_required_attribute_is_named_when_it_is_missing() {
        let members = MINIMUM.split(',').collect::<Vec<_>>();
        for (left_out, name) in ["specversion", "id", "type", "source"].iter().enumerate() {
            let mut rest = members.clone();
            rest.remove(left_out);
            let error = decode(format!("{{{}}}", rest.join(",")).as_bytes()).unwrap_err();
            assert_eq!(error, EventError::Missing { attribute: name });
        }
        let error = decode(b"{\"specversion\":\"0.3\"}").unwrap_err();
        assert_eq!(error.code(), "unknown-specversion");
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for (text, line, column) in [("", 1, 0), ("{\n\"id\":}", 2, 6), ("[]", 1, 0), ("5", 1, 1)] {
            let error = decode(text.as_bytes()).unwrap_err();
            let EventError::NotJson { line: l, column: c, .. } = error else {
                panic!("{text}: {error}")
            };
            assert_eq!((l, c), (line, column), "{text}");
        }
        assert!(decode(format!("{{{MINIMUM}}} x").as_bytes()).is_err());
        assert!(decode(b"{\"id\":\"\xff\"}").is_err());
    }

    #[test]
    fn members_and_nesting_have_limits() {
        let many: Vec<String> = (0..300).map(|index| format!("\"x{index}\":1")).collect();
        let error = with(&many.join(",")).unwrap_err();
        assert!(matches!(error, EventError::TooLarge { came: 304, limit: 256, .. }), "{error}");
        let deep = format!("\"data\":{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(with(&deep).unwrap_err().code(), "too-large");
    }

    #[test]
    fn a_batch_names_the_index_of_the_event_at_fault() {
        let good = format!("{{{MINIMUM}}}");
        assert_eq!(decode_batch(b" [] ", 0), Ok(vec![]));
        assert_eq!(decode_batch(format!("[{good},{good}]").as_bytes(), 2).unwrap().len(), 2);
        let error = decode_batch(format!("[{good},{{}}]").as_bytes(), 9).unwrap_err();
        assert_eq!((error.index(), error.attribute()), (Some(1), Some("specversion")));
        let error = decode_batch(format!("[{good},5]").as_bytes(), 9).unwrap_err();
        assert_eq!((error.index(), error.code()), (Some(1), "not-json"));
    }

    #[test]
    fn a_batch_has_a_limit() {
        let good = format!("{{{MINIMUM}}}");
        let error = decode_batch(format!("[{good},{good},{good}]").as_bytes(), 2).unwrap_err();
        assert!(matches!(error, EventError::TooLarge { came: 3, limit: 2, .. }), "{error}");
        for bad in ["{}", "", "[", "[{}", "[] []", "[,]"] {
            assert_eq!(decode_batch(bad.as_bytes(), 9).unwrap_err().code(), "not-json", "{bad}");
        }
    }

    proptest! {
        #[test]
        fn events_survive_the_json_format(event in any_event()) {
            let text = encode(&event);
            let again = decode(text.as_bytes()).unwrap();
            prop_assert_eq!(&again, &event);
            prop_assert_eq!(encode(&again), text);
            prop_assert!(!encode_line(&event).contains('\n'));
            prop_assert!(decode(encode_line(&event).as_bytes()).is_ok());
        }

        #[test]
        fn batches_survive_the_json_batch_format(events in any_events()) {
            let text = encode_batch(&events);
            prop_assert_eq!(decode_batch(text.as_bytes(), events.len()).unwrap(), events);
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "[{}\\[\\]\":,a-z0-9.\\\\ \u{80}]{0,200}") {
            let _ = decode(text.as_bytes());
            let _ = decode_batch(text.as_bytes(), 3);
            let _ = with(&text);
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = decode_batch(&bytes, 3);
        }
    }
}
