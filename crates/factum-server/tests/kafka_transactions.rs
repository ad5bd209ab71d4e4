//! Transactions through the Kafka door, in both protocols, over kills.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::cast_sign_loss, reason = "numbers of a test are not negative")]
#![allow(clippy::print_stdout, reason = "a seed is for who reads the test")]

mod common;

use bytes::Bytes;
use common::client::Client;
use common::server::{Home, Server, until};
use common::work::*;
use factum_event::batch::{BatchBuilder, BatchRecord, Codec, ProducerState};
use factum_wire::ErrorCode;
use factum_wire::messages::*;

const READ_COMMITTED: i8 = 1;
const PARTITIONS: i32 = 2;

/// The rules of before KIP-890, and those of KIP-890.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rules {
    V1,
    V2,
}

/// A transactional producer, as the server knows it.
#[derive(Debug, Clone)]
struct Producer {
    rules: Rules,
    id: i64,
    epoch: i16,
    /// By partition.
    sequences: [i32; PARTITIONS as usize],
}

impl Producer {
    fn init(client: &mut Client, rules: Rules) -> Self {
        let answer = init(client, 60_000);
        ok("init", answer.error_code);
        Self { rules, id: answer.producer_id, epoch: answer.producer_epoch, sequences: [0; 2] }
    }

    fn batch(&self, partition: i32, number: i64) -> Bytes {
        let base_sequence = self.sequences[partition as usize];
        let producer = ProducerState { id: self.id, epoch: self.epoch, base_sequence };
        let mut builder = BatchBuilder::new(Codec::None, Some(producer)).transactional();
        builder.push(&record(number));
        builder.build().unwrap().bytes().clone()
    }

    fn produce_version(&self) -> i16 {
        if self.rules == Rules::V2 { 12 } else { 11 }
    }

    /// Writes one record, or says why not.
    fn write(&mut self, client: &mut Client, partition: i32, number: i64) -> i16 {
        let batch = self.batch(partition, number);
        let request = ProduceRequest {
            transactional_id: Some(name("orders-app")),
            ..produce_request("orders", partition, Some(batch))
        };
        let code = of_partition(client.call(&request, self.produce_version())).error_code;
        if code == 0 {
            self.sequences[partition as usize] += 1;
        }
        code
    }

    /// Says where it will write, where the rules want that.
    fn add(&self, client: &mut Client, partition: i32) {
        if self.rules == Rules::V1 {
            ok("add", self.try_add(client, partition));
        }
    }

    fn try_add(&self, client: &mut Client, partition: i32) -> i16 {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: name("orders-app"),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: name("orders"),
                partitions: vec![partition],
            }],
            ..Default::default()
        };
        let answer = client.call(&request, 3);
        answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    fn put(&mut self, client: &mut Client, partition: i32, number: i64) {
        self.add(client, partition);
        ok("produce", self.write(client, partition, number));
    }

    fn try_end(&self, client: &mut Client, committed: bool) -> EndTxnResponse {
        let request = EndTxnRequest {
            transactional_id: name("orders-app"),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed,
        };
        client.call(&request, if self.rules == Rules::V2 { 5 } else { 4 })
    }

    fn end(&mut self, client: &mut Client, committed: bool) {
        let answer = self.try_end(client, committed);
        ok("end", answer.error_code);
        if self.rules == Rules::V2 {
            assert_eq!((answer.producer_id, answer.producer_epoch), (self.id, self.epoch + 1));
            (self.epoch, self.sequences) = (answer.producer_epoch, [0; 2]);
        }
    }

    fn commit_offset(&self, client: &mut Client, offset: i64) -> i16 {
        if self.rules == Rules::V1 {
            let request = AddOffsetsToTxnRequest {
                transactional_id: name("orders-app"),
                producer_id: self.id,
                producer_epoch: self.epoch,
                group_id: name("billing"),
            };
            ok("add offsets", client.call(&request, 3).error_code);
        }
        let version = if self.rules == Rules::V2 { 5 } else { 3 };
        let answer = client.call(&self.offset_request(offset), version);
        answer.topics[0].partitions[0].error_code
    }

    fn offset_request(&self, offset: i64) -> TxnOffsetCommitRequest {
        TxnOffsetCommitRequest {
            transactional_id: name("orders-app"),
            group_id: name("billing"),
            producer_id: self.id,
            producer_epoch: self.epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: name("orders"),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: offset,
                    committed_metadata: Some(name("so far")),
                    ..Default::default()
                }],
            }],
            ..Default::default()
        }
    }
}

