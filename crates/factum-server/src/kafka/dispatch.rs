//! From a frame to its answer.
//!
//! Requests of a connection start in their order, each when the one before it has done what must
//! not be overtaken. What only waits then (produced batches for the disk, a fetch for records, a
//! join for the others) overlaps with later requests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use factum_broker::QuotaShare;
use factum_event::access::QuotaKey;
use factum_log::FileRegion;
use factum_wire::frame::{self, FrameError, RequestHeader};
use factum_wire::messages::*;
use factum_wire::{ApiKey, DecodeError, EncodeError, ErrorCode, Message, Part, Reader, Response};
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::api;
use super::sending::Outgoing;
use super::work::{Work, counted};
use super::{Caller, KafkaDoor};

/// An answer on its way.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Answer, Refused>> + Send>>;

/// An answer as it goes to the socket.
pub(super) struct Answer {
    /// Its bytes; none where no answer is to be sent.
    pub(super) parts: Vec<Outgoing>,
    /// Memory set aside for it, until it is sent.
    pub(super) room: Option<OwnedSemaphorePermit>,
    /// Until when its client is not read from: it has had more than its quota.
    pub(super) held_until: Option<Instant>,
}

impl Answer {
    fn of_bytes(parts: Vec<Bytes>, held_until: Option<Instant>) -> Self {
        Self { parts: parts.into_iter().map(Outgoing::Bytes).collect(), room: None, held_until }
    }
}

/// Why a request is answered by closing the connection.
#[derive(Debug, Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{api} version {version} is not supported; supported are {from} to {to}")]
    Version { api: ApiKey, version: i16, from: i16, to: i16 },
    #[error("{api} version {version}: {error}")]
    Decode { api: ApiKey, version: i16, error: DecodeError },
    #[error("the answer to {api} version {version} cannot be encoded: {error}")]
    Encode { api: ApiKey, version: i16, error: EncodeError },
    #[error("a request without acknowledgement failed; closing is the only way to say so")]
    Unacknowledged,
}

/// A request that is being answered.
pub(super) struct Call {
    pub(super) door: Arc<KafkaDoor>,
    pub(super) caller: Caller,
    header: RequestHeader,
    started: Instant,
    /// What goes into it, where somebody has a quota of that.
    work: Option<Arc<Work>>,
    /// Returned when the request leaves memory.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Call {
    pub(super) fn version(&self) -> i16 {
        self.header.api_version
    }

    fn decode<R: Message>(&self, reader: &mut Reader) -> Result<R, Refused> {
        let RequestHeader { api_key: api, api_version: version, .. } = self.header;
        R::decode_first(reader, version).map_err(|error| Refused::Decode { api, version, error })
    }

    fn answer<R: Answers>(
        &self,
        response: R,
        held_until: Option<Instant>,
    ) -> Result<Answer, Refused> {
        let (parts, held_until) = self.encode_as(frame::write_response, response, held_until)?;
        Ok(Answer::of_bytes(parts, held_until))
    }

    /// Encodes with `write`, one of the ways to do it in [`frame`], and tells the client how long
    /// it is held back: until `held_until` for what it has had, or longer for what went into that.
    fn encode_as<R: Answers, T>(
        &self,
        write: impl FnOnce(&R, i16, i32) -> Result<T, EncodeError>,
        mut response: R,
        held_until: Option<Instant>,
    ) -> Result<(T, Option<Instant>), Refused> {
        let RequestHeader { api_key: api, api_version: version, correlation_id, .. } = self.header;
        let held_until = held_until.max(self.held_for_work());
        if let Some(until) = held_until {
            let time = until.saturating_duration_since(Instant::now());
            let milliseconds = time.as_micros().div_ceil(1000);
            response.hold_back(i32::try_from(milliseconds).unwrap_or(i32::MAX));
        }
        self.door.metrics.kafka_request(api.name(), response.first_error(), self.started.elapsed());
        let encoded = write(&response, version, correlation_id);
        let encoded = encoded.map_err(|error| Refused::Encode { api, version, error })?;
        Ok((encoded, held_until))
    }

