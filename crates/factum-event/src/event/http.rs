//! The HTTP binding (CloudEvents 1.0.2, `bindings/http-protocol-binding.md`): binary, structured
//! and batched mode, told apart by the media type (section 3).
//!
//! It knows no server: headers are names and bytes, whatever library they come from.

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::draft::Draft;
use super::{Data, Event, EventError, Value, json, media};

/// What introduces the name of an attribute (section 3.1.3.1).
const PREFIX: &str = "ce-";

/// The characters of ASCII that are encoded (section 3.1.3.2); all others outside it are too.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// How events stand in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Attributes are headers, the body is the data.
    Binary,
    /// The body is an event.
    Structured,
    /// The body is a list of events.
    Batched,
}

/// The mode of a message with this `Content-Type`.
///
/// # Errors
/// [`EventError::Format`] where it is CloudEvents in a format other than JSON.
pub fn mode(content_type: Option<&str>) -> Result<Mode, EventError> {
    let text = content_type.unwrap_or_default();
    let essence = media::essence(text).to_ascii_lowercase();
    match essence.as_str() {
        json::MEDIA_TYPE => Ok(Mode::Structured),
        json::BATCH_MEDIA_TYPE => Ok(Mode::Batched),
        other if other.starts_with("application/cloudevents") => {
            Err(EventError::Format { came: super::error::excerpt(text) })
        }
        _ => Ok(Mode::Binary),
    }
}

/// What a message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart at once; a box per event would cost more than the move"
)]
pub enum Message {
    /// One event, from binary or structured mode.
    Single(Event),
    /// A list of events, from batched mode.
    Batch(Vec<Event>),
}

impl Message {
    /// The events, one or many.
    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        match self {
            Self::Single(event) => vec![event],
            Self::Batch(events) => events,
        }
    }
}

/// Reads the events of a message, at most `max_events` of them.
///
/// Headers that are neither `Content-Type` nor begin with `ce-` do not matter; neither do the
/// latter in structured and batched mode, where the body says it all (section 3.2.3).
///
/// # Errors
/// [`EventError`], with the attribute at fault.
pub fn decode<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    body: Bytes,
    max_events: usize,
) -> Result<Message, EventError> {
    let mut content_type = None;
    let mut attributes = Vec::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if name == "content-type" {
            let text = decode_text("datacontenttype", value)?;
            if content_type.replace(text).is_some() {
                return Err(EventError::Duplicate { attribute: "datacontenttype".to_owned() });
            }
        } else if let Some(attribute) = name.strip_prefix(PREFIX) {
            attributes.push((attribute.to_owned(), value));
        }
    }
    match mode(content_type)? {
        Mode::Structured => json::decode(&body).map(Message::Single),
        Mode::Batched => json::decode_batch(&body, max_events).map(Message::Batch),
        Mode::Binary => decode_binary(content_type, attributes, body).map(Message::Single),
    }
}

fn decode_binary(
    content_type: Option<&str>,
    attributes: Vec<(String, &[u8])>,
    body: Bytes,
) -> Result<Event, EventError> {
    let mut draft = Draft::new();
    for (name, value) in attributes {
        refuse_datacontenttype(&name)?;
        draft.add(&name, Value::String(decode_value(&name, value)?))?;
    }
    if let Some(content_type) = content_type {
        draft.add("datacontenttype", Value::from(content_type))?;
    }
    let data = match body.is_empty() {
        true => Data::None,
        false => Data::classify(body, draft.event.datacontenttype.as_deref()),
    };
    draft.finish(data)
}

/// Section 3.1.1 of the HTTP and 3.2.1 of the Kafka binding: there is one place for it.
pub(super) fn refuse_datacontenttype(name: &str) -> Result<(), EventError> {
    if name == "datacontenttype" {
        let expected = "the media type in the header content-type, not in one of its own";
        return Err(EventError::invalid(name, expected, "a header of its own"));
    }
    Ok(())
}

/// A message as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Headers, their names in lower case, `content-type` included.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Encoded {
    fn json(media_type: &str, body: String) -> Self {
        let content_type = format!("{media_type}; charset=utf-8");
        Self { headers: vec![("content-type".to_owned(), content_type)], body: body.into() }
    }
}