fn init(client: &mut Client, transaction_timeout_ms: i32) -> InitProducerIdResponse {
    let request = InitProducerIdRequest {
        transactional_id: Some(name("orders-app")),
        transaction_timeout_ms,
        ..Default::default()
    };
    client.ask(&request)
}

fn start(home: &Home) -> (Server, Client) {
    let server = home.serve_with(&["--upkeep-interval-ms", "20"]);
    let client = Client::connect(server.kafka);
    (server, client)
}

/// What a client shows that reads only what was committed.
fn committed(client: &mut Client, partition: i32) -> Vec<String> {
    let (shown, _) = committed_from(client, "orders", partition, 0).unwrap();
    let value = |found: BatchRecord| found.record.value.unwrap();
    shown.into_iter().map(|found| String::from_utf8(value(found).to_vec()).unwrap()).collect()
}

fn stable(client: &mut Client, partition: i32) -> i64 {
    let partitions = vec![ListOffsetsPartition {
        partition_index: partition,
        timestamp: -1,
        ..Default::default()
    }];
    let request = ListOffsetsRequest {
        isolation_level: READ_COMMITTED,
        topics: vec![ListOffsetsTopic { name: name("orders"), partitions }],
        ..Default::default()
    };
    let answer = client.ask(&request).topics.remove(0).partitions.remove(0);
    ok("list offsets", answer.error_code);
    answer.offset
}

/// The offset of the group, and the error where only a stable one is asked for.
fn offset_of_group(client: &mut Client, require_stable: bool) -> (i64, i16) {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: name("billing"),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: name("orders"),
                partition_indexes: vec![0],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        require_stable,
        ..Default::default()
    };
    let answer = client.ask(&request).groups.remove(0).topics.remove(0).partitions.remove(0);
    (answer.committed_offset, answer.error_code)
}

/// As [`offset_of_group`], of a topic by its id; none is for all of the group.
fn offset_by_id(client: &mut Client, topic: Option<uuid::Uuid>) -> (i64, i16) {
    let of_topic = |topic_id| OffsetFetchRequestTopics {
        topic_id,
        partition_indexes: vec![0],
        ..Default::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: name("billing"),
            topics: topic.map(|id| vec![of_topic(id)]),
            ..Default::default()
        }],
        require_stable: true,
        ..Default::default()
    };
    let mut answer = client.call(&request, 10).groups.remove(0).topics.remove(0);
    assert!(answer.name.is_empty() && !answer.topic_id.is_nil(), "{answer:?}");
    let answer = answer.partitions.remove(0);
    (answer.committed_offset, answer.error_code)
}

fn values(numbers: &[i64]) -> Vec<String> {
    numbers.iter().map(|number| format!("value {number}")).collect()
}

