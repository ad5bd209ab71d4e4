//! Events in Kafka records, and records that are none: every record can be read as an event.
//! A line whose name is empty is the record's key.

#![no_main]

use bytes::Bytes;
use factum_event::event::kafka::{self, Mode};
use factum_event::{
    Event, Header, Offset, Partition, Position, Record, StoredRecord, Timestamp, TopicName,
};
use libfuzzer_sys::fuzz_target;

const TIME: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fuzz_target!(|input: &[u8]| {
    let Some(record) = record(input) else { return };
    if let Ok(event) = kafka::decode(&record) {
        assert!(kafka::is_event(&record));
        comes_back(&event);
    }
    let derived = Event::from_stored(&stored(record));
    comes_back(&derived);
    comes_back(&derived.without_position());
});

fn comes_back(event: &Event) {
    for mode in [Mode::Binary, Mode::Structured] {
        let again = kafka::decode(&kafka::encode(event, mode, TIME));
        assert_eq!(again.as_ref(), Ok(event), "in {mode:?} mode");
    }
}

fn record(input: &[u8]) -> Option<Record> {
    let message = factum_fuzz::Message::read(input)?;
    let (mut key, mut headers) = (None, Vec::new());
    for (name, value) in message.headers {
        let value = Bytes::copy_from_slice(value);
        match name {
            "" => key = Some(value),
            _ => headers.push(Header::new(name, value)),
        }
    }
    Some(Record { key, value: message.body, headers, timestamp: TIME })
}

fn stored(record: Record) -> StoredRecord {
    let topic = TopicName::new("orders").expect("a topic's name");
    let position = Position { topic, partition: Partition::ZERO, offset: Offset::ZERO };
    StoredRecord { position, appended_at: TIME, record }
}
