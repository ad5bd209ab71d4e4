//! The standard's own examples: its conformance scenarios for HTTP and Kafka, its conformance
//! events, and its JSON schema's required attributes.
//!
//! The files are looked for in `$FACTUM_VECTORS/cloudevents`, by default `../shared/vectors`
//! beside the repository. Where they are absent, the tests say so and pass.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails, and says what it skips"
)]

use std::path::PathBuf;

use bytes::Bytes;
use factum_event::event::{Event, EventBuilder, EventTime, http, json, kafka};
use factum_event::{Header, Record, Timestamp};

fn vectors(file: &str) -> Option<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let root = std::env::var_os("FACTUM_VECTORS").map_or(root, PathBuf::from);
    let path = root.join("cloudevents").join(file);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: {} is not there", path.display());
    }
    text
}

/// A scenario of a feature file, with one row of its examples filled in.
struct Scenario {
    /// Texts between `"""`.
    texts: Vec<String>,
    /// Tables, their first row included.
    tables: Vec<Vec<Vec<String>>>,
}

fn scenarios(feature: &str) -> Vec<Scenario> {
    let mut all = Vec::new();
    for text in feature.split("Scenario").skip(1) {
        let (body, examples) = text.split_once("Examples:").unwrap_or((text, ""));
        let rows: Vec<Vec<String>> = examples.lines().filter_map(row).collect();
        let values = rows.iter().skip(1).map(|row| row[0].as_str());
        let values: Vec<&str> = if rows.is_empty() { vec![""] } else { values.collect() };
        let filled = values.iter().map(|value| scenario(&body.replace("<contentType>", value)));
        all.extend(filled);
    }
    all
}

fn scenario(body: &str) -> Scenario {
    let parts: Vec<&str> = body.split("\"\"\"").collect();
    let texts = parts.iter().skip(1).step_by(2).map(|text| unindent(text)).collect();
    let mut tables = vec![Vec::new()];
    for line in parts.iter().step_by(2).flat_map(|part| part.lines()) {
        match row(line) {
            Some(row) => tables.last_mut().unwrap().push(row),
            None if tables.last().unwrap().is_empty() => {}
            None => tables.push(Vec::new()),
        }
    }
    tables.retain(|table| !table.is_empty());
    Scenario { texts, tables }
}

fn row(line: &str) -> Option<Vec<String>> {
    let line = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(line.split('|').map(|cell| cell.trim().to_owned()).collect())
}

fn unindent(text: &str) -> String {
    let lines: Vec<&str> = text.trim_matches('\n').lines().collect();
    let lines =
        &lines[..lines.len() - usize::from(lines.last().is_some_and(|l| l.trim().is_empty()))];
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let margin = lines.iter().filter(|l| !l.trim().is_empty()).map(indent).min().unwrap_or(0);
    let lines: Vec<&str> = lines.iter().map(|line| line.get(margin..).unwrap_or("")).collect();
    lines.join("\n")
}

fn check(scenario: &Scenario, event: &Event) {
    for row in &scenario.tables.last().unwrap()[1..] {
        assert_eq!(event.attribute(&row[0]).as_deref(), Some(&*row[1]), "{}", row[0]);
    }
    let expected: serde_json::Value = serde_json::from_str(&scenario.texts[1]).unwrap();
    let data: serde_json::Value = event.data().as_json().unwrap().decode().unwrap();
    assert_eq!(data, expected);
}

fn read_http(request: &str) -> Event {
    let (head, body) = request.split_once("\n\n").unwrap();
    let headers = head.lines().skip(1).map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name, value.as_bytes()));
    let message = http::decode(headers, Bytes::from(body.to_owned()), 1).unwrap();
    message.into_events().remove(0)
}

#[test]
fn the_http_conformance_scenarios_pass() {
    let Some(feature) = vectors("http-protocol-binding.feature") else {
        return;
    };
    let scenarios = scenarios(&feature);
    assert_eq!(scenarios.len(), 4);
    for scenario in &scenarios {
        check(scenario, &read_http(&scenario.texts[0]));
    }
}

#[test]
fn the_kafka_conformance_scenarios_pass() {
    let Some(feature) = vectors("kafka-protocol-binding.feature") else {
        return;
    };
    let scenarios = scenarios(&feature);
    assert_eq!(scenarios.len(), 3);
    for scenario in &scenarios {
        let headers = scenario.tables[0][1..].iter();
        let record = Record {
            key: None,
            value: Some(scenario.texts[0].clone().into()),
            headers: headers.map(|row| Header::new(&*row[0], row[1].clone())).collect(),
            timestamp: Timestamp::UNKNOWN,
        };
        check(scenario, &kafka::decode(&record).unwrap());
    }
}

/// Reads the conformance events: the little of YAML that they use.
fn conformance_events(text: &str) -> Vec<Event> {
    text.split("---\n").map(conformance_event).collect()
}

