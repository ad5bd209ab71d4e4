//! From a frame to its answer, for as much of the protocol as librdkafka and kcat need.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use factum_wire::frame::{self, FrameError, RequestHeader};
use factum_wire::messages::*;
use factum_wire::{ApiKey, DecodeError, EncodeError, ErrorCode, Message, Reader, Records, Str};
use thiserror::Error;

use crate::batches::Prepared;
use crate::catalog::{Catalog, MAX_PARTITIONS, MAX_TOPICS};

/// The number of the only broker.
const NODE_ID: i32 = 1;

/// What is served, and up to which version: from 13 on topics are named by ids, which are not kept.
const SERVED: [(ApiKey, i16); 8] = [
    (ApiKey::Produce, 12),
    (ApiKey::Fetch, 12),
    (ApiKey::ListOffsets, 9),
    (ApiKey::Metadata, 9),
    (ApiKey::FindCoordinator, 5),
    (ApiKey::ApiVersions, 4),
    (ApiKey::CreateTopics, 6),
    (ApiKey::InitProducerId, 4),
];

/// A broker without a log.
#[derive(Debug)]
pub(crate) struct Broker {
    /// Where clients are told to connect.
    pub address: SocketAddr,
    /// The topics.
    pub catalog: Catalog,
    /// What every partition seems to hold.
    pub served: Prepared,
}

/// An answer, and how long it may wait for the client to say something else.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Its bytes; none where no answer is to be sent.
    pub parts: Vec<Bytes>,
    /// None where the answer is due at once.
    pub wait: Option<Duration>,
}