    /// Takes so much of the caller's share of something: until when it is held back for that.
    pub(super) fn take(&self, key: QuotaKey, amount: f64) -> Option<Instant> {
        let share = self.caller.share(&self.door.broker, key)?;
        let now = Instant::now();
        let held = self.door.quotas.take(key, share, amount, now);
        self.held(key, held, now)
    }

    /// What the caller owes of its share of something: until when it is held back for that.
    pub(super) fn owed(&self, key: QuotaKey, share: QuotaShare) -> Option<Instant> {
        let now = Instant::now();
        let held = self.door.quotas.owed(key, share, now);
        self.held(key, held, now)
    }

    fn held(&self, key: QuotaKey, held: Duration, now: Instant) -> Option<Instant> {
        if held.is_zero() {
            return None;
        }
        self.door.metrics.kafka_held_back(key.as_str());
        Some(now + held)
    }

    fn held_for_work(&self) -> Option<Instant> {
        let work = self.work.as_ref()?;
        self.take(QuotaKey::RequestPercentage, work.so_far().as_secs_f64())
    }
}

/// Starts a request; what it returns completes with the answer.
pub(super) async fn start(
    door: &Arc<KafkaDoor>,
    caller: &Caller,
    frame: Bytes,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Answering, Refused> {
    let (header, mut reader) = frame::read_request(frame)?;
    let mut caller = caller.clone();
    if let Some(client_id) = &header.client_id {
        caller.client_id = String::from(&**client_id);
    }
    let (api, version) = (header.api_key, header.api_version);
    tracing::trace!(%api, version, client = caller.client_id, "request");
    let limited = || caller.share(&door.broker, QuotaKey::RequestPercentage);
    let counts = caller.session.is_known() && !is_login(api) && limited().is_some();
    let work = counts.then(Work::new);
    let (door, of) = (Arc::clone(door), work.clone());
    let call = Call { door, caller, header, started: Instant::now(), work: of, _permit: permit };
    if api == ApiKey::ApiVersions && !api.supports(version) {
        return answered(fallback(&call));
    }
    if !api.supports(version) {
        let (from, to) = api.versions().into_inner();
        return Err(Refused::Version { api, version, from, to });
    }
    let Some(work) = work else { return route(call, &mut reader).await };
    let answering = counted(route(call, &mut reader), &work).await?;
    Ok(Box::pin(async move { counted(answering, &work).await }))
}

/// Whether requests are a part of logging in: they are not held back, and have no place to say so.
const fn is_login(api: ApiKey) -> bool {
    matches!(api, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate)
}

async fn route(call: Call, reader: &mut Reader) -> Result<Answering, Refused> {
    use api::*;
    /// Answers before the next request starts.
    macro_rules! at_once {
        ($handle:path) => {{
            let request = call.decode(reader)?;
            let response = $handle(&call, request).await;
            answered(call.answer(response, None))
        }};
    }
    /// Starts now, and answers while later requests go on.
    macro_rules! overlapping {
        ($start:path) => {{
            let request = call.decode(reader)?;
            let answer = $start(&call, request);
            Ok(Box::pin(async move {
                let response = answer.await;
                call.answer(response, None)
            }))
        }};
    }
    match call.header.api_key {
        ApiKey::Produce => {
            let bytes = reader.remaining();
            let request: ProduceRequest = call.decode(reader)?;
            let unacknowledged = request.acks == 0;
            let answer = produce::start(&call, request).await;
            let held_until = call.take(QuotaKey::ProducerByteRate, bytes as f64);
            Ok(Box::pin(async move {
                let response = answer.await;
                let error_code = response.first_error();
                let answer = call.answer(response, held_until)?;
                match (unacknowledged, error_code) {
                    (false, _) => Ok(answer),
                    (true, 0) => Ok(Answer::of_bytes(Vec::new(), answer.held_until)),
                    (true, _) => Err(Refused::Unacknowledged),
                }
            }))
        }
        ApiKey::Fetch => {
            let answer = fetch::start(&call, call.decode(reader)?);
            Ok(Box::pin(async move {
                let fetch::Fetched { response, regions, room, bytes, owed } = answer.await;
                let had = if bytes > 0 {
                    call.take(QuotaKey::ConsumerByteRate, bytes as f64)
                } else {
                    None
                };
                let write = frame::write_response_parts;
                let (parts, held_until) = call.encode_as(write, response, had.max(owed))?;
                Ok(Answer { parts: outgoing(parts, regions), room, held_until })
            }))
        }
        ApiKey::JoinGroup => overlapping!(join_group::start),
        ApiKey::SyncGroup => overlapping!(sync_group::start),
        ApiKey::ListOffsets => at_once!(list_offsets::handle),
        ApiKey::Metadata => at_once!(metadata::handle),
        ApiKey::OffsetCommit => at_once!(offset_commit::handle),
        ApiKey::OffsetFetch => at_once!(offset_fetch::handle),
        ApiKey::FindCoordinator => at_once!(find_coordinator::handle),
        ApiKey::Heartbeat => at_once!(heartbeat::handle),
        ApiKey::LeaveGroup => at_once!(leave_group::handle),
        ApiKey::DescribeGroups => at_once!(describe_groups::handle),
        ApiKey::ListGroups => at_once!(list_groups::handle),
        ApiKey::ApiVersions => at_once!(api_versions::handle),
        ApiKey::CreateTopics => at_once!(create_topics::handle),
        ApiKey::DeleteTopics => at_once!(delete_topics::handle),
        ApiKey::DeleteRecords => at_once!(delete_records::handle),
        ApiKey::InitProducerId => at_once!(init_producer_id::handle),
        ApiKey::OffsetForLeaderEpoch => at_once!(offset_for_leader_epoch::handle),
        ApiKey::AddPartitionsToTxn => at_once!(add_partitions_to_txn::handle),
        ApiKey::AddOffsetsToTxn => at_once!(add_offsets_to_txn::handle),
        ApiKey::EndTxn => at_once!(end_txn::handle),
        ApiKey::WriteTxnMarkers => at_once!(write_txn_markers::handle),
        ApiKey::TxnOffsetCommit => at_once!(txn_offset_commit::handle),
        ApiKey::DescribeAcls => at_once!(describe_acls::handle),
        ApiKey::CreateAcls => at_once!(create_acls::handle),
        ApiKey::DeleteAcls => at_once!(delete_acls::handle),
        ApiKey::DescribeConfigs => at_once!(describe_configs::handle),
        ApiKey::AlterConfigs => at_once!(alter_configs::handle),
        ApiKey::DescribeLogDirs => at_once!(describe_log_dirs::handle),
        ApiKey::CreatePartitions => at_once!(create_partitions::handle),
        ApiKey::DeleteGroups => at_once!(delete_groups::handle),
        ApiKey::ElectLeaders => at_once!(elect_leaders::handle),
        ApiKey::IncrementalAlterConfigs => at_once!(incremental_alter_configs::handle),
        ApiKey::AlterPartitionReassignments => at_once!(alter_partition_reassignments::handle),
        ApiKey::ListPartitionReassignments => at_once!(list_partition_reassignments::handle),
        ApiKey::OffsetDelete => at_once!(offset_delete::handle),
        ApiKey::DescribeQuorum => at_once!(describe_quorum::handle),
        ApiKey::SaslHandshake => at_once!(sasl_handshake::handle),
        ApiKey::SaslAuthenticate => at_once!(sasl_authenticate::handle),
        ApiKey::DescribeClientQuotas => at_once!(describe_client_quotas::handle),
        ApiKey::AlterClientQuotas => at_once!(alter_client_quotas::handle),
        ApiKey::DescribeUserScramCredentials => at_once!(describe_user_scram_credentials::handle),
        ApiKey::AlterUserScramCredentials => at_once!(alter_user_scram_credentials::handle),
        ApiKey::UpdateFeatures => at_once!(update_features::handle),
        ApiKey::DescribeCluster => at_once!(describe_cluster::handle),
        ApiKey::DescribeProducers => at_once!(describe_producers::handle),
        ApiKey::DescribeTransactions => at_once!(describe_transactions::handle),
        ApiKey::ListTransactions => at_once!(list_transactions::handle),
        ApiKey::ConsumerGroupHeartbeat => at_once!(consumer_group_heartbeat::handle),
        ApiKey::ConsumerGroupDescribe => at_once!(consumer_group_describe::handle),
        ApiKey::ListConfigResources => at_once!(list_config_resources::handle),
        ApiKey::DescribeTopicPartitions => at_once!(describe_topic_partitions::handle),
    }
}

/// Puts regions to the places that were kept for them; both have the order of the response.
fn outgoing(parts: Vec<Part>, regions: Vec<FileRegion>) -> Vec<Outgoing> {
    let mut regions = regions.into_iter();
    let mut fill = |part| match part {
        Part::Bytes(bytes) => Outgoing::Bytes(bytes),
        Part::External(_) => Outgoing::Region(regions.next().expect("as many as there are places")),
    };
    parts.into_iter().map(&mut fill).collect()
}

fn answered(answer: Result<Answer, Refused>) -> Result<Answering, Refused> {
    Ok(Box::pin(std::future::ready(answer)))
}

/// An unknown version of ApiVersions is answered in version 0, without reading its body: the
/// client learns from it what to ask (KIP-511).
fn fallback(call: &Call) -> Result<Answer, Refused> {
    const VERSION: i16 = 0;
    let error_code = ErrorCode::UnsupportedVersion.code();
    let api_keys = factum_wire::api::advertised();
    let response = ApiVersionsResponse { error_code, api_keys, ..Default::default() };
    call.door.metrics.kafka_request("ApiVersions", error_code, call.started.elapsed());
    let api = ApiKey::ApiVersions;
    frame::write_response(&response, VERSION, call.header.correlation_id)
        .map(|parts| Answer::of_bytes(parts, None))
        .map_err(|error| Refused::Encode { api, version: VERSION, error })
}

/// What all responses say, each in its place.
pub(super) trait Answers: Response {
    /// The first error code that is not 0, or 0: for the metrics.
    fn first_error(&self) -> i16;

    /// Tells the client for how many milliseconds it is held back.
    fn hold_back(&mut self, milliseconds: i32);
}

/// Implements [`Answers`]: a path to the codes in each response. Those in brackets have no place
/// for a time.
macro_rules! answers {
    ($($response:tt: |$this:ident| $codes:expr;)*) => { $(
        answers!(@one $response, |$this| $codes);
    )* };
    (@one [$response:ty], |$this:ident| $codes:expr) => {
        answers!(@of $response, |$this| $codes, |_, _| {});
    };
    (@one $response:ident, |$this:ident| $codes:expr) => {
        answers!(@of $response, |$this| $codes, |it: &mut $response, time| it.throttle_time_ms = time);
    };
    (@of $response:ty, |$this:ident| $codes:expr, $hold_back:expr) => {
        impl Answers for $response {
            fn first_error(&self) -> i16 {
                let $this = self;
                $codes.find(|code| *code != 0).unwrap_or(0)
            }

            fn hold_back(&mut self, milliseconds: i32) {
                let hold_back: fn(&mut Self, i32) = $hold_back;
                hold_back(self, milliseconds);
            }
        }
    };
}

answers! {
    ProduceResponse: |it| it.responses.iter().flat_map(|topic| &topic.partition_responses).map(|p| p.error_code);
    FetchResponse: |it| std::iter::once(it.error_code)
        .chain(it.responses.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code));
    ListOffsetsResponse: |it| it.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
    MetadataResponse: |it| it.topics.iter().map(|topic| topic.error_code);
    OffsetCommitResponse: |it| it.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
    OffsetFetchResponse: |it| std::iter::once(it.error_code).chain(it.groups.iter().map(|g| g.error_code));
    FindCoordinatorResponse: |it| std::iter::once(it.error_code)
        .chain(it.coordinators.iter().map(|c| c.error_code));
    JoinGroupResponse: |it| std::iter::once(it.error_code);
    SyncGroupResponse: |it| std::iter::once(it.error_code);
    HeartbeatResponse: |it| std::iter::once(it.error_code);
    LeaveGroupResponse: |it| std::iter::once(it.error_code).chain(it.members.iter().map(|m| m.error_code));
    DescribeGroupsResponse: |it| it.groups.iter().map(|group| group.error_code);
    ListGroupsResponse: |it| std::iter::once(it.error_code);
    ApiVersionsResponse: |it| std::iter::once(it.error_code);
    CreateTopicsResponse: |it| it.topics.iter().map(|topic| topic.error_code);
    DeleteTopicsResponse: |it| it.responses.iter().map(|topic| topic.error_code);
    DeleteRecordsResponse: |it| it.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
    InitProducerIdResponse: |it| std::iter::once(it.error_code);
    OffsetForLeaderEpochResponse: |it| it.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
    AddPartitionsToTxnResponse: |it| std::iter::once(it.error_code)
        .chain(it.results_by_transaction.iter().flat_map(|transaction| &transaction.topic_results)
            .chain(&it.results_by_topic_v3_and_below)
            .flat_map(|topic| &topic.results_by_partition).map(|p| p.partition_error_code));
    AddOffsetsToTxnResponse: |it| std::iter::once(it.error_code);
    EndTxnResponse: |it| std::iter::once(it.error_code);
    [WriteTxnMarkersResponse]: |it| it.markers.iter().flat_map(|marker| &marker.topics)
        .flat_map(|topic| &topic.partitions).map(|p| p.error_code);
    TxnOffsetCommitResponse: |it| it.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
    DescribeAclsResponse: |it| std::iter::once(it.error_code);
    CreateAclsResponse: |it| it.results.iter().map(|result| result.error_code);
    DeleteAclsResponse: |it| it.filter_results.iter().map(|result| result.error_code);
    DescribeConfigsResponse: |it| it.results.iter().map(|result| result.error_code);
    AlterConfigsResponse: |it| it.responses.iter().map(|resource| resource.error_code);
    DescribeLogDirsResponse: |it| std::iter::once(it.error_code)
        .chain(it.results.iter().map(|directory| directory.error_code));
    CreatePartitionsResponse: |it| it.results.iter().map(|result| result.error_code);
    DeleteGroupsResponse: |it| it.results.iter().map(|result| result.error_code);
    ElectLeadersResponse: |it| std::iter::once(it.error_code)
        .chain(it.replica_election_results.iter().flat_map(|topic| &topic.partition_result).map(|p| p.error_code));
    IncrementalAlterConfigsResponse: |it| it.responses.iter().map(|resource| resource.error_code);
    AlterPartitionReassignmentsResponse: |it| std::iter::once(it.error_code)
        .chain(it.responses.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code));
    ListPartitionReassignmentsResponse: |it| std::iter::once(it.error_code);
    OffsetDeleteResponse: |it| std::iter::once(it.error_code)
        .chain(it.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code));
    [DescribeQuorumResponse]: |it| std::iter::once(it.error_code)
        .chain(it.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code));
    [SaslHandshakeResponse]: |it| std::iter::once(it.error_code);
    [SaslAuthenticateResponse]: |it| std::iter::once(it.error_code);
    DescribeClientQuotasResponse: |it| std::iter::once(it.error_code);
    AlterClientQuotasResponse: |it| it.entries.iter().map(|entry| entry.error_code);
    DescribeUserScramCredentialsResponse: |it| std::iter::once(it.error_code)
        .chain(it.results.iter().map(|user| user.error_code));
    AlterUserScramCredentialsResponse: |it| it.results.iter().map(|user| user.error_code);
    UpdateFeaturesResponse: |it| std::iter::once(it.error_code);
    DescribeClusterResponse: |it| std::iter::once(it.error_code);
    DescribeProducersResponse: |it| it.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
    DescribeTransactionsResponse: |it| it.transaction_states.iter().map(|transaction| transaction.error_code);
    ListTransactionsResponse: |it| std::iter::once(it.error_code);
    ConsumerGroupHeartbeatResponse: |it| std::iter::once(it.error_code);
    ConsumerGroupDescribeResponse: |it| it.groups.iter().map(|group| group.error_code);
    ListConfigResourcesResponse: |it| std::iter::once(it.error_code);
    DescribeTopicPartitionsResponse: |it| it.topics.iter().map(|topic| topic.error_code);
}