fn conformance_event(document: &str) -> Event {
    let mut event: Option<EventBuilder> = None;
    let (mut pairs, mut data) = (Vec::new(), String::new());
    let mut lines = document.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let mut value = value.trim().trim_matches('"').to_owned();
        if value == "|" {
            let block = |next: &&str| next.starts_with(&" ".repeat(indent + 2));
            let block: Vec<&str> = std::iter::from_fn(|| lines.next_if(block)).collect();
            value = unindent(&block.join("\n"));
        }
        match (indent, name.trim()) {
            (0, "Data") => data = value + "\n",
            (2.., name) if !value.is_empty() => pairs.push((name.to_owned(), value)),
            _ => {}
        }
    }
    let find = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.clone());
    event.replace(Event::builder(find("source").unwrap(), find("type").unwrap()));
    for (name, value) in &pairs {
        event = event.take().map(|event| match name.as_str() {
            "id" => event.id(value),
            "time" => event.time(EventTime::parse(value).unwrap()),
            "datacontenttype" => event.datacontenttype(value),
            "source" | "type" | "specversion" | "user-agent" => event,
            _ => event.extension(name, value.clone()),
        });
    }
    event.unwrap().bytes(data).build().unwrap()
}

#[test]
fn the_conformance_events_survive_every_binding() {
    let mut count = 0;
    for file in ["v1.yaml", "v1_minimum.yaml"] {
        let Some(text) = vectors(file) else { continue };
        for event in conformance_events(&text) {
            survives_every_binding(&event);
            count += 1;
        }
    }
    assert!(count == 0 || count == 8, "{count} events were read");
}

fn survives_every_binding(event: &Event) {
    assert_eq!(&json::decode(json::encode(event).as_bytes()).unwrap(), event);
    for message in [http::encode_binary(event), http::encode_structured(event)] {
        let headers = message.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes()));
        let read = http::decode(headers, message.body.clone(), 1).unwrap();
        assert_eq!(read, http::Message::Single(event.clone()));
    }
    for mode in [kafka::Mode::Binary, kafka::Mode::Structured] {
        let record = kafka::encode(event, mode, Timestamp::from_millis(0));
        assert_eq!(&kafka::decode(&record).unwrap(), event);
    }
}

#[test]
fn what_the_json_schema_requires_is_required() {
    let Some(schema) = vectors("cloudevents.json") else {
        return;
    };
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let required = schema["required"].as_array().unwrap();
    assert_eq!(required.len(), 4);
    for name in required {
        let name = name.as_str().unwrap();
        let mut event = serde_json::json!(
            {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
        );
        event.as_object_mut().unwrap().remove(name);
        let error = json::decode(event.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.attribute(), Some(name));
    }
}

#[test]
fn the_json_schemas_examples_are_valid() {
    let Some(schema) = vectors("cloudevents.json") else {
        return;
    };
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let mut count = 0;
    for (name, property) in schema["properties"].as_object().unwrap() {
        let examples = property["examples"].as_array().into_iter().flatten();
        for example in examples.filter(|_| name != "data_base64" && name != "data") {
            let mut event = serde_json::json!(
                {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
            );
            event[name] = example.clone();
            let event = json::decode(event.to_string().as_bytes()).unwrap();
            assert_eq!(event.attribute(name).as_deref(), example.as_str());
            count += 1;
        }
    }
    assert!(count >= 10, "{count} examples were read");
}

/// A whole envelope: every attribute that the project speaks of, with data that is easily spoilt.
const FULL: &str = r#"{"specversion":"1.0","id":"0190a5c8-7d3e-7c4b-9a51-3f2e1d0c9b8a","type":"com.example.billing.InvoiceIssued","source":"/services/billing","time":"2026-01-31T12:00:00.123456Z","datacontenttype":"application/json","dataschema":"https://schemas.example.com/billing/invoice-issued/1.2.0","correlationid":"0190a5c8-0000-7000-8000-000000000001","causationid":"0190a5c8-0000-7000-8000-000000000002","data":{"invoiceId":"INV-2026-0042","customer":"Müller & Söhne","amount":1250.00,"currency":"EUR","reference":12345678901234567890,"lines":[{"sku":"A-1","quantity":2}]}}"#;

#[test]
fn a_full_envelope_round_trips_unchanged() {
    let event = json::decode(FULL.as_bytes()).unwrap();
    assert_eq!(json::encode(&event), FULL);
    assert_eq!(event.time().unwrap().fraction_digits(), 6);
    survives_every_binding(&event);

    // Through a record in binary mode and out again it is still the same text.
    let record = kafka::encode(&event, kafka::Mode::Binary, Timestamp::from_millis(0));
    assert_eq!(json::encode(&kafka::decode(&record).unwrap()), FULL);
    let message = http::encode_binary(&event);
    let headers = message.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes()));
    let read = http::decode(headers, message.body.clone(), 1).unwrap().into_events();
    assert_eq!(json::encode(&read[0]), FULL);
}