/// Why a request is answered by closing the connection.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{api} version {version} is not served here; ask ApiVersions which ones are")]
    Version { api: ApiKey, version: i16 },
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl Broker {
    /// Answers the request of a frame without its size.
    ///
    /// # Errors
    /// [`Refused`] if it is none that is served: close the connection.
    pub(crate) fn answer(&self, frame: Bytes) -> Result<Answer, Refused> {
        let (header, mut reader) = frame::read_request(frame)?;
        let RequestHeader { api_key: api, api_version: version, .. } = header;
        let served = SERVED.iter().any(|&(key, last)| {
            key == api && version >= *key.versions().start() && version <= last
        });
        if !served && api == ApiKey::ApiVersions {
            let error_code = ErrorCode::UnsupportedVersion.code();
            return reply(&ApiVersionsResponse { error_code, ..api_versions() }, 0, &header);
        }
        if !served {
            return Err(Refused::Version { api, version });
        }
        match api {
            ApiKey::Produce => {
                let request: ProduceRequest = decode(&mut reader, version)?;
                let silent = request.acks == 0;
                let response = acknowledged(request);
                if silent { Ok(Answer::default()) } else { reply(&response, version, &header) }
            }
            ApiKey::Fetch => {
                let request = decode(&mut reader, version)?;
                let (response, wait) = self.fetch(request);
                Ok(Answer { wait, ..reply(&response, version, &header)? })
            }
            ApiKey::ListOffsets => {
                let request = decode(&mut reader, version)?;
                reply(&self.list_offsets(request), version, &header)
            }
            ApiKey::Metadata => {
                let request = decode(&mut reader, version)?;
                reply(&self.metadata(request, version), version, &header)
            }
            ApiKey::FindCoordinator => {
                let request = decode(&mut reader, version)?;
                reply(&self.find_coordinator(request), version, &header)
            }
            ApiKey::CreateTopics => {
                let request = decode(&mut reader, version)?;
                reply(&self.create_topics(request), version, &header)
            }
            ApiKey::InitProducerId => reply(&init_producer_id(), version, &header),
            ApiKey::ApiVersions => reply(&api_versions(), version, &header),
            _ => Err(Refused::Version { api, version }),
        }
    }

    fn fetch(&self, request: FetchRequest) -> (FetchResponse, Option<Duration>) {
        let mut room = usize::try_from(request.max_bytes).unwrap_or(0);
        let mut empty = true;
        let mut responses = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let limit = usize::try_from(asked.partition_max_bytes).unwrap_or(0).min(room);
                let records = Records::from(self.served.read(asked.fetch_offset, limit, empty));
                room = room.saturating_sub(records.len());
                empty &= records.is_empty();
                partitions.push(PartitionData {
                    partition_index: asked.partition,
                    high_watermark: self.served.end(),
                    last_stable_offset: self.served.end(),
                    log_start_offset: 0,
                    records: Some(records),
                    ..Default::default()
                });
            }
            let topic = topic.topic;
            responses.push(FetchableTopicResponse { topic, partitions, ..Default::default() });
        }
        let patience = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let wait = (empty && !patience.is_zero()).then_some(patience);
        (FetchResponse { responses, ..Default::default() }, wait)
    }

    fn list_offsets(&self, request: ListOffsetsRequest) -> ListOffsetsResponse {
        const LATEST: i64 = -1;
        let answer = |asked: ListOffsetsPartition| ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            offset: if asked.timestamp == LATEST { self.served.end() } else { 0 },
            ..Default::default()
        };
        let topics = request.topics.into_iter().map(|topic| ListOffsetsTopicResponse {
            name: topic.name,
            partitions: topic.partitions.into_iter().map(answer).collect(),
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }

    fn metadata(&self, request: MetadataRequest, version: i16) -> MetadataResponse {
        let named = request.topics.filter(|topics| version > 0 || !topics.is_empty());
        let names = match named {
            Some(topics) => topics.into_iter().filter_map(|topic| topic.name).collect(),
            None => self.catalog.names(),
        };
        MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: NODE_ID,
                host: self.host(),
                port: self.port(),
                ..Default::default()
            }],
            controller_id: NODE_ID,
            topics: names.into_iter().map(|name| self.topic(name)).collect(),
            ..Default::default()
        }
    }

    fn topic(&self, name: Str) -> MetadataResponseTopic {
        let Some(count) = self.catalog.partitions(&name) else {
            let error_code = ErrorCode::UnknownTopicOrPartition.code();
            return MetadataResponseTopic { error_code, name: Some(name), ..Default::default() };
        };
        let partition = |index: u32| MetadataResponsePartition {
            partition_index: index.cast_signed(),
            leader_id: NODE_ID,
            leader_epoch: 0,
            replica_nodes: vec![NODE_ID],
            isr_nodes: vec![NODE_ID],
            ..Default::default()
        };
        let partitions = (0..count).map(partition).collect();
        MetadataResponseTopic { name: Some(name), partitions, ..Default::default() }
    }

    fn find_coordinator(&self, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let (node_id, port) = (NODE_ID, self.port());
        let named =
            |key| Coordinator { key, node_id, host: self.host(), port, ..Default::default() };
        let coordinators = request.coordinator_keys.into_iter().map(named).collect();
        FindCoordinatorResponse {
            node_id,
            host: self.host(),
            port,
            coordinators,
            ..Default::default()
        }
    }

    fn create_topics(&self, request: CreateTopicsRequest) -> CreateTopicsResponse {
        let create = |topic: CreatableTopic| {
            let partitions = match topic.num_partitions {
                -1 => None,
                count => Some(u32::try_from(count).unwrap_or(0)),
            };
            let created = self.catalog.create(&topic.name, partitions);
            let refusal =
                format!("expected at most {MAX_TOPICS} topics of 1 to {MAX_PARTITIONS} partitions");
            CreatableTopicResult {
                name: topic.name,
                error_code: if created { 0 } else { ErrorCode::InvalidPartitions.code() },
                error_message: (!created).then(|| refusal.into()),
                ..Default::default()
            }
        };
        let topics = request.topics.into_iter().map(create).collect();
        CreateTopicsResponse { topics, ..Default::default() }
    }

    fn host(&self) -> Str {
        self.address.ip().to_string().into()
    }

    fn port(&self) -> i32 {
        i32::from(self.address.port())
    }
}

fn acknowledged(request: ProduceRequest) -> ProduceResponse {
    let partition = |data: PartitionProduceData| PartitionProduceResponse {
        index: data.index,
        ..Default::default()
    };
    let topic = |data: TopicProduceData| TopicProduceResponse {
        name: data.name,
        partition_responses: data.partition_data.into_iter().map(partition).collect(),
        ..Default::default()
    };
    let responses = request.topic_data.into_iter().map(topic).collect();
    ProduceResponse { responses, ..Default::default() }
}

fn init_producer_id() -> InitProducerIdResponse {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let producer_id = NEXT.fetch_add(1, Ordering::Relaxed);
    InitProducerIdResponse { producer_id, ..Default::default() }
}

fn api_versions() -> ApiVersionsResponse {
    let row = |&(key, last): &(ApiKey, i16)| ApiVersion {
        api_key: key.into(),
        min_version: *key.advertised().start(),
        max_version: last,
    };
    let api_keys = SERVED.iter().map(row).collect();
    ApiVersionsResponse { api_keys, ..Default::default() }
}

fn decode<R: Message>(reader: &mut Reader, version: i16) -> Result<R, Refused> {
    Ok(R::decode_first(reader, version)?)
}

fn reply<R: factum_wire::Response>(
    response: &R,
    version: i16,
    header: &RequestHeader,
) -> Result<Answer, Refused> {
    let parts = frame::write_response(response, version, header.correlation_id)?;
    Ok(Answer { parts, wait: None })
}
