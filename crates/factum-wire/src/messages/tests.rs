//! Known bytes, and what the tables promise beyond the comparison with the counterpart.

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::reader::Problem;
use crate::{EncodeError, Message, Part, Reader, Records, Str, Writer, frame};

fn encode<M: Message>(message: &M, version: i16) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version);
    writer.finish()
}

fn body<M: Message>(message: &M, version: i16) -> Vec<u8> {
    encode(message, version).expect("a message of its version").concat().split_off(4)
}

fn decode<M: Message>(bytes: &[u8], version: i16) -> Result<M, (&'static str, Problem)> {
    M::decode(&mut Reader::new(Bytes::copy_from_slice(bytes)), version)
        .map_err(|error| (error.field, error.problem))
}

#[test]
fn api_versions_5_says_whom_the_client_believes_to_speak_to() {
    let request = ApiVersionsRequest {
        client_software_name: "abc".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let mut bytes = vec![4, b'a', b'b', b'c', 2, b'1', 0, 0xff, 0xff, 0xff, 0xff, 0];
    assert_eq!(body(&request, 5), bytes);
    bytes[6] = 3;
    bytes.splice(7..11, [b'i', b'd', 0, 0, 0, 1]);
    let named: ApiVersionsRequest = decode(&bytes, 5).expect("version 5");
    assert_eq!(named, ApiVersionsRequest { cluster_id: Some("id".into()), node_id: 1, ..request });
}

#[test]
fn the_answer_to_api_versions_5_is_that_of_4() {
    let api_keys = crate::api::advertised();
    let response = ApiVersionsResponse { api_keys, ..Default::default() };
    assert_eq!(body(&response, 5), body(&response, 4));
}

#[test]
fn a_client_must_name_its_software_and_both_or_neither_of_cluster_and_node() {
    let request = |name: &str| ApiVersionsRequest {
        client_software_name: name.into(),
        client_software_version: "1.0-SNAPSHOT".into(),
        ..Default::default()
    };
    for name in ["a", "apache-kafka-java", "rd.kafka2"] {
        assert!(request(name).is_valid(5), "{name}");
    }
    for name in ["", "-a", "a.", "a b", "ä"] {
        assert!(!request(name).is_valid(3), "{name}");
        assert!(request(name).is_valid(2), "{name}: older versions have no name");
    }
    let half = ApiVersionsRequest { node_id: 1, ..request("a") };
    assert!(half.is_valid(4) && !half.is_valid(5));
    assert!(ApiVersionsRequest { cluster_id: Some("id".into()), ..half }.is_valid(5));
}

#[test]
fn an_answer_that_only_names_an_error_fits_every_version() {
    macro_rules! encode_defaults {
        ($($name:ident = $key:literal, $versions:expr, flexible $flexible:literal,
            $request:ident, $response:ident;)*) => { $(
            for version in crate::ApiKey::$name.versions() {
                let written = encode(&$response::default(), version);
                assert!(written.is_ok(), "{} version {version}", stringify!($response));
            }
        )* };
    }
    crate::api_table!(encode_defaults);
}

#[test]
fn default_answers_hold_empty_lists_where_null_breaks_clients() {
    assert_eq!(CreatableTopicResult::default().configs, Some(Vec::new()));
    assert_eq!(PartitionData::default().records, Some(Records::default()));
    let partition = DescribeTopicPartitionsResponsePartition::default();
    assert_eq!(partition.eligible_leader_replicas, Some(Vec::new()));
    assert_eq!(partition.last_known_elr, Some(Vec::new()));
}

#[test]
fn tagged_fields_with_their_default_are_left_out() {
    let response = ApiVersionsResponse::default();
    assert_eq!(body(&response, 3), [0, 0, 1, 0, 0, 0, 0, 0], "error, no keys, throttle, no tags");
    let response = ApiVersionsResponse { finalized_features_epoch: 2, ..Default::default() };
    let tagged = [0, 0, 1, 0, 0, 0, 0, 1, 1, 8, 0, 0, 0, 0, 0, 0, 0, 2];
    assert_eq!(body(&response, 3), tagged, "only tag 1");
}

#[test]
fn versions_that_only_add_meaning_look_like_the_one_before() {
    let request = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![ListOffsetsPartition { timestamp: -6, ..Default::default() }],
        }],
        timeout_ms: 5,
        ..Default::default()
    };
    assert_eq!(body(&request, 11), body(&request, 10));
    assert_eq!(
        body(&ListOffsetsResponse::default(), 11),
        body(&ListOffsetsResponse::default(), 10)
    );
}

#[test]
fn write_txn_markers_2_says_which_version_of_transactions_ends() {
    let marker = WritableTxnMarker {
        producer_id: 1,
        producer_epoch: 2,
        transaction_result: true,
        coordinator_epoch: 3,
        transaction_version: 2,
        ..Default::default()
    };
    let request = WriteTxnMarkersRequest { markers: vec![marker] };
    // One marker: id, epoch, result, no topics, coordinator, version, tags; tags.
    let mut bytes = vec![2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 1, 0, 0, 0, 3, 2, 0, 0];
    assert_eq!(body(&request, 2), bytes);
    bytes.remove(17);
    assert_eq!(body(&request, 1), bytes);
    assert_eq!(
        body(&WriteTxnMarkersResponse::default(), 2),
        body(&WriteTxnMarkersResponse::default(), 1)
    );
}