#[test]
fn a_transaction_counts_in_all_its_partitions_or_in_none() {
    for rules in [Rules::V1, Rules::V2] {
        let home = Home::new();
        let (_server, mut client) = start(&home);
        create(&mut client, "orders", PARTITIONS);
        let mut producer = Producer::init(&mut client, rules);
        producer.put(&mut client, 0, 1);
        producer.put(&mut client, 1, 2);
        assert_eq!(committed(&mut client, 0), values(&[]), "{rules:?}");
        assert_eq!((stable(&mut client, 0), end_of(&mut client, "orders", 0)), (0, 1));
        producer.end(&mut client, true);
        producer.put(&mut client, 0, 3);
        producer.put(&mut client, 1, 4);
        producer.end(&mut client, false);
        // Others go on beside an open transaction, and wait for it.
        producer.put(&mut client, 0, 5);
        append(&mut client, "orders", 0, batch(&records(6..7)));
        assert_eq!(committed(&mut client, 0), values(&[1]), "{rules:?}");
        producer.end(&mut client, true);
        assert_eq!(committed(&mut client, 0), values(&[1, 5, 6]), "{rules:?}");
        assert_eq!(committed(&mut client, 1), values(&[2]), "{rules:?}");
        // Each marker takes an offset, and who reads everything gets all.
        assert_eq!(end_of(&mut client, "orders", 0), 7);
        assert_eq!(read_all(&mut client, "orders", 0).len(), 7);
        assert_eq!(stable(&mut client, 0), 7);
    }
}

#[test]
fn offsets_count_with_their_transaction() {
    for rules in [Rules::V1, Rules::V2] {
        let home = Home::new();
        let (server, mut client) = start(&home);
        let orders = create(&mut client, "orders", PARTITIONS);
        let mut producer = Producer::init(&mut client, rules);
        for (offset, committed) in [(5, true), (9, false)] {
            producer.put(&mut client, 1, offset);
            ok("commit", producer.commit_offset(&mut client, offset));
            let before = if committed { -1 } else { 5 };
            assert_eq!(offset_of_group(&mut client, false), (before, 0));
            let unstable = code(ErrorCode::UnstableOffsetCommit);
            assert_eq!(offset_of_group(&mut client, true), (-1, unstable));
            assert_eq!(offset_by_id(&mut client, Some(orders)), (-1, unstable), "{rules:?}");
            if !committed {
                assert_eq!(offset_by_id(&mut client, None), (-1, unstable), "{rules:?}");
            }
            producer.end(&mut client, committed);
            assert_eq!(offset_of_group(&mut client, true), (5, 0), "{rules:?}");
            assert_eq!(offset_by_id(&mut client, Some(orders)), (5, 0), "{rules:?}");
        }
        server.kill();
        let (_server, mut client) = start(&home);
        assert_eq!(offset_of_group(&mut client, true), (5, 0), "{rules:?}");
    }
}

#[test]
fn a_kill_forgets_no_transaction() {
    for rules in [Rules::V1, Rules::V2] {
        let home = Home::new();
        let (server, mut client) = start(&home);
        create(&mut client, "orders", PARTITIONS);
        let mut producer = Producer::init(&mut client, rules);
        producer.put(&mut client, 0, 1);
        producer.end(&mut client, false);
        producer.put(&mut client, 0, 2);
        ok("commit", producer.commit_offset(&mut client, 7));
        server.kill();
        let (server, mut client) = start(&home);
        assert_eq!(committed(&mut client, 0), values(&[]), "{rules:?}");
        assert_eq!(stable(&mut client, 0), 2, "the second one is open");
        let unstable = code(ErrorCode::UnstableOffsetCommit);
        assert_eq!(offset_of_group(&mut client, true), (-1, unstable));
        // The same producer goes on, and so does the transaction.
        producer.put(&mut client, 1, 3);
        producer.end(&mut client, true);
        server.stop();
        let (_server, mut client) = start(&home);
        assert_eq!(committed(&mut client, 0), values(&[2]), "{rules:?}");
        assert_eq!(committed(&mut client, 1), values(&[3]), "{rules:?}");
        assert_eq!(offset_of_group(&mut client, true), (7, 0));
        // Initialized anew, the id fences off whoever had it.
        let mut newer = Producer::init(&mut client, rules);
        assert_eq!((newer.id, newer.epoch), (producer.id, producer.epoch + 1));
        let fenced = code(ErrorCode::InvalidProducerEpoch);
        assert_eq!(producer.write(&mut client, 0, 4), fenced);
        let fenced = code(ErrorCode::ProducerFenced);
        assert_eq!(producer.try_add(&mut client, 0), fenced);
        newer.put(&mut client, 0, 5);
        newer.end(&mut client, true);
        assert_eq!(committed(&mut client, 0), values(&[2, 5]), "{rules:?}");
    }
}

