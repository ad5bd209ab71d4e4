//! Arbitrary valid events and arbitrary records, for property tests.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::{Event, EventBuilder, EventTime, Value};
use crate::{Header, Record, Timestamp};

/// Text that an attribute may have: everything printable, Unicode's far planes included.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,12}",
        vec(any::<char>(), 1..8).prop_map(|chars| {
            let legal = |c: &char| super::attribute::check_text("x", &c.to_string()).is_ok();
            chars.into_iter().filter(legal).chain(['x']).collect()
        }),
    ]
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,5}"
        .prop_filter("not the standard's own", |name| super::attribute::check_name(name).is_ok())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
        Just(Value::from("")),
        any::<Vec<u8>>().prop_map(|bytes| Value::binary(&bytes)),
    ]
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.0".to_owned()),
        Just("12345678901234567890".to_owned()),
        Just("-1e400".to_owned()),
        Just("\"\\u00e4\\ud83d\\ude00\"".to_owned()),
        text().prop_map(|text| super::data::quote(&text)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(" , "))),
            vec((text(), inner), 0..4).prop_map(|members| {
                let member = |(name, value): &(String, String)| {
                    format!("{}:\n{value}", super::data::quote(name))
                };
                let members: Vec<String> = members.iter().map(member).collect();
                format!("{{ {} }}", members.join(","))
            }),
        ]
    })
}

fn media_type() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("application/json"),
        Just("application/vnd.a+json; charset=utf-8"),
        Just("text/plain"),
        Just("text/plain; charset=\"iso-8859-1\""),
        Just("application/xml"),
        Just("application/octet-stream"),
        Just("image/png"),
    ]
    .prop_map(str::to_owned)
}

#[derive(Debug, Clone)]
enum Content {
    None,
    Json(String),
    Text(String),
    Binary(Vec<u8>),
    Bytes(Vec<u8>),
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::None),
        json_text().prop_map(Content::Json),
        "(?s).{0,20}".prop_map(Content::Text),
        any::<Vec<u8>>().prop_map(Content::Binary),
        any::<Vec<u8>>().prop_map(Content::Bytes),
        json_text().prop_map(|text| Content::Bytes(text.into_bytes())),
    ]
}

fn time() -> impl Strategy<Value = EventTime> {
    (0_i64..4_000_000_000_000, option::of(0_u32..1_000_000_000)).prop_map(|(millis, nanos)| {
        let text = Timestamp::from_millis(millis).to_rfc3339().expect("before the year 10000");
        let text = nanos.map_or(text.clone(), |n| format!("{}.{n:09}+02:00", &text[..19]));
        EventTime::parse(&text).expect("RFC 3339")
    })
}

fn with_content(event: EventBuilder, content: Content) -> EventBuilder {
    match content {
        Content::None => event,
        Content::Json(text) => event.json_text(text),
        Content::Text(text) => event.text(text),
        Content::Binary(bytes) => event.binary(bytes),
        Content::Bytes(bytes) => event.bytes(bytes),
    }
}

/// A valid event of any kind.
pub(super) fn any_event() -> impl Strategy<Value = Event> {
    let source = prop_oneof!["/[a-z0-9/]{0,12}", "urn:[a-z]{1,5}:[a-z0-9]{1,5}"];
    let core = (text(), source, text(), option::of(text()), option::of(time()));
    let rest = (option::of(media_type()), btree_map(name(), value(), 0..6), content());
    let known = (option::of(text()), option::of(text()));
    (core, rest, known).prop_map(|(core, rest, known)| {
        let (id, source, event_type, subject, time) = core;
        let (media_type, extensions, content) = rest;
        let build = |content| {
            let mut event = Event::builder(source.clone(), event_type.clone()).id(id.clone());
            for (name, value) in &extensions {
                event = event.extension(name, value.clone());
            }
            event = subject.iter().fold(event, |event, text| event.subject(text));
            event = time.iter().fold(event, |event, time| event.time(time.clone()));
            event = media_type.iter().fold(event, |event, text| event.datacontenttype(text));
            event = known.0.iter().fold(event, |event, text| event.correlationid(text));
            event = known.1.iter().fold(event, |event, text| event.partitionkey(text));
            with_content(event, content).build()
        };
        // Text of a JSON type need not be JSON: then the event has no data.
        build(content).or_else(|_| build(Content::None)).expect("valid parts make a valid event")
    })
}

/// A few valid events.
pub(super) fn any_events() -> impl Strategy<Value = Vec<Event>> {
    vec(any_event(), 0..4)
}

/// A record of any kind: near an event, or far from it.
pub(super) fn any_record() -> impl Strategy<Value = Record> {
    let key = prop_oneof![
        "ce_(specversion|id|type|source|time|subject|[a-z]{1,3})",
        Just("content-type".to_owned()),
        Just("traceparent".to_owned()),
        any::<String>(),
    ];
    let value = prop_oneof![
        Just(&b"1.0"[..]).prop_map(<[u8]>::to_vec),
        Just(&b"application/cloudevents+json"[..]).prop_map(<[u8]>::to_vec),
        media_type().prop_map(String::into_bytes),
        text().prop_map(String::into_bytes),
        any::<Vec<u8>>(),
    ];
    let bytes = || option::of(prop_oneof![any::<Vec<u8>>(), json_text().prop_map(Into::into)]);
    let headers = vec((key, option::of(value)), 0..8);
    (bytes(), bytes(), headers, any::<i64>()).prop_map(|(key, value, headers, millis)| Record {
        key: key.map(Bytes::from),
        value: value.map(Bytes::from),
        headers: headers
            .into_iter()
            .map(|(key, value)| Header { key, value: value.map(Bytes::from) })
            .collect(),
        timestamp: Timestamp::from_millis(millis),
    })
}
