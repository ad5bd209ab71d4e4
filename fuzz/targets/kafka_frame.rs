//! Kafka requests of every API and version, and the same bytes as the response to such a request.
//! What is decoded must encode to bytes that decode to the same.

#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use factum_wire::{ApiKey, Message, Reader, Writer, frame, messages};
use libfuzzer_sys::fuzz_target;

/// API and version stand before the correlation id, with which a response begins.
const RESPONSE_AT: usize = 4;

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    let Ok((header, request)) = frame::read_request(bytes.clone()) else { return };
    let response =
        frame::read_response(bytes.slice(RESPONSE_AT..), header.api_key, header.api_version);
    decode(header.api_key, header.api_version, request, response.ok().map(|(_, reader)| reader));
});

macro_rules! decode_by_api {
    ($($name:ident = $key:literal, $versions:expr, flexible $flexible:literal,
        $request:ident, $response:ident;)*) => {
        fn decode(key: ApiKey, version: i16, request: Reader, response: Option<Reader>) {
            match key { $(
                ApiKey::$name => {
                    round_trip::<messages::$request>(request, version);
                    if let Some(response) = response {
                        round_trip::<messages::$response>(response, version);
                    }
                }
            )* }
        }
    };
}

factum_wire::api_table!(decode_by_api);

fn round_trip<M: Message>(mut reader: Reader, version: i16) {
    let Ok(message) = M::decode(&mut reader, version) else { return };
    let mut writer = Writer::new();
    message.encode(&mut writer, version);
    let segments = writer.finish().expect("what was decoded can be said in the same version");
    let mut bytes = BytesMut::new();
    for segment in segments {
        bytes.put_slice(&segment);
    }
    // A writer begins with the frame's size.
    let size = bytes.split_to(4);
    assert_eq!(size[..], u32::try_from(bytes.len()).expect("a small message").to_be_bytes());
    let again = M::decode(&mut Reader::new(bytes.freeze()), version);
    assert_eq!(again.as_ref(), Ok(&message));
}
