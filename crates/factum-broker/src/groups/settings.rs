//! The values that a user tunes, and the limits of what clients can make the coordinator hold.

use std::time::Duration;

/// Settings of [`Groups`](super::Groups). The defaults are Apache Kafka's where it has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// How long the first rebalance of an empty group waits for more members; every member that
    /// joins meanwhile extends it, up to the rebalance timeout. Zero: it does not wait.
    pub initial_rebalance_delay: Duration,
    /// The shortest session timeout that a member may ask for.
    pub min_session_timeout: Duration,
    /// The longest session timeout that a member may ask for.
    pub max_session_timeout: Duration,
    /// How long a new member is kept while it waits for the answer to its first join. It cannot
    /// heartbeat yet, and if it gave up nobody says so.
    pub new_member_join_timeout: Duration,
    /// Groups held at a time.
    pub max_groups: usize,
    /// Members of one group, and as many that were given an id and have not used it yet.
    pub max_members: usize,
    /// Protocols that one member may offer.
    pub max_protocols: usize,
    /// Bytes of metadata of all protocols of one member together, and of its assignment; of the
    /// names that a member of the consumer protocol subscribes to.
    pub max_member_bytes: usize,
    /// How long a member of the consumer protocol may be silent (Kafka's
    /// `group.consumer.session.timeout.ms`).
    pub consumer_session_timeout: Duration,
    /// How long a member of the consumer protocol is to wait between heartbeats (Kafka's
    /// `group.consumer.heartbeat.interval.ms`).
    pub consumer_heartbeat_interval: Duration,
    /// Which groups change their protocol while they have members (Kafka's
    /// `group.consumer.migration.policy`).
    pub migration_policy: MigrationPolicy,
    /// How long a group without members is remembered.
    pub empty_group_retention: Duration,
}

/// Which groups change their protocol while they have members. One without members changes it with
/// its next member in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MigrationPolicy {
    /// In both directions.
    #[default]
    Bidirectional,
    /// To the consumer protocol, with its first member.
    Upgrade,
    /// To the classic protocol, when the last member of the consumer protocol goes.
    Downgrade,
    /// None.
    Disabled,
}

impl MigrationPolicy {
    /// All there are.
    pub const ALL: [Self; 4] =
        [Self::Bidirectional, Self::Upgrade, Self::Downgrade, Self::Disabled];

    /// Kafka's name of the policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bidirectional => "bidirectional",
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Disabled => "disabled",
        }
    }

    pub(super) const fn upgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    pub(super) const fn downgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

/// What one group of the consumer protocol has in the place of [`GroupSettings`]; none: as they say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsumerTimes {
    /// How long a member may be silent.
    pub session_timeout: Option<Duration>,
    /// How long a member is to wait between heartbeats.
    pub heartbeat_interval: Option<Duration>,
}

impl ConsumerTimes {
    /// The settings of a group that has these times.
    pub(super) fn over(self, settings: &GroupSettings) -> GroupSettings {
        GroupSettings {
            consumer_session_timeout: self
                .session_timeout
                .unwrap_or(settings.consumer_session_timeout),
            consumer_heartbeat_interval: self
                .heartbeat_interval
                .unwrap_or(settings.consumer_heartbeat_interval),
            ..settings.clone()
        }
    }
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Duration::from_secs(3),
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(30 * 60),
            new_member_join_timeout: Duration::from_secs(5 * 60),
            max_groups: 10_000,
            max_members: 10_000,
            max_protocols: 64,
            max_member_bytes: 1 << 20,
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
            migration_policy: MigrationPolicy::default(),
            empty_group_retention: Duration::from_secs(10 * 60),
        }
    }
}