#[test]
fn describe_log_dirs_5_says_whether_new_partitions_go_elsewhere() {
    let request = DescribeLogDirsRequest::default();
    assert_eq!(body(&request, 5), body(&request, 4));
    let directory = DescribeLogDirsResult {
        log_dir: "/".into(),
        total_bytes: 1,
        usable_bytes: 2,
        is_cordoned: true,
        ..Default::default()
    };
    let response = DescribeLogDirsResponse { results: vec![directory], ..Default::default() };
    // Throttle, error; one directory: error, path, no topics.
    let mut bytes = vec![0, 0, 0, 0, 0, 0, 2, 0, 0, 2, b'/', 1];
    // Total, usable, cordoned, tags; tags.
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0]);
    assert_eq!(body(&response, 5), bytes);
    bytes.remove(28);
    assert_eq!(body(&response, 4), bytes);
}

#[test]
fn a_structure_that_may_be_null_has_a_byte_that_says_so() {
    let first = DescribeTopicPartitionsRequest::default();
    assert_eq!(body(&first, 0), [1, 0, 0, 0x07, 0xd0, 0xff, 0]);
    let cursor = Cursor { topic_name: "t".into(), partition_index: 1 };
    let next = DescribeTopicPartitionsRequest { cursor: Some(cursor), ..first.clone() };
    let bytes = [1, 0, 0, 0x07, 0xd0, 1, 2, b't', 0, 0, 0, 1, 0, 0];
    assert_eq!(body(&next, 0), bytes);
    assert_eq!(decode(&bytes, 0), Ok(next));
    // Any negative byte means null, as in Kafka.
    assert_eq!(decode(&[1, 0, 0, 0x07, 0xd0, 0x80, 0], 0), Ok(first));
}

#[test]
fn offset_requests_of_version_10_name_topics_by_id() {
    let topic_id = Uuid::from_u128(1);
    let commit = OffsetCommitRequest {
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            topic_id,
            partitions: Vec::new(),
        }],
        ..Default::default()
    };
    let back: OffsetCommitRequest = decode(&body(&commit, 10), 10).expect("version 10");
    assert_eq!((&*back.topics[0].name, back.topics[0].topic_id), ("", topic_id));
    let back: OffsetCommitRequest = decode(&body(&commit, 9), 9).expect("version 9");
    assert_eq!((&*back.topics[0].name, back.topics[0].topic_id), ("t", Uuid::nil()));
    // Group, epoch, member, instance, one topic: sixteen bytes of id, no partitions, tags.
    let mut bytes = vec![1, 0xff, 0xff, 0xff, 0xff, 1, 0, 2];
    bytes.extend(topic_id.into_bytes());
    bytes.extend([1, 0, 0]);
    assert_eq!(body(&commit, 10), bytes);
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let all = MetadataRequest::default();
    assert_eq!(body(&all, 1), [0xff; 4], "null asks for all topics");
    let null = EncodeError::UnexpectedNull { field: "MetadataRequest.topics", version: 0 };
    assert_eq!(encode(&all, 0), Err(null));
    let problem = Problem::UnexpectedNull { version: 0 };
    let refused = decode::<MetadataRequest>(&[0xff; 4], 0);
    assert_eq!(refused, Err(("MetadataRequest.topics", problem)));
    let problem = Problem::UnexpectedNull { version: 2 };
    let refused = decode::<DeleteGroupsRequest>(&[0, 0], 2);
    assert_eq!(refused, Err(("DeleteGroupsRequest.groups_names", problem)));
}

#[test]
fn what_no_field_claims_is_refused() {
    let refused = decode::<MetadataRequest>(&[0, 0, 0, 0, 9], 0);
    assert_eq!(refused, Err(("end of message", Problem::TrailingBytes(1))));
}

#[test]
fn a_length_below_zero_is_refused() {
    let refused = decode::<MetadataRequest>(&[0xff, 0xff, 0xff, 0xfe], 1);
    assert_eq!(refused, Err(("MetadataRequest.topics", Problem::NegativeLength(-2))));
    let refused = decode::<MetadataRequest>(&[0, 0, 0, 1, 0x80, 0], 1);
    assert_eq!(refused, Err(("MetadataRequestTopic.name", Problem::NegativeLength(-32768))));
}

