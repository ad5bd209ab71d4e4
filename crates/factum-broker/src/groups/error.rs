//! Why the coordinator refuses, one to one with the error codes of Kafka's protocol.

use std::time::Duration;

use thiserror::Error;

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GroupError {
    /// The call was given up, because a later one of the same member took its place.
    #[error("this request was given up for a later one of the same member; send it again")]
    CoordinatorNotAvailable,
    /// The member speaks of a generation that is not the group's.
    #[error("generation {came} is not the group's, which is {current}; join again")]
    IllegalGeneration {
        /// What came.
        came: i32,
        /// The group's generation.
        current: i32,
    },
    /// The member's protocols do not fit the group's.
    #[error("{0}")]
    InconsistentGroupProtocol(String),
    /// The group has no such member.
    #[error("the group has no member of this id; join again with an empty member id")]
    UnknownMemberId,
    /// The session timeout is out of range.
    #[error("a session timeout of {came:?} is not allowed; choose {min:?} to {max:?}")]
    InvalidSessionTimeout {
        /// What came.
        came: Duration,
        /// The shortest one allowed.
        min: Duration,
        /// The longest one allowed.
        max: Duration,
    },
    /// The group rebalances.
    #[error("the group is rebalancing; join again")]
    RebalanceInProgress,
    /// A request that contradicts itself or exceeds a limit.
    #[error("{0}")]
    InvalidRequest(String),
    /// No room for another group.
    #[error("{limit} groups are in use, and no more are allowed; raise the limit or stop some")]
    TooManyGroups {
        /// How many are allowed.
        limit: usize,
    },
    /// The group has members.
    #[error("the group has members; stop them first")]
    GroupNotEmpty,
    /// No group of this name.
    #[error("there is no group of this name")]
    GroupIdNotFound,
    /// A new member was given an id, and is to join again with it.
    #[error("join again with member id {member_id}")]
    MemberIdRequired {
        /// The id.
        member_id: String,
    },
    /// The group is full.
    #[error("the group has {limit} members, and no more are allowed")]
    GroupMaxSizeReached {
        /// How many members are allowed.
        limit: usize,
    },
    /// The group is of the classic protocol, and cannot become one of the other: the policy does not
    /// allow it, or its members are of another protocol type, of Kafka Streams, or not readable.
    #[error("the group is not one of the consumer protocol; stop its members, or use another")]
    NotConsumerGroup,
    /// The member's epoch is not its own.
    #[error("epoch {came} is not the member's, which is {current}; give up all and join again")]
    FencedMemberEpoch {
        /// What came.
        came: i32,
        /// The member's epoch.
        current: i32,
    },
    /// The member speaks of an epoch that it has left.
    #[error("epoch {came} is not the member's, which is {current}; ask again in that")]
    StaleMemberEpoch {
        /// What came.
        came: i32,
        /// The member's epoch.
        current: i32,
    },
    /// A static member is still there.
    #[error("a member with this group.instance.id is there; it must leave or expire first")]
    UnreleasedInstanceId,
    /// No assignor of this name.
    #[error("there is no assignor {0}; there are uniform and range")]
    UnsupportedAssignor(String),
    /// No regular expression.
    #[error("not a regular expression of topics: {0}")]
    InvalidRegularExpression(String),
    /// Another process uses the instance id.
    #[error("another member has joined with this group.instance.id; give each process its own")]
    FencedInstanceId,
}

impl GroupError {
    /// A member of the consumer protocol comes with the id of one of the other.
    pub(super) fn is_of_classic_member() -> Self {
        let refusal = "a member of the classic protocol has this id; make another";
        Self::InvalidRequest(refusal.to_owned())
    }

    /// The error code of Kafka's protocol.
    #[must_use]
    pub const fn code(&self) -> i16 {
        match self {
            Self::CoordinatorNotAvailable => 15,
            Self::IllegalGeneration { .. } => 22,
            Self::InconsistentGroupProtocol(_) => 23,
            Self::UnknownMemberId => 25,
            Self::InvalidSessionTimeout { .. } => 26,
            Self::RebalanceInProgress => 27,
            Self::InvalidRequest(_) => 42,
            Self::TooManyGroups { .. } => 44,
            Self::GroupNotEmpty => 68,
            Self::GroupIdNotFound | Self::NotConsumerGroup => 69,
            Self::MemberIdRequired { .. } => 79,
            Self::GroupMaxSizeReached { .. } => 81,
            Self::FencedInstanceId => 82,
            Self::FencedMemberEpoch { .. } => 110,
            Self::UnreleasedInstanceId => 111,
            Self::UnsupportedAssignor(_) => 112,
            Self::StaleMemberEpoch { .. } => 113,
            Self::InvalidRegularExpression(_) => 128,
        }
    }
}
