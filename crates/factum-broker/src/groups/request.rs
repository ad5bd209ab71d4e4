//! What members ask of a group and what they are answered.

use std::time::Duration;

use bytes::Bytes;
use factum_event::GroupName;

use super::{GroupError, GroupSettings};

/// Longest `group.instance.id`, in bytes: Kafka's own limit.
const MAX_INSTANCE_ID: usize = 249;

/// A member wants to take part in the next generation.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// The group.
    pub group: GroupName,
    /// The id that the coordinator gave the member; empty if it has none yet.
    pub member_id: String,
    /// The `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// How the client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// How long the member may be silent. None for members in this process, which never expire
    /// by silence and leave when they are dropped.
    pub session_timeout: Option<Duration>,
    /// How long the group waits for this member to join again in a rebalance.
    pub rebalance_timeout: Duration,
    /// The kind of protocol: "consumer", "connect".
    pub protocol_type: String,
    /// The protocols that the member speaks, the preferred one first.
    pub protocols: Vec<Protocol>,
    /// Whether a new member is to be given its id before it joins (`JoinGroup` version 4).
    pub require_member_id: bool,
    /// Whether the member understands that its assignment stands (`JoinGroup` version 9).
    pub skip_assignment: bool,
    /// Why the client joins, in its words.
    pub reason: Option<String>,
}

/// A protocol that a member speaks, with what it says in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// Its name, such as "range".
    pub name: String,
    /// The member's metadata in it; opaque to the group.
    pub metadata: Bytes,
}

impl JoinRequest {
    /// Checks what can be checked without the group.
    pub(super) fn check(&self, settings: &GroupSettings) -> Result<(), GroupError> {
        self.check_session(settings)?;
        if self.protocol_type.is_empty() || self.protocols.is_empty() {
            let expected = "a member joins with a protocol type and at least one protocol";
            return Err(GroupError::InconsistentGroupProtocol(expected.to_owned()));
        }
        let bytes: usize = self.protocols.iter().map(|p| p.name.len() + p.metadata.len()).sum();
        let refusal = if self.protocols.len() > settings.max_protocols {
            let (came, limit) = (self.protocols.len(), settings.max_protocols);
            format!("{came} protocols are more than the {limit} that a member may offer")
        } else if bytes > settings.max_member_bytes {
            let limit = settings.max_member_bytes;
            format!("{bytes} bytes of metadata are more than the {limit} that a member may have")
        } else if self.instance_id.as_ref().is_some_and(|id| !is_instance_id(id)) {
            format!("a group.instance.id has 1 to {MAX_INSTANCE_ID} bytes")
        } else {
            return Ok(());
        };
        Err(GroupError::InvalidRequest(refusal))
    }

    fn check_session(&self, settings: &GroupSettings) -> Result<(), GroupError> {
        let (min, max) = (settings.min_session_timeout, settings.max_session_timeout);
        match self.session_timeout {
            Some(came) if came < min || came > max => {
                Err(GroupError::InvalidSessionTimeout { came, min, max })
            }
            _ => Ok(()),
        }
    }
}

fn is_instance_id(id: &str) -> bool {
    (1..=MAX_INSTANCE_ID).contains(&id.len())
}

/// A member is part of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// The kind of protocol.
    pub protocol_type: String,
    /// The protocol that the group has chosen.
    pub protocol: String,
    /// The member that assigns.
    pub leader: String,
    /// The member's own id.
    pub member_id: String,
    /// Whether the leader is to leave the assignment as it is.
    pub skip_assignment: bool,
    /// All members, for the leader; nothing for others.
    pub members: Vec<JoinedMember>,
    /// The value of [`Groups::watch`](super::Groups::watch) that belongs to this answer: once it
    /// is larger, the member has to join again.
    pub rebalances: u64,
}

impl Joined {
    /// Whether this member assigns.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader == self.member_id
    }
}

/// A member as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its metadata in the chosen protocol.
    pub metadata: Bytes,
}

/// A member asks for its assignment; the leader brings those of all.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// The group.
    pub group: GroupName,
    /// The generation that the member is part of.
    pub generation: i32,
    /// The member's id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// The kind of protocol that the member thinks is chosen.
    pub protocol_type: Option<String>,
    /// The protocol that the member thinks is chosen.
    pub protocol: Option<String>,
    /// Assignments by member id; only the leader's count.
    pub assignments: Vec<(String, Bytes)>,
}

/// A member has its assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The kind of protocol.
    pub protocol_type: String,
    /// The protocol.
    pub protocol: String,
    /// The assignment, opaque to the group; empty if the leader gave none.
    pub assignment: Bytes,
}

/// A member as it presents itself in a heartbeat or a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberRef<'a> {
    /// The generation that it is part of; negative for who commits without being a member.
    pub generation: i32,
    /// Its id.
    pub member_id: &'a str,
    /// Its `group.instance.id`.
    pub instance_id: Option<&'a str>,
}

/// A member that is to leave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leaving {
    /// Its id; empty if a static member is removed by its `group.instance.id`.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Why, in the client's words.
    pub reason: Option<String>,
}
