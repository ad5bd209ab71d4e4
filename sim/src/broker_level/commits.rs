//! What groups have committed.

use std::collections::BTreeMap;

use factum_broker::Committed;
use factum_event::{GroupName, Offset, Partition, TopicId, TopicName};

use crate::Violation;

/// Where an offset is committed.
pub(crate) type Place = (TopicName, Partition);

/// An offset that somebody commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: Offset,
    pub(crate) metadata: String,
    pub(crate) topic: TopicId,
}

/// Commits and deletions that are one request.
pub(crate) type Marks = BTreeMap<Place, Option<Mark>>;

/// A group.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) marks: BTreeMap<Place, Mark>,
    /// Asked for, and not answered, or not with certainty: the next opening tells.
    pub(crate) open: Option<Marks>,
}

/// All groups.
pub(crate) struct Groups(pub(crate) BTreeMap<GroupName, Group>);

impl Groups {
    pub(crate) fn new(names: &[&str]) -> Self {
        let names = names.iter().filter_map(|name| GroupName::new(name).ok());
        Self(names.map(|name| (name, Group::default())).collect())
    }

    /// A topic is gone, with what was committed in it.
    pub(crate) fn forget(&mut self, topic: TopicId) {
        for group in self.0.values_mut() {
            group.marks.retain(|_, mark| mark.topic != topic);
        }
    }
}

impl Group {
    /// What was asked for is done.
    pub(crate) fn answered(&mut self, marks: Marks, exists: impl Fn(TopicId) -> bool) {
        for (place, mark) in marks {
            match mark.filter(|mark| exists(mark.topic)) {
                Some(mark) => drop(self.marks.insert(place, mark)),
                None => drop(self.marks.remove(&place)),
            }
        }
        self.open = None;
    }

    /// Compares what there is at a place with what may be there.
    pub(crate) fn check(
        &self,
        place: &Place,
        found: Option<&Committed>,
        exists: impl Fn(TopicId) -> bool,
    ) -> Result<(), Violation> {
        let now = self.marks.get(place);
        let open = self.open.as_ref().and_then(|open| open.get(place));
        let is = |mark: Option<&Mark>| match (mark.filter(|mark| exists(mark.topic)), found) {
            (None, None) => true,
            (Some(mark), Some(found)) => {
                (mark.offset, &mark.metadata, mark.topic)
                    == (found.offset, &found.metadata, found.topic_id)
            }
            _ => false,
        };
        if is(now) || open.is_some_and(|open| is(open.as_ref())) {
            return Ok(());
        }
        Err(format!("{place:?} has {found:?} committed, expected was {now:?} or {open:?}"))
    }

    /// After opening: what there is now is what was done.
    pub(crate) fn settle(&mut self, place: Place, found: Option<Committed>) {
        match found {
            Some(Committed { offset, metadata, topic_id: topic, .. }) => {
                self.marks.insert(place, Mark { offset, metadata, topic });
            }
            None => drop(self.marks.remove(&place)),
        }
    }
}
