//! Our codec against a counterpart: the `kafka-protocol` crate, generated from Kafka's schemas.
//!
//! For every API in every version: a random message of ours is encoded, decoded by the
//! counterpart, encoded by it again to the same bytes, and decoded by us to the same message.
//! The tests expand from the table of APIs, so that a new API cannot be forgotten.

use bytes::{Bytes, BytesMut};
use factum_wire::sample::Dice;
use factum_wire::{ApiKey, Message, Reader, Request, Str, Writer, frame};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

/// Random messages per version.
const SEEDS: u64 = 60;

/// Versions that the counterpart does not know yet; `messages` tests them with known bytes.
const BEYOND_THE_COUNTERPART: &[(&str, i16)] = &[
    ("ListOffsetsRequest", 11),
    ("ListOffsetsResponse", 11),
    ("OffsetCommitRequest", 10),
    ("OffsetFetchRequest", 10),
    ("ApiVersionsRequest", 5),
    ("ApiVersionsResponse", 5),
    ("WriteTxnMarkersRequest", 2),
    ("WriteTxnMarkersResponse", 2),
    ("DescribeLogDirsRequest", 5),
    ("DescribeLogDirsResponse", 5),
];

fn encode<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message.encode(&mut writer, version);
    Bytes::from(writer.finish().expect("a sample fits its version").concat()).slice(4..)
}

fn decode<M: Message>(body: Bytes, version: i16) -> M {
    M::decode(&mut Reader::new(body), version).expect("a message in its version")
}

fn compare<Ours, Theirs>(name: &str)
where
    Ours: Message,
    Theirs: Encodable + Decodable + kafka_protocol::protocol::Message + Default + std::fmt::Debug,
{
    for version in Ours::KEY.versions() {
        let known = Theirs::VERSIONS.min <= version && version <= Theirs::VERSIONS.max;
        assert_eq!(known, !BEYOND_THE_COUNTERPART.contains(&(name, version)), "{name} {version}");
        for seed in 0..SEEDS {
            let ours = Ours::sample(&mut Dice::new(seed), version);
            let bytes = encode(&ours, version);
            if known {
                assert_eq!(
                    through::<Theirs>(&bytes, version),
                    bytes,
                    "{name} {version} seed {seed}"
                );
            }
            let back: Ours = decode(bytes, version);
            assert_eq!(back, ours, "{name} version {version} seed {seed}");
        }
        if known {
            compare_default::<Ours, Theirs>(name, version);
        }
    }
}

/// What the counterpart makes of `bytes`, encoded again.
fn through<Theirs: Encodable + Decodable + std::fmt::Debug>(bytes: &Bytes, version: i16) -> Bytes {
    let mut rest = bytes.clone();
    let theirs = Theirs::decode(&mut rest, version).expect("the counterpart decodes it");
    assert!(rest.is_empty(), "the counterpart left {} bytes", rest.len());
    // It would keep and repeat a tagged field that it does not know.
    let known = format!("{theirs:?}").replace("unknown_tagged_fields: {}", "");
    assert!(!known.contains("unknown_tagged_fields"), "unknown tags in {known}");
    let mut again = BytesMut::new();
    theirs.encode(&mut again, version).expect("the counterpart encodes it");
    again.freeze()
}

/// The counterpart's own default message comes through ours.
fn compare_default<Ours, Theirs>(name: &str, version: i16)
where
    Ours: Message,
    Theirs: Encodable + Default,
{
    let mut bytes = BytesMut::new();
    Theirs::default().encode(&mut bytes, version).expect("a default message");
    let bytes = bytes.freeze();
    let ours: Ours = decode(bytes.clone(), version);
    assert_eq!(encode(&ours, version), bytes, "{name} version {version} default");
}

fn compare_headers<Ours, Theirs>()
where
    Ours: Request,
    Theirs: HeaderVersion,
{
    for version in Ours::KEY.versions() {
        let client = Str::from_static("client");
        let request = Ours::sample(&mut Dice::new(7), version);
        let written = frame::write_request(&request, version, 42, Some(&client)).expect("a frame");
        let mut frame = Bytes::from(written.concat()).slice(4..);
        let header_version = Theirs::header_version(version);
        let header = theirs::RequestHeader::decode(&mut frame, header_version).expect("a header");
        assert_eq!(header.request_api_key, i16::from(Ours::KEY));
        assert_eq!(header.request_api_version, version);
        assert_eq!(header.correlation_id, 42);
        assert_eq!(header.client_id.as_deref(), Some("client"));
        assert_eq!(frame, encode(&request, version), "{} version {version}", Ours::KEY);
    }
}

fn compare_response_headers<Ours, Theirs>()
where
    Ours: factum_wire::Response,
    Theirs: HeaderVersion,
{
    for version in Ours::KEY.versions() {
        let response = Ours::sample(&mut Dice::new(7), version);
        let written = frame::write_response(&response, version, 42).expect("a frame");
        let mut frame = Bytes::from(written.concat()).slice(4..);
        let header_version = Theirs::header_version(version);
        let header = theirs::ResponseHeader::decode(&mut frame, header_version).expect("a header");
        assert_eq!(header.correlation_id, 42);
        assert_eq!(frame, encode(&response, version), "{} version {version}", Ours::KEY);
    }
}

macro_rules! compare_all {
    ($($name:ident = $key:literal, $versions:expr, flexible $flexible:literal,
        $request:ident, $response:ident;)*) => { $(
        #[allow(non_snake_case)] // named as in the table of APIs
        mod $name {
            use super::*;

            #[test]
            fn requests_equal_the_counterparts() {
                compare::<factum_wire::messages::$request, theirs::$request>(stringify!($request));
            }

            #[test]
            fn responses_equal_the_counterparts() {
                compare::<factum_wire::messages::$response, theirs::$response>(stringify!($response));
            }

            #[test]
            fn headers_equal_the_counterparts() {
                compare_headers::<factum_wire::messages::$request, theirs::$request>();
                compare_response_headers::<factum_wire::messages::$response, theirs::$response>();
            }

            #[test]
            fn number_and_first_flexible_version_equal_the_counterparts() {
                assert_eq!(theirs::ApiKey::$name as i16, $key);
                for version in ApiKey::$name.versions() {
                    let flexible = <theirs::$request as HeaderVersion>::header_version(version) == 2;
                    assert_eq!(ApiKey::$name.is_flexible(version), flexible, "version {version}");
                }
            }
        }
    )* };
}

factum_wire::api_table!(compare_all);
