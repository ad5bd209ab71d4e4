//! Events over HTTP: headers that a stranger sent, and a body. What is decoded must come back
//! from every mode.

#![no_main]

use factum_event::Event;
use factum_event::event::http::{self, Encoded, Message};
use libfuzzer_sys::fuzz_target;

/// More events than this are refused.
const MAX_EVENTS: usize = 16;

fuzz_target!(|input: &[u8]| {
    let Some(message) = factum_fuzz::Message::read(input) else { return };
    let body = message.body.unwrap_or_default();
    match http::decode(message.headers, body, MAX_EVENTS) {
        Ok(Message::Single(event)) => {
            assert_eq!(again(&http::encode_binary(&event)), [event.clone()]);
            assert_eq!(again(&http::encode_structured(&event)), [event]);
        }
        Ok(Message::Batch(events)) => {
            assert!(events.len() <= MAX_EVENTS);
            assert_eq!(again(&http::encode_batch(&events)), events);
        }
        Err(_) => {}
    }
});

fn again(encoded: &Encoded) -> Vec<Event> {
    let headers = encoded.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let message = http::decode(headers, encoded.body.clone(), MAX_EVENTS);
    message.expect("what was encoded is an event").into_events()
}
