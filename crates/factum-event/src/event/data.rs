//! The data of an event, kept to the byte.
//!
//! What data *is* are its bytes and the media type. In which of the forms it is held only
//! decides how the JSON format writes it (section 3.1): as a JSON value, as a string, or as
//! Base64.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{EventError, media};

/// Deepest nesting of arrays and objects in data, so that no reader's stack is in danger.
pub const MAX_DEPTH: usize = 128;

/// The data of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Data {
    /// The event has none.
    #[default]
    None,
    /// JSON text.
    Json(Json),
    /// Other text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Data {
    /// The bytes, as binary mode carries them; empty where there is no data.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::Json(json) => json.bytes(),
            Self::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
            Self::Binary(bytes) => bytes.clone(),
        }
    }

    /// Whether the event has none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The JSON text, if it is that.
    #[must_use]
    pub const fn as_json(&self) -> Option<&Json> {
        if let Self::Json(json) = self { Some(json) } else { None }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Json(json) => &json.0,
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The form that bytes of this media type have. Bytes that are not what the media type says
    /// stay bytes.
    pub(super) fn classify(bytes: Bytes, datacontenttype: Option<&str>) -> Self {
        let media = datacontenttype.and_then(media::parse);
        if datacontenttype.is_none() || media.is_some_and(|media| media.is_json()) {
            return match Json::parse(bytes.clone()) {
                Ok(json) => Self::Json(json),
                Err(_) => Self::Binary(bytes),
            };
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) if media.is_some_and(|media| media.is_text()) => Self::Text(text.to_owned()),
            _ => Self::Binary(bytes),
        }
    }

    /// Brings form and media type together: text of a JSON type is JSON, JSON of another type is
    /// text, and bytes without a type are JSON if they can be (JSON format, section 3.1.2).
    pub(super) fn settle(self, datacontenttype: Option<&str>) -> Result<Self, EventError> {
        let is_json = declares_json(datacontenttype);
        Ok(match self {
            Self::Text(text) if is_json => Self::Json(Json::parse(text)?),
            Self::Json(json) if !is_json => Self::Text(json.as_str().to_owned()),
            Self::Binary(bytes) if datacontenttype.is_none() => Self::classify(bytes, None),
            settled => settled,
        })
    }
}

/// Whether data of this type is JSON; without a type it is.
pub(super) fn declares_json(datacontenttype: Option<&str>) -> bool {
    datacontenttype.is_none_or(|text| media::parse(text).is_some_and(|media| media.is_json()))
}

/// JSON text that was checked, to the byte as it came: numbers of any size, order of keys, spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(Bytes);

impl Json {
    /// Checks that `text` is one JSON value in UTF-8, nested at most [`MAX_DEPTH`] deep.
    ///
    /// # Errors
    /// [`EventError::NotJson`] with the place; [`EventError::TooLarge`] if it is too deep.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, EventError> {
        let bytes = text.into();
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| EventError::Data { expected: "JSON in UTF-8" })?;
        serde_json::from_str::<&RawValue>(text).map_err(|error| EventError::not_json(&error))?;
        check_depth(text)?;
        Ok(Self(bytes))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when it was made")
    }

    /// The text as bytes.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The text on one line: without the spaces and line breaks between tokens.
    #[must_use]
    pub fn compact(&self) -> String {
        compact(self.as_str())
    }

    /// The value, as a type of yours.
    ///
    /// # Errors
    /// As serde says, where the type does not fit.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

/// JSON's insignificant space (RFC 8259, section 2).
pub(super) const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Bytes without JSON's insignificant space around them.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let is_space = |b: &u8| SPACE.contains(&char::from(*b));
    let start = bytes.iter().position(|b| !is_space(b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !is_space(b)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// Walks the bytes of valid JSON; the second argument of `visit` says whether inside a string.
fn walk(text: &str, mut visit: impl FnMut(usize, u8, bool)) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        visit(at, byte, quoted);
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
}

fn check_depth(text: &str) -> Result<(), EventError> {
    let (mut depth, mut deepest) = (0_usize, 0);
    walk(text, |_, byte, quoted| match byte {
        b'[' | b'{' if !quoted => {
            depth += 1;
            deepest = deepest.max(depth);
        }
        b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
        _ => {}
    });
    if deepest > MAX_DEPTH {
        return Err(EventError::TooLarge {
            what: "nesting of data",
            came: deepest,
            limit: MAX_DEPTH,
        });
    }
    Ok(())
}

fn compact(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut from = 0;
    walk(text, |at, byte, quoted| {
        if !quoted && matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            line.push_str(&text[from..at]);
            from = at + 1;
        }
    });
    line.push_str(&text[from..]);
    line
}

/// JSON text of any value, for builders.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<Json, EventError> {
    let text = serde_json::to_string(value).map_err(|error| EventError::not_json(&error))?;
    Json::parse(text)
}

/// A text as a JSON string.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_bytes() {
        let text = "{ \"z\":1.0, \"a\" : 12345678901234567890,\n\"s\":\"\\u00e4 \\\" [{\"}\n";
        let json = Json::parse(text).unwrap();
        assert_eq!(json.as_str(), text);
        assert_eq!(
            json.compact(),
            "{\"z\":1.0,\"a\":12345678901234567890,\"s\":\"\\u00e4 \\\" [{\"}"
        );
        assert_eq!(Json::parse(json.compact()).unwrap().compact(), json.compact());
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in ["", "{", "nul", "1 2", "{\"a\":}", "'a'", "\u{feff}1", "01"] {
            assert!(Json::parse(bad).is_err(), "{bad}");
        }
        assert!(Json::parse(&b"\"\xff\""[..]).is_err());
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(nested(MAX_DEPTH)).is_ok());
        let error = Json::parse(nested(MAX_DEPTH + 1)).unwrap_err();
        assert!(matches!(error, EventError::TooLarge { came: 129, .. }), "{error}");
        assert!(Json::parse(nested(1_000_000)).is_err());
    }

    #[test]
    fn bytes_take_the_form_that_their_type_says() {
        let form = |bytes: &'static [u8], media| Data::classify(Bytes::from_static(bytes), media);
        assert!(matches!(form(b"{}", None), Data::Json(_)));
        assert!(matches!(form(b"{}", Some("a/b+json; x=y")), Data::Json(_)));
        assert!(matches!(form(b"{", Some("application/json")), Data::Binary(_)));
        assert!(matches!(form(b"{}", Some("text/plain")), Data::Text(_)));
        assert!(matches!(form(b"\xff", Some("text/plain")), Data::Binary(_)));
        assert!(matches!(form(b"{}", Some("application/octet-stream")), Data::Binary(_)));
        assert!(matches!(form(b"\xff", None), Data::Binary(_)));
    }
}