/// Writes an event in binary mode. An event without data and one with empty data look the same.
#[must_use]
pub fn encode_binary(event: &Event) -> Encoded {
    let attributes = event.headers();
    let mut headers: Vec<(String, String)> =
        attributes.map(|(name, value)| (format!("{PREFIX}{name}"), encode_value(&value))).collect();
    if let Some(media_type) = event.explicit_datacontenttype() {
        headers.push(("content-type".to_owned(), media_type.to_owned()));
    }
    Encoded { headers, body: event.data().bytes() }
}

/// Writes an event in structured mode.
#[must_use]
pub fn encode_structured(event: &Event) -> Encoded {
    Encoded::json(json::MEDIA_TYPE, json::encode(event))
}

/// Writes events in batched mode.
#[must_use]
pub fn encode_batch(events: &[Event]) -> Encoded {
    Encoded::json(json::BATCH_MEDIA_TYPE, json::encode_batch(events))
}

/// Encodes an attribute's canonical string for a header (section 3.1.3.2).
#[must_use]
pub fn encode_value(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Decodes a header into an attribute's canonical string (section 3.1.3.2): first the quotes that
/// older senders put around it, then one round of percent-decoding. A `%` without two digits
/// stands for itself, and UTF-8 that was not encoded is accepted.
///
/// # Errors
/// [`EventError::Invalid`] naming `attribute`, where the result is not UTF-8.
pub fn decode_value(attribute: &str, value: &[u8]) -> Result<String, EventError> {
    let text = unquote(decode_text(attribute, value)?);
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| EventError::invalid(attribute, "percent-encoded UTF-8", &text))
}

fn decode_text<'a>(attribute: &str, value: &'a [u8]) -> Result<&'a str, EventError> {
    let text = std::str::from_utf8(value).map_err(|_| {
        EventError::invalid(attribute, "text in UTF-8", &value.escape_ascii().to_string())
    })?;
    Ok(text.trim_matches([' ', '\t']))
}

