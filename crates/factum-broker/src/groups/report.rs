//! What a group says of itself: descriptions, the cause of its last rebalance, counts.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use factum_event::GroupName;
use factum_event::log::GroupState;

use super::consumer_protocol::PROTOCOL_TYPE;

/// How much of a client's reason is kept, in bytes.
const MAX_REASON: usize = 255;

/// Which of the members that caused a rebalance are named.
const MAX_NAMED_MEMBERS: usize = 16;

/// Which protocol a group is of; or a member, as a group of the consumer protocol may have members
/// of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// Members join, and a leader assigns.
    Classic,
    /// The coordinator assigns (KIP-848).
    Consumer,
}

impl GroupKind {
    /// Kafka's name of the type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub group: GroupName,
    /// Which protocol its members speak.
    pub kind: GroupKind,
    /// Its state.
    pub state: GroupState,
    /// The kind of protocol; empty if it never had a member.
    pub protocol_type: String,
}

/// What others need to know of a group before they touch its offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: GroupState,
    /// Its generation.
    pub generation: i32,
    /// How many members it has.
    pub members: usize,
    /// The kind of protocol; empty if it never had a member.
    pub protocol_type: String,
    /// The topics that its members subscribe to; none if they do not speak the consumer protocol
    /// or what they say in it is not readable.
    pub topics: Option<BTreeSet<String>>,
    /// When the last member went, in monotonic time; only while the group is empty.
    pub empty_since: Option<Duration>,
}

impl Standing {
    /// Whether the group has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state == GroupState::Empty
    }

    /// Whether a member reads `topic`. Where members of the consumer protocol cannot be read,
    /// they are taken to read everything.
    #[must_use]
    pub fn subscribes(&self, topic: &str) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            None => self.members > 0 && self.protocol_type == PROTOCOL_TYPE,
        }
    }
}

/// A group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub group: GroupName,
    /// Its state.
    pub state: GroupState,
    /// Its generation.
    pub generation: i32,
    /// The kind of protocol; empty if it never had a member.
    pub protocol_type: String,
    /// The chosen protocol; empty unless the group is stable.
    pub protocol: String,
    /// The member that assigns.
    pub leader: Option<String>,
    /// Its members, by id.
    pub members: Vec<DescribedMember>,
    /// Rebalances begun since the group is known.
    pub rebalances: u64,
    /// The last of them.
    pub last_rebalance: Option<Rebalance>,
}

/// A member of a described group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// How its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// Its metadata in the chosen protocol; empty unless the group is stable.
    pub metadata: Bytes,
    /// Its assignment; while the group rebalances, the last one.
    pub assignment: Bytes,
}

/// Why a group rebalances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A new member came.
    MemberJoined,
    /// Members left.
    MemberLeft,
    /// Members were silent for longer than their session timeout.
    SessionExpired,
    /// The leader joined again, as it does when what it assigns has changed.
    LeaderRejoined,
    /// A member joined again with other metadata.
    MetadataChanged,
    /// A static member came back in a way that the assignment does not survive.
    StaticMemberReplaced,
    /// Members did not join again in time.
    JoinMissing,
    /// Members did not ask for their assignment in time.
    SyncMissing,
    /// A member subscribed to other topics.
    SubscriptionChanged,
    /// Topics that members subscribe to have changed.
    TopicsChanged,
    /// Members did not give up partitions in time.
    RevocationOverdue,
}

impl Cause {
    /// The cause as part of a sentence whose subject is the members, or the topics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemberJoined => "joined",
            Self::MemberLeft => "left",
            Self::SessionExpired => "expired: no heartbeat within the session timeout",
            Self::LeaderRejoined => "joined again as the leader",
            Self::MetadataChanged => "joined again with other metadata",
            Self::StaticMemberReplaced => "came back as a static member",
            Self::JoinMissing => "did not join again within the rebalance timeout",
            Self::SyncMissing => "did not sync within the rebalance timeout",
            Self::SubscriptionChanged => "subscribed to other topics",
            Self::TopicsChanged => "created, deleted, or given partitions",
            Self::RevocationOverdue => "did not give up partitions within the rebalance timeout",
        }
    }
}

/// A rebalance: why it began and who caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebalance {
    /// Why.
    pub cause: Cause,
    /// The members that caused it; the topics, where these did.
    pub members: Vec<String>,
    /// Why, in the client's words.
    pub client_reason: Option<String>,
    /// The generation that it ends.
    pub generation: i32,
    /// When it began, in monotonic time.
    pub at: Duration,
}

impl Rebalance {
    pub(super) fn new(
        cause: Cause,
        mut members: Vec<String>,
        reason: Option<&str>,
        generation: i32,
        at: Duration,
    ) -> Self {
        members.truncate(MAX_NAMED_MEMBERS);
        let client_reason = reason.map(|r| r[..r.floor_char_boundary(MAX_REASON)].to_owned());
        Self { cause, members, client_reason, generation, at }
    }
}

impl fmt::Display for Rebalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.members.join(", "), self.cause.as_str())?;
        match &self.client_reason {
            Some(reason) => write!(f, " (client: {reason})"),
            None => Ok(()),
        }
    }
}

/// Counts over all groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupsMetrics {
    /// Groups known now.
    pub groups: usize,
    /// Members now.
    pub members: usize,
    /// Rebalances begun since the start.
    pub rebalances_begun: u64,
    /// Rebalances since the start that ended with every member having an assignment.
    pub rebalances_completed: u64,
    /// Members removed since the start because they missed a deadline.
    pub members_evicted: u64,
}
