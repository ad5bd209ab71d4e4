//! One file per API key: what it does, and which versions mean what.

pub(super) mod add_offsets_to_txn;
pub(super) mod add_partitions_to_txn;
pub(super) mod alter_client_quotas;
pub(super) mod alter_configs;
pub(super) mod alter_partition_reassignments;
pub(super) mod alter_user_scram_credentials;
pub(super) mod api_versions;
pub(super) mod consumer_group_describe;
pub(super) mod consumer_group_heartbeat;
pub(super) mod create_acls;
pub(super) mod create_partitions;
pub(super) mod create_topics;
pub(super) mod delete_acls;
pub(super) mod delete_groups;
pub(super) mod delete_records;
pub(super) mod delete_topics;
pub(super) mod describe_acls;
pub(super) mod describe_client_quotas;
pub(super) mod describe_cluster;
pub(super) mod describe_configs;
pub(super) mod describe_groups;
pub(super) mod describe_log_dirs;
pub(super) mod describe_producers;
pub(super) mod describe_quorum;
pub(super) mod describe_topic_partitions;
pub(super) mod describe_transactions;
pub(super) mod describe_user_scram_credentials;
pub(super) mod elect_leaders;
pub(super) mod end_txn;
pub(super) mod fetch;
pub(super) mod find_coordinator;
pub(super) mod heartbeat;
pub(super) mod incremental_alter_configs;
pub(super) mod init_producer_id;
pub(super) mod join_group;
pub(super) mod leave_group;
pub(super) mod list_config_resources;
pub(super) mod list_groups;
pub(super) mod list_offsets;
pub(super) mod list_partition_reassignments;
pub(super) mod list_transactions;
pub(super) mod metadata;
pub(super) mod offset_commit;
pub(super) mod offset_delete;
pub(super) mod offset_fetch;
pub(super) mod offset_for_leader_epoch;
pub(super) mod produce;
pub(super) mod sasl_authenticate;
pub(super) mod sasl_handshake;
pub(super) mod sync_group;
pub(super) mod txn_offset_commit;
pub(super) mod update_features;
pub(super) mod write_txn_markers;

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use factum_event::LogError;
use factum_event::access::Operation;
use factum_event::batch::LEADER_EPOCH;
use factum_wire::{ErrorCode, Str};

use super::dispatch::Call;

/// The shortest time in which an answer can be asked for: a flush takes its time.
const MIN_WAIT: Duration = Duration::from_secs(1);

/// The longest time that an answer is waited for.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// How long a request with this `timeout_ms` may wait for what it asked for.
fn answer_within(timeout_ms: i32) -> Duration {
    let asked = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    asked.clamp(MIN_WAIT, MAX_WAIT)
}

/// Checks what epoch of a leader a client believes in; the one leader has never changed.
fn check_leader_epoch(epoch: i32) -> Result<(), ErrorCode> {
    const NONE: i32 = -1;
    match epoch {
        NONE | LEADER_EPOCH => Ok(()),
        epoch if epoch < LEADER_EPOCH => Err(ErrorCode::FencedLeaderEpoch),
        _ => Err(ErrorCode::UnknownLeaderEpoch),
    }
}

/// Does what was begun to its end, also where the connection closes meanwhile: the next one must
/// find nothing half done.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// An error with what to tell the client.
pub(super) type Refusal = (ErrorCode, String);

/// Why nothing is done with a topic that a request names more than once.
const NAMED_TWICE: &str = "the request names this topic more than once";

/// How often a request names each of what it names.
fn times<T: Eq + Hash>(named: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut times = HashMap::new();
    named.for_each(|one| *times.entry(one).or_default() += 1);
    times
}

/// Why rules of access cannot be worked with; Kafka answers the same without an authorizer.
fn no_access_control(call: &Call, operation: Operation) -> Option<Refusal> {
    if !call.door.broker.has_access_control() {
        let reason = "No Authorizer is configured: everybody may do everything; start the server \
                      with access_control";
        return Some((ErrorCode::SecurityDisabled, reason.to_owned()));
    }
    let refused = call.may_with_cluster(operation).err()?;
    Some((refused, format!("{operation} of the cluster is not allowed")))
}

/// What a refused change of users or rules is.
fn access_error(error: LogError) -> Refusal {
    match error {
        LogError::InvalidRequest(reason) => (ErrorCode::PolicyViolation, reason),
        error => (ErrorCode::KafkaStorageError, error.to_string()),
    }
}

/// Longest message of an answer, in bytes.
const MAX_MESSAGE_BYTES: usize = 4_096;

/// A message as a string of the protocol, which takes 32,767 bytes: it may repeat what was asked.
fn told(message: &str) -> Str {
    if message.len() <= MAX_MESSAGE_BYTES {
        return text(message);
    }
    text(format!("{}…", &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)]))
}

/// Text of the broker's as a string of the protocol.
fn text(text: impl AsRef<str>) -> Str {
    Str::from(text.as_ref())
}
