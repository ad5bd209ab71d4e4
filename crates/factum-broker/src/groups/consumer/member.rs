//! A member as the group keeps it.

use std::sync::Arc;
use std::time::Duration;

use factum_event::TopicId;

use super::Assignment;
use super::assignors::{Assignor, Candidate, Topics};
use super::classic::{Classic, Due};
use super::request::LEAVE_FOR_A_WHILE;
use super::subscription::Subscription;
use crate::groups::GroupKind;
use crate::groups::group::Turn;

/// How far a member has come on its way to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has come to the target of its epoch.
    Stable,
    /// It has to give up partitions, and has not said that it did.
    Unrevoked,
    /// It has come to its epoch, but waits for what others have not given up.
    Unreleased,
}

#[derive(Debug)]
pub(in crate::groups) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) rack_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout: Duration,
    /// The assignor that it prefers.
    pub(super) assignor: Option<Assignor>,
    pub(super) subscription: Arc<Subscription>,
    /// The topics of its subscription that exist.
    pub(super) topics: Topics,
    pub(super) epoch: i32,
    /// The epoch before: the answer that told it of the new one may be lost.
    pub(super) previous_epoch: i32,
    pub(super) progress: Progress,
    /// What it has, or may take.
    pub(super) assigned: Assignment,
    /// What it is to give up.
    pub(super) revoking: Assignment,
    /// What it is to have.
    pub(super) target: Assignment,
    /// When it counts as gone unless it is heard of.
    pub(super) session_deadline: Duration,
    /// When it counts as gone unless it has given up what it is to.
    pub(super) revoke_deadline: Option<Duration>,
    /// What it has besides if it speaks the classic protocol.
    pub(super) classic: Option<Classic>,
}

impl Member {
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout: Duration::ZERO,
            assignor: None,
            subscription: Arc::default(),
            topics: Arc::default(),
            epoch: 0,
            previous_epoch: 0,
            progress: Progress::Stable,
            assigned: Assignment::default(),
            revoking: Assignment::default(),
            target: Assignment::default(),
            session_deadline: Duration::MAX,
            revoke_deadline: None,
            classic: None,
        }
    }

    /// Whether it is a static member that has left and may come back.
    pub(super) fn is_away(&self) -> bool {
        self.epoch == LEAVE_FOR_A_WHILE
    }

    pub(super) fn candidate(&self) -> Candidate<'_> {
        Candidate {
            member_id: &self.id,
            instance_id: self.instance_id.as_deref(),
            topics: &self.topics,
            has: &self.target,
        }
    }

    /// What nobody else may have.
    pub(super) fn holds(&self) -> impl Iterator<Item = (TopicId, i32)> {
        self.assigned.iter().chain(self.revoking.iter())
    }

    /// Which protocol it speaks.
    pub(in crate::groups) fn kind(&self) -> GroupKind {
        match self.classic {
            Some(_) => GroupKind::Classic,
            None => GroupKind::Consumer,
        }
    }

    /// Notes a sign of life.
    pub(super) fn renew(&mut self, turn: &Turn<'_>) {
        let timeout = match &self.classic {
            Some(classic) => classic.session_timeout,
            None => Some(turn.settings.consumer_session_timeout),
        };
        let deadline = timeout.map(|timeout| turn.now.saturating_add(timeout));
        self.session_deadline = deadline.unwrap_or(Duration::MAX);
    }

    /// Whether it speaks the classic protocol and has not done in time what it was told to.
    pub(super) fn is_overdue(&self, due: Due, now: Duration) -> bool {
        let classic = self.classic.as_ref().and_then(|classic| classic.due);
        classic.is_some_and(|(what, at)| what == due && at <= now)
    }

    /// When it counts as gone, if ever.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let due = self.classic.as_ref().and_then(|classic| classic.due).map(|(_, at)| at);
        let session = Some(self.session_deadline).filter(|at| *at != Duration::MAX);
        [session, self.revoke_deadline, due].into_iter().flatten().min()
    }
}