#[test]
fn text_must_be_utf8_and_not_too_long() {
    let refused = decode::<MetadataRequest>(&[0, 0, 0, 1, 0, 2, b'a', 0xff], 1);
    assert_eq!(
        refused,
        Err(("MetadataRequestTopic.name", Problem::InvalidUtf8 { valid_up_to: 1 }))
    );
    let long = FindCoordinatorRequest { key: Str::from("x".repeat(32_768)), ..Default::default() };
    let (field, length, limit) = ("FindCoordinatorRequest.key", 32_768, 32_767);
    for version in [1, 3] {
        assert_eq!(encode(&long, version), Err(EncodeError::TooLong { field, length, limit }));
    }
    let mut bytes = vec![0x81, 0x80, 0x02];
    bytes.resize(40_000, b'x');
    let refused = decode::<FindCoordinatorRequest>(&bytes, 3);
    assert_eq!(refused, Err((field, Problem::TextTooLong(32_768))));
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    // One partition of a fetch, with tag 1 (known from 18 on) and tag 9 (unknown), in version 17.
    let request = FetchRequest {
        topics: vec![FetchTopic {
            topic_id: Uuid::from_u128(1),
            partitions: vec![FetchPartition::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut bytes = body(&request, 17);
    let tail = bytes.split_off(bytes.len() - 5);
    assert_eq!(tail, [0, 0, 1, 1, 0], "tags of partition and topic, forgotten, rack, tags");
    bytes.extend([2, 1, 1, 0xaa, 9, 2, 0xbb, 0xcc, 0, 1, 1, 0]);
    assert_eq!(decode::<FetchRequest>(&bytes, 17), Ok(request));
}

#[test]
fn a_version_that_is_not_served_is_refused_both_ways() {
    let message = "Produce";
    let error = EncodeError::UnsupportedVersion { message, version: 2, min: 3, max: 13 };
    assert_eq!(encode(&ProduceRequest::default(), 2), Err(error));
    let problem = Problem::UnsupportedVersion { version: 14, min: 3, max: 13 };
    assert_eq!(decode::<ProduceRequest>(&[], 14), Err((message, problem)));
}

#[test]
fn stored_batches_reach_the_socket_and_leave_it_without_a_copy() {
    let batches: Vec<_> = (0..3_u8).map(|byte| Bytes::from(vec![byte; 4096])).collect();
    let partition = |records| PartitionData { records: Some(records), ..Default::default() };
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            partitions: vec![partition(Records::from(batches.clone()))],
            ..Default::default()
        }],
        ..Default::default()
    };
    for version in crate::ApiKey::Fetch.versions() {
        let segments = encode(&response, version).expect("a response");
        for batch in &batches {
            assert!(segments.iter().any(|segment| segment.as_ptr() == batch.as_ptr()));
        }
        let frame = Bytes::from(segments.concat()).slice(4..);
        let back = FetchResponse::decode(&mut Reader::new(frame.clone()), version).expect("back");
        let records = back.responses[0].partitions[0].records.clone().expect("records");
        let shared = records.into_bytes();
        assert!(frame.as_ptr_range().contains(&shared.as_ptr()), "a slice of the frame");
        assert_eq!(shared.len(), 3 * 4096);
    }
}

/// Encodes the answer with the chunks at `external` elsewhere, puts them in at their places, and
/// compares with the frame that has all chunks in it.
fn compare_external(version: i16, chunks: &[Vec<(Vec<u8>, bool)>]) {
    let response = |elsewhere: bool| {
        let partition = |chunks: &Vec<(Vec<u8>, bool)>| {
            let part = |(bytes, external): &(Vec<u8>, bool)| match *external && elsewhere {
                true => Part::External(bytes.len()),
                false => Part::Bytes(bytes.clone().into()),
            };
            let records = Records::from(chunks.iter().map(part).collect::<Vec<_>>());
            PartitionData { records: Some(records), ..Default::default() }
        };
        let partitions = chunks.iter().map(partition).collect();
        let topic = FetchableTopicResponse { partitions, ..Default::default() };
        FetchResponse { responses: vec![topic], ..Default::default() }
    };
    let parts = frame::write_response_parts(&response(true), version, 7).expect("parts");
    let mut external =
        chunks.iter().flatten().filter(|(bytes, external)| *external && !bytes.is_empty());
    let mut joined = Vec::new();
    for part in parts {
        match part {
            Part::Bytes(bytes) => joined.extend_from_slice(&bytes),
            Part::External(length) => {
                let (bytes, _) = external.next().expect("no more parts than chunks");
                assert_eq!(length, bytes.len());
                joined.extend_from_slice(bytes);
            }
        }
    }
    assert!(external.next().is_none(), "no fewer parts than chunks");
    let inlined = frame::write_response(&response(false), version, 7).expect("a frame").concat();
    assert_eq!(joined, inlined);
}

proptest::proptest! {
    #[test]
    fn records_that_are_elsewhere_leave_room_for_exactly_their_bytes(
        version in crate::ApiKey::Fetch.versions(),
        chunks in proptest::collection::vec(
            proptest::collection::vec(
                (proptest::collection::vec(proptest::num::u8::ANY, 0..1500), proptest::bool::ANY),
                0..4,
            ),
            0..4,
        ),
    ) {
        compare_external(version, &chunks);
    }
}