/// RFC 7230, section 3.2.6.
fn unquote(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let Some(inner) = inner else {
        return text.to_owned();
    };
    let mut unquoted = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        // A backslash at the very end stands for itself.
        unquoted.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    unquoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary::{any_event, any_events};
    use super::*;

    const REQUIRED: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("CE-ID", "1"), ("Ce-Type", "t"), ("ce-source", "/s")];

    fn read(headers: &[(&str, &str)], body: &'static str) -> Result<Event, EventError> {
        let headers = REQUIRED.iter().chain(headers).map(|(name, value)| (*name, value.as_bytes()));
        decode(headers, Bytes::from_static(body.as_bytes()), 10).map(|message| match message {
            Message::Single(event) => event,
            Message::Batch(_) => panic!("a batch"),
        })
    }

    fn again(message: &Encoded) -> Message {
        let headers = message.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes()));
        decode(headers, message.body.clone(), 100).unwrap()
    }

    #[test]
    fn the_media_type_decides_the_mode() {
        for (content_type, expected) in [
            (None, Mode::Binary),
            (Some("application/json"), Mode::Binary),
            (Some("application/cloudevents+json"), Mode::Structured),
            (Some("Application/CloudEvents+JSON; charset=UTF-8"), Mode::Structured),
            (Some("application/cloudevents-batch+json;charset=utf-8"), Mode::Batched),
        ] {
            assert_eq!(mode(content_type), Ok(expected), "{content_type:?}");
        }
        for unknown in [
            "application/cloudevents+xml",
            "application/cloudevents",
            "application/cloudevents-batch",
        ] {
            assert_eq!(mode(Some(unknown)).unwrap_err().code(), "unknown-event-format");
        }
    }

    #[test]
    fn values_are_encoded_as_the_standard_says() {
        for (text, encoded) in [
            ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("a\"b%c", "a%22b%25c"),
            ("!#$&'()*+,/:;=?@[]\\^_`{|}~", "!#$&'()*+,/:;=?@[]\\^_`{|}~"),
            ("\u{7f}", "%7F"),
        ] {
            assert_eq!(encode_value(text), encoded);
            assert_eq!(decode_value("a", encoded.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn values_are_decoded_leniently_but_only_once() {
        for (encoded, text) in [
            ("%e2%82%ac", "€"),
            ("%41", "A"),
            ("%2541", "%41"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("\"a \\\"b\\\" \\\\ %20\"", "a \"b\" \\  "),
            ("\"", "\""),
            ("  a b\t", "a b"),
            ("€", "€"),
        ] {
            assert_eq!(decode_value("a", encoded.as_bytes()).unwrap(), text, "{encoded}");
        }
        for bad in [&b"%C0%A0"[..], b"%ff", b"\xff", b"\"%ED%A0%80\""] {
            assert_eq!(decode_value("ext", bad).unwrap_err().attribute(), Some("ext"));
        }
    }

    #[test]
    fn binary_mode_reads_headers_and_body() {
        let headers =
            [("ce-ext", "%C3%A4"), ("content-type", "application/json"), ("host", "x"), ("ce", "")];
        let event = read(&headers, "{\"a\": 1.0}").unwrap();
        assert_eq!(event.attribute("ext").as_deref(), Some("ä"));
        assert_eq!(event.data().as_json().unwrap().as_str(), "{\"a\": 1.0}");
        assert_eq!(read(&[], "").unwrap().data(), &Data::None);
    }

    #[test]
    fn the_attribute_at_fault_is_named() {
        for (header, attribute) in [
            (("ce-time", "today"), "time"),
            (("ce-id", "2"), "id"),
            (("ce-datacontenttype", "a/b"), "datacontenttype"),
            (("content-type", "nothing"), "datacontenttype"),
            (("ce-a_b", "2"), "a_b"),
            (("ce-", "2"), ""),
            (("ce-data", "2"), "data"),
            (("ce-subject", ""), "subject"),
            (("ce-ext", "%0a"), "ext"),
        ] {
            let error = read(&[header], "").unwrap_err();
            assert_eq!(error.attribute(), Some(attribute), "{error}");
        }
        let error = decode([], Bytes::new(), 1).unwrap_err();
        assert_eq!(error, EventError::Missing { attribute: "specversion" });
        let twice = read(&[("content-type", "a/b"), ("Content-Type", "a/b")], "").unwrap_err();
        assert_eq!(twice.code(), "duplicate-attribute");
    }

    #[test]
    fn json_without_a_media_type_gets_it_explicitly() {
        let text = "{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"t\",\"source\":\"/s\",\
                    \"data\":\"I'm just a string\"}";
        let message = encode_binary(&json::decode(text.as_bytes()).unwrap());
        assert_eq!(message.body, "\"I'm just a string\"");
        let content_type = ("content-type".to_owned(), "application/json".to_owned());
        assert!(message.headers.contains(&content_type));
    }

    proptest! {
        #[test]
        fn events_survive_binary_mode(event in any_event()) {
            let message = encode_binary(&event);
            for (name, value) in &message.headers {
                prop_assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}: {}", name, value);
            }
            prop_assert_eq!(&message.body, &event.data().bytes());
            prop_assert_eq!(again(&message), Message::Single(event));
        }

        #[test]
        fn events_survive_structured_mode(event in any_event()) {
            prop_assert_eq!(again(&encode_structured(&event)), Message::Single(event));
        }

        #[test]
        fn events_survive_batched_mode(events in any_events()) {
            prop_assert_eq!(again(&encode_batch(&events)), Message::Batch(events));
        }

        #[test]
        fn any_text_survives_a_header(text in "\\PC{0,40}") {
            prop_assert_eq!(decode_value("a", encode_value(&text).as_bytes()).unwrap(), text);
        }

        #[test]
        fn no_message_makes_a_reader_panic(
            headers in prop::collection::vec(("ce-[a-z]{0,3}|content-type", any::<Vec<u8>>()), 0..8),
            body in any::<Vec<u8>>(),
        ) {
            let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            let _ = decode(headers, body.into(), 3);
        }
    }
}
