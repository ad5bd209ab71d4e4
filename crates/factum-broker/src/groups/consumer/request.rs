//! What members say in a heartbeat and what they are answered.

use std::sync::Arc;
use std::time::Duration;

use factum_event::GroupName;

use super::Assignment;
use super::assignors::Assignor;
use super::subscription::Pattern;
use crate::groups::{GroupError, GroupSettings};

/// The epoch of a member that joins.
pub(super) const JOIN: i32 = 0;

/// The epoch of a member that leaves.
pub(super) const LEAVE: i32 = -1;

/// The epoch of a static member that leaves and means to come back.
pub(super) const LEAVE_FOR_A_WHILE: i32 = -2;

/// Longest member id, instance id and rack, in bytes: members make their ids, and Kafka's own are
/// of 22.
const MAX_ID_BYTES: usize = 255;

/// A member joins, stays, or leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// The member's id.
    pub member_id: String,
    /// The member's epoch; 0 to join, -1 to leave, -2 for a static member to leave for a while.
    pub member_epoch: i32,
    /// The `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The member's rack.
    pub rack_id: Option<String>,
    /// How the client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// How long the group waits for the member to give up partitions; none: as before.
    pub rebalance_timeout: Option<Duration>,
    /// The topics that it subscribes to; none: as before.
    pub topic_names: Option<Vec<String>>,
    /// A regular expression of topics, nothing if empty; none: as before.
    pub topic_regex: Option<String>,
    /// The assignor that it prefers; none: as before.
    pub assignor: Option<String>,
    /// The partitions that it has; none: as before.
    pub owned: Option<Assignment>,
    /// Whether the member makes its id itself (version 1).
    pub makes_its_id: bool,
}

/// What a member is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerBeat {
    /// The member's id.
    pub member_id: String,
    /// Its epoch.
    pub member_epoch: i32,
    /// When to send the next heartbeat.
    pub heartbeat_interval: Duration,
    /// The partitions that it is to have; none if that has not changed.
    pub assignment: Option<Assignment>,
}

/// A heartbeat that was checked as far as it can be without the group.
#[derive(Debug)]
pub(in crate::groups) struct Checked {
    pub(in crate::groups) group: GroupName,
    pub(super) beat: ConsumerHeartbeat,
    pub(super) assignor: Option<Assignor>,
    /// The pattern, if the heartbeat speaks of one.
    pub(super) pattern: Option<Option<Arc<Pattern>>>,
}

impl Checked {
    /// Checks a heartbeat; a regular expression is compiled, which takes its time.
    pub(in crate::groups) fn new(
        group: GroupName,
        beat: ConsumerHeartbeat,
        settings: &GroupSettings,
    ) -> Result<Self, GroupError> {
        if let Some(refusal) = beat.contradiction().or_else(|| beat.excess(settings)) {
            return Err(GroupError::InvalidRequest(refusal));
        }
        let assignor = beat.assignor.as_deref().map(Assignor::by_name).transpose()?;
        let pattern = beat.topic_regex.as_deref().map(|text| {
            let some = (!text.is_empty()).then(|| Pattern::new(text).map(Arc::new));
            some.transpose()
        });
        Ok(Self { group, assignor, pattern: pattern.transpose()?, beat })
    }

    pub(in crate::groups) fn joins(&self) -> bool {
        self.beat.member_epoch == JOIN
    }

    pub(super) fn leaves(&self) -> bool {
        self.beat.member_epoch < JOIN
    }

    /// Whether the member says all that it has to say, as it does when it does not know what the
    /// group knows.
    pub(super) fn is_full(&self) -> bool {
        let beat = &self.beat;
        let subscribes = beat.topic_names.is_some() || beat.topic_regex.is_some();
        self.joins() || (beat.rebalance_timeout.is_some() && subscribes && beat.owned.is_some())
    }
}

impl ConsumerHeartbeat {
    fn contradiction(&self) -> Option<String> {
        let is_empty = |text: &Option<String>| text.as_deref() == Some("");
        let named = self.makes_its_id || self.member_epoch != JOIN;
        let refusal = if named && self.member_id.is_empty() {
            "MemberId can't be empty"
        } else if is_empty(&self.instance_id) {
            "InstanceId can't be empty"
        } else if is_empty(&self.rack_id) {
            "RackId can't be empty"
        } else {
            match self.member_epoch {
                JOIN => return self.contradiction_in_join(),
                LEAVE_FOR_A_WHILE if self.instance_id.is_none() => "InstanceId can't be null",
                came if came < LEAVE_FOR_A_WHILE => "MemberEpoch can't be less than -2",
                _ => return None,
            }
        };
        Some(refusal.to_owned())
    }

    fn contradiction_in_join(&self) -> Option<String> {
        let refusal = if self.rebalance_timeout.is_none() {
            "RebalanceTimeoutMs must be provided in the first request"
        } else if !self.owned.as_ref().is_some_and(Assignment::is_empty) {
            "TopicPartitions must be empty when (re-)joining"
        } else if self.topic_names.is_none() && self.topic_regex.is_none() {
            "SubscribedTopicNames or SubscribedTopicRegex must be set when (re-)joining"
        } else {
            return None;
        };
        Some(refusal.to_owned())
    }

    fn excess(&self, settings: &GroupSettings) -> Option<String> {
        let ids = [Some(&self.member_id), self.instance_id.as_ref(), self.rack_id.as_ref()];
        if ids.into_iter().flatten().any(|id| id.len() > MAX_ID_BYTES) {
            return Some(format!("ids and racks have at most {MAX_ID_BYTES} bytes"));
        }
        let names = self.topic_names.iter().flatten();
        let bytes: usize = names.map(|name| size_of::<String>() + name.len()).sum();
        let limit = settings.max_member_bytes;
        let refusal =
            || format!("{bytes} bytes of subscriptions are more than the {limit} allowed");
        (bytes > limit).then(refusal)
    }
}