#[test]
fn an_answer_that_was_lost_is_given_again() {
    let home = Home::new();
    let (_server, mut client) = start(&home);
    create(&mut client, "orders", PARTITIONS);
    for rules in [Rules::V1, Rules::V2] {
        let mut producer = Producer::init(&mut client, rules);
        producer.put(&mut client, 0, 1);
        let first = producer.try_end(&mut client, true);
        ok("end", first.error_code);
        assert_eq!(producer.try_end(&mut client, true), first, "{rules:?}");
        let other = producer.try_end(&mut client, false).error_code;
        assert_eq!(other, code(ErrorCode::InvalidTxnState), "{rules:?}: nobody has fenced it off");
    }
}

#[test]
fn a_new_instance_aborts_what_the_old_one_left_open() {
    let home = Home::new();
    let (_server, mut client) = start(&home);
    create(&mut client, "orders", PARTITIONS);
    let mut old = Producer::init(&mut client, Rules::V2);
    old.put(&mut client, 0, 1);
    ok("commit", old.commit_offset(&mut client, 3));
    let mut new = Producer::init(&mut client, Rules::V2);
    assert_eq!(offset_of_group(&mut client, true), (-1, 0));
    assert_eq!(stable(&mut client, 0), end_of(&mut client, "orders", 0));
    assert_eq!(old.write(&mut client, 0, 2), code(ErrorCode::InvalidProducerEpoch));
    assert_eq!(old.try_end(&mut client, true).error_code, code(ErrorCode::ProducerFenced));
    new.put(&mut client, 0, 3);
    new.end(&mut client, true);
    assert_eq!(committed(&mut client, 0), values(&[3]));
}

#[test]
fn what_takes_too_long_is_aborted_and_its_producer_fenced_off() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", PARTITIONS);
    let answer = init(&mut client, 1500);
    ok("init", answer.error_code);
    let (id, epoch) = (answer.producer_id, answer.producer_epoch);
    let mut late = Producer { rules: Rules::V1, id, epoch, sequences: [0; 2] };
    late.put(&mut client, 0, 1);
    until("it is aborted", || stable(&mut client, 0) == 2);
    assert_eq!(committed(&mut client, 0), values(&[]));
    assert_eq!(late.write(&mut client, 0, 2), code(ErrorCode::InvalidProducerEpoch));
    assert!((server.metric("factum_transactions_timed_out_total") - 1.0).abs() < 0.1);
    for timeout in [0, -1, i32::MAX] {
        let refused = init(&mut client, timeout).error_code;
        assert_eq!(refused, code(ErrorCode::InvalidTransactionTimeout), "{timeout}");
    }
}

#[test]
fn nothing_gets_into_a_transaction_that_does_not_belong_there() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", PARTITIONS);
    let mut producer = Producer::init(&mut client, Rules::V1);
    let invalid = code(ErrorCode::InvalidTxnState);
    let abortable = code(ErrorCode::TransactionAbortable);
    assert_eq!(producer.write(&mut client, 0, 1), abortable, "not added");
    for version in 3..=5 {
        let answer = client.call(&producer.offset_request(1), version);
        let expected = [invalid, abortable, 0][version as usize - 3];
        let came = answer.topics[0].partitions[0].error_code;
        assert_eq!(error(came), error(expected), "not added, version {version}");
    }
    producer.end(&mut client, false);
    assert_eq!(producer.try_end(&mut client, true).error_code, invalid, "nothing is under way");
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(producer.try_add(&mut client, PARTITIONS), unknown);
    producer.add(&mut client, 0);
    let stranger = Producer { id: producer.id + 1, ..producer.clone() };
    let mapping = code(ErrorCode::InvalidProducerIdMapping);
    assert_eq!(stranger.try_add(&mut client, 0), mapping);
    // Without the id in the request, or as a batch of no transaction, it is not taken.
    let batch = producer.batch(0, 1);
    let answer = produce(&mut client, "orders", 0, batch);
    assert_eq!(
        answer.error_code,
        code(ErrorCode::TransactionalIdAuthorizationFailed),
        "{:?}",
        answer.error_message
    );
    producer.put(&mut client, 0, 1);
    let plain = sequenced(producer.id, producer.epoch, 1, 1);
    assert_eq!(produce(&mut client, "orders", 0, plain).error_code, invalid);
    producer.end(&mut client, true);
    assert_eq!(committed(&mut client, 0), values(&[1]));
    server.assert_no_panic();
}

