//! Names and values of attributes (CloudEvents 1.0.2, "Naming Conventions" and "Type System").
//!
//! Three types are told apart, as JSON does: booleans, integers, strings. Binary, URI,
//! URI-reference and timestamp travel as their canonical strings in every binding, so they are
//! strings here, with constructors that check them.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fluent_uri::{Uri, UriRef};

use super::error::{EventError, excerpt};
use super::{EventTime, media};

/// Longest name of an extension. The standard advises 20 characters, which is left to the linter.
pub const MAX_NAME_BYTES: usize = 128;

/// Longest value of an attribute.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Most extensions of an event.
pub const MAX_EXTENSIONS: usize = 128;

/// The attributes that the standard itself defines.
pub(super) const CORE: [&str; 8] =
    ["specversion", "id", "type", "source", "subject", "time", "datacontenttype", "dataschema"];

/// The value of an extension attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A whole number of 32 bits.
    Integer(i32),
    /// Text, or the canonical string of any other type.
    String(String),
}

impl Value {
    /// Bytes, as their canonical string: Base64.
    #[must_use]
    pub fn binary(bytes: &[u8]) -> Self {
        Self::String(STANDARD.encode(bytes))
    }

    /// The canonical string, as header bindings carry it.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Boolean(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Integer(value) => Cow::Owned(value.to_string()),
            Self::String(value) => Cow::Borrowed(value),
        }
    }

    /// The bytes, if it is Base64.
    #[must_use]
    pub fn as_binary(&self) -> Option<Vec<u8>> {
        if let Self::String(text) = self { STANDARD.decode(text).ok() } else { None }
    }

    /// The time, if it is one.
    #[must_use]
    pub fn as_time(&self) -> Option<EventTime> {
        if let Self::String(text) = self { EventTime::parse(text).ok() } else { None }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Integer(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<EventTime> for Value {
    fn from(value: EventTime) -> Self {
        Self::String(value.as_str().to_owned())
    }
}

/// Whether an attribute, of the standard or an extension, may have this name.
pub(super) fn is_name(name: &str) -> bool {
    CORE.contains(&name) || check_name(name).is_ok()
}

/// Checks the name of an extension.
pub(super) fn check_name(name: &str) -> Result<(), EventError> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let expected = if name.is_empty() || !name.bytes().all(legal) {
        "letters a-z in lower case and digits only"
    } else if name.len() > MAX_NAME_BYTES {
        "at most 128 characters, better 20"
    } else if name == "data" || CORE.contains(&name) {
        "a name that the standard does not use itself"
    } else {
        return Ok(());
    };
    Err(EventError::InvalidName { name: excerpt(name), expected })
}

/// Checks what holds for the text of every attribute: its length and its characters.
pub(super) fn check_text(attribute: &str, text: &str) -> Result<(), EventError> {
    let expected = if text.len() > MAX_VALUE_BYTES {
        "at most 65536 bytes"
    } else if !text.chars().all(is_legal) {
        "text without control characters and noncharacters"
    } else {
        return Ok(());
    };
    Err(EventError::invalid(attribute, expected, text))
}

/// Control characters and Unicode's noncharacters are not allowed in a CloudEvents string.
fn is_legal(c: char) -> bool {
    let code = u32::from(c);
    !(c.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe)
}

/// Checks the text of an attribute that the standard or Factum defines; others may be anything.
pub(super) fn check_meaning(attribute: &str, text: &str) -> Result<(), EventError> {
    let (good, expected) = match attribute {
        "source" => (
            !text.is_empty() && UriRef::parse(text).is_ok(),
            "a URI reference such as /services/billing, not empty",
        ),
        "dataschema" => {
            (Uri::parse(text).is_ok(), "an absolute URI such as https://example.com/invoice.json")
        }
        "datacontenttype" => {
            (media::parse(text).is_some(), "a media type such as application/json")
        }
        "traceparent" => (
            is_traceparent(text),
            "W3C's form 00-{32 hexadecimal digits}-{16 of them}-{2 of them}, in lower case",
        ),
        "id" | "type" | "subject" | "correlationid" | "causationid" | "partitionkey"
        | "sequence" => (!text.is_empty(), "text that is not empty"),
        _ => return Ok(()),
    };
    if good { Ok(()) } else { Err(EventError::invalid(attribute, expected, text)) }
}

/// W3C Trace Context, section 3.2: version, trace id, parent id, flags; ids are not all zero.
/// A version after 00 may append more fields.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let id = |part: &str, len: usize| hex(part, len) && part.bytes().any(|b| b != b'0');
    let mut parts = text.splitn(5, '-');
    let mut next = || parts.next().unwrap_or_default();
    let (version, trace, parent, flags) = (next(), next(), next(), next());
    let more = parts.next().is_some();
    hex(version, 2)
        && version != "ff"
        && id(trace, 32)
        && id(parent, 16)
        && hex(flags, 2)
        && (!more || version != "00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_letters_and_digits() {
        for good in ["a", "0", "correlationid", "a1b2", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for bad in ["", "A", "a_b", "a-b", "ä", "data", "id", "specversion", "time", &long] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_have_no_control_characters_nor_noncharacters() {
        for good in ["", "a b", "Euro € 😀", "\u{a0}", "\u{fffd}"] {
            assert_eq!(check_text("subject", good), Ok(()), "{good:?}");
        }
        for bad in ["\n", "\0", "\u{7f}", "\u{9f}", "\u{fdd0}", "\u{ffff}", "\u{1fffe}"] {
            assert!(check_text("subject", bad).is_err(), "{bad:?}");
        }
        assert!(check_text("subject", &"x".repeat(MAX_VALUE_BYTES)).is_ok());
        assert!(check_text("subject", &"x".repeat(MAX_VALUE_BYTES + 1)).is_err());
    }

    #[test]
    fn sources_are_uri_references_and_schemas_are_absolute() {
        for good in [
            "/services/billing",
            "billing-service",
            "https://github.com/cloudevents",
            "mailto:a@example.com",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "1-555-123-4567",
        ] {
            assert_eq!(check_meaning("source", good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "%zz", "http://[", "ä"] {
            assert!(check_meaning("source", bad).is_err(), "{bad}");
        }
        assert!(check_meaning("dataschema", "https://example.com/a?b=c#d").is_ok());
        for bad in ["", "/relative", "example.com/x", "https://a b"] {
            assert!(check_meaning("dataschema", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn traceparents_follow_w3c() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let later = format!("01{}-what-ever", &good[2..]);
        for good in [good, &later] {
            assert_eq!(check_meaning("traceparent", good), Ok(()), "{good}");
        }
        let longer = format!("{good}-00");
        for bad in [
            "",
            "00",
            &longer,
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        ] {
            assert!(check_meaning("traceparent", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_have_canonical_strings() {
        assert_eq!(Value::from(true).text(), "true");
        assert_eq!(Value::from(-5).text(), "-5");
        assert_eq!(Value::binary(b"foob").text(), "Zm9vYg==");
        assert_eq!(Value::binary(b"\0\xff").as_binary().as_deref(), Some(&b"\0\xff"[..]));
        assert!(Value::from("2026-01-31T12:00:00Z").as_time().is_some());
        assert!(Value::from("2026-01-31T12:00:00").as_time().is_none());
    }
}
