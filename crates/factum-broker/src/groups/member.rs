//! One member of a group.

use std::time::Duration;

use bytes::Bytes;

use super::answer::Waiter;
use super::{GroupError, JoinRequest, Joined, JoinedMember, Protocol, Synced};

/// What of a member of the classic protocol is the same in a group of either kind.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout: Option<Duration>,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<Protocol>,
    /// The generation that it knows of.
    pub(super) epoch: i32,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    session_timeout: Option<Duration>,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// When its silence becomes too long.
    expires: Option<Duration>,
    /// It has never been part of a generation, so it cannot heartbeat yet.
    is_new: bool,
    /// Its client knows its id, so it can come back to a join that it gave up.
    knows_id: bool,
    /// The epoch in which it came from a group of the consumer protocol: until the next generation
    /// it knows of no other.
    former_epoch: Option<i32>,
    /// It has come from there and is to give up all that it has before it joins again.
    pub(super) is_fenced: bool,
    /// It has asked for its assignment in this generation.
    pub(super) synced: bool,
    pub(super) joining: Option<Waiter<Joined>>,
    pub(super) syncing: Option<Waiter<Synced>>,
}

impl Member {
    pub(super) fn new(id: String, request: &JoinRequest, waiter: Waiter<Joined>) -> Self {
        Self {
            knows_id: request.instance_id.is_some() || !request.member_id.is_empty(),
            id,
            instance_id: request.instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: owned(&request.protocols),
            assignment: Bytes::new(),
            expires: None,
            is_new: true,
            former_epoch: None,
            is_fenced: false,
            synced: false,
            joining: Some(waiter),
            syncing: None,
        }
    }

    /// A member that comes from a group of the consumer protocol. If it is fenced, no generation
    /// that it knows of is its own.
    pub(super) fn arriving(
        moved: Moved,
        is_fenced: bool,
        assignment: Bytes,
        now: Duration,
    ) -> Self {
        let mut member = Self {
            id: moved.id,
            instance_id: moved.instance_id,
            client_id: moved.client_id,
            client_host: moved.client_host,
            session_timeout: moved.session_timeout,
            rebalance_timeout: moved.rebalance_timeout,
            protocols: moved.protocols,
            assignment,
            expires: None,
            is_new: false,
            knows_id: true,
            former_epoch: (!is_fenced).then_some(moved.epoch),
            is_fenced,
            synced: true,
            joining: None,
            syncing: None,
        };
        member.renew(now);
        member
    }

    /// What of the member goes with it into a group of the consumer protocol.
    pub(super) fn moved(&self, generation: i32) -> Moved {
        Moved {
            id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            session_timeout: self.session_timeout,
            rebalance_timeout: self.rebalance_timeout,
            protocols: self.protocols.clone(),
            epoch: self.generation(generation),
        }
    }

    /// The generation that the member knows of, while the group is in `current`.
    pub(super) fn generation(&self, current: i32) -> i32 {
        self.former_epoch.unwrap_or(current)
    }

    /// Takes what the member says in a later join, and its place to answer it.
    pub(super) fn update(&mut self, request: &JoinRequest, waiter: Waiter<Joined>) {
        self.session_timeout = request.session_timeout;
        self.rebalance_timeout = request.rebalance_timeout;
        self.protocols = owned(&request.protocols);
        self.joining = Some(waiter);
    }

    /// Notes a sign of life. A new member keeps its own deadline until its first answer.
    pub(super) fn renew(&mut self, now: Duration) {
        if !self.is_new {
            self.expires = self.session_timeout.map(|timeout| now.saturating_add(timeout));
        }
    }

    /// Gives a new member until `deadline` to get its first answer.
    pub(super) fn expect_by(&mut self, deadline: Duration) {
        self.expires = Some(deadline);
    }

    /// Ends the member's time as a new one.
    pub(super) fn settle(&mut self, now: Duration) {
        self.is_new = false;
        self.knows_id = true;
        self.former_epoch = None;
        self.renew(now);
    }

    /// When the member is to be removed for its silence. While it waits for an answer from us,
    /// it is not it who is silent; but a new one may have gone away unseen.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let waits = self.joining.is_some() || self.syncing.is_some();
        self.expires.filter(|_| self.is_new || !waits)
    }

    /// Whether nobody will ever come for this member: its client went away before it was told
    /// its id.
    pub(super) fn is_abandoned(&self) -> bool {
        !self.knows_id && self.joining.as_ref().is_none_or(Waiter::is_gone)
    }

    pub(super) fn offers(&self, protocols: &[Protocol]) -> bool {
        self.protocols == protocols
    }

    pub(super) fn speaks(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|p| p.name == protocol)
    }

    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|p| p.name == protocol);
        found.map(|p| p.metadata.clone()).unwrap_or_default()
    }

    pub(super) fn for_leader(&self, protocol: &str) -> JoinedMember {
        JoinedMember {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }

    /// Answers everything that waits with `error`.
    pub(super) fn fail(&mut self, error: &GroupError) {
        if let Some(waiter) = self.joining.take() {
            waiter.fail(error.clone());
        }
        if let Some(waiter) = self.syncing.take() {
            waiter.fail(error.clone());
        }
    }
}

/// Copies, so that a member does not keep the whole network buffer alive in which it came.
pub(super) fn owned(protocols: &[Protocol]) -> Vec<Protocol> {
    let copy = |p: &Protocol| Protocol {
        name: p.name.clone(),
        metadata: Bytes::copy_from_slice(&p.metadata),
    };
    protocols.iter().map(copy).collect()
}
