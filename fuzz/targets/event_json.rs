//! Events in JSON, single and in batches. What is decoded must encode to the same event.

#![no_main]

use factum_event::event::json;
use libfuzzer_sys::fuzz_target;

/// More events than this are refused.
const MAX_EVENTS: usize = 16;

fuzz_target!(|input: &[u8]| {
    if let Ok(event) = json::decode(input) {
        assert_eq!(json::decode(json::encode(&event).as_bytes()).as_ref(), Ok(&event));
        let line = json::encode_line(&event);
        assert!(!line.contains(['\n', '\r']), "{line:?} is not one line");
        let again = json::decode(line.as_bytes()).expect("a line is an event");
        assert_eq!(
            (again.id(), again.source(), again.data().is_none()),
            (event.id(), event.source(), event.data().is_none())
        );
    }
    if let Ok(events) = json::decode_batch(input, MAX_EVENTS) {
        assert!(events.len() <= MAX_EVENTS);
        let batch = json::encode_batch(&events);
        assert_eq!(json::decode_batch(batch.as_bytes(), MAX_EVENTS).as_ref(), Ok(&events));
    }
});
