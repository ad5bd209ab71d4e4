//! AddPartitionsToTxn (24): a transaction will write to partitions (KIP-98). The first begins it.
//!
//! * Where one partition cannot be added, none is: the others are "not attempted".
//! * 2: a fenced producer has an error code of its own.
//! * 4: several transactions in one request, and only asking whether the partitions are in them
//!   (KIP-890); brokers ask each other so.

use factum_broker::{Producer, TransactionError, TransactionPartition, TransactionalId};
use factum_event::Partition;
use factum_event::access::Operation;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
};

use super::{text, to_its_end};
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version in which a fenced producer is told so.
const FENCING_SINCE: i16 = 2;

/// The first version with several transactions.
const BATCHES_SINCE: i16 = 4;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    if call.version() >= BATCHES_SINCE {
        // Only brokers ask for several transactions.
        if let Err(error) = call.may_with_cluster(Operation::ClusterAction) {
            let error_code = error.code();
            return AddPartitionsToTxnResponse { error_code, ..Default::default() };
        }
        let mut results_by_transaction = Vec::with_capacity(request.transactions.len());
        for transaction in request.transactions {
            let transactional_id = text(&*transaction.transactional_id);
            let topic_results = add(call, transaction).await;
            results_by_transaction
                .push(AddPartitionsToTxnResult { transactional_id, topic_results });
        }
        return AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() };
    }
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        topics: request.v3_and_below_topics,
        ..Default::default()
    };
    let results_by_topic_v3_and_below = add(call, transaction).await;
    AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() }
}

async fn add(
    call: &Call,
    asked: AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let id = match call.transactional_id(Operation::Write, &asked.transactional_id) {
        Ok(id) => id,
        Err(error) => return answer(&asked.topics, |_, _| error),
    };
    let producer = Producer { id: asked.producer_id, epoch: asked.producer_epoch };
    let found = |topic: &str, index: i32| find(call, topic, index);
    let mut places = Vec::new();
    for topic in &asked.topics {
        places.extend(topic.partitions.iter().map(|index| found(&topic.name, *index)));
    }
    let Ok(places) = places.into_iter().collect::<Result<Vec<_>, _>>() else {
        return answer(&asked.topics, |topic, index| {
            found(topic, index).err().unwrap_or(ErrorCode::OperationNotAttempted)
        });
    };
    let added = change(call, (id, producer), places, asked.verify_only).await;
    let knows_fencing = call.version() >= FENCING_SINCE;
    let code =
        added.err().map_or(ErrorCode::None, |error| errors::transaction(&error, knows_fencing));
    answer(&asked.topics, |_, _| code)
}

async fn change(
    call: &Call,
    (id, producer): (TransactionalId, Producer),
    places: Vec<TransactionPartition>,
    verify_only: bool,
) -> Result<(), TransactionError> {
    let broker = call.door.broker.clone();
    to_its_end(async move {
        if !verify_only {
            return broker.add_partitions_to_transaction(&id, producer, places).await;
        }
        for place in places {
            broker.verify_transaction(&id, producer, place).await?;
        }
        Ok(())
    })
    .await
}

fn find(call: &Call, topic: &str, index: i32) -> Result<TransactionPartition, ErrorCode> {
    let topic = call.topic_named(Operation::Write, topic)?;
    if topic.name.is_internal() {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let partition = Partition::new(index).filter(|of| topic.partition_id(*of).is_some());
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    Ok(TransactionPartition { topic: topic.id, partition })
}

fn answer(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&str, i32) -> ErrorCode,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let topic = |topic: &AddPartitionsToTxnTopic| {
        let partition = |&partition_index: &i32| AddPartitionsToTxnPartitionResult {
            partition_index,
            partition_error_code: code(&topic.name, partition_index).code(),
        };
        AddPartitionsToTxnTopicResult {
            name: text(&*topic.name),
            results_by_partition: topic.partitions.iter().map(partition).collect(),
        }
    };
    topics.iter().map(topic).collect()
}
