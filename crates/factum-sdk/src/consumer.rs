//! Reading as a member of a consumer group.

use factum_event::event::StoredEvent;
use factum_event::log::{GroupMember, TopicPartition};

use crate::{Consequences, Error, Factum};

/// A member of a consumer group. Dropping it leaves the group.
pub struct Consumer {
    factum: Factum,
    member: Box<dyn GroupMember>,
}

impl Consumer {
    pub(crate) fn new(factum: Factum, member: Box<dyn GroupMember>) -> Self {
        Self { factum, member }
    }

    /// The next events of the partitions that this member has; waits for them, and takes part in
    /// rebalances while it waits. What was not committed comes again after a rebalance.
    ///
    /// # Errors
    /// [`LogError`](crate::LogError).
    pub async fn next(&mut self) -> Result<Vec<StoredEvent>, Error> {
        let records = self.member.next().await?;
        Ok(records.into_iter().map(StoredEvent::from).collect())
    }

    /// Commits, durably, that everything that [`next`](Self::next) has returned was processed.
    ///
    /// # Errors
    /// [`LogError::Fenced`](crate::LogError::Fenced) where the partitions have gone to another
    /// member since: what was not committed is delivered there.
    pub async fn commit(&mut self) -> Result<(), Error> {
        Ok(self.member.commit().await?)
    }

    /// Handles the next events and commits them. The handler gets each event with a publisher
    /// whose events carry its correlation and causation. An error of the handler stops before the
    /// commit, so that the events come again after the next rebalance or restart.
    ///
    /// # Errors
    /// The handler's, or those of [`next`](Self::next) and [`commit`](Self::commit).
    pub async fn handle<E: From<Error>>(
        &mut self,
        mut handler: impl AsyncFnMut(StoredEvent, Consequences) -> Result<(), E>,
    ) -> Result<usize, E> {
        let events = self.next().await?;
        let count = events.len();
        for stored in events {
            let consequences = self.factum.because_of(&stored.event);
            handler(stored, consequences).await?;
        }
        self.commit().await?;
        Ok(count)
    }

    /// The partitions that this member has now.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.member.assignment()
    }

    /// Leaves the group, so that others take over at once.
    ///
    /// # Errors
    /// [`LogError`](crate::LogError).
    pub async fn leave(self) -> Result<(), Error> {
        Ok(self.member.leave().await?)
    }
}