#[test]
fn tools_see_transactions_and_end_those_that_hang() {
    let home = Home::new();
    let (_server, mut client) = start(&home);
    create(&mut client, "orders", PARTITIONS);
    let mut producer = Producer::init(&mut client, Rules::V1);
    producer.put(&mut client, 0, 1);
    let list = |client: &mut Client, pattern: &str, states: &[&str]| {
        let request = ListTransactionsRequest {
            state_filters: states.iter().map(name).collect(),
            transactional_id_pattern: Some(name(pattern)),
            ..Default::default()
        };
        let answer = client.ask(&request);
        (answer.error_code, answer.transaction_states.len(), answer.unknown_state_filters.len())
    };
    assert_eq!(list(&mut client, "orders-.*", &["Ongoing"]), (0, 1, 0));
    assert_eq!(list(&mut client, "orders", &[]), (0, 0, 0), "not all of the id");
    assert_eq!(list(&mut client, "", &["Empty", "Nonsense"]), (0, 0, 1));
    assert_eq!(list(&mut client, "(", &[]).0, code(ErrorCode::InvalidRegularExpression));

    let transactional_ids = vec![name("orders-app"), name("nobody")];
    let described = client.ask(&DescribeTransactionsRequest { transactional_ids });
    let (known, unknown) = (&described.transaction_states[0], &described.transaction_states[1]);
    assert_eq!((&*known.transaction_state, known.producer_id), ("Ongoing", producer.id));
    assert_eq!((&*known.topics[0].topic, &known.topics[0].partitions[..]), ("orders", &[0][..]));
    assert_eq!(unknown.error_code, code(ErrorCode::TransactionalIdNotFound));

    let request = DescribeProducersRequest {
        topics: vec![DescribeProducersRequestTopic {
            name: name("orders"),
            partition_indexes: vec![0, 7],
        }],
    };
    let answer = client.ask(&request).topics.remove(0);
    let active = &answer.partitions[0].active_producers[0];
    assert_eq!((active.producer_id, active.current_txn_start_offset), (producer.id, 0));
    assert_eq!(answer.partitions[1].error_code, code(ErrorCode::UnknownTopicOrPartition));

    let marker = WritableTxnMarker {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        transaction_result: false,
        topics: vec![WritableTxnMarkerTopic { name: name("orders"), partition_indexes: vec![0] }],
        ..Default::default()
    };
    let never = WritableTxnMarker { producer_epoch: -1, ..marker.clone() };
    let answer = client.ask(&WriteTxnMarkersRequest { markers: vec![never] });
    let came = answer.markers[0].topics[0].partitions[0].error_code;
    assert_eq!(error(came), error(ErrorCode::InvalidProducerEpoch.code()));
    assert_eq!((stable(&mut client, 0), end_of(&mut client, "orders", 0)), (0, 1));
    let answer = client.ask(&WriteTxnMarkersRequest { markers: vec![marker] });
    ok("write markers", answer.markers[0].topics[0].partitions[0].error_code);
    assert_eq!(stable(&mut client, 0), 2);
    assert_eq!(committed(&mut client, 0), values(&[]));
}
