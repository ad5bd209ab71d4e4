//! Fills in what a line of a structured event leaves out, without touching the rest of it: data
//! stays as it was written, to the byte.

use std::borrow::Cow;

use factum_event::event::{EventTime, json};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Attributes, Stamp};

/// Which attributes a line has.
#[derive(Deserialize)]
struct Present {
    specversion: Option<IgnoredAny>,
    id: Option<IgnoredAny>,
    source: Option<IgnoredAny>,
    #[serde(rename = "type")]
    event_type: Option<IgnoredAny>,
    time: Option<IgnoredAny>,
    subject: Option<IgnoredAny>,
    datacontenttype: Option<IgnoredAny>,
    dataschema: Option<IgnoredAny>,
    correlationid: Option<IgnoredAny>,
    causationid: Option<IgnoredAny>,
    partitionkey: Option<IgnoredAny>,
    #[serde(flatten)]
    extensions: std::collections::HashMap<String, IgnoredAny>,
}

/// The line as a complete event in one line of JSON.
///
/// # Errors
/// Why it is no event.
pub fn event_line(line: &str, defaults: &Attributes, stamp: &Stamp) -> Result<String, String> {
    let line = line.trim();
    let present: Present = serde_json::from_str(line)
        .map_err(|error| format!("expected a CloudEvent as a JSON object: {error}"))?;
    let complete = insert(line, &missing(&present, defaults, stamp));
    json::decode(complete.as_bytes()).map_err(|error| error.to_string())?;
    Ok(complete.into_owned())
}

/// The attributes that the line does not have, with the values that they get.
fn missing(
    present: &Present,
    defaults: &Attributes,
    stamp: &Stamp,
) -> Vec<(String, Cow<'static, str>)> {
    let mut out: Vec<(String, Cow<'static, str>)> = Vec::new();
    let mut add = |name: &str, has: bool, value: Option<Cow<'static, str>>| {
        if let (false, Some(value)) = (has, value) {
            out.push((name.to_owned(), value));
        }
    };
    let given = |value: &Option<String>| value.clone().map(Cow::Owned);
    add("specversion", present.specversion.is_some(), Some(Cow::Borrowed("1.0")));
    if present.id.is_none() {
        let id = defaults.id.clone().unwrap_or_else(|| stamp.ids.next(stamp.now()).to_string());
        add("id", false, Some(id.into()));
    }
    if present.time.is_none() {
        let time = defaults.time.clone().or_else(|| EventTime::from_timestamp(stamp.now()));
        add("time", false, time.map(|time| time.to_string().into()));
    }
    add("source", present.source.is_some(), given(&defaults.source));
    add("type", present.event_type.is_some(), given(&defaults.event_type));
    add("subject", present.subject.is_some(), given(&defaults.subject));
    add("datacontenttype", present.datacontenttype.is_some(), given(&defaults.datacontenttype));
    add("dataschema", present.dataschema.is_some(), given(&defaults.dataschema));
    add("correlationid", present.correlationid.is_some(), given(&defaults.correlation_id));
    add("causationid", present.causationid.is_some(), given(&defaults.causation_id));
    add("partitionkey", present.partitionkey.is_some(), given(&defaults.partition_key));
    for (name, value) in &defaults.extensions {
        add(name, present.extensions.contains_key(name), Some(value.clone().into()));
    }
    out
}

/// Puts members before the first one of a JSON object.
fn insert<'a>(object: &'a str, members: &[(String, Cow<'_, str>)]) -> Cow<'a, str> {
    let Some(rest) = object.strip_prefix('{').filter(|_| !members.is_empty()) else {
        return Cow::Borrowed(object);
    };
    let texts: Vec<String> =
        members.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value))).collect();
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    Cow::Owned(format!("{{{}{comma}{rest}", texts.join(",")))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str, defaults: &Attributes) -> Result<String, String> {
        event_line(line, defaults, &Stamp::new())
    }

    #[test]
    fn what_is_missing_is_filled_in_and_the_rest_stays_to_the_byte() {
        let line = r#"{"type":"t","source":"/s","data":{"n":1.50,"big":12345678901234567890123}}"#;
        let out = complete(line, &Attributes::default()).unwrap();
        assert!(out.ends_with(&line[1..]), "{out}");
        let event = json::decode(out.as_bytes()).unwrap();
        assert_eq!(event.id().len(), 36);
        assert!(event.time().is_some());
    }

    #[test]
    fn a_complete_event_is_not_changed() {
        let line = r#"{"specversion":"1.0","id":"1","time":"2026-01-01T00:00:00Z","type":"t","source":"/s"}"#;
        assert_eq!(complete(line, &Attributes::default()).unwrap(), line);
    }

    #[test]
    fn flags_fill_in_but_do_not_replace() {
        let defaults = Attributes {
            event_type: Some("flag".into()),
            source: Some("/flag".into()),
            extensions: vec![("tenant".into(), "a \"b\"".into())],
            ..Attributes::default()
        };
        let event =
            json::decode(complete(r#"{"type":"line"}"#, &defaults).unwrap().as_bytes()).unwrap();
        assert_eq!((event.event_type(), event.source()), ("line", "/flag"));
        assert_eq!(event.attribute("tenant").as_deref(), Some("a \"b\""));
        assert!(complete("{}", &defaults).is_ok());
    }

    #[test]
    fn what_is_no_event_says_why() {
        for bad in ["", "[]", "1", "{", r#"{"type":1}"#, r#"{"type":"t"}"#] {
            assert!(complete(bad, &Attributes::default()).is_err(), "{bad}");
        }
    }
}
